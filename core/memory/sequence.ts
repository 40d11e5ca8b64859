/**
 * Sequence: a count of things passed, in shared memory, that one thread advances and any thread reads.
 *
 * It is a u32 that wraps: two sequences are compared by their distance, never by size. What is written to
 * memory before `set` is seen by whoever reads the new value with `get` (Atomics are sequentially
 * consistent). The name and the idea are the LMAX Disruptor's.
 */

import type { SharedMemory } from './shared-memory.ts';

export class Sequence {
  readonly #i32: Int32Array;
  readonly #at: number;

  /** @param address of 4 bytes, a multiple of 4; give each sequence a cache line (64 bytes) of its own */
  constructor(memory: SharedMemory, address: number) {
    this.#i32 = memory.i32;
    this.#at = address >>> 2;
  }

  get(): number {
    return Atomics.load(this.#i32, this.#at) >>> 0;
  }

  set(value: number): void {
    Atomics.store(this.#i32, this.#at, value | 0);
  }
}

/**
 * How many steps lead from `behind` to `ahead`, across the wrap: right as long as they are less than 2^32
 * apart.
 */
export function distance(behind: number, ahead: number): number {
  return (ahead - behind) >>> 0;
}
