/** The door of runtime/observe: what a job tells of itself, and how others get to see it. */

export type { LogLine } from './job-log.ts';
export { jobRoutes } from './job-routes.ts';
export { JobWatch, type JobWatchOptions, type TailRow } from './job-watch.ts';
export { type LineLoggerOptions, lineLogger, type MessageFirstLogger, messageFirst } from './line-logger.ts';
export { jobMetrics, type MetricFamily, processMetrics } from './metrics.ts';
export { Observation } from './observation.ts';
export { type MetricsOptions, type ObserveOptions, type ResolvedObserve, resolveObserve } from './observe-options.ts';
export type { GraphEdge, GraphNode, PlanGraph } from './plan-graph.ts';
export {
  type BackPressure,
  type CheckpointTimes,
  type EpochTimes,
  type JobState,
  type PartitionProgress,
  type Progress,
  ProgressLog,
  type ProgressSources,
  type SinkProgress,
} from './progress.ts';
export { grouped, type PrintTarget, ProgressPrinter } from './progress-printer.ts';
export type { ProgressSample } from './progress-sample.ts';
export { prometheusText } from './prometheus-text.ts';
export { type Route, Routes, reply, WatchServer } from './watch-server.ts';
