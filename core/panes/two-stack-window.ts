/**
 * The strategy `two-stack` of window-state.ts: for accumulators that cannot all be subtracted, such as min
 * and max.
 *
 * Tangwongsan, Hirzel and Schneider, "Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time",
 * DEBS 2017.
 */

import type { GroupTable } from '../groups/index.ts';
import type { StateReader, StateWriter } from '../memory/index.ts';
import type { PaneGrid } from './pane-grid.ts';
import type { PaneGroups } from './pane-groups.ts';
import type { PaneRing } from './pane-ring.ts';
import type { PaneStore } from './pane-store.ts';
import type { WindowState } from './window-state.ts';

/**
 * Two stacks. The front has, for each of the older panes, a suffix: the merge of all panes from it to the
 * newest older one. The back is the merge of the newer ones. A window is one suffix of the front, and the
 * back. When the front is used up, all panes become the front.
 *
 *   panes    1    2    3    4    5    6  |  7    8
 *   front  1..6 2..6 mark      mark      |  7..8 = back
 *
 * A suffix may have far more groups than its pane, so not all of them are held at once. Every sqrt(n)th of n
 * panes is a mark, and the suffixes between two marks are made from the newer mark when they are needed. That
 * costs each pane one more merge, and 2 sqrt(n) suffixes are held instead of n (500 panes: 45).
 */
export class TwoStackWindow implements WindowState {
  readonly #grid: PaneGrid;
  readonly #panes: PaneRing<PaneGroups>;
  readonly #store: PaneStore;
  readonly #back: GroupTable;
  readonly #result: GroupTable;
  // Suffixes as runs, newest pane first, and the pane that each begins with. The same for the marks, which
  // are never older than the suffixes.
  readonly #front: number[] = [];
  readonly #frontPanes: number[] = [];
  readonly #marks: number[] = [];
  readonly #markPanes: number[] = [];
  /** The first pane after the front. */
  #frontEnd = Number.NEGATIVE_INFINITY;
  #to = Number.NEGATIVE_INFINITY;
  #isStale = true;

  constructor(grid: PaneGrid, panes: PaneRing<PaneGroups>, store: PaneStore) {
    this.#grid = grid;
    this.#panes = panes;
    this.#store = store;
    this.#back = store.makeTable();
    this.#result = store.makeTable();
  }

  /** Bytes of its tables; the suffixes are in the store. */
  get bytes(): number {
    return this.#back.bytes + this.#result.bytes;
  }

  moveTo(window: number): GroupTable {
    const first = this.#grid.firstPane(window);
    const last = this.#grid.lastPane(window);
    if (!this.#isStale) {
      drop(this.#store, this.#front, this.#frontPanes, first);
      while (this.#front.length === 0 && this.#marks.length > 0) this.#unfold(first);
    }
    if (this.#isStale || this.#front.length === 0) this.#flip(first, last);
    else this.#mergeBack(this.#to, last);
    this.#to = last + 1;
    const oldest = this.#front.at(-1);
    if (oldest === undefined) return this.#back;
    this.#result.clear();
    this.#store.runs.mergeInto(oldest, this.#result);
    if (this.#back.size > 0) this.#result.mergeTable(this.#back);
    return this.#result;
  }

  touched(pane: number, slots = 0, count = 0): void {
    if (pane >= this.#to || this.#isStale) return;
    if (slots !== 0 && pane >= this.#frontEnd) this.#back.mergeSlots(slots, count);
    else this.#isStale = true;
  }

  leave(): void {}

  restart(): void {
    this.#isStale = true;
  }

  snapshot(out: StateWriter): void {
    out.number(this.#isStale ? 1 : 0);
    out.number(this.#frontEnd);
    out.number(this.#to);
    this.#result.snapshotCleared(out);
    if (this.#isStale) {
      this.#back.snapshotCleared(out);
      return;
    }
    this.#back.snapshot(out);
    this.#snapshotSuffixes(this.#front, this.#frontPanes, out);
    this.#snapshotSuffixes(this.#marks, this.#markPanes, out);
  }

  restore(from: StateReader): void {
    this.#isStale = from.count() === 1;
    this.#frontEnd = from.number();
    this.#to = from.number();
    this.#result.restore(from);
    this.#back.restore(from);
    if (this.#isStale) return;
    this.#restoreSuffixes(this.#front, this.#frontPanes, from);
    this.#restoreSuffixes(this.#marks, this.#markPanes, from);
  }

  release(): void {
    this.#dropAll();
    this.#back.release();
    this.#result.release();
  }

  #snapshotSuffixes(runs: readonly number[], numbers: readonly number[], out: StateWriter): void {
    out.number(runs.length);
    runs.forEach((run, i) => {
      out.number(numbers[i] as number);
      this.#store.runs.snapshot(run, out);
    });
  }

  #restoreSuffixes(runs: number[], numbers: number[], from: StateReader): void {
    for (let count = from.count(); count > 0; count--) {
      numbers.push(from.number());
      runs.push(this.#store.runs.restore(from));
    }
  }

  #mergeBack(from: number, last: number): void {
    const panes = this.#panes;
    for (let i = panes.indexFrom(from); i < panes.size && panes.number(i) <= last; i++) {
      const pane = panes.state(i);
      pane.seal();
      pane.mergeInto(this.#back);
    }
  }

  #dropAll(): void {
    drop(this.#store, this.#front, this.#frontPanes, Number.POSITIVE_INFINITY);
    drop(this.#store, this.#marks, this.#markPanes, Number.POSITIVE_INFINITY);
  }

  /** All panes become the front: marks, and the suffixes of the panes before the oldest mark. */
  #flip(first: number, last: number): void {
    this.#dropAll();
    this.#back.clear();
    this.#isStale = false;
    this.#frontEnd = last + 1;
    const panes = this.#panes;
    const newest = panes.indexFrom(last + 1) - 1;
    const oldest = panes.indexFrom(first);
    const paneCount = newest - oldest + 1;
    if (paneCount <= 0) return;
    const step = Math.ceil(Math.sqrt(paneCount));
    // Every step-th pane, counted from the newest, is a mark, except for the last one: what is older is
    // needed soon.
    const lastMark = (Math.floor(paneCount / step) - 1) * step;
    const suffix = this.#result;
    suffix.clear();
    for (let n = 1; n <= paneCount; n++) {
      const index = newest - n + 1;
      const pane = panes.state(index);
      pane.seal();
      pane.mergeInto(suffix);
      if (n <= lastMark) {
        if (n % step !== 0) continue;
        this.#marks.push(this.#store.runs.of(suffix));
        this.#markPanes.push(panes.number(index));
      } else {
        this.#front.push(this.#store.runs.of(suffix));
        this.#frontPanes.push(panes.number(index));
      }
    }
  }

  /** The oldest mark is needed now: makes the suffixes of the panes from it to the next mark. */
  #unfold(first: number): void {
    const panes = this.#panes;
    const suffix = this.#result;
    suffix.clear();
    const from = Math.max(first, this.#markPanes.pop() as number);
    this.#store.runs.free(this.#marks.pop() as number);
    const next = this.#marks.at(-1);
    if (next !== undefined) this.#store.runs.mergeInto(next, suffix);
    const end = this.#markPanes.at(-1) ?? this.#frontEnd;
    for (let i = panes.indexFrom(end) - 1; i >= 0 && panes.number(i) >= from; i--) {
      panes.state(i).mergeInto(suffix);
      this.#front.push(this.#store.runs.of(suffix));
      this.#frontPanes.push(panes.number(i));
    }
  }
}

/** Frees the suffixes that begin below `pane`: the oldest are last. */
function drop(store: PaneStore, runs: number[], numbers: number[], pane: number): void {
  while (numbers.length > 0 && (numbers.at(-1) as number) < pane) {
    numbers.pop();
    store.runs.free(runs.pop() as number);
  }
}
