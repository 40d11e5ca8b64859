/** A rate of successes, learned one trial at a time, and an interval that contains the true rate. */

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * The interval of the true rate, given `successes` of `trials` (Wilson, "Probable inference, the law of
 * succession, and statistical inference", JASA 1927). Unlike the rate plus or minus its deviation, it is
 * valid for few trials and for rates near 0 and 1. Without trials: 0 to 1.
 *
 * @param z 1.96 for 95 % (default), 2.576 for 99 %
 */
export function wilsonInterval(successes: number, trials: number, z = 1.959_963_984_540_054): Interval {
  if (trials === 0) return { low: 0, high: 1 };
  const rate = successes / trials;
  const square = (z * z) / trials;
  const center = (rate + square / 2) / (1 + square);
  const half = (z / (1 + square)) * Math.sqrt((rate * (1 - rate)) / trials + square / (4 * trials));
  // At the ends, rounding must not exclude the rate.
  return { low: Math.max(0, Math.min(rate, center - half)), high: Math.min(1, Math.max(rate, center + half)) };
}

export interface BernoulliState {
  trials: number;
  successes: number;
}

/** A rate of successes, with its interval. */
export class Bernoulli {
  readonly state: BernoulliState;

  /** @param state continues from what a model has learned; it is changed in place */
  constructor(state: BernoulliState = { trials: 0, successes: 0 }) {
    this.state = state;
  }

  get trials(): number {
    return this.state.trials;
  }

  get successes(): number {
    return this.state.successes;
  }

  /** NaN without trials. */
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
