/**
 * The table of one window after the other, from the groups of its panes: the contract. There are three
 * implementations; which one to use is up to the caller (window-strategy.ts makes it). None of them copies a
 * row: they add, subtract and merge whole panes.
 *
 *   merge       merged-window.ts: merges the panes of each window from the start, for windows of very few
 *               panes
 *   running     running-window.ts: one table; adds the pane that enters, subtracts the one that leaves; needs
 *               accumulators that can subtract
 *   two-stack   two-stack-window.ts: suffixes of the older panes and one table of the newer ones, for min and
 *               max
 *
 * `moveTo` is called with ascending windows. `touched` reports rows that come for panes already included in a
 * window (they were late for earlier windows). The state follows from the panes, except for the last bits of
 * sums and the order of slots. So a snapshot holds it too: resuming from one yields the same bytes.
 */

import type { GroupTable } from '../groups/index.ts';
import type { StateReader, StateWriter } from '../memory/index.ts';

export interface WindowState {
  /** The groups of a window. The table is valid until the next call of any method here. */
  moveTo(window: number): GroupTable;
  /** Rows were added to a pane: as these slots or, without them, in unknown ways. */
  touched(pane: number, slots?: number, count?: number): void;
  /** Panes below this one are about to be closed. */
  leave(pane: number): void;
  /** The next window is computed from the panes alone, and may be before the last one. */
  restart(): void;
  /** Writes the state, without the panes. */
  snapshot(out: StateWriter): void;
  /** Fills a new state with what `snapshot` wrote. The panes are already there. */
  restore(from: StateReader): void;
  readonly bytes: number;
  release(): void;
}

export interface WindowStateOptions {
  readonly strategy: 'merge' | 'running' | 'two-stack';
  /** True when sums of floats are added and subtracted: a running table is then rebuilt now and again. */
  readonly drifts: boolean;
}
