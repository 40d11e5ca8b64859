/**
 * Small probability models, for row functions and programs: a Gaussian, a Bernoulli rate with its interval, conditional probabilities of items that occur together, the
 * moving average of a time window, exponential smoothing, linear counting. Each learns one observation at a time and merges with another of its kind.
 *
 * They are plain JavaScript for one thread. In a pipeline the aggregates do the counting (mean, variance, ewma, linearCount, ...: operators/aggregate/aggregates.ts), over workers and windows, and
 * the functions here (normalDensity, zScore, wilsonInterval) read the results in a `.map`.
 *
 * What a model has learned is its `state`: plain values that structured clone can copy. The state of process() holds that, not the model, and a model is made over it for the call:
 * `state: () => new Gaussian().state`, then `new Gaussian(ctx.state).add(row.ms)`.
 */

import { assert } from '../assert.ts';
import { hash64Bytes, hash64Long, hashLow } from '../groups/accumulators/hash64.ts';

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

export interface GaussianState {
  count: number;
  mean: number;
  /** Sum of the squares of the distances from the mean. */
  squares: number;
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
  readonly state: GaussianState;

  /** @param state goes on with what a model has learned; the state is changed in place */
  constructor(state: GaussianState = { count: 0, mean: 0, squares: 0 }) {
    this.state = state;
  }

  get count(): number {
    return this.state.count;
  }

  /** NaN of no value. */
  get mean(): number {
    return this.state.count === 0 ? Number.NaN : this.state.mean;
  }

  /** Of a sample (n - 1); NaN of fewer than two values. */
  get variance(): number {
    return this.state.count < 2 ? Number.NaN : this.state.squares / (this.state.count - 1);
  }

  get deviation(): number {
    return Math.sqrt(this.variance);
  }

  add(x: number): void {
    this.state.count++;
    const before = x - this.state.mean;
    this.state.mean += before / this.state.count;
    this.state.squares += before * (x - this.state.mean);
  }

  merge(other: Gaussian): void {
    const count = this.state.count + other.state.count;
    if (count === 0) return;
    const difference = other.state.mean - this.state.mean;
    this.state.mean += (difference * other.state.count) / count;
    this.state.squares += other.state.squares + (difference * difference * this.state.count * other.state.count) / count;
    this.state.count = count;
  }

  density(x: number): number {
    return normalDensity(x, this.mean, this.deviation);
  }

  zScore(x: number): number {
    return zScore(x, this.mean, this.deviation);
  }
}

export interface BernoulliState {
  trials: number;
  successes: number;
}

/** A rate of successes, with its interval. */
export class Bernoulli {
  readonly state: BernoulliState;

  /** @param state goes on with what a model has learned; the state is changed in place */
  constructor(state: BernoulliState = { trials: 0, successes: 0 }) {
    this.state = state;
  }

  get trials(): number {
    return this.state.trials;
  }

  get successes(): number {
    return this.state.successes;
  }

  /** NaN of no trial. */
  get rate(): number {
    return this.state.successes / this.state.trials;
  }

  add(success: boolean): void {
    this.state.trials++;
    if (success) this.state.successes++;
  }

  merge(other: Bernoulli): void {
    this.state.trials += other.state.trials;
    this.state.successes += other.state.successes;
  }

  /** See {@link wilsonInterval}. */
  interval(z?: number): Interval {
    return wilsonInterval(this.state.successes, this.state.trials, z);
  }
}

export interface CooccurrenceState<T> {
  sets: number;
  /** Sets by item. */
  readonly counts: Map<T, number>;
  /** Sets by item and other item. */
  readonly pairs: Map<T, Map<T, number>>;
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
  readonly state: CooccurrenceState<T>;

  /** @param state goes on with what a model has learned; the state is changed in place */
  constructor(state: CooccurrenceState<T> = { sets: 0, counts: new Map(), pairs: new Map() }) {
    this.state = state;
  }

  /** Sets seen. */
  get count(): number {
    return this.state.sets;
  }

  /** One set of items; what is there twice counts once. */
  add(items: Iterable<T>): void {
    const set = [...new Set(items)];
    const { counts } = this.state;
    this.state.sets++;
    for (const a of set) {
      counts.set(a, (counts.get(a) ?? 0) + 1);
      for (const b of set) if (a !== b) this.#count(a, b, 1);
    }
  }

  merge(other: Cooccurrence<T>): void {
    const { counts } = this.state;
    this.state.sets += other.state.sets;
    for (const [a, n] of other.state.counts) counts.set(a, (counts.get(a) ?? 0) + n);
    for (const [a, row] of other.state.pairs) for (const [b, n] of row) this.#count(a, b, n);
  }

  /** Every item seen, in the order of first sight. */
  items(): IterableIterator<T> {
    return this.state.counts.keys();
  }

  /** P(b | a); NaN where a was never seen. */
  probability(b: T, given: T): number {
    const total = this.state.counts.get(given);
    if (total === undefined) return Number.NaN;
    return b === given ? 1 : (this.state.pairs.get(given)?.get(b) ?? 0) / total;
  }

  /** P(b | a) / P(b): above 1, a makes b likelier. */
  lift(b: T, given: T): number {
    return this.probability(b, given) / ((this.state.counts.get(b) ?? 0) / this.state.sets);
  }

  /** The items likeliest beside one, at most `n`, with their P(b | a). */
  likeliest(given: T, n: number): { readonly item: T; readonly probability: number }[] {
    const found = [...(this.state.pairs.get(given) ?? [])].map(([item]) => ({ item, probability: this.probability(item, given) }));
    return found.sort((a, b) => b.probability - a.probability || (a.item < b.item ? -1 : 1)).slice(0, n);
  }

  #count(a: T, b: T, n: number): void {
    let row = this.state.pairs.get(a);
    if (row === undefined) {
      row = new Map();
      this.state.pairs.set(a, row);
    }
    row.set(b, (row.get(b) ?? 0) + n);
  }
}

export interface MovingAverageState {
  /** Rings of a power of two. */
  times: Float64Array;
  values: Float64Array;
  head: number;
  size: number;
  sum: number;
  removed: number;
}

/**
 * The mean of the values of the last `spanMs` of event time, up to and with the newest: of times t with newest - spanMs < t. Times come in ascending order, or are ignored where they lie too far
 * behind. Amortised O(1) a value; the sum starts again from the values now and then, so that its rounding does not grow.
 */
export class MovingAverage {
  readonly spanMs: number;
  readonly state: MovingAverageState;

  /** @param state goes on with what a model of the same span has learned; the state is changed in place */
  constructor(spanMs: number, state: MovingAverageState = { times: new Float64Array(16), values: new Float64Array(16), head: 0, size: 0, sum: 0, removed: 0 }) {
    assert(spanMs > 0, `a moving average of ${spanMs} ms`);
    this.spanMs = spanMs;
    this.state = state;
  }

  get count(): number {
    return this.state.size;
  }

  /** NaN of no value. */
  get mean(): number {
    return this.state.sum / this.state.size;
  }

  /** Adds a value and returns the mean. */
  add(timeMs: number, value: number): number {
    const { state } = this;
    const mask = state.times.length - 1;
    const newest = state.size === 0 ? timeMs : Math.max(timeMs, state.times[(state.head + state.size - 1) & mask] as number);
    if (timeMs > newest - this.spanMs) insert(state, timeMs, value);
    while ((state.times[state.head] as number) <= newest - this.spanMs) {
      state.sum -= state.values[state.head] as number;
      state.head = (state.head + 1) & (state.times.length - 1);
      state.size--;
      state.removed++;
    }
    if (state.removed > state.size || !Number.isFinite(state.sum)) {
      state.sum = 0;
      for (let i = 0; i < state.size; i++) state.sum += state.values[(state.head + i) & (state.values.length - 1)] as number;
      state.removed = 0;
    }
    return this.mean;
  }
}

/** Puts a value in its place by time. */
function insert(state: MovingAverageState, timeMs: number, value: number): void {
  if (state.size === state.times.length) {
    const order = (from: Float64Array) =>
      Float64Array.from({ length: state.size * 2 }, (_, i) => (i < state.size ? (from[(state.head + i) & (state.size - 1)] as number) : 0));
    [state.times, state.values, state.head] = [order(state.times), order(state.values), 0];
  }
  const mask = state.times.length - 1;
  let at = state.size++;
  for (; at > 0 && (state.times[(state.head + at - 1) & mask] as number) > timeMs; at--) {
    state.times[(state.head + at) & mask] = state.times[(state.head + at - 1) & mask] as number;
    state.values[(state.head + at) & mask] = state.values[(state.head + at - 1) & mask] as number;
  }
  state.times[(state.head + at) & mask] = timeMs;
  state.values[(state.head + at) & mask] = value;
  state.sum += value;
}

export interface SmoothingState {
  newestMs: number;
  sum: number;
  weight: number;
}

/** The mean of values that weigh half as much for each half-life that they are older than the newest: the aggregate `ewma` for one thread (core/groups/accumulators/smoothing.ts). Times may come in any order. */
export class ExponentialSmoothing {
  readonly halfLifeMs: number;
  readonly state: SmoothingState;

  /** @param state goes on with what a model of the same half-life has learned; the state is changed in place */
  constructor(halfLifeMs: number, state: SmoothingState = { newestMs: Number.NEGATIVE_INFINITY, sum: 0, weight: 0 }) {
    assert(halfLifeMs > 0, `a half-life of ${halfLifeMs} ms`);
    this.halfLifeMs = halfLifeMs;
    this.state = state;
  }

  /** NaN of no value. */
  get mean(): number {
    return this.state.sum / this.state.weight;
  }

  /** Adds a value and returns the mean. */
  add(timeMs: number, value: number): number {
    this.#add(timeMs, value, 1);
    return this.mean;
  }

  merge(other: ExponentialSmoothing): void {
    assert(other.halfLifeMs === this.halfLifeMs, `a half-life of ${other.halfLifeMs} ms merged into one of ${this.halfLifeMs}`);
    if (other.state.weight > 0) this.#add(other.state.newestMs, other.state.sum, other.state.weight);
  }

  #add(timeMs: number, sum: number, weight: number): void {
    const newest = Math.max(timeMs, this.state.newestMs);
    const decay = this.state.weight === 0 ? 0 : 0.5 ** ((newest - this.state.newestMs) / this.halfLifeMs);
    const share = 0.5 ** ((newest - timeMs) / this.halfLifeMs);
    this.state.sum = this.state.sum * decay + sum * share;
    this.state.weight = this.state.weight * decay + weight * share;
    this.state.newestMs = newest;
  }
}

export interface LinearCounterState {
  readonly words: Uint32Array;
  /** Bits that are set. */
  set: number;
}

/** Linear counting of distinct texts and numbers in a bitmap: the aggregate `linearCount` for one thread (core/groups/accumulators/linear-counter.ts). */
export class LinearCounter {
  readonly bits: number;
  readonly state: LinearCounterState;

  /**
   * @param bits a power of two, at least 32
   * @param state goes on with what a model of as many bits has learned; the state is changed in place
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
    const bit = hashLow & (this.bits - 1);
    const { state } = this;
    const word = state.words[bit >>> 5] as number;
    if ((word >>> (bit & 31)) & 1) return;
    state.words[bit >>> 5] = word | (1 << (bit & 31));
    state.set++;
  }

  /** About how many different values; infinite when all bits are set. */
  get estimate(): number {
    return this.bits * Math.log(this.bits / (this.bits - this.state.set));
  }

  merge(other: LinearCounter): void {
    assert(other.bits === this.bits, `a bitmap of ${other.bits} bits merged into one of ${this.bits}`);
    const { state } = this;
    state.set = 0;
    for (let w = 0; w < state.words.length; w++) {
      state.words[w] = (state.words[w] as number) | (other.state.words[w] as number);
      for (let rest = state.words[w] as number; rest !== 0; rest &= rest - 1) state.set++;
    }
  }
}

const NUMBER = new Float64Array(1);
const NUMBER_WORDS = new Uint32Array(NUMBER.buffer);
