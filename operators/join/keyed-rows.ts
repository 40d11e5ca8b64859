/**
 * The rows that one side of a join holds: records in pages, and for each key a list of its rows in the order
 * of their times.
 *
 * Arrays by row number, no object per row: 41 bytes beside the record. Rows that come in the order of their
 * times go to the end of their list; a late one walks back from there. A search starts at the end of the list
 * that is nearer in time, so a stream that is ahead of the other does not slow it down.
 */

import type { Column, DataType, PagePool, SharedMemory, SlabAllocator } from '../../core/index.ts';
import { RowImage, recordPages, TimeHeap } from '../by-key/index.ts';

/** No row. */
export const NONE = -1;
const ROWS_MIN = 64;

export class KeyedRows {
  readonly image: RowImage;
  /** By row. Do not keep these beyond the work on a batch: adding rows may replace them. */
  times = new Float64Array(ROWS_MIN);
  /** Address of the row's record. */
  records = new Uint32Array(ROWS_MIN);
  keys = new Uint32Array(ROWS_MIN);
  /** Order of arrival. */
  sequences = new Float64Array(ROWS_MIN);
  /** The fate of the row, as the join defines it; 0: nothing yet. */
  matched = new Uint8Array(ROWS_MIN);
  next = new Int32Array(ROWS_MIN);
  #previous = new Int32Array(ROWS_MIN);
  #page = new Uint32Array(ROWS_MIN);
  /** By key: first and last row. */
  #head = new Int32Array(0);
  #tail = new Int32Array(0);
  readonly #memory: SharedMemory;
  readonly #pages: PagePool;
  readonly #byTime = new TimeHeap();
  #free: number[] = [];
  #used = 0;
  size = 0;

  constructor(slabs: SlabAllocator, types: readonly DataType[]) {
    this.#memory = slabs.memory;
    this.image = new RowImage(slabs.memory, types);
    this.#pages = recordPages(slabs);
  }

  get bytes(): number {
    return this.#pages.bytes + this.times.length * 41 + this.#head.length * 8 + this.#byTime.bytes;
  }

  /** Keys from 0 to `limit` may be used from now on. */
  reserveKeys(limit: number): void {
    const former = this.#head.length;
    if (limit <= former) return;
    this.#head = grown(this.#head, new Int32Array(limit).fill(NONE));
    this.#tail = grown(this.#tail, new Int32Array(limit).fill(NONE));
  }

  /** Adds a row of a batch; `columns` are those of the image. Returns its number. */
  add(key: number, time: number, sequence: number, columns: readonly Column[], row: number): number {
    const record = this.#pages.take(this.image.size(columns, row));
    this.image.write(columns, row, record);
    return this.#insert(key, time, sequence, record);
  }

  /** Adds a row whose record {@link copyOut} gave. */
  addRecord(key: number, time: number, sequence: number, bytes: Uint8Array): number {
    const record = this.#pages.take(bytes.length);
    this.#memory.u8.set(bytes, record);
    return this.#insert(key, time, sequence, record);
  }

  /** A copy of a row's record. */
  copyOut(id: number): Uint8Array {
    const record = this.records[id] as number;
    return this.#memory.u8.slice(record, record + this.image.recordBytes(record));
  }

  #insert(key: number, time: number, sequence: number, record: number): number {
    const id = this.#free.pop() ?? this.#used++;
    if (id === this.times.length) this.#grow();
    this.records[id] = record;
    this.#page[id] = this.#pages.page;
    this.times[id] = time;
    this.keys[id] = key;
    this.sequences[id] = sequence;
    this.matched[id] = 0;
    this.#byTime.push(time, sequence, id);
    let before = this.#tail[key] as number;
    while (before !== NONE && (this.times[before] as number) > time) before = this.#previous[before] as number;
    const behind = before === NONE ? (this.#head[key] as number) : (this.next[before] as number);
    this.#previous[id] = before;
    this.next[id] = behind;
    if (before === NONE) this.#head[key] = id;
    else this.next[before] = id;
    if (behind === NONE) this.#tail[key] = id;
    else this.#previous[behind] = id;
    this.size++;
    return id;
  }

  /** The first row of a key at or after a time, or NONE; the others follow by `next`. */
  firstFrom(key: number, time: number): number {
    const { times, next } = this;
    let at = this.#tail[key] as number;
    if (at === NONE || (times[at] as number) < time) return NONE;
    const head = this.#head[key] as number;
    if ((times[at] as number) - time >= time - (times[head] as number)) {
      at = head;
      while ((times[at] as number) < time) at = next[at] as number;
      return at;
    }
    const previous = this.#previous;
    for (let before = previous[at] as number; before !== NONE && (times[before] as number) >= time; before = previous[at] as number) at = before;
    return at;
  }

  isEmpty(key: number): boolean {
    return this.#head[key] === NONE;
  }

  /** The first row of a key, or NONE. */
  first(key: number): number {
    return this.#head[key] as number;
  }

  /** The least time of all rows; +Infinity without rows. */
  get firstTime(): number {
    return this.#byTime.firstTime;
  }

  /**
   * Takes the row of the least time (of equal ones the earliest) out of the order of times; {@link drop} must
   * follow.
   */
  popFirst(): number {
    return this.#byTime.pop();
  }

  /** Drops a row that popFirst gave. */
  drop(id: number): void {
    const key = this.keys[id] as number;
    const before = this.#previous[id] as number;
    const behind = this.next[id] as number;
    if (before === NONE) this.#head[key] = behind;
    else this.next[before] = behind;
    if (behind === NONE) this.#tail[key] = before;
    else this.#previous[behind] = before;
    this.#pages.drop(this.#page[id] as number);
    this.#free.push(id);
    this.size--;
  }

  /** All rows, in order of arrival. */
  inOrder(): number[] {
    const isFree = new Set(this.#free);
    const rows = Array.from({ length: this.#used }, (_, id) => id).filter((id) => !isFree.has(id));
    return rows.sort((a, b) => (this.sequences[a] as number) - (this.sequences[b] as number));
  }

  release(): void {
    this.#pages.release();
  }

  #grow(): void {
    const length = this.times.length * 2;
    this.times = grown(this.times, new Float64Array(length));
    this.records = grown(this.records, new Uint32Array(length));
    this.keys = grown(this.keys, new Uint32Array(length));
    this.sequences = grown(this.sequences, new Float64Array(length));
    this.matched = grown(this.matched, new Uint8Array(length));
    this.next = grown(this.next, new Int32Array(length));
    this.#previous = grown(this.#previous, new Int32Array(length));
    this.#page = grown(this.#page, new Uint32Array(length));
  }
}

function grown<T extends Float64Array | Uint32Array | Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
