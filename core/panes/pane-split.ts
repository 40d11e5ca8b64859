/**
 * Splits the rows of a batch by pane: which rows are late and, for the others, row numbers pane by pane.
 *
 * Rows mostly come in order of time, so most batches lie in one pane, and a row is mostly in the pane of the
 * row before it. One pass finds the span of the batch's times; where that is one pane there is nothing to
 * split. Otherwise a second pass notes each row's pane in a small directory, and a counting sort writes the
 * row numbers. Scratch memory is kept between calls:
 *
 *   header     f64 greatest time, u32 late rows, u32 stamp of the kernel's directory
 *   panes      f64 pane, u32 rows, u32 where they begin in `selection` (WHOLE: all rows of the batch), in the
 *              order of first rows
 *   places     u32 per row: its place in `panes`, or LATE
 *   selection  u32 row numbers, pane by pane, ascending in each; then those of the late rows
 *   directory  the kernel's hash from pane to place: f64 pane, u32 stamp, u32 place
 *
 * The kernel is core/kernels/pane-split.ts; `paneSplitReference` here does the same over the same bytes.
 */

import type { Column } from '../batch/index.ts';
import { fillBytes, kernelExports, type SharedMemory, type SlabAllocator } from '../memory/index.ts';
import { EVENT_TIME_MAX, type PaneGrid } from './pane-grid.ts';
import { ZoneGrid } from './zone-grid.ts';

/** Marks a late row among the places, and a pane that is the whole batch. */
const LATE = 0xffff_ffff;
const WHOLE = 0xffff_ffff;
const HEADER_BYTES = 16;
const PANE_BYTES = 16;
const ROW_COUNT_MIN = 64;

export type PaneSplitKernel = (
  times: number,
  validity: number,
  rowCount: number,
  lateBefore: number,
  timeBound: number,
  slide: number,
  offset: number,
  cut: number,
  header: number,
  panes: number,
  places: number,
  selection: number,
  directory: number,
  mask: number,
) => number;

/**
 * The rows of one pane: `selection` is the address of u32 row numbers, ascending; 0: all rows of the batch.
 */
export interface PaneRows {
  pane: number;
  selection: number;
  count: number;
}

export class PaneSplit {
  /**
   * Panes of the last batch, in the order of their first rows. Only the first `paneCount` entries are valid.
   */
  readonly panes: PaneRows[] = [];
  paneCount = 0;
  /** Number of late rows of the last batch: u32 row numbers at `lateRows`. */
  lateCount = 0;
  lateRows = 0;
  /**
   * Greatest event time, not above the bound, of the last batch; -Infinity when there is none. Includes late
   * rows.
   */
  maxTimeMs = Number.NEGATIVE_INFINITY;
  readonly #slabs: SlabAllocator;
  readonly #memory: SharedMemory;
  readonly #grid: PaneGrid;
  readonly #shiftMs: number;
  readonly #kernel: PaneSplitKernel;
  #scratch = 0;
  #capacity = 0;

  /**
   * @param shiftMs added to every time: -1 where the times are ends of windows; a row then belongs to the
   * window's last moment
   */
  constructor(slabs: SlabAllocator, grid: PaneGrid, shiftMs = 0) {
    this.#slabs = slabs;
    this.#memory = slabs.memory;
    this.#grid = grid;
    this.#shiftMs = shiftMs;
    // The panes of a time zone have different lengths, which the kernel does not support.
    const inZone = grid instanceof ZoneGrid ? (timeMs: number) => grid.paneOf(timeMs + shiftMs) : undefined;
    const kernel = inZone === undefined ? kernelExports<{ paneSplit?: PaneSplitKernel }>(slabs.memory)?.paneSplit : undefined;
    this.#kernel = kernel ?? paneSplitReference(slabs.memory, inZone);
  }

  /**
   * Splits the first `rowCount` rows of a batch.
   *
   * @param times the event time column, a timestamp
   * @param lateBefore rows with a time before it are late; -Infinity: none but those without a usable time
   * @param timeBound times above it do not count for `maxTimeMs`
   */
  split(times: Column, rowCount: number, lateBefore: number, timeBound: number): void {
    this.lateCount = 0;
    this.paneCount = 0;
    this.maxTimeMs = Number.NEGATIVE_INFINITY;
    if (rowCount === 0) return;
    this.#reserve(rowCount);
    const { slideMs, offsetMs, cutMs } = this.#grid;
    const { u32, f64 } = this.#memory;
    const header = this.#scratch;
    const panes = header + HEADER_BYTES;
    const places = panes + this.#capacity * PANE_BYTES;
    const selection = places + this.#capacity * 4;
    const directory = selection + this.#capacity * 4;
    // Shifting the windows back is the same as shifting the times forward.
    const shift = this.#shiftMs;
    this.paneCount = this.#kernel(
      times.data,
      times.validity,
      rowCount,
      lateBefore - shift,
      timeBound - shift,
      slideMs,
      offsetMs - shift,
      cutMs,
      header,
      panes,
      places,
      selection,
      directory,
      this.#capacity * 2 - 1,
    );
    this.maxTimeMs = (f64[header >>> 3] as number) + shift;
    this.lateCount = u32[(header + 8) >>> 2] as number;
    this.lateRows = selection + (rowCount - this.lateCount) * 4;
    for (let i = 0, at = panes; i < this.paneCount; i++, at += PANE_BYTES) {
      let rows = this.panes[i];
      if (rows === undefined) {
        rows = { pane: 0, selection: 0, count: 0 };
        this.panes.push(rows);
      }
      const start = u32[(at + 12) >>> 2] as number;
      rows.pane = f64[at >>> 3] as number;
      rows.count = u32[(at + 8) >>> 2] as number;
      rows.selection = start === WHOLE ? 0 : selection + start * 4;
    }
  }

  release(): void {
    if (this.#scratch !== 0) this.#slabs.free(this.#scratch);
    this.#scratch = 0;
    this.#capacity = 0;
  }

  #reserve(rowCount: number): void {
    if (rowCount <= this.#capacity) return;
    this.release();
    let capacity = ROW_COUNT_MIN;
    while (capacity < rowCount) capacity *= 2;
    const bytes = HEADER_BYTES + capacity * (PANE_BYTES + 4 + 4 + 32);
    this.#scratch = this.#slabs.alloc(bytes);
    this.#capacity = capacity;
    // No entry of the directory has a valid stamp.
    fillBytes(this.#memory, this.#scratch, bytes);
  }
}

/**
 * The kernel in TypeScript. It needs no directory in the memory: a Map serves.
 *
 * @param paneOfTime where panes are not all equal slices: ascending with the time
 */
export function paneSplitReference(memory: SharedMemory, paneOfTime?: (timeMs: number) => number): PaneSplitKernel {
  const { i32, u32, u8, f64 } = memory;
  const directory = new Map<number, number>();
  return (times, validity, rowCount, lateBefore, timeBound, slide, offset, cut, header, panes, places, selection) => {
    const data = times >>> 2;
    const timeOf = (row: number) => (i32[data + row * 2 + 1] as number) * 4_294_967_296 + (u32[data + row * 2] as number);
    const inSlices = (time: number) => {
      const number = Math.floor((time - offset) / slide);
      return cut === 0 ? number : number * 2 + (time - offset - number * slide >= cut ? 1 : 0);
    };
    const paneOf = paneOfTime ?? inSlices;
    if (validity === 0) {
      let first = timeOf(0);
      let last = first;
      for (let row = 1; row < rowCount; row++) {
        const time = timeOf(row);
        if (time < first) first = time;
        if (time > last) last = time;
      }
      const isPlain = first >= lateBefore && first >= -EVENT_TIME_MAX && last <= EVENT_TIME_MAX && last <= timeBound;
      if (isPlain && paneOf(first) === paneOf(last)) {
        f64[header >>> 3] = last;
        u32[(header + 8) >>> 2] = 0;
        f64[panes >>> 3] = paneOf(first);
        u32[(panes + 8) >>> 2] = rowCount;
        u32[(panes + 12) >>> 2] = WHOLE;
        return 1;
      }
    }
    directory.clear();
    let maxTime = Number.NEGATIVE_INFINITY;
    let lateCount = 0;
    let current = Number.NaN;
    let place = 0;
    for (let row = 0; row < rowCount; row++) {
      const time = timeOf(row);
      const hasTime =
        (validity === 0 || (((u8[validity + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1) && time >= -EVENT_TIME_MAX && time <= EVENT_TIME_MAX;
      if (hasTime && time > maxTime && time <= timeBound) maxTime = time;
      if (!hasTime || time < lateBefore) {
        u32[(places >>> 2) + row] = LATE;
        lateCount++;
        continue;
      }
      const pane = paneOf(time);
      if (pane !== current) {
        current = pane;
        const known = directory.get(pane);
        place = known ?? directory.size;
        if (known === undefined) {
          directory.set(pane, place);
          f64[(panes + place * PANE_BYTES) >>> 3] = pane;
          u32[(panes + place * PANE_BYTES + 8) >>> 2] = 0;
        }
      }
      u32[(places >>> 2) + row] = place;
      const count = (panes + place * PANE_BYTES + 8) >>> 2;
      u32[count] = (u32[count] as number) + 1;
    }
    f64[header >>> 3] = maxTime;
    u32[(header + 8) >>> 2] = lateCount;
    const next: number[] = [];
    let start = 0;
    for (let i = 0; i < directory.size; i++) {
      next.push(start);
      u32[(panes + i * PANE_BYTES + 12) >>> 2] = start;
      start += u32[(panes + i * PANE_BYTES + 8) >>> 2] as number;
    }
    for (let row = 0; row < rowCount; row++) {
      const of = u32[(places >>> 2) + row] as number;
      const to = of === LATE ? start++ : (next[of] as number);
      if (of !== LATE) next[of] = to + 1;
      u32[(selection >>> 2) + to] = row;
    }
    return directory.size;
  };
}
