/**
 * The loop without generated code: the same steps, with user-defined functions called on row objects. For
 * processes that forbid code from strings. The generated loops are tested against it.
 */

import { assert, type Batch, type BatchBuilder, type Field, memberOf, readValue, rowObject } from '../../core/index.ts';
import { type Output, STATE } from './loop.ts';
import type { LoopPlan } from './loop-plan.ts';
import type { RowPart } from './slots.ts';
import { emitReturned, fitted, refusePromise, requireRow } from './values.ts';

/** What the interpreted loop needs from its program. */
export interface LoopHost {
  readonly state: Int32Array;
  readonly atWork: Int32Array;
  batch(): Batch;
  builder(): BatchBuilder;
  origins(): Int32Array;
  nextBuilder(): void;
  refuseLate(): void;
}

/** A loop that behaves like the generated one. For the state see loop.ts. */
export function interpretedLoop(plan: LoopPlan, host: LoopHost): (rowCount: number) => void {
  const { state } = host;
  const { fields } = plan.outputSchema;
  const stored = plan.outputs.flatMap((output, c) => (output.from === 'loop' ? [{ output, column: c }] : []));
  const emit = (row: unknown): void => {
    if (state[STATE.emitting] === 0) host.refuseLate();
    requireRow(row);
    const values = fitAll(row, fields);
    if (state[STATE.rowsOut] === state[STATE.capacity]) host.nextBuilder();
    append(host, stored, (_output, column) => values[column]);
  };
  const passes = (row: number, locals: Map<string, unknown>): boolean => {
    const batch = host.batch();
    for (const step of plan.steps) {
      state[STATE.operation] = step.operation;
      const fn = step.fn as (row: unknown, emit?: unknown) => unknown;
      const object = objectOf(batch, row, step.row, locals);
      if (step.kind === 'filter') {
        const answer = fn(object);
        if (!answer) return false;
        refusePromise(answer);
      } else if (step.kind === 'map') {
        const result = fn(object);
        requireRow(result);
        refusePromise(result);
        const values = fitAll(
          result,
          step.results.map(({ field }) => field),
        );
        step.results.forEach(({ id }, c) => locals.set(id, values[c]));
      } else {
        state[STATE.emitting] = 1;
        emitReturned(fn(object, emit), emit);
        state[STATE.emitting] = 0;
      }
    }
    return true;
  };
  return (rowCount) => {
    for (; (state[STATE.position] as number) < rowCount; state[STATE.position] = (state[STATE.position] as number) + 1) {
      if (state[STATE.pending] !== 0) return;
      const row = state[STATE.position] as number;
      state[STATE.row] = row;
      host.atWork[0] = row;
      state[STATE.rowsOutBefore] = state[STATE.rowsOut] as number;
      const locals = new Map<string, unknown>();
      if (passes(row, locals) && !plan.expands) append(host, stored, (output) => locals.get(output.id));
    }
  };
}

type Stored = Output & { readonly from: 'loop' };

function append(
  host: LoopHost,
  stored: readonly { readonly output: Stored; readonly column: number }[],
  valueOf: (output: Stored, column: number) => unknown,
): void {
  const at = host.state[STATE.rowsOut] as number;
  const builder = host.builder();
  for (const { output, column } of stored) {
    const space = builder.columns[output.place];
    assert(space, `column ${output.place} of the output`);
    // A failed row may have left bytes behind the last row.
    if (space.offsets !== 0) space.byteLength = builder.memory.i32[(space.offsets >>> 2) + at] as number;
    builder.setValue(output.place, at, valueOf(output, column));
  }
  host.origins()[at] = host.state[STATE.row] as number;
  host.state[STATE.rowsOut] = at + 1;
}

function fitAll(row: object, fields: readonly Field[]): unknown[] {
  const values = fields.map((field) => memberOf(row, field));
  return values.map((value, c) => fitted(fields[c] as Field, value));
}

function objectOf(batch: Batch, row: number, parts: readonly RowPart[], locals: ReadonlyMap<string, unknown>): object {
  return rowObject(
    parts.map(({ field }) => field),
    parts.map(({ slot }) => (slot.at === 'input' ? readValue(batch.memory, batch.column(slot.column), row) : locals.get(slot.id))),
  );
}
