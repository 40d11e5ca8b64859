/** The door of operators/over: each row with aggregates over the rows of its key up to itself. */

export { type GivenFeatures, type OverOrder, type OverRequest, planOver, rangesApart } from './plan-over.ts';
