/**
 * Timers by key in one time domain, event or processing: one per key and time. Timers that are due fire in
 * the order of their times, those of the same time in the order in which they were set.
 *
 * A timer set while another fires, for a later time, fires in the same call of `fire` if it is due. One for
 * the same time or an earlier one waits for the next call.
 *
 * Behind the end of the input all timers are due, those that are set then, too. A timer that always sets the
 * next one would never end: that is an error.
 */

import { MillraceError } from '../../core/index.ts';
import { TimerQueue } from './timer-queue.ts';

/** In place of a timer's number: it is set, but not yet in the queue. */
const LATER = -1;
/** So many timers of one key may be set behind the end of the input. */
export const TIMERS_PAST_END_MAX = 10_000;

export class KeyTimers<E extends { readonly isGone: boolean }> {
  readonly #queue = new TimerQueue<E>();
  readonly #timersOf: (owner: E) => Map<number, number>;
  /** Set for times that have passed: they enter the queue when all due timers have fired. */
  readonly #later: { readonly owner: E; readonly time: number }[] = [];
  /** Time of the timer that is firing; -Infinity: none is. */
  #firing = Number.NEGATIVE_INFINITY;
  /** Timers that were set behind the end of the input, by key; undefined: it has not ended. */
  #pastEnd: Map<E, number> | undefined;

  /**
   * @param timersOf a key's timers: the number of each by its time, which tells it from one that was deleted
   */
  constructor(timersOf: (owner: E) => Map<number, number>) {
    this.#timersOf = timersOf;
  }

  /** Timers in the queue, including deleted ones. */
  get size(): number {
    return this.#queue.size;
  }

  /** No timer is due before this time; +Infinity: there is none. */
  get firstTime(): number {
    return this.#queue.firstTime;
  }

  /** The input has ended: from now on timers that are set are counted. */
  end(): void {
    this.#pastEnd ??= new Map();
  }

  /** @throws MillraceError ERR_MILLRACE_USER_FUNCTION when a key goes on setting timers behind the end of the input */
  set(owner: E, time: number): void {
    const timers = this.#timersOf(owner);
    if (timers.has(time) || owner.isGone) return;
    if (this.#pastEnd !== undefined) {
      const count = (this.#pastEnd.get(owner) ?? 0) + 1;
      if (count > TIMERS_PAST_END_MAX) {
        throw new MillraceError(
          'ERR_MILLRACE_USER_FUNCTION',
          `The input has ended, and ${TIMERS_PAST_END_MAX} timers of this key have been set and have fired since: it would go on for ever. Set the next timer only while there is more to come: if (ctx.watermark !== Infinity) ctx.timer(...).`,
        );
      }
      this.#pastEnd.set(owner, count);
    }
    if (time <= this.#firing) {
      timers.set(time, LATER);
      this.#later.push({ owner, time });
    } else timers.set(time, this.#queue.add(time, owner));
  }

  /** Calls `call` with the timers up to `until`, and with those of later times up to it that the calls set. */
  fire(until: number, call: (owner: E, time: number) => void): void {
    while (this.#queue.size > 0 && this.#queue.firstTime <= until) {
      const { owner, time, number } = this.#queue.take();
      const timers = this.#timersOf(owner);
      if (owner.isGone || timers.get(time) !== number) continue;
      timers.delete(time);
      this.#firing = time;
      call(owner, time);
      this.#firing = Number.NEGATIVE_INFINITY;
    }
  }

  /** Adds the timers that wait for the next `fire` to the queue. */
  settle(): void {
    for (const { owner, time } of this.#later.splice(0)) {
      const timers = this.#timersOf(owner);
      if (!owner.isGone && timers.get(time) === LATER) timers.set(time, this.#queue.add(time, owner));
    }
  }

  /** The timers that are set, in firing order. */
  inOrder(): { readonly owner: E; readonly time: number }[] {
    return this.#queue.inOrder().filter(({ owner, time, number }) => !owner.isGone && this.#timersOf(owner).get(time) === number);
  }
}
