// JSON records to columns: the kernel of io/json/decode.ts. The row reader, io/json/row.ts, is its reference: what the
// kernel takes, it writes to the same bytes; what it does not take it leaves to the reader, record by record.
//
// Records go through two passes, block by block: json-flat.ts finds where their values lie, json-columns.ts writes them column
// by column. By this no branch depends on the order of the keys, and hardly one on the values. As simdjson's on-demand reader
// (Keiser and Lemire, "On-demand JSON", Software: Practice and Experience 54(6), 2024), but with no index of structural
// characters, which costs more than it saves where values are short.
//
// A record that is not for the two passes is walked, value by value, here: what stands between two values (a comma, white
// space, the key, a colon) is compared with what stood there in the record before, 16 bytes at a time; only where it differs is
// it parsed, and the key looked up in the hash table.
//
// The layout of the program is told in io/json/program.ts.

import { writeColumns } from "./json-columns";
import { BLOCK } from "./json-column";
import { findValues, prepareEntries } from "./json-flat";
import { readObjectsBy } from "./json-nested";
import { plainString, skipNumber, skipString, skipValue, space } from "./json-text";
import { decodeValue, writeMissing } from "./json-value";

const COLUMN_COUNT: usize = 0;
const TABLE_MASK: usize = 4;
const TABLE: usize = 8;
const STAMP: usize = 12;
const PREDICTIONS: usize = 16;
const COLUMNS: usize = 20;
const POWERS: usize = 24;
const ENTRIES_MAX: usize = 36;
const BLOCK_NOW: usize = 44; // records that are taken through the two passes at a time
const WALKS: usize = 56; // records that are walked before the two passes are tried again

const SEEN: usize = 20;
const KEY: usize = 24;
const KEY_LENGTH: usize = 28;
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
const BLOCK_MIN: u32 = 4;
const WALKS_MAX: u32 = 255;

/** Enters the keys of a new program into its table. */
export function jsonPrepare(program: usize): void {
  readObjectsBy(jsonDecode);
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
  store<u32>(program + BLOCK_NOW, BLOCK_MIN);
  prepareEntries(program);
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
  let walks: u32 = load<u32>(program + ENTRIES_MAX) == 0 ? count : 0;
  let i: u32 = 0;
  while (i < count) {
    const at = <usize>i << 2;
    if (walks == 0) {
      const block = load<u32>(program + BLOCK_NOW);
      const wanted = min<u32>(count - i, block);
      const done = writeColumns(program, row + i, findValues(program, values + at, lengths + at, wanted));
      i += done;
      if (done == wanted) {
        store<u32>(program + BLOCK_NOW, min<u32>(block * 2, BLOCK));
        store<u32>(program + WALKS, 0);
        continue;
      }
      // The more records are not for the two passes, the fewer are begun at a time, and the more are walked at once.
      store<u32>(program + BLOCK_NOW, max<u32>(block / 2, BLOCK_MIN));
      walks = done != 0 ? 1 : min<u32>(load<u32>(program + WALKS) * 2 + 1, WALKS_MAX);
      store<u32>(program + WALKS, walks);
      continue;
    }
    const from = <usize>load<u32>(values + at);
    const length = load<i32>(lengths + at);
    if (length <= 0 || <u64>from + <u64>length + OVERREAD > memoryEnd) return i;
    if (!decodeRecord(program, from, from + <usize>length, row + i)) return i;
    i++;
    walks--;
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
    } else if (prediction != firstPrediction && prediction < lastPrediction && isNextPredicted(p, prediction + (1 << PREDICTION_SHIFT))) {
      // A key that comes and goes is missing here; what is behind it is as it was. Not in front of the first
      // key: there stands a brace, and a comma in front of every other one.
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

/** Columns whose key the record did not have: their default, or null, where they may be. */
function nullTheMissing(program: usize, stamp: u32, row: u32): bool {
  const columns = <usize>load<u32>(program + COLUMNS);
  const count = <usize>load<u32>(program + COLUMN_COUNT);
  for (let i: usize = 0; i < count; i++) {
    const column = columns + (i << COLUMN_SHIFT);
    if (load<u32>(column + SEEN) != stamp && !writeMissing(column, row)) return false;
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
