/**
 * `millrace/testing`: a pipeline on the calling thread, with a manual clock, for tests. It has the plan, the
 * coordinator and the engines of a job, without threads, sources and sinks: rows go in by hand, epochs end by
 * hand, results are arrays. It needs no test runner.
 */

export { type DriverSnapshot, TestDriver, type TestDriverOptions, testDriver } from './driver/index.ts';
