/**
 * The supervisor of a job: one execution after the other. A failure that may not come again (a worker thread
 * that died, a function that left something running, a transaction whose outcome nobody knows) ends the
 * execution, and another one goes on from the last checkpoint, in the same process. So does a checkpoint whose
 * state is damaged: the next execution goes on from the one before.
 *
 * Without a checkpoint there is nothing to go on from, so the first failure ends the job. (Supervision with a
 * limit of restarts in a time: Erlang/OTP.)
 */

import { MillraceError } from '../../core/index.ts';
import type { Holdings } from '../../io/index.ts';
import type { CheckpointId } from '../checkpoint/index.ts';
import type { JobState, JobWatch, Progress } from '../observe/index.ts';
import type { Plan } from '../plan/index.ts';
import { mayPass } from '../workers/index.ts';
import { Execution } from './execution.ts';
import type { ResolvedOptions } from './options.ts';
import type { View } from './view.ts';

export class Supervisor {
  readonly #plan: Plan;
  readonly #url: string;
  readonly #options: ResolvedOptions;
  readonly #wall: () => number;
  readonly #watch: JobWatch;
  #execution: Execution;
  /** When executions failed, ms of a monotonic clock: as many as count. */
  readonly #failedAtMs: number[] = [];
  /** Checkpoints whose state is damaged. */
  readonly #damaged: CheckpointId[] = [];
  /** Of all executions: a job that goes on does not take back what another process has taken over. */
  readonly #holdings: Holdings = new Map();
  #restarts = 0;
  /** Rows that executions before the current one have read and emitted. */
  #before = { rowsIn: 0, rowsOut: 0, seconds: 0 };
  #stop: Parameters<Execution['stop']>[0] | undefined;
  /** Gets what a person should know, though the job goes on. */
  onWarning: (message: string) => void = () => {};
  onProgress: (progress: Progress) => void = () => {};
  #resolveDone!: () => void;
  #rejectDone!: (error: unknown) => void;
  /** Settles when the job is over: rejected with the first failure that ended it. */
  readonly done: Promise<void>;

  /** @param watch makes what is told of all executions, of what tells how far the job is */
  constructor(plan: Plan, url: string, options: ResolvedOptions, wall: () => number, watch: (progress: () => Progress) => JobWatch) {
    this.#plan = plan;
    this.#url = url;
    this.#options = options;
    this.#wall = wall;
    this.#watch = watch(() => this.progress());
    this.#execution = this.#make();
    this.done = new Promise((resolve, reject) => {
      this.#resolveDone = resolve;
      this.#rejectDone = reject;
    });
    const over = (): void => {
      this.#isOver = true;
    };
    this.done.then(over, over);
  }

  /** Starts the first execution. What fails before it reads is thrown, and nothing is started again. */
  async start(): Promise<void> {
    if (this.#options.standby) {
      void this.#standBy();
      return;
    }
    await this.#execution.start();
    void this.#follow();
  }

  /** The first execution starts when the process that is at work has ended. */
  async #standBy(): Promise<void> {
    this.#isStarting = true;
    try {
      await this.#execution.start();
    } catch (error) {
      this.#hasNotStarted(error);
      return;
    } finally {
      this.#isStarting = false;
    }
    if (this.#stop !== undefined) void this.#execution.stop(this.#stop).catch(() => {});
    await this.#follow();
  }

  async stop(how: { readonly drain: boolean | 'hold' | 'emit' }): Promise<void> {
    if (this.#isOver) return;
    this.#stop = how;
    // Not before everything is open; one that still stands by has nothing open.
    if (this.#isStarting && this.#execution.state !== 'standby') {
      await this.done;
      return;
    }
    await this.#execution.stop(how).catch((error) => {
      if (!this.#mayRestart(error)) throw error;
    });
    if (how.drain !== false) await this.done;
  }

  /** Takes in nothing more, or again; over restarts, too. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#execution.pause(isPaused);
  }

  get state(): JobState {
    const { state } = this.#execution;
    return this.#restarts > 0 && this.#isStarting ? 'restoring' : state;
  }

  progress(): Progress {
    return this.#total(this.#execution.progressLog.read());
  }

  /** State to read, of the execution that runs now. */
  view<R>(name: string): View<R> {
    return this.#execution.view<R>(name);
  }

  /** A start is under way of which nobody who calls `stop` knows: it stops when it is through. */
  #isStarting = false;
  #isOver = false;
  #isPaused = false;

  #make(): Execution {
    const before = { damaged: this.#damaged, holdings: this.#holdings };
    const execution = new Execution(this.#plan, this.#url, this.#options, this.#wall, before, this.#watch);
    execution.pause(this.#isPaused);
    execution.onWarning = (message) => this.onWarning(message);
    execution.progressLog.onTick = (progress) => {
      const total = this.#total(progress);
      this.#watch.tick(total);
      this.onProgress(total);
    };
    return execution;
  }

  #total(progress: Progress): Progress {
    const { rowsIn, rowsOut, seconds } = this.#before;
    return {
      ...progress,
      rowsIn: progress.rowsIn + rowsIn,
      rowsOut: progress.rowsOut + rowsOut,
      seconds: progress.seconds + seconds,
      restarts: this.#restarts,
      lastCheckpoint: this.#watch.lastCheckpoint,
      ...(this.state === 'standby' ? { state: 'standby' } : {}),
    };
  }

  async #follow(): Promise<void> {
    for (;;) {
      let failure: unknown;
      try {
        await this.#execution.done;
        this.#resolveDone();
        return;
      } catch (error) {
        if (!this.#mayRestart(error)) {
          this.#rejectDone(this.#ending(error));
          return;
        }
        failure = error;
        const { code, message } = error as MillraceError;
        this.onWarning(`${message} The job goes on from ${code === 'ERR_MILLRACE_STATE' ? 'the checkpoint before that one' : 'its last checkpoint'}.`);
      }
      try {
        await this.#restart(failure);
      } catch (error) {
        this.#hasNotStarted(error);
        return;
      }
    }
  }

  /** A job that was stopped while it stood by is over, and has not failed. */
  #hasNotStarted(error: unknown): void {
    if (this.#stop === undefined || this.#execution.state !== 'stopped') this.#rejectDone(error);
    else this.#resolveDone();
  }

  async #restart(because: unknown): Promise<void> {
    const { rowsIn, rowsOut, seconds } = this.progress();
    this.#watch.restarts({ ...this.#execution.progressLog.read(), restarts: this.#restarts }, because);
    this.#before = { rowsIn, rowsOut, seconds };
    this.#restarts++;
    this.#isStarting = true;
    this.#execution = this.#make();
    try {
      await this.#execution.start();
    } finally {
      this.#isStarting = false;
    }
    // It was stopped meanwhile.
    if (this.#stop !== undefined) void this.#execution.stop(this.#stop).catch(() => {});
  }

  /** Whether the job goes on after this. It counts the failure, once for each execution. */
  #mayRestart(error: unknown): boolean {
    const { checkpoint, restarts } = this.#options;
    if (checkpoint === undefined || this.#stop?.drain === false || this.#plan.sources.some(({ source }) => source.isReplayable === false)) return false;
    if (this.#execution === this.#judged) return this.#verdict;
    this.#judged = this.#execution;
    this.#verdict = this.#judge(error, restarts);
    return this.#verdict;
  }

  #judged: Execution | undefined;
  #verdict = false;

  #judge(error: unknown, { times, withinMs }: ResolvedOptions['restarts']): boolean {
    const resumed = this.#execution.resumedFrom;
    if (error instanceof MillraceError && error.code === 'ERR_MILLRACE_STATE' && resumed !== undefined) {
      this.#damaged.push(resumed);
      return true;
    }
    if (!mayPass(error)) return false;
    const now = performance.now();
    this.#failedAtMs.push(now);
    while (this.#failedAtMs.length > 0 && now - (this.#failedAtMs[0] as number) > withinMs) this.#failedAtMs.shift();
    return this.#failedAtMs.length <= times;
  }

  /** The failure that ended the job, with how often it was started again before. */
  #ending(error: unknown): unknown {
    const { times, withinMs } = this.#options.restarts;
    if (this.#restarts === 0 || !(error instanceof MillraceError) || this.#failedAtMs.length <= times) return error;
    return new MillraceError(
      error.code,
      `${error.message} The job was started again ${this.#restarts} times, and has failed ${this.#failedAtMs.length} times within ${withinMs / 1_000} s: it ends here (the option restarts says how often). What is not in a checkpoint is read again at the next start.`,
      { cause: error },
    );
  }
}
