/**
 * Keys to small numbers: each distinct key of a shard has an id as long as something is held for it, and
 * arrays by id hold its data. Ids of keys that are gone are reused.
 *
 * Open addressing over ids, at most half full. The key's bytes (a canonical record of row-image.ts) are
 * compared where hashes are equal. Where keys were chosen to collide, so that a search passes many ids,
 * buckets go by a secret hash of those bytes from then on (core/secret-hash.ts). Ids, and so the order of all
 * output, stay the same. NaN equals NaN, -0 equals 0, null equals null; for SQL's null see {@link
 * KeyIndex.isNull}.
 */

import {
  type BatchBuilder,
  type Column,
  type DataType,
  newSecret,
  type PagePool,
  type SharedMemory,
  type SlabAllocator,
  secretHashBytes,
} from '../../core/index.ts';
import { recordPages } from './record-pages.ts';
import { RowImage, sameBytes } from './row-image.ts';

const CAPACITY_MIN = 64;
/** Buckets go by a secret once a search passes this many ids. It never happens by chance. */
const STEPS_MAX = 192;

export class KeyIndex {
  readonly #memory: SharedMemory;
  readonly #image: RowImage;
  readonly #pages: PagePool;
  /** Where the key of a row is written for comparison. */
  readonly #slabs: SlabAllocator;
  #scratch: number;
  #scratchBytes: number;
  /** id + 1, or 0. */
  #buckets = new Uint32Array(CAPACITY_MIN);
  #hash = new Uint32Array(CAPACITY_MIN / 2);
  #record = new Uint32Array(CAPACITY_MIN / 2);
  #recordBytes = new Uint32Array(CAPACITY_MIN / 2);
  #page = new Uint32Array(CAPACITY_MIN / 2);
  #free: number[] = [];
  #used = 0;
  /** 0: buckets go by the hash of keys. */
  #secret = 0;
  /** Keys held. */
  size = 0;

  constructor(slabs: SlabAllocator, types: readonly DataType[]) {
    this.#slabs = slabs;
    this.#memory = slabs.memory;
    this.#image = new RowImage(slabs.memory, types, true);
    this.#pages = recordPages(slabs);
    this.#scratchBytes = 0;
    this.#scratch = 0;
  }

  /** Ids are below this; arrays by id need this length. */
  get idLimit(): number {
    return this.#hash.length;
  }

  /** One more than the greatest id ever given. */
  get idsUsed(): number {
    return this.#used;
  }

  get bytes(): number {
    return this.#pages.bytes + this.#buckets.byteLength + this.#hash.byteLength * 4;
  }

  /**
   * The id of the key of a row; a new one where the key is not held. `hash` is that of hashKeys for the row.
   */
  intern(columns: readonly Column[], row: number, hash: number): number {
    const bytes = this.#image.size(columns, row);
    if (bytes > this.#scratchBytes) this.#growScratch(bytes);
    this.#image.write(columns, row, this.#scratch);
    return this.#place(bytes, hash);
  }

  /** The same for a key that {@link copyOut} gave, possibly in another process. */
  internRecord(record: Uint8Array, hash: number): number {
    if (record.length > this.#scratchBytes) this.#growScratch(record.length);
    this.#memory.u8.set(record, this.#scratch);
    return this.#place(record.length, hash);
  }

  /** A copy of the key's bytes. */
  copyOut(id: number): Uint8Array {
    const record = this.#record[id] as number;
    return this.#memory.u8.slice(record, record + (this.#recordBytes[id] as number));
  }

  hashOf(id: number): number {
    return this.#hash[id] as number;
  }

  /** The id of the key whose bytes are in the scratch. */
  #place(bytes: number, hash: number): number {
    const scratch = this.#scratch;
    const memory = this.#memory;
    const mask = this.#buckets.length - 1;
    let at = (this.#secret === 0 ? spread(hash) : secretHashBytes(memory.u8, scratch, bytes, this.#secret)) & mask;
    let steps = 0;
    for (let id = this.#buckets[at] as number; id !== 0; id = this.#buckets[at] as number) {
      id--;
      if (this.#hash[id] === hash && this.#recordBytes[id] === bytes && sameBytes(memory, this.#record[id] as number, scratch, bytes)) return id;
      if (++steps === STEPS_MAX && this.#secret === 0) {
        this.#secret = newSecret();
        this.#fillBuckets(this.#buckets.length);
        return this.#place(bytes, hash);
      }
      at = (at + 1) & mask;
    }
    if (this.size * 2 >= this.#buckets.length) {
      this.#grow();
      return this.#place(bytes, hash);
    }
    const id = this.#free.pop() ?? this.#used++;
    const record = this.#pages.take(bytes);
    memory.u8.copyWithin(record, scratch, scratch + bytes);
    this.#buckets[at] = id + 1;
    this.#hash[id] = hash;
    this.#record[id] = record;
    this.#recordBytes[id] = bytes;
    this.#page[id] = this.#pages.page;
    this.size++;
    return id;
  }

  /** Nothing is held for the key any longer. */
  remove(id: number): void {
    const buckets = this.#buckets;
    const mask = buckets.length - 1;
    let hole = this.#home(id) & mask;
    while (buckets[hole] !== id + 1) hole = (hole + 1) & mask;
    // Those behind move up, so that no search ends too early.
    for (let at = (hole + 1) & mask; buckets[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home((buckets[at] as number) - 1) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      buckets[hole] = buckets[at] as number;
      hole = at;
    }
    buckets[hole] = 0;
    this.#pages.drop(this.#page[id] as number);
    this.#free.push(id);
    this.size--;
  }

  /** Appends the key to a row of a builder, in columns `to`. */
  read(id: number, out: BatchBuilder, to: readonly number[], row: number): void {
    this.#image.read(this.#record[id] as number, out, to, row);
  }

  /** Whether a column of the key is null. */
  isNull(id: number): boolean {
    return this.#image.hasNull(this.#record[id] as number);
  }

  release(): void {
    this.#pages.release();
    if (this.#scratch !== 0) this.#slabs.free(this.#scratch);
    this.#scratch = 0;
    this.#scratchBytes = 0;
  }

  /** Of the key of an id. */
  #home(id: number): number {
    if (this.#secret === 0) return spread(this.#hash[id] as number);
    return secretHashBytes(this.#memory.u8, this.#record[id] as number, this.#recordBytes[id] as number, this.#secret);
  }

  /** Puts all ids into the given number of buckets. */
  #fillBuckets(count: number): void {
    const former = this.#buckets;
    const buckets = new Uint32Array(count);
    const mask = count - 1;
    for (const entry of former) {
      if (entry === 0) continue;
      let at = this.#home(entry - 1) & mask;
      while (buckets[at] !== 0) at = (at + 1) & mask;
      buckets[at] = entry;
    }
    this.#buckets = buckets;
  }

  #grow(): void {
    this.#fillBuckets(this.#buckets.length * 2);
    this.#hash = grown(this.#hash);
    this.#record = grown(this.#record);
    this.#recordBytes = grown(this.#recordBytes);
    this.#page = grown(this.#page);
  }

  #growScratch(bytes: number): void {
    if (this.#scratch !== 0) this.#slabs.free(this.#scratch);
    this.#scratch = this.#slabs.alloc(bytes);
    this.#scratchBytes = this.#slabs.slabBytes(this.#scratch);
  }
}

// The top bits of a hash choose the shard: they are the same for all keys here.
function spread(hash: number): number {
  return (hash ^ (hash >>> 15)) >>> 0;
}

function grown(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const twice = new Uint32Array(array.length * 2);
  twice.set(array);
  return twice;
}
