/**
 * A source over an array of rows: for tests, examples and small tables. The coordinator sends the rows
 * themselves to the workers. So it does no harm if each thread's import of the module fills the array
 * differently (random, time).
 *
 * Partition p of P has rows p, p + P, p + 2P, ...; its offsets count its own rows.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  binary,
  bool,
  checkOptionNames,
  type DataType,
  f64,
  i64,
  MillraceError,
  nullable,
  type RowOf,
  Schema,
  type SchemaFields,
  shown,
  schema as toSchema,
  utf8,
} from '../core/index.ts';
import { RowFrameDecoder, RowFrameWriter } from './row-frames.ts';
import type { CommittedPosition, Source, SourceContext, SourceReader } from './source.ts';

export interface MemoryOptions {
  /** Default 1. */
  readonly partitions?: number;
}

/**
 * Without a schema, it is inferred from all rows: number is f64, string utf8, boolean bool, bigint i64,
 * Uint8Array binary. A column that is null, undefined or missing somewhere is nullable. With a schema, the
 * rows must fit it.
 *
 * @example memory([{ page: '/a', ms: 12 }, { page: '/b', ms: 7 }])
 * @example memory(rows, { schema: { page: utf8, at: timestamp }, partitions: 2 })
 * @throws MillraceError ERR_MILLRACE_SCHEMA when no schema can be inferred, ERR_MILLRACE_OPTION for an
 * invalid number of partitions. The job fails with ERR_MILLRACE_SCHEMA, naming the row, when a row does not
 * fit.
 */
export function memory<const S extends SchemaFields>(rows: readonly RowOf<S>[], options: MemoryOptions & { readonly schema: S }): Source<RowOf<S>>;
export function memory<R extends object>(rows: readonly R[], options?: MemoryOptions): Source<R>;
export function memory(rows: readonly object[], options: MemoryOptions & { readonly schema?: SchemaFields } = {}): Source {
  checkOptionNames('memory', options, { partitions: true, schema: true });
  const { partitions = 1 } = options;
  if (!Array.isArray(rows)) throw new MillraceError('ERR_MILLRACE_OPTION', `memory: the rows are ${shown(rows)}; they must be an array of objects.`);
  if (!(Number.isSafeInteger(partitions) && partitions > 0 && partitions <= 1_024)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `memory: partitions is ${shown(partitions)}; it must be a whole number of 1 to 1024.`);
  }
  const schema = options.schema ? toSchema(options.schema) : inferSchema(rows);
  return {
    name: 'memory',
    schema,
    bounded: true,
    frameRows: (_bytes, first, next) => next - first,
    open: async (context) => new MemoryReader(context, schema, rows, partitions),
    decoder: (context) => new RowFrameDecoder(context, schema),
  };
}

function inferSchema(rows: readonly object[]): Schema {
  if (rows.length === 0)
    throw new MillraceError('ERR_MILLRACE_SCHEMA', 'memory: there are no rows to infer a schema from. Give one: memory(rows, { schema: { name: utf8 } }).');
  const columns = new Map<string, { type: DataType | undefined; first: unknown; rowsWithValue: number }>();
  rows.forEach((row, i) => {
    if (typeof row !== 'object' || row === null) throw new MillraceError('ERR_MILLRACE_SCHEMA', `memory: row ${i} is ${shown(row)}; it must be an object.`);
    for (const [name, value] of Object.entries(row)) {
      let column = columns.get(name);
      if (column === undefined) columns.set(name, (column = { type: undefined, first: undefined, rowsWithValue: 0 }));
      if (value === null || value === undefined) continue;
      const type = typeOf(value);
      if (type === undefined) {
        throw new MillraceError(
          'ERR_MILLRACE_SCHEMA',
          `memory: row ${i} has ${shown(value)} in ${shown(name)}, which is no value of a column whose type is not given. Use number, string, boolean, bigint, Uint8Array or null, or give a schema: objects and lists need one.`,
        );
      }
      if (column.type !== undefined && column.type !== type) {
        throw new MillraceError(
          'ERR_MILLRACE_SCHEMA',
          `memory: the column ${shown(name)} is ${shown(value)} in row ${i} and ${shown(column.first)} before. Give all rows of a column the same type.`,
        );
      }
      column.type = type;
      column.first ??= value;
      column.rowsWithValue++;
    }
  });
  return new Schema(
    [...columns].map(([name, { type, rowsWithValue }]) => {
      if (type === undefined)
        throw new MillraceError('ERR_MILLRACE_SCHEMA', `memory: the column ${shown(name)} is null in every row, so its type is not known. Give a schema.`);
      return { name, type: rowsWithValue < rows.length ? nullable(type) : type };
    }),
  );
}

function typeOf(value: unknown): DataType | undefined {
  switch (typeof value) {
    case 'number':
      return f64;
    case 'string':
      return utf8;
    case 'boolean':
      return bool;
    case 'bigint':
      return i64;
    default:
      return value instanceof Uint8Array ? binary : undefined;
  }
}

class MemoryReader implements SourceReader {
  readonly partitionCount: number;
  readonly #context: SourceContext;
  readonly #rows: readonly object[];
  readonly #frames: RowFrameWriter;
  #isClosed = false;

  constructor(context: SourceContext, schema: Schema, rows: readonly object[], partitions: number) {
    this.#context = context;
    this.#rows = rows;
    this.#frames = new RowFrameWriter(schema, 'memory');
    this.partitionCount = partitions;
  }

  async positions(): Promise<CommittedPosition[]> {
    return Array.from({ length: this.partitionCount }, (_, partition) => ({ partition, offset: this.#context.from?.get(partition) ?? 0, metadata: '' }));
  }

  start(): void {
    for (let partition = 0; partition < this.partitionCount; partition++) {
      this.#pump(partition).catch((error) => {
        this.#isClosed = true;
        this.#context.fail(error);
      });
    }
  }

  /** Keeps nothing: a new start reads from the beginning, unless it is given `from`. */
  async commit(): Promise<void> {}

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  async #pump(partition: number): Promise<void> {
    const context = this.#context;
    const step = this.partitionCount;
    const total = Math.max(0, Math.ceil((this.#rows.length - partition) / step));
    context.high(partition, total);
    for (let at = context.from?.get(partition) ?? 0; at < total; ) {
      if (this.#isClosed || context.signal.aborted) return;
      const first = at;
      const cut = context.cutBehind?.(partition, at) ?? total;
      // Filled and taken in one step, because the partitions share the writer.
      const frames = this.#frames;
      do {
        const number = partition + at * step;
        frames.append(this.#rows[number] as object, number);
        at++;
      } while (at < total && at !== cut && !frames.isFull);
      let hasCredit = true;
      frames.take((bytes) => {
        hasCredit = context.emit(partition, bytes, first, at);
      });
      if (hasCredit) await nextTurn();
      else await context.credit(partition);
    }
    context.end(partition);
  }
}
