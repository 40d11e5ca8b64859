/** The door of operators/user-aggregates: user-defined aggregates, beside built-in ones. */

export { type AnyAggregate, hasUserAggregate, interleaved, type MixedPlan, type MixedRequest, namedValues, planMixed } from './aggregate-split.ts';
export { describeBuiltIn, describeUserAggregates, planMixedAggregate } from './mixed-plan.ts';
export { SessionStates } from './session-states.ts';
export { UserColumns } from './user-columns.ts';
export { UserFunction } from './user-function.ts';
