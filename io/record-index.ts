/**
 * Room for a RecordIndex (codec.ts): the arrays that say where the records of a frame lie, all in one slab.
 *
 * A source's decoder fills it and sets `count`; the codec's decoder reads it. It holds addresses only: the
 * bytes of the records stay where the frame put them. Each decoder has one and reuses it for every frame.
 */

import type { SlabAllocator } from '../core/index.ts';
import type { RecordIndex } from './codec.ts';

/**
 * Which arrays there are. Lines of text have a value and an offset; log records also have keys, timestamps
 * and headers.
 */
export type RecordParts = 'lines' | 'records';

const LINE_BYTES = 4 + 4 + 8;
const RECORD_BYTES = LINE_BYTES + 4 + 4 + 8 + 4;
const ALIGNMENT = 64;

/**
 * A RecordIndex that owns its arrays. Fill records 0 to count - 1 through the addresses, then set `count`.
 * `reserve` moves the arrays, so read the addresses again after it.
 *
 * @example
 * const index = allocRecordIndex(slabs, 4096);
 * memory.u32[(index.values >>> 2) + i] = address;
 * index.count = n;
 */
export class RecordSpace implements RecordIndex {
  readonly parts: RecordParts;
  readonly #slabs: SlabAllocator;
  #slab = 0;
  /** Records that fit: a multiple of 16. */
  capacity = 0;
  count = 0;
  values = 0;
  valueLengths = 0;
  keys = 0;
  keyLengths = 0;
  offsets = 0;
  timestamps = 0;
  headers = 0;
  start = 0;
  header = 0;
  headerBytes = 0;
  topic = '';
  partition = 0;

  constructor(slabs: SlabAllocator, capacity: number, parts: RecordParts) {
    this.parts = parts;
    this.#slabs = slabs;
    this.reserve(capacity);
  }

  /**
   * Makes room for `capacity` records in all and keeps the existing `count`. At least doubles when it grows.
   */
  reserve(capacity: number): void {
    if (capacity <= this.capacity) return;
    const { values, valueLengths, keys, keyLengths, offsets, timestamps, headers, count } = this;
    const old = this.#slab;
    const bytesEach = this.parts === 'lines' ? LINE_BYTES : RECORD_BYTES;
    const room = Math.ceil(Math.max(capacity, this.capacity * 2) / 16) * 16;
    this.#slab = this.#slabs.alloc(room * bytesEach + ALIGNMENT);
    this.capacity = room;
    let at = this.#slab;
    const take = (width: number): number => {
      const place = at;
      at += room * width;
      return place;
    };
    // The eight-byte arrays come first, so that each is aligned: slabs start at multiples of 4096, rooms are
    // multiples of 16.
    this.offsets = take(8);
    if (this.parts === 'records') this.timestamps = take(8);
    this.values = take(4);
    this.valueLengths = take(4);
    if (this.parts === 'records') {
      this.keys = take(4);
      this.keyLengths = take(4);
      this.headers = take(4);
    }
    if (old === 0) return;
    this.#move(this.offsets, offsets, count * 8);
    this.#move(this.timestamps, timestamps, count * 8);
    this.#move(this.values, values, count * 4);
    this.#move(this.valueLengths, valueLengths, count * 4);
    this.#move(this.keys, keys, count * 4);
    this.#move(this.keyLengths, keyLengths, count * 4);
    this.#move(this.headers, headers, count * 4);
    this.#slabs.free(old);
  }

  /** Gives the slab back. The index is empty afterwards. */
  release(): void {
    if (this.#slab !== 0) this.#slabs.free(this.#slab);
    this.#slab = 0;
    this.capacity = 0;
    this.count = 0;
  }

  #move(to: number, from: number, bytes: number): void {
    if (to !== 0) this.#slabs.memory.u8.copyWithin(to, from, from + bytes);
  }
}

/**
 * An empty RecordIndex with room for `capacity` records. `lines` leaves out keys, timestamps and headers
 * (their addresses are 0).
 */
export function allocRecordIndex(slabs: SlabAllocator, capacity: number, parts: RecordParts = 'records'): RecordSpace {
  return new RecordSpace(slabs, capacity, parts);
}
