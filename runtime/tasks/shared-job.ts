/**
 * A job that several processes share. It is parted into tasks (plan/task-plan.ts), each of which is a job of its own with
 * its state, its transactions and its place in the topic between them. A process has some of them. Who has which the
 * processes agree on in a consumer group; that a task counts once, whoever is at work on it, is up to its transactions.
 *
 *   share(module) --join--> the group: tasks 1, 4, 6 --> TaskRun: run each, as one that stands by
 *                           a process comes or goes: other tasks --> those that are new are started, the others stopped
 */

import { EventEmitter } from 'node:events';
import type { Sharing } from '../../io/index.ts';
import { moduleUrl, type RunOptions, resolveOptions, type Summary } from '../job/index.ts';
import type { JobState, Progress } from '../observe/index.ts';
import { mustBeShareable, type Plan } from '../plan/index.ts';
import { planFor } from '../workers/index.ts';
import { checkShareOptions, optionsOfTask, type ShareOptions, taskCountOf } from './share-options.ts';
import { TaskRun } from './task-run.ts';

export type { ShareOptions } from './share-options.ts';

export interface TaskProgress {
  /** 0 to tasks - 1. */
  readonly task: number;
  readonly state: JobState;
  readonly rowsIn: number;
  readonly rowsOut: number;
  /** What `progress()` of a job says; undefined while it starts. */
  readonly progress: Progress | undefined;
}

/** What this process does. */
export interface SharedProgress {
  readonly pipeline: string;
  /** Into how many tasks the job is parted. */
  readonly taskCount: number;
  /** Those that this process has. */
  readonly tasks: readonly TaskProgress[];
  /** Of this process, over all tasks that it has had. Rows that go between tasks do not count. */
  readonly rowsIn: number;
  readonly rowsOut: number;
  readonly seconds: number;
}

interface SharedJobEvents {
  /** About twice a second. */
  progress: [SharedProgress];
  warning: [string];
  /** The tasks that this process has from now on. */
  assigned: [readonly number[]];
  error: [unknown];
  stopped: [];
}

const PROGRESS_MS = 500;

/**
 * Runs a pipeline together with other processes that call this with the same module and options: they share its tasks.
 * More can come and go at any time. Sources are Kafka's; sinks are of the same cluster, or replace rows by key.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE where the pipeline cannot be shared; ERR_MILLRACE_OPTION; ERR_MILLRACE_BROKER
 * @example
 * const job = await share(new URL('./clicks.ts', import.meta.url), {
 *   tasks: 8,
 *   checkpoint: { kafka: { brokers: ['127.0.0.1:9092'], topic: 'clicks-state' } },
 * });
 * await job.done;
 */
export async function share(module: URL | string, options: ShareOptions): Promise<SharedJob> {
  checkShareOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const url = moduleUrl(module);
  const plan = await planFor({ url, params: options.params ?? {}, codeGeneration: options.codeGeneration });
  const [first] = mustBeShareable(plan);
  const job = new SharedJob(url, plan.name, options);
  try {
    const sharing = await first?.join({
      pipeline: plan.name,
      tasks: taskCountOf(options),
      sessionMs: job.sessionMs,
      signal: job.signal,
      waiting: (what) => what !== undefined && job.warn(what),
      assigned: (tasks) => job.assign(tasks),
      failed: (error) => job.fail(error),
    });
    job.joined(sharing as Sharing, signal);
  } catch (error) {
    job.fail(error);
    await job.done.catch(() => {});
    throw error;
  }
  return job;
}

/** The plan of the first task, where so many share the job. All have the same. */
export function explainTask(module: URL | string, params: RunOptions['params'] = {}, count: number): Promise<Plan> {
  return planFor({ url: moduleUrl(module), params, task: { index: 0, count: taskCountOf({ tasks: count }) } });
}

export class SharedJob extends EventEmitter<SharedJobEvents> {
  readonly #pipeline: string;
  readonly #runs: readonly TaskRun[];
  readonly #abort = new AbortController();
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  /** @internal */
  readonly sessionMs: number;
  #sharing: Sharing | undefined;
  #ending: Promise<void> | undefined;
  #failure: unknown;
  #resolveDone!: () => void;
  #rejectDone!: (error: unknown) => void;
  readonly #done: Promise<void>;

  /** @internal */
  constructor(url: string, pipeline: string, options: ShareOptions) {
    super();
    const count = taskCountOf(options);
    this.#pipeline = pipeline;
    this.sessionMs = resolveOptions(optionsOfTask(options, { index: 0, count })).sessionMs;
    const events = { warning: (message: string) => this.warn(message), failed: (error: unknown) => this.fail(error) };
    this.#runs = Array.from({ length: count }, (_, index) => {
      const task = { index, count };
      return new TaskRun(url, optionsOfTask(options, task), task, events);
    });
    this.#done = new Promise((resolve, reject) => {
      this.#resolveDone = resolve;
      this.#rejectDone = reject;
    });
    this.#done.catch(() => {});
    this.#timer = setInterval(() => this.emit('progress', this.progress()), PROGRESS_MS);
  }

  /** Resolves when this process has stopped, and given its tasks back; rejects with the first fatal error. */
  get done(): Promise<Summary> {
    return this.#done.then(() => {
      const { rowsIn, rowsOut, seconds } = this.progress();
      return { rowsIn, rowsOut, seconds, committedEpoch: -1 };
    });
  }

  /** What this process has done, and where its tasks stand. */
  progress(): SharedProgress {
    const tasks = this.#runs.flatMap(({ task, state, rowsIn, rowsOut, progress }): TaskProgress[] =>
      state === undefined ? [] : [{ task: task.index, state, rowsIn, rowsOut, progress }],
    );
    return {
      pipeline: this.#pipeline,
      taskCount: this.#runs.length,
      tasks,
      rowsIn: this.#runs.reduce((sum, { rowsIn }) => sum + rowsIn, 0),
      rowsOut: this.#runs.reduce((sum, { rowsOut }) => sum + rowsOut, 0),
      seconds: (performance.now() - this.#startedMs) / 1_000,
    };
  }

  /**
   * Gives the tasks of this process back to the others. With `drain` (default), what was read is finished and committed
   * first. Open windows go with their tasks.
   */
  async stop({ drain = true }: { readonly drain?: boolean } = {}): Promise<Summary> {
    this.#end(drain);
    return this.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** @internal */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** @internal */
  joined(sharing: Sharing, signal: AbortSignal | undefined): void {
    this.#sharing = sharing;
    // A task has failed meanwhile: nobody would leave the group.
    if (this.#ending !== undefined) void sharing.leave();
    if (signal?.aborted === true) this.#end(true);
    else signal?.addEventListener('abort', () => this.#end(true), { once: true });
  }

  /** @internal */
  assign(tasks: readonly number[]): void {
    if (this.#ending !== undefined) return;
    for (const run of this.#runs) void run.want(tasks.includes(run.task.index));
    this.emit('assigned', tasks);
  }

  /** @internal */
  warn(message: string): void {
    if (this.listenerCount('warning') > 0) this.emit('warning', message);
    else process.emitWarning(message, { type: 'MillraceWarning', code: 'MILLRACE_WARNING' });
  }

  /** @internal The first fatal error ends this process's part. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.#end(false);
  }

  #end(drain: boolean): void {
    this.#ending ??= this.#close(drain);
  }

  async #close(drain: boolean): Promise<void> {
    clearInterval(this.#timer);
    // First the tasks, then the group: whoever gets one finds it at rest.
    await Promise.all(this.#runs.map((run) => run.want(false, drain)));
    await this.#sharing?.leave();
    this.#abort.abort();
    if (this.#failure === undefined) this.#resolveDone();
    else {
      this.#rejectDone(this.#failure);
      if (this.listenerCount('error') > 0) this.emit('error', this.#failure);
    }
    this.emit('stopped');
  }
}
