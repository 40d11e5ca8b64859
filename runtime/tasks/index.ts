/** The door of runtime/tasks: a job that several processes share. */

export { explainTask, type SharedJob, type SharedProgress, type ShareOptions, share, type TaskProgress } from './shared-job.ts';
export { SharedPrinter } from './shared-printer.ts';
