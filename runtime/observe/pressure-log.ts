/**
 * Says when back-pressure sets in and when it is over. Credit comes and goes many times a second at full speed, so it
 * is judged by its share of some seconds: on from four fifths, off from one fifth.
 */

import type { Logger } from '../../core/index.ts';
import type { BackPressure } from './progress.ts';

const WINDOW_MS = 5_000;
const ON_SHARE = 0.8;
const OFF_SHARE = 0.2;

const REASONS = {
  workers: 'rows wait for the workers',
  epochs: 'rows wait for epochs to be written',
  output: 'rows wait for memory: output that is not written, or state, takes too much',
} as const;

export class PressureLog {
  readonly #log: Logger;
  #at: { readonly ms: number; readonly seconds: BackPressure } | undefined;
  #onSinceMs: number | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param nowMs of a monotonic clock */
  look(seconds: BackPressure, nowMs: number): void {
    const before = this.#at;
    if (before === undefined) {
      this.#at = { ms: nowMs, seconds };
      return;
    }
    const passedMs = nowMs - before.ms;
    if (passedMs < WINDOW_MS) return;
    this.#at = { ms: nowMs, seconds };
    const waited = (Object.keys(REASONS) as (keyof BackPressure)[]).map((reason) => ({
      reason,
      seconds: Math.max(0, seconds[reason] - before.seconds[reason]),
    }));
    const share = (waited.reduce((sum, one) => sum + one.seconds, 0) * 1_000) / passedMs;
    if (this.#onSinceMs === undefined && share >= ON_SHARE) {
      const most = waited.reduce((a, b) => (b.seconds > a.seconds ? b : a));
      this.#onSinceMs = before.ms;
      this.#log.info({ share: Math.round(share * 100) / 100, reason: most.reason }, `back-pressure: ${REASONS[most.reason]}`);
    } else if (this.#onSinceMs !== undefined && share <= OFF_SHARE) {
      this.#log.info({ seconds: Math.round((nowMs - this.#onSinceMs) / 1_000) }, 'back-pressure is over');
      this.#onSinceMs = undefined;
    }
  }
}
