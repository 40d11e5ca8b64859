/** The door of runtime/tasks: a job that several processes share. */

export { SharedPrinter } from './shared-printer.ts';
export { type SharedJob, type SharedProgress, type ShareOptions, share, type TaskProgress } from './shared-job.ts';
