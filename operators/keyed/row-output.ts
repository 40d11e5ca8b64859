/**
 * Where keyed operators put their result rows: one batch builder per thread, handed on when it is full and
 * when a shard is done.
 */

import { type AnyRow, type Batch, BatchBuilder, type Column, type ColumnSpace, gather, type Schema, type SlabAllocator } from '../../core/index.ts';
import type { Emit } from '../exchange/index.ts';

const ROWS_MAX = 4_096;

const placesOfBatches = new WeakMap<Batch, Float64Array>();

/** The places in the epoch of the rows of a batch that a RowOutput has handed on; undefined: nobody asks. */
export function placesOf(batch: Batch): Float64Array | undefined {
  return placesOfBatches.get(batch);
}

/** Rows that are written, and not yet handed on. */
interface Page {
  readonly builder: BatchBuilder;
  /** The places in the epoch of the rows that are written; undefined: nobody asks. */
  readonly places: Float64Array | undefined;
}

export class RowOutput {
  readonly schema: Schema;
  readonly #slabs: SlabAllocator;
  readonly #emit: Emit;
  #builder: BatchBuilder;
  #places: Float64Array | undefined;
  /** Rows of the page at `mark`; -1: what is written stays. */
  #mark = -1;
  /** Since `mark`: pages that became full, and those that are free. */
  #full: Page[] = [];
  readonly #spare: Page[] = [];
  #incoming: Float64Array | undefined;
  /** The place of what is written next: that of the row it is made of; +Infinity: behind all rows. */
  place = Number.POSITIVE_INFINITY;

  constructor(slabs: SlabAllocator, schema: Schema, emit: Emit) {
    this.schema = schema;
    this.#slabs = slabs;
    this.#builder = new BatchBuilder(slabs, schema, ROWS_MAX);
    this.#emit = emit;
  }

  /** From now on the batches that are handed on carry the places of their rows: {@link placesOf}. */
  keepOrder(): void {
    this.#places = new Float64Array(this.#builder.capacity);
  }

  /** From now on nothing is handed on, until `keep` or `takeBack`. */
  mark(): void {
    this.#mark = this.#builder.rowCount;
  }

  /** What was written since `mark` stays. */
  keep(): void {
    this.#mark = -1;
    if (this.#full.length === 0) return;
    const last = { builder: this.#builder, places: this.#places };
    for (const page of this.#full.splice(0)) {
      this.#use(page);
      this.flush();
      this.#spare.push(page);
    }
    this.#use(last);
  }

  /** What was written since `mark` was never written. */
  takeBack(): void {
    const mark = this.#mark;
    this.#mark = -1;
    const [first, ...others] = [...this.#full.splice(0), { builder: this.#builder, places: this.#places }];
    for (const page of others) {
      page.builder.reset();
      this.#spare.push(page);
    }
    this.#use(first as Page);
    this.#builder.truncate(mark);
  }

  /** What follows is made of rows with these places. Without an argument it comes behind all rows. */
  begin(places: Float64Array | undefined): void {
    this.#incoming = places;
    this.place = Number.POSITIVE_INFINITY;
  }

  /** What follows is made of this row of the batch. */
  at(row: number): void {
    if (this.#incoming !== undefined) this.place = this.#incoming[row] as number;
  }

  /**
   * Appends a row given as an object: all of it, or nothing.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when a value does not fit its column
   */
  appendRow(row: AnyRow): void {
    this.#makeRoom();
    this.#builder.appendRow(row);
    if (this.#places !== undefined) this.#places[this.#builder.rowCount - 1] = this.place;
  }

  /** Appends a row whose values are in the order of the columns. They must fit. */
  append(values: readonly unknown[]): void {
    this.#makeRoom();
    const builder = this.#builder;
    for (let c = 0; c < builder.columns.length; c++) builder.setValue(c, builder.rowCount, values[c]);
    if (this.#places !== undefined) this.#places[builder.rowCount] = this.place;
    builder.rowCount++;
  }

  /**
   * Appends rows of a batch of the same schema as they are: those whose ascending numbers are the first
   * `count` of `rows`.
   */
  appendSelected(batch: Batch, rows: Int32Array, count: number): void {
    // Columns are gathered from row 0 on, so earlier rows are handed on first. Larger batches go in parts.
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

  /** The builder, with room for a row: for callers that write its columns at `rowCount` and increment it. */
  claim(): BatchBuilder {
    this.#makeRoom();
    if (this.#places !== undefined) this.#places[this.#builder.rowCount] = this.place;
    return this.#builder;
  }

  /** The next `rows` rows will be in one batch. */
  keepTogether(rows: number): void {
    this.#makeRoom(rows);
  }

  /**
   * Hands on a batch that somebody else wrote, after what is written so far. Its bytes are valid during the
   * call only.
   */
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
    for (const { builder } of this.#spare) builder.release();
  }

  #use({ builder, places }: Page): void {
    this.#builder = builder;
    this.#places = places;
  }

  #makeRoom(rows = 1): void {
    if (this.#builder.rowCount + rows <= this.#builder.capacity) return;
    if (this.#mark < 0) {
      this.flush();
      return;
    }
    this.#full.push({ builder: this.#builder, places: this.#places });
    const places = this.#places === undefined ? undefined : new Float64Array(this.#builder.capacity);
    this.#use(this.#spare.pop() ?? { builder: new BatchBuilder(this.#slabs, this.schema, ROWS_MAX), places });
  }
}
