/** Rows into the units of a range and out of them again: the inner loop of `over`. */

import type { SharedMemory } from '../../core/index.ts';
import { BEST, DISTINCT, ORDERED, type OverLayout, SQUARES, SUM, type Unit, VALID } from './over-layout.ts';
import type { LaneValues } from './row-values.ts';
import { addLongToSquares, addLongToSum, addToSquares, addToSum } from './running-sums.ts';
import { ValueCounts } from './value-counts.ts';
import type { ValueTexts } from './value-texts.ts';

const NAN_HIGH = 0x7f_f8_00_00;

export class UnitUpdates {
  /** By number of the DISTINCT unit. */
  readonly counts: readonly ValueCounts[];
  readonly #memory: SharedMemory;
  readonly #values: LaneValues;
  readonly #texts: ValueTexts;
  /** The words of a value that counts as another one. */
  readonly #number = new Float64Array(1);
  readonly #words = new Uint32Array(this.#number.buffer);

  constructor(memory: SharedMemory, layout: OverLayout, values: LaneValues, texts: ValueTexts) {
    this.#memory = memory;
    this.#values = values;
    this.#texts = texts;
    this.counts = Array.from({ length: layout.tables }, () => new ValueCounts());
  }

  get bytes(): number {
    let bytes = 0;
    for (const { bytes: of } of this.counts) bytes += of;
    return bytes;
  }

  /** @param of address of the record of the key */
  add(key: number, of: number, unit: Unit, row: number): void {
    const { lane, kind } = unit;
    if (lane.nullBit >= 0 && this.#values.isNull(row, lane)) return;
    const { f64, i32, u32 } = this.#memory;
    const at = of + unit.at;
    const value = row + lane.at;
    switch (kind) {
      case VALID:
        f64[at >>> 3] = (f64[at >>> 3] as number) + 1;
        return;
      case SUM:
        if (lane.kind === 'long') addLongToSum(f64, at >>> 3, u32[value >>> 2] as number, i32[(value >>> 2) + 1] as number, 1);
        else addToSum(f64, at >>> 3, f64[value >>> 3] as number, 1);
        return;
      case SQUARES:
        if (lane.kind === 'long') addLongToSquares(f64, at >>> 3, u32[value >>> 2] as number, i32[(value >>> 2) + 1] as number, 1);
        else addToSquares(f64, at >>> 3, f64[value >>> 3] as number, 1);
        return;
      case ORDERED:
        this.#link(unit, at >>> 2, row);
        return;
      case BEST:
        this.#improve(unit, at, value);
        return;
      default:
        this.#setWords(unit, value);
        if ((this.counts[unit.table] as ValueCounts).add(key, this.#words[0] as number, this.#words[1] as number) === 1) {
          f64[at >>> 3] = (f64[at >>> 3] as number) + 1;
          if (lane.kind === 'text') this.#texts.retain(f64[value >>> 3] as number);
        }
    }
  }

  remove(key: number, of: number, unit: Unit, row: number): void {
    const { lane, kind } = unit;
    if (lane.nullBit >= 0 && this.#values.isNull(row, lane)) return;
    const { f64, i32, u32 } = this.#memory;
    const at = of + unit.at;
    const value = row + lane.at;
    switch (kind) {
      case VALID:
        f64[at >>> 3] = (f64[at >>> 3] as number) - 1;
        return;
      case SUM:
        if (lane.kind === 'long') addLongToSum(f64, at >>> 3, u32[value >>> 2] as number, i32[(value >>> 2) + 1] as number, -1);
        else addToSum(f64, at >>> 3, f64[value >>> 3] as number, -1);
        return;
      case SQUARES:
        if (lane.kind === 'long') addLongToSquares(f64, at >>> 3, u32[value >>> 2] as number, i32[(value >>> 2) + 1] as number, -1);
        else addToSquares(f64, at >>> 3, f64[value >>> 3] as number, -1);
        return;
      case ORDERED: {
        const front = at >>> 2;
        if (u32[front] !== row) return;
        const next = u32[(row + unit.linkAt + 4) >>> 2] as number;
        u32[front] = next;
        if (next === 0) u32[front + 1] = 0;
        else u32[(next + unit.linkAt) >>> 2] = 0;
        return;
      }
      case DISTINCT:
        this.#setWords(unit, value);
        if ((this.counts[unit.table] as ValueCounts).remove(key, this.#words[0] as number, this.#words[1] as number) === 0) {
          f64[at >>> 3] = (f64[at >>> 3] as number) - 1;
          if (lane.kind === 'text') this.#texts.release(f64[value >>> 3] as number);
        }
    }
  }

  /** Appends a row to those that may come to the front; those that it outlives and outdoes go. */
  #link({ lane, order, linkAt }: Unit, front: number, row: number): void {
    const { u32 } = this.#memory;
    let back = u32[front + 1] as number;
    while (back !== 0 && this.#values.takesPlace(lane, order, back + lane.at, row + lane.at)) back = u32[(back + linkAt) >>> 2] as number;
    u32[(row + linkAt) >>> 2] = back;
    u32[(row + linkAt + 4) >>> 2] = 0;
    if (back === 0) u32[front] = row;
    else u32[(back + linkAt + 4) >>> 2] = row;
    u32[front + 1] = row;
  }

  #improve({ lane, order }: Unit, at: number, value: number): void {
    const { f64, u32 } = this.#memory;
    const has = (at + 8) >>> 3;
    if (f64[has] === 1 && !this.#values.takesPlace(lane, order, at, value)) return;
    if (lane.kind === 'text') {
      this.#texts.retain(f64[value >>> 3] as number);
      if (f64[has] === 1) this.#texts.release(f64[at >>> 3] as number);
    }
    // As words: a copy of a NaN as a double may be another NaN.
    u32[at >>> 2] = u32[value >>> 2] as number;
    u32[(at >>> 2) + 1] = u32[(value >>> 2) + 1] as number;
    f64[has] = 1;
  }

  /** The words by which a value is told from others: one NaN, no -0. */
  #setWords({ lane }: Unit, value: number): void {
    const { f64, u32 } = this.#memory;
    const words = this.#words;
    if (lane.kind === 'long') {
      words[0] = u32[value >>> 2] as number;
      words[1] = u32[(value >>> 2) + 1] as number;
      return;
    }
    const number = f64[value >>> 3] as number;
    this.#number[0] = number === 0 ? 0 : number;
    if (number !== number) {
      words[0] = 0;
      words[1] = NAN_HIGH;
    }
  }
}
