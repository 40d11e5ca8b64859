/** The front door: everything that a pipeline module and its program need, but connectors with a client of their own. */

export {
  type AnyRow,
  Batch,
  BatchBuilder,
  binary,
  bool,
  type DataType,
  type Duration,
  ERROR_CODES,
  type ErrorCode,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  MillraceError,
  normalDensity,
  nullable,
  type Rng,
  type RowOf,
  type Schema,
  type SchemaFields,
  schema,
  seededRng,
  timestamp,
  u32,
  utf8,
  wilsonInterval,
  zScore,
} from '../core/index.ts';
export * from '../io/index.ts';
export {
  type Aggregate,
  type AggregatorFunctions,
  aggregator,
  approxCountDistinct,
  count,
  countDistinct,
  countWindow,
  cumulative,
  ewma,
  first,
  globalWindow,
  last,
  linearCount,
  max,
  mean,
  min,
  quantile,
  rate,
  session,
  sliding,
  stddev,
  sum,
  topK,
  tumbling,
  type UserAggregate,
  variance,
  type WindowSpec,
} from '../operators/index.ts';
export type { BadRows } from './job/bad-rows.ts';
export type { ByteSize, RunOptions } from './job/options.ts';
export type { EpochTimes, JobState, PartitionProgress, Progress } from './job/progress.ts';
export { explain, type Job, run, type Summary } from './job/run.ts';
export type { View, ViewTopOptions } from './job/view.ts';
export { describePlan, mermaidPlan } from './plan/explain.ts';
export type { PipelineLike } from './plan/graph.ts';
export type { Plan } from './plan/plan.ts';
export type { ErrorRow, RowCoordinates } from './plan/side-outputs.ts';
export type { Balance, ExchangeBalance, SourceBalance } from './shared/balance.ts';
export type { LedgerSample } from './shared/ledger.ts';
export { collect } from './stream/collect.ts';
export type { Params } from './stream/load.ts';
export { main } from './stream/main.ts';
export {
  type BroadcastTable,
  broadcast,
  type KeyedStream,
  type Pipeline,
  pipeline,
  type Stream,
  type WindowedStream,
} from './stream/pipeline.ts';
