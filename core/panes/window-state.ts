/**
 * The table of one window after the other, from the groups of its panes. Three ways, one contract; which one is the
 * caller's choice. None of them copies a row: they add, subtract and merge whole panes.
 *
 *   merge       merges the panes of each window anew: for windows of very few panes
 *   running     one table: adds the pane that enters, subtracts the one that leaves; needs accumulators that can subtract
 *   two-stack   suffixes of the older panes and one table of the newer ones: for min and max
 *
 * `moveTo` is called with ascending windows. Rows that come for panes that a window has taken in already (they were late for
 * the windows before) are told by `touched`. All of it follows from the panes but for the last bits of sums and the order of slots,
 * so a snapshot holds it too: who goes on from one gives the same bytes.
 *
 * Two stacks: Tangwongsan, Hirzel and Schneider, "Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time", DEBS 2017.
 */

import type { GroupTable } from '../groups/group-table.ts';
import type { StateReader, StateWriter } from '../memory/state-bytes.ts';
import type { PaneGrid } from './pane-grid.ts';
import type { PaneGroups, PaneStore } from './pane-groups.ts';
import type { PaneRing } from './pane-ring.ts';

export interface WindowState {
  /** The groups of a window. The table is good until the next call of anything here. */
  moveTo(window: number): GroupTable;
  /** Rows were added to a pane: as these slots, or, without them, in ways unknown. */
  touched(pane: number, slots?: number, count?: number): void;
  /** Panes below this one are about to be closed. */
  leave(pane: number): void;
  /** The next window is computed from the panes alone, and may lie before the last one. */
  restart(): void;
  /** Writes the state, without the panes. */
  snapshot(out: StateWriter): void;
  /** Makes a new state what `snapshot` wrote; the panes are there already. */
  restore(from: StateReader): void;
  readonly bytes: number;
  release(): void;
}

export interface WindowStateOptions {
  readonly strategy: 'merge' | 'running' | 'two-stack';
  /** True when sums of floats are added and subtracted: then a running table is rebuilt now and again. */
  readonly drifts: boolean;
}

/** `panes` are of `store`. */
export function windowState(grid: PaneGrid, panes: PaneRing<PaneGroups>, store: PaneStore, { strategy, drifts }: WindowStateOptions): WindowState {
  if (strategy === 'running') return new RunningWindow(grid, panes, store, drifts);
  if (strategy === 'two-stack') return new TwoStackWindow(grid, panes, store);
  return new MergedWindow(grid, panes, store);
}

/** Merges the panes of each window anew. A window of one pane is that pane, while it is a table. */
class MergedWindow implements WindowState {
  readonly #grid: PaneGrid;
  readonly #panes: PaneRing<PaneGroups>;
  readonly #store: PaneStore;
  #table: GroupTable | undefined;

  constructor(grid: PaneGrid, panes: PaneRing<PaneGroups>, store: PaneStore) {
    this.#grid = grid;
    this.#panes = panes;
    this.#store = store;
  }

  get bytes(): number {
    return this.#table?.bytes ?? 0;
  }

  moveTo(window: number): GroupTable {
    const panes = this.#panes;
    const index = panes.indexFrom(this.#grid.firstPane(window));
    const last = this.#grid.lastPane(window);
    const isAlone = index < panes.size && panes.number(index) <= last && !(index + 1 < panes.size && panes.number(index + 1) <= last);
    if (isAlone) {
      const { table } = panes.state(index);
      if (table !== undefined) return table;
    }
    this.#table ??= this.#store.makeTable();
    this.#table.clear();
    for (let i = index; i < panes.size && panes.number(i) <= last; i++) panes.state(i).mergeInto(this.#table);
    return this.#table;
  }

  touched(): void {}
  leave(): void {}
  restart(): void {}

  snapshot(out: StateWriter): void {
    out.number(this.#table === undefined ? 0 : 1);
    this.#table?.snapshotCleared(out);
  }

  restore(from: StateReader): void {
    if (from.count() === 0) return;
    this.#table = this.#store.makeTable();
    this.#table.restore(from);
  }

  release(): void {
    this.#table?.release();
    this.#table = undefined;
  }
}

/** Slides between exact rebuilds, in windows' worth of panes: a rebuild then costs a quarter of a merge a slide. */
const REBUILD_WINDOWS = 4;
const REBUILD_SLIDES_MIN = 64;

/**
 * One table: panes that enter are added, panes that leave are subtracted. The rounding that sums of floats gather is cut
 * off by starting from the panes again every so many slides; so are infinities,
 * which subtraction cannot take out (whoever emits them calls `restart`).
 */
class RunningWindow implements WindowState {
  readonly #grid: PaneGrid;
  readonly #panes: PaneRing<PaneGroups>;
  readonly #table: GroupTable;
  readonly #slidesMax: number;
  // Panes in the table: from `#from` up to, not including, `#to`.
  #from = Number.NEGATIVE_INFINITY;
  #to = Number.NEGATIVE_INFINITY;
  #slides = 0;
  #isStale = true;

  constructor(grid: PaneGrid, panes: PaneRing<PaneGroups>, store: PaneStore, drifts: boolean) {
    this.#grid = grid;
    this.#panes = panes;
    this.#table = store.makeTable();
    this.#slidesMax = drifts ? Math.max(REBUILD_SLIDES_MIN, grid.panesPerWindow * REBUILD_WINDOWS) : Number.POSITIVE_INFINITY;
  }

  get bytes(): number {
    return this.#table.bytes;
  }

  moveTo(window: number): GroupTable {
    const first = this.#grid.firstPane(window);
    const last = this.#grid.lastPane(window);
    if (first >= this.#to || ++this.#slides >= this.#slidesMax) this.#isStale = true;
    if (this.#isStale) {
      this.#table.clear();
      this.#to = first;
      this.#slides = 0;
      this.#isStale = false;
    } else {
      this.#subtract(first);
    }
    const panes = this.#panes;
    for (let i = panes.indexFrom(this.#to); i < panes.size && panes.number(i) <= last; i++) {
      const pane = panes.state(i);
      pane.seal();
      pane.mergeInto(this.#table);
    }
    this.#from = first;
    this.#to = last + 1;
    return this.#table;
  }

  touched(pane: number, slots = 0, count = 0): void {
    if (pane < this.#from || pane >= this.#to) return;
    if (slots === 0) this.#isStale = true;
    else if (!this.#isStale) this.#table.mergeSlots(slots, count);
  }

  leave(pane: number): void {
    if (this.#isStale || pane <= this.#from) return;
    if (pane >= this.#to) {
      this.#isStale = true;
      return;
    }
    this.#subtract(pane);
    this.#from = pane;
  }

  restart(): void {
    this.#isStale = true;
  }

  snapshot(out: StateWriter): void {
    out.number(this.#isStale ? 1 : 0);
    out.number(this.#from);
    out.number(this.#to);
    out.number(this.#slides);
    if (this.#isStale) this.#table.snapshotCleared(out);
    else this.#table.snapshot(out);
  }

  restore(from: StateReader): void {
    this.#isStale = from.count() === 1;
    this.#from = from.number();
    this.#to = from.number();
    this.#slides = from.count();
    this.#table.restore(from);
  }

  release(): void {
    this.#table.release();
  }

  /** Takes out the panes below `end`. */
  #subtract(end: number): void {
    const panes = this.#panes;
    for (let i = panes.indexFrom(this.#from); i < panes.size && panes.number(i) < end; i++) panes.state(i).subtractFrom(this.#table);
  }
}

/**
 * Two stacks: the front has, for each of the older panes, the merge of all from it to the newest older one (a suffix); the back
 * is the merge of the newer ones. A window is one of the front and the back. When the front is used up, all panes become
 * the front.
 *
 *   panes    1    2    3    4    5    6  |  7    8
 *   front  1..6 2..6 mark      mark      |  7..8 = back
 *
 * A suffix may have far more groups than its pane, so not all of them are there at a time: of n panes every sqrt(n)th is a
 * mark, and the ones between two marks are made from the newer mark when their time comes. That costs each pane one merge
 * more, and 2 sqrt(n) suffixes are held in place of n (500 panes: 45).
 */
class TwoStackWindow implements WindowState {
  readonly #grid: PaneGrid;
  readonly #panes: PaneRing<PaneGroups>;
  readonly #store: PaneStore;
  readonly #back: GroupTable;
  readonly #result: GroupTable;
  // Suffixes as runs, newest pane first, and the pane that each begins with; and the same of the marks, which are older than none of them.
  readonly #front: number[] = [];
  readonly #frontPanes: number[] = [];
  readonly #marks: number[] = [];
  readonly #markPanes: number[] = [];
  /** The first pane behind the front. */
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

  /** Of its tables; the suffixes are in the store. */
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
    this.#store.mergeRuns(oldest, this.#result);
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
      this.#store.snapshotRuns(run, out);
    });
  }

  #restoreSuffixes(runs: number[], numbers: number[], from: StateReader): void {
    for (let count = from.count(); count > 0; count--) {
      numbers.push(from.number());
      runs.push(this.#store.restoreRuns(from));
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
    // Every step-th pane from the newest on is a mark, but for the last such one: what is older is soon wanted.
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
        this.#marks.push(this.#store.runOf(suffix));
        this.#markPanes.push(panes.number(index));
      } else {
        this.#front.push(this.#store.runOf(suffix));
        this.#frontPanes.push(panes.number(index));
      }
    }
  }

  /** The oldest mark, whose time has come, becomes the suffixes of the panes from it to the next mark. */
  #unfold(first: number): void {
    const panes = this.#panes;
    const suffix = this.#result;
    suffix.clear();
    const from = Math.max(first, this.#markPanes.pop() as number);
    this.#store.freeRuns(this.#marks.pop() as number);
    const next = this.#marks.at(-1);
    if (next !== undefined) this.#store.mergeRuns(next, suffix);
    const end = this.#markPanes.at(-1) ?? this.#frontEnd;
    for (let i = panes.indexFrom(end) - 1; i >= 0 && panes.number(i) >= from; i--) {
      panes.state(i).mergeInto(suffix);
      this.#front.push(this.#store.runOf(suffix));
      this.#frontPanes.push(panes.number(i));
    }
  }
}

/** Frees the suffixes that begin below `pane`: the oldest are last. */
function drop(store: PaneStore, runs: number[], numbers: number[], pane: number): void {
  while (numbers.length > 0 && (numbers.at(-1) as number) < pane) {
    numbers.pop();
    store.freeRuns(runs.pop() as number);
  }
}
