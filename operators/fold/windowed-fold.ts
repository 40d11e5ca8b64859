/**
 * One shard of a fold in windows of time: values by pane and key, and the windows that the watermark closes. How a window is put
 * together is told in fold.ts.
 */

import { type Batch, type PaneGrid, readTimestamp } from '../../core/index.ts';
import type { KeyedContext, KeyedInput, KeyedOperator } from '../keyed/keyed-operator.ts';
import type { Key } from '../keyed/row-values.ts';
import type { WindowSpec } from '../windows.ts';
import { type Group, Groups, type RowFold, sampledBytes } from './row-fold.ts';

/** Whether a window goes on from the one before it, by what enters and what leaves. */
export function isRunning(fold: RowFold, grid: PaneGrid, window: WindowSpec): boolean {
  return fold.remove !== undefined && grid.panesPerWindow > 1 && window.emission === 'final';
}

interface Pane {
  readonly number: number;
  readonly groups: Map<Key, Group>;
}

export interface WindowedSnapshot {
  readonly watermark: number;
  readonly panes: readonly Pane[];
  readonly running: RunningWindow | undefined;
}

/** The values of one window, to go on from to the next. */
interface RunningWindow {
  window: number;
  /** Groups with how many panes of the window have them. */
  readonly groups: Map<Key, { readonly group: Group; panes: number }>;
}

export class WindowedFold implements KeyedOperator {
  readonly #groups: Groups;
  readonly #input: KeyedInput;
  readonly #grid: PaneGrid;
  readonly #window: WindowSpec;
  /** Ascending by number. */
  readonly #panes: Pane[] = [];
  /** Emit 'update': the groups of this epoch that changed, by pane. */
  readonly #changed = new Map<Pane, Map<Key, Group>>();
  #running: RunningWindow | undefined;
  #watermark: number;
  /** The first window that is still open. */
  #next: number;

  constructor(fold: RowFold, input: KeyedInput, grid: PaneGrid, window: WindowSpec, context: KeyedContext, from: WindowedSnapshot | undefined) {
    this.#groups = new Groups(fold, input, context.output);
    this.#input = input;
    this.#grid = grid;
    this.#window = window;
    // After a restart the windows up to the committed watermark are closed.
    this.#watermark = from?.watermark ?? context.clock.watermark;
    this.#next = this.#firstOpenWindow(this.#watermark);
    this.#panes.push(...(from?.panes ?? []));
    this.#running = from?.running;
  }

  get stateBytes(): number {
    let bytes = 0;
    for (const { groups } of this.#panes) bytes += 200 + sampledBytes(groups);
    return bytes + (this.#running === undefined ? 0 : this.#running.groups.size * 96);
  }

  onBatch(rows: Batch): void {
    const { data } = rows.column(this.#input.eventTime);
    const update = this.#window.emission === 'update';
    let pane: Pane | undefined;
    for (let row = 0; row < rows.rowCount; row++) {
      const number = this.#grid.paneOf(readTimestamp(rows.memory, data, row) + this.#input.timeShiftMs);
      if (pane?.number !== number) pane = this.#pane(number);
      const changed = this.#groups.add(pane.groups, rows, row, (group) => group);
      if (changed === undefined || !update) continue;
      const groups = this.#changed.get(pane);
      if (groups === undefined) this.#changed.set(pane, new Map([[changed.id, changed]]));
      else groups.set(changed.id, changed);
    }
  }

  onWatermark(watermark: number): void {
    this.#watermark = watermark;
    const next = this.#firstOpenWindow(watermark);
    if (this.#window.emission === 'update') this.#emitChanges();
    else this.#emitClosed(next);
    if (next > this.#next) {
      this.#next = next;
      this.#dropBelow(this.#grid.firstPane(next));
    }
  }

  snapshot(): WindowedSnapshot {
    return structuredClone({ watermark: this.#watermark, panes: this.#panes, running: this.#running });
  }

  #firstOpenWindow(watermark: number): number {
    return Number.isFinite(watermark) ? this.#grid.lastWindowEndedBy(watermark - this.#window.latenessMs) + 1 : watermark;
  }

  /** The pane of a number, made where it is missing. */
  #pane(number: number): Pane {
    const panes = this.#panes;
    // Late rows are rare: the last pane is most likely.
    let at = panes.length;
    while (at > 0 && (panes[at - 1] as Pane).number > number) at--;
    const known = panes[at - 1];
    // What the running window holds of this pane is no longer true.
    if (this.#running !== undefined && number <= this.#grid.lastPane(this.#running.window)) this.#running = undefined;
    if (known?.number === number) return known;
    const pane: Pane = { number, groups: new Map() };
    panes.splice(at, 0, pane);
    return pane;
  }

  /** Emits all windows before `next` that have a row and are open yet. */
  #emitClosed(next: number): void {
    const grid = this.#grid;
    const runs = isRunning(this.#groups.fold, grid, this.#window);
    let window = this.#next;
    while (this.#panes.length > 0) {
      window = Math.max(window, grid.firstWindowOf((this.#panes[0] as Pane).number));
      if (window >= next) return;
      const bounds = [grid.windowStart(window), grid.windowEnd(window)];
      if (runs) for (const { group } of this.#moveTo(window).values()) this.#groups.put(group, bounds);
      else for (const group of this.#merged(window, undefined)) this.#groups.put(group, bounds);
      window++;
      if (runs) this.#leave(window);
      this.#dropBelow(grid.firstPane(window));
    }
    this.#running = undefined;
  }

  /** Emits, of each open window, the groups that changed in this epoch. */
  #emitChanges(): void {
    const grid = this.#grid;
    const windows = new Map<number, Set<Key>>();
    for (const [pane, groups] of this.#changed) {
      for (let window = Math.max(this.#next, grid.firstWindowOf(pane.number)); window <= grid.lastWindowOf(pane.number); window++) {
        const keys = windows.get(window) ?? new Set();
        windows.set(window, keys);
        for (const key of groups.keys()) keys.add(key);
      }
    }
    for (const window of [...windows.keys()].sort((a, b) => a - b)) {
      const bounds = [grid.windowStart(window), grid.windowEnd(window)];
      for (const group of this.#merged(window, windows.get(window))) this.#groups.put(group, bounds);
    }
    this.#changed.clear();
  }

  /** The groups of a window, all or the named ones, in the order of their first panes. */
  #merged(window: number, only: ReadonlySet<Key> | undefined): Iterable<Group> {
    const { fold } = this.#groups;
    const first = this.#grid.firstPane(window);
    const last = this.#grid.lastPane(window);
    if (first === last && only === undefined) return this.#panes.find((pane) => pane.number === first)?.groups.values() ?? [];
    const merged = new Map<Key, Group>();
    for (const { number, groups } of this.#panes) {
      if (number < first) continue;
      if (number > last) break;
      for (const group of groups.values()) {
        if (only !== undefined && !only.has(group.id)) continue;
        const known = merged.get(group.id);
        if (known === undefined) merged.set(group.id, { id: group.id, key: group.key, value: fold.merge(undefined, group.value) });
        else known.value = fold.merge(known.value, group.value);
      }
    }
    return merged.values();
  }

  /** The running values of a window: from those of an earlier one by the panes that came in since, or from its panes. */
  #moveTo(window: number): RunningWindow['groups'] {
    const { fold } = this.#groups;
    const from = this.#running === undefined ? this.#grid.firstPane(window) : this.#grid.lastPane(this.#running.window) + 1;
    this.#running ??= { window, groups: new Map() };
    this.#running.window = window;
    const { groups: running } = this.#running;
    for (const { number, groups } of this.#panes) {
      if (number < from) continue;
      if (number > this.#grid.lastPane(window)) break;
      for (const { id, key, value } of groups.values()) {
        const known = running.get(id);
        if (known === undefined) running.set(id, { group: { id, key, value: fold.merge(undefined, value) }, panes: 1 });
        else {
          known.group.value = fold.merge(known.group.value, value);
          known.panes++;
        }
      }
    }
    return running;
  }

  /** Takes the panes out of the running values that `window` and later ones do not have. */
  #leave(window: number): void {
    const { fold } = this.#groups;
    const { groups: running } = this.#running as RunningWindow;
    for (const { number, groups } of this.#panes) {
      if (number >= this.#grid.firstPane(window)) break;
      for (const { id, value } of groups.values()) {
        const known = running.get(id) as { readonly group: Group; panes: number };
        known.panes--;
        // A key of no pane is gone: there is nothing to subtract from, and no error is kept.
        if (known.panes === 0) running.delete(id);
        else known.group.value = (fold.remove as NonNullable<RowFold['remove']>)(known.group.value, value);
      }
    }
  }

  #dropBelow(pane: number): void {
    let count = 0;
    while (count < this.#panes.length && (this.#panes[count] as Pane).number < pane) count++;
    this.#panes.splice(0, count);
  }
}
