/**
 * Timers in the order of their times, those of the same time in the order in which they were set: a binary heap. Taking a
 * timer back is the owner's affair: it remembers the number that `add` gave, and skips what it no longer waits for.
 */

export interface Timer<T> {
  readonly time: number;
  /** Ascending with each `add`. */
  readonly number: number;
  readonly owner: T;
}

export class TimerQueue<T> {
  readonly #heap: Timer<T>[] = [];
  #next = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Time of the first timer; +Infinity: there is none. */
  get firstTime(): number {
    return this.#heap[0]?.time ?? Number.POSITIVE_INFINITY;
  }

  add(time: number, owner: T): number {
    const heap = this.#heap;
    const timer: Timer<T> = { time, number: this.#next++, owner };
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(timer, heap[parent] as Timer<T>)) break;
      heap[at] = heap[parent] as Timer<T>;
      at = parent;
    }
    heap[at] = timer;
    return timer.number;
  }

  /** Takes the first timer, which must be there. */
  take(): Timer<T> {
    const heap = this.#heap;
    const first = heap[0] as Timer<T>;
    const last = heap.pop() as Timer<T>;
    const { length } = heap;
    if (length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as Timer<T>, heap[child] as Timer<T>)) child++;
      if (!isBefore(heap[child] as Timer<T>, last)) break;
      heap[at] = heap[child] as Timer<T>;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  /** All timers, in their order. */
  inOrder(): Timer<T>[] {
    return [...this.#heap].sort((a, b) => a.time - b.time || a.number - b.number);
  }
}

function isBefore<T>(a: Timer<T>, b: Timer<T>): boolean {
  return a.time < b.time || (a.time === b.time && a.number < b.number);
}
