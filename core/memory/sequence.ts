/**
 * Sequence: a count of processed items, in shared memory, that one thread advances and any thread reads.
 *
 * It is a u32 that wraps: two sequences are compared by their distance, never by size. What is written to
 * memory before `set` is visible to a thread that reads the new value with `get` (Atomics are sequentially
 * consistent). The name and the idea are from the LMAX Disruptor.
 */

import type { SharedMemory } from './shared-memory.ts';

export class Sequence {
  readonly #i32: Int32Array;
  readonly #at: number;

  /** @param address of 4 bytes, a multiple of 4; give each sequence its own cache line (64 bytes) */
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

/** The number of steps from `behind` to `ahead`, across the wrap. Correct as long as it is less than 2^32. */
export function distance(behind: number, ahead: number): number {
  return (ahead - behind) >>> 0;
}
