/**
 * Side outputs: the rows that a result does not count, as streams of their own. Late rows come with the
 * columns that they had, and their coordinates. Rows that failed, in a row function or in the decoder, come
 * as text, with what failed and why. So do keys whose timer or result failed. This is the cold path: rows are
 * written one by one.
 *
 * Coordinates name the source, the partition and the offset that a row was read at. A row that fails or is
 * late behind an exchange has no such place: its source is `exchange n`, its partition the shard group, its
 * offset -1.
 */

import {
  type AnyRow,
  type Batch,
  BatchBuilder,
  binary,
  f64,
  MillraceError,
  nullable,
  readValue,
  rowObject,
  Schema,
  type SlabAllocator,
  schema,
  shown,
  utf8,
} from '../../core/index.ts';
import type { FlowPlan } from './plan.ts';

/** Where a row was read. */
export interface RowCoordinates {
  readonly source: string;
  readonly partition: number;
  readonly offset: number;
}

/** A row of `stream.errors`. */
export interface ErrorRow extends RowCoordinates {
  /** What failed: `map #2`, the second operation of its chain; `process 1`, an operator by key; or `decode`. */
  readonly operator: string;
  readonly message: string;
  /**
   * The row at the start of the chain, as JSON of the columns that the chain reads; that which came to an
   * operator by key, or the key columns, where it is a timer or a result that failed; empty for what could
   * not be decoded.
   */
  readonly row: string;
  /**
   * What could not be decoded, byte for byte: the value of a record, or a whole record batch that is broken.
   */
  readonly bytes: Uint8Array | null;
}

const COORDINATES = { source: utf8, partition: f64, offset: f64 } as const;
export const ERROR_SCHEMA: Schema = schema({ ...COORDINATES, operator: utf8, message: utf8, row: utf8, bytes: nullable(binary) });

/**
 * The schema of the late rows of a stream.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE when the stream has a column with the name of a coordinate
 */
export function lateSchema(input: Schema): Schema {
  for (const name of Object.keys(COORDINATES)) {
    if (input.indexOf(name) >= 0) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `Late rows come with the columns source, partition and offset, but the rows already have a column ${shown(name)}. Rename it with map() before the window.`,
      );
    }
  }
  return new Schema([...input.fields, ...schema(COORDINATES).fields]);
}

/** Writes late rows of batches of one schema. */
export class LateRows {
  readonly #builder: BatchBuilder;
  readonly #columns: readonly number[];
  readonly #input: Schema;

  constructor(slabs: SlabAllocator, input: Schema, flow: FlowPlan, batchRows: number) {
    this.#input = input;
    // Only what the late stream reads was decoded.
    this.#columns = flow.rows.columnsRead.filter((column) => column < input.length);
    this.#builder = new BatchBuilder(slabs, lateSchema(input), batchRows);
  }

  /**
   * Calls `visit` with the given rows of a batch, in batches of at most the builder's rows. Each is valid
   * during the call.
   */
  each(batch: Batch, rows: Uint32Array, coordinates: (row: number) => RowCoordinates, visit: (late: Batch) => void): void {
    const builder = this.#builder;
    const { memory } = batch;
    const width = this.#input.length;
    for (let from = 0; from < rows.length; from += builder.capacity) {
      builder.reset();
      for (const row of rows.subarray(from, from + builder.capacity)) {
        for (const c of this.#columns) builder.setValue(c, builder.rowCount, readValue(memory, batch.column(c), row));
        const { source, partition, offset } = coordinates(row);
        builder.setValue(width, builder.rowCount, source);
        builder.setValue(width + 1, builder.rowCount, partition);
        builder.setValue(width + 2, builder.rowCount, offset);
        builder.rowCount++;
      }
      visit(builder.finish());
    }
  }
}

/** Writes rows that failed, one at a time. */
export class ErrorRows {
  readonly #builder: BatchBuilder;

  constructor(slabs: SlabAllocator) {
    this.#builder = new BatchBuilder(slabs, ERROR_SCHEMA, 8);
  }

  /** One row, as a batch that is valid until the next call. */
  batchOf(row: ErrorRow): Batch {
    this.#builder.reset();
    this.#builder.appendRow({ ...row });
    return this.#builder.finish();
  }
}

/**
 * A row as JSON, for a dead letter: bigints, and numbers that JSON does not have, as text; bytes in base64.
 */
export function rowText(batch: Batch, row: number, columns: readonly number[]): string {
  const fields = columns.map((c) => batch.schema.field(c));
  return valuesText(
    rowObject(
      fields,
      columns.map((c) => batch.value(c, row)),
    ),
  );
}

/** The same of values by name. */
export function valuesText(values: AnyRow): string {
  return `{${Object.entries(values)
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(plain(value))}`)
    .join(',')}}`;
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}
