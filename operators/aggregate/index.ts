/** The door of operators/aggregate: built-in aggregates: the plan, the combiner of a scan, the shards. */

export { AggregateExchange } from './aggregate-exchange.ts';
export { type AggregatePlan, type AggregateRequest, outputSchema, planAggregate, type ResultColumn, type Strategy } from './aggregate-plan.ts';
export {
  type Aggregate,
  type AggregateName,
  type AggregateParameters,
  type AggregatesOf,
  approxCountDistinct,
  collect,
  count,
  countDistinct,
  ewma,
  first,
  type JsonLike,
  last,
  linearCount,
  max,
  mean,
  min,
  type NumberLike,
  type NumberOrNull,
  quantile,
  type ResultOf,
  type ResultsOf,
  rate,
  type SameAsColumn,
  type SumOfColumn,
  stddev,
  sum,
  topK,
  variance,
} from './aggregates.ts';
export { type AggregatorFunctions, aggregator, isUserAggregate, type UserAggregate } from './aggregator.ts';
export { Combiner } from './combine.ts';
export { shardAggregate } from './open-shard.ts';
export { RESULT_ROWS_MAX, ResultWriter } from './result-writer.ts';
export type { ShardAggregate, ShardSnapshot } from './shard-aggregate.ts';
