/**
 * Values as text, written straight to shared memory: numbers as JavaScript prints them, 64-bit integers,
 * strings escaped as in JSON. For the encoders of text formats. Each function returns the address after what
 * it wrote; the caller makes sure that there is room.
 */

import { assert, type Column, type SharedMemory } from '../core/index.ts';
import { base64Bytes } from './base64.ts';
import { utf8Fault } from './utf8.ts';

/** Most bytes of a number as JavaScript prints it: -2.2250738585072014e-308. */
export const NUMBER_BYTES_MAX = 25;
/** Most bytes of a JSON string per byte of its text: a control character as \u0001. */
export const ESCAPE_FACTOR = 6;

const ZERO = 0x30;
const MINUS = 0x2d;
const TWO_32 = 4_294_967_296;
/** Above it, digits alone no longer tell every integer double apart: `String()` is used then. */
const EXACT_MAX = 9_007_199_254_740_991;
const FIFTEEN_DIGITS = 1e15;
const DECIMALS_MAX = 15;
const SMALLEST_PLAIN = 1e-5;
const POWERS = Array.from({ length: DECIMALS_MAX + 1 }, (_, i) => Number(`1e${i}`));
const HEX = '0123456789abcdef';

/**
 * The letter after the backslash for a byte that JSON escapes with one; 1 for \u00xx; 0 for a byte that
 * stays.
 */
const ESCAPES = new Uint8Array(256);
ESCAPES.fill(1, 0, 0x20);
for (const [byte, letter] of [
  [8, 'b'],
  [9, 't'],
  [10, 'n'],
  [12, 'f'],
  [13, 'r'],
  [0x22, '"'],
  [0x5c, '\\'],
] as const)
  ESCAPES[byte] = letter.charCodeAt(0);

/** A finite double, as `String(value)` prints it (-0 as 0). */
export function writeNumber(u8: Uint8Array, address: number, value: number): number {
  if (value === 0) {
    u8[address] = ZERO;
    return address + 1;
  }
  let at = address;
  let size = value;
  if (value < 0) {
    u8[at++] = MINUS;
    size = -value;
  }
  if (size <= EXACT_MAX && Math.floor(size) === size) return writeInteger(u8, at, size);
  if (size < FIFTEEN_DIGITS && size >= SMALLEST_PLAIN) {
    // Two decimals of up to 15 digits are never the same double. So the first that gives the value back is
    // the shortest.
    for (let decimals = 1; decimals <= DECIMALS_MAX; decimals++) {
      const power = POWERS[decimals] as number;
      const digits = Math.round(size * power);
      if (digits >= FIFTEEN_DIGITS) break;
      if (digits / power === size) return writeDecimal(u8, at, digits, decimals);
    }
  }
  return writeAscii(u8, at, String(size));
}

/** Writes `digits` with a point before the last `decimals`. */
function writeDecimal(u8: Uint8Array, address: number, digits: number, decimals: number): number {
  const power = POWERS[decimals] as number;
  const whole = Math.floor(digits / power);
  let at = writeInteger(u8, address, whole);
  u8[at++] = 0x2e;
  let rest = digits - whole * power;
  for (let i = at + decimals - 1; i >= at; i--) {
    const next = Math.floor(rest / 10);
    u8[i] = ZERO + (rest - next * 10);
    rest = next;
  }
  return at + decimals;
}

/** An integer from 0 to 2^53 - 1. */
export function writeInteger(u8: Uint8Array, address: number, value: number): number {
  let count = 1;
  for (let limit = 10; value >= limit; limit *= 10) count++;
  let rest = value;
  let at = address + count;
  while (rest >= 1e9) {
    const next = Math.floor(rest / 10);
    u8[--at] = ZERO + (rest - next * 10);
    rest = next;
  }
  let small = rest | 0;
  while (at > address) {
    const next = (small / 10) | 0;
    u8[--at] = ZERO + (small - next * 10);
    small = next;
  }
  return address + count;
}

/** The 64-bit integer at `from` (a multiple of 8). No BigInt is made for what a double holds. */
export function writeI64(memory: SharedMemory, address: number, from: number): number {
  const high = memory.i32[(from >>> 2) + 1] as number;
  const value = high * TWO_32 + (memory.u32[from >>> 2] as number);
  if (!Number.isSafeInteger(value)) return writeAscii(memory.u8, address, String(memory.i64[from >>> 3]));
  if (value >= 0) return writeInteger(memory.u8, address, value);
  memory.u8[address] = MINUS;
  return writeInteger(memory.u8, address + 1, -value);
}

export function writeAscii(u8: Uint8Array, address: number, text: string): number {
  for (let i = 0; i < text.length; i++) u8[address + i] = text.charCodeAt(i);
  return address + text.length;
}

/** UTF-8 text as a JSON string, with quotes, escaped as in `JSON.stringify`. Invalid UTF-8 becomes U+FFFD. */
export function writeJsonString(u8: Uint8Array, address: number, from: number, to: number): number {
  let at = address;
  let high = 0;
  u8[at++] = 0x22;
  for (let i = from; i < to; i++) {
    const byte = u8[i] as number;
    high |= byte;
    const escape = ESCAPES[byte] as number;
    if (escape === 0) u8[at++] = byte;
    else if (escape === 1) {
      at = writeAscii(u8, at, '\\u00');
      u8[at++] = HEX.charCodeAt(byte >>> 4);
      u8[at++] = HEX.charCodeAt(byte & 15);
    } else {
      u8[at++] = 0x5c;
      u8[at++] = escape;
    }
  }
  u8[at++] = 0x22;
  if (high < 0x80 || utf8Fault(u8, from, to) === to) return at;
  const text = Buffer.from(JSON.stringify(Buffer.from(u8.slice(from, to)).toString('utf8')));
  u8.set(text, address);
  return address + text.length;
}

/** The letter after the backslash where a database's tab-separated text has one; 0: the byte stays as it is. */
const LETTERS = new Uint8Array(256);
for (const [byte, letter] of [
  [8, 'b'],
  [9, 't'],
  [10, 'n'],
  [11, 'v'],
  [12, 'f'],
  [13, 'r'],
  [0x5c, '\\'],
] as const)
  LETTERS[byte] = letter.charCodeAt(0);

/** Bytes as the tab-separated text of databases has them: a backslash before what would end the value. At most twice as many. */
export function writeBackslashed(u8: Uint8Array, address: number, from: number, to: number): number {
  let at = address;
  for (let i = from; i < to; i++) {
    const byte = u8[i] as number;
    const letter = LETTERS[byte] as number;
    if (letter !== 0) {
      u8[at++] = 0x5c;
      u8[at++] = letter;
    } else u8[at++] = byte;
  }
  return at;
}

/**
 * A value of fixed width, not null, as both JSON and CSV write it.
 *
 * @param nonFinite text for NaN and the infinities; undefined: their names
 */
export function writeFixed(memory: SharedMemory, { type, data }: Column, row: number, at: number, nonFinite: string | undefined): number {
  const { u8 } = memory;
  switch (type.name) {
    case 'bool':
      return writeAscii(u8, at, (((u8[data + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1 ? 'true' : 'false');
    case 'i8':
      return writeNumber(u8, at, memory.i8[data + row] as number);
    case 'i16':
      return writeNumber(u8, at, memory.i16[(data >>> 1) + row] as number);
    case 'i32':
      return writeNumber(u8, at, memory.i32[(data >>> 2) + row] as number);
    case 'u32':
      return writeNumber(u8, at, memory.u32[(data >>> 2) + row] as number);
    case 'f32':
      return writeFloat(u8, at, memory.f32[(data >>> 2) + row] as number, nonFinite);
    case 'f64':
      return writeFloat(u8, at, memory.f64[(data >>> 3) + row] as number, nonFinite);
    case 'i64':
    case 'timestamp':
      return writeI64(memory, at, data + row * 8);
    default:
      assert(false, `${type.name} has no fixed width`);
  }
}

function writeFloat(u8: Uint8Array, at: number, value: number, nonFinite: string | undefined): number {
  return Number.isFinite(value) ? writeNumber(u8, at, value) : writeAscii(u8, at, nonFinite ?? String(value));
}

/** Most bytes of the text and binary values of a row: `factor` per byte of text, binary as base64. */
export function variableBytes({ i32 }: SharedMemory, columns: readonly Column[], row: number, factor: number): number {
  let bytes = 0;
  for (const { type, offsets } of columns) {
    if (offsets === 0) continue;
    const length = (i32[(offsets >>> 2) + row + 1] as number) - (i32[(offsets >>> 2) + row] as number);
    bytes += type.name === 'binary' ? base64Bytes(length) : length * factor;
  }
  return bytes;
}
