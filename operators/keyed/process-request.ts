/** What process() is made of: its streams, its functions and its results (process-plan.ts, process.ts). */

import type { AnyRow, Schema } from '../../core/index.ts';
import type { WaitingRow } from '../by-key/index.ts';
import type { KeyedInput } from './keyed-operator.ts';
import type { ProcessContext } from './process-context.ts';
import type { SavedTable } from './process-table.ts';
import type { Key } from './row-values.ts';

/** A function for the rows of one stream. */
export type RowFunction = (row: AnyRow, context: ProcessContext) => unknown;

export interface ProcessFunctions {
  readonly state: (() => unknown) | undefined;
  /** By input; undefined for a table, whose rows no function takes. */
  readonly onRow: readonly (RowFunction | undefined)[];
  readonly onTimer: ((time: number, context: ProcessContext) => unknown) | undefined;
  /**
   * Drops the state of a key without rows for this long: in event time where there is one, else by the
   * epoch's clock.
   */
  readonly ttlMs: number | undefined;
  /** Of the state; raised when it becomes another one. */
  readonly version: number;
  /** Makes the state of a key of one of an earlier version. */
  readonly migrate: ((state: unknown, fromVersion: number) => unknown) | undefined;
}

/** One stream of process(). */
export interface ProcessInput {
  readonly schema: Schema;
  readonly keys: readonly string[];
  /** Name of the event time column; undefined: there is none. */
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
  /** It is a table: every shard holds the latest row of each of its keys, for all functions to read. */
  readonly isTable?: boolean;
  /** Of a table: a bool column; true removes the key. */
  readonly deleted?: string | undefined;
}

/**
 * `arrival`: rows as they are read, timers at the end of the epoch. `eventTime`: rows and timers by their
 * times, once the watermark has passed them.
 */
export type ProcessOrder = 'arrival' | 'eventTime';

export interface ProcessRequest extends ProcessFunctions {
  /** The first one gives the names of the key columns. A table, if there is one, comes last. */
  readonly inputs: readonly ProcessInput[];
  readonly output: Schema;
  /** Further results, by name. */
  readonly outputs: Readonly<Record<string, Schema>>;
  readonly order: ProcessOrder;
}

/** What shards need to know. */
export interface ProcessPlan {
  readonly request: ProcessRequest;
  readonly inputs: readonly KeyedInput[];
  /** By input: position of the event time; -1: there is none. */
  readonly times: readonly number[];
  /** Whether all streams have event time. */
  readonly hasTime: boolean;
  /** Rows and timers come by event time. */
  readonly isInOrder: boolean;
  /** The input that is a table; -1: none is. */
  readonly tableAt: number;
}

export interface ProcessSnapshot {
  readonly entries: readonly { readonly id: Key; readonly key: AnyRow; readonly state: unknown; readonly expiry: number }[];
  /** Place of the entry and its time, in firing order. */
  readonly timers: readonly (readonly [entry: number, time: number])[];
  readonly processingTimers: readonly (readonly [entry: number, time: number])[];
  /** Where there is a table. */
  readonly table?: SavedTable;
  /** In the order of event time: the rows that wait. */
  readonly waiting?: readonly WaitingRow[];
}
