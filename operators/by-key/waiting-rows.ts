/**
 * Rows of a shard that wait until the watermark has passed them, and then come in the order of event time: the
 * piece behind sorted(), process() with order: 'eventTime', and joins as of an event time.
 *
 * Rows of one time come in the order of their inputs' ranks, then of (source, partition), then as they arrived:
 * within a partition that is the order of offsets. Nothing of this depends on where epochs are cut. Rows that
 * come from an operator by key have its number and their shard in place of source and partition.
 *
 * A row is a record in pages (row-image.ts) and 37 bytes beside it, and 8 where it keeps its offset. A heap of numbers of rows is the order:
 * O(log n) per row.
 */

import { type Batch, BatchBuilder, type Column, type PagePool, type Schema, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import { recordPages } from './record-pages.ts';
import { RowImage } from './row-image.ts';

/** One stream of such rows. */
export interface WaitingInput {
  readonly schema: Schema;
  /** Positions of the columns that are kept, ascending. */
  readonly columns: readonly number[];
  /** Place of its rows among those of one time: 0 comes first. */
  readonly rank: number;
}

/** Where rows come from. */
export interface RowOrigin {
  readonly source: number;
  readonly partition: number;
  /** Where a row of the batch was read; undefined: unknown. Default: nobody knows. */
  offsetOf?(row: number): number | undefined;
}

/** Where a row was read. */
export interface RowPlace {
  readonly source: number;
  readonly partition: number;
  readonly offset: number;
}

/** A row that waits, as a value that structured clone can copy. */
export interface WaitingRow {
  readonly input: number;
  readonly time: number;
  readonly source: number;
  readonly partition: number;
  /** Where it was read, as far as that is known and kept. */
  readonly offset?: number;
  /** A record, as row-image.ts has it. */
  readonly values: Uint8Array;
}

/** Rows that no longer wait, in their order. Valid during the visit. */
export interface TakenRows {
  readonly count: number;
  /** By place in the order. */
  readonly times: Float64Array;
  readonly inputs: Uint8Array;
  /** Number of the row in the batch of its input. */
  readonly rows: Uint32Array;
  /** By input. */
  readonly batches: readonly (Batch | undefined)[];
  /** Where a row was read, by its place in the order; undefined: unknown. */
  placeOf(at: number): RowPlace | undefined;
}

const ROWS_MIN = 64;
/** Rows that are taken at once. */
const TAKEN_MAX = 1_024;
const PARTITIONS = 2 ** 32;
const SOURCES = 2 ** 16;

interface InputRows {
  readonly schema: Schema;
  readonly columns: readonly number[];
  readonly rank: number;
  readonly image: RowImage;
  readonly picked: Column[];
}

export class WaitingRows {
  readonly #slabs: SlabAllocator;
  readonly #memory: SharedMemory;
  readonly #inputs: readonly InputRows[];
  readonly #pages: PagePool;
  /** By row. */
  #times = new Float64Array(ROWS_MIN);
  /** Rank, source and partition in one number. */
  #origins = new Float64Array(ROWS_MIN);
  #sequences = new Float64Array(ROWS_MIN);
  #records = new Uint32Array(ROWS_MIN);
  #page = new Uint32Array(ROWS_MIN);
  #input = new Uint8Array(ROWS_MIN);
  /** NaN: unknown. Undefined: nobody asks. */
  #offsets: Float64Array<ArrayBuffer> | undefined;
  /** Numbers of rows: a heap by (time, origin, sequence). */
  #heap = new Uint32Array(ROWS_MIN);
  readonly #free: number[] = [];
  #used = 0;
  #sequence = 0;
  size = 0;

  /** @param keepsOffsets rows keep where they were read */
  constructor(slabs: SlabAllocator, inputs: readonly WaitingInput[], keepsOffsets = false) {
    if (keepsOffsets) this.#offsets = new Float64Array(ROWS_MIN);
    this.#slabs = slabs;
    this.#memory = slabs.memory;
    this.#inputs = inputs.map(({ schema, columns, rank }) => {
      const types = columns.map((c) => schema.field(c).type);
      return { schema, columns, rank, image: new RowImage(slabs.memory, types), picked: [] };
    });
    this.#pages = recordPages(slabs);
  }

  get bytes(): number {
    return this.#pages.bytes + this.#times.length * (this.#offsets === undefined ? 37 : 45);
  }

  /** The least time of all rows; +Infinity without rows. */
  get firstTime(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : (this.#times[this.#heap[0] as number] as number);
  }

  /** Adds a row of a batch of an input. */
  add(batch: Batch, row: number, input: number, time: number, origin: RowOrigin): void {
    const { columns, image, picked, rank } = this.#inputs[input] as InputRows;
    for (let i = 0; i < columns.length; i++) picked[i] = batch.column(columns[i] as number);
    const record = this.#pages.take(image.size(picked, row));
    image.write(picked, row, record);
    const offset = this.#offsets === undefined ? Number.NaN : (origin.offsetOf?.(row) ?? Number.NaN);
    this.#push(input, time, originOf(rank, origin.source, origin.partition), record, offset);
  }

  /**
   * Takes out the rows whose time is before `until`, and calls `visit` with them in their order, some at a
   * time.
   */
  each(until: number, visit: (taken: TakenRows) => void): void {
    while (this.firstTime < until) this.#take(until, visit);
  }

  /** The rows, in their order, for {@link restore}. */
  snapshot(): WaitingRow[] {
    return this.#inOrder().map((id): WaitingRow => {
      const input = this.#input[id] as number;
      const record = this.#records[id] as number;
      const offset = this.#offsets?.[id] ?? Number.NaN;
      return {
        input,
        time: this.#times[id] as number,
        ...placeIn(this.#origins[id] as number),
        ...(Number.isNaN(offset) ? {} : { offset }),
        values: this.#memory.u8.slice(record, record + (this.#inputs[input] as InputRows).image.recordBytes(record)),
      };
    });
  }

  restore(rows: readonly WaitingRow[]): void {
    for (const { input, time, source, partition, offset, values } of rows) {
      const record = this.#pages.take(values.length);
      this.#memory.u8.set(values, record);
      this.#push(input, time, originOf((this.#inputs[input] as InputRows).rank, source, partition), record, offset ?? Number.NaN);
    }
  }

  /** Calls `visit` with each row, in their order; the batch has this row only and is valid during the call. */
  *look(): Generator<{ readonly input: number; readonly time: number; readonly batch: Batch }> {
    const builders = this.#inputs.map(({ schema }) => new BatchBuilder(this.#slabs, schema, 1));
    try {
      for (const id of this.#inOrder()) {
        const input = this.#input[id] as number;
        const { image, columns } = this.#inputs[input] as InputRows;
        const builder = builders[input] as BatchBuilder;
        builder.reset();
        image.read(this.#records[id] as number, builder, columns, 0);
        yield { input, time: this.#times[id] as number, batch: builder.finish(1) };
      }
    } finally {
      for (const builder of builders) builder.release();
    }
  }

  release(): void {
    this.#pages.release();
  }

  #take(until: number, visit: (taken: TakenRows) => void): void {
    const ids: number[] = [];
    const counts = this.#inputs.map(() => 0);
    while (ids.length < TAKEN_MAX && this.firstTime < until) {
      const id = this.#pop();
      ids.push(id);
      const input = this.#input[id] as number;
      counts[input] = (counts[input] as number) + 1;
    }
    const times = new Float64Array(ids.length);
    const inputs = new Uint8Array(ids.length);
    const rows = new Uint32Array(ids.length);
    const builders = counts.map((count, input) => (count === 0 ? undefined : new BatchBuilder(this.#slabs, (this.#inputs[input] as InputRows).schema, count)));
    ids.forEach((id, at) => {
      const input = this.#input[id] as number;
      const { image, columns } = this.#inputs[input] as InputRows;
      const builder = builders[input] as BatchBuilder;
      times[at] = this.#times[id] as number;
      inputs[at] = input;
      rows[at] = builder.rowCount;
      image.read(this.#records[id] as number, builder, columns, builder.rowCount++);
      this.#pages.drop(this.#page[id] as number);
      this.#free.push(id);
    });
    try {
      visit({
        count: ids.length,
        times,
        inputs,
        rows,
        batches: builders.map((builder) => builder?.finish()),
        placeOf: (at) => {
          const id = ids[at] as number;
          const offset = this.#offsets?.[id] ?? Number.NaN;
          return Number.isNaN(offset) ? undefined : { ...placeIn(this.#origins[id] as number), offset };
        },
      });
    } finally {
      for (const builder of builders) builder?.release();
    }
  }

  #push(input: number, time: number, origin: number, record: number, offset: number): void {
    const id = this.#free.pop() ?? this.#used++;
    if (id === this.#times.length) this.#grow();
    this.#times[id] = time;
    this.#origins[id] = origin;
    this.#sequences[id] = this.#sequence++;
    this.#records[id] = record;
    this.#page[id] = this.#pages.page;
    this.#input[id] = input;
    if (this.#offsets !== undefined) this.#offsets[id] = offset;
    const heap = this.#heap;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!this.#isBefore(id, heap[parent] as number)) break;
      heap[at] = heap[parent] as number;
      at = parent;
    }
    heap[at] = id;
  }

  #pop(): number {
    const heap = this.#heap;
    const first = heap[0] as number;
    const last = heap[--this.size] as number;
    const { size } = this;
    let at = 0;
    for (let child = 1; child < size; child = at * 2 + 1) {
      if (child + 1 < size && this.#isBefore(heap[child + 1] as number, heap[child] as number)) child++;
      if (!this.#isBefore(heap[child] as number, last)) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  #isBefore(a: number, b: number): boolean {
    const byTime = (this.#times[a] as number) - (this.#times[b] as number);
    if (byTime !== 0) return byTime < 0;
    const byOrigin = (this.#origins[a] as number) - (this.#origins[b] as number);
    return byOrigin === 0 ? (this.#sequences[a] as number) < (this.#sequences[b] as number) : byOrigin < 0;
  }

  #inOrder(): number[] {
    return [...this.#heap.subarray(0, this.size)].sort((a, b) => (this.#isBefore(a, b) ? -1 : 1));
  }

  #grow(): void {
    const length = this.#times.length * 2;
    this.#times = grown(this.#times, new Float64Array(length));
    this.#origins = grown(this.#origins, new Float64Array(length));
    this.#sequences = grown(this.#sequences, new Float64Array(length));
    this.#records = grown(this.#records, new Uint32Array(length));
    this.#page = grown(this.#page, new Uint32Array(length));
    this.#input = grown(this.#input, new Uint8Array(length));
    this.#heap = grown(this.#heap, new Uint32Array(length));
    if (this.#offsets !== undefined) this.#offsets = grown(this.#offsets, new Float64Array(length));
  }
}

/** Greater for what comes later among rows of one time. Exact: less than 2^53. */
function originOf(rank: number, source: number, partition: number): number {
  return (rank * SOURCES + source) * PARTITIONS + partition;
}

function placeIn(origin: number): Pick<RowPlace, 'source' | 'partition'> {
  return { source: Math.floor(origin / PARTITIONS) % SOURCES, partition: origin % PARTITIONS };
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
