/**
 * Writes the values of text formats into columns: numbers from their literals, text, instants, base64. It
 * takes one record at a time and writes straight to addresses. The only objects it makes are for literals
 * that need the full `Number()` or `BigInt()`.
 *
 * It holds the columns that a decoder fills (a part of a codec's schema) and knows what they may hold. It is
 * the reference of the kernels, and the path for the records that they hand back.
 */

import { Batch, BatchBuilder, type Column, type ColumnSpace, copyBytes, fillBytes, Schema, type SlabAllocator } from '../core/index.ts';
import { decodeBase64 } from './base64.ts';
import { parseIsoTime } from './iso-time.ts';
import type { TimeFormat } from './time-format.ts';
import { unitMs, unitName } from './time-unit.ts';

const TWO_32 = 4_294_967_296;
const RANGES: ReadonlyMap<string, readonly [min: number, max: number]> = new Map([
  ['i8', [-128, 127]],
  ['i16', [-32_768, 32_767]],
  ['i32', [-2_147_483_648, 2_147_483_647]],
  ['u32', [0, 4_294_967_295]],
]);
/** Powers of ten that a double holds exactly. */
const POWERS = Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));
/** Up to this many digits, a double holds any integer exactly. */
const EXACT_DIGITS = 15;
const I64_DIGITS_MAX = 19;
/** Up to it, a loop is faster than a call that copies. */
const SHORT_BYTES = 32;

export class ColumnWriter {
  readonly builder: BatchBuilder;
  /** The columns to write, in the order of `positions`. */
  readonly columns: readonly ColumnSpace[];
  readonly #schema: Schema;
  readonly #slabs: SlabAllocator;
  readonly #positions: readonly number[];
  /** In the order of `columns`; undefined: ISO 8601, without an offset UTC. */
  readonly timeFormats: readonly (TimeFormat | undefined)[];
  #zeros = 0;

  /**
   * @param positions of the columns of `schema` to write; the others hold zeros and empty text
   * @param timeFormats of the columns of `schema` whose instants have one of their own
   */
  constructor(slabs: SlabAllocator, schema: Schema, positions: readonly number[], capacity: number, timeFormats: readonly (TimeFormat | undefined)[] = []) {
    this.builder = new BatchBuilder(slabs, new Schema(positions.map((at) => schema.field(at))), capacity);
    this.columns = this.builder.columns;
    this.timeFormats = positions.map((at) => timeFormats[at]);
    this.#schema = schema;
    this.#slabs = slabs;
    this.#positions = positions;
  }

  /** The first `rowCount` rows as a batch of the whole schema. */
  finish(rowCount: number): Batch {
    const columns: Column[] = new Array(this.#schema.length);
    this.#positions.forEach((at, w) => {
      const { type, data, offsets, validity } = this.columns[w] as ColumnSpace;
      columns[at] = { type, data, offsets, validity };
    });
    for (let c = 0; c < columns.length; c++) {
      if (columns[c] !== undefined) continue;
      const { type } = this.#schema.field(c);
      const zeros = this.#zeroBytes();
      columns[c] = { type, data: zeros, offsets: type.name === 'utf8' || type.name === 'binary' ? zeros : 0, validity: 0 };
    }
    return new Batch(this.builder.memory, this.#schema, rowCount, columns);
  }

  /** Writes a null, if the type allows it. */
  setNull(w: number, row: number): boolean {
    const column = this.columns[w] as ColumnSpace;
    if (!column.type.nullable) return false;
    this.#setValid(column, row, false);
    if (column.offsets !== 0) this.bytesWritten(w, row, 0);
    return true;
  }

  setBool(w: number, row: number, value: boolean): void {
    const column = this.columns[w] as ColumnSpace;
    this.#setValid(column, row, true);
    setBit(this.builder.memory.u8, column.data, row, value);
  }

  /**
   * Writes a number from its JSON literal.
   *
   * @returns what is wrong with it, or undefined
   */
  setNumber(w: number, row: number, from: number, to: number, isInteger: boolean): string | undefined {
    const column = this.columns[w] as ColumnSpace;
    const { memory } = this.builder;
    const { name } = column.type;
    if (name === 'i64') return this.#setI64(column, row, from, to, isInteger);
    const value = literalValue(memory.u8, from, to);
    switch (name) {
      case 'f64':
        memory.f64[(column.data >>> 3) + row] = value;
        break;
      case 'f32':
        memory.f32[(column.data >>> 2) + row] = value;
        break;
      case 'timestamp': {
        const unit = this.timeFormats[w]?.unit ?? 'ms';
        const ms = unit === 'ms' ? Math.floor(value) : unitMs(literalText(memory.u8, from, to), unit);
        if (!Number.isSafeInteger(ms)) return `is no time in ${unitName(unit)}`;
        this.#storeI64(column, row, ms);
        break;
      }
      default: {
        const [min, max] = RANGES.get(name) as readonly [number, number];
        if (!Number.isInteger(value)) return 'is not whole';
        if (value < min || value > max) return `is not within ${min} to ${max}`;
        if (name === 'i8') memory.i8[column.data + row] = value;
        else if (name === 'i16') memory.i16[(column.data >>> 1) + row] = value;
        else if (name === 'i32') memory.i32[(column.data >>> 2) + row] = value;
        else memory.u32[(column.data >>> 2) + row] = value;
      }
    }
    this.#setValid(column, row, true);
    return undefined;
  }

  /** Writes a double into an f64 or f32 column. */
  setFloat(w: number, row: number, value: number): void {
    const column = this.columns[w] as ColumnSpace;
    const { memory } = this.builder;
    if (column.type.name === 'f64') memory.f64[(column.data >>> 3) + row] = value;
    else memory.f32[(column.data >>> 2) + row] = value;
    this.#setValid(column, row, true);
  }

  /** Writes a whole number into an i32 column. */
  setI32(w: number, row: number, value: number): void {
    const column = this.columns[w] as ColumnSpace;
    this.builder.memory.i32[(column.data >>> 2) + row] = value;
    this.#setValid(column, row, true);
  }

  /** Writes a 64-bit integer, given in two words, into an i64 column. */
  setI64(w: number, row: number, lo: number, hi: number): void {
    const column = this.columns[w] as ColumnSpace;
    const { i32 } = this.builder.memory;
    const at = (column.data >>> 2) + row * 2;
    i32[at] = lo;
    i32[at + 1] = hi;
    this.#setValid(column, row, true);
  }

  /** Writes milliseconds since 1970, a safe integer. */
  setMs(w: number, row: number, ms: number): void {
    const column = this.columns[w] as ColumnSpace;
    this.#storeI64(column, row, ms);
    this.#setValid(column, row, true);
  }

  /** Writes an instant from text, `from` to `to` of `bytes`; false when the text is none in the column's format. */
  setTime(w: number, row: number, from: number, to: number, bytes: Uint8Array = this.builder.memory.u8): boolean {
    const column = this.columns[w] as ColumnSpace;
    const ms = this.timeFormats[w]?.parse(bytes, from, to) ?? parseIsoTime(bytes, from, to);
    if (Number.isNaN(ms)) return false;
    this.#storeI64(column, row, ms);
    this.#setValid(column, row, true);
    return true;
  }

  /**
   * Makes room for `byteLength` bytes of a utf8 or binary value of `row` and returns their address. Anything
   * written to that row before is discarded.
   */
  roomForBytes(w: number, row: number, byteLength: number): number {
    const column = this.columns[w] as ColumnSpace;
    const start = this.builder.memory.i32[(column.offsets >>> 2) + row] as number;
    column.byteLength = start;
    this.builder.reserve(column, byteLength);
    return column.data + start;
  }

  /** Completes the value that was written to `roomForBytes`. */
  bytesWritten(w: number, row: number, byteLength: number): void {
    const column = this.columns[w] as ColumnSpace;
    const { i32 } = this.builder.memory;
    column.byteLength = (i32[(column.offsets >>> 2) + row] as number) + byteLength;
    i32[(column.offsets >>> 2) + row + 1] = column.byteLength;
  }

  /**
   * Makes room for `more` bytes in each utf8 and binary column, after the `rowCount` rows already written.
   * May move their data.
   */
  reserveBytes(rowCount: number, more: number): void {
    for (const column of this.columns) {
      if (column.offsets === 0) continue;
      column.byteLength = this.builder.memory.i32[(column.offsets >>> 2) + rowCount] as number;
      this.builder.reserve(column, more);
    }
  }

  /** Writes the bytes `from` to `to` as they are. */
  setBytes(w: number, row: number, from: number, to: number): void {
    const column = this.columns[w] as ColumnSpace;
    const { memory } = this.builder;
    const length = to - from;
    const at = (column.offsets >>> 2) + row;
    const start = memory.i32[at] as number;
    column.byteLength = start;
    if (start + length > column.byteCapacity) this.builder.reserve(column, length);
    if (length > SHORT_BYTES) copyBytes(memory, column.data + start, from, length);
    else {
      const { u8 } = memory;
      for (let i = from, target = column.data + start; i < to; i++, target++) u8[target] = u8[i] as number;
    }
    column.byteLength = start + length;
    memory.i32[at + 1] = start + length;
    if (column.validity !== 0) setBit(memory.u8, column.validity, row, true);
  }

  /** Writes a text that is not in memory. */
  setText(w: number, row: number, text: string): void {
    const bytes = Buffer.from(text);
    const address = this.roomForBytes(w, row, bytes.length);
    this.builder.memory.u8.set(bytes, address);
    this.bytesWritten(w, row, bytes.length);
    this.#setValid(this.columns[w] as ColumnSpace, row, true);
  }

  /** Writes a JSON value that has been checked, without the white space between its tokens. */
  setJson(w: number, row: number, from: number, to: number): void {
    const address = this.roomForBytes(w, row, to - from);
    const end = copyJson(this.builder.memory.u8, from, to, address);
    this.bytesWritten(w, row, end - address);
    this.#setValid(this.columns[w] as ColumnSpace, row, true);
  }

  /** Writes the bytes that base64 text stands for; false when the text is invalid. */
  setBase64(w: number, row: number, from: number, to: number): boolean {
    const address = this.roomForBytes(w, row, to - from);
    const byteLength = decodeBase64(this.builder.memory.u8, from, to, address);
    if (byteLength < 0) return false;
    this.bytesWritten(w, row, byteLength);
    this.#setValid(this.columns[w] as ColumnSpace, row, true);
    return true;
  }

  /** Marks a value that the caller wrote itself as not null. */
  setValid(w: number, row: number): void {
    this.#setValid(this.columns[w] as ColumnSpace, row, true);
  }

  #setI64(column: ColumnSpace, row: number, from: number, to: number, isInteger: boolean): string | undefined {
    const { memory } = this.builder;
    if (isInteger && to - from > EXACT_DIGITS) {
      if (to - from > I64_DIGITS_MAX + 1) return 'is not within 64 bits';
      const value = BigInt(literalText(memory.u8, from, to));
      if (BigInt.asIntN(64, value) !== value) return 'is not within 64 bits';
      memory.i64[(column.data >>> 3) + row] = value;
    } else {
      const value = literalValue(memory.u8, from, to);
      if (!Number.isInteger(value)) return 'is not whole';
      if (!Number.isSafeInteger(value)) return 'is not exact beyond 2^53 with a fraction or an exponent; write all its digits';
      this.#storeI64(column, row, value);
    }
    this.#setValid(column, row, true);
    return undefined;
  }

  #storeI64(column: ColumnSpace, row: number, value: number): void {
    const at = (column.data >>> 2) + row * 2;
    const high = Math.floor(value / TWO_32);
    this.builder.memory.u32[at] = value - high * TWO_32;
    this.builder.memory.i32[at + 1] = high;
  }

  #setValid(column: ColumnSpace, row: number, isValid: boolean): void {
    if (column.validity !== 0) setBit(this.builder.memory.u8, column.validity, row, isValid);
  }

  /** Zeros for every column that nobody reads. */
  #zeroBytes(): number {
    if (this.#zeros === 0) {
      const bytes = (this.builder.capacity + 1) * 8;
      this.#zeros = this.#slabs.alloc(bytes);
      fillBytes(this.builder.memory, this.#zeros, bytes);
    }
    return this.#zeros;
  }
}

/**
 * The double that `JSON.parse` gives for a checked number literal.
 *
 * Up to 15 digits and 22 decimals are one exact integer and one exact power of ten, so one correctly rounded
 * division gives the right double (Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990). The
 * rest goes through `Number()`.
 */
export function literalValue(u8: Uint8Array, from: number, to: number): number {
  let at = from;
  const isNegative = u8[at] === 0x2d;
  if (isNegative) at++;
  let mantissa = 0;
  let digitCount = 0;
  let decimals = -1;
  for (; at < to; at++) {
    const byte = u8[at] as number;
    if (byte === 0x2e) decimals = 0;
    else if (byte >= 0x30 && byte <= 0x39) {
      mantissa = mantissa * 10 + (byte - 0x30);
      if (++digitCount > EXACT_DIGITS) break;
      if (decimals >= 0) decimals++;
    } else break;
  }
  if (at < to) return Number(literalText(u8, from, to));
  const value = decimals > 0 ? mantissa / (POWERS[decimals] as number) : mantissa;
  return isNegative ? -value : value;
}

/** Bytes that are known to be ASCII, as a string. */
export function literalText(u8: Uint8Array, from: number, to: number): string {
  if (to - from > 64) return Buffer.from(u8.slice(from, to)).toString('latin1');
  let text = '';
  for (let at = from; at < to; at++) text += String.fromCharCode(u8[at] as number);
  return text;
}

function setBit(u8: Uint8Array, address: number, bit: number, on: boolean): void {
  const at = address + (bit >>> 3);
  const mask = 1 << (bit & 7);
  u8[at] = on ? (u8[at] as number) | mask : (u8[at] as number) & ~mask;
}

/** Copies JSON without the white space between its tokens; returns the address behind. */
function copyJson(u8: Uint8Array, from: number, to: number, target: number): number {
  let out = target;
  let isInText = false;
  for (let at = from; at < to; at++) {
    const byte = u8[at] as number;
    if (isInText) {
      if (byte === 0x5c) u8[out++] = u8[at++] as number;
      else if (byte === 0x22) isInText = false;
    } else if (byte <= 0x20) continue;
    else if (byte === 0x22) isInText = true;
    u8[out++] = u8[at] as number;
  }
  return out;
}
