/**
 * `millrace/testing`: a pipeline on the calling thread, with a manual clock, for tests. It is the same plan, coordinator and engines as a
 * job's, without threads, sources and sinks: rows go in by hand, epochs end by hand, results are arrays. Needs no test runner.
 */

export { type DriverSnapshot, TestDriver, type TestDriverOptions, testDriver } from './driver/index.ts';
