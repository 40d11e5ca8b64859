/** Prints for a person, or as JSON lines, what this process does in a job that several processes share. To stderr. */

import { grouped, type PrintTarget } from '../observe/index.ts';
import type { SharedProgress } from './shared-job.ts';

const SPARSE_MS = 2_000;

export class SharedPrinter {
  readonly #isJson: boolean;
  readonly #out: PrintTarget;
  #shownMs = Number.NEGATIVE_INFINITY;
  #last: SharedProgress | undefined;

  constructor(isJson: boolean, out: PrintTarget = process.stderr) {
    this.#isJson = isJson;
    this.#out = out;
  }

  show(progress: SharedProgress): void {
    const nowMs = performance.now();
    if (this.#isJson) this.#out.write(`${JSON.stringify(plain(progress))}\n`);
    else if (this.#out.isTTY) this.#out.write(`\r\x1b[2K${line(progress, this.#last)}`);
    else if (nowMs - this.#shownMs < SPARSE_MS) return;
    else this.#out.write(`${line(progress, this.#last)}\n`);
    this.#shownMs = nowMs;
    this.#last = progress;
  }

  end(progress: SharedProgress): void {
    if (this.#isJson) this.#out.write(`${JSON.stringify(plain(progress))}\n`);
    else this.#out.write(`${this.#out.isTTY ? '\r\x1b[2K' : ''}${line(progress, undefined)}\n`);
  }
}

function line({ pipeline, tasks, taskCount, rowsIn, rowsOut, seconds }: SharedProgress, last: SharedProgress | undefined): string {
  const rate = last === undefined ? rowsIn / seconds : (rowsIn - last.rowsIn) / (seconds - last.seconds);
  const lag = tasks.reduce((sum, { progress }) => sum + (progress?.lag ?? Number.NaN), 0);
  const waiting = tasks.filter(({ state }) => state !== 'running');
  const states = waiting.length === 0 ? '' : `, ${waiting.map(({ task, state }) => `task ${task} ${state}`).join(', ')}`;
  const which = tasks.length === 0 ? 'no task' : `task${tasks.length > 1 ? 's' : ''} ${tasks.map(({ task }) => task).join(' ')}`;
  return `${pipeline}: ${which} of ${taskCount}, ${grouped(rowsIn)} rows in, ${grouped(rowsOut)} out, ${grouped(rate)} rows/s, lag ${Number.isNaN(lag) ? 'unknown' : grouped(lag)}${states}`;
}

function plain({ tasks, ...rest }: SharedProgress): unknown {
  const { user, system } = process.cpuUsage();
  return {
    ...rest,
    cpuSeconds: (user + system) / 1e6,
    tasks: tasks.map(({ task, state, rowsIn, rowsOut, progress }) => ({ task, state, rowsIn, rowsOut, lag: progress?.lag ?? null })),
  };
}
