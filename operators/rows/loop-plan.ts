/**
 * The plan of one run of row operations: what is read, what passes through, and the steps between, as text or
 * for the interpreter. planner.ts makes it, program.ts runs it.
 */

import type { Field, Schema } from '../../core/index.ts';
import type { Output } from './loop.ts';
import type { RowOperation } from './operation.ts';
import type { RowFunction } from './parse.ts';
import type { RowPart } from './slots.ts';

/** How the functions of a run are run. */
export interface PlanMode {
  /** Generate a loop; otherwise interpret. */
  readonly generate: boolean;
  /** Emit expressions; otherwise call closures. */
  readonly expressions: boolean;
  /** Show at which row a function is. */
  readonly watched: boolean;
}

/** The steps of the interpreter, in order. Slots with an id are places in its array of locals. */
export type Step =
  | { readonly kind: 'filter'; readonly operation: number; readonly fn: RowFunction; readonly row: readonly RowPart[] }
  | {
      readonly kind: 'map';
      readonly operation: number;
      readonly fn: RowFunction;
      readonly row: readonly RowPart[];
      readonly results: readonly { readonly field: Field; readonly id: string }[];
    }
  | { readonly kind: 'flatMap'; readonly operation: number; readonly fn: RowFunction; readonly row: readonly RowPart[]; readonly fields: readonly Field[] };

/** The outcome for an operation. */
export interface OperationNote {
  readonly kind: RowOperation['kind'];
  /** How its function is run: `expression over`, `closure reading`; empty where there is no function. */
  readonly how: string;
  /** The columns that it reads, as text. */
  readonly reads: string;
}

/** What program.ts needs to run a loop, and explain to show it. */
export interface LoopPlan {
  readonly kind: 'loop';
  readonly outputSchema: Schema;
  readonly columnsRead: readonly number[];
  readonly outputs: readonly Output[];
  /** Schema of the columns that are written: by the loop, or by gathering. */
  readonly written: Schema;
  readonly expands: boolean;
  /** False: every row stays as it is, and there is no loop to run. */
  readonly hasLoop: boolean;
  readonly steps: readonly Step[];
  readonly code: { readonly text: string; readonly constants: readonly unknown[] } | undefined;
  readonly notes: readonly OperationNote[];
  /** Input columns that the loop itself reads. */
  readonly loaded: readonly number[];
}
