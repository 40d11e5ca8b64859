/**
 * Timers in the order of their times, those of the same time in the order in which they were set: a TimeHeap
 * of places, and the owners by place. Deletion is up to the owner: it remembers the number that `add` gave,
 * and skips a timer that it no longer waits for.
 */

import { TimeHeap } from '../by-key/index.ts';

export interface Timer<T> {
  readonly time: number;
  /** Ascending with each `add`. */
  readonly number: number;
  readonly owner: T;
}

export class TimerQueue<T> {
  readonly #heap = new TimeHeap();
  /** By place; those of free places are undefined. */
  readonly #owners: (T | undefined)[] = [];
  readonly #free: number[] = [];
  #next = 0;

  get size(): number {
    return this.#heap.size;
  }

  /** Time of the first timer; +Infinity: there is none. */
  get firstTime(): number {
    return this.#heap.firstTime;
  }

  add(time: number, owner: T): number {
    const place = this.#free.pop() ?? this.#owners.length;
    this.#owners[place] = owner;
    this.#heap.push(time, this.#next, place);
    return this.#next++;
  }

  /** Removes the first timer, which must be there. */
  take(): Timer<T> {
    const { firstTime: time, firstSequence: number } = this.#heap;
    const place = this.#heap.pop();
    const owner = this.#owners[place] as T;
    this.#owners[place] = undefined;
    this.#free.push(place);
    return { time, number, owner };
  }

  /** All timers, in their order. */
  inOrder(): Timer<T>[] {
    const timers: Timer<T>[] = [];
    this.#heap.each((time, number, place) => timers.push({ time, number, owner: this.#owners[place] as T }));
    return timers.sort((a, b) => a.time - b.time || a.number - b.number);
  }
}
