/**
 * What happens where state is larger than the job may hold. `fail` ends the job, before the epoch is written.
 * `pause` takes in nothing more until enough of it is freed: rows on their way may still close windows, and
 * state that goes by the clock frees itself. Where neither is the case nothing can free any more, as no event
 * time moves without rows, and the job ends all the same. `spill` has workers put state away on disk
 * (engine/state-budget.ts); what is left in memory is judged here, and ends the job as with `fail`.
 */

import { MillraceError } from '../../core/index.ts';
import type { StateBytes } from '../shared/index.ts';

export type AtLimit = 'fail' | 'pause' | 'spill';

/** While it waits, an epoch ends this often, so that state by the clock is freed and counted anew. */
export const PAUSED_EPOCH_MS = 600;

export class StateLimit {
  readonly #bytesMax: number;
  readonly #atLimit: AtLimit;
  /** Whether state may be freed by the clock alone. */
  readonly #goesByClock: boolean;
  /** The epoch that was open when it began to wait; undefined: it does not wait. */
  #since: { readonly epoch: number; readonly ms: number } | undefined;

  constructor(bytesMax: number, atLimit: AtLimit, goesByClock: boolean) {
    this.#bytesMax = bytesMax;
    this.#atLimit = atLimit;
    this.#goesByClock = goesByClock;
  }

  get isWaiting(): boolean {
    return this.#since !== undefined;
  }

  /**
   * An epoch was merged.
   *
   * @param state what it takes
   * @param epoch its number, and that of the epoch that is open now
   * @param mayWait false: there is nothing left to take in, or an epoch is repeated and must be read
   * @returns what follows: undefined: nothing changes
   */
  judge(
    { held: bytes }: StateBytes,
    { epoch, open, nowMs, mayWait }: { readonly epoch: number; readonly open: number; readonly nowMs: number; readonly mayWait: boolean },
  ): { readonly refuse: MillraceError } | { readonly warn: string } | undefined {
    if (bytes <= this.#bytesMax) {
      this.#since = undefined;
      return undefined;
    }
    if (this.#atLimit !== 'pause') return { refuse: tooLarge(bytes, this.#bytesMax, '') };
    if (!mayWait) return undefined;
    if (this.#since === undefined) {
      this.#since = { epoch: open, ms: nowMs };
      return {
        warn: `The state of the job takes about ${inMiB(bytes)}, more than ${inMiB(this.#bytesMax)}: no rows are taken in until some of it is freed (memory: { atLimit: 'pause' }). ${this.#goesByClock ? 'Windows and times-to-live that go by the clock may free it.' : 'Windows that rows on their way close may free it.'}`,
      };
    }
    // State is counted about twice per second.
    if (this.#goesByClock || epoch <= this.#since.epoch || nowMs < this.#since.ms + 2 * PAUSED_EPOCH_MS) return undefined;
    return { refuse: tooLarge(bytes, this.#bytesMax, ' The job has waited, and nothing can free it: event time does not move without rows.') };
  }
}

/** An error of memory that is used up, with what is in memory though state may be put away. */
export function thoughSpilled(error: MillraceError, { held, away, viewed }: StateBytes): MillraceError {
  const views = viewed === 0 ? '' : ` ${inMiB(viewed)} of it are read by views (job.view), and stay in memory.`;
  return new MillraceError(
    error.code,
    `${error.message} What can be put away on disk is: ${inMiB(away)} of state are there, ${inMiB(held)} in memory.${views} The rest is the shards at work, one for each worker, and what is under way: an epoch can be made smaller (epochBytes).`,
    { cause: error.cause },
  );
}

const inMiB = (value: number): string => `${Math.round(value / 1024 ** 2)} MiB`;

function tooLarge(bytes: number, bytesMax: number, why: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_MEMORY',
    `The state of the job takes about ${inMiB(bytes)}, more than the ${inMiB(bytesMax)} that the option memory allows.${why} What keeps it are keyed functions, joins, folds and windows: drop what is over (ttl, ctx.clear(), a shorter window or within), key by less, or give more memory.`,
  );
}
