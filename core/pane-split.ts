/**
 * Splits the rows of a batch by pane: which rows are late, and, for the others, row numbers pane by pane.
 *
 * Rows mostly come in order of time, so most batches lie in one pane, and a row mostly in that of the row before it. One
 * pass finds the span of the batch's times; where that is one pane there is nothing to split. Else a second pass notes
 * each row's pane in a small directory, and a counting sort writes the row numbers. Scratch memory is kept between calls.
 */

import type { Column } from './batch.ts';
import type { SharedMemory } from './memory.ts';
import { EVENT_TIME_MAX, type PaneGrid } from './pane-grid.ts';
import type { SlabAllocator } from './slab.ts';

/** Marks a late row in the directory of rows. */
const LATE = 0xffff_ffff;

/** The rows of one pane: `selection` is the address of u32 row numbers, ascending; 0: all rows of the batch. */
export interface PaneRows {
  pane: number;
  selection: number;
  count: number;
}

export class PaneSplit {
  /** Panes of the last batch, in the order of their first rows. The first `paneCount` entries count. */
  readonly panes: PaneRows[] = [];
  paneCount = 0;
  /** Late rows of the last batch: u32 row numbers at `lateRows`. */
  lateCount = 0;
  lateRows = 0;
  /** Greatest event time, not above the bound, of the last batch; -Infinity when there is none. Late rows too. */
  maxTimeMs = Number.NEGATIVE_INFINITY;
  readonly #slabs: SlabAllocator;
  readonly #memory: SharedMemory;
  readonly #grid: PaneGrid;
  readonly #directory = new Map<number, number>();
  #scratch = 0;
  #capacity = 0;

  constructor(slabs: SlabAllocator, grid: PaneGrid) {
    this.#slabs = slabs;
    this.#memory = slabs.memory;
    this.#grid = grid;
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
    if (times.validity === 0 && this.#isOnePane(times, rowCount, lateBefore, timeBound)) return;
    this.#reserve(rowCount);
    this.#assign(times, rowCount, lateBefore, timeBound);
    this.#sort(rowCount);
  }

  release(): void {
    if (this.#scratch !== 0) this.#slabs.free(this.#scratch);
    this.#scratch = 0;
    this.#capacity = 0;
  }

  #isOnePane(times: Column, rowCount: number, lateBefore: number, timeBound: number): boolean {
    const { i32, u32 } = this.#memory;
    let minTime = Number.POSITIVE_INFINITY;
    let maxTime = Number.NEGATIVE_INFINITY;
    for (let at = times.data >>> 2, end = at + rowCount * 2; at < end; at += 2) {
      const time = (i32[at + 1] as number) * 4_294_967_296 + (u32[at] as number);
      if (time < minTime) minTime = time;
      if (time > maxTime) maxTime = time;
    }
    if (minTime < lateBefore || minTime < -EVENT_TIME_MAX || maxTime > EVENT_TIME_MAX || maxTime > timeBound) return false;
    const pane = this.#grid.paneOf(minTime);
    if (pane !== this.#grid.paneOf(maxTime)) return false;
    this.maxTimeMs = maxTime;
    this.#pane(pane, rowCount).selection = 0;
    return true;
  }

  /** Notes each row's place in `panes` at the start of the scratch, and counts. */
  #assign(times: Column, rowCount: number, lateBefore: number, timeBound: number): void {
    const { i32, u32, u8 } = this.#memory;
    const grid = this.#grid;
    const directory = this.#directory;
    directory.clear();
    const data = times.data >>> 2;
    const validity = times.validity;
    const places = this.#scratch >>> 2;
    let maxTime = Number.NEGATIVE_INFINITY;
    let paneFrom = 0;
    let paneTo = 0;
    let place = 0;
    for (let row = 0; row < rowCount; row++) {
      const time = (i32[data + row * 2 + 1] as number) * 4_294_967_296 + (u32[data + row * 2] as number);
      const hasTime = (validity === 0 || (((u8[validity + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1) && time >= -EVENT_TIME_MAX && time <= EVENT_TIME_MAX;
      if (hasTime && time > maxTime && time <= timeBound) maxTime = time;
      if (!hasTime || time < lateBefore) {
        u32[places + row] = LATE;
        this.lateCount++;
        continue;
      }
      if (time < paneFrom || time >= paneTo) {
        const pane = grid.paneOf(time);
        paneFrom = grid.paneStart(pane);
        paneTo = grid.paneEnd(pane);
        const known = directory.get(pane);
        place = known ?? this.paneCount;
        if (known === undefined) {
          directory.set(pane, place);
          this.#pane(pane, 0);
        }
      }
      u32[places + row] = place;
      (this.panes[place] as PaneRows).count++;
    }
    this.maxTimeMs = maxTime;
  }

  /** Writes the row numbers, pane by pane and then the late ones, behind the places. */
  #sort(rowCount: number): void {
    const { u32 } = this.#memory;
    const places = this.#scratch >>> 2;
    let next = this.#scratch + rowCount * 4;
    for (let i = 0; i < this.paneCount; i++) {
      const pane = this.panes[i] as PaneRows;
      pane.selection = next;
      next += pane.count * 4;
      pane.count = 0;
    }
    this.lateRows = next;
    let late = next >>> 2;
    for (let row = 0; row < rowCount; row++) {
      const place = u32[places + row] as number;
      if (place === LATE) u32[late++] = row;
      else {
        const pane = this.panes[place] as PaneRows;
        u32[(pane.selection >>> 2) + pane.count++] = row;
      }
    }
  }

  #pane(pane: number, count: number): PaneRows {
    let rows = this.panes[this.paneCount];
    if (rows === undefined) {
      rows = { pane: 0, selection: 0, count: 0 };
      this.panes.push(rows);
    }
    rows.pane = pane;
    rows.count = count;
    this.paneCount++;
    return rows;
  }

  #reserve(rowCount: number): void {
    if (rowCount <= this.#capacity) return;
    this.release();
    this.#scratch = this.#slabs.alloc(rowCount * 8);
    this.#capacity = rowCount;
  }
}
