/** Credit times: how long sources were not allowed to hand on more rows, by what they waited for. */

import type { BackPressure } from '../observe/index.ts';

export class CreditTimes {
  readonly #ms = { workers: 0, epochs: 0, output: 0 };
  #reason: keyof BackPressure | undefined;
  #sinceMs = 0;

  /** There is no credit. The first reason counts until there is some. */
  stop(reason: keyof BackPressure, nowMs: number): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#sinceMs = nowMs;
  }

  /** There is credit again. */
  go(nowMs: number): void {
    if (this.#reason === undefined) return;
    this.#ms[this.#reason] += nowMs - this.#sinceMs;
    this.#reason = undefined;
  }

  /** So far, what lasts included. */
  seconds(nowMs: number): BackPressure {
    const of = (reason: keyof BackPressure) => (this.#ms[reason] + (this.#reason === reason ? nowMs - this.#sinceMs : 0)) / 1_000;
    return { workers: of('workers'), epochs: of('epochs'), output: of('output') };
  }
}
