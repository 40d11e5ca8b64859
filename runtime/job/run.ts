/// <reference lib="esnext.disposable" preserve="true" />

/** `run`: loads a pipeline module, makes its plan, and starts a job. A user holds the handle of the job. */

import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type AnyRow, checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import type { Task } from '../../io/index.ts';
import { Dashboard } from '../dashboard/index.ts';
import { type JobState, JobWatch, jobMetrics, Observation, type Progress, prometheusText } from '../observe/index.ts';
import { describePlan, graphOf, type Plan } from '../plan/index.ts';
import { refuseInWorker, supportTypeScript } from '../stream/index.ts';
import { planFor } from '../workers/index.ts';
import { type ResolvedOptions, type RunOptions, resolveOptions } from './options.ts';
import { Supervisor } from './supervisor.ts';
import type { View } from './view.ts';

/** What a job had done when it was over. */
export interface Summary {
  readonly rowsIn: number;
  readonly rowsOut: number;
  readonly seconds: number;
  /** The last epoch whose positions were committed; -1: none. */
  readonly committedEpoch: number;
}

interface JobEvents {
  /** About twice a second. */
  progress: [Progress];
  /**
   * One line that a person should read, though the job goes on. Without a listener the process prints it as a
   * warning.
   */
  warning: [string];
  /** The first fatal error; `done` rejects with it. */
  error: [unknown];
  /** Over, with or without an error. */
  stopped: [Summary];
}

/** See ../start.ts. */
export async function run(module: URL | string, options: RunOptions = {}): Promise<Job> {
  return start(moduleUrl(module), resolveOptions(options));
}

/** Starts one task of a job that several processes share; the options are those of a job of its own. */
export async function runTask(module: URL | string, options: RunOptions, task: Task): Promise<Job> {
  return start(moduleUrl(module), { ...resolveOptions(options), task });
}

async function start(url: string, resolved: ResolvedOptions): Promise<Job> {
  refuseInWorker(url);
  const plan = await planFor({ url, ...resolved });
  const { signal, observe, triggerMs } = resolved;
  signal?.throwIfAborted();
  let watch!: JobWatch;
  const supervisor = new Supervisor(plan, url, resolved, Date.now, (progress) => {
    watch = new JobWatch(plan, progress, { logger: observe.logger, triggerMs, settings: settingsOf(resolved) });
    return watch;
  });
  watch.starts();
  const observation = await Observation.open(watch, observe);
  let dashboard: Dashboard | undefined;
  try {
    let job: Job | undefined;
    if (resolved.dashboard !== undefined) dashboard = await Dashboard.open(watch, resolved.dashboard, observation.server, () => job);
    job = new Job(supervisor, plan, watch, observation, dashboard);
    await supervisor.start();
    return job.started(signal);
  } catch (error) {
    watch.hasNotStarted(error);
    await dashboard?.close();
    await observation.close();
    throw error;
  }
}

/** What the log says of the options: nothing that could be a secret, such as params. */
function settingsOf({ workers, triggerMs, guarantee, checkpoint, standby, memoryBytes, atLimit }: ResolvedOptions): object {
  const place = checkpoint === undefined ? undefined : (checkpoint.dir ?? `topic ${checkpoint.kafka?.topic}`);
  return {
    workers,
    triggerMs,
    guarantee,
    memoryBytes,
    atLimit,
    ...(place === undefined ? {} : { checkpoint: place, checkpointMs: checkpoint?.intervalMs }),
    ...(standby ? { standby } : {}),
  };
}

/** See ../start.ts. */
export async function explain(module: URL | string, params: RunOptions['params'] = {}): Promise<Plan> {
  return planFor({ url: moduleUrl(module), params });
}

/** @internal */
export function moduleUrl(module: URL | string): string {
  if (typeof module !== 'string' && !(module instanceof URL)) {
    const got = graphOf(module) === undefined ? shown(module) : 'a pipeline itself';
    throw new MillraceError(
      'ERR_MILLRACE_MODULE',
      `run() got ${got}. It takes the module that exports the pipeline, because every worker thread imports it: functions cannot be sent to a thread. Put the pipeline into a file with export default pipeline('name')..., and run(new URL('./clicks.ts', import.meta.url)); or, in that file itself, main(import.meta.url, () => run(import.meta.url)).`,
    );
  }
  if (module instanceof URL) return module.href;
  return /^(file|data):/.test(module) ? module : pathToFileURL(resolve(module)).href;
}

export { supportTypeScript };

export class Job extends EventEmitter<JobEvents> {
  readonly #supervisor: Supervisor;
  readonly #plan: Plan;
  readonly #done: Promise<Summary>;
  /** @internal What the job tells of itself; `metrics()` is made of it. */
  readonly watch: JobWatch;
  /** Somebody looks at `done`, or waits for `stop()`. */
  #isAwaited = false;
  #hasStarted = false;
  readonly #observation: Observation;
  readonly #dashboard: Dashboard | undefined;

  constructor(supervisor: Supervisor, plan: Plan, watch: JobWatch, observation: Observation, dashboard: Dashboard | undefined) {
    super();
    this.#dashboard = dashboard;
    this.#supervisor = supervisor;
    this.#plan = plan;
    this.#observation = observation;
    this.watch = watch;
    supervisor.onProgress = (progress) => this.emit('progress', progress);
    supervisor.onWarning = (message) => {
      watch.warned(message);
      if (this.listenerCount('warning') > 0) this.emit('warning', message);
      else if (!watch.log.isHeard) process.emitWarning(message, { type: 'MillraceWarning', code: 'MILLRACE_WARNING' });
    };
    const over = supervisor.done.then(
      () => this.#isOver(undefined),
      async (error) => {
        await this.#isOver(error);
        throw error;
      },
    );
    this.#done = over.then(
      () => {
        this.emit('stopped', this.#summary());
        return this.#summary();
      },
      (error) => {
        const isHeard = () => this.#isAwaited || this.listenerCount('error') > 0 || this.listenerCount('stopped') > 0;
        if (this.listenerCount('error') > 0) this.emit('error', error);
        this.emit('stopped', this.#summary());
        // A turn later, as the caller of `run` may not have reached it yet. It is printed, and the process
        // ends with code 1.
        if (this.#hasStarted && !isHeard()) setImmediate(() => isHeard() || Promise.reject(error));
        throw error;
      },
    );
    // `done` and the event both report a failure; a user of one need not handle the other.
    this.#done.catch(() => {});
  }

  /**
   * Resolves when the job is over and everything is written and committed; rejects with the first fatal
   * error. A job that fails is an unhandled rejection unless somebody has read this, listens to 'error' or
   * 'stopped', or waits for `stop()`.
   */
  get done(): Promise<Summary> {
    this.#isAwaited = true;
    return this.#done;
  }

  /** What the job is doing. */
  get state(): JobState {
    return this.#supervisor.state;
  }

  /** @internal `run` returns it to its caller: until then, `run` throws what fails. */
  started(signal: AbortSignal | undefined): this {
    this.#hasStarted = true;
    if (signal === undefined) return this;
    // `done` reports what goes wrong meanwhile.
    const stop = (): void => void this.#supervisor.stop({ drain: true }).catch(() => {});
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    const unlisten = (): void => signal.removeEventListener('abort', stop);
    this.#done.then(unlisten, unlisten);
    return this;
  }

  /** Where metrics are served, `http://127.0.0.1:9464`; undefined without the option `metrics`. */
  get url(): string | undefined {
    return this.#observation.server?.url;
  }

  /** Where the live page is, `http://127.0.0.1:4000`; undefined without the option `dashboard`. */
  get dashboardUrl(): string | undefined {
    return this.#dashboard?.url;
  }

  /** The metrics of the job as text, in the exposition format of Prometheus: what `/metrics` has, but for the process. */
  metrics(): string {
    return prometheusText(jobMetrics(this.watch));
  }

  /**
   * Takes in nothing more, until `resume`. What was read is finished, written and committed; the job keeps its
   * partitions and its state, which is 'paused'. Time goes on for what goes by the clock. It may be called at any time.
   */
  pause(): void {
    this.#supervisor.pause(true);
    this.watch.log.info({}, 'the job is paused');
  }

  /** Goes on after `pause`. */
  resume(): void {
    this.#supervisor.pause(false);
    this.watch.log.info({}, 'the job is resumed');
  }

  /**
   * `await using job = await run(...)`: stops the job at the end of the block, with what was read finished. Throws what
   * ended the job, unless somebody has been told of it: by `done`, `stop()`, or an event.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const isTold = this.#isAwaited || this.listenerCount('error') > 0 || this.listenerCount('stopped') > 0;
    this.#isAwaited = true;
    // Whoever was told has been told when this is over.
    const ends = await Promise.allSettled([this.#supervisor.stop({ drain: true }), this.#done]);
    const failure = ends.find((end) => end.status === 'rejected');
    if (failure !== undefined && !isTold) throw failure.reason;
  }

  /** Says how it ended, and closes what is open around it. */
  async #isOver(error: unknown): Promise<void> {
    this.watch.ends(this.#supervisor.progress(), error);
    await this.#dashboard?.close();
    if (this.#observation.isOpen) await this.#observation.close();
    else void this.#observation.close();
  }

  /** @internal By what the sinks call themselves, in the order of the pipeline. */
  get sinkNames(): readonly string[] {
    return this.#plan.sinks.map(({ sink }) => sink.name);
  }

  /** What the job has done so far and where it stands. */
  progress(): Progress {
    return this.#supervisor.progress();
  }

  /**
   * The rows that the pipeline names with `.as(name)`, read in place: as it is now,
   * or as it was last when the job is over.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION when there is none of this name
   */
  view<R = AnyRow>(name: string): View<R> {
    return this.#supervisor.view<R>(name);
  }

  /** The plan that runs, as text. */
  explain(): string {
    return describePlan(this.#plan);
  }

  /**
   * Stops reading. With `drain` (default), what was read is finished, written and committed first. Open
   * windows are held for the next run or emitted: as given here, else by the option `drain` of `run`.
   */
  async stop(options: { drain?: boolean | 'hold' | 'emit' } = {}): Promise<Summary> {
    checkOptionNames('stop()', options, { drain: true });
    const { drain = true } = options;
    if (typeof drain !== 'boolean' && drain !== 'hold' && drain !== 'emit') {
      throw new MillraceError('ERR_MILLRACE_OPTION', `drain is ${shown(drain)}. Give true, false, 'hold' or 'emit'.`);
    }
    this.#isAwaited = true;
    await this.#supervisor.stop({ drain });
    return this.#summary();
  }

  #summary(): Summary {
    const { rowsIn, rowsOut, seconds, committedEpoch } = this.progress();
    return { rowsIn, rowsOut, seconds, committedEpoch };
  }
}
