/** The door of runtime/job: a job: its coordinator, its ends, its handle. */

export type { BadRows } from './bad-rows.ts';
export { Coordinator } from './coordinator.ts';
export type { CheckpointCut, Effects } from './coordinator-parts.ts';
export { type AllowedChanges, type ByteSize, failedRowsOf, type RunOptions, resolveOptions } from './options.ts';
export { explain, type Job, moduleUrl, run, runTask, type Summary } from './run.ts';
export type { View, ViewTopOptions } from './view.ts';
