/** Says which epochs were slow, and what took long: not too often, as a slow sink makes all of them slow. */

import type { Logger } from '../../core/index.ts';
import type { EpochTimes } from './progress.ts';

/** An epoch counts as slow from this many triggers on, and at least this many ms. */
const SLOW_TRIGGERS = 10;
const SLOW_MS_MIN = 5_000;
/** Slow epochs are told at most this often. */
const SLOW_PAUSE_MS = 10_000;

const WHY_SLOW = {
  merge: 'workers took long to scan and merge it',
  write: 'sinks took long to write it, or the epoch before it',
  checkpoint: 'its checkpoint took long',
  commit: 'sources took long to commit its positions',
} as const;

export class SlowEpochs {
  readonly #log: Logger;
  readonly #slowMs: number;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #untold = 0;
  /** No epoch of the execution is done: its workers may still be starting. */
  #isFirst = true;

  constructor(log: Logger, triggerMs: number) {
    this.#log = log;
    this.#slowMs = Math.max(SLOW_TRIGGERS * triggerMs, SLOW_MS_MIN);
  }

  /** Another execution begins. */
  begin(): void {
    this.#isFirst = true;
  }

  /** @param nowMs of a monotonic clock */
  look(times: EpochTimes, nowMs: number): void {
    const { epoch, bytes, mergeMs, writeMs, commitMs, checkpointMs } = times;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (mergeMs + writeMs + commitMs < this.#slowMs) return;
    if (nowMs - this.#toldAtMs < SLOW_PAUSE_MS) {
      this.#untold++;
      return;
    }
    const parts = { merge: mergeMs, write: writeMs, checkpoint: checkpointMs, commit: commitMs - checkpointMs };
    const [longest] = Object.entries(parts).sort(([, a], [, b]) => b - a) as [[keyof typeof parts, number], ...unknown[]];
    const others = this.#untold === 0 ? {} : { othersBefore: this.#untold };
    const ms = Object.fromEntries(Object.entries(parts).map(([name, value]) => [`${name}Ms`, Math.round(value)]));
    const why = isFirst && longest[0] === 'merge' ? 'it had to wait until the workers were up' : WHY_SLOW[longest[0]];
    this.#log.warn({ epoch, bytes, ...ms, ...others }, `a slow epoch: ${why}`);
    this.#toldAtMs = nowMs;
    this.#untold = 0;
  }
}
