/**
 * HashAggregator: group-by for applications. Columns in, as typed arrays or plain arrays; groups out, as rows
 * or as a Batch.
 *
 * A simple interface to GroupTable for those who use only the kernels. It brings columns to shared memory,
 * keeps the table, and finishes the values (means, nulls). It runs on the calling thread. For streams,
 * windows and threads use a pipeline.
 */

import { assert } from './assert.ts';
import { type Batch, BatchBuilder, type Column } from './batch/index.ts';
import { MillraceError, shown } from './errors.ts';
import { type Accumulator, type AccumulatorName, accumulator, GroupTable, SlotLayout } from './groups/index.ts';
import { createMemory, type SharedMemory, SlabAllocator } from './memory/index.ts';
import { type AnyRow, type DataType, type Field, f64, nullable, Schema, type SchemaFields, schema, type TypeName } from './schema.ts';

const CHUNK_ROWS = 4_096;
/** Address space; unused parts take no memory. */
const MEMORY_BYTES_DEFAULT = 1 << 30;

/**
 * `['count']` of rows, or an aggregate of a column. `['count', column]` counts the values that are not null.
 */
export type AggregateRequestOf<C extends string> = readonly ['count'] | readonly ['count' | 'sum' | 'min' | 'max' | 'mean', C];

export interface HashAggregatorOptions<S extends SchemaFields> {
  /** Types of the input columns. */
  readonly columns: S;
  /** Names of the key columns. Without any, all rows are one group. */
  readonly keyBy: readonly (keyof S & string)[];
  /** Result columns. */
  readonly aggregates: Readonly<Record<string, AggregateRequestOf<keyof S & string>>>;
  /** Number of groups to have room for initially (default 512). The table grows. */
  readonly groupsMin?: number;
  /** Where the table is (default: its own shared memory, 1 GiB of address space). */
  readonly slabs?: SlabAllocator;
}

/** Values of a column: a typed array of the matching kind (the fast way), or values as in a row. */
export type ColumnValues = Int8Array | Int16Array | Int32Array | Uint32Array | BigInt64Array | Float32Array | Float64Array | readonly unknown[];

interface Result {
  readonly name: string;
  readonly accumulator: number;
  /** Index of the count that is 0 where the result is null, and by which a mean is divided; -1: none. */
  readonly counter: number;
  readonly isMean: boolean;
}

/**
 * @example
 * const totals = new HashAggregator({
 *   columns: { page: utf8, ms: f64 },
 *   keyBy: ['page'],
 *   aggregates: { clicks: ['count'], meanMs: ['mean', 'ms'] },
 * });
 * totals.add({ page: ['/', '/about', '/'], ms: Float64Array.of(10, 20, 30) });
 * console.log(totals.get('/')); // { page: '/', clicks: 2, meanMs: 20 }
 * totals.release();
 */
export class HashAggregator<S extends SchemaFields> {
  /** The key columns, then the aggregates in the order written. */
  readonly output: Schema;
  readonly #slabs: SlabAllocator;
  readonly #table: GroupTable;
  readonly #input: Schema;
  readonly #chunk: BatchBuilder;
  readonly #keys: readonly number[];
  readonly #inputs: readonly number[];
  readonly #results: readonly Result[];
  #resultRows: BatchBuilder | undefined;

  /**
   * @throws MillraceError ERR_MILLRACE_PIPELINE when a column is missing or of a type that the aggregate does
   * not take
   */
  constructor({ columns, keyBy, aggregates, groupsMin = 512, slabs = new SlabAllocator(createMemory(MEMORY_BYTES_DEFAULT)) }: HashAggregatorOptions<S>) {
    this.#slabs = slabs;
    const all = schema(columns);
    const requests = Object.entries(aggregates);
    const read = new Set([...keyBy, ...requests.flatMap(([, [, column]]) => (column === undefined ? [] : [column]))]);
    this.#input = all.select([...read], 'HashAggregator');
    this.#keys = keyBy.map((name) => this.#input.require(name, 'keyBy'));
    const accumulators: Accumulator[] = [];
    const inputs: number[] = [];
    const place = (name: AccumulatorName, column: number): number => {
      const known = accumulators.findIndex((other, a) => other.name === name && inputs[a] === column);
      if (known >= 0) return known;
      inputs.push(column);
      return accumulators.push(column < 0 ? accumulator(name) : accumulator(name, this.#input.field(column).type)) - 1;
    };
    const fields: Field[] = this.#keys.map((key) => this.#input.field(key));
    this.#results = requests.map(([name, [kind, of]]) => {
      const column = of === undefined ? -1 : this.#input.require(of, `${kind}()`);
      const isNullable = column >= 0 && this.#input.field(column).type.nullable;
      const placeCount = () => (isNullable ? place('countValid', column) : place('count', -1));
      if (kind === 'count') {
        fields.push({ name, type: f64 });
        return { name, accumulator: placeCount(), counter: -1, isMean: false };
      }
      const isMean = kind === 'mean';
      const at = place(isMean ? 'sum' : kind, column);
      const plain = isMean ? f64 : (accumulators[at] as Accumulator).result;
      fields.push({ name, type: isNullable ? nullable(plain as DataType) : plain });
      return { name, accumulator: at, counter: isNullable || isMean ? placeCount() : -1, isMean };
    });
    this.output = new Schema(fields);
    this.#inputs = inputs;
    this.#table = new GroupTable(
      slabs,
      new SlotLayout(
        this.#keys.map((key) => this.#input.field(key).type),
        accumulators,
      ),
      { capacityMin: groupsMin * 2 },
    );
    this.#chunk = new BatchBuilder(slabs, this.#input, CHUNK_ROWS);
  }

  /** Number of groups so far. */
  get size(): number {
    return this.#table.size;
  }

  /**
   * Adds rows given as columns of the same length. Columns that no key or aggregate reads may be left out.
   * Typed arrays over the aggregator's own shared memory are read in place; others are copied, 4,096 rows at
   * a time.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when a column is missing, too short or holds a value that is
   * not of its type; the chunks before the one at fault are added. ERR_MILLRACE_MEMORY when the memory is
   * used up
   */
  add(columns: { readonly [K in keyof S]?: ColumnValues }): void {
    const values = this.#input.fields.map(({ name }) => {
      const given = Object.hasOwn(columns, name) ? (columns[name] as ColumnValues | undefined) : undefined;
      if (given === undefined)
        throw new MillraceError(
          'ERR_MILLRACE_SCHEMA',
          `add() lacks the column ${shown(name)}. Give all of ${this.#input.fields.map((field) => field.name).join(', ')}.`,
        );
      return given;
    });
    const rowCount = values[0]?.length ?? 0;
    values.forEach((given, c) => {
      if (given.length !== rowCount)
        throw new MillraceError(
          'ERR_MILLRACE_SCHEMA',
          `Column ${shown(this.#input.field(c).name)} has ${given.length} values, column ${shown(this.#input.field(0).name)} ${rowCount}. Give columns of the same length.`,
        );
    });
    for (let from = 0; from < rowCount; from += CHUNK_ROWS) {
      const count = Math.min(CHUNK_ROWS, rowCount - from);
      this.#chunk.reset();
      const chunk = values.map((given, c) => this.#columnOf(given, c, from, count));
      this.#update(chunk, count);
    }
  }

  /** Adds a batch over the same shared memory, in place. Columns are found by name. */
  addBatch(batch: Batch): void {
    assert(batch.memory.buffer === this.#slabs.memory.buffer, 'addBatch takes a batch over the memory of the aggregator: give it the same slabs');
    this.#update(
      this.#input.fields.map(({ name }) => batch.column(batch.schema.require(name, 'HashAggregator'))),
      batch.rowCount,
    );
  }

  /** The result row of a key (its values in the order of `keyBy`), or undefined. */
  get(...key: readonly unknown[]): AnyRow | undefined {
    const slot = this.#table.find(key);
    if (slot === 0) return undefined;
    const list = this.#slabs.alloc(4);
    const out = new BatchBuilder(this.#slabs, this.output, 8);
    try {
      this.#slabs.memory.u32[list >>> 2] = slot;
      this.#read(list, 1, out, 0);
      return out.finish(1).toRows()[0];
    } finally {
      out.release();
      this.#slabs.free(list);
    }
  }

  /**
   * All groups, as columns, in no particular order. Valid until the next call of `result`, `rows` or
   * `release`.
   */
  result(): Batch {
    this.#resultRows?.release();
    const out = new BatchBuilder(this.#slabs, this.output, Math.max(8, this.#table.size));
    this.#resultRows = out;
    this.#table.eachTile((slots, count) => {
      this.#read(slots, count, out, out.rowCount);
      out.rowCount += count;
    });
    return out.finish();
  }

  /** All groups, as objects. */
  rows(): AnyRow[] {
    return this.result().toRows();
  }

  /** Removes all groups. */
  clear(): void {
    this.#table.clear();
  }

  /** Gives the memory back. The aggregator must not be used afterwards. */
  release(): void {
    this.#table.release();
    this.#chunk.release();
    this.#resultRows?.release();
    this.#resultRows = undefined;
  }

  #update(columns: readonly Column[], rowCount: number): void {
    this.#table.update(
      this.#keys.map((key) => columns[key] as Column),
      this.#inputs.map((input) => (input < 0 ? undefined : columns[input])),
      0,
      rowCount,
    );
  }

  #read(slots: number, count: number, out: BatchBuilder, row: number): void {
    const { memory } = this.#slabs;
    this.#keys.forEach((_, k) => {
      this.#table.readKeys(slots, count, k, out, k, row);
    });
    this.#results.forEach(({ accumulator: at, counter, isMean }, r) => {
      const column = this.#keys.length + r;
      const space = out.columns[column] as BatchBuilder['columns'][number];
      this.#table.readValues(slots, count, at, out, column, row, space.type.nullable ? counter : -1);
      if (!isMean) return;
      const counts = this.#slabs.alloc(count * 8);
      this.#table.gatherF64(slots, count, counter, counts);
      divide(memory.f64, (space.data >>> 3) + row, counts >>> 3, count);
      this.#slabs.free(counts);
    });
  }

  /** The column of a chunk: in place, or copied to the chunk's builder. */
  #columnOf(values: ColumnValues, c: number, from: number, count: number): Column {
    const { memory } = this.#slabs;
    const { type } = this.#input.field(c);
    const space = this.#chunk.columns[c] as BatchBuilder['columns'][number];
    const Kind = TYPED_ARRAYS.get(type.name);
    if (Kind !== undefined && values instanceof Kind) {
      const { buffer, byteOffset } = values as Float64Array;
      const start = byteOffset + from * type.width;
      if ((buffer as unknown) === memory.buffer) return { type, data: start, offsets: 0, validity: 0 };
      memory.u8.set(new Uint8Array(buffer, start, count * type.width), space.data);
      return { type, data: space.data, offsets: 0, validity: 0 };
    }
    for (let i = 0; i < count; i++) this.#chunk.setValue(c, i, values[from + i]);
    return { type, data: space.data, offsets: space.offsets, validity: space.validity };
  }
}

const TYPED_ARRAYS: ReadonlyMap<TypeName, new (length: number) => ArrayBufferView> = new Map<TypeName, new (length: number) => ArrayBufferView>([
  ['i8', Int8Array],
  ['i16', Int16Array],
  ['i32', Int32Array],
  ['u32', Uint32Array],
  ['i64', BigInt64Array],
  ['timestamp', BigInt64Array],
  ['f32', Float32Array],
  ['f64', Float64Array],
]);

function divide(f64s: SharedMemory['f64'], values: number, by: number, count: number): void {
  for (let i = 0; i < count; i++) f64s[values + i] = (f64s[values + i] as number) / (f64s[by + i] as number);
}
