/** `run`: loads a pipeline module, makes its plan, and starts a job. A user holds the handle of the job. */

import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type AnyRow, checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import { describePlan, graphOf, makePlan, type Plan } from '../plan/index.ts';
import { loadGraph, refuseInWorker, supportTypeScript } from '../stream/index.ts';
import { type RunOptions, resolveOptions } from './options.ts';
import type { JobState, Progress } from './progress.ts';
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
  const url = moduleUrl(module);
  const resolved = resolveOptions(options);
  refuseInWorker(url);
  const { codeGeneration } = resolved;
  const plan = makePlan(await loadGraph(url, resolved.params), codeGeneration === undefined ? {} : { codeGeneration });
  const supervisor = new Supervisor(plan, url, resolved, Date.now);
  const job = new Job(supervisor, plan);
  await supervisor.start();
  return job.started();
}

/** See ../start.ts. */
export async function explain(module: URL | string, params: RunOptions['params'] = {}): Promise<Plan> {
  return makePlan(await loadGraph(moduleUrl(module), params));
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
  /** Somebody looks at `done`, or waits for `stop()`. */
  #isAwaited = false;
  #hasStarted = false;

  constructor(supervisor: Supervisor, plan: Plan) {
    super();
    this.#supervisor = supervisor;
    this.#plan = plan;
    supervisor.onProgress = (progress) => this.emit('progress', progress);
    supervisor.onWarning = (message) => {
      if (this.listenerCount('warning') > 0) this.emit('warning', message);
      else process.emitWarning(message, { type: 'MillraceWarning', code: 'MILLRACE_WARNING' });
    };
    this.#done = supervisor.done.then(
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
  started(): this {
    this.#hasStarted = true;
    return this;
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
