/**
 * Where keyed operators put their result rows: one batch builder a thread, handed on when it is full and when a shard is done.
 */

import { type AnyRow, type Batch, BatchBuilder, type Column, type ColumnSpace, type Schema, type SlabAllocator } from '../../core/index.ts';
import type { Emit } from '../aggregate/result-writer.ts';
import { gather } from '../rows/gather.ts';

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

  /** Appends rows of a batch of the same schema as they are: those whose numbers, ascending, are the first `count` of `rows`. */
  appendSelected(batch: Batch, rows: Int32Array, count: number): void {
    // Columns are gathered from row 0 on, so what was there before goes first; larger batches go in parts.
    this.flush();
    const builder = this.#builder;
    for (let from = 0; from < count; from += builder.capacity) {
      const part = Math.min(builder.capacity, count - from);
      batch.columns.forEach((column: Column, c) => gather(builder, column, builder.columns[c] as ColumnSpace, from === 0 ? rows : rows.subarray(from), part));
      builder.rowCount = part;
      this.flush();
    }
  }

  /** The builder, with room for a row: for whoever writes its columns at `rowCount`, and counts that up. */
  claim(): BatchBuilder {
    this.#makeRoom();
    return this.#builder;
  }

  /** Hands on a batch that somebody else wrote, behind what is written so far. Its bytes are good during the call only. */
  forward(batch: Batch): void {
    this.flush();
    this.#emit(batch);
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
