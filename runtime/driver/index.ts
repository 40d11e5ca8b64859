/** The door of runtime/driver: the coordinator without threads, and sinks without a job, for tests. */

export type { DriverSnapshot, TestDriverOptions } from './driver-options.ts';
export { type SimulationFailure, type SimulationOptions, type SimulationReport, simulate } from './simulation.ts';
export {
  type ConformanceRow,
  type ConformanceRule,
  type CrashPoint,
  type SinkConformanceOptions,
  type SinkConformanceReport,
  sinkConformance,
} from './sink-conformance.ts';
export { TestDriver, testDriver } from './test-driver.ts';
