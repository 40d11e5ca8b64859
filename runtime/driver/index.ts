/** The door of runtime/driver: the coordinator without threads, for tests. */

export type { DriverSnapshot, TestDriverOptions } from './driver-options.ts';
export { TestDriver, testDriver } from './test-driver.ts';
