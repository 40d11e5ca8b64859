/**
 * One shard of a windowed aggregation: a ring of panes, and the windows that the watermark closes.
 *
 * The groups of a row are merged into one pane, whatever the number of its windows. A window is combined from
 * its panes when it is emitted (core/panes/window-state.ts). Stretches of time without rows cost nothing: the
 * next window with rows is found through the ring. For what is emitted when see windows.ts.
 */

import {
  assert,
  type OpenWindows,
  type PaneGrid,
  PaneGroups,
  PaneRing,
  PaneStore,
  SHARD_BITS,
  type SlabAllocator,
  StateReader,
  StateWriter,
  type WindowState,
  windowState,
} from '../../core/index.ts';
import type { Emit } from '../exchange/index.ts';
import type { AggregatePlan } from './aggregate-plan.ts';
import { eachPaneOf } from './group-block.ts';
import type { ResultWriter } from './result-writer.ts';
import type { ShardAggregate, ShardSnapshot } from './shard-aggregate.ts';

export class WindowAggregate implements ShardAggregate {
  readonly plan: AggregatePlan;
  readonly shard: number;
  readonly #slabs: SlabAllocator;
  readonly #grid: PaneGrid;
  readonly #windows: OpenWindows;
  readonly #store: PaneStore;
  readonly #panes: PaneRing<PaneGroups>;
  readonly #state: WindowState;
  readonly #writer: ResultWriter;
  /** Emit 'update' and 'revise': the groups of this epoch alone, by pane, to know what changed. */
  readonly #changesStore: PaneStore | undefined;
  readonly #changes: PaneRing<PaneGroups> | undefined;
  readonly #changesState: WindowState | undefined;
  #watermark = Number.NEGATIVE_INFINITY;
  /** The first window that is still open. */
  #next = Number.NEGATIVE_INFINITY;
  /** Emit 'revise': the first window that has not yet come out on time. */
  #due = Number.NEGATIVE_INFINITY;

  constructor(slabs: SlabAllocator, plan: AggregatePlan, shard: number, writer: ResultWriter, from?: ShardSnapshot) {
    assert(plan.window !== undefined && plan.openWindows !== undefined, 'a windowed aggregation without a window');
    this.plan = plan;
    this.shard = shard;
    this.#slabs = slabs;
    this.#windows = plan.openWindows;
    this.#grid = plan.openWindows.grid;
    this.#store = new PaneStore(slabs, plan.layout, { skipBits: SHARD_BITS });
    const emptied = (pane: PaneGroups) => pane.clear();
    this.#panes = new PaneRing({ make: () => new PaneGroups(this.#store), recycle: emptied, drop: emptied });
    // A window of one pane is a merge of one.
    const options = { strategy: plan.strategy === 'running' || plan.strategy === 'two-stack' ? plan.strategy : 'merge', drifts: plan.drifts } as const;
    this.#state = windowState(this.#grid, this.#panes, this.#store, options);
    this.#writer = writer;
    if (plan.window.emission !== 'final') {
      const store = new PaneStore(slabs, plan.layout, { skipBits: SHARD_BITS });
      this.#changesStore = store;
      this.#changes = new PaneRing({ make: () => new PaneGroups(store), recycle: emptied, drop: emptied });
      this.#changesState = windowState(this.#grid, this.#changes, store, options);
    }
    if (from !== undefined) {
      this.#watermark = from.watermark;
      this.#next = this.#windows.firstOpen(from.watermark);
      this.#due = this.#windows.firstNotEnded(from.watermark);
      if (from.state !== undefined) this.#restore(new StateReader(from.state));
    }
  }

  get stateBytes(): number {
    return this.#state.bytes + this.#store.bytes;
  }

  get spareBytes(): number {
    return (this.#changesStore?.bytes ?? 0) + (this.#changesState?.bytes ?? 0);
  }

  /** When a window comes out, or the first pane goes. */
  get dueTime(): number {
    const { first } = this.#panes;
    const emission = this.plan.window?.emission;
    if (emission === 'final' || first === Number.POSITIVE_INFINITY) return this.#windows.nextClose(this.#next, first);
    const gone = this.#windows.paneHeldUntil(first);
    if (emission === 'update') return gone;
    const at = this.#panes.indexFrom(this.#grid.firstPane(this.#due));
    return at < this.#panes.size ? Math.min(gone, this.#windows.nextEnd(this.#due, this.#panes.number(at))) : gone;
  }

  get groupCount(): number {
    let count = 0;
    for (let i = 0; i < this.#panes.size; i++) count += this.#panes.state(i).size;
    return count;
  }

  merge(block: number): number {
    return eachPaneOf(this.#slabs.memory, this.plan.layout, block, this.shard, this.#mergePane);
  }

  advance(watermark: number, emit: Emit): void {
    assert(watermark >= this.#watermark, `a watermark of ${watermark} after ${this.#watermark}`);
    this.#watermark = watermark;
    const next = this.#windows.firstOpen(watermark);
    if (this.#changes === undefined) this.#emitClosed(next, emit);
    else if (this.plan.window?.emission === 'update') this.#emitChanges(Number.POSITIVE_INFINITY, emit);
    else this.#revise(this.#windows.firstNotEnded(watermark), emit);
    if (next > this.#next) {
      this.#next = next;
      this.#close(this.#grid.firstPane(next));
    }
    this.#writer.flush(emit);
  }

  close(emit: Emit): void {
    this.advance(Number.POSITIVE_INFINITY, emit);
  }

  snapshot(): ShardSnapshot {
    const out = new StateWriter();
    this.#store.snapshot(out);
    out.number(this.#panes.size);
    for (let i = 0; i < this.#panes.size; i++) {
      out.number(this.#panes.number(i));
      this.#panes.state(i).snapshot(out);
    }
    this.#state.snapshot(out);
    this.#changesStore?.snapshot(out);
    this.#changesState?.snapshot(out);
    return { watermark: this.#watermark, state: out.finish() };
  }

  emitState(emit: Emit): void {
    this.#state.restart();
    this.#emitFrom(this.#next, Number.POSITIVE_INFINITY, emit);
    this.#state.restart();
    this.#writer.flush(emit);
  }

  #restore(from: StateReader): void {
    this.#store.restore(from);
    for (let count = from.count(); count > 0; count--) this.#panes.open(from.number()).restore(from);
    this.#state.restore(from);
    this.#changesStore?.restore(from);
    this.#changesState?.restore(from);
    from.end();
  }

  release(): void {
    this.#state.release();
    this.#panes.release();
    this.#store.release();
    this.#changesState?.release();
    this.#changes?.release();
    this.#changesStore?.release();
  }

  // One closure for all blocks.
  readonly #mergePane = (pane: number, slots: number, count: number): void => {
    if (this.#grid.lastWindowOf(pane) < this.#next) {
      assert(false, `rows for pane ${pane}, whose windows are closed: the combiner had an older watermark than shard ${this.shard}`);
    }
    this.#panes.open(pane).add(slots, count);
    this.#state.touched(pane, slots, count);
    this.#changes?.open(pane).add(slots, count);
  };

  /** Emits all windows before `next` that have a row and are still open. */
  #emitClosed(next: number, emit: Emit): void {
    const grid = this.#grid;
    const visit = (window: number): void => {
      this.#writer.writeTable(this.#state.moveTo(window), grid.windowStart(window), grid.windowEnd(window), emit);
      this.#restartIfNonFinite();
      this.#close(grid.firstPane(window + 1));
    };
    this.#windows.eachClosed(this.#next, next, () => this.#panes.first, visit);
  }

  /**
   * Emits what late rows have changed in windows that are out, then the windows before `until` that are not
   * out.
   */
  #revise(until: number, emit: Emit): void {
    this.#emitChanges(this.#due, emit);
    this.#emitFrom(this.#due, until, emit);
    this.#due = Math.max(this.#due, until);
  }

  /** Emits the windows from `first` on, before `until`, that have a row. They stay open. */
  #emitFrom(first: number, until: number, emit: Emit): void {
    const grid = this.#grid;
    for (let window = first; ; window++) {
      const pane = this.#panes.indexFrom(grid.firstPane(window));
      if (pane >= this.#panes.size) break;
      window = Math.max(window, grid.firstWindowOf(this.#panes.number(pane)));
      if (window >= until) break;
      this.#writer.writeTable(this.#state.moveTo(window), grid.windowStart(window), grid.windowEnd(window), emit);
      this.#restartIfNonFinite();
    }
  }

  #restartIfNonFinite(): void {
    if (!this.#writer.sawNonFinite) return;
    this.#writer.sawNonFinite = false;
    this.#state.restart();
  }

  /** Emits the groups that changed in this epoch, of each window before `until` that is open. */
  #emitChanges(until: number, emit: Emit): void {
    const grid = this.#grid;
    const changes = this.#changes as PaneRing<PaneGroups>;
    const changesState = this.#changesState as WindowState;
    if (changes.size === 0 || Math.max(this.#next, grid.firstWindowOf(changes.first)) >= until) {
      changes.closeBelow(Number.POSITIVE_INFINITY);
      return;
    }
    this.#state.restart();
    changesState.restart();
    let window = this.#next;
    let i = 0;
    while (i < changes.size) {
      window = Math.max(window, grid.firstWindowOf(changes.number(i)));
      if (window >= until) break;
      const table = this.#state.moveTo(window);
      const changed = changesState.moveTo(window);
      const start = grid.windowStart(window);
      const end = grid.windowEnd(window);
      changed.eachTile((slots, count) => {
        table.lookupSlots(slots, count, this.#writer.found);
        this.#writer.writeSlots(table, this.#writer.found, count, start, end, emit);
      });
      this.#restartIfNonFinite();
      window++;
      i = changes.indexFrom(grid.firstPane(window));
    }
    changes.closeBelow(Number.POSITIVE_INFINITY);
    // The next window may be one before the last.
    this.#state.restart();
  }

  #close(pane: number): void {
    this.#state.leave(pane);
    this.#panes.closeBelow(pane);
  }
}
