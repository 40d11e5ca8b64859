/**
 * The column of processing time: one value for all rows of an epoch. It is filled when the value changes,
 * once per epoch, and lies beside the columns of every batch since. So it costs nothing per row.
 */

import { Batch, type Column, type Schema, type SlabAllocator } from '../../core/index.ts';

export class StampColumn {
  readonly #slabs: SlabAllocator;
  /** The columns of the rows, the stamp as the last. */
  readonly #schema: Schema;
  #address = 0;
  #capacity: number;
  #filledMs = Number.NaN;

  constructor(slabs: SlabAllocator, schema: Schema, batchRows: number) {
    this.#slabs = slabs;
    this.#schema = schema;
    this.#capacity = batchRows;
  }

  /**
   * The batch with one more column, over the same bytes. It is valid as long as the batch, and until the next
   * call.
   */
  added(batch: Batch, stampMs: number): Batch {
    if (this.#address === 0 || batch.rowCount > this.#capacity) this.#grow(batch.rowCount);
    if (this.#filledMs !== stampMs) this.#fill(stampMs);
    const column: Column = { type: this.#schema.field(this.#schema.length - 1).type, data: this.#address, offsets: 0, validity: 0 };
    return new Batch(batch.memory, this.#schema, batch.rowCount, [...batch.columns, column]);
  }

  #grow(rowCount: number): void {
    if (this.#address !== 0) this.#slabs.free(this.#address);
    while (this.#capacity < rowCount) this.#capacity *= 2;
    this.#address = this.#slabs.alloc(this.#capacity * 8);
    this.#filledMs = Number.NaN;
  }

  #fill(stampMs: number): void {
    const from = this.#address >>> 3;
    this.#slabs.memory.i64.fill(BigInt(stampMs), from, from + this.#capacity);
    this.#filledMs = stampMs;
  }
}
