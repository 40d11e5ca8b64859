// Values that have values in them: objects whose members are columns, the text of any value, and lists. Part of the kernel in
// json.ts; what a column looks like is told in io/json/program.ts.
//
// An object is read as a record by a program of its own, so that the two passes and the walk serve for it as they are. Text of
// JSON loses the white space between its tokens. A list is copied where it has the one form that core/list-text.ts tells;
// any other is left to the row reader, which brings it into that form.

import { BLOCK, BOOL, DATA, F64, I16, I32, I64, LIMIT, LISTS, OFFSETS, PROGRAM, TIMESTAMP, U32, UNIT, UTF8 } from "./json-column";
import { stops, space } from "./json-text";

/** In the code of a list's elements: they may be null. */
const MAY_BE_NULL: u32 = 0x40;
const DIGITS_EXACT: i32 = 15;
const DIGITS_I64: i32 = 18;
/** Zeros behind the point that JavaScript writes out. */
const ZEROS_WRITTEN: i32 = 5;

// An object without members, and bytes behind it that may be read.
// @ts-ignore: decorator
@lazy
const EMPTY = memory.data<u8>([0x7b, 0x7d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 16);

/** jsonDecode of json.ts, which reads the values that are read here: a call through a table, as files do not import in a circle. */
let readRecords: ((program: usize, values: usize, lengths: usize, count: u32, row: u32) => u32) | null = null;

/** Says who reads objects. */
export function readObjectsBy(reader: (program: usize, values: usize, lengths: usize, count: u32, row: u32) => u32): void {
  readRecords = reader;
}

/** Takes place `i` of the lists of a column's objects; none: an object without members. */
// @ts-ignore: decorator
@inline
export function noteObject(column: usize, i: u32, start: usize, end: usize): void {
  const at = <usize>load<u32>(column + LISTS) + (<usize>i << 2);
  store<u32>(at, <u32>(start == 0 ? EMPTY : start));
  store<u32>(at + (<usize>BLOCK << 2), start == 0 ? 2 : <u32>(end - start));
}

/** Reads the first `count` of the lists; how many it has read. */
export function readObjects(column: usize, count: u32, row: u32): u32 {
  const starts = <usize>load<u32>(column + LISTS);
  return readRecords!(<usize>load<u32>(column + PROGRAM), starts, starts + (<usize>BLOCK << 2), count, row);
}

export function readObject(column: usize, start: usize, end: usize, row: u32): bool {
  noteObject(column, 0, start, end);
  return readObjects(column, 1, row) == 1;
}

/** An object that is missing: so are its members. */
export function readEmpty(column: usize, row: u32): bool {
  return readObject(column, 0, 0, row);
}

/** Writes the text of a value, or a list; false when it is not for the kernel. */
export function copyValue(column: usize, isList: bool, start: usize, end: usize, row: u32): bool {
  const data = <usize>load<u32>(column + DATA);
  const offset = <usize>load<u32>(column + OFFSETS) + (<usize>row << 2);
  const target = data + <usize>load<u32>(offset);
  if (<u64>target + <u64>(end - start) + 32 > <u64>load<u32>(column + LIMIT)) return false;
  const behind = isList ? copyList(load<u32>(column + UNIT), start, end, target) : copyJson(start, end, target);
  if (behind == 0) return false;
  store<u32>(offset + 4, <u32>(behind - data));
  return true;
}

/** Copies JSON that has been checked, without the white space between its tokens; up to 16 bytes behind are written. */
function copyJson(from: usize, to: usize, target: usize): usize {
  let p = from;
  let out = target;
  while (p < to) {
    const byte = load<u8>(p++);
    if (byte <= 0x20) continue;
    store<u8>(out++, byte);
    if (byte != 0x22) continue;
    while (true) {
      const chunk = v128.load(p);
      v128.store(out, chunk);
      const hits = stops(chunk);
      const n: usize = hits != 0 ? <usize>ctz(hits) : 16;
      p += n;
      out += n;
      if (hits == 0) continue;
      store<u16>(out, load<u16>(p));
      const isEnd = load<u8>(p) == 0x22;
      p += isEnd ? 1 : 2;
      out += isEnd ? 1 : 2;
      if (isEnd) break;
    }
  }
  return out;
}

/** Copies an array that has been checked, where its elements are in their one form; behind it, or 0. */
function copyList(code: u32, from: usize, to: usize, target: usize): usize {
  if (load<u8>(from) != 0x5b) return 0;
  const type = code & ~MAY_BE_NULL;
  if (type > TIMESTAMP) return 0;
  let out = target;
  store<u8>(out++, 0x5b);
  let p = space(from + 1, to);
  if (load<u8>(p) != 0x5d) {
    while (true) {
      const start = p;
      const byte = load<u8>(p);
      if (byte == 0x6e) {
        if ((code & MAY_BE_NULL) == 0) return 0;
        p += 4;
      } else if (type == UTF8) p = byte == 0x22 ? plainText(p + 1) : 0;
      else if (type == BOOL) p = byte == 0x74 ? p + 4 : byte == 0x66 ? p + 5 : 0;
      else if (type == F64) p = plainFloat(p);
      else p = plainInteger(type, p);
      if (p == 0) return 0;
      memory.copy(out, start, p - start);
      out += p - start;
      p = space(p, to);
      if (load<u8>(p) == 0x5d) break;
      if (load<u8>(p) != 0x2c) return 0;
      store<u8>(out++, 0x2c);
      p = space(p + 1, to);
    }
  }
  if (p + 1 != to) return 0;
  store<u8>(out++, 0x5d);
  return out;
}

/** Behind the closing quote of a string of which no character could be written in a shorter way; or 0. */
function plainText(from: usize): usize {
  let p = from;
  while (true) {
    const hits = stops(v128.load(p));
    if (hits == 0) {
      p += 16;
      continue;
    }
    p += <usize>ctz(hits);
    if (load<u8>(p) == 0x22) return p + 1;
    const letter = load<u8>(p + 1);
    if (letter == 0x75 || letter == 0x2f) return 0;
    p += 2;
  }
  return 0;
}

/** Behind an integer that its type holds, or 0. */
function plainInteger(type: u32, from: usize): usize {
  const isNegative = load<u8>(from) == 0x2d;
  let p = isNegative ? from + 1 : from;
  const first = load<u8>(p);
  let value: i64 = 0;
  let digits: i32 = 0;
  for (let digit = <u8>(first - 0x30); digit <= 9; digit = <u8>(load<u8>(++p) - 0x30)) {
    value = value * 10 + <i64>digit;
    if (++digits > DIGITS_I64) return 0;
  }
  const next = load<u8>(p);
  if (digits == 0 || next == 0x2e || (next | 0x20) == 0x65 || (isNegative && first == 0x30)) return 0;
  if (isNegative) value = -value;
  if (type == I64) return p;
  if (type == TIMESTAMP) return digits <= DIGITS_EXACT ? p : 0;
  const held: i64 = type == I32 ? <i64>(<i32>value) : type == U32 ? <i64>(<u32>value) : type == I16 ? <i64>(<i16>value) : <i64>(<i8>value);
  return held == value ? p : 0;
}

/** Behind a number that JavaScript writes as it stands, or 0: at most 15 digits, no zero at the end of the fraction. */
function plainFloat(from: usize): usize {
  const isNegative = load<u8>(from) == 0x2d;
  let p = isNegative ? from + 1 : from;
  const first = load<u8>(p);
  let digits: i32 = 0;
  for (; <u8>(load<u8>(p) - 0x30) <= 9; p++) digits++;
  if (digits == 0) return 0;
  if (load<u8>(p) == 0x2e) {
    const fraction = ++p;
    let zeros: i32 = 0;
    while (load<u8>(p) == 0x30) {
      zeros++;
      p++;
    }
    for (; <u8>(load<u8>(p) - 0x30) <= 9; p++) {}
    digits += <i32>(p - fraction);
    if (load<u8>(p - 1) == 0x30 || (first == 0x30 && zeros > ZEROS_WRITTEN)) return 0;
  } else if (isNegative && first == 0x30) return 0;
  return digits > DIGITS_EXACT || (load<u8>(p) | 0x20) == 0x65 ? 0 : p;
}
