/**
 * Result batches of built-in and user-defined aggregates, side by side. The columns of the former are taken
 * as they are, those of the latter are written here row by row, and both become one batch over the bytes of
 * both. Rows whose user-defined results could not be made are left out.
 */

import { Batch, BatchBuilder, type Column, type ColumnSpace, gather, Schema, type SlabAllocator } from '../../core/index.ts';
import { RESULT_ROWS_MAX } from '../aggregate/index.ts';
import { interleaved, type MixedPlan } from './aggregate-split.ts';

export class UserColumns {
  readonly #slabs: SlabAllocator;
  readonly #plan: MixedPlan;
  readonly #headLength: number;
  readonly #out: BatchBuilder;
  /** For batches of which rows are left out. */
  #others: BatchBuilder | undefined;

  /** @param headLength number of columns before the aggregates, in the batches of the built-in ones */
  constructor(slabs: SlabAllocator, plan: MixedPlan, headLength: number) {
    this.#slabs = slabs;
    this.#plan = plan;
    this.#headLength = headLength;
    this.#out = new BatchBuilder(slabs, new Schema(plan.ownFields), RESULT_ROWS_MAX);
  }

  /**
   * The batch with the user-defined columns, whose values `valuesOf` gives for each row; undefined: the row
   * is left out. Valid until the next one.
   */
  beside(batch: Batch, valuesOf: (row: number) => readonly unknown[] | undefined): Batch {
    const out = this.#out;
    out.reset();
    const kept = new Int32Array(batch.rowCount);
    let count = 0;
    for (let row = 0; row < batch.rowCount; row++) {
      const values = valuesOf(row);
      if (values === undefined) continue;
      for (let c = 0; c < values.length; c++) out.setValue(c, count, values[c]);
      kept[count++] = row;
    }
    const own = out.finish(count);
    const others = count === batch.rowCount ? batch : this.#gathered(batch, kept, count);
    const head = others.columns.slice(0, this.#headLength);
    const columns = interleaved<Column>(this.#plan.split, others.columns.slice(this.#headLength), own.columns);
    return new Batch(batch.memory, this.#plan.output, count, [...head, ...columns]);
  }

  release(): void {
    this.#out.release();
    this.#others?.release();
  }

  #gathered(batch: Batch, rows: Int32Array, count: number): Batch {
    this.#others ??= new BatchBuilder(this.#slabs, batch.schema, RESULT_ROWS_MAX);
    const others = this.#others;
    others.reset();
    batch.columns.forEach((column, c) => gather(others, column, others.columns[c] as ColumnSpace, rows, count));
    return others.finish(count);
  }
}
