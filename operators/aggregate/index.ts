/** The door of operators/aggregate: built-in aggregates: the plan, the combiner of a scan, the shards. */

export { AggregateExchange } from './aggregate-exchange.ts';
export { type AggregatePlan, type AggregateRequest, outputSchema, planAggregate, type ResultColumn, type Strategy } from './aggregate-plan.ts';
export { type AggregateRange, rangeOf, rangeText } from './aggregate-range.ts';
// What a user writes; the room's door lists it.
export * from './aggregates.ts';
export { type AggregatorFunctions, aggregator, isUserAggregate, type UserAggregate } from './aggregator.ts';
export { Combiner } from './combine.ts';
export { shardAggregate } from './open-shard.ts';
export { AccumulatorSet, resultColumn } from './result-columns.ts';
export { medianOf } from './result-forms.ts';
export { RESULT_ROWS_MAX, ResultWriter } from './result-writer.ts';
export { type ShardAggregate, type ShardSnapshot, startingAt } from './shard-aggregate.ts';
