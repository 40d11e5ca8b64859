/**
 * Linear counting for one thread. The aggregate `linearCount` does the same over workers and windows, with
 * the same bitmap (core/groups/accumulators/linear-counter.ts).
 */

import { assert } from '../assert.ts';
import { countBits, hash64Bytes, hash64Long, hashLow, linearEstimate, setBit } from '../groups/index.ts';

export interface LinearCounterState {
  readonly words: Uint32Array;
  /** Number of set bits. */
  set: number;
}

/** The approximate number of distinct texts and numbers, from a bitmap. */
export class LinearCounter {
  readonly bits: number;
  readonly state: LinearCounterState;

  /**
   * @param bits a power of two, at least 32
   * @param state continues from what a model of as many bits has learned; it is changed in place
   */
  constructor(bits = 16_384, state?: LinearCounterState) {
    assert(bits >= 32 && Number.isInteger(Math.log2(bits)), `a bitmap of ${bits} bits: it takes a power of two, at least 32`);
    this.bits = bits;
    this.state = state ?? { words: new Uint32Array(bits / 32), set: 0 };
  }

  add(value: string | number): void {
    if (typeof value === 'string') {
      const bytes = Buffer.from(value, 'utf8');
      hash64Bytes(bytes, 0, bytes.length);
    } else {
      NUMBER[0] = value + 0;
      hash64Long(NUMBER_WORDS[0] as number, NUMBER_WORDS[1] as number);
    }
    if (setBit(this.state.words, 0, hashLow & (this.bits - 1))) this.state.set++;
  }

  /** The approximate number of different values; infinite when all bits are set. */
  get estimate(): number {
    return linearEstimate(this.bits, this.state.set);
  }

  merge(other: LinearCounter): void {
    assert(other.bits === this.bits, `a bitmap of ${other.bits} bits merged into one of ${this.bits}`);
    const { words } = this.state;
    for (let w = 0; w < words.length; w++) words[w] = (words[w] as number) | (other.state.words[w] as number);
    this.state.set = countBits(words, 0, words.length);
  }
}

const NUMBER = new Float64Array(1);
const NUMBER_WORDS = new Uint32Array(NUMBER.buffer);
