/**
 * Where keyed operators put their result rows: one batch builder a thread, handed on when it is full and when a shard is done.
 */

import { type AnyRow, type Batch, BatchBuilder, type Schema, type SlabAllocator } from '../core/index.ts';
import type { Emit } from './result-writer.ts';

const ROWS_MAX = 4_096;

export class RowOutput {
  readonly schema: Schema;
  readonly #builder: BatchBuilder;
  readonly #emit: Emit;

  constructor(slabs: SlabAllocator, schema: Schema, emit: Emit) {
    this.schema = schema;
    this.#builder = new BatchBuilder(slabs, schema, ROWS_MAX);
    this.#emit = emit;
  }

  /**
   * Appends a row that is an object; all of it or nothing.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when a value does not fit its column
   */
  appendRow(row: AnyRow): void {
    this.#makeRoom();
    this.#builder.appendRow(row);
  }

  /** Appends a row whose values stand in the order of the columns; they must fit. */
  append(values: readonly unknown[]): void {
    this.#makeRoom();
    const builder = this.#builder;
    for (let c = 0; c < builder.columns.length; c++) builder.setValue(c, builder.rowCount, values[c]);
    builder.rowCount++;
  }

  /** Hands on what is written and not yet handed on. */
  flush(): void {
    const builder = this.#builder;
    if (builder.rowCount === 0) return;
    const batch: Batch = builder.finish();
    this.#emit(batch);
    builder.reset();
  }

  release(): void {
    this.#builder.release();
  }

  #makeRoom(): void {
    if (this.#builder.rowCount === this.#builder.capacity) this.flush();
  }
}
