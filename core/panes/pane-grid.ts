/**
 * How event time is cut into panes, and how windows are runs of panes. Pure arithmetic: no state, no rows.
 *
 * A pane is a slice of time that no window cuts, so a row goes to one pane and a window is a run of whole
 * panes. Windows start every `slideMs` and last `sizeMs`. Where the size is a multiple of the slide, a pane
 * is one slide long. Where it is not, each slide is cut in two, at the place where older windows end. So a
 * window of 7 s every 3 s takes 5 panes, and a size and a slide without a common divisor cost nothing special
 * (the greatest common divisor would: 1 ms panes).
 *
 *   size 7, slide 3    0   1   2   3   4   5   6   7   8   9
 *   panes              |0 -|- -1- -|2 -|- -3- -|4 -|- -5- -|       even: [3s, 3s + 1), odd: [3s + 1, 3s + 3)
 *   window 0           [===========================)               panes 0 1 2 3 4
 *   window 1                       [===========================)   panes 2 3 4 5 6
 *
 * Times are whole milliseconds since 1970. Before 1970 they are negative, and all divisions round down.
 * Infinite times have infinite panes and windows.
 *
 * Panes: Li et al., "No Pane, No Gain", SIGMOD Record 34(1), 2005. Two panes per slide: Krishnamurthy, Wu and
 * Franklin, "On-the-Fly Sharing for Streamed Aggregation" (paired windows), SIGMOD 2006.
 */

import { assert } from '../assert.ts';

/**
 * The times that a window can hold: those of a JavaScript Date. All their pane and window numbers are exact.
 */
export const EVENT_TIME_MAX = 8_640_000_000_000_000;

export class PaneGrid {
  readonly sizeMs: number;
  readonly slideMs: number;
  /** Start of window 0, 0 <= offsetMs < slideMs. */
  readonly offsetMs: number;
  /** Where a slide is cut in two; 0: it is not cut. */
  readonly cutMs: number;
  readonly panesPerSlide: 1 | 2;
  readonly panesPerWindow: number;

  /** @param offsetMs any shift of the windows from 1970; shifts by whole slides are equivalent */
  constructor(sizeMs: number, slideMs: number, offsetMs = 0) {
    assert(Number.isSafeInteger(sizeMs) && Number.isSafeInteger(slideMs) && Number.isSafeInteger(offsetMs), 'a pane grid of whole milliseconds');
    assert(slideMs > 0 && sizeMs >= slideMs, `windows of ${sizeMs} ms every ${slideMs} ms`);
    this.sizeMs = sizeMs;
    this.slideMs = slideMs;
    this.offsetMs = offsetMs - Math.floor(offsetMs / slideMs) * slideMs;
    this.cutMs = sizeMs % slideMs;
    this.panesPerSlide = this.cutMs === 0 ? 1 : 2;
    this.panesPerWindow = this.panesPerSlide * Math.floor(sizeMs / slideMs) + (this.panesPerSlide - 1);
  }

  /** The pane of a time within EVENT_TIME_MAX of 1970, or of an infinite one. */
  paneOf(timeMs: number): number {
    const since = timeMs - this.offsetMs;
    const slide = Math.floor(since / this.slideMs);
    if (this.cutMs === 0) return slide;
    return slide * 2 + (since - slide * this.slideMs >= this.cutMs ? 1 : 0);
  }

  paneStart(pane: number): number {
    if (this.cutMs === 0 || !Number.isFinite(pane)) return pane * this.slideMs + this.offsetMs;
    const slide = Math.floor(pane / 2);
    return slide * this.slideMs + (pane - slide * 2) * this.cutMs + this.offsetMs;
  }

  paneEnd(pane: number): number {
    return this.paneStart(pane + 1);
  }

  windowStart(window: number): number {
    return window * this.slideMs + this.offsetMs;
  }

  windowEnd(window: number): number {
    return this.windowStart(window) + this.sizeMs;
  }

  /** The first pane of a window; its last is `firstPane(window) + panesPerWindow - 1`. */
  firstPane(window: number): number {
    return window * this.panesPerSlide;
  }

  lastPane(window: number): number {
    return window * this.panesPerSlide + this.panesPerWindow - 1;
  }

  /** The first window that holds a pane. */
  firstWindowOf(pane: number): number {
    // + 0: never -0.
    return Math.ceil((pane - this.panesPerWindow + 1) / this.panesPerSlide) + 0;
  }

  /** The last window that holds a pane. */
  lastWindowOf(pane: number): number {
    return Math.floor(pane / this.panesPerSlide);
  }

  /**
   * End of the last window that holds a pane. Once the watermark has passed it, the pane is no longer needed.
   */
  paneExpiry(pane: number): number {
    return this.windowEnd(this.lastWindowOf(pane));
  }

  /** The last window whose end is at or before `timeMs`. */
  lastWindowEndedBy(timeMs: number): number {
    return Math.floor((timeMs - this.sizeMs - this.offsetMs) / this.slideMs);
  }
}

/**
 * Cumulative windows: each stretch of `sizeMs` has one window that begins with it and ends at every step. A
 * pane is one step. Window n ends with pane n, and begins where the stretch of that pane begins. The next
 * window only adds panes and removes none, until a new stretch starts empty.
 *
 *   size 6, step 2     0   2   4   6   8
 *   window 0           [===)
 *   window 1           [=======)
 *   window 2           [===========)
 *   window 3                       [===)
 *
 * Called CUMULATE in Flink SQL.
 */
export class CumulativeGrid extends PaneGrid {
  override readonly panesPerWindow: number;

  /** @param sizeMs a multiple of `stepMs` */
  constructor(sizeMs: number, stepMs: number) {
    super(stepMs, stepMs);
    assert(sizeMs % stepMs === 0, `cumulative windows of ${sizeMs} ms in steps of ${stepMs} ms`);
    this.panesPerWindow = sizeMs / stepMs;
  }

  override windowStart(window: number): number {
    return this.paneStart(this.firstPane(window));
  }

  override windowEnd(window: number): number {
    return this.paneEnd(window);
  }

  override firstPane(window: number): number {
    // + 0: never -0.
    return Math.floor(window / this.panesPerWindow) * this.panesPerWindow + 0;
  }

  override lastPane(window: number): number {
    return window;
  }

  override firstWindowOf(pane: number): number {
    return pane;
  }

  override lastWindowOf(pane: number): number {
    return this.firstPane(pane) + this.panesPerWindow - 1;
  }

  override lastWindowEndedBy(timeMs: number): number {
    return Math.floor(timeMs / this.slideMs) - 1;
  }
}
