/**
 * Result batches of built-in and user-defined aggregates, side by side. The columns of the former are taken
 * as they are, those of the latter are written here row by row, and both become one batch over the bytes of
 * both.
 */

import { Batch, BatchBuilder, type Column, Schema, type SlabAllocator } from '../../core/index.ts';
import { RESULT_ROWS_MAX } from '../aggregate/index.ts';
import { interleaved, type MixedPlan } from './aggregate-split.ts';

export class UserColumns {
  readonly #plan: MixedPlan;
  readonly #headLength: number;
  readonly #out: BatchBuilder;

  /** @param headLength number of columns before the aggregates, in the batches of the built-in ones */
  constructor(slabs: SlabAllocator, plan: MixedPlan, headLength: number) {
    this.#plan = plan;
    this.#headLength = headLength;
    this.#out = new BatchBuilder(slabs, new Schema(plan.ownFields), RESULT_ROWS_MAX);
  }

  /**
   * The batch with the user-defined columns, whose values `valuesOf` gives for each row. Valid until the next
   * one.
   */
  beside(batch: Batch, valuesOf: (row: number) => readonly unknown[]): Batch {
    const out = this.#out;
    out.reset();
    for (let row = 0; row < batch.rowCount; row++) {
      const values = valuesOf(row);
      for (let c = 0; c < values.length; c++) out.setValue(c, row, values[c]);
    }
    const own = out.finish(batch.rowCount);
    const head = batch.columns.slice(0, this.#headLength);
    const columns = interleaved<Column>(this.#plan.split, batch.columns.slice(this.#headLength), own.columns);
    return new Batch(batch.memory, this.#plan.output, batch.rowCount, [...head, ...columns]);
  }

  release(): void {
    this.#out.release();
  }
}
