/**
 * The table of one window after the other, from the groups of its panes: the contract. There are three ways,
 * and which one to take is up to the caller (window-strategy.ts makes it). None of them copies a row: they
 * add, subtract and merge whole panes.
 *
 *   merge       merged-window.ts: merges the panes of each window from the start, for windows of very few panes
 *   running     running-window.ts: one table; adds the pane that enters, subtracts the one that leaves; needs
 *               accumulators that can subtract
 *   two-stack   two-stack-window.ts: suffixes of the older panes and one table of the newer ones, for min and max
 *
 * `moveTo` is called with ascending windows. `touched` tells of rows that come for panes that a window has
 * taken in already (they were late for the windows before). All of it follows from the panes but for the last
 * bits of sums and the order of slots, so a snapshot holds it too: resuming from one yields the same bytes.
 */

import type { GroupTable } from '../groups/index.ts';
import type { StateReader, StateWriter } from '../memory/index.ts';

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
