/**
 * Which windows a watermark leaves open: a pane grid and the lateness. A window is open until the watermark
 * reaches its end plus the lateness. No state: the plan asks it about rows, a shard about its panes, and both
 * get the same answer.
 *
 *   firstOpen(watermark)    the first window that is open; all later ones are open too
 *   lateBefore(watermark)   its start: a row before it has no open window, so it is late
 *   heldUntil(time)         the watermark at which the last window of a row closes: until then it is in state
 *
 * For any row, `time >= lateBefore(watermark)` if and only if `heldUntil(time) > watermark`.
 *
 * Infinities need no special care by callers. A watermark of -Infinity (nothing is known) leaves all windows
 * open, +Infinity (the input has ended) none. A time of -Infinity (no row) is not held at all, +Infinity (a
 * row without event time) for ever.
 */

import { assert } from '../assert.ts';
import type { PaneGrid } from './pane-grid.ts';

export class OpenWindows {
  readonly grid: PaneGrid;
  readonly latenessMs: number;

  constructor(grid: PaneGrid, latenessMs = 0) {
    assert(Number.isSafeInteger(latenessMs) && latenessMs >= 0, `a lateness of ${latenessMs} ms`);
    this.grid = grid;
    this.latenessMs = latenessMs;
  }

  firstOpen(watermark: number): number {
    return this.grid.lastWindowEndedBy(watermark - this.latenessMs) + 1;
  }

  /** The first window whose end the watermark has not reached, whatever the lateness. */
  firstNotEnded(watermark: number): number {
    return this.grid.lastWindowEndedBy(watermark) + 1;
  }

  /** The first pane of any open window: earlier ones may be dropped. */
  firstOpenPane(watermark: number): number {
    return this.grid.firstPane(this.firstOpen(watermark));
  }

  lateBefore(watermark: number): number {
    return this.grid.windowStart(this.firstOpen(watermark));
  }

  heldUntil(timeMs: number): number {
    return this.paneHeldUntil(this.grid.paneOf(timeMs));
  }

  /** Like {@link heldUntil}, for all rows of a pane. */
  paneHeldUntil(pane: number): number {
    return this.grid.paneExpiry(pane) + this.latenessMs;
  }

  /**
   * The watermark at which the next window from `from` on that has a row closes.
   *
   * @param firstPane the first pane that has rows; +Infinity, as is the answer: none has
   */
  nextClose(from: number, firstPane: number): number {
    return this.nextEnd(from, firstPane) + this.latenessMs;
  }

  /** The watermark at which that window ends, whatever the lateness. */
  nextEnd(from: number, firstPane: number): number {
    if (firstPane === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    return this.grid.windowEnd(Math.max(from, this.grid.firstWindowOf(firstPane)));
  }

  /**
   * Calls `visit`, in ascending order, with each window from `from` to before `until` that has a row.
   * Stretches without rows cost nothing.
   *
   * @param firstPane returns the first pane that has rows, +Infinity where none has
   * @param visit must drop the panes that later windows do not have
   */
  eachClosed(from: number, until: number, firstPane: () => number, visit: (window: number) => void): void {
    for (let window = from; ; window++) {
      window = Math.max(window, this.grid.firstWindowOf(firstPane()));
      if (window >= until) return;
      visit(window);
    }
  }
}
