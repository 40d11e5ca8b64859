/**
 * The table of one window after the other, from the tables of its panes. Three ways, one contract; which one is the
 * caller's choice. None of them copies a row: they add, subtract and merge whole tables.
 *
 *   merge       merges the panes of each window anew: for windows of very few panes
 *   running     one table: adds the pane that enters, subtracts the one that leaves; needs accumulators that can subtract
 *   two-stack   suffix tables of the older panes and one table of the newer ones: for min and max
 *
 * `moveTo` is called with ascending windows. When rows came for panes that a window has taken in already (they were late
 * for the windows before), `touched` says so, and the next `moveTo` starts from the panes again. All of it follows from the
 * panes, so a snapshot does not hold it.
 *
 * Two stacks: Tangwongsan, Hirzel and Schneider, "Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time", DEBS 2017.
 */

import { GroupTable } from './group-table.ts';
import type { PaneGrid } from './pane-grid.ts';
import type { PaneRing } from './pane-ring.ts';
import { SLAB_BYTES_MIN, type SlabAllocator } from './slab.ts';
import type { SlotLayout } from './slot-layout.ts';

export interface WindowState {
  /** The groups of a window. The table is good until the next call of anything here. */
  moveTo(window: number): GroupTable;
  /** Rows were added to a pane. */
  touched(pane: number): void;
  /** Panes below this one are about to be closed. */
  leave(pane: number): void;
  /** The next window is computed from the panes alone, and may lie before the last one. */
  restart(): void;
  readonly bytes: number;
  release(): void;
}

/** Makes an empty table of the plan's layout. */
export type TableMaker = () => GroupTable;

export interface WindowStateOptions {
  readonly strategy: 'merge' | 'running' | 'two-stack';
  /** True when sums of floats are added and subtracted: then a running table is rebuilt now and again. */
  readonly drifts: boolean;
}

export function windowState(grid: PaneGrid, panes: PaneRing<GroupTable>, make: TableMaker, { strategy, drifts }: WindowStateOptions): WindowState {
  if (strategy === 'running') return new RunningWindow(grid, panes, make, drifts);
  if (strategy === 'two-stack') return new TwoStackWindow(grid, panes, make);
  return new MergedWindow(grid, panes, make);
}

/** Calls `visit` for each pane from `from` to `to`, both inclusive, that exists. */
function eachPane(panes: PaneRing<GroupTable>, from: number, to: number, visit: (table: GroupTable) => void): void {
  for (let i = panes.indexFrom(from); i < panes.size && panes.number(i) <= to; i++) visit(panes.state(i));
}

/** Merges the panes of each window anew. A window of one pane is that pane. */
class MergedWindow implements WindowState {
  readonly #grid: PaneGrid;
  readonly #panes: PaneRing<GroupTable>;
  readonly #make: TableMaker;
  #table: GroupTable | undefined;

  constructor(grid: PaneGrid, panes: PaneRing<GroupTable>, make: TableMaker) {
    this.#grid = grid;
    this.#panes = panes;
    this.#make = make;
  }

  get bytes(): number {
    return this.#table?.bytes ?? 0;
  }

  moveTo(window: number): GroupTable {
    const panes = this.#panes;
    const index = panes.indexFrom(this.#grid.firstPane(window));
    const last = this.#grid.lastPane(window);
    const isAlone = index < panes.size && panes.number(index) <= last && !(index + 1 < panes.size && panes.number(index + 1) <= last);
    if (isAlone) return panes.state(index);
    this.#table ??= this.#make();
    this.#table.clear();
    for (let i = index; i < panes.size && panes.number(i) <= last; i++) this.#table.mergeTable(panes.state(i));
    return this.#table;
  }

  touched(): void {}
  leave(): void {}
  restart(): void {}

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
  readonly #panes: PaneRing<GroupTable>;
  readonly #table: GroupTable;
  readonly #slidesMax: number;
  // Panes in the table: from `#from` up to, not including, `#to`.
  #from = Number.NEGATIVE_INFINITY;
  #to = Number.NEGATIVE_INFINITY;
  #slides = 0;
  #isStale = true;

  constructor(grid: PaneGrid, panes: PaneRing<GroupTable>, make: TableMaker, drifts: boolean) {
    this.#grid = grid;
    this.#panes = panes;
    this.#table = make();
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
      eachPane(this.#panes, this.#from, first - 1, (pane) => this.#table.subtractTable(pane));
    }
    eachPane(this.#panes, this.#to, last, (pane) => this.#table.mergeTable(pane));
    this.#from = first;
    this.#to = last + 1;
    return this.#table;
  }

  touched(pane: number): void {
    if (pane >= this.#from && pane < this.#to) this.#isStale = true;
  }

  leave(pane: number): void {
    if (this.#isStale || pane <= this.#from) return;
    if (pane >= this.#to) {
      this.#isStale = true;
      return;
    }
    eachPane(this.#panes, this.#from, pane - 1, (table) => this.#table.subtractTable(table));
    this.#from = pane;
  }

  restart(): void {
    this.#isStale = true;
  }

  release(): void {
    this.#table.release();
  }
}

/**
 * Two stacks: `front[i]` is the merge of the older panes from its own to the newest older one; `back` is the merge of the
 * newer ones. A window is one of the front and the back. When the front is used up, all panes become the front.
 *
 *   panes    3    4    5    6  |  7    8
 *   front  3..6 4..6 5..6   6  |  7..8 = back
 */
class TwoStackWindow implements WindowState {
  readonly #grid: PaneGrid;
  readonly #panes: PaneRing<GroupTable>;
  readonly #make: TableMaker;
  readonly #back: GroupTable;
  readonly #result: GroupTable;
  readonly #spare: GroupTable[] = [];
  // Suffix tables, newest pane first, and the pane that each begins with.
  readonly #front: GroupTable[] = [];
  readonly #frontPanes: number[] = [];
  #backIsEmpty = true;
  #to = Number.NEGATIVE_INFINITY;
  #isStale = true;

  constructor(grid: PaneGrid, panes: PaneRing<GroupTable>, make: TableMaker) {
    this.#grid = grid;
    this.#panes = panes;
    this.#make = make;
    this.#back = make();
    this.#result = make();
  }

  get bytes(): number {
    let bytes = this.#back.bytes + this.#result.bytes;
    for (const table of this.#front) bytes += table.bytes;
    for (const table of this.#spare) bytes += table.bytes;
    return bytes;
  }

  moveTo(window: number): GroupTable {
    const first = this.#grid.firstPane(window);
    const last = this.#grid.lastPane(window);
    if (!this.#isStale) this.#pop(first);
    if (this.#isStale || this.#front.length === 0) this.#flip(first, last);
    else {
      eachPane(this.#panes, this.#to, last, (pane) => {
        this.#back.mergeTable(pane);
        this.#backIsEmpty = false;
      });
    }
    this.#to = last + 1;
    const oldest = this.#front.at(-1);
    if (oldest === undefined) return this.#back;
    if (this.#backIsEmpty) return oldest;
    this.#result.clear();
    this.#result.mergeTable(oldest);
    this.#result.mergeTable(this.#back);
    return this.#result;
  }

  touched(pane: number): void {
    if (pane < this.#to) this.#isStale = true;
  }

  leave(): void {}

  restart(): void {
    this.#isStale = true;
  }

  release(): void {
    this.#pop(Number.POSITIVE_INFINITY);
    for (const table of [...this.#spare, this.#back, this.#result]) table.release();
    this.#spare.length = 0;
  }

  /** Drops the suffixes that begin below `pane`. */
  #pop(pane: number): void {
    while (this.#frontPanes.length > 0 && (this.#frontPanes.at(-1) as number) < pane) {
      this.#frontPanes.pop();
      const table = this.#front.pop() as GroupTable;
      table.clear();
      this.#spare.push(table);
    }
  }

  #flip(first: number, last: number): void {
    this.#pop(Number.POSITIVE_INFINITY);
    this.#back.clear();
    this.#backIsEmpty = true;
    this.#isStale = false;
    const panes = this.#panes;
    let newer: GroupTable | undefined;
    for (let i = panes.indexFrom(last + 1) - 1; i >= 0 && panes.number(i) >= first; i--) {
      const suffix = this.#spare.pop() ?? this.#make();
      if (newer !== undefined) suffix.mergeTable(newer);
      suffix.mergeTable(panes.state(i));
      this.#front.push(suffix);
      this.#frontPanes.push(panes.number(i));
      newer = suffix;
    }
  }
}

/** A maker of tables for panes. They start as small as a slab allows: there may be one a pane and shard. */
export function tableMaker(slabs: SlabAllocator, layout: SlotLayout, skipBits: number): TableMaker {
  const capacityMin = Math.floor(SLAB_BYTES_MIN / layout.slotBytes);
  return () => new GroupTable(slabs, layout, { capacityMin, skipBits });
}
