/**
 * One shard of a fold in windows of time: values by pane and key, and the windows that the watermark closes.
 * For how a window is combined see fold.ts.
 */

import { type Batch, type OpenWindows, type PaneGrid, PaneRing, readTimestamp } from '../../core/index.ts';
import type { StateRow } from '../exchange/index.ts';
import type { DueTimes, Key, KeyedContext, KeyedInput, KeyedOperator } from '../keyed/index.ts';
import type { Emission } from '../windows.ts';
import { type Group, Groups, type RowFold, sampledBytes } from './row-fold.ts';

/** Whether a window is made from the one before it, by the panes that enter and leave. */
export function isRunning(fold: RowFold, grid: PaneGrid, emission: Emission): boolean {
  return fold.remove !== undefined && grid.panesPerWindow > 1 && emission === 'final';
}

type PaneValues = Map<Key, Group>;

export interface WindowedSnapshot {
  readonly watermark: number;
  /** Ascending by number. */
  readonly panes: readonly { readonly number: number; readonly groups: PaneValues }[];
  readonly running: RunningWindow | undefined;
}

/** The values of one window, from which the next one is made. */
interface RunningWindow {
  window: number;
  /** Groups, with the number of panes of the window that have them. */
  readonly groups: Map<Key, { readonly group: Group; panes: number }>;
}

export class WindowedFold implements KeyedOperator {
  readonly #groups: Groups;
  readonly #input: KeyedInput;
  readonly #grid: PaneGrid;
  readonly #windows: OpenWindows;
  readonly #emission: Emission;
  readonly #panes = new PaneRing<PaneValues>({ make: () => new Map(), recycle: (groups) => groups.clear() });
  /** Emit 'update' and 'revise': the groups of this epoch that changed, by pane. */
  readonly #changed = new Map<number, PaneValues>();
  #running: RunningWindow | undefined;
  #watermark: number;
  /** The first window that is still open. */
  #next: number;
  /** Emit 'revise': the first window that has not yet come out on time. */
  #due: number;

  constructor(fold: RowFold, input: KeyedInput, windows: OpenWindows, emission: Emission, context: KeyedContext, from: WindowedSnapshot | undefined) {
    this.#groups = new Groups(fold, input, context);
    this.#input = input;
    this.#grid = windows.grid;
    this.#windows = windows;
    this.#emission = emission;
    // After a restart the windows up to the committed watermark are closed; so are those that a shard slept through.
    this.#watermark = Math.max(from?.watermark ?? Number.NEGATIVE_INFINITY, context.clock.watermark);
    this.#next = this.#windows.firstOpen(this.#watermark);
    this.#due = this.#windows.firstNotEnded(this.#watermark);
    for (const { number, groups } of from?.panes ?? []) for (const [id, group] of groups) this.#panes.open(number).set(id, group);
    this.#running = from?.running;
  }

  get stateBytes(): number {
    let bytes = 0;
    for (let i = 0; i < this.#panes.size; i++) bytes += 200 + sampledBytes(this.#panes.state(i));
    return bytes + (this.#running === undefined ? 0 : this.#running.groups.size * 96);
  }

  /** When a window comes out, or the first pane goes. */
  get due(): DueTimes {
    return { time: this.#dueTime, clock: Number.POSITIVE_INFINITY };
  }

  get #dueTime(): number {
    const { first } = this.#panes;
    if (this.#emission === 'final' || first === Number.POSITIVE_INFINITY) return this.#windows.nextClose(this.#next, first);
    const gone = this.#windows.paneHeldUntil(first);
    if (this.#emission === 'update') return gone;
    const at = this.#panes.indexFrom(this.#grid.firstPane(this.#due));
    return at < this.#panes.size ? Math.min(gone, this.#windows.nextEnd(this.#due, this.#panes.number(at))) : gone;
  }

  onBatch(rows: Batch): void {
    const { data } = rows.column(this.#input.eventTime);
    const update = this.#emission !== 'final';
    let pane = Number.NaN;
    let groups: PaneValues = NO_VALUES;
    for (let row = 0; row < rows.rowCount; row++) {
      const number = this.#grid.paneOf(readTimestamp(rows.memory, data, row) + this.#input.timeShiftMs);
      if (pane !== number) {
        pane = number;
        groups = this.#open(number);
      }
      const changed = this.#groups.add(groups, rows, row, (group) => group);
      if (changed === undefined || !update) continue;
      const known = this.#changed.get(pane);
      if (known === undefined) this.#changed.set(pane, new Map([[changed.id, changed]]));
      else known.set(changed.id, changed);
    }
  }

  onWatermark(watermark: number): void {
    this.#watermark = watermark;
    const next = this.#windows.firstOpen(watermark);
    if (this.#emission === 'final') this.#emitClosed(next);
    else if (this.#emission === 'update') this.#emitChanges(Number.POSITIVE_INFINITY);
    else this.#revise(this.#windows.firstNotEnded(watermark));
    if (next > this.#next) {
      this.#next = next;
      this.#panes.closeBelow(this.#grid.firstPane(next));
    }
  }

  snapshot(): WindowedSnapshot {
    return structuredClone({
      watermark: this.#watermark,
      panes: [...this.#between(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)],
      running: this.#running,
    });
  }

  *stateRows(): Generator<StateRow> {
    for (const window of this.#windowsFrom(this.#next, Number.POSITIVE_INFINITY)) {
      const bounds = { windowStart: this.#grid.windowStart(window), windowEnd: this.#grid.windowEnd(window) };
      for (const group of this.#merged(window, undefined)) yield { key: this.#groups.keyRow(group), ...bounds, value: group.value };
    }
  }

  /** The values of a pane, to add to. */
  #open(pane: number): PaneValues {
    // What the running window holds of this pane is out of date.
    if (this.#running !== undefined && pane <= this.#grid.lastPane(this.#running.window)) this.#running = undefined;
    return this.#panes.open(pane);
  }

  /** The panes from `first` to `last`. */
  *#between(first: number, last: number): Generator<WindowedSnapshot['panes'][number]> {
    const panes = this.#panes;
    for (let i = panes.indexFrom(first); i < panes.size && panes.number(i) <= last; i++) yield { number: panes.number(i), groups: panes.state(i) };
  }

  /** Emits all windows before `next` that have a row and are still open. */
  #emitClosed(next: number): void {
    const grid = this.#grid;
    // A failing merge or inverse would leave a running value half changed.
    const runs = !this.#groups.isGuarded && isRunning(this.#groups.fold, grid, this.#emission);
    if (!runs) this.#running = undefined;
    const visit = (window: number): void => {
      const bounds = [grid.windowStart(window), grid.windowEnd(window)];
      if (runs) for (const { group } of this.#moveTo(window).values()) this.#groups.put(group, bounds);
      else for (const group of this.#merged(window, undefined)) this.#groups.put(group, bounds);
      if (runs) this.#leave(window + 1);
      this.#panes.closeBelow(grid.firstPane(window + 1));
    };
    this.#windows.eachClosed(this.#next, next, () => this.#panes.first, visit);
    if (this.#panes.size === 0) this.#running = undefined;
  }

  /**
   * Emits what late rows have changed in windows that are out, then the windows before `until` that are not
   * out.
   */
  #revise(until: number): void {
    const grid = this.#grid;
    this.#emitChanges(this.#due);
    for (const window of this.#windowsFrom(this.#due, until)) {
      const bounds = [grid.windowStart(window), grid.windowEnd(window)];
      for (const group of this.#merged(window, undefined)) this.#groups.put(group, bounds);
    }
    this.#due = Math.max(this.#due, until);
  }

  /** The windows from `first` on, before `until`, that have a row. */
  *#windowsFrom(first: number, until: number): Generator<number> {
    const grid = this.#grid;
    for (let window = first; ; window++) {
      const pane = this.#panes.indexFrom(grid.firstPane(window));
      if (pane >= this.#panes.size) break;
      window = Math.max(window, grid.firstWindowOf(this.#panes.number(pane)));
      if (window >= until) break;
      yield window;
    }
  }

  /** Emits, for each open window before `until`, the groups that changed in this epoch. */
  #emitChanges(until: number): void {
    const grid = this.#grid;
    const windows = new Map<number, Set<Key>>();
    for (const [pane, groups] of this.#changed) {
      for (let window = Math.max(this.#next, grid.firstWindowOf(pane)); window <= grid.lastWindowOf(pane) && window < until; window++) {
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

  /** The groups of a window, all or the given ones, in the order of their first panes. */
  #merged(window: number, only: ReadonlySet<Key> | undefined): Iterable<Group> {
    const { fold } = this.#groups;
    const first = this.#grid.firstPane(window);
    const last = this.#grid.lastPane(window);
    if (first === last && only === undefined) return this.#panes.get(first)?.values() ?? [];
    const merged = new Map<Key, Group>();
    const failed = new Set<Key>();
    for (const { groups } of this.#between(first, last)) {
      for (const group of groups.values()) {
        if ((only !== undefined && !only.has(group.id)) || failed.has(group.id)) continue;
        const known = merged.get(group.id);
        if (known === undefined) merged.set(group.id, { id: group.id, key: group.key, value: fold.merge(undefined, group.value) });
        else if (!this.#groups.isGuarded) known.value = fold.merge(known.value, group.value);
        else {
          try {
            known.value = fold.merge(known.value, group.value);
          } catch (error) {
            this.#groups.failed(error, this.#groups.keyRow(group));
            merged.delete(group.id);
            failed.add(group.id);
          }
        }
      }
    }
    return merged.values();
  }

  /**
   * The running values of a window: made from those of an earlier window and the panes that came in since, or
   * from its own panes.
   */
  #moveTo(window: number): RunningWindow['groups'] {
    const { fold } = this.#groups;
    const from = this.#running === undefined ? this.#grid.firstPane(window) : this.#grid.lastPane(this.#running.window) + 1;
    this.#running ??= { window, groups: new Map() };
    this.#running.window = window;
    const { groups: running } = this.#running;
    for (const { groups } of this.#between(from, this.#grid.lastPane(window))) {
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

  /** Takes out of the running values the panes that `window` and later ones do not have. */
  #leave(window: number): void {
    const { fold } = this.#groups;
    const { groups: running } = this.#running as RunningWindow;
    for (const { groups } of this.#between(Number.NEGATIVE_INFINITY, this.#grid.firstPane(window) - 1)) {
      for (const { id, value } of groups.values()) {
        const known = running.get(id) as { readonly group: Group; panes: number };
        known.panes--;
        // A key without panes is gone: nothing is subtracted, so no rounding error remains.
        if (known.panes === 0) running.delete(id);
        else known.group.value = (fold.remove as NonNullable<RowFold['remove']>)(known.group.value, value);
      }
    }
  }
}

const NO_VALUES: PaneValues = new Map();
