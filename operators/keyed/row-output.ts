/**
 * Where keyed operators put their result rows: one batch builder a thread, handed on when it is full and when a shard is done.
 */

import { type AnyRow, type Batch, BatchBuilder, type Column, type ColumnSpace, type Schema, type SlabAllocator } from '../../core/index.ts';
import type { Emit } from '../aggregate/result-writer.ts';
import { gather } from '../rows/gather.ts';

const ROWS_MAX = 4_096;

const placesOfBatches = new WeakMap<Batch, Float64Array>();

/** Where the rows of a batch that a RowOutput has handed on come in the epoch; undefined: nobody asks. */
export function placesOf(batch: Batch): Float64Array | undefined {
  return placesOfBatches.get(batch);
}

export class RowOutput {
  readonly schema: Schema;
  readonly #builder: BatchBuilder;
  readonly #emit: Emit;
  /** Where the rows that are written come in the epoch; undefined: nobody asks. */
  #places: Float64Array | undefined;
  #incoming: Float64Array | undefined;
  /** Where what is written next comes: the place of the row that it is made of; +Infinity: behind all rows. */
  place = Number.POSITIVE_INFINITY;

  constructor(slabs: SlabAllocator, schema: Schema, emit: Emit) {
    this.schema = schema;
    this.#builder = new BatchBuilder(slabs, schema, ROWS_MAX);
    this.#emit = emit;
  }

  /** From here on the batches that are handed on tell where their rows come: {@link placesOf}. */
  keepOrder(): void {
    this.#places = new Float64Array(this.#builder.capacity);
  }

  /** What follows is made of rows that have these places, or, without any, comes behind all rows. */
  begin(places: Float64Array | undefined): void {
    this.#incoming = places;
    this.place = Number.POSITIVE_INFINITY;
  }

  /** What follows is made of this row of the batch. */
  at(row: number): void {
    if (this.#incoming !== undefined) this.place = this.#incoming[row] as number;
  }

  /**
   * Appends a row that is an object; all of it or nothing.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when a value does not fit its column
   */
  appendRow(row: AnyRow): void {
    this.#makeRoom();
    this.#builder.appendRow(row);
    if (this.#places !== undefined) this.#places[this.#builder.rowCount - 1] = this.place;
  }

  /** Appends a row whose values stand in the order of the columns; they must fit. */
  append(values: readonly unknown[]): void {
    this.#makeRoom();
    const builder = this.#builder;
    for (let c = 0; c < builder.columns.length; c++) builder.setValue(c, builder.rowCount, values[c]);
    if (this.#places !== undefined) this.#places[builder.rowCount] = this.place;
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
      if (this.#places !== undefined && this.#incoming !== undefined) {
        for (let i = 0; i < part; i++) this.#places[i] = this.#incoming[rows[from + i] as number] as number;
      }
      this.flush();
    }
  }

  /** The builder, with room for a row: for whoever writes its columns at `rowCount`, and counts that up. */
  claim(): BatchBuilder {
    this.#makeRoom();
    if (this.#places !== undefined) this.#places[this.#builder.rowCount] = this.place;
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
    if (this.#places !== undefined) placesOfBatches.set(batch, this.#places);
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
