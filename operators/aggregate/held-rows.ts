/**
 * The number of rows that the open windows of an aggregation hold. Rows are counted pane by pane, from the
 * heads of the blocks that are merged, and subtracted when the last window of a pane has closed. Each worker
 * counts for all shards, since each finds all blocks.
 */

import type { OpenWindows, SharedMemory } from '../../core/index.ts';
import type { HeldRows } from '../exchange/index.ts';
import { eachPaneRows } from './group-block.ts';

export class HeldPaneRows implements HeldRows {
  readonly #memory: SharedMemory;
  readonly #windows: OpenWindows;
  readonly #panes = new Map<number, number>();
  held = 0;
  released = 0;

  constructor(memory: SharedMemory, windows: OpenWindows) {
    this.#memory = memory;
    this.#windows = windows;
  }

  account(blocks: readonly number[], watermark: number): void {
    for (const block of blocks) eachPaneRows(this.#memory, block, this.#add);
    for (const [pane, rows] of this.#panes) {
      if (this.#windows.paneHeldUntil(pane) > watermark) continue;
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
