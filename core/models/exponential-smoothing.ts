/**
 * Exponential smoothing over event time, for one thread. The aggregate `ewma` does the same over workers and
 * windows, with the same arithmetic (core/groups/accumulators/smoothing.ts).
 */

import { assert } from '../assert.ts';
import { addDecayed, decayRate, NEWEST, SUM, WEIGHT } from '../groups/index.ts';

export interface SmoothingState {
  newestMs: number;
  sum: number;
  weight: number;
}

/**
 * The weighted mean of values: a value weighs half as much for each half-life that it is older than the
 * newest. Times may come in any order.
 */
export class ExponentialSmoothing {
  readonly halfLifeMs: number;
  readonly state: SmoothingState;
  readonly #rate: number;

  /** @param state continues from what a model of the same half-life has learned; it is changed in place */
  constructor(halfLifeMs: number, state: SmoothingState = { newestMs: Number.NEGATIVE_INFINITY, sum: 0, weight: 0 }) {
    assert(halfLifeMs > 0, `a half-life of ${halfLifeMs} ms`);
    this.halfLifeMs = halfLifeMs;
    this.state = state;
    this.#rate = decayRate(halfLifeMs);
  }

  /** NaN without values. */
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
    const { state } = this;
    CELL[NEWEST] = state.newestMs;
    CELL[SUM] = state.sum;
    CELL[WEIGHT] = state.weight;
    addDecayed(CELL, 0, this.#rate, timeMs, sum, weight);
    state.newestMs = CELL[NEWEST] as number;
    state.sum = CELL[SUM] as number;
    state.weight = CELL[WEIGHT] as number;
  }
}

/** A state as the arithmetic takes it. */
const CELL = new Float64Array(3);
