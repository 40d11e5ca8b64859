// Columns to JSON records: the kernel of io/json/encode.ts, whose row writer is its reference. It stops at a row that is not
// for it (text that is no UTF-8) or that may not fit.
//
// The program is laid out as io/json/program.ts tells: a column's key is what stands in front of its value.

import { writeDigits, writeShortest } from "./double-text";
import { isUtf8, stops } from "./json-text";

const COLUMN_COUNT: usize = 0;
const FIXED_BYTES: usize = 4;
const BRACES: usize = 12; // at the end of a row
const COLUMNS: usize = 20;
const POWERS: usize = 24;

const TYPE: usize = 0;
const DATA: usize = 4;
const OFFSETS: usize = 8;
const VALIDITY: usize = 12;
const KEY: usize = 24;
const KEY_LENGTH: usize = 28;
const COLUMN_SHIFT: usize = 6;

const BOOL: u32 = 0;
const I8: u32 = 1;
const I16: u32 = 2;
const I32: u32 = 3;
const U32: u32 = 4;
const F32: u32 = 6;
const F64: u32 = 7;
const UTF8: u32 = 8;
const BINARY: u32 = 9;
/** JSON as it is. */
const RAW: u32 = 12;

const ESCAPE_FACTOR: u64 = 6;
/** Chunks are stored whole, so that this much is written behind a string for a moment. */
const OVERWRITE: u64 = 32;

/** Writes rows `from` to `to`, one record each, and their ends; the number of rows. See RecordEncoder in io/codec.ts. */
export function jsonEncode(program: usize, from: u32, to: u32, address: usize, limit: usize, ends: usize): u32 {
  const columns = <usize>load<u32>(program + COLUMNS);
  const end = columns + (<usize>load<u32>(program + COLUMN_COUNT) << COLUMN_SHIFT);
  const fixed = <u64>load<u32>(program + FIXED_BYTES);
  const powers = <usize>load<u32>(program + POWERS);
  const braces = load<u32>(program + BRACES);
  const memoryEnd = <u64>memory.size() << 16;
  let at = address;
  for (let row = from; row < to; row++) {
    if (<u64>at + fixed + textBound(columns, end, row, memoryEnd) + OVERWRITE > <u64>limit) return row - from;
    for (let column = columns; column < end; column += 1 << COLUMN_SHIFT) {
      const length = <usize>load<u32>(column + KEY_LENGTH);
      copyShort(at, <usize>load<u32>(column + KEY), length);
      at = writeValue(column, row, at + length, powers);
      if (at == 0) return row - from;
    }
    for (let i: u32 = 0; i < braces; i++) store<u8>(at++, 0x7d);
    store<u32>(ends + (<usize>(row - from) << 2), <u32>at);
  }
  return to - from;
}

/** Most bytes that the texts of a row can take; without end when a text lies so near to the end of memory that chunks reach beyond. */
// @ts-ignore: decorator
@inline
function textBound(columns: usize, end: usize, row: u32, memoryEnd: u64): u64 {
  let bytes: u64 = 0;
  for (let column = columns; column < end; column += 1 << COLUMN_SHIFT) {
    const offsets = <usize>load<u32>(column + OFFSETS);
    if (offsets == 0) continue;
    const at = offsets + (<usize>row << 2);
    const stop = load<u32>(at + 4);
    bytes += <u64>(stop - load<u32>(at)) * ESCAPE_FACTOR;
    if (<u64>load<u32>(column + DATA) + <u64>stop + 16 > memoryEnd) return u64.MAX_VALUE >> 1;
  }
  return bytes;
}

/** Behind the value, or 0. */
// @ts-ignore: decorator
@inline
function writeValue(column: usize, row: u32, at: usize, powers: usize): usize {
  const type = load<u32>(column + TYPE);
  const data = <usize>load<u32>(column + DATA);
  const validity = <usize>load<u32>(column + VALIDITY);
  if (validity != 0 && !bit(validity, row)) return writeNull(at);
  if (type == UTF8) {
    const offset = <usize>load<u32>(column + OFFSETS) + (<usize>row << 2);
    return writeText(at, data + <usize>load<u32>(offset), data + <usize>load<u32>(offset + 4));
  }
  if (type == F64) return writeDouble(at, load<f64>(data + (<usize>row << 3)), powers);
  if (type == BINARY) {
    const offset = <usize>load<u32>(column + OFFSETS) + (<usize>row << 2);
    return writeBase64(at, data + <usize>load<u32>(offset), data + <usize>load<u32>(offset + 4));
  }
  if (type == BOOL) {
    if (bit(data, row)) {
      store<u32>(at, 0x65757274);
      return at + 4;
    }
    store<u32>(at, 0x736c6166);
    store<u8>(at + 4, 0x65);
    return at + 5;
  }
  if (type == RAW) {
    const offset = <usize>load<u32>(column + OFFSETS) + (<usize>row << 2);
    const length = <usize>(load<u32>(offset + 4) - load<u32>(offset));
    memory.copy(at, data + <usize>load<u32>(offset), length);
    return at + length;
  }
  if (type == F32) return writeDouble(at, <f64>load<f32>(data + (<usize>row << 2)), powers);
  let value: i64;
  if (type == I32) value = <i64>load<i32>(data + (<usize>row << 2));
  else if (type == U32) value = <i64>load<u32>(data + (<usize>row << 2));
  else if (type == I16) value = <i64>load<i16>(data + (<usize>row << 1));
  else if (type == I8) value = <i64>load<i8>(data + <usize>row);
  else value = load<i64>(data + (<usize>row << 3));
  if (value >= 0) return writeDigits(at, <u64>value);
  store<u8>(at, 0x2d);
  return writeDigits(at + 1, <u64>-value);
}

// @ts-ignore: decorator
@inline
function bit(bits: usize, row: u32): bool {
  return ((<u32>load<u8>(bits + (<usize>row >> 3)) >> (row & 7)) & 1) != 0;
}

// @ts-ignore: decorator
@inline
function writeNull(at: usize): usize {
  store<u32>(at, 0x6c6c756e);
  return at + 4;
}

/** Copies what is mostly shorter than 16 bytes; may write up to 15 bytes more. */
// @ts-ignore: decorator
@inline
function copyShort(to: usize, from: usize, length: usize): void {
  for (let i: usize = 0; i < length; i += 16) v128.store(to + i, v128.load(from + i));
}

/** A double as JSON.stringify prints it. */
// @ts-ignore: decorator
@inline
function writeDouble(address: usize, value: f64, powers: usize): usize {
  let at = address;
  if (value == 0) {
    store<u8>(at, 0x30);
    return at + 1;
  }
  if (!isFinite(value)) return writeNull(at);
  const size = abs(value);
  if (value < 0) store<u8>(at++, 0x2d);
  if (size <= 9_007_199_254_740_991 && floor(size) == size) return writeDigits(at, <u64><i64>size);
  return writeShortest(at, size, powers);
}

/** Text as a JSON string; 0 when it is no UTF-8. */
// @ts-ignore: decorator
@inline
function writeText(address: usize, from: usize, to: usize): usize {
  store<u8>(address, 0x22);
  let at = address + 1;
  let p = from;
  let high: i32 = 0;
  while (p < to) {
    const chunk = v128.load(p);
    v128.store(at, chunk);
    const left = to - p;
    const inside: i32 = left >= 16 ? 0xffff : (1 << <i32>left) - 1;
    const hits = stops(chunk) & inside;
    high |= i8x16.bitmask(chunk) & inside;
    if (hits == 0) {
      const taken = left < 16 ? left : 16;
      p += taken;
      at += taken;
      continue;
    }
    const n = <usize>ctz(hits);
    at = writeEscape(at + n, load<u8>(p + n));
    p += n + 1;
  }
  if (high != 0 && !isUtf8(from, to)) return 0;
  store<u8>(at, 0x22);
  return at + 1;
}

function writeEscape(at: usize, byte: u8): usize {
  store<u8>(at, 0x5c);
  let letter: u8 = 0;
  if (byte == 0x22 || byte == 0x5c) letter = byte;
  else if (byte == 8) letter = 0x62;
  else if (byte == 9) letter = 0x74;
  else if (byte == 10) letter = 0x6e;
  else if (byte == 12) letter = 0x66;
  else if (byte == 13) letter = 0x72;
  if (letter != 0) {
    store<u8>(at + 1, letter);
    return at + 2;
  }
  store<u32>(at + 1, 0x30303075); // u000
  store<u8>(at + 4, 0x30 + (byte >> 4));
  const low = byte & 15;
  store<u8>(at + 5, low < 10 ? 0x30 + low : 0x57 + low);
  return at + 6;
}

function writeBase64(address: usize, from: usize, to: usize): usize {
  store<u8>(address, 0x22);
  let at = address + 1;
  for (let p = from; p < to; p += 3) {
    const left = to - p;
    const bits = (<u32>load<u8>(p) << 16) | (left > 1 ? <u32>load<u8>(p + 1) << 8 : 0) | (left > 2 ? <u32>load<u8>(p + 2) : 0);
    store<u8>(at, letterOf(bits >> 18));
    store<u8>(at + 1, letterOf((bits >> 12) & 63));
    store<u8>(at + 2, left > 1 ? letterOf((bits >> 6) & 63) : 0x3d);
    store<u8>(at + 3, left > 2 ? letterOf(bits & 63) : 0x3d);
    at += 4;
  }
  store<u8>(at, 0x22);
  return at + 1;
}

// @ts-ignore: decorator
@inline
function letterOf(six: u32): u8 {
  if (six < 26) return <u8>(0x41 + six);
  if (six < 52) return <u8>(0x61 + six - 26);
  if (six < 62) return <u8>(0x30 + six - 52);
  return six == 62 ? 0x2b : 0x2f;
}
