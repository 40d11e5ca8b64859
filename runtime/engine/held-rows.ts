/**
 * How many rows the open windows of an aggregation hold: counted by the heads of the blocks that are merged, pane by pane, and
 * taken off when the last window of a pane has closed. Each worker counts for all shards, since each finds all blocks.
 */

import type { SharedMemory } from '../../core/index.ts';
import { type AggregatePlan, eachPaneRows } from '../../operators/index.ts';

export class HeldRows {
  readonly #memory: SharedMemory;
  readonly #plan: AggregatePlan;
  readonly #panes = new Map<number, number>();
  held = 0;
  /** Rows of panes that have closed. */
  released = 0;

  /** @param plan of an aggregation in windows of time */
  constructor(memory: SharedMemory, plan: AggregatePlan) {
    this.#memory = memory;
    this.#plan = plan;
  }

  /** The blocks of an epoch, and the watermark at its end. */
  account(blocks: readonly number[], watermark: number): void {
    for (const block of blocks) eachPaneRows(this.#memory, block, this.#add);
    const { openWindows } = this.#plan;
    if (openWindows === undefined) return;
    for (const [pane, rows] of this.#panes) {
      if (openWindows.paneHeldUntil(pane) > watermark) continue;
      this.#panes.delete(pane);
      this.held -= rows;
      this.released += rows;
    }
  }

  readonly #add = (pane: number, rows: number): void => {
    this.#panes.set(pane, (this.#panes.get(pane) ?? 0) + rows);
    this.held += rows;
  };
}
