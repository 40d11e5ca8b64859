/**
 * The live panes of a stream, in order of time, each with its state: a ring buffer of (pane number, state).
 *
 * Time mostly moves on by one pane: a new pane is added after the last one, old ones are removed from the
 * front, and their states are reused for the next. So it is a circular array sorted by pane number. A pane is
 * found by its distance from the front, which is its place where no pane in between is missing, else by
 * binary search. Panes exist only where rows came. An event time far ahead costs one entry, not a million
 * empty ones, and a walk over the panes skips empty stretches.
 *
 * It knows nothing of time, rows or tables: `T` is any state, made by `make` and emptied by `recycle`.
 */

import { assert } from '../assert.ts';

const FIRST_CAPACITY = 16;
/** Number of emptied states kept for reuse; further ones are passed to `drop`. */
const SPARE_COUNT_MAX = 64;

export interface PaneStates<T> {
  /** A new, empty state. */
  make(): T;
  /** Empties a state for reuse. */
  recycle(state: T): void;
  /** Discards a state that is not kept for reuse. */
  drop?(state: T): void;
}

export class PaneRing<T> {
  readonly #states: PaneStates<T>;
  readonly #spare: T[] = [];
  #numbers = new Float64Array(FIRST_CAPACITY);
  #values: (T | undefined)[] = new Array<T | undefined>(FIRST_CAPACITY).fill(undefined);
  #head = 0;
  #size = 0;

  constructor(states: PaneStates<T>) {
    this.#states = states;
  }

  get size(): number {
    return this.#size;
  }

  /** The smallest pane number; +Infinity when there is none. */
  get first(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.number(0);
  }

  /** The greatest pane number; -Infinity when there is none. */
  get last(): number {
    return this.#size === 0 ? Number.NEGATIVE_INFINITY : this.number(this.#size - 1);
  }

  /** Pane number at a place, 0 to size - 1, in ascending order. */
  number(index: number): number {
    return this.#numbers[(this.#head + index) & (this.#numbers.length - 1)] as number;
  }

  /** State at a place. */
  state(index: number): T {
    return this.#values[(this.#head + index) & (this.#numbers.length - 1)] as T;
  }

  /** The place of the first pane whose number is at least `pane`; `size` when there is none. */
  indexFrom(pane: number): number {
    if (this.#size === 0) return 0;
    const distance = pane - this.number(0);
    if (distance <= 0) return 0;
    if (distance < this.#size && this.number(distance) === pane) return distance;
    if (pane > this.last) return this.#size;
    let low = 0;
    let high = this.#size - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.number(middle) < pane) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  get(pane: number): T | undefined {
    const index = this.indexFrom(pane);
    return index < this.#size && this.number(index) === pane ? this.state(index) : undefined;
  }

  /**
   * The state of a pane, created where there was none. Amortised O(1) for the newest panes, O(size) to insert
   * one in between.
   */
  open(pane: number): T {
    // The text of an assertion is made before its check: too expensive for every block and pane.
    if (!Number.isSafeInteger(pane)) assert(false, `pane ${pane}`);
    const index = this.indexFrom(pane);
    if (index < this.#size && this.number(index) === pane) return this.state(index);
    const state = this.#spare.pop() ?? this.#states.make();
    if (this.#size === this.#numbers.length) this.#grow();
    const mask = this.#numbers.length - 1;
    for (let i = this.#size; i > index; i--) {
      this.#numbers[(this.#head + i) & mask] = this.#numbers[(this.#head + i - 1) & mask] as number;
      this.#values[(this.#head + i) & mask] = this.#values[(this.#head + i - 1) & mask];
    }
    this.#numbers[(this.#head + index) & mask] = pane;
    this.#values[(this.#head + index) & mask] = state;
    this.#size++;
    return state;
  }

  /** Closes all panes with a number below `pane`. Their states are recycled. */
  closeBelow(pane: number): void {
    const mask = this.#numbers.length - 1;
    while (this.#size > 0 && this.number(0) < pane) {
      const state = this.state(0);
      this.#values[this.#head] = undefined;
      this.#head = (this.#head + 1) & mask;
      this.#size--;
      if (this.#spare.length < SPARE_COUNT_MAX) {
        this.#states.recycle(state);
        this.#spare.push(state);
      } else this.#states.drop?.(state);
    }
  }

  /** Discards everything, including spare states. */
  release(): void {
    for (let i = 0; i < this.#size; i++) this.#states.drop?.(this.state(i));
    for (const state of this.#spare) this.#states.drop?.(state);
    this.#spare.length = 0;
    this.#size = 0;
    this.#values.fill(undefined);
  }

  #grow(): void {
    const capacity = this.#numbers.length * 2;
    const numbers = new Float64Array(capacity);
    const values = new Array<T | undefined>(capacity).fill(undefined);
    for (let i = 0; i < this.#size; i++) {
      numbers[i] = this.number(i);
      values[i] = this.state(i);
    }
    this.#numbers = numbers;
    this.#values = values;
    this.#head = 0;
  }
}
