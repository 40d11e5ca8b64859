/**
 * `millrace/testing`: a pipeline on the calling thread, with a manual clock, for tests. It has the plan, the
 * coordinator and the engines of a job, without threads, sources and sinks: rows go in by hand, epochs end by
 * hand, results are arrays. `simulate` tries a pipeline under crashes, in schedules that a seed draws, and
 * `sinkConformance` whether a sink holds what it promises. It needs no test runner.
 */

export {
  type ConformanceRow,
  type ConformanceRule,
  type CrashPoint,
  type DriverSnapshot,
  type SimulationFailure,
  type SimulationOptions,
  type SimulationReport,
  type SinkConformanceOptions,
  type SinkConformanceReport,
  simulate,
  sinkConformance,
  TestDriver,
  type TestDriverOptions,
  testDriver,
} from './driver/index.ts';
