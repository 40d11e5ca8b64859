// The values that json-flat.ts has found, column by column into their rows: the second pass of the kernel in json.ts.
// In a column all values are of one kind and about one length, so that the branches here are the same from row to row.
//
// Each function takes the column, the list of its values, the first row and the number of rows, and returns how many rows
// it has written: it stops at the first value that is not for it. A row that was written may be written again.

import { decimalToDouble } from "./json-number";
import { COLUMN, ENTRY_SHIFT, SPANS } from "./json-flat";
import { BACKSLASHES, skipScalar, skipString, SPACES, unescape, ZEROS } from "./json-text";
import {
  ABSENT, BOOL, DATA, F32, F64, I16, I32, I64, INSTANT, LIMIT, LIST, OBJECT, OFFSETS, RAW, TIMESTAMP, TO_ENDS, TYPE, U32, UTF8, VALIDITY,
} from "./json-column";
import { writeAbsent, writeNested, writeObjects } from "./json-nested-columns";
import { decodeFloat, decodeInstant, decodeInteger, decodeTime, isNothing } from "./json-value";

const POWERS: usize = 24;
const ENTRIES: usize = 28;
const ENTRY_COUNT: usize = 32;

/** Writes the values that were found of `count` records to the rows from `row` on; the number of rows. */
export function writeColumns(program: usize, row: u32, count: u32): u32 {
  const powers = <usize>load<u32>(program + POWERS);
  const entries = <usize>load<u32>(program + ENTRIES);
  const end = entries + (<usize>load<u32>(program + ENTRY_COUNT) << ENTRY_SHIFT);
  let rows = count;
  for (let entry = entries; entry < end && rows != 0; entry += 1 << ENTRY_SHIFT) {
    const spans = <usize>load<u32>(entry + SPANS);
    const column = <usize>load<u32>(entry + COLUMN);
    if (column == 0) {
      rows = checkValues(spans, rows);
      continue;
    }
    const validity = <usize>load<u32>(column + VALIDITY);
    if (validity != 0) writeBits(validity, row, rows, ~(<u64>0));
    const type = load<u32>(column + TYPE);
    if (type == UTF8) rows = writeTexts(column, spans, row, rows);
    else if (type == F64 || type == F32) rows = writeFloats(column, type, spans, row, rows, powers);
    else if (type == BOOL) rows = writeBools(column, spans, row, rows);
    else if (type <= I64 || type == TIMESTAMP) rows = writeIntegers(column, type, spans, row, rows);
    else if (type == INSTANT) rows = writeInstants(column, spans, row, rows);
    else if (type == OBJECT) rows = writeObjects(column, spans, row, rows);
    else if (type == RAW || type == LIST) rows = writeNested(column, type == LIST, spans, row, rows);
    else if (type == ABSENT) rows = writeAbsent(spans, rows);
    else rows = writeNothing(column, spans, row, rows);
  }
  return rows;
}

/** Bits 0 to `count` of `bits` to the rows from `row` on. */
function writeBits(column: usize, row: u32, count: u32, bits: u64): void {
  let at = column + (<usize>row >> 3);
  let left = <i32>count;
  let rest = bits;
  const before = row & 7;
  if (before != 0) {
    const taken = min<i32>(8 - before, left);
    const mask = ((1 << taken) - 1) << before;
    store<u8>(at, <u8>((<u32>load<u8>(at) & ~mask) | ((<u32>rest << before) & mask)));
    rest >>= <u64>taken;
    left -= taken;
    at++;
  }
  for (; left >= 8; left -= 8) {
    store<u8>(at++, <u8>rest);
    rest >>= 8;
  }
  if (left > 0) {
    const mask: u32 = (1 << left) - 1;
    store<u8>(at, <u8>((<u32>load<u8>(at) & ~mask) | (<u32>rest & mask)));
  }
}

/** A bit for each of the 16 bytes that is a backslash, a control character, or not ASCII. */
// @ts-ignore: decorator
@inline
function odd(chunk: v128): i32 {
  return i8x16.bitmask(v128.or(i8x16.gt_s(v128.load(SPACES), chunk), i8x16.eq(chunk, v128.load(BACKSLASHES))));
}

/** Writes a text with odd bytes in it; how many it has written, or -1 when it is none. */
function writeOdd(from: usize, to: usize, out: usize): i32 {
  if (skipString(from, to + 1) != to + 1) return -1;
  return <i32>(unescape(from, to, out) - out);
}

/** Values of a type that the kernel does not know. */
function writeNothing(column: usize, spans: usize, row: u32, count: u32): u32 {
  for (let i: u32 = 0; i < count; i++) {
    const at = <usize>i << 2;
    if (!isNothing(column, <usize>load<u32>(spans + at), <usize>load<u32>(spans + at, TO_ENDS), row + i)) return i;
  }
  return count;
}

function writeTexts(column: usize, spans: usize, row: u32, count: u32): u32 {
  const limit = <usize>load<u32>(column + LIMIT);
  const data = <usize>load<u32>(column + DATA);
  const offsets = <usize>load<u32>(column + OFFSETS) + (<usize>row << 2);
  let out = data + <usize>load<u32>(offsets);
  for (let at: usize = 0, behind = <usize>count << 2; at < behind; at += 4) {
    const start = <usize>load<u32>(spans + at);
    const end = <usize>load<u32>(spans + at, TO_ENDS);
    if (start == 0 || load<u8>(start) != 0x22) {
      if (!isNothing(column, start, end, row + <u32>(at >> 2))) return <u32>(at >> 2);
      out = data + <usize>load<u32>(offsets + at, 4); // behind a default
      continue;
    }
    let length = <i32>(end - start - 1);
    if (limit - out < <usize>length + 16) return <u32>(at >> 2);
    const chunk = v128.load(start, 1);
    v128.store(out, chunk);
    if (length > 16 ? !copyLong(start + 1, end, out) : (odd(chunk) & ((1 << length) - 1)) != 0) {
      length = writeOdd(start + 1, end, out);
      if (length < 0) return <u32>(at >> 2);
    }
    out += <usize>length;
    store<u32>(offsets + at, <u32>(out - data), 4);
  }
  return count;
}

/** Copies a text of more than 16 bytes; false when some are odd. */
function copyLong(from: usize, to: usize, target: usize): bool {
  let out = target;
  let p = from;
  let odds: i32 = 0;
  let chunk = v128.load(p);
  for (; to - p > 16; p += 16) {
    v128.store(out, chunk);
    odds |= odd(chunk);
    out += 16;
    chunk = v128.load(p, 16);
  }
  v128.store(out, chunk);
  odds |= odd(chunk) & ((1 << <i32>(to - p)) - 1);
  return odds == 0;
}

// 16 times 0, 16 times 255: the mask of the last n of 16 bytes starts at n.
// @ts-ignore: decorator
@lazy
const LAST = memory.data<u8>([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], 16);
// @ts-ignore: decorator
@lazy
const NINES = memory.data<u8>([9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], 16);
// @ts-ignore: decorator
@lazy
const POINTS = memory.data<u8>([46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46], 16);
// Digits to numbers of two, of four and of eight digits.
// @ts-ignore: decorator
@lazy
const THOUSANDS = memory.data<u16>([1000, 100, 10, 1, 1000, 100, 10, 1], 16);
// @ts-ignore: decorator
@lazy
const ONES = memory.data<u16>([1, 1, 1, 1, 1, 1, 1, 1], 16);
// @ts-ignore: decorator
@lazy
const TEN_THOUSANDS = memory.data<u16>([10000, 1, 10000, 1, 10000, 1, 10000, 1], 16);
// Places of 16 bytes of which byte n is taken out, those before it moved by one, a 0 in front; last, of all 16.
// @ts-ignore: decorator
@lazy
const WITHOUT = memory.data<u8>([
  128, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15,
  128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
], 16);

/** The digits of the last `length` of 16 bytes, 0 before them; other bytes are above 9. */
// @ts-ignore: decorator
@inline
function digitsBefore(end: usize, length: usize): v128 {
  return v128.and(i8x16.sub(v128.load(end - 16), v128.load(ZEROS)), v128.load(LAST + length));
}

/** The number that 16 digits say, the first the highest: by sums of products of pairs. */
// @ts-ignore: decorator
@inline
function numberOf(digits: v128): i64 {
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(digits), v128.load(THOUSANDS));
  const high = i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(digits), v128.load(THOUSANDS));
  const fours = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(low, high), v128.load(ONES));
  const eights = i64x2.extract_lane(i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(fours, fours), v128.load(TEN_THOUSANDS)), 0);
  return (eights & 0xffff_ffff) * 100_000_000 + (eights >>> 32);
}

function writeFloats(column: usize, type: u32, spans: usize, row: u32, count: u32, powers: usize): u32 {
  const data = <usize>load<u32>(column + DATA);
  for (let i: u32 = 0; i < count; i++) {
    const start = <usize>load<u32>(spans + (<usize>i << 2));
    const end = <usize>load<u32>(spans + (<usize>i << 2), TO_ENDS);
    if (start != 0) {
      const isNegative = <usize>(load<u8>(start) == 0x2d);
      const from = start + isNegative;
      const length = end - from;
      if (length - 1 < 16) {
        // At most 16 digits, or 15 and a point, which is taken out: the number is exact, so that the division is what rounds.
        const all = digitsBefore(end, length);
        const point: usize = <usize>ctz(i8x16.bitmask(i8x16.eq(v128.load(end - 16), v128.load(POINTS))) & (0xffff << (16 - <i32>length)) | 0x10000);
        const digits = i8x16.swizzle(all, v128.load(WITHOUT + (point << 4)));
        const decimals: usize = 15 - point + (point >> 4);
        const whole = point - (16 - length);
        if (!v128.any_true(i8x16.gt_u(digits, v128.load(NINES))) && whole != 0 && point != 15 && (whole == 1 || load<u8>(from) != 0x30)) {
          const size = <f64>numberOf(digits) / load<f64>(powers + (decimals << 3));
          const value = isNegative != 0 ? -size : size;
          if (type == F64) store<f64>(data + (<usize>(row + i) << 3), value);
          else store<f32>(data + (<usize>(row + i) << 2), <f32>value);
          continue;
        }
      }
      const size = length - 17 < 4 ? longNumber(from, end, length - 16, powers) : -1;
      if (size >= 0) {
        const value = isNegative != 0 ? -size : size;
        if (type == F64) store<f64>(data + (<usize>(row + i) << 3), value);
        else store<f32>(data + (<usize>(row + i) << 2), <f32>value);
        continue;
      }
      if (decodeFloat(type, data, start, load<u8>(start), row + i, powers) == end) continue;
    }
    if (!isNothing(column, start, end, row + i)) return i;
  }
  return count;
}

/** A number of 17 to 20 bytes, at most 19 digits: the first 1 to 4 and the last 16 apart; -1 when it has an exponent, or is none. */
function longNumber(from: usize, end: usize, headLength: usize, powers: usize): f64 {
  const headPoints = i8x16.bitmask(i8x16.eq(v128.load(end - 32), v128.load(POINTS))) & (0xffff << (16 - <i32>headLength));
  const tailPoints = i8x16.bitmask(i8x16.eq(v128.load(end - 16), v128.load(POINTS)));
  const headPoint = ctz(headPoints | 0x10000);
  const tailPoint = ctz(tailPoints | 0x10000);
  const head = i8x16.swizzle(digitsBefore(end - 16, headLength), v128.load(WITHOUT + (<usize>headPoint << 4)));
  const tail = i8x16.swizzle(digitsBefore(end, 16), v128.load(WITHOUT + (<usize>tailPoint << 4)));
  if (v128.any_true(i8x16.gt_u(i8x16.max_u(head, tail), v128.load(NINES)))) return -1;
  const hasPoint = headPoint + tailPoint != 32;
  // Two points, one at either end, more than 19 digits, or a leading zero.
  if ((headPoint != 16 && tailPoint != 16) || tailPoint == 15 || (headLength == 4 && !hasPoint) || load<u8>(from) == 0x2e) return -1;
  if (load<u8>(from) == 0x30 && load<u8>(from + 1) != 0x2e) return -1;
  const mantissa = <u64>numberOf(head) * (tailPoint == 16 ? 10_000_000_000_000_000 : 1_000_000_000_000_000) + <u64>numberOf(tail);
  const decimals = headPoint != 16 ? 31 - headPoint : tailPoint != 16 ? 15 - tailPoint : 0;
  return decimalToDouble(mantissa, -decimals, powers);
}

function writeIntegers(column: usize, type: u32, spans: usize, row: u32, count: u32): u32 {
  const data = <usize>load<u32>(column + DATA);
  for (let i: u32 = 0; i < count; i++) {
    const start = <usize>load<u32>(spans + (<usize>i << 2));
    const end = <usize>load<u32>(spans + (<usize>i << 2), TO_ENDS);
    if (start != 0) {
      const byte = load<u8>(start);
      const isNegative = <usize>(byte == 0x2d);
      const from = start + isNegative;
      const length = end - from;
      if (length - 1 < 15) {
        const digits = digitsBefore(end, length);
        if (!v128.any_true(i8x16.gt_u(digits, v128.load(NINES))) && (length == 1 || load<u8>(from) != 0x30)) {
          const size = numberOf(digits);
          if (storeInteger(type, data, <usize>(row + i), isNegative != 0 ? -size : size)) continue;
        }
      }
      if (byte == 0x22 && type == TIMESTAMP) {
        if (decodeTime(data, start + 1, end + 1, row + i) == end + 1) continue;
      } else if (decodeInteger(type, data, start, byte, row + i) == end) continue;
    }
    if (!isNothing(column, start, end, row + i)) return i;
  }
  return count;
}

function writeInstants(column: usize, spans: usize, row: u32, count: u32): u32 {
  const data = <usize>load<u32>(column + DATA);
  for (let i: u32 = 0; i < count; i++) {
    const start = <usize>load<u32>(spans + (<usize>i << 2));
    const end = <usize>load<u32>(spans + (<usize>i << 2), TO_ENDS);
    if (start != 0) {
      const byte = load<u8>(start);
      const isText = <usize>(byte == 0x22);
      if (decodeInstant(column, data, start, end + isText, byte, row + i) == end + isText) continue;
    }
    if (!isNothing(column, start, end, row + i)) return i;
  }
  return count;
}

/** False when the type does not hold the value, which has at most 15 digits. */
// @ts-ignore: decorator
@inline
function storeInteger(type: u32, data: usize, row: usize, value: i64): bool {
  if (type >= I64) {
    store<i64>(data + (row << 3), value);
    return true;
  }
  if (type == I32) store<i32>(data + (row << 2), <i32>value);
  else if (type == U32) store<u32>(data + (row << 2), <u32>value);
  else if (type == I16) store<i16>(data + (row << 1), <i16>value);
  else store<i8>(data + row, <i8>value);
  const held: i64 = type == I32 ? <i64>(<i32>value) : type == U32 ? <i64>(<u32>value) : type == I16 ? <i64>(<i16>value) : <i64>(<i8>value);
  return held == value;
}

function writeBools(column: usize, spans: usize, row: u32, count: u32): u32 {
  let bits: u64 = 0;
  let done = count;
  for (let i: u32 = 0; i < count; i++) {
    const start = <usize>load<u32>(spans + (<usize>i << 2));
    const end = <usize>load<u32>(spans + (<usize>i << 2) + TO_ENDS);
    const isTrue = truth(start, end);
    bits |= <u64>(isTrue & 1) << <u64>i;
    if (isTrue < 0) {
      if (!isNothing(column, start, end, row + i)) {
        done = i;
        break;
      }
      // A default.
      const at = <usize>(row + i);
      bits |= ((<u64>load<u8>(<usize>load<u32>(column + DATA) + (at >> 3)) >> <u64>(at & 7)) & 1) << <u64>i;
    }
  }
  writeBits(<usize>load<u32>(column + DATA), row, done, bits);
  return done;
}

/** 1 for true, 0 for false, -2 for all else, without a branch. */
// @ts-ignore: decorator
@inline
function truth(start: usize, end: usize): i32 {
  const word = load<u32>(start);
  const isTrue = <i32>(word == 0x65757274) & <i32>(end - start == 4);
  const isFalse = <i32>(word == 0x736c6166) & <i32>(end - start == 5) & <i32>(load<u8>(start + 4) == 0x65);
  return isTrue | ((isTrue + isFalse - 1) << 1);
}

/** Values that nobody wants; how many of them, from the first on, are well formed. */
function checkValues(spans: usize, count: u32): u32 {
  for (let i: u32 = 0; i < count; i++) {
    const at = <usize>i << 2;
    const start = <usize>load<u32>(spans + at);
    if (start == 0) continue;
    const end = <usize>load<u32>(spans + at + TO_ENDS);
    const byte = load<u8>(start);
    if (byte == 0x22) {
      let odds: i32 = 0;
      let p = start + 1;
      for (; p + 16 < end; p += 16) odds |= odd(v128.load(p));
      odds |= odd(v128.load(p)) & ((1 << <i32>(end - p)) - 1);
      if (odds != 0 && skipString(start + 1, end + 1) != end + 1) return i;
    } else if (truth(start, end) < 0 && skipScalar(start, end, byte) != end) return i;
  }
  return count;
}
