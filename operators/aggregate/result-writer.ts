/**
 * From slots of a group table to result batches: key columns, the window's start and end, the aggregates. It
 * works column by column over tiles of slots. A batch is handed on when it is full, and may hold the rows of
 * several windows. One writer serves all shards of a thread, one after the other: each flushes before it
 * returns.
 */

import { assert, BatchBuilder, type ColumnSpace, type GroupTable, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import type { Emit } from '../exchange/index.ts';
import type { AggregatePlan, ResultColumn } from './aggregate-plan.ts';
import { writeForm } from './result-forms.ts';

export const RESULT_ROWS_MAX = 4_096;
const TILE_SLOTS_MAX = 1_024;

export type { Emit };

export class ResultWriter {
  /** Set when a sum or a mean was not finite. Whoever reads it resets it. */
  sawNonFinite = false;
  readonly #plan: AggregatePlan;
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #out: BatchBuilder;
  /** Room for the slot addresses of a tile, for callers that look slots up and write them. */
  readonly found: number;
  /** Two columns of f64 values for a tile. */
  readonly #scratch: number;

  constructor(slabs: SlabAllocator, plan: AggregatePlan) {
    this.#plan = plan;
    this.#memory = slabs.memory;
    this.#slabs = slabs;
    this.#out = new BatchBuilder(slabs, plan.output, RESULT_ROWS_MAX);
    this.#scratch = slabs.alloc(TILE_SLOTS_MAX * 20);
    this.found = this.#scratch + TILE_SLOTS_MAX * 16;
  }

  /** Writes all groups of a table, as of a window (0, 0 without one). */
  writeTable(table: GroupTable, windowStart: number, windowEnd: number, emit: Emit): void {
    table.eachTile((slots, count) => this.writeSlots(table, slots, count, windowStart, windowEnd, emit));
  }

  /** Writes `count` (at most 1,024) groups whose slot addresses are at `slots`. */
  writeSlots(table: GroupTable, slots: number, count: number, windowStart: number, windowEnd: number, emit: Emit): void {
    if (count > TILE_SLOTS_MAX) assert(false, `a tile of ${count} slots`);
    if (this.#out.rowCount + count > RESULT_ROWS_MAX) this.flush(emit);
    const out = this.#out;
    const row = out.rowCount;
    const plan = this.#plan;
    let column = 0;
    for (; column < plan.keys.length; column++) table.readKeys(slots, count, column, out, column, row);
    if (plan.window !== undefined) {
      fillTimestamp(this.#memory, (out.columns[column++] as ColumnSpace).data, row, count, windowStart);
      fillTimestamp(this.#memory, (out.columns[column++] as ColumnSpace).data, row, count, windowEnd);
    }
    for (const result of plan.results) {
      if (result.form === 'mean') this.#writeMean(table, slots, count, result, column, row);
      else if (result.form !== 'value') writeForm(table, slots, count, result, out, column, row, windowEnd - windowStart, this.#scratch);
      else if (result.validBy < 0) table.readValues(slots, count, result.accumulator, out, column, row);
      else table.readValues(slots, count, result.accumulator, out, column, row, result.validBy);
      if (plan.drifts && result.type.name === 'f64' && !this.sawNonFinite) {
        this.sawNonFinite = hasNonFinite(this.#memory.f64, ((out.columns[column] as ColumnSpace).data >>> 3) + row, count);
      }
      column++;
    }
    out.rowCount = row + count;
  }

  /** Hands on what is written and not yet handed on. */
  flush(emit: Emit): void {
    if (this.#out.rowCount === 0) return;
    emit(this.#out.finish());
    this.#out.reset();
  }

  /** Drops what is written and not yet handed on, after a failure in the middle of a tile. */
  discard(): void {
    this.#out.reset();
  }

  /** Bytes held. */
  release(): void {
    this.#out.release();
    this.#slabs.free(this.#scratch);
  }

  #writeMean(table: GroupTable, slots: number, count: number, result: ResultColumn, column: number, row: number): void {
    const sums = this.#scratch;
    const counts = this.#scratch + TILE_SLOTS_MAX * 8;
    table.gatherF64(slots, count, result.accumulator, sums);
    table.gatherF64(slots, count, result.validBy, counts);
    const { data, validity } = this.#out.columns[column] as ColumnSpace;
    const { f64, u8 } = this.#memory;
    for (let i = 0; i < count; i++) {
      const n = f64[(counts >>> 3) + i] as number;
      f64[(data >>> 3) + row + i] = n === 0 ? 0 : (f64[(sums >>> 3) + i] as number) / n;
      if (n === 0 && validity !== 0) {
        const at = validity + ((row + i) >>> 3);
        u8[at] = (u8[at] as number) & ~(1 << ((row + i) & 7));
      }
    }
  }
}

/** Rows `row` to `row + count` of a timestamp column, all the same, as the two halves of an i64. */
function fillTimestamp(memory: SharedMemory, data: number, row: number, count: number, time: number): void {
  const { i32 } = memory;
  const high = Math.floor(time / 4_294_967_296);
  const low = time - high * 4_294_967_296;
  for (let at = (data >>> 2) + row * 2, end = at + count * 2; at < end; at += 2) {
    i32[at] = low | 0;
    i32[at + 1] = high;
  }
}

function hasNonFinite(f64: Float64Array, from: number, count: number): boolean {
  // x - x is 0 for finite x, else NaN: one sum tells.
  let zero = 0;
  for (let i = from; i < from + count; i++) zero += (f64[i] as number) - (f64[i] as number);
  return zero !== 0;
}
