/**
 * Tumbling windows by the local clocks of a time zone: days that begin at midnight there, and last 23, 24 or
 * 25 hours. A grid of equal slices over local time, mapped to UTC and back; the offset between the two is
 * constant between two clock changes.
 *
 *   clocks put on, 02:00 -> 03:00     local  00 | 01 | 03 | 04      window [02, 03) has no time and no row
 *   clocks put back, 03:00 -> 02:00   local  00 | 01 | 02 02 | 03   window [02, 03) lasts two hours
 *
 * A window begins at the first moment at which the clocks show its start or later, and ends where the next
 * one begins. So windows never overlap and leave no gap, even where clocks are put back across midnight: a
 * time shown twice belongs to the window that was reached first. A pane is a window.
 */

import { assert } from '../assert.ts';
import { PaneGrid } from './pane-grid.ts';
import { ZoneOffsets } from './zone-offsets.ts';

const HOUR_MS = 3_600_000;
/** No clock is further from UTC, nor changes by more (whole days at the date line). */
const SHIFT_MAX_MS = 27 * HOUR_MS;

export class ZoneGrid extends PaneGrid {
  readonly #offsets: ZoneOffsets;
  /**
   * The last stretch that was used: where `local = time + shift` holds, and no clock had shown more before.
   */
  #plainFrom = 0;
  #plainUntil = 0;
  #plainShift = 0;
  /** The last start that was looked up: windows are requested one after the other. */
  #startOf = Number.NaN;
  #start = 0;

  /**
   * @param sizeMs of a window by the clocks: whole hours
   * @param offsetMs of the windows from midnight
   * @throws MillraceError ERR_MILLRACE_OPTION when there is no such zone
   */
  constructor(sizeMs: number, zone: string, offsetMs = 0) {
    assert(sizeMs % HOUR_MS === 0, `windows of ${sizeMs} ms in a time zone`);
    super(sizeMs, sizeMs, offsetMs);
    this.#offsets = new ZoneOffsets(zone);
  }

  override paneOf(timeMs: number): number {
    if (!Number.isFinite(timeMs)) return timeMs;
    if (timeMs < this.#plainFrom || timeMs >= this.#plainUntil) return Math.floor((this.#localAt(timeMs) - this.offsetMs) / this.sizeMs);
    return Math.floor((timeMs + this.#plainShift - this.offsetMs) / this.sizeMs);
  }

  override paneStart(pane: number): number {
    if (!Number.isFinite(pane)) return pane;
    if (pane !== this.#startOf) {
      this.#start = this.#firstAt(pane * this.sizeMs + this.offsetMs);
      this.#startOf = pane;
    }
    return this.#start;
  }

  override windowStart(window: number): number {
    return this.paneStart(window);
  }

  override windowEnd(window: number): number {
    return this.paneStart(window + 1);
  }

  override lastWindowEndedBy(timeMs: number): number {
    return this.paneOf(timeMs) - 1;
  }

  /** The greatest time that the clocks have shown up to a moment. */
  #localAt(timeMs: number): number {
    const span = this.#offsets.spanAt(timeMs);
    let shown = Number.NEGATIVE_INFINITY;
    for (let until = span.from; until > timeMs - SHIFT_MAX_MS; ) {
      const before = this.#offsets.spanAt(until - 1);
      shown = Math.max(shown, before.until - 1 + before.offsetMs);
      until = before.from;
    }
    const local = timeMs + span.offsetMs;
    if (local <= shown) return shown;
    this.#plainFrom = Math.max(span.from, shown - span.offsetMs + 1);
    this.#plainUntil = span.until;
    this.#plainShift = span.offsetMs;
    return local;
  }

  /** The first moment at which the clocks show this time or more. */
  #firstAt(local: number): number {
    for (let at = local - SHIFT_MAX_MS; ; ) {
      const { from, until, offsetMs } = this.#offsets.spanAt(at);
      const time = Math.max(from, local - offsetMs);
      if (time < until) return time;
      at = until;
    }
  }
}
