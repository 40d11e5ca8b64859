/**
 * Rows as bytes: some columns of a batch row packed into one record of shared memory, and records unpacked
 * into the columns of a builder. Joins keep rows, and compare keys, in this form. A record lies at a multiple
 * of 8:
 *
 *   8-byte values, 4-byte ones (the lengths of texts among them), 2-byte ones, 1-byte ones (bool), one byte
 *   per nullable column (1: null), zeros to a multiple of 4; then the bytes of the texts, in the order of the
 *   columns
 *
 * The place of a null value is zero. With `canonical`, floats have one NaN and no -0: equal keys are equal
 * bytes.
 */

import { type BatchBuilder, type Column, type ColumnSpace, type DataType, isValid, type SharedMemory } from '../../core/index.ts';

interface FieldPlace {
  readonly type: DataType;
  readonly width: 1 | 2 | 4 | 8;
  readonly isText: boolean;
  readonly at: number;
  /** Place of the null byte; -1: never null. */
  readonly nullAt: number;
}

const LONG_COPY = 48;
const NAN_F32 = 0x7f_c0_00_00;
const NAN_F64_HIGH = 0x7f_f8_00_00;

export class RowImage {
  /** Bytes before the texts. */
  readonly fixedBytes: number;
  readonly #memory: SharedMemory;
  readonly #fields: readonly FieldPlace[];
  readonly #texts: readonly number[];
  readonly #canonical: boolean;

  constructor(memory: SharedMemory, types: readonly DataType[], canonical = false) {
    this.#memory = memory;
    this.#canonical = canonical;
    const widths = types.map((type): 1 | 2 | 4 | 8 => (isText(type) ? 4 : type.name === 'bool' ? 1 : (type.width as 1 | 2 | 4 | 8)));
    const places = new Array<number>(types.length).fill(0);
    let end = 0;
    for (const width of [8, 4, 2, 1]) {
      widths.forEach((of, f) => {
        if (of !== width) return;
        places[f] = end;
        end += width;
      });
    }
    this.#fields = types.map((type, f) => ({
      type,
      width: widths[f] as 1 | 2 | 4 | 8,
      isText: isText(type),
      at: places[f] as number,
      nullAt: type.nullable ? end++ : -1,
    }));
    this.#texts = this.#fields.flatMap((field, f) => (field.isText ? [f] : []));
    this.fixedBytes = (end + 3) & ~3;
  }

  /** Bytes of the record of a row. One column per field. */
  size(columns: readonly Column[], row: number): number {
    const texts = this.#texts;
    if (texts.length === 0) return this.fixedBytes;
    const { i32 } = this.#memory;
    let bytes = this.fixedBytes;
    for (let t = 0; t < texts.length; t++) {
      const column = columns[texts[t] as number] as Column;
      if (column.validity !== 0 && !isValid(this.#memory, column, row)) continue;
      const ends = (column.offsets >>> 2) + row;
      bytes += (i32[ends + 1] as number) - (i32[ends] as number);
    }
    return bytes;
  }

  /** Bytes of a record that has been written. */
  recordBytes(record: number): number {
    const { u32 } = this.#memory;
    let bytes = this.fixedBytes;
    for (const f of this.#texts) bytes += u32[(record + (this.#fields[f] as FieldPlace).at) >>> 2] as number;
    return bytes;
  }

  /** Where a field lies in a record: its value, of a text its length; -1 where it is never null. */
  placeOf(field: number): { readonly at: number; readonly nullAt: number } {
    return this.#fields[field] as FieldPlace;
  }

  /** Where the bytes of a text of a record begin. */
  textStart(record: number, field: number): number {
    const { u32 } = this.#memory;
    let start = record + this.fixedBytes;
    for (const f of this.#texts) {
      if (f === field) break;
      start += u32[(record + (this.#fields[f] as FieldPlace).at) >>> 2] as number;
    }
    return start;
  }

  /** Whether a value of a record is null. */
  hasNull(record: number): boolean {
    return this.#fields.some(({ nullAt }) => nullAt >= 0 && this.#memory.u8[record + nullAt] === 1);
  }

  /** Writes the record of a row at `to`, where there is room for its size. */
  write(columns: readonly Column[], row: number, to: number): void {
    const memory = this.#memory;
    const { u8, u16, u32, i32 } = memory;
    u32.fill(0, to >>> 2, (to + this.fixedBytes) >>> 2);
    let text = to + this.fixedBytes;
    for (let f = 0; f < this.#fields.length; f++) {
      const { at, width, nullAt, isText, type } = this.#fields[f] as FieldPlace;
      const column = columns[f] as Column;
      if (column.validity !== 0 && !isValid(memory, column, row)) {
        u8[to + nullAt] = 1;
        continue;
      }
      if (isText) {
        const start = i32[(column.offsets >>> 2) + row] as number;
        const length = (i32[(column.offsets >>> 2) + row + 1] as number) - start;
        u32[(to + at) >>> 2] = length;
        copyBytes(u8, column.data + start, text, length);
        text += length;
      } else if (width === 8) {
        const from = (column.data >>> 2) + row * 2;
        u32[(to + at) >>> 2] = u32[from] as number;
        u32[(to + at + 4) >>> 2] = u32[from + 1] as number;
        if (this.#canonical && type.name === 'f64') canonicalF64(memory, to + at);
      } else if (width === 4) {
        u32[(to + at) >>> 2] = u32[(column.data >>> 2) + row] as number;
        if (this.#canonical && type.name === 'f32') canonicalF32(memory, to + at);
      } else if (width === 2) u16[(to + at) >>> 1] = u16[(column.data >>> 1) + row] as number;
      else u8[to + at] = type.name === 'bool' ? ((u8[column.data + (row >>> 3)] as number) >>> (row & 7)) & 1 : (u8[column.data + row] as number);
    }
  }

  /**
   * Appends the values of a record to `row` of a builder; field f to column `to[f]`, or nowhere where that is -1.
   * Rows of a text column must come in order.
   */
  read(record: number, out: BatchBuilder, to: readonly number[], row: number): void {
    const { u8, u16, u32, i32 } = this.#memory;
    let text = record + this.fixedBytes;
    for (let f = 0; f < this.#fields.length; f++) {
      const { at, width, nullAt, isText, type } = this.#fields[f] as FieldPlace;
      if ((to[f] as number) < 0) {
        if (isText) text += u32[(record + at) >>> 2] as number;
        continue;
      }
      const space = out.columns[to[f] as number] as ColumnSpace;
      if (nullAt >= 0 && space.validity !== 0) setBit(u8, space.validity, row, u8[record + nullAt] === 0);
      else if (space.validity !== 0) setBit(u8, space.validity, row, true);
      if (isText) {
        const length = u32[(record + at) >>> 2] as number;
        out.reserve(space, length);
        copyBytes(u8, text, space.data + space.byteLength, length);
        text += length;
        space.byteLength += length;
        i32[(space.offsets >>> 2) + row + 1] = space.byteLength;
      } else if (width === 8) {
        const target = (space.data >>> 2) + row * 2;
        u32[target] = u32[(record + at) >>> 2] as number;
        u32[target + 1] = u32[(record + at + 4) >>> 2] as number;
      } else if (width === 4) u32[(space.data >>> 2) + row] = u32[(record + at) >>> 2] as number;
      else if (width === 2) u16[(space.data >>> 1) + row] = u16[(record + at) >>> 1] as number;
      else if (type.name === 'bool') setBit(u8, space.data, row, u8[record + at] === 1);
      else u8[space.data + row] = u8[record + at] as number;
    }
  }

  /** Appends nulls in place of a record. */
  readNulls(out: BatchBuilder, to: readonly number[], row: number): void {
    const { u8, u16, u32, i32 } = this.#memory;
    for (let f = 0; f < this.#fields.length; f++) {
      const { width, isText, type } = this.#fields[f] as FieldPlace;
      const space = out.columns[to[f] as number] as ColumnSpace;
      setBit(u8, space.validity, row, false);
      if (isText) i32[(space.offsets >>> 2) + row + 1] = space.byteLength;
      else if (width === 8) u32.fill(0, (space.data >>> 2) + row * 2, (space.data >>> 2) + row * 2 + 2);
      else if (width === 4) u32[(space.data >>> 2) + row] = 0;
      else if (width === 2) u16[(space.data >>> 1) + row] = 0;
      else if (type.name === 'bool') setBit(u8, space.data, row, false);
      else u8[space.data + row] = 0;
    }
  }
}

/**
 * Whether two records of 4-byte steps are the same. `bytes` is any number: the bytes between it and the next
 * multiple of 4 are compared one by one.
 */
export function sameBytes({ u8, u32 }: SharedMemory, a: number, b: number, bytes: number): boolean {
  const words = bytes >>> 2;
  for (let i = 0, x = a >>> 2, y = b >>> 2; i < words; i++) if (u32[x + i] !== u32[y + i]) return false;
  for (let i = words * 4; i < bytes; i++) if (u8[a + i] !== u8[b + i]) return false;
  return true;
}

function isText(type: DataType): boolean {
  return type.name === 'utf8' || type.name === 'binary';
}

function setBit(u8: Uint8Array, bits: number, row: number, on: boolean): void {
  const at = bits + (row >>> 3);
  const mask = 1 << (row & 7);
  u8[at] = on ? (u8[at] as number) | mask : (u8[at] as number) & ~mask;
}

function copyBytes(u8: Uint8Array, from: number, to: number, length: number): void {
  if (length > LONG_COPY) u8.copyWithin(to, from, from + length);
  else for (let i = 0; i < length; i++) u8[to + i] = u8[from + i] as number;
}

function canonicalF64({ f64, u32 }: SharedMemory, at: number): void {
  const value = f64[at >>> 3] as number;
  if (value === 0) u32[(at + 4) >>> 2] = 0;
  else if (Number.isNaN(value)) {
    u32[at >>> 2] = 0;
    u32[(at + 4) >>> 2] = NAN_F64_HIGH;
  }
}

function canonicalF32({ f32, u32 }: SharedMemory, at: number): void {
  const value = f32[at >>> 2] as number;
  if (value === 0) u32[at >>> 2] = 0;
  else if (Number.isNaN(value)) u32[at >>> 2] = NAN_F32;
}

/** Writes a time, in whole milliseconds, as the i64 that a timestamp column holds. */
export function putTime({ u32, i32 }: SharedMemory, space: ColumnSpace, row: number, time: number): void {
  const high = Math.floor(time / 4_294_967_296);
  const at = (space.data >>> 2) + row * 2;
  u32[at] = time - high * 4_294_967_296;
  i32[at + 1] = high;
}
