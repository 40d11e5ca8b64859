/** The door of core/models: small probability models for one thread. */

export { Bernoulli, type Interval, wilsonInterval } from './bernoulli.ts';
export { Cooccurrence } from './cooccurrence.ts';
export { ExponentialSmoothing } from './exponential-smoothing.ts';
export { Gaussian, normalDensity, zScore } from './gaussian.ts';
export { LinearCounter } from './linear-counter.ts';
export { MovingAverage } from './moving-average.ts';
