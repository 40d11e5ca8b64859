/**
 * Small probability models, for row functions and programs, one per file. Each learns one observation at a
 * time and merges with another of its kind. They are plain JavaScript for one thread; in a pipeline the
 * aggregates do the counting, over workers and windows (operators/aggregate/aggregates.ts).
 *
 * What a model has learned is its `state`: plain values that structured clone can copy. The state of
 * process() holds that, not the model, and a model is made over it for the call: `state: () => new
 * Gaussian().state`, then `new Gaussian(ctx.state).add(row.ms)`.
 */

export { Bernoulli, type Interval, wilsonInterval } from './bernoulli.ts';
export { Cooccurrence } from './cooccurrence.ts';
export { ExponentialSmoothing } from './exponential-smoothing.ts';
export { Gaussian, normalDensity, zScore } from './gaussian.ts';
export { LinearCounter } from './linear-counter.ts';
export { MovingAverage } from './moving-average.ts';
