/**
 * Rows as lines of ClickHouse's TabSeparated format, in the worker. Numbers as JavaScript prints them, nan and inf, a
 * boolean as 1 or 0, text and bytes with a backslash before what ends a value, `\N` for null.
 */

import { type Batch, type Column, isValid, type Schema, type SharedMemory } from '../../core/index.ts';
import type { EncoderContext, RecordEncoder } from '../codec.ts';
import { NUMBER_BYTES_MAX, writeAscii, writeBackslashed, writeFixed, writeI64, writeInteger } from '../text-writer.ts';
import type { Form } from './columns.ts';

const TAB = 0x09;
const LF = 0x0a;
const ZERO = 0x30;
const MINUS = 0x2d;
const TWO_32 = 4_294_967_296;
/** DateTime is 32 bits of seconds. */
const SECONDS_MAX = 4_294_967_295;
const SECONDS_DIGITS = 10;

export class TabSeparated implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #forms: readonly Form[];

  constructor({ memory }: EncoderContext, _schema: Schema, forms: readonly Form[]) {
    this.#memory = memory;
    this.#forms = forms;
  }

  encode({ columns }: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u8, u32, i32 } = this.#memory;
    let at = address;
    for (let row = from; row < to; row++) {
      let bytes = columns.length * (NUMBER_BYTES_MAX + 1);
      for (const { offsets } of columns) if (offsets !== 0) bytes += 2 * ((i32[(offsets >>> 2) + row + 1] as number) - (i32[(offsets >>> 2) + row] as number));
      if (at + bytes > limit) return row - from;
      for (let c = 0; c < columns.length; c++) {
        at = this.#value(columns[c] as Column, row, at, this.#forms[c] as Form);
        u8[at++] = TAB;
      }
      u8[at - 1] = LF;
      u32[(ends >>> 2) + (row - from)] = at;
    }
    return to - from;
  }

  #value(column: Column, row: number, at: number, form: Form): number {
    const memory = this.#memory;
    const { u8, i32 } = memory;
    const { type, data, offsets } = column;
    if (!isValid(memory, column, row)) return writeAscii(u8, at, '\\N');
    switch (type.name) {
      case 'bool':
        u8[at] = ZERO + (((u8[data + (row >>> 3)] as number) >>> (row & 7)) & 1);
        return at + 1;
      case 'f32':
      case 'f64': {
        const value = type.name === 'f64' ? (memory.f64[(data >>> 3) + row] as number) : (memory.f32[(data >>> 2) + row] as number);
        if (Number.isFinite(value)) return Object.is(value, -0) ? writeAscii(u8, at, '-0') : writeFixed(memory, column, row, at, undefined);
        return writeAscii(u8, at, Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf');
      }
      case 'utf8':
      case 'binary':
        return writeBackslashed(u8, at, data + (i32[(offsets >>> 2) + row] as number), data + (i32[(offsets >>> 2) + row + 1] as number));
      case 'timestamp':
        return form === 'ms' ? writeI64(memory, at, data + row * 8) : this.#time(data + row * 8, at, form === 'decimal');
      default:
        return writeFixed(memory, column, row, at, undefined);
    }
  }

  /**
   * Ten digits at least: the server takes exactly so many for a number of seconds, and reads on where there are fewer. An
   * instant that it cannot hold gets a letter behind it, so that it is refused and not turned into another.
   */
  #time(from: number, address: number, hasMilliseconds: boolean): number {
    const { u8, u32, i32 } = this.#memory;
    const ms = (i32[(from >>> 2) + 1] as number) * TWO_32 + (u32[from >>> 2] as number);
    if (!hasMilliseconds) {
      const seconds = Math.floor(ms / 1_000);
      if (seconds < 0 || seconds > SECONDS_MAX) return writeAscii(u8, address, '0000000000x');
      return padded(u8, address, seconds, SECONDS_DIGITS);
    }
    // Years 1900 to 2299.
    if (ms < -2_208_988_800_000 || ms > 10_413_791_999_999) return writeAscii(u8, address, '0000000000x');
    let at = address;
    if (ms < 0) u8[at++] = MINUS;
    const size = Math.abs(ms);
    at = padded(u8, at, Math.floor(size / 1_000), SECONDS_DIGITS);
    u8[at++] = 0x2e;
    return padded(u8, at, size % 1_000, 3);
  }
}

function padded(u8: Uint8Array, address: number, value: number, digits: number): number {
  const end = writeInteger(u8, address, value);
  const lacking = digits - (end - address);
  if (lacking <= 0) return end;
  u8.copyWithin(address + lacking, address, end);
  u8.fill(ZERO, address, address + lacking);
  return address + digits;
}
