/**
 * `millrace/testing`: a pipeline on the calling thread, with a manual clock, for tests. It has the plan, the
 * coordinator and the engines of a job, without threads, sources and sinks: rows go in by hand, epochs end by
 * hand, results are arrays. And `sinkConformance`, which tries whether a sink holds what it promises. It needs
 * no test runner.
 */

export {
  type ConformanceRow,
  type ConformanceRule,
  type CrashPoint,
  type DriverSnapshot,
  type SinkConformanceOptions,
  type SinkConformanceReport,
  sinkConformance,
  TestDriver,
  type TestDriverOptions,
  testDriver,
} from './driver/index.ts';
