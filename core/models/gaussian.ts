/**
 * A normal distribution, learned one value at a time: mean, variance, and how a value compares. In a pipeline
 * the aggregates `mean` and `stddev` do the counting, and the functions here use their results in a `.map`.
 */

/** The density of the normal distribution at x. With a deviation of 0: infinite at the mean, 0 elsewhere. */
export function normalDensity(x: number, mean: number, deviation: number): number {
  if (deviation === 0) return x === mean ? Number.POSITIVE_INFINITY : 0;
  const z = (x - mean) / deviation;
  return Math.exp(-0.5 * z * z) / (deviation * Math.sqrt(2 * Math.PI));
}

/** How many deviations x is above the mean; 0 where the deviation is 0 and x is the mean. */
export function zScore(x: number, mean: number, deviation: number): number {
  return x === mean ? 0 : (x - mean) / deviation;
}

export interface GaussianState {
  count: number;
  mean: number;
  /** Sum of the squared distances from the mean. */
  squares: number;
}

/**
 * Online mean and variance (Welford, Technometrics 1962; merged as in Chan, Golub and LeVeque, 1979), and how
 * a value compares with a normal distribution of these.
 *
 * @example
 *   const latency = new Gaussian();
 *   for (const ms of [10, 12, 11, 9]) latency.add(ms);
 *   latency.zScore(25) > 3; // true: an outlier
 */
export class Gaussian {
  readonly state: GaussianState;

  /** @param state continues from what a model has learned; it is changed in place */
  constructor(state: GaussianState = { count: 0, mean: 0, squares: 0 }) {
    this.state = state;
  }

  get count(): number {
    return this.state.count;
  }

  /** NaN without values. */
  get mean(): number {
    return this.state.count === 0 ? Number.NaN : this.state.mean;
  }

  /** Of a sample (n - 1); NaN with fewer than two values. */
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
