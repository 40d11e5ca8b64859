/**
 * A task in this process: it is started and stopped as the group says. One call follows the other: who gives a task back
 * has written and committed what was read before another process takes it up.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../../core/index.ts';
import type { Task } from '../../io/index.ts';
import { type Job, type RunOptions, runTask } from '../job/index.ts';
import type { JobState, Progress } from '../observe/index.ts';

/** Before a task is taken up again that another process had taken. */
const PAUSE_MS = 250;

export interface TaskRunEvents {
  warning(message: string): void;
  failed(error: unknown): void;
}

export class TaskRun {
  readonly task: Task;
  readonly #url: string;
  readonly #options: RunOptions;
  readonly #events: TaskRunEvents;
  #isWanted = false;
  #job: Job | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** Of runs that are over. */
  #before = { rowsIn: 0, rowsOut: 0 };

  constructor(url: string, options: RunOptions, task: Task, events: TaskRunEvents) {
    this.#url = url;
    this.#options = options;
    this.task = task;
    this.#events = events;
  }

  /** Undefined: it is not here. */
  get state(): JobState | undefined {
    return this.#job?.state ?? (this.#isWanted ? 'starting' : undefined);
  }

  get progress(): Progress | undefined {
    return this.#job?.progress();
  }

  get rowsIn(): number {
    return this.#before.rowsIn + (this.#job?.progress().rowsIn ?? 0);
  }

  get rowsOut(): number {
    return this.#before.rowsOut + (this.#job?.progress().rowsOut ?? 0);
  }

  /** Takes the task up, or gives it back. Resolves when it is given back. */
  want(isWanted: boolean, drain = true): Promise<void> {
    if (isWanted === this.#isWanted) return this.#turn;
    this.#isWanted = isWanted;
    this.#turn = this.#turn.then(() => (isWanted ? this.#begin() : this.#end(drain)));
    return this.#turn;
  }

  async #begin(): Promise<void> {
    while (this.#isWanted && this.#job === undefined) {
      try {
        const job = await runTask(this.#url, this.#options, this.task);
        this.#job = job;
        job.on('warning', (message) => this.#events.warning(message));
        job.done.then(
          () => this.#isOver(job, undefined),
          (error) => this.#isOver(job, error),
        );
      } catch (error) {
        if (!isTaken(error)) {
          this.#events.failed(error);
          return;
        }
        await sleep(PAUSE_MS);
      }
    }
  }

  async #end(drain: boolean): Promise<void> {
    await this.#job?.stop({ drain }).catch(() => {});
  }

  #isOver(job: Job, error: unknown): void {
    if (this.#job !== job) return;
    const { rowsIn, rowsOut } = job.progress();
    this.#before = { rowsIn: this.#before.rowsIn + rowsIn, rowsOut: this.#before.rowsOut + rowsOut };
    this.#job = undefined;
    if (!this.#isWanted) return;
    if (error !== undefined && !isTaken(error)) {
      this.#events.failed(error);
      return;
    }
    this.#turn = this.#turn.then(() => this.#begin());
  }
}

/** Another process has the task, or had it for a moment: it is for the group to say whose it is. */
function isTaken(error: unknown): boolean {
  return error instanceof MillraceError && error.code === 'ERR_MILLRACE_FENCED';
}
