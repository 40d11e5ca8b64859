/** The door of operators: what a stage does to a batch. Synchronous, no I/O, no threads. */

export { type AggregatePlan, type AggregateRequest, planAggregate, type ResultColumn, type Strategy } from './aggregate-plan.ts';
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
export { Combiner, type CombinerHooks, type EpochStart } from './combine.ts';
export { type ChunkOrigin, exchangeBlockBytes, exchangeBlockOrigin, exchangeBlockPanes, orderExchangeBlocks } from './exchange.ts';
export { type Emit, RESULT_ROWS_MAX, ResultWriter } from './result-writer.ts';
export { gather } from './rows/gather.ts';
export { planRows, type RowContext, type RowOperation, type RowPlan, type RowPlanOptions, type RowProgram } from './rows.ts';
export { type ShardAggregate, type ShardSnapshot, shardAggregate } from './shard-aggregate.ts';
export { type Emission, paneGridOf, sliding, tumbling, type WindowShape, WindowSpec } from './windows.ts';
