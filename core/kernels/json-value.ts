// JSON values into a row of their column. Each function returns the place behind the value, or 0: not for the kernel.
// Part of the kernel in json.ts; what a column looks like is told in io/json/program.ts.

import { decimalToDouble } from "./json-number";
import {
  ABSENT, BOOL, DATA, DEFAULT, DEFAULT_LENGTH, DEFAULT_POWERS, F32, F64, I16, I32, I64, INSTANT, LIMIT, LIST, NULLABLE, OBJECT, OFFSETS, RAW, TIMESTAMP, TYPE, U32, UNIT, UTF8, VALIDITY,
} from "./json-column";
import { copyValue, readEmpty, readObject } from "./json-nested";
import { isUtf8, noDigits, skipString, skipValue, stops, unescape } from "./json-text";

// Units, as in io/time-unit.ts.
const SECONDS: u32 = 1;
const MICROSECONDS: u32 = 2;
const SAFE_MAX: u64 = 9_007_199_254_740_991;

// @ts-ignore: decorator
@inline
export function decodeValue(column: usize, p: usize, end: usize, byte: u8, row: u32, powers: usize): usize {
  const type = load<u32>(column + TYPE);
  if (type >= RAW) return decodeRare(column, type, p, end, byte, row);
  if (byte == 0x6e) return load<u32>(p) == 0x6c6c756e && writeNull(column, row) ? p + 4 : 0;
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
  else if (type == INSTANT) next = decodeInstant(column, data, p, end, byte, row);
  if (next != 0) {
    const validity = <usize>load<u32>(column + VALIDITY);
    if (validity != 0) writeBit(validity, row, true);
  }
  return next;
}

/** Objects, texts of any values, and lists. */
function decodeRare(column: usize, type: u32, p: usize, end: usize, byte: u8, row: u32): usize {
  const isNull = byte == 0x6e && load<u32>(p) == 0x6c6c756e;
  if (type == OBJECT) {
    if (isNull) return readEmpty(column, row) ? p + 4 : 0;
    const brace = byte == 0x7b ? skipValue(p, end) : 0;
    return brace != 0 && readObject(column, p, brace, row) ? brace : 0;
  }
  if (type == ABSENT) return 0;
  if (isNull && (type == LIST || hasNull(column))) return writeNull(column, row) ? p + 4 : 0;
  const behind = skipValue(p, end);
  if (behind == 0 || behind > end || !copyValue(column, type == LIST, p, behind, row)) return 0;
  const validity = <usize>load<u32>(column + VALIDITY);
  if (validity != 0) writeBit(validity, row, true);
  return behind;
}

/** Whether a null is a null, or stands for the default. */
export function hasNull(column: usize): bool {
  return (load<u32>(column + NULLABLE) | load<u32>(column + DEFAULT)) != 0;
}

/** A null, or a value that is not there. */
// @ts-ignore: decorator
@inline
export function isNothing(column: usize, start: usize, end: usize, row: u32): bool {
  if (start == 0) return writeMissing(column, row);
  return end - start == 4 && load<u32>(start) == 0x6c6c756e && writeNull(column, row);
}

/** What stands for a value that is not there: the default, else null. */
export function writeMissing(column: usize, row: u32): bool {
  if (load<u32>(column + DEFAULT) != 0) return writeDefault(column, row);
  const type = load<u32>(column + TYPE);
  return type == OBJECT ? readEmpty(column, row) : type == ABSENT || writeNull(column, row);
}

function writeDefault(column: usize, row: u32): bool {
  const from = <usize>load<u32>(column + DEFAULT);
  const end = from + <usize>load<u32>(column + DEFAULT_LENGTH);
  return decodeValue(column, from, end, load<u8>(from), row, <usize>load<u32>(column + DEFAULT_POWERS)) == end;
}

/** A null; where there may be none, the default. */
export function writeNull(column: usize, row: u32): bool {
  if (load<u32>(column + NULLABLE) == 0) return load<u32>(column + DEFAULT) != 0 && writeDefault(column, row);
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
export function decodeInteger(type: u32, data: usize, at: usize, byte: u8, row: u32): usize {
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
export function decodeFloat(type: u32, data: usize, at: usize, byte: u8, row: u32, powers: usize): usize {
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

/** An instant as text, or as a number of some unit: its digits, at most 19, scaled and floored. */
export function decodeInstant(column: usize, data: usize, at: usize, end: usize, byte: u8, row: u32): usize {
  if (byte == 0x22) return decodeTime(data, at + 1, end, row);
  const isNegative = byte == 0x2d;
  let p = isNegative ? at + 1 : at;
  const from = p;
  let digit = <u8>(load<u8>(p) - 0x30);
  if (digit > 9) return 0;
  let value: u64 = 0;
  let count = 0;
  while (digit <= 9) {
    if (++count > 19) return 0;
    value = value * 10 + <u64>digit;
    digit = <u8>(load<u8>(++p) - 0x30);
  }
  if (count > 1 && load<u8>(from) == 0x30) return 0;
  const unit = load<u32>(column + UNIT);
  let scale: i32 = unit == SECONDS ? 3 : unit == MICROSECONDS ? -3 : -6;
  if (load<u8>(p) == 0x2e) {
    digit = <u8>(load<u8>(++p) - 0x30);
    if (digit > 9) return 0;
    while (digit <= 9) {
      if (++count > 19) return 0;
      value = value * 10 + <u64>digit;
      scale--;
      digit = <u8>(load<u8>(++p) - 0x30);
    }
  }
  if ((load<u8>(p) | 0x20) == 0x65) return 0;
  if (scale >= 0) {
    for (; scale > 0; scale--) {
      if (value > SAFE_MAX) return 0;
      value *= 10;
    }
  } else {
    let divisor: u64 = 1;
    // 10^19 fits, and no value is as large as 10^20.
    for (; scale < 0; scale++) divisor = divisor > 1_000_000_000_000_000_000 ? u64.MAX_VALUE : divisor * 10;
    const rest = value % divisor;
    value = value / divisor + (isNegative && rest != 0 ? 1 : 0);
  }
  if (value > SAFE_MAX) return 0;
  store<i64>(data + (<usize>row << 3), isNegative ? -<i64>value : <i64>value);
  return p;
}

/** `YYYY-MM-DD?HH:MM:SS[.f][offset]` and its quote; every other form is left to the reader. */
export function decodeTime(data: usize, from: usize, end: usize, row: u32): usize {
  if (from + 20 > end) return 0;
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
  const sign = load<u8>(p);
  if (sign == 0x5a) p++;
  else if (sign == 0x2b || sign == 0x2d) {
    const hasColon = load<u8>(p + 3) == 0x3a;
    const hours = two(p + 1);
    const minutes = two(p + (hasColon ? 4 : 3));
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return 0;
    ms -= (hours * 60 + minutes) * (sign == 0x2d ? -60_000 : 60_000);
    p += hasColon ? 6 : 5;
  }
  if (p >= end || load<u8>(p) != 0x22) return 0;
  const y = month <= 2 ? year - 1 : year;
  const era = (y >= 0 ? y : y - 399) / 400;
  const yearOfEra = y - era * 400;
  const dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468;
  store<i64>(data + (<usize>row << 3), <i64>days * 86_400_000 + <i64>(((hour * 60 + minute) * 60 + second) * 1000 + ms));
  return p + 1;
}

// @ts-ignore: decorator
@inline
function two(at: usize): i32 {
  const tens = <u8>(load<u8>(at) - 0x30);
  const ones = <u8>(load<u8>(at + 1) - 0x30);
  return tens > 9 || ones > 9 ? -1_000_000 : <i32>tens * 10 + <i32>ones;
}
