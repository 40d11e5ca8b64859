/** One record of fixed size for each key, by its number, in one slab that grows. A record that is new is zeros. */

import { copyBytes, fillBytes, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import { NEWEST } from './over-layout.ts';

const KEYS_MIN = 16;

export class KeyRecords {
  readonly #slabs: SlabAllocator;
  readonly #memory: SharedMemory;
  readonly #recordBytes: number;
  #base = 0;
  #capacity = 0;

  constructor(slabs: SlabAllocator, recordBytes: number) {
    this.#slabs = slabs;
    this.#memory = slabs.memory;
    this.#recordBytes = recordBytes;
  }

  get bytes(): number {
    return this.#capacity * this.#recordBytes;
  }

  /** The address of the record of a key that was opened. Valid until the next key is. */
  at(key: number): number {
    return this.#base + key * this.#recordBytes;
  }

  /** Makes an empty record for a key. */
  open(key: number): void {
    if (key >= this.#capacity) this.#grow(key + 1);
    const at = this.at(key);
    fillBytes(this.#memory, at, this.#recordBytes, 0);
    this.#memory.f64[(at + NEWEST) >>> 3] = Number.NEGATIVE_INFINITY;
  }

  release(): void {
    if (this.#base !== 0) this.#slabs.free(this.#base);
    this.#base = 0;
    this.#capacity = 0;
  }

  #grow(keys: number): void {
    const capacity = Math.max(KEYS_MIN, this.#capacity * 2, keys);
    const base = this.#slabs.alloc(capacity * this.#recordBytes);
    if (this.#base !== 0) {
      copyBytes(this.#memory, base, this.#base, this.bytes);
      this.#slabs.free(this.#base);
    }
    this.#base = base;
    this.#capacity = Math.floor(this.#slabs.slabBytes(base) / this.#recordBytes);
  }
}
