/** The mean over the newest span of event time, one value at a time. */

import { assert } from '../assert.ts';

export interface MovingAverageState {
  /** Rings with a power of two places. */
  times: Float64Array;
  values: Float64Array;
  head: number;
  size: number;
  sum: number;
  removed: number;
}

/**
 * The mean of the values of the last `spanMs` of event time, the newest included: those of times t with
 * newest - spanMs < t. An older value is ignored. Amortised O(1) per value where times ascend. The sum is
 * recomputed from the values now and then, so that its rounding error does not grow.
 */
export class MovingAverage {
  readonly spanMs: number;
  readonly state: MovingAverageState;

  /** @param state continues from what a model of the same span has learned; it is changed in place */
  constructor(spanMs: number, state: MovingAverageState = { times: new Float64Array(16), values: new Float64Array(16), head: 0, size: 0, sum: 0, removed: 0 }) {
    assert(spanMs > 0, `a moving average of ${spanMs} ms`);
    this.spanMs = spanMs;
    this.state = state;
  }

  get count(): number {
    return this.state.size;
  }

  /** NaN without values. */
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
