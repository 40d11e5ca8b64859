/** The door of operators: what a stage does to a batch. Synchronous, no I/O, no threads. */

export { type AggregatePlan, type AggregateRequest, planAggregate, type ResultColumn, type Strategy } from './aggregate/aggregate-plan.ts';
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
} from './aggregate/aggregates.ts';
export { type AggregatorFunctions, aggregator, type UserAggregate } from './aggregate/aggregator.ts';
export { Combiner, type CombinerHooks, type EpochStart } from './aggregate/combine.ts';
export { type Emit, RESULT_ROWS_MAX, ResultWriter } from './aggregate/result-writer.ts';
export { type ShardAggregate, type ShardPublisher, type ShardSnapshot, shardAggregate } from './aggregate/shard-aggregate.ts';
export {
  blockInput,
  type ChunkOrigin,
  eachPaneRows,
  exchangeBlockEntries,
  exchangeBlockOrigin,
  exchangeBlockPanes,
  exchangeBlockRows,
  orderExchangeBlocks,
} from './exchange/exchange.ts';
export { RowMerger } from './exchange/row-order.ts';
export { RowPartitioner, rowBlockMaxTime, shardRows } from './exchange/row-partition.ts';
export { type FoldRequest, planFold } from './fold/fold.ts';
export { type Reducer, reduceFold } from './fold/reduce.ts';
export type { RowFold } from './fold/row-fold.ts';
export { type TopRequest, topFold } from './fold/top.ts';
export { type IntervalJoinRequest, planIntervalJoin } from './join/interval-join.ts';
export type { JoinSide, JoinType } from './join/join-columns.ts';
export { planTableJoin, type TableJoinRequest } from './join/table-join.ts';
export { planWindowJoin, type WindowJoinRequest } from './join/window-join.ts';
export { type DropDuplicatesRequest, planDropDuplicates } from './keyed/drop-duplicates.ts';
export { EMPTY_WINDOWS, planEmptyWindows } from './keyed/empty-windows.ts';
export type { EpochClock, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan, OutputTime } from './keyed/keyed-operator.ts';
export { type ProcessRequest, planProcess } from './keyed/process.ts';
export type { ProcessContext } from './keyed/process-context.ts';
export { placesOf, RowOutput } from './keyed/row-output.ts';
export { planRowWindow, type RowWindowRequest } from './row-windows/row-windows.ts';
export { planRows, type RowContext, type RowOperation, type RowPlan, type RowPlanOptions, type RowProgram } from './rows/rows.ts';
export { planSessionFold } from './session/session-fold.ts';
export { planSession } from './session/session-plan.ts';
export { type AnyAggregate, hasUserAggregate, type MixedPlan, type MixedRequest, planMixed } from './user-aggregates/aggregate-split.ts';
export { planMixedAggregate } from './user-aggregates/mixed-plan.ts';
export { type LiveCandidate, LiveRanks } from './view/live-ranks.ts';
export { type LiveRanking, LiveRows } from './view/live-rows.ts';
export {
  countWindow,
  cumulative,
  EMPTY_WINDOWS_MAX,
  type Emission,
  globalWindow,
  isRowWindow,
  paneGridOf,
  type RowWindowShape,
  type SignedDuration,
  session,
  signedMs,
  sliding,
  type TimeWindowShape,
  tumbling,
  type WindowShape,
  WindowSpec,
} from './windows.ts';
