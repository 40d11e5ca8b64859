// JSON records to columns: the kernel of io/json/decode.ts. The row reader, io/json/row.ts, is its reference: what the
// kernel takes, it writes to the same bytes; what it does not take it leaves to the reader, record by record.
//
// What stands between two values (a comma, white space, the key, a colon) is compared with what stood there in the record before, 16
// bytes at a time; only where it differs is it parsed, and the key looked up in the hash table. Strings are copied while
// they are scanned; digits are found by mask and put together eight at a time. As simdjson's on-demand reader (Keiser and Lemire, "On-demand
// JSON", Software: Practice and Experience 54(6), 2024), but with no index of structural characters: records are short.
//
// The layout of the program is told in io/json/program.ts.

import { decimalToDouble } from "./json-number";
import { isUtf8, noDigits, plainString, skipNumber, skipString, skipValue, space, stops, unescape } from "./json-text";

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
const PREDICTED_LENGTH: usize = 32; // u32: bytes from the end of one value to the start of the next
const PREDICTED_COLUMN: usize = 36; // address of the column, or 0: not wanted
const PREDICTED_MASK: usize = 40; // u32: a bit for each of the bytes; 0: nothing is predicted
const PREDICTED_BYTES_MAX: usize = 32;

const ENTRY_SHIFT: usize = 5;
const ENTRY_COLUMN: usize = 16; // address of the column, or 0: free
const ENTRY_LENGTH: usize = 20;
const SHORT_KEY: u32 = 16;

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
    const key = <usize>load<u32>(column + KEY);
    const length = load<u32>(column + KEY_LENGTH);
    const head = keyHead(key, length);
    let slot = keyHash(head, key, length) & mask;
    while (load<u32>(table + (<usize>slot << ENTRY_SHIFT) + ENTRY_COLUMN) != 0) slot = (slot + 1) & mask;
    const entry = table + (<usize>slot << ENTRY_SHIFT);
    v128.store(entry, head);
    store<u32>(entry + ENTRY_COLUMN, <u32>column);
    store<u32>(entry + ENTRY_LENGTH, length);
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
  while (true) {
    // Up to the value: as it was in the record before, or parsed.
    let column: usize;
    const mask = load<u32>(prediction + PREDICTED_MASK);
    if (mask != 0 && isPredicted(p, prediction, mask)) {
      column = <usize>load<u32>(prediction + PREDICTED_COLUMN);
      p += <usize>load<u32>(prediction + PREDICTED_LENGTH);
    } else if (prediction < lastPrediction && isNextPredicted(p, prediction + (1 << PREDICTION_SHIFT))) {
      // A key that comes and goes is missing here; what is behind it is as it was.
      prediction += 1 << PREDICTION_SHIFT;
      column = <usize>load<u32>(prediction + PREDICTED_COLUMN);
      p += <usize>load<u32>(prediction + PREDICTED_LENGTH);
    } else {
      const next = memberStart(program, prediction, p, end, prediction == firstPrediction);
      if (next == 0) {
        if (prediction != firstPrediction) return false;
        p = emptyObject(p, end);
        if (p == 0) return false;
        break;
      }
      column = <usize>load<u32>(prediction + PREDICTED_COLUMN);
      p = next;
    }
    if (prediction != lastPrediction) prediction += 1 << PREDICTION_SHIFT;
    let byte = load<u8>(p);
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
    if (byte == 0x7d) {
      p++;
      break;
    }
    if (p >= end) return false;
  }
  if (p != end) {
    if (p > end || space(p, end) != end) return false;
  }
  return seen == load<u32>(program + COLUMN_COUNT) || nullTheMissing(program, stamp, row);
}

/**
 * Parses what stands in front of a value: the opening brace or a comma, the key, the colon, white space around them. Notes
 * it, with the column, as what to expect here in the next record.
 *
 * @returns the place of the value, or 0
 */
function memberStart(program: usize, prediction: usize, from: usize, end: usize, isFirst: bool): usize {
  let p = from;
  if (isFirst) p = space(p, end);
  if (p >= end || load<u8>(p) != (isFirst ? <u8>0x7b : <u8>0x2c)) return 0;
  p = space(p + 1, end);
  if (p >= end || load<u8>(p) != 0x22) return 0;
  p++;
  const quote = plainString(p, end);
  if (quote == 0) return 0;
  const column = findColumn(program, p, <u32>(quote - p));
  p = quote + 1;
  if (load<u8>(p) != 0x3a) {
    p = space(p, end);
    if (load<u8>(p) != 0x3a) return 0;
  }
  p++;
  if (load<u8>(p) <= 0x20) p = space(p, end);
  predict(prediction, from, p - from, column);
  return p;
}

/** Behind an object without members, or 0. */
function emptyObject(from: usize, end: usize): usize {
  let p = space(from, end);
  if (load<u8>(p) != 0x7b) return 0;
  p = space(p + 1, end);
  return load<u8>(p) == 0x7d ? p + 1 : 0;
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

// @ts-ignore: decorator
@inline
function isNextPredicted(p: usize, prediction: usize): bool {
  const mask = load<u32>(prediction + PREDICTED_MASK);
  return mask != 0 && isPredicted(p, prediction, mask);
}

/** Notes the bytes in front of a value as those to expect here; the column in any case, long ones not. */
// @ts-ignore: decorator
@inline
function predict(prediction: usize, from: usize, length: usize, column: usize): void {
  store<u32>(prediction + PREDICTED_COLUMN, <u32>column);
  if (length > PREDICTED_BYTES_MAX) {
    store<u32>(prediction + PREDICTED_MASK, 0);
    return;
  }
  v128.store(prediction, v128.load(from));
  v128.store(prediction + 16, v128.load(from + 16));
  store<u32>(prediction + PREDICTED_LENGTH, <u32>length);
  store<u32>(prediction + PREDICTED_MASK, length == 32 ? 0xffff_ffff : (<u32>1 << <u32>length) - 1);
}

/** Address of the column of a key, or 0. */
// @ts-ignore: decorator
@inline
function findColumn(program: usize, key: usize, length: u32): usize {
  const mask = load<u32>(program + TABLE_MASK);
  const table = <usize>load<u32>(program + TABLE);
  const head = keyHead(key, length);
  let slot = keyHash(head, key, length) & mask;
  while (true) {
    const entry = table + (<usize>slot << ENTRY_SHIFT);
    const column = <usize>load<u32>(entry + ENTRY_COLUMN);
    if (column == 0) return 0;
    if (load<u32>(entry + ENTRY_LENGTH) == length && i8x16.all_true(i8x16.eq(v128.load(entry), head))) {
      if (length <= SHORT_KEY || memory.compare(<usize>load<u32>(column + KEY), key, <usize>length) == 0) return column;
    }
    slot = (slot + 1) & mask;
  }
  return 0;
}

/** The first 16 bytes of a key, zeros behind its end. */
// @ts-ignore: decorator
@inline
function keyHead(key: usize, length: u32): v128 {
  const places = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const inside = i8x16.lt_u(places, i8x16.splat(<i8>(length < SHORT_KEY ? length : SHORT_KEY)));
  return v128.and(v128.load(key), inside);
}

// @ts-ignore: decorator
@inline
function keyHash(head: v128, key: usize, length: u32): u32 {
  let mixed = i64x2.extract_lane(head, 0) * 0x9e37_79b9_7f4a_7c15 + i64x2.extract_lane(head, 1) * 0x6c62_272e_07bb_0143;
  if (length > SHORT_KEY) mixed ^= load<u64>(key + <usize>length - 8) * 0xd6e8_feb8_6659_fd93;
  mixed ^= mixed >> 29;
  return <u32>((mixed * 0xbf58_476d_1ce4_e5b9) >> 40);
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
  } else if (type == F64 || type == F32) next = decodeFloat(type, data, p, byte, row, powers);
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

/** The number that `count` digits at `p` say, 1 to 8 of them. Lemire and others, "parse eight digits" by three multiplications. */
// @ts-ignore: decorator
@inline
function eightDigits(p: usize, count: i32): u64 {
  let digits = (load<u64>(p) - 0x3030_3030_3030_3030) << ((8 - <u64>count) << 3);
  digits = digits * 10 + (digits >> 8);
  return ((digits & 0xff_0000_00ff) * 0xf4240_0000_0064 + ((digits >> 16) & 0xff_0000_00ff) * 0x2710_0000_0001) >> 32;
}

/** The number that `count` digits at `p` say, 1 to 16 of them. */
// @ts-ignore: decorator
@inline
function sixteenDigits(p: usize, count: i32): u64 {
  if (count <= 8) return eightDigits(p, count);
  return eightDigits(p, count - 8) * 100_000_000 + eightDigits(p + <usize>count - 8, 8);
}

// @ts-ignore: decorator
@inline
function decodeInteger(type: u32, data: usize, at: usize, byte: u8, row: u32): usize {
  let p = at;
  const isNegative = byte == 0x2d;
  if (isNegative) p++;
  const length = ctz(noDigits(v128.load(p)) | 0x10000);
  if (length == 0) return 0;
  const from = p;
  let value = <i64>sixteenDigits(p, length);
  p += <usize>length;
  let next = load<u8>(p);
  if (length == 16) {
    // 17 or 18 digits fit too.
    for (let more = 0; more < 2 && <u8>(next - 0x30) <= 9; more++) {
      value = value * 10 + <i64>(next - 0x30);
      next = load<u8>(++p);
    }
    if (<u8>(next - 0x30) <= 9) return 0;
  }
  // A leading zero, a fraction or an exponent: the reader knows.
  if ((length > 1 && load<u8>(from) == 0x30) || next == 0x2e || (next | 0x20) == 0x65) return 0;
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
function decodeFloat(type: u32, data: usize, at: usize, byte: u8, row: u32, powers: usize): usize {
  const isNegative = byte == 0x2d;
  let p = isNegative ? at + 1 : at;
  const mask = noDigits(v128.load(p)) | 0x10000;
  const whole = ctz(mask);
  let next: u8 = 0;
  if (whole == 0 || whole > 8 || (whole > 1 && load<u8>(p) == 0x30)) p = longFloat(p, powers);
  else {
    next = load<u8>(p + <usize>whole);
    if (next == 0x2e) {
      // Both sides of the point within 16 bytes: at most 15 digits.
      const stop = ctz(mask & (mask - 1));
      const decimals = stop - whole - 1;
      next = load<u8>(p + <usize>stop);
      if (stop >= 16 || decimals == 0 || decimals > 8 || (next | 0x20) == 0x65) p = longFloat(p, powers);
      else {
        const power = load<f64>(powers + (<usize>decimals << 3));
        // Whole and fraction are exact, so is their sum: one rounding, that of the division.
        floatValue = (<f64><i64>eightDigits(p, whole) * power + <f64><i64>eightDigits(p + <usize>whole + 1, decimals)) / power;
        p += <usize>stop;
      }
    } else if ((next | 0x20) == 0x65) p = longFloat(p, powers);
    else {
      floatValue = <f64><i64>eightDigits(p, whole);
      p += <usize>whole;
    }
  }
  const value = isNegative ? -floatValue : floatValue;
  if (type == F64) store<f64>(data + (<usize>row << 3), value);
  else store<f32>(data + (<usize>row << 2), <f32>value);
  return p;
}

/** What the last number without its sign was worth. */
let floatValue: f64 = 0;

/** Any number without its sign, of at most 19 digits; behind it, or 0. */
function longFloat(at: usize, powers: usize): usize {
  let p = at;
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
  floatValue = decimalToDouble(mantissa, exponent, powers);
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
