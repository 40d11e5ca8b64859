/**
 * Rows that wait for the watermark: records in pages, and their order by event time. Rows of the same time come
 * in the order of their sources and partitions, and of those in the order in which they came.
 *
 * The rows of an epoch are sorted by merging the runs that are in order already, and go among those that waited
 * before: O(1) per row of a stream in order. Arrays by row number, no object per row.
 */

import type { Column, PagePool, SharedMemory, SlabAllocator } from '../../core/index.ts';
import { type RowImage, recordPages } from '../by-key/index.ts';

const ROWS_MIN = 64;

export class HeldRows {
  /** By row. Do not keep these beyond the call: adding rows may replace them. */
  times = new Float64Array(ROWS_MIN);
  /** The source and the partition, as one number. */
  ranks = new Float64Array(ROWS_MIN);
  hashes = new Uint32Array(ROWS_MIN);
  /** Address of the row's record. */
  records = new Uint32Array(ROWS_MIN);
  /** 1: it came out before a restart. */
  isOut = new Uint8Array(ROWS_MIN);
  #page = new Uint32Array(ROWS_MIN);
  readonly #memory: SharedMemory;
  readonly #image: RowImage;
  readonly #pages: PagePool;
  readonly #free: number[] = [];
  #used = 0;
  /** Rows in order, from #start to #end. */
  #order = new Uint32Array(ROWS_MIN);
  #start = 0;
  #end = 0;
  /** Rows since the last call of `settle`, in the order in which they came. */
  #fresh = new Uint32Array(ROWS_MIN);
  #freshCount = 0;
  #scratch = new Uint32Array(ROWS_MIN);

  constructor(slabs: SlabAllocator, image: RowImage) {
    this.#memory = slabs.memory;
    this.#image = image;
    this.#pages = recordPages(slabs);
  }

  get size(): number {
    return this.#end - this.#start + this.#freshCount;
  }

  get bytes(): number {
    return this.#pages.bytes + this.times.length * 29 + (this.#order.length + this.#fresh.length + this.#scratch.length) * 4;
  }

  /** The least time; +Infinity without rows. Valid when they are settled. */
  get firstTime(): number {
    return this.#start === this.#end ? Number.POSITIVE_INFINITY : (this.times[this.#order[this.#start] as number] as number);
  }

  add(columns: readonly Column[], row: number, time: number, rank: number, hash: number, isOut: boolean): void {
    const record = this.#pages.take(this.#image.size(columns, row));
    this.#image.write(columns, row, record);
    this.#insert(record, time, rank, hash, isOut);
  }

  /** Adds a row whose record {@link copyOut} gave. */
  addRecord(bytes: Uint8Array, time: number, rank: number, hash: number, isOut: boolean): void {
    const record = this.#pages.take(bytes.length);
    this.#memory.u8.set(bytes, record);
    this.#insert(record, time, rank, hash, isOut);
  }

  copyOut(id: number): Uint8Array {
    const record = this.records[id] as number;
    return this.#memory.u8.slice(record, record + this.#image.recordBytes(record));
  }

  /** Puts the rows that came into order. */
  settle(): void {
    const count = this.#freshCount;
    if (count === 0) return;
    this.#freshCount = 0;
    this.#sortFresh(count);
    const fresh = this.#fresh;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    if (this.#end + count > this.#order.length) this.#makeRoom(count);
    const order = this.#order;
    // Only what is behind the first of them has to move.
    let from = this.#end;
    while (from > this.#start && this.#isBefore(fresh[0] as number, order[from - 1] as number)) from--;
    const moved = this.#end - from;
    if (moved > 0) {
      if (this.#scratch.length < moved) this.#scratch = new Uint32Array(moved * 2);
      this.#scratch.set(order.subarray(from, this.#end));
    }
    this.#merge(this.#scratch, 0, moved, fresh, 0, count, order, from);
    this.#end += count;
  }

  /** Takes the first row, which must be there, out of the order. `drop` must follow. */
  takeFirst(): number {
    return this.#order[this.#start++] as number;
  }

  /** The row that takeFirst gave is no longer needed. */
  drop(id: number): void {
    this.#pages.drop(this.#page[id] as number);
    this.#free.push(id);
  }

  /** All rows that are settled, in order. */
  inOrder(): Uint32Array {
    return this.#order.slice(this.#start, this.#end);
  }

  release(): void {
    this.#pages.release();
  }

  #insert(record: number, time: number, rank: number, hash: number, isOut: boolean): void {
    const id = this.#free.pop() ?? this.#used++;
    if (id === this.times.length) this.#growRows();
    this.records[id] = record;
    this.#page[id] = this.#pages.page;
    this.times[id] = time;
    this.ranks[id] = rank;
    this.hashes[id] = hash;
    this.isOut[id] = isOut ? 1 : 0;
    if (this.#freshCount === this.#fresh.length) this.#fresh = grown(this.#fresh, new Uint32Array(this.#fresh.length * 2));
    this.#fresh[this.#freshCount++] = id;
  }

  /** Equal ones are not before each other. */
  #isBefore(a: number, b: number): boolean {
    const difference = (this.times[a] as number) - (this.times[b] as number);
    return difference < 0 || (difference === 0 && (this.ranks[a] as number) < (this.ranks[b] as number));
  }

  /** A merge sort that begins with the runs that are there. Stable. */
  #sortFresh(count: number): void {
    let from = this.#fresh;
    const ends: number[] = [];
    for (let i = 1; i < count; i++) if (this.#isBefore(from[i] as number, from[i - 1] as number)) ends.push(i);
    if (ends.length === 0) return;
    ends.push(count);
    let to = new Uint32Array(from.length);
    let runs = ends;
    while (runs.length > 1) {
      const merged: number[] = [];
      let start = 0;
      for (let r = 0; r < runs.length; r += 2) {
        const middle = runs[r] as number;
        const end = runs[r + 1] ?? middle;
        this.#merge(from, start, middle, from, middle, end, to, start);
        merged.push(end);
        start = end;
      }
      [from, to] = [to, from];
      runs = merged;
    }
    this.#fresh = from;
  }

  #merge(a: Uint32Array, aFrom: number, aEnd: number, b: Uint32Array, bFrom: number, bEnd: number, to: Uint32Array, toFrom: number): void {
    let x = aFrom;
    let y = bFrom;
    let at = toFrom;
    while (x < aEnd && y < bEnd) to[at++] = this.#isBefore(b[y] as number, a[x] as number) ? (b[y++] as number) : (a[x++] as number);
    while (x < aEnd) to[at++] = a[x++] as number;
    while (y < bEnd) to[at++] = b[y++] as number;
  }

  #makeRoom(more: number): void {
    const size = this.#end - this.#start;
    const order = size + more > this.#order.length / 2 ? new Uint32Array(2 ** Math.ceil(Math.log2((size + more) * 2))) : this.#order;
    order.set(this.#order.subarray(this.#start, this.#end));
    this.#order = order;
    this.#start = 0;
    this.#end = size;
  }

  #growRows(): void {
    const length = this.times.length * 2;
    this.times = grown(this.times, new Float64Array(length));
    this.ranks = grown(this.ranks, new Float64Array(length));
    this.hashes = grown(this.hashes, new Uint32Array(length));
    this.records = grown(this.records, new Uint32Array(length));
    this.isOut = grown(this.isOut, new Uint8Array(length));
    this.#page = grown(this.#page, new Uint32Array(length));
  }
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
