/**
 * The strategy `merge` of window-state.ts: for windows of very few panes.
 */

import type { GroupTable } from '../groups/index.ts';
import type { StateReader, StateWriter } from '../memory/index.ts';
import type { PaneGrid } from './pane-grid.ts';
import type { PaneGroups } from './pane-groups.ts';
import type { PaneRing } from './pane-ring.ts';
import type { PaneStore } from './pane-store.ts';
import type { WindowState } from './window-state.ts';

/** Merges the panes of each window from the start. A window of one pane is that pane, while it is a table. */
export class MergedWindow implements WindowState {
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
