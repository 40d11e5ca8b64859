/**
 * Small probability models, for row functions and programs: a Gaussian, a Bernoulli rate with its interval, conditional probabilities of items that occur together, the
 * moving average of a time window, exponential smoothing, linear counting. Each learns one observation at a time and merges with another of its kind.
 *
 * They are plain JavaScript for one thread. In a pipeline the aggregates do the counting (mean, variance, ewma, linearCount, ...: operators/aggregates.ts), over workers and windows, and
 * the functions here (normalDensity, zScore, wilsonInterval) read the results in a `.map`.
 */

import { hash64Bytes, hash64Long, hashLow } from './accumulators/hash64.ts';
import { assert } from './assert.ts';

/** The density of the normal distribution at x; of a deviation of 0: infinite at the mean, 0 elsewhere. */
export function normalDensity(x: number, mean: number, deviation: number): number {
  if (deviation === 0) return x === mean ? Number.POSITIVE_INFINITY : 0;
  const z = (x - mean) / deviation;
  return Math.exp(-0.5 * z * z) / (deviation * Math.sqrt(2 * Math.PI));
}

/** How many deviations x lies above the mean; 0 where there is no deviation and x is the mean. */
export function zScore(x: number, mean: number, deviation: number): number {
  return x === mean ? 0 : (x - mean) / deviation;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Where the true rate lies, given `successes` of `trials` (Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927): good for few trials and
 * for rates near 0 and 1, unlike the rate plus or minus its deviation. Without trials: 0 to 1.
 *
 * @param z 1.96 for 95 % (default), 2.576 for 99 %
 */
export function wilsonInterval(successes: number, trials: number, z = 1.959_963_984_540_054): Interval {
  if (trials === 0) return { low: 0, high: 1 };
  const rate = successes / trials;
  const square = (z * z) / trials;
  const center = (rate + square / 2) / (1 + square);
  const half = (z / (1 + square)) * Math.sqrt((rate * (1 - rate)) / trials + square / (4 * trials));
  // At the ends rounding must not leave the rate out.
  return { low: Math.max(0, Math.min(rate, center - half)), high: Math.min(1, Math.max(rate, center + half)) };
}

/**
 * Mean and variance online (Welford, Technometrics 1962; merged as Chan, Golub and LeVeque, 1979), and what a normal distribution of them says of a value.
 *
 * @example
 * const latency = new Gaussian();
 * for (const ms of [10, 12, 11, 9]) latency.add(ms);
 * latency.zScore(25) > 3; // true: an outlier
 */
export class Gaussian {
  #count = 0;
  #mean = 0;
  #squares = 0;

  get count(): number {
    return this.#count;
  }

  /** NaN of no value. */
  get mean(): number {
    return this.#count === 0 ? Number.NaN : this.#mean;
  }

  /** Of a sample (n - 1); NaN of fewer than two values. */
  get variance(): number {
    return this.#count < 2 ? Number.NaN : this.#squares / (this.#count - 1);
  }

  get deviation(): number {
    return Math.sqrt(this.variance);
  }

  add(x: number): void {
    this.#count++;
    const before = x - this.#mean;
    this.#mean += before / this.#count;
    this.#squares += before * (x - this.#mean);
  }

  merge(other: Gaussian): void {
    const count = this.#count + other.#count;
    if (count === 0) return;
    const difference = other.#mean - this.#mean;
    this.#mean += (difference * other.#count) / count;
    this.#squares += other.#squares + (difference * difference * this.#count * other.#count) / count;
    this.#count = count;
  }

  density(x: number): number {
    return normalDensity(x, this.mean, this.deviation);
  }

  zScore(x: number): number {
    return zScore(x, this.mean, this.deviation);
  }
}

/** A rate of successes, with its interval. */
export class Bernoulli {
  #trials = 0;
  #successes = 0;

  get trials(): number {
    return this.#trials;
  }

  get successes(): number {
    return this.#successes;
  }

  /** NaN of no trial. */
  get rate(): number {
    return this.#successes / this.#trials;
  }

  add(success: boolean): void {
    this.#trials++;
    if (success) this.#successes++;
  }

  merge(other: Bernoulli): void {
    this.#trials += other.#trials;
    this.#successes += other.#successes;
  }

  /** See {@link wilsonInterval}. */
  interval(z?: number): Interval {
    return wilsonInterval(this.#successes, this.#trials, z);
  }
}

/**
 * Items that occur together (in a basket, a session): P(b | a), the share of the sets with a that have b too. Memory grows with the pairs seen; in a pipeline count pairs
 * with flatMap and keyBy.
 *
 * @example
 * const baskets = new Cooccurrence<string>();
 * baskets.add(['bread', 'butter']);
 * baskets.add(['bread']);
 * baskets.probability('butter', 'bread'); // 0.5
 */
export class Cooccurrence<T extends string | number> {
  #sets = 0;
  readonly #counts = new Map<T, number>();
  readonly #pairs = new Map<T, Map<T, number>>();

  /** Sets seen. */
  get count(): number {
    return this.#sets;
  }

  /** One set of items; what is there twice counts once. */
  add(items: Iterable<T>): void {
    const set = [...new Set(items)];
    this.#sets++;
    for (const a of set) {
      this.#counts.set(a, (this.#counts.get(a) ?? 0) + 1);
      for (const b of set) if (a !== b) this.#count(a, b, 1);
    }
  }

  merge(other: Cooccurrence<T>): void {
    this.#sets += other.#sets;
    for (const [a, n] of other.#counts) this.#counts.set(a, (this.#counts.get(a) ?? 0) + n);
    for (const [a, row] of other.#pairs) for (const [b, n] of row) this.#count(a, b, n);
  }

  /** P(b | a); NaN where a was never seen. */
  probability(b: T, given: T): number {
    const total = this.#counts.get(given);
    if (total === undefined) return Number.NaN;
    return b === given ? 1 : (this.#pairs.get(given)?.get(b) ?? 0) / total;
  }

  /** P(b | a) / P(b): above 1, a makes b likelier. */
  lift(b: T, given: T): number {
    return this.probability(b, given) / ((this.#counts.get(b) ?? 0) / this.#sets);
  }

  /** The items likeliest beside one, at most `n`, with their P(b | a). */
  likeliest(given: T, n: number): { readonly item: T; readonly probability: number }[] {
    const found = [...(this.#pairs.get(given) ?? [])].map(([item]) => ({ item, probability: this.probability(item, given) }));
    return found.sort((a, b) => b.probability - a.probability || (a.item < b.item ? -1 : 1)).slice(0, n);
  }

  #count(a: T, b: T, n: number): void {
    let row = this.#pairs.get(a);
    if (row === undefined) {
      row = new Map();
      this.#pairs.set(a, row);
    }
    row.set(b, (row.get(b) ?? 0) + n);
  }
}

/**
 * The mean of the values of the last `spanMs` of event time, up to and with the newest: of times t with newest - spanMs < t. Times come in ascending order, or are ignored where they lie too far
 * behind. Amortised O(1) a value; the sum starts again from the values now and then, so that its rounding does not grow.
 */
export class MovingAverage {
  readonly spanMs: number;
  #times = new Float64Array(16);
  #values = new Float64Array(16);
  #head = 0;
  #size = 0;
  #sum = 0;
  #removed = 0;

  constructor(spanMs: number) {
    assert(spanMs > 0, `a moving average of ${spanMs} ms`);
    this.spanMs = spanMs;
  }

  get count(): number {
    return this.#size;
  }

  /** NaN of no value. */
  get mean(): number {
    return this.#sum / this.#size;
  }

  /** Adds a value and returns the mean. */
  add(timeMs: number, value: number): number {
    const mask = this.#times.length - 1;
    const newest = this.#size === 0 ? timeMs : Math.max(timeMs, this.#times[(this.#head + this.#size - 1) & mask] as number);
    if (timeMs > newest - this.spanMs) this.#insert(timeMs, value);
    while ((this.#times[this.#head] as number) <= newest - this.spanMs) {
      this.#sum -= this.#values[this.#head] as number;
      this.#head = (this.#head + 1) & (this.#times.length - 1);
      this.#size--;
      this.#removed++;
    }
    if (this.#removed > this.#size || !Number.isFinite(this.#sum)) {
      this.#sum = 0;
      for (let i = 0; i < this.#size; i++) this.#sum += this.#values[(this.#head + i) & (this.#values.length - 1)] as number;
      this.#removed = 0;
    }
    return this.mean;
  }

  #insert(timeMs: number, value: number): void {
    if (this.#size === this.#times.length) {
      const order = (from: Float64Array) =>
        Float64Array.from({ length: this.#size * 2 }, (_, i) => (i < this.#size ? (from[(this.#head + i) & (this.#size - 1)] as number) : 0));
      [this.#times, this.#values, this.#head] = [order(this.#times), order(this.#values), 0];
    }
    const mask = this.#times.length - 1;
    let at = this.#size++;
    for (; at > 0 && (this.#times[(this.#head + at - 1) & mask] as number) > timeMs; at--) {
      this.#times[(this.#head + at) & mask] = this.#times[(this.#head + at - 1) & mask] as number;
      this.#values[(this.#head + at) & mask] = this.#values[(this.#head + at - 1) & mask] as number;
    }
    this.#times[(this.#head + at) & mask] = timeMs;
    this.#values[(this.#head + at) & mask] = value;
    this.#sum += value;
  }
}

/** The mean of values that weigh half as much for each half-life that they are older than the newest: the aggregate `ewma` for one thread (core/accumulators/smoothing.ts). Times may come in any order. */
export class ExponentialSmoothing {
  readonly halfLifeMs: number;
  #newest = Number.NEGATIVE_INFINITY;
  #sum = 0;
  #weight = 0;

  constructor(halfLifeMs: number) {
    assert(halfLifeMs > 0, `a half-life of ${halfLifeMs} ms`);
    this.halfLifeMs = halfLifeMs;
  }

  /** NaN of no value. */
  get mean(): number {
    return this.#sum / this.#weight;
  }

  /** Adds a value and returns the mean. */
  add(timeMs: number, value: number): number {
    this.#add(timeMs, value, 1);
    return this.mean;
  }

  merge(other: ExponentialSmoothing): void {
    assert(other.halfLifeMs === this.halfLifeMs, `a half-life of ${other.halfLifeMs} ms merged into one of ${this.halfLifeMs}`);
    if (other.#weight > 0) this.#add(other.#newest, other.#sum, other.#weight);
  }

  #add(timeMs: number, sum: number, weight: number): void {
    const newest = Math.max(timeMs, this.#newest);
    const decay = this.#weight === 0 ? 0 : 0.5 ** ((newest - this.#newest) / this.halfLifeMs);
    const share = 0.5 ** ((newest - timeMs) / this.halfLifeMs);
    this.#sum = this.#sum * decay + sum * share;
    this.#weight = this.#weight * decay + weight * share;
    this.#newest = newest;
  }
}

/** Linear counting of distinct texts and numbers in a bitmap: the aggregate `linearCount` for one thread (core/accumulators/linear-counter.ts). */
export class LinearCounter {
  readonly bits: number;
  readonly #words: Uint32Array;
  #set = 0;

  /** @param bits a power of two, at least 32 */
  constructor(bits = 16_384) {
    assert(bits >= 32 && Number.isInteger(Math.log2(bits)), `a bitmap of ${bits} bits: it takes a power of two, at least 32`);
    this.bits = bits;
    this.#words = new Uint32Array(bits / 32);
  }

  add(value: string | number): void {
    if (typeof value === 'string') {
      const bytes = Buffer.from(value, 'utf8');
      hash64Bytes(bytes, 0, bytes.length);
    } else {
      NUMBER[0] = value + 0;
      hash64Long(NUMBER_WORDS[0] as number, NUMBER_WORDS[1] as number);
    }
    const bit = hashLow & (this.bits - 1);
    const word = this.#words[bit >>> 5] as number;
    if ((word >>> (bit & 31)) & 1) return;
    this.#words[bit >>> 5] = word | (1 << (bit & 31));
    this.#set++;
  }

  /** About how many different values; infinite when all bits are set. */
  get estimate(): number {
    return this.bits * Math.log(this.bits / (this.bits - this.#set));
  }

  merge(other: LinearCounter): void {
    assert(other.bits === this.bits, `a bitmap of ${other.bits} bits merged into one of ${this.bits}`);
    this.#set = 0;
    for (let w = 0; w < this.#words.length; w++) {
      this.#words[w] = (this.#words[w] as number) | (other.#words[w] as number);
      for (let rest = this.#words[w] as number; rest !== 0; rest &= rest - 1) this.#set++;
    }
  }
}

const NUMBER = new Float64Array(1);
const NUMBER_WORDS = new Uint32Array(NUMBER.buffer);
