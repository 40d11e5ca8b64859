/**
 * What starts a job, loaded when it is called. Worker threads import the package for the vocabulary of a
 * pipeline, and never start one: they are up sooner without the coordinator and the pool.
 */

import type { Job, RunOptions } from './job/index.ts';
import type { Plan } from './plan/index.ts';
import type { SharedJob, ShareOptions } from './tasks/index.ts';

/**
 * Starts a job: the pipeline that a module exports by default, on worker threads of this process. A module
 * that runs its own pipeline does so in `main(import.meta.url, ...)`, not at its top level.
 *
 * @param module URL (or path) of the module, which every worker imports too:
 *   `new URL('./clicks.ts', import.meta.url)`
 * @throws MillraceError ERR_MILLRACE_MODULE, ERR_MILLRACE_PIPELINE, ERR_MILLRACE_OPTION before a thread
 *   starts; ERR_MILLRACE_BROKER, ERR_MILLRACE_TOPIC, ERR_MILLRACE_FILE when a source or sink is not there
 * @example
 * const job = await run(new URL('./clicks.ts', import.meta.url), { workers: 2, trigger: '100ms' });
 * await job.done;
 */
export async function run(module: URL | string, options: RunOptions = {}): Promise<Job> {
  const job = await import('./job/index.ts');
  return job.run(module, options);
}

/** The plan of a module, without running it. */
export async function explain(module: URL | string, params: RunOptions['params'] = {}): Promise<Plan> {
  const job = await import('./job/index.ts');
  return job.explain(module, params);
}

/**
 * Runs a pipeline together with other processes that call this with the same module and options. The job is parted into
 * tasks; each process has some of them, and takes over those of a process that ends. Exactly-once, over Kafka.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE where the pipeline cannot be shared, with the reason; ERR_MILLRACE_OPTION;
 *   ERR_MILLRACE_BROKER
 * @example
 * const job = await share(new URL('./clicks.ts', import.meta.url), {
 *   tasks: 8,
 *   checkpoint: { kafka: { brokers: ['127.0.0.1:9092'], topic: 'clicks-state' } },
 * });
 * await job.done;
 */
export async function share(module: URL | string, options: ShareOptions): Promise<SharedJob> {
  const tasks = await import('./tasks/index.ts');
  return tasks.share(module, options);
}
