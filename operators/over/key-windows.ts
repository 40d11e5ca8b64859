/**
 * What one shard of `over` knows of its keys: for each the chain of its rows (row-panes.ts), and for each range
 * where in it the range begins and what it adds up.
 *
 *   rows    o o o o | o o o o | o o n        n: the newest
 *           ^ head      ^ range 2   ^ range 1
 *
 * A row that comes takes out of each range what it pushes out, then goes in. Rows in front of all ranges go. So a
 * row is added once and taken out once per range, whatever the length of the range.
 */

import type { SharedMemory, SlabAllocator } from '../../core/index.ts';
import type { RowImage } from '../by-key/index.ts';
import { KeyRecords } from './key-records.ts';
import { HEAD_INDEX, HEAD_PANE, KEPT, LAST_INDEX, LAST_PANE, NEWEST, type OverLayout, type RangeLayout, SQUARES, SUM, type Unit } from './over-layout.ts';
import { PANE_HEAD, PANE_ROWS, RowPanes } from './row-panes.ts';
import { LaneValues } from './row-values.ts';
import { areSquaresWorn, isSumWorn, SQUARES_NUMBERS, SUM_NUMBERS } from './running-sums.ts';
import { UnitUpdates } from './unit-updates.ts';
import { ValueTexts } from './value-texts.ts';

export class KeyWindows {
  readonly layout: OverLayout;
  readonly records: KeyRecords;
  readonly texts: ValueTexts;
  readonly values: LaneValues;
  readonly units: UnitUpdates;
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #panes: RowPanes;
  /** Where a row is that is not kept. */
  readonly #passing: number;

  /** @param image of all columns of the input */
  constructor(slabs: SlabAllocator, layout: OverLayout, image: RowImage) {
    this.layout = layout;
    this.#slabs = slabs;
    this.#memory = slabs.memory;
    this.#panes = new RowPanes(slabs, layout.rowBytes);
    this.#passing = slabs.alloc(layout.rowBytes);
    this.records = new KeyRecords(slabs, layout.keyBytes);
    this.texts = new ValueTexts(slabs);
    this.values = new LaneValues(slabs.memory, layout.lanes, image, this.texts);
    this.units = new UnitUpdates(slabs.memory, layout, this.values, this.texts);
  }

  get bytes(): number {
    return this.#panes.bytes + this.records.bytes + this.texts.bytes + this.units.bytes;
  }

  /**
   * Adds a row of a key, whose record is new when the key is.
   *
   * @param time of the row; where a newer one of the key has come, that time counts
   * @param record of all columns of the input
   */
  add(key: number, time: number, record: number): void {
    const { keepsRows, ranges } = this.layout;
    const { f64 } = this.#memory;
    const of = this.records.at(key);
    const now = Math.max(f64[(of + NEWEST) >>> 3] as number, time);
    f64[(of + NEWEST) >>> 3] = now;
    for (let r = 0; r < ranges.length; r++) {
      const range = ranges[r] as RangeLayout;
      if (range.isBounded) this.#leave(key, of, range, now - range.withinMs, range.rows - 1);
    }
    const row = keepsRows ? this.#newRow(of) : this.#passing;
    this.values.write(record, row, now);
    this.#enter(key, of, row);
    if (keepsRows) this.#dropHead(of);
    else this.values.releaseTexts(row);
  }

  /**
   * Takes out the rows that no row from this time on goes over.
   *
   * @returns whether nothing of the key is left, which a range without a time prevents
   */
  expire(key: number, time: number): boolean {
    const of = this.records.at(key);
    for (const range of this.layout.ranges) {
      if (range.withinMs !== Number.POSITIVE_INFINITY) this.#leave(key, of, range, time - range.withinMs, range.rows);
    }
    this.#dropHead(of);
    return !this.layout.isLasting && this.#memory.u32[(of + KEPT) >>> 2] === 0;
  }

  /** Calls `visit` with the rows that are kept of a key, the oldest first. */
  eachRow(key: number, visit: (row: number) => void): void {
    const { u32 } = this.#memory;
    const of = this.records.at(key) >>> 2;
    this.#walk(u32[of + HEAD_PANE / 4] as number, u32[of + HEAD_INDEX / 4] as number, u32[of + KEPT / 4] as number, visit);
  }

  /** Appends a row that `eachRow` gave, without its links; `fill` writes it. It is in no range yet. */
  restoreRow(key: number, fill: (row: number) => void): void {
    fill(this.#newRow(this.records.at(key)));
  }

  /** Puts the newest rows of a key into a range, so many of them. */
  restoreRange(key: number, range: RangeLayout, count: number): void {
    const { u32, f64 } = this.#memory;
    const of = this.records.at(key);
    let before = (u32[(of + KEPT) >>> 2] as number) - count;
    let pane = u32[(of + HEAD_PANE) >>> 2] as number;
    let index = u32[(of + HEAD_INDEX) >>> 2] as number;
    for (; before > 0; before--) {
      if (++index < PANE_ROWS) continue;
      index = 0;
      pane = u32[pane >>> 2] as number;
    }
    u32[(of + range.at) >>> 2] = pane;
    u32[(of + range.at + 4) >>> 2] = index;
    f64[(of + range.at + 8) >>> 3] = count;
    this.#walk(pane, index, count, (row) => {
      for (const unit of range.units) this.units.add(key, of, unit, row);
    });
  }

  release(): void {
    this.#panes.release();
    this.records.release();
    this.texts.dispose();
    this.#slabs.free(this.#passing);
  }

  /** A new last row of a key. */
  #newRow(of: number): number {
    const { u32 } = this.#memory;
    const at = of >>> 2;
    let pane = u32[at + LAST_PANE / 4] as number;
    let index = u32[at + LAST_INDEX / 4] as number;
    if (pane === 0 || index === PANE_ROWS) {
      const next = this.#panes.take();
      if (pane === 0) {
        u32[at + HEAD_PANE / 4] = next;
        u32[at + HEAD_INDEX / 4] = 0;
      } else u32[pane >>> 2] = next;
      pane = next;
      index = 0;
      u32[at + LAST_PANE / 4] = pane;
    }
    u32[at + LAST_INDEX / 4] = index + 1;
    u32[at + KEPT / 4] = (u32[at + KEPT / 4] as number) + 1;
    return pane + PANE_HEAD + index * this.layout.rowBytes;
  }

  #enter(key: number, of: number, row: number): void {
    const { u32, f64 } = this.#memory;
    const { ranges } = this.layout;
    for (let r = 0; r < ranges.length; r++) {
      const { at, units, isBounded } = ranges[r] as RangeLayout;
      const count = (of + at + 8) >>> 3;
      if (isBounded && f64[count] === 0) {
        u32[(of + at) >>> 2] = u32[(of + LAST_PANE) >>> 2] as number;
        u32[(of + at + 4) >>> 2] = (u32[(of + LAST_INDEX) >>> 2] as number) - 1;
      }
      f64[count] = (f64[count] as number) + 1;
      for (let u = 0; u < units.length; u++) this.units.add(key, of, units[u] as Unit, row);
    }
  }

  /** Takes out of a range the rows up to a time, and the oldest of more than `most`. */
  #leave(key: number, of: number, range: RangeLayout, until: number, most: number): void {
    const { u32, f64 } = this.#memory;
    const { rowBytes } = this.layout;
    const place = (of + range.at) >>> 2;
    const counter = (of + range.at + 8) >>> 3;
    let count = f64[counter] as number;
    while (count > 0) {
      const pane = u32[place] as number;
      const index = u32[place + 1] as number;
      const row = pane + PANE_HEAD + index * rowBytes;
      if (count <= most && (f64[row >>> 3] as number) > until) break;
      f64[counter] = --count;
      if (index + 1 < PANE_ROWS) u32[place + 1] = index + 1;
      else if (count > 0) {
        u32[place] = u32[pane >>> 2] as number;
        u32[place + 1] = 0;
      }
      for (let u = 0; u < range.units.length; u++) this.#take(key, of, range, range.units[u] as Unit, row, count);
    }
  }

  #take(key: number, of: number, range: RangeLayout, unit: Unit, row: number, left: number): void {
    this.units.remove(key, of, unit, row);
    if ((unit.kind !== SUM && unit.kind !== SQUARES) || this.values.isNull(row, unit.lane)) return;
    const { f64 } = this.#memory;
    const at = (of + unit.at) >>> 3;
    const numbers = unit.kind === SUM ? SUM_NUMBERS : SQUARES_NUMBERS;
    if (left === 0) f64.fill(0, at, at + numbers);
    else if (this.#isWorn(at, unit, row, left)) {
      f64.fill(0, at, at + numbers);
      const { u32 } = this.#memory;
      this.#walk(u32[(of + range.at) >>> 2] as number, u32[(of + range.at + 4) >>> 2] as number, left, (kept) => this.units.add(key, of, unit, kept));
    }
  }

  #isWorn(at: number, { kind, lane }: Unit, row: number, left: number): boolean {
    const { f64, i32 } = this.#memory;
    if (lane.kind === 'long') return kind === SQUARES && areSquaresWorn(f64, at, (i32[((row + lane.at) >>> 2) + 1] as number) * 4_294_967_296, left);
    const value = f64[(row + lane.at) >>> 3] as number;
    return kind === SUM ? isSumWorn(f64, at, value, left) : areSquaresWorn(f64, at, value, left);
  }

  /** Rows in front of all ranges go. */
  #dropHead(of: number): void {
    const { u32, f64 } = this.#memory;
    const { ranges, rowBytes } = this.layout;
    let needed = 0;
    for (let r = 0; r < ranges.length; r++) {
      const { isBounded, at } = ranges[r] as RangeLayout;
      if (isBounded) needed = Math.max(needed, f64[(of + at + 8) >>> 3] as number);
    }
    const at = of >>> 2;
    let kept = u32[at + KEPT / 4] as number;
    let pane = u32[at + HEAD_PANE / 4] as number;
    let index = u32[at + HEAD_INDEX / 4] as number;
    for (; kept > needed; kept--) {
      this.values.releaseTexts(pane + PANE_HEAD + index * rowBytes);
      if (++index < PANE_ROWS) continue;
      const next = u32[pane >>> 2] as number;
      this.#panes.drop(pane);
      pane = next;
      index = 0;
    }
    if (kept === 0 && pane !== 0) {
      this.#panes.drop(pane);
      pane = 0;
      index = 0;
    }
    if (pane === 0) u32[at + LAST_PANE / 4] = 0;
    u32[at + KEPT / 4] = kept;
    u32[at + HEAD_PANE / 4] = pane;
    u32[at + HEAD_INDEX / 4] = index;
  }

  #walk(from: number, fromIndex: number, count: number, visit: (row: number) => void): void {
    const { u32 } = this.#memory;
    let pane = from;
    let index = fromIndex;
    for (let left = count; left > 0; left--) {
      visit(pane + PANE_HEAD + index * this.layout.rowBytes);
      if (++index < PANE_ROWS) continue;
      index = 0;
      pane = u32[pane >>> 2] as number;
    }
  }
}
