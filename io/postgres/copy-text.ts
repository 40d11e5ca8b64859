/**
 * Rows as lines of PostgreSQL's COPY text format, in the worker: one line a row, a tab between columns, `\N` for
 * null. Numbers as JavaScript prints them, a boolean as t or f, bytes in hex, an instant in UTC with milliseconds.
 *
 *   a\t3\t\N\t2026-01-31 12:00:00.250+00\n
 */

import { type Batch, type Column, isValid, type Schema, type SharedMemory } from '../../core/index.ts';
import type { Codec, EncoderContext, RecordEncoder } from '../codec.ts';
import { FramedRecords, type RecordFrame } from '../delivery/index.ts';
import { NUMBER_BYTES_MAX, writeAscii, writeBackslashed, writeFixed, writeI64 } from '../text-writer.ts';

const TAB = 0x09;
const LF = 0x0a;
const ZERO = 0x30;
const DAY_MS = 86_400_000;
/** The days that a Date can hold. */
const DAY_MAX = 100_000_000;
const TWO_32 = 4_294_967_296;
/** `-271821-04-20 00:00:00.000+00 BC` and some. */
const TIME_BYTES_MAX = 40;

const HEX = Buffer.from('0123456789abcdef');

/**
 * @param schema of the batches to come, with the hidden column where they are changes of a table: each line ends with
 * one more column then, whether the row goes
 */
export function copyEncoder(context: EncoderContext, schema: Schema, key: readonly string[], isChanges: boolean): RecordEncoder {
  if (!isChanges) return new CopyText(context.memory, true);
  return new FramedRecords(context, schema, COPY_TEXT, key, new LineEnd(context.memory));
}

class LineEnd implements RecordFrame {
  readonly hasRecordsOfGone = true;
  readonly #u8: Uint8Array;

  constructor({ u8 }: SharedMemory) {
    this.#u8 = u8;
  }

  bytesMax(): number {
    return 3;
  }

  head(_batch: Batch, _row: number, at: number): number {
    return at;
  }

  tail(address: number, isGone: boolean): number {
    return writeAscii(this.#u8, address, isGone ? '\tt\n' : '\tf\n');
  }
}

const COPY_TEXT: Codec = {
  name: 'copy',
  schema: undefined,
  decoder: () => {
    throw new Error('COPY text is written only');
  },
  encoder: ({ memory }) => new CopyText(memory, false),
};

/** Lines, or lines without their ends. */
class CopyText implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #hasEnds: boolean;
  readonly #date = new DateText();

  constructor(memory: SharedMemory, hasEnds: boolean) {
    this.#memory = memory;
    this.#hasEnds = hasEnds;
  }

  encode({ columns }: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u8, u32 } = this.#memory;
    let at = address;
    for (let row = from; row < to; row++) {
      if (at + this.#bound(columns, row) > limit) return row - from;
      for (let c = 0; c < columns.length; c++) {
        if (c > 0) u8[at++] = TAB;
        at = this.#value(columns[c] as Column, row, at);
      }
      if (this.#hasEnds) u8[at++] = LF;
      u32[(ends >>> 2) + (row - from)] = at;
    }
    return to - from;
  }

  #bound(columns: readonly Column[], row: number): number {
    const { i32 } = this.#memory;
    let bytes = columns.length * Math.max(NUMBER_BYTES_MAX, TIME_BYTES_MAX) + 1;
    for (const { offsets } of columns) if (offsets !== 0) bytes += 2 * ((i32[(offsets >>> 2) + row + 1] as number) - (i32[(offsets >>> 2) + row] as number));
    return bytes;
  }

  #value(column: Column, row: number, at: number): number {
    const memory = this.#memory;
    const { u8, i32 } = memory;
    const { type, data, offsets } = column;
    if (!isValid(memory, column, row)) return writeAscii(u8, at, '\\N');
    switch (type.name) {
      case 'bool':
        u8[at] = (((u8[data + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1 ? 0x74 : 0x66;
        return at + 1;
      case 'timestamp':
        return this.#time(data + row * 8, at);
      case 'f32':
      case 'f64': {
        const value = type.name === 'f64' ? (memory.f64[(data >>> 3) + row] as number) : (memory.f32[(data >>> 2) + row] as number);
        return Object.is(value, -0) ? writeAscii(u8, at, '-0') : writeFixed(memory, column, row, at, undefined);
      }
      case 'utf8':
      case 'binary': {
        const start = data + (i32[(offsets >>> 2) + row] as number);
        const end = data + (i32[(offsets >>> 2) + row + 1] as number);
        return type.name === 'utf8' ? writeBackslashed(u8, at, start, end) : writeHex(u8, at, start, end);
      }
      default:
        return writeFixed(memory, column, row, at, undefined);
    }
  }

  #time(from: number, address: number): number {
    const { u8, u32, i32 } = this.#memory;
    const ms = (i32[(from >>> 2) + 1] as number) * TWO_32 + (u32[from >>> 2] as number);
    const day = Math.floor(ms / DAY_MS);
    // No server takes that as a time, and says so.
    if (Math.abs(day) > DAY_MAX) return writeI64(this.#memory, address, from);
    this.#date.of(day);
    let at = this.#date.write(u8, address);
    let rest = ms - day * DAY_MS;
    const hour = (rest / 3_600_000) | 0;
    rest -= hour * 3_600_000;
    const minute = (rest / 60_000) | 0;
    rest -= minute * 60_000;
    const second = (rest / 1_000) | 0;
    rest -= second * 1_000;
    at = writeTwo(u8, at, hour);
    u8[at++] = 0x3a;
    at = writeTwo(u8, at, minute);
    u8[at++] = 0x3a;
    at = writeTwo(u8, at, second);
    u8[at++] = 0x2e;
    u8[at++] = ZERO + ((rest / 100) | 0);
    at = writeTwo(u8, at, rest % 100);
    return writeAscii(u8, at, this.#date.isBefore ? '+00 BC' : '+00');
  }
}

/** The date of a day as text with a blank behind it. That of the last one is kept. */
class DateText {
  #day = Number.NaN;
  #bytes: Uint8Array = new Uint8Array(0);
  /** Before the year 1, which PostgreSQL says with BC, as there is no year 0. */
  isBefore = false;

  of(day: number): void {
    if (day === this.#day) return;
    const date = new Date(day * DAY_MS);
    const year = date.getUTCFullYear();
    this.isBefore = year <= 0;
    const parts = [String(this.isBefore ? 1 - year : year).padStart(4, '0'), two(date.getUTCMonth() + 1), two(date.getUTCDate())];
    this.#bytes = Buffer.from(`${parts.join('-')} `);
    this.#day = day;
  }

  write(u8: Uint8Array, at: number): number {
    const bytes = this.#bytes;
    for (let i = 0; i < bytes.length; i++) u8[at + i] = bytes[i] as number;
    return at + bytes.length;
  }
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function writeTwo(u8: Uint8Array, at: number, value: number): number {
  const tens = (value / 10) | 0;
  u8[at] = ZERO + tens;
  u8[at + 1] = ZERO + value - tens * 10;
  return at + 2;
}

/** `\\x` and two digits a byte: the backslash itself is escaped. */
function writeHex(u8: Uint8Array, address: number, from: number, to: number): number {
  let at = writeAscii(u8, address, '\\\\x');
  for (let i = from; i < to; i++) {
    const byte = u8[i] as number;
    u8[at++] = HEX[byte >>> 4] as number;
    u8[at++] = HEX[byte & 15] as number;
  }
  return at;
}
