/**
 * Texts to numbers: each distinct text that a row of `over` is kept with lies in shared memory once, with the
 * number of its uses. A row then has a number in its place. The text goes with its last use.
 *
 *   record   u32 length | bytes
 *
 * Open addressing under a secret hash from the start (core/secret-hash.ts): numbers are in no output, so that
 * nobody sees where texts lie.
 */

import { newSecret, type PagePool, type SharedMemory, type SlabAllocator, secretHashBytes } from '../../core/index.ts';
import { recordPages } from '../by-key/index.ts';

const CAPACITY_MIN = 64;

export class ValueTexts {
  readonly #memory: SharedMemory;
  readonly #pages: PagePool;
  readonly #secret = newSecret();
  /** Number + 1, or 0. */
  #buckets = new Uint32Array(CAPACITY_MIN);
  #hash = new Uint32Array(CAPACITY_MIN / 2);
  #record = new Uint32Array(CAPACITY_MIN / 2);
  #page = new Uint32Array(CAPACITY_MIN / 2);
  #uses = new Uint32Array(CAPACITY_MIN / 2);
  readonly #free: number[] = [];
  #used = 0;
  #size = 0;

  constructor(slabs: SlabAllocator) {
    this.#memory = slabs.memory;
    this.#pages = recordPages(slabs);
  }

  get bytes(): number {
    return this.#pages.bytes + this.#buckets.byteLength + this.#hash.byteLength * 4;
  }

  /** The number of the text at an address, which is used once more. */
  intern(start: number, length: number): number {
    const { u8, u32 } = this.#memory;
    const hash = secretHashBytes(u8, start, length, this.#secret);
    let mask = this.#buckets.length - 1;
    let at = hash & mask;
    for (let id = this.#buckets[at] as number; id !== 0; id = this.#buckets[at] as number) {
      id--;
      if (this.#hash[id] === hash && this.#isSame(id, start, length)) {
        this.#uses[id] = (this.#uses[id] as number) + 1;
        return id;
      }
      at = (at + 1) & mask;
    }
    if (this.#size * 2 >= this.#buckets.length) {
      this.#grow();
      mask = this.#buckets.length - 1;
      at = hash & mask;
      while (this.#buckets[at] !== 0) at = (at + 1) & mask;
    }
    const id = this.#free.pop() ?? this.#used++;
    const record = this.#pages.take(4 + length);
    u32[record >>> 2] = length;
    u8.copyWithin(record + 4, start, start + length);
    this.#buckets[at] = id + 1;
    this.#hash[id] = hash;
    this.#record[id] = record;
    this.#page[id] = this.#pages.page;
    this.#uses[id] = 1;
    this.#size++;
    return id;
  }

  /** The same for bytes that are not in shared memory. */
  internBytes(bytes: Uint8Array): number {
    const { u8 } = this.#memory;
    const at = this.#pages.take(bytes.length);
    const { page } = this.#pages;
    u8.set(bytes, at);
    const id = this.intern(at, bytes.length);
    this.#pages.drop(page);
    return id;
  }

  /** It is used once more. */
  retain(id: number): void {
    this.#uses[id] = (this.#uses[id] as number) + 1;
  }

  /** It is used once less. */
  release(id: number): void {
    const uses = (this.#uses[id] as number) - 1;
    this.#uses[id] = uses;
    if (uses > 0) return;
    const buckets = this.#buckets;
    const mask = buckets.length - 1;
    let hole = (this.#hash[id] as number) & mask;
    while (buckets[hole] !== id + 1) hole = (hole + 1) & mask;
    // Those behind move up, so that no search ends too early.
    for (let at = (hole + 1) & mask; buckets[at] !== 0; at = (at + 1) & mask) {
      const home = (this.#hash[(buckets[at] as number) - 1] as number) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      buckets[hole] = buckets[at] as number;
      hole = at;
    }
    buckets[hole] = 0;
    this.#pages.drop(this.#page[id] as number);
    this.#free.push(id);
    this.#size--;
  }

  /** Where its bytes lie. */
  start(id: number): number {
    return (this.#record[id] as number) + 4;
  }

  length(id: number): number {
    return this.#memory.u32[(this.#record[id] as number) >>> 2] as number;
  }

  /** Negative where `a` is before `b`, by bytes. */
  compare(a: number, b: number): number {
    if (a === b) return 0;
    const { u8 } = this.#memory;
    const [x, y] = [this.start(a), this.start(b)];
    const [m, n] = [this.length(a), this.length(b)];
    for (let i = 0; i < m && i < n; i++) {
      const difference = (u8[x + i] as number) - (u8[y + i] as number);
      if (difference !== 0) return difference;
    }
    return m - n;
  }

  dispose(): void {
    this.#pages.release();
  }

  #isSame(id: number, start: number, length: number): boolean {
    if (this.length(id) !== length) return false;
    const { u8 } = this.#memory;
    const own = this.start(id);
    for (let i = 0; i < length; i++) if (u8[own + i] !== u8[start + i]) return false;
    return true;
  }

  #grow(): void {
    const former = this.#buckets;
    const buckets = new Uint32Array(former.length * 2);
    const mask = buckets.length - 1;
    for (const entry of former) {
      if (entry === 0) continue;
      let at = (this.#hash[entry - 1] as number) & mask;
      while (buckets[at] !== 0) at = (at + 1) & mask;
      buckets[at] = entry;
    }
    this.#buckets = buckets;
    this.#hash = grown(this.#hash);
    this.#record = grown(this.#record);
    this.#page = grown(this.#page);
    this.#uses = grown(this.#uses);
  }
}

function grown(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const twice = new Uint32Array(array.length * 2);
  twice.set(array);
  return twice;
}
