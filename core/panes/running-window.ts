/** The strategy `running` of window-state.ts: for accumulators that can all be subtracted. */

import type { GroupTable } from '../groups/index.ts';
import type { StateReader, StateWriter } from '../memory/index.ts';
import type { PaneGrid } from './pane-grid.ts';
import type { PaneGroups } from './pane-groups.ts';
import type { PaneRing } from './pane-ring.ts';
import type { PaneStore } from './pane-store.ts';
import type { WindowState } from './window-state.ts';

/**
 * Slides between exact rebuilds, in multiples of the panes of a window: a rebuild then costs a quarter of a
 * merge per slide.
 */
const REBUILD_WINDOWS = 4;
const REBUILD_SLIDES_MIN = 64;

/**
 * One table: panes that enter are added, panes that leave are subtracted. Rebuilding from the panes every so
 * many slides limits the rounding errors that sums of floats accumulate. Infinities, which subtraction cannot
 * remove, are removed by `restart`, which the caller calls after emitting one.
 */
export class RunningWindow implements WindowState {
  readonly #grid: PaneGrid;
  readonly #panes: PaneRing<PaneGroups>;
  readonly #table: GroupTable;
  readonly #slidesMax: number;
  // Panes in the table: from `#from` to before `#to`.
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

  /** Subtracts the panes below `end`. */
  #subtract(end: number): void {
    const panes = this.#panes;
    for (let i = panes.indexFrom(this.#from); i < panes.size && panes.number(i) < end; i++) panes.state(i).subtractFrom(this.#table);
  }
}
