/**
 * Finds the records of one decompressed record batch, and lists them in a RecordIndex: addresses and lengths,
 * offsets and timestamps. No byte of a key or a value is moved. chunk-decoder.ts provides the bytes.
 *
 *   record: length  attributes  timestampDelta  offsetDelta  keyLength key  valueLength value  headerCount headers
 *           varint  i8          varlong         varint       varint         varint             varint
 *   header: keyLength key  valueLength value
 *
 * Varints are zigzag-coded; a length of -1 means null. Input may be hostile. Each length is checked against
 * the record, and the record against the batch. Offsets must rise and stay below lastOffsetDelta. Headers
 * must end where the record ends, so a reader of headers needs no end address.
 */

import { kernelExports, type SharedMemory } from '../../core/index.ts';

/** The state of a scan, 88 bytes in shared memory: what the kernel and the reference read and write. */
export const SCAN = {
  position: 0, // u32: address of the next record
  end: 4, // u32: address after the records
  remaining: 8, // i32: records to come
  lastDelta: 12, // i32: offset delta of the previous record; -1 at the start
  maxDelta: 16, // i32: lastOffsetDelta of the batch
  isFixedTime: 20, // i32: 1 when each record has `timestamp` (log append time)
  baseOffset: 24, // f64
  timestamp: 32, // f64: base timestamp; NaN: beyond 2^53, and so are those of its records
  cut: 40, // f64: records below this offset are skipped
  count: 48, // u32: records in the index
  capacity: 52, // u32
  values: 56, // u32: addresses of the arrays of the RecordIndex
  valueLengths: 60,
  keys: 64,
  keyLengths: 68,
  headers: 72,
  offsets: 76,
  timestamps: 80,
  byteLength: 88,
} as const;

/** What `scanRecords` returns, as text. 0: no fault. */
export const SCAN_FAULTS = [
  '',
  'a number that does not end within its record',
  'a record with a length that the batch does not have',
  'a record whose offset does not follow the one before, or is behind the last offset of the batch',
  'a key longer than its record',
  'a value longer than its record',
  'headers that do not end where their record ends',
] as const;

/**
 * Scans until the index is full, the records are done, or one is broken.
 *
 * @param state address of a SCAN; position, remaining, lastDelta and count are advanced
 * @returns 0, or a fault (SCAN_FAULTS) of the record at `position`
 */
export type ScanRecords = (state: number) => number;

/** The kernel over this memory, or the reference. */
export function scanRecords(memory: SharedMemory): ScanRecords {
  const kernels = kernelExports<{ recordScan: ScanRecords }>(memory);
  return kernels === undefined ? (state) => scanReference(memory, state) : (state) => kernels.recordScan(state);
}

/** A larger delta, of a hostile or broken record, is not exact in a double, and neither is the sum. */
const EXACT_MAX = 2 ** 53;

const NUMBER = 1;
const LENGTH = 2;
const OFFSET = 3;
const KEY = 4;
const VALUE = 5;
const HEADERS = 6;

// Where the last varint ended, -1 when it was broken; and the last varlong. Each thread has its own.
let behind = 0;
let long = 0;

/** The reference of the kernel `recordScan`. */
export function scanReference(memory: SharedMemory, state: number): number {
  const { u8, u32, i32, f64 } = memory;
  const s = state >>> 2;
  const end = u32[s + 1] as number;
  const maxDelta = i32[s + 4] as number;
  const isFixedTime = i32[s + 5] !== 0;
  const baseOffset = f64[(state + SCAN.baseOffset) >>> 3] as number;
  const baseTimestamp = f64[(state + SCAN.timestamp) >>> 3] as number;
  const cut = f64[(state + SCAN.cut) >>> 3] as number;
  const capacity = u32[s + 13] as number;
  const values = (u32[s + 14] as number) >>> 2;
  const valueLengths = (u32[s + 15] as number) >>> 2;
  const keys = (u32[s + 16] as number) >>> 2;
  const keyLengths = (u32[s + 17] as number) >>> 2;
  const headers = (u32[s + 18] as number) >>> 2;
  const offsets = (u32[s + 19] as number) >>> 3;
  const timestamps = (u32[s + 20] as number) >>> 3;
  let at = u32[s] as number;
  let remaining = i32[s + 2] as number;
  let lastDelta = i32[s + 3] as number;
  let count = u32[s + 12] as number;
  let fault = 0;
  let start = at;
  while (remaining > 0 && count < capacity) {
    start = at;
    const length = varint(u8, at, end);
    if (behind < 0) {
      fault = NUMBER;
      break;
    }
    at = behind;
    if (length < 1 || length > end - at) {
      fault = LENGTH;
      break;
    }
    const recordEnd = at + length;
    varlong(u8, at + 1, recordEnd);
    if (behind < 0) {
      fault = NUMBER;
      break;
    }
    const offsetDelta = varint(u8, behind, recordEnd);
    if (behind < 0) {
      fault = NUMBER;
      break;
    }
    if (offsetDelta <= lastDelta || offsetDelta > maxDelta) {
      fault = OFFSET;
      break;
    }
    const keyLength = varint(u8, behind, recordEnd);
    if (behind < 0) {
      fault = NUMBER;
      break;
    }
    const key = behind;
    if (keyLength < -1 || keyLength > recordEnd - key) {
      fault = KEY;
      break;
    }
    const valueLength = varint(u8, key + Math.max(keyLength, 0), recordEnd);
    if (behind < 0) {
      fault = NUMBER;
      break;
    }
    const value = behind;
    if (valueLength < -1 || valueLength > recordEnd - value) {
      fault = VALUE;
      break;
    }
    at = value + Math.max(valueLength, 0);
    if (!headersFit(u8, at, recordEnd)) {
      fault = HEADERS;
      break;
    }
    lastDelta = offsetDelta;
    remaining--;
    const offset = baseOffset + offsetDelta;
    if (offset >= cut) {
      u32[values + count] = value;
      i32[valueLengths + count] = valueLength;
      u32[keys + count] = key;
      i32[keyLengths + count] = keyLength;
      u32[headers + count] = at;
      f64[offsets + count] = offset;
      f64[timestamps + count] = isFixedTime ? baseTimestamp : baseTimestamp + (Math.abs(long) <= EXACT_MAX ? long : Number.NaN);
      count++;
    }
    at = recordEnd;
  }
  u32[s] = fault !== 0 ? start : at;
  i32[s + 2] = remaining;
  i32[s + 3] = lastDelta;
  u32[s + 12] = count;
  return fault;
}

function varint(u8: Uint8Array, start: number, end: number): number {
  let at = start;
  let word = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    if (at >= end) break;
    const byte = u8[at++] as number;
    if (shift === 28 && byte > 0x0f) break;
    word |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      behind = at;
      return (word >>> 1) ^ -(word & 1);
    }
  }
  behind = -1;
  return 0;
}

function varlong(u8: Uint8Array, start: number, end: number): void {
  let at = start;
  let word = 0;
  let scale = 1;
  for (let bytes = 1; bytes <= 7 && at < end; bytes++) {
    const byte = u8[at++] as number;
    word += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) {
      behind = at;
      long = word % 2 === 0 ? word / 2 : -(word + 1) / 2;
      return;
    }
  }
  // Beyond 49 bits: 17,000 years in ms. Only hostile or broken records have it.
  hugeVarlong(u8, start, end);
}

function hugeVarlong(u8: Uint8Array, start: number, end: number): void {
  let at = start;
  let word = 0n;
  behind = -1;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    if (at >= end) return;
    const byte = u8[at++] as number;
    if (shift === 63n && byte > 1) return;
    word |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) {
      behind = at;
      long = Number((word >> 1n) ^ -(word & 1n));
      return;
    }
  }
}

function headersFit(u8: Uint8Array, start: number, end: number): boolean {
  const count = varint(u8, start, end);
  if (behind < 0 || count < 0) return false;
  let at = behind;
  for (let i = 0; i < count; i++) {
    for (let part = 0; part < 2; part++) {
      const length = varint(u8, at, end);
      if (behind < 0 || length < (part === 0 ? 0 : -1) || length > end - behind) return false;
      at = behind + Math.max(length, 0);
    }
  }
  return at === end;
}
