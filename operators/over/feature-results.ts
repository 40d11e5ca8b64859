/** The features of a key, as of its newest row, into the columns of a result. */

import { assert, type BatchBuilder, type ColumnSpace, holdsJson, MillraceError, readText, type SharedMemory, shown, varianceOf } from '../../core/index.ts';
import { medianOf } from '../aggregate/index.ts';
import { putTime } from '../by-key/index.ts';
import type { KeyWindows } from './key-windows.ts';
import { BEST, type FeatureLayout, type Lane, type Unit } from './over-layout.ts';
import { isSumFinite, sumOf } from './running-sums.ts';

const TWO_32 = 4_294_967_296;
const LONG_COPY = 48;

export class FeatureResults {
  readonly #memory: SharedMemory;
  readonly #windows: KeyWindows;

  constructor(memory: SharedMemory, windows: KeyWindows) {
    this.#memory = memory;
    this.#windows = windows;
  }

  /** @throws MillraceError ERR_MILLRACE_CAPACITY when a sum of i64 values does not fit 64 bits */
  write(key: number, out: BatchBuilder, row: number): void {
    const { features } = this.#windows.layout;
    const of = this.#windows.records.at(key);
    for (let f = 0; f < features.length; f++) this.#writeOne(features[f] as FeatureLayout, of, out, row);
  }

  #writeOne(feature: FeatureLayout, of: number, out: BatchBuilder, row: number): void {
    const { f64 } = this.#memory;
    const { aggregate, range, unit, valid, squares, column } = feature;
    const space = out.columns[column] as ColumnSpace;
    const to = (space.data >>> 3) + row;
    const count = f64[(of + (valid === undefined ? range.at + 8 : valid.at)) >>> 3] as number;
    switch (aggregate.name) {
      case 'count':
        f64[to] = count;
        return;
      case 'countDistinct':
        f64[to] = f64[(of + (unit as Unit).at) >>> 3] as number;
        return;
      case 'sum':
      case 'mean': {
        this.#setValid(space, row, count > 0);
        const at = (of + (unit as Unit).at) >>> 3;
        if (count === 0) f64[to] = 0;
        else if (aggregate.name === 'mean') f64[to] = sumOf(f64, at) / count;
        else if (space.type.name === 'i64') this.#putLongSum(at, space, row);
        else f64[to] = sumOf(f64, at);
        return;
      }
      case 'variance':
      case 'stddev': {
        const taken = aggregate.parameters.population === 1 ? 0 : 1;
        this.#setValid(space, row, count > taken);
        f64[to] = 0;
        if (count <= taken) return;
        const sum = of + (unit as Unit).at;
        const variance = isSumFinite(f64, sum >>> 3) ? varianceOf(this.#memory, count, sum, false, of + (squares as Unit).at, count - taken) : Number.NaN;
        f64[to] = aggregate.name === 'variance' ? variance : Math.sqrt(variance);
        return;
      }
      case 'median': {
        const { at } = unit as Unit;
        this.#setValid(space, row, this.#memory.u32[(of + at) >>> 2] !== 0);
        f64[to] = medianOf(this.#numbers(unit as Unit, of));
        return;
      }
      case 'collect':
        out.setValue(column, row, this.#list(unit as Unit, of, aggregate.parameters.max as number, aggregate.parameters.isJson === 1));
        return;
      default:
        this.#putFront(unit as Unit, of, out, space, row, aggregate.name === 'min' || aggregate.name === 'max');
    }
  }

  #putFront(unit: Unit, of: number, out: BatchBuilder, space: ColumnSpace, row: number, isExtreme: boolean): void {
    const { f64, u32, u8, i32 } = this.#memory;
    const { kind, lane } = unit;
    const at = of + unit.at;
    const front = u32[at >>> 2] as number;
    const has = kind === BEST ? f64[(at + 8) >>> 3] === 1 : front !== 0;
    const value = kind === BEST ? at : front + lane.at;
    this.#setValid(space, row, has);
    if (lane.kind === 'text') {
      const text = has ? (f64[value >>> 3] as number) : -1;
      if (text >= 0) {
        const length = this.#windows.texts.length(text);
        const start = this.#windows.texts.start(text);
        out.reserve(space, length);
        const end = space.data + space.byteLength;
        if (length > LONG_COPY) u8.copyWithin(end, start, start + length);
        else for (let i = 0; i < length; i++) u8[end + i] = u8[start + i] as number;
        space.byteLength += length;
      }
      i32[(space.offsets >>> 2) + row + 1] = space.byteLength;
    } else if (lane.kind === 'long') {
      const to = (space.data >>> 2) + row * 2;
      u32[to] = has ? (u32[value >>> 2] as number) : 0;
      u32[to + 1] = has ? (u32[(value >>> 2) + 1] as number) : 0;
    } else {
      const number = has ? (f64[value >>> 3] as number) : 0;
      this.#putNumber(space, row, isExtreme && number === 0 ? 0 : number);
    }
  }

  #putNumber(space: ColumnSpace, row: number, value: number): void {
    const { f64, f32, u32, i32, i16, i8, u8 } = this.#memory;
    const { type, data } = space;
    switch (type.name) {
      case 'f64':
        f64[(data >>> 3) + row] = value;
        return;
      case 'timestamp':
        putTime(this.#memory, space, row, value);
        return;
      case 'f32':
        f32[(data >>> 2) + row] = value;
        return;
      case 'i32':
        i32[(data >>> 2) + row] = value;
        return;
      case 'u32':
        u32[(data >>> 2) + row] = value;
        return;
      case 'i16':
        i16[(data >>> 1) + row] = value;
        return;
      case 'i8':
        i8[data + row] = value;
        return;
      default:
        if (type.name !== 'bool') assert(false, `a number to a column of ${type.name}`);
        setBit(u8, data, row, value === 1);
    }
  }

  #putLongSum(at: number, space: ColumnSpace, row: number): void {
    const { f64, u32, i32 } = this.#memory;
    const high = (f64[at] as number) / TWO_32;
    if (!(high >= -2_147_483_648 && high <= 2_147_483_647)) {
      throw new MillraceError(
        'ERR_MILLRACE_CAPACITY',
        `The sum of i64 values for column ${shown(space.name)} does not fit 64 bits. Take the sum as f64, or divide the values first.`,
      );
    }
    const to = (space.data >>> 2) + row * 2;
    u32[to] = f64[at + 1] as number;
    i32[to + 1] = high;
  }

  #numbers({ lane: { kind, at: lane }, linkAt, at }: Unit, of: number): Float64Array {
    const { u32, i32, f64 } = this.#memory;
    const values: number[] = [];
    for (let row = u32[(of + at) >>> 2] as number; row !== 0; row = u32[(row + linkAt + 4) >>> 2] as number) {
      const value = row + lane;
      values.push(kind === 'long' ? (i32[(value >>> 2) + 1] as number) * TWO_32 + (u32[value >>> 2] as number) : (f64[value >>> 3] as number));
    }
    return Float64Array.from(values);
  }

  #list({ lane, linkAt, at }: Unit, of: number, most: number, isJson: boolean): string {
    const { u32 } = this.#memory;
    const values: string[] = [];
    let row = u32[(of + at) >>> 2] as number;
    while (row !== 0 && values.length < most) {
      values.push(isJson ? this.#text(row + lane.at) : this.#json(lane, row + lane.at));
      row = u32[(row + linkAt + 4) >>> 2] as number;
    }
    return `[${values.join(',')}]`;
  }

  /** An i64 with all its digits; NaN and infinities as null. */
  #json({ kind, type }: Lane, at: number): string {
    const { f64, i64 } = this.#memory;
    if (kind === 'long') return (i64[at >>> 3] as bigint).toString();
    const value = f64[at >>> 3] as number;
    if (kind === 'number') return JSON.stringify(type.name === 'bool' ? value === 1 : value);
    if (holdsJson(type)) return this.#text(at);
    return JSON.stringify(this.#text(at));
  }

  #text(at: number): string {
    const text = this.#memory.f64[at >>> 3] as number;
    const start = this.#windows.texts.start(text);
    return readText(this.#memory, start, start + this.#windows.texts.length(text));
  }

  #setValid({ validity }: ColumnSpace, row: number, is: boolean): void {
    if (validity !== 0) setBit(this.#memory.u8, validity, row, is);
  }
}

function setBit(u8: Uint8Array, bits: number, row: number, on: boolean): void {
  const at = bits + (row >>> 3);
  const mask = 1 << (row & 7);
  u8[at] = on ? (u8[at] as number) | mask : (u8[at] as number) & ~mask;
}
