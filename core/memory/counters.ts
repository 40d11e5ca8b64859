/**
 * Counters: named cumulative counts in shared memory, one region per worker, readable from any thread at any
 * time.
 *
 * A count has 64 bits and is changed and read with 64-bit Atomics, so a reader never sees half of one. That
 * makes a BigInt per call: count per batch, never per row. A region takes whole cache lines, so that workers
 * do not share them. Adding up the workers' counts is up to the reader.
 */

import { assert } from '../assert.ts';
import type { SharedMemory } from './shared-memory.ts';

/**
 * @example
 * const names = ['rowsIn', 'rowsLate'] as const;
 * const memory = attachMemory(new SharedArrayBuffer(Counters.bytesFor(names)));
 * const counters = Counters.create(memory, 0, names);
 * counters.add('rowsIn', 4096);
 * counters.get('rowsIn'); // 4096, also in another thread: Counters.attach(memory, 0, names)
 */
export class Counters<N extends string = string> {
  readonly names: readonly N[];
  readonly address: number;
  readonly #i64: BigInt64Array;
  readonly #places: ReadonlyMap<string, number>;

  private constructor(memory: SharedMemory, address: number, names: readonly N[]) {
    assert(address % 64 === 0 && address >= 0 && address + Counters.bytesFor(names) <= memory.byteLength, `no counters can be at ${address}`);
    this.names = names;
    this.address = address;
    this.#i64 = memory.i64;
    this.#places = new Map(names.map((name, i) => [name, (address >>> 3) + i]));
    assert(this.#places.size === names.length, 'two counters of one name');
  }

  /** Bytes of a region: whole cache lines. */
  static bytesFor(names: readonly string[]): number {
    return Math.max(1, Math.ceil(names.length / 8)) * 64;
  }

  /** A region with all counts at 0. */
  static create<N extends string>(memory: SharedMemory, address: number, names: readonly N[]): Counters<N> {
    const counters = new Counters(memory, address, names);
    memory.u8.fill(0, address, address + Counters.bytesFor(names));
    return counters;
  }

  /** The region that another thread made with the same names. */
  static attach<N extends string>(memory: SharedMemory, address: number, names: readonly N[]): Counters<N> {
    return new Counters(memory, address, names);
  }

  /** Adds a whole number. Any thread may. */
  add(name: N, count: number): void {
    if (count !== 0) Atomics.add(this.#i64, this.#place(name), BigInt(count));
  }

  /** Sets a gauge: a value that is not a sum. */
  set(name: N, value: number): void {
    Atomics.store(this.#i64, this.#place(name), BigInt(value));
  }

  /** The current count, exact up to 2^53. */
  get(name: N): number {
    return Number(Atomics.load(this.#i64, this.#place(name)));
  }

  /**
   * All counts, by name in order. Each is exact; together they are not a consistent snapshot while others
   * add.
   */
  snapshot(): Map<N, number> {
    return new Map(this.names.map((name) => [name, this.get(name)]));
  }

  #place(name: N): number {
    const place = this.#places.get(name);
    assert(place !== undefined, `no counter ${name}`);
    return place;
  }
}

/** The sum over regions (workers), by name in order. */
export function sumCounters<N extends string>(regions: readonly Counters<N>[]): Map<N, number> {
  const sums = new Map<N, number>();
  for (const region of regions) for (const [name, count] of region.snapshot()) sums.set(name, (sums.get(name) ?? 0) + count);
  return sums;
}
