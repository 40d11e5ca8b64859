// JSON records to columns: the kernel of io/json/decode.ts. The row reader, io/json/row.ts, is its reference: what the
// kernel takes, it writes to the same bytes; what it does not take it leaves to the reader, record by record.
//
// Keys are compared with those of the record before, place by place, 16 bytes at a time; only when one differs is it looked up in
// the hash table. Strings are copied while they are scanned. As simdjson's on-demand reader (Keiser and Lemire, "On-demand
// JSON", Software: Practice and Experience 54(6), 2024), but with no index of structural characters: records are short.
//
// The layout of the program is told in io/json/program.ts.

import { decimalToDouble } from "./json-number";
import { isUtf8, plainString, skipNumber, skipString, skipValue, space, stops, unescape } from "./json-text";

const COLUMN_COUNT: usize = 0;
const TABLE_MASK: usize = 4;
const TABLE: usize = 8;
const STAMP: usize = 12;
const PREDICTIONS: usize = 16;
const COLUMNS: usize = 20;
const POWERS: usize = 24;

const TYPE: usize = 0;
const DATA: usize = 4;
const OFFSETS: usize = 8;
const VALIDITY: usize = 12;
const LIMIT: usize = 16;
const SEEN: usize = 20;
const KEY: usize = 24;
const KEY_LENGTH: usize = 28;
const NULLABLE: usize = 32;
const COLUMN_SHIFT: usize = 6;

const PREDICTION_COUNT: usize = 64;
const PREDICTION_SHIFT: usize = 6;
const PREDICTED_LENGTH: usize = 32; // u32: key and closing quote
const PREDICTED_COLUMN: usize = 36; // address of the column, or 0: not wanted
const PREDICTED_MASK: usize = 40; // u32: a bit for each of its bytes
const PREDICTED_BYTES_MAX: usize = 32;

/** Bytes behind a record that may be read: a predicted key, then the longest number. */
const OVERREAD: u64 = 160;

const BOOL: u32 = 0;
const I8: u32 = 1;
const I16: u32 = 2;
const I32: u32 = 3;
const U32: u32 = 4;
const I64: u32 = 5;
const F32: u32 = 6;
const F64: u32 = 7;
const UTF8: u32 = 8;
const TIMESTAMP: u32 = 10;

/** Enters the keys of a new program into its table. */
export function jsonPrepare(program: usize): void {
  const count = load<u32>(program + COLUMN_COUNT);
  const mask = load<u32>(program + TABLE_MASK);
  const table = <usize>load<u32>(program + TABLE);
  for (let i: u32 = 0; i < count; i++) {
    const column = <usize>load<u32>(program + COLUMNS) + (<usize>i << COLUMN_SHIFT);
    let slot = keyHash(<usize>load<u32>(column + KEY), load<u32>(column + KEY_LENGTH)) & mask;
    while (load<u32>(table + (<usize>slot << 2)) != 0) slot = (slot + 1) & mask;
    store<u32>(table + (<usize>slot << 2), i + 1);
  }
}

/**
 * Decodes records from the first on into the rows from `row` on, until one is not for the kernel.
 *
 * @param values address of the records' addresses (u32)
 * @param lengths address of their lengths (i32)
 * @returns how many records it has decoded: as many rows
 */
export function jsonDecode(program: usize, values: usize, lengths: usize, count: u32, row: u32): u32 {
  const memoryEnd = <u64>memory.size() << 16;
  for (let i: u32 = 0; i < count; i++) {
    const from = <usize>load<u32>(values + (<usize>i << 2));
    const length = load<i32>(lengths + (<usize>i << 2));
    if (length <= 0 || <u64>from + <u64>length + OVERREAD > memoryEnd) return i;
    if (!decodeRecord(program, from, from + <usize>length, row + i)) return i;
  }
  return count;
}

function decodeRecord(program: usize, from: usize, end: usize, row: u32): bool {
  const powers = <usize>load<u32>(program + POWERS);
  const stamp = nextStamp(program);
  const firstPrediction = <usize>load<u32>(program + PREDICTIONS);
  const lastPrediction = firstPrediction + ((PREDICTION_COUNT - 1) << PREDICTION_SHIFT);
  let prediction = firstPrediction;
  let seen: u32 = 0;
  let p = from;
  if (load<u8>(p) != 0x7b) {
    p = space(p, end);
    if (load<u8>(p) != 0x7b) return false;
  }
  p = space(p + 1, end);
  if (load<u8>(p) == 0x7d) p++;
  else {
    while (true) {
      if (p >= end || load<u8>(p) != 0x22) return false;
      p++;
      // The key: the one that stood here in the record before, or looked up.
      let column: usize;
      const mask = load<u32>(prediction + PREDICTED_MASK);
      if (mask != 0 && isPredicted(p, prediction, mask)) {
        column = <usize>load<u32>(prediction + PREDICTED_COLUMN);
        p += <usize>load<u32>(prediction + PREDICTED_LENGTH);
      } else {
        const quote = plainString(p, end);
        if (quote == 0) return false;
        column = findColumn(program, p, <u32>(quote - p));
        predict(prediction, p, quote + 1 - p, column);
        p = quote + 1;
      }
      if (prediction != lastPrediction) prediction += 1 << PREDICTION_SHIFT;
      if (load<u8>(p) != 0x3a) {
        p = space(p, end);
        if (load<u8>(p) != 0x3a) return false;
      }
      p++;
      let byte = load<u8>(p);
      if (byte <= 0x20) {
        p = space(p, end);
        byte = load<u8>(p);
      }
      if (column == 0) {
        if (byte == 0x22) p = skipString(p + 1, end);
        else if (byte == 0x2d || <u8>(byte - 0x30) <= 9) p = skipNumber(p, end);
        else p = skipValue(p, end);
      } else {
        p = decodeValue(column, p, end, byte, row, powers);
        if (load<u32>(column + SEEN) != stamp) {
          store<u32>(column + SEEN, stamp);
          seen++;
        }
      }
      if (p == 0) return false;
      byte = load<u8>(p);
      if (byte <= 0x20) {
        p = space(p, end);
        byte = load<u8>(p);
      }
      p++;
      if (byte == 0x2c) {
        if (load<u8>(p) <= 0x20) p = space(p, end);
        continue;
      }
      if (byte != 0x7d) return false;
      break;
    }
  }
  if (p != end) {
    if (p > end || space(p, end) != end) return false;
  }
  return seen == load<u32>(program + COLUMN_COUNT) || nullTheMissing(program, stamp, row);
}

/** A number that no column was stamped with: it tells which keys this record had. */
// @ts-ignore: decorator
@inline
function nextStamp(program: usize): u32 {
  let stamp = load<u32>(program + STAMP) + 1;
  if (stamp == 0) {
    const columns = <usize>load<u32>(program + COLUMNS);
    const count = <usize>load<u32>(program + COLUMN_COUNT);
    for (let i: usize = 0; i < count; i++) store<u32>(columns + (i << COLUMN_SHIFT) + SEEN, 0);
    stamp = 1;
  }
  store<u32>(program + STAMP, stamp);
  return stamp;
}

/** Columns whose key the record did not have: null, where they may be. */
function nullTheMissing(program: usize, stamp: u32, row: u32): bool {
  const columns = <usize>load<u32>(program + COLUMNS);
  const count = <usize>load<u32>(program + COLUMN_COUNT);
  for (let i: usize = 0; i < count; i++) {
    const column = columns + (i << COLUMN_SHIFT);
    if (load<u32>(column + SEEN) != stamp && !writeNull(column, row)) return false;
  }
  return true;
}

// Keys

// @ts-ignore: decorator
@inline
function isPredicted(p: usize, prediction: usize, mask: u32): bool {
  const first = <u32>i8x16.bitmask(i8x16.eq(v128.load(p), v128.load(prediction)));
  if (mask <= 0xffff) return (first & mask) == mask;
  const second = <u32>i8x16.bitmask(i8x16.eq(v128.load(p + 16), v128.load(prediction + 16)));
  return ((first | (second << 16)) & mask) == mask;
}

/** Notes the key (with its closing quote) as the one to expect here. A long one is not noted. */
// @ts-ignore: decorator
@inline
function predict(prediction: usize, key: usize, length: usize, column: usize): void {
  if (length > PREDICTED_BYTES_MAX) {
    store<u32>(prediction + PREDICTED_MASK, 0);
    return;
  }
  v128.store(prediction, v128.load(key));
  v128.store(prediction + 16, v128.load(key + 16));
  store<u32>(prediction + PREDICTED_LENGTH, <u32>length);
  store<u32>(prediction + PREDICTED_COLUMN, <u32>column);
  store<u32>(prediction + PREDICTED_MASK, length == 32 ? 0xffff_ffff : (<u32>1 << <u32>length) - 1);
}

/** Address of the column of a key, or 0. */
function findColumn(program: usize, key: usize, length: u32): usize {
  const mask = load<u32>(program + TABLE_MASK);
  const table = <usize>load<u32>(program + TABLE);
  let slot = keyHash(key, length) & mask;
  while (true) {
    const entry = load<u32>(table + (<usize>slot << 2));
    if (entry == 0) return 0;
    const column = <usize>load<u32>(program + COLUMNS) + (<usize>(entry - 1) << COLUMN_SHIFT);
    if (load<u32>(column + KEY_LENGTH) == length && memory.compare(<usize>load<u32>(column + KEY), key, <usize>length) == 0) return column;
    slot = (slot + 1) & mask;
  }
  return 0;
}

/** Over the length, the first and the last (up to) eight bytes. */
// @ts-ignore: decorator
@inline
function keyHash(key: usize, length: u32): u32 {
  let first: u64;
  let last: u64 = 0;
  if (length >= 8) {
    first = load<u64>(key);
    last = load<u64>(key + <usize>length - 8);
  } else first = load<u64>(key) & (((<u64>1) << (length << 3)) - 1);
  const mixed = (first ^ (last * 0x9e37_79b9_7f4a_7c15) ^ <u64>length) * 0xd6e8_feb8_6659_fd93;
  return <u32>(mixed >> 40);
}

// Values. Each returns the place behind the value, or 0: not for the kernel.

// @ts-ignore: decorator
@inline
function decodeValue(column: usize, p: usize, end: usize, byte: u8, row: u32, powers: usize): usize {
  if (byte == 0x6e) return load<u32>(p) == 0x6c6c756e && writeNull(column, row) ? p + 4 : 0;
  const type = load<u32>(column + TYPE);
  const data = <usize>load<u32>(column + DATA);
  let next: usize = 0;
  if (type == UTF8) {
    if (byte != 0x22) return 0;
    next = decodeText(column, data, p + 1, end, row);
  } else if (type == F64 || type == F32) next = decodeFloat(type, data, p, end, byte, row, powers);
  else if (type == TIMESTAMP && byte == 0x22) next = decodeTime(data, p + 1, end, row);
  else if (type == BOOL) {
    const isTrue = load<u32>(p) == 0x65757274;
    if (!isTrue && !(load<u32>(p) == 0x736c6166 && load<u8>(p + 4) == 0x65)) return 0;
    writeBit(data, row, isTrue);
    next = isTrue ? p + 4 : p + 5;
  } else if (type <= I64 || type == TIMESTAMP) next = decodeInteger(type, data, p, byte, row);
  if (next != 0) {
    const validity = <usize>load<u32>(column + VALIDITY);
    if (validity != 0) writeBit(validity, row, true);
  }
  return next;
}

function writeNull(column: usize, row: u32): bool {
  if (load<u32>(column + NULLABLE) == 0) return false;
  writeBit(<usize>load<u32>(column + VALIDITY), row, false);
  const offsets = <usize>load<u32>(column + OFFSETS);
  if (offsets != 0) store<u32>(offsets + (<usize>row << 2) + 4, load<u32>(offsets + (<usize>row << 2)));
  return true;
}

// @ts-ignore: decorator
@inline
function writeBit(bits: usize, row: u32, on: bool): void {
  const at = bits + (<usize>row >> 3);
  const mask: u32 = 1 << (row & 7);
  const byte = <u32>load<u8>(at);
  store<u8>(at, <u8>(on ? byte | mask : byte & ~mask));
}

// @ts-ignore: decorator
@inline
function decodeText(column: usize, data: usize, from: usize, end: usize, row: u32): usize {
  const offset = <usize>load<u32>(column + OFFSETS) + (<usize>row << 2);
  const start = load<u32>(offset);
  const target = data + <usize>start;
  // What is left of the record is more than the text can take, with or without escapes.
  if (<u64>target + <u64>(end - from) + 16 > <u64>load<u32>(column + LIMIT)) return 0;
  let p = from;
  let out = target;
  let high: i32 = 0;
  while (p < end) {
    const chunk = v128.load(p);
    v128.store(out, chunk);
    const hits = stops(chunk);
    const highs = i8x16.bitmask(chunk);
    if (hits == 0) {
      high |= highs;
      p += 16;
      out += 16;
      continue;
    }
    const n = ctz(hits);
    p += <usize>n;
    high |= highs & ((1 << n) - 1);
    const stop = load<u8>(p);
    if (stop == 0x22) {
      if (high != 0 && !isUtf8(from, p)) return 0;
      store<u32>(offset + 4, start + <u32>(p - from));
      return p + 1;
    }
    if (stop != 0x5c) return 0;
    const behind = skipString(from, end);
    if (behind == 0) return 0;
    store<u32>(offset + 4, start + <u32>(unescape(from, behind - 1, target) - target));
    return behind;
  }
  return 0;
}

// @ts-ignore: decorator
@inline
function decodeInteger(type: u32, data: usize, at: usize, byte: u8, row: u32): usize {
  let p = at;
  const isNegative = byte == 0x2d;
  if (isNegative) p++;
  const from = p;
  let value: i64 = 0;
  const limit = p + 18;
  let digit = load<u8>(p) - 0x30;
  while (<u8>digit <= 9 && p < limit) {
    value = value * 10 + <i64>digit;
    p++;
    digit = load<u8>(p) - 0x30;
  }
  const length = p - from;
  const next = load<u8>(p);
  // No digit, a leading zero, more digits than surely fit, a fraction or an exponent: the reader knows.
  if (length == 0 || (length > 1 && load<u8>(from) == 0x30) || <u8>digit <= 9 || next == 0x2e || (next | 0x20) == 0x65) return 0;
  if (isNegative) value = -value;
  if (type == I64) store<i64>(data + (<usize>row << 3), value);
  else if (type == TIMESTAMP) {
    if (value > 9_007_199_254_740_991 || value < -9_007_199_254_740_991) return 0;
    store<i64>(data + (<usize>row << 3), value);
  } else if (type == I32) {
    if (<i64>(<i32>value) != value) return 0;
    store<i32>(data + (<usize>row << 2), <i32>value);
  } else if (type == U32) {
    if (<i64>(<u32>value) != value) return 0;
    store<u32>(data + (<usize>row << 2), <u32>value);
  } else if (type == I16) {
    if (<i64>(<i16>value) != value) return 0;
    store<i16>(data + (<usize>row << 1), <i16>value);
  } else {
    if (<i64>(<i8>value) != value) return 0;
    store<i8>(data + <usize>row, <i8>value);
  }
  return p;
}

// @ts-ignore: decorator
@inline
function decodeFloat(type: u32, data: usize, at: usize, end: usize, byte: u8, row: u32, powers: usize): usize {
  let p = at;
  const isNegative = byte == 0x2d;
  if (isNegative) p++;
  let digit = <u8>(load<u8>(p) - 0x30);
  if (digit > 9) return 0;
  let mantissa: u64 = <u64>digit;
  const from = p++;
  const limit = from + 20;
  digit = <u8>(load<u8>(p) - 0x30);
  if (mantissa != 0) {
    while (digit <= 9 && p < limit) {
      mantissa = mantissa * 10 + <u64>digit;
      digit = <u8>(load<u8>(++p) - 0x30);
    }
  } else if (digit <= 9) return 0;
  let count = p - from;
  let exponent: i32 = 0;
  if (load<u8>(p) == 0x2e) {
    const fraction = ++p;
    digit = <u8>(load<u8>(p) - 0x30);
    while (digit <= 9 && p < fraction + 20) {
      mantissa = mantissa * 10 + <u64>digit;
      digit = <u8>(load<u8>(++p) - 0x30);
    }
    if (p == fraction) return 0;
    exponent = -<i32>(p - fraction);
    count += p - fraction;
  }
  // More than 19 digits do not fit 64 bits.
  if (count > 19) return 0;
  if ((load<u8>(p) | 0x20) == 0x65) {
    p++;
    const sign = load<u8>(p);
    if (sign == 0x2d || sign == 0x2b) p++;
    const start = p;
    let power: i32 = 0;
    digit = <u8>(load<u8>(p) - 0x30);
    while (digit <= 9 && p < start + 5) {
      power = power * 10 + <i32>digit;
      digit = <u8>(load<u8>(++p) - 0x30);
    }
    if (p == start || digit <= 9) return 0;
    exponent += sign == 0x2d ? -power : power;
  }
  let value = decimalToDouble(mantissa, exponent, powers);
  if (isNegative) value = -value;
  if (type == F64) store<f64>(data + (<usize>row << 3), value);
  else store<f32>(data + (<usize>row << 2), <f32>value);
  return p;
}

/** `YYYY-MM-DD?HH:MM:SS[.f]Z` and its quote; every other form is left to the reader. */
function decodeTime(data: usize, from: usize, end: usize, row: u32): usize {
  if (from + 21 > end) return 0;
  const year = two(from) * 100 + two(from + 2);
  const month = two(from + 5);
  const day = two(from + 8);
  const hour = two(from + 11);
  const minute = two(from + 14);
  const second = two(from + 17);
  const between = load<u8>(from + 10);
  // `two` gives a negative number for what is no digits, so large that no sum hides it.
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
  if (load<u8>(from + 4) != 0x2d || load<u8>(from + 7) != 0x2d || load<u8>(from + 13) != 0x3a || load<u8>(from + 16) != 0x3a) return 0;
  if (between != 0x54 && between != 0x20) return 0;
  if (day > 28) {
    const isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month == 2 && (day > 29 || !isLeap)) return 0;
    if (day == 31 && (month == 4 || month == 6 || month == 9 || month == 11)) return 0;
  }
  let p = from + 19;
  let ms: i32 = 0;
  if (load<u8>(p) == 0x2e) {
    const fraction = ++p;
    let unit: i32 = 100;
    while (p < fraction + 9 && <u8>(load<u8>(p) - 0x30) <= 9) {
      ms += unit * <i32>(load<u8>(p) - 0x30);
      unit /= 10;
      p++;
    }
    if (p == fraction) return 0;
  }
  if (load<u16>(p) != 0x225a || p >= end) return 0; // Z"
  const y = month <= 2 ? year - 1 : year;
  const era = (y >= 0 ? y : y - 399) / 400;
  const yearOfEra = y - era * 400;
  const dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468;
  store<i64>(data + (<usize>row << 3), <i64>days * 86_400_000 + <i64>(((hour * 60 + minute) * 60 + second) * 1000 + ms));
  return p + 2;
}

// @ts-ignore: decorator
@inline
function two(at: usize): i32 {
  const tens = <u8>(load<u8>(at) - 0x30);
  const ones = <u8>(load<u8>(at + 1) - 0x30);
  return tens > 9 || ones > 9 ? -1_000_000 : <i32>tens * 10 + <i32>ones;
}
