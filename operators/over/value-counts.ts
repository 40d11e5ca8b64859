/**
 * How often each value is there, by key: the multisets behind countDistinct. One table for all keys of a shard,
 * of (key, value) to a number, in arrays. Open addressing under a secret hash from the start: its order is in no
 * output.
 */

import { mix32, newSecret } from '../../core/index.ts';

const CAPACITY_MIN = 64;
const COUNT_MAX = 2 ** 32 - 1;

export class ValueCounts {
  readonly #secret = newSecret();
  #keys = new Uint32Array(CAPACITY_MIN);
  #low = new Uint32Array(CAPACITY_MIN);
  #high = new Uint32Array(CAPACITY_MIN);
  /** 0: the place is free. */
  #counts = new Uint32Array(CAPACITY_MIN);
  #size = 0;

  get bytes(): number {
    return this.#counts.length * 16;
  }

  /** One more of a value. Returns how many there are now. */
  add(key: number, low: number, high: number): number {
    let at = this.#find(key, low, high);
    const count = this.#counts[at] as number;
    if (count === 0) {
      if (++this.#size * 2 > this.#counts.length) {
        this.#grow();
        at = this.#find(key, low, high);
      }
      this.#keys[at] = key;
      this.#low[at] = low;
      this.#high[at] = high;
    }
    // Where nothing leaves, nobody asks how often beyond the first time.
    if (count < COUNT_MAX) this.#counts[at] = count + 1;
    return count + 1;
  }

  /** One less of a value that is there. Returns how many are left. */
  remove(key: number, low: number, high: number): number {
    let hole = this.#find(key, low, high);
    const count = (this.#counts[hole] as number) - 1;
    this.#counts[hole] = count;
    if (count > 0) return count;
    const mask = this.#counts.length - 1;
    for (let at = (hole + 1) & mask; this.#counts[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home(this.#keys[at] as number, this.#low[at] as number, this.#high[at] as number) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.#move(at, hole);
      hole = at;
    }
    this.#counts[hole] = 0;
    this.#size--;
    return 0;
  }

  /** Calls `visit` with each value, in no order. */
  each(visit: (key: number, low: number, high: number) => void): void {
    for (let at = 0; at < this.#counts.length; at++) {
      if (this.#counts[at] !== 0) visit(this.#keys[at] as number, this.#low[at] as number, this.#high[at] as number);
    }
  }

  #find(key: number, low: number, high: number): number {
    const mask = this.#counts.length - 1;
    let at = this.#home(key, low, high) & mask;
    while (this.#counts[at] !== 0 && !(this.#low[at] === low && this.#high[at] === high && this.#keys[at] === key)) at = (at + 1) & mask;
    return at;
  }

  #home(key: number, low: number, high: number): number {
    return mix32(mix32(mix32(this.#secret ^ low) ^ high) ^ key);
  }

  #move(from: number, to: number): void {
    this.#keys[to] = this.#keys[from] as number;
    this.#low[to] = this.#low[from] as number;
    this.#high[to] = this.#high[from] as number;
    this.#counts[to] = this.#counts[from] as number;
  }

  #grow(): void {
    const [keys, lows, highs, counts] = [this.#keys, this.#low, this.#high, this.#counts];
    const length = counts.length * 2;
    this.#keys = new Uint32Array(length);
    this.#low = new Uint32Array(length);
    this.#high = new Uint32Array(length);
    this.#counts = new Uint32Array(length);
    for (let i = 0; i < counts.length; i++) {
      if (counts[i] === 0) continue;
      const at = this.#find(keys[i] as number, lows[i] as number, highs[i] as number);
      this.#keys[at] = keys[i] as number;
      this.#low[at] = lows[i] as number;
      this.#high[at] = highs[i] as number;
      this.#counts[at] = counts[i] as number;
    }
  }
}
