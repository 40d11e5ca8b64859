/**
 * Appends records to open blocks, one block per partition. The sink encoder writes a block's header, and
 * decides when a block is complete.
 */

import { kernelExports, type SharedMemory } from '../../core/index.ts';

/** A run of encoded rows to be appended: 40 bytes in shared memory. */
export const APPEND = {
  row: 0, // u32: the next row
  rowCount: 4, // u32
  value: 8, // u32: address of the next row's value
  ends: 12, // u32: address of u32[]: where each value ends, and the next one starts
  keys: 16, // u32: address of u32[]: addresses of the keys; 0: none has one
  keyLengths: 20, // u32: address of i32[]: -1 for none
  timestamps: 24, // u32: address of f64[]: whole milliseconds, within ±(2^53 - 1)
  partitions: 28, // u32: address of u32[]
  blocks: 32, // u32: address of the open blocks, BLOCK.byteLength each, by partition
  marks: 36, // u32: address of u8[], MARK by row; 0: all are records
  byteLength: 40,
} as const;

/** What becomes of a row. */
export const MARK = { record: 0, withoutValue: 1, leftOut: 2 } as const;

/** An open block. A limit of 0: no block yet. */
export const BLOCK = {
  position: 0, // u32: where the next record goes
  limit: 4, // u32: address after the room
  count: 8, // i32: records in it
  baseTimestamp: 16, // f64: timestamp of the first record
  maxTimestamp: 24, // f64
  byteLength: 32,
} as const;

/** Most bytes of a record beside its key and its value: seven varints and a byte. */
export const RECORD_OVERHEAD_MAX = 40;

/**
 * Appends rows until all are done, or until the block of the next row's partition has no room for it.
 * Advances `row` and `value` of the job.
 */
export type AppendRecords = (job: number) => void;

/** The kernel over this memory, or the reference. */
export function appendRecords(memory: SharedMemory): AppendRecords {
  const kernels = kernelExports<{ recordAppend: AppendRecords }>(memory);
  return kernels === undefined ? (job) => appendReference(memory, job) : (job) => kernels.recordAppend(job);
}

/** The reference of the kernel `recordAppend`. */
export function appendReference(memory: SharedMemory, job: number): void {
  const { u8, u32, i32, f64 } = memory;
  const j = job >>> 2;
  let row = u32[j] as number;
  const rowCount = u32[j + 1] as number;
  let value = u32[j + 2] as number;
  const ends = (u32[j + 3] as number) >>> 2;
  const keys = (u32[j + 4] as number) >>> 2;
  const keyLengths = (u32[j + 5] as number) >>> 2;
  const timestamps = (u32[j + 6] as number) >>> 3;
  const partitions = (u32[j + 7] as number) >>> 2;
  const blocks = u32[j + 8] as number;
  const marks = u32[j + 9] as number;
  for (; row < rowCount; row++) {
    const end = u32[ends + row] as number;
    const mark = marks === 0 ? MARK.record : u8[marks + row];
    if (mark === MARK.leftOut) {
      value = end;
      continue;
    }
    const valueLength = mark === MARK.withoutValue ? 0 : end - value;
    const valueWord = mark === MARK.withoutValue ? 1 : valueLength * 2;
    const keyLength = keys === 0 ? -1 : (i32[keyLengths + row] as number);
    const timestamp = f64[timestamps + row] as number;
    const block = blocks + (u32[partitions + row] as number) * BLOCK.byteLength;
    const position = u32[block >>> 2] as number;
    const count = i32[(block + BLOCK.count) >>> 2] as number;
    const base = count === 0 ? timestamp : (f64[(block + BLOCK.baseTimestamp) >>> 3] as number);
    const delta = timestamp - base;
    // A difference that no double holds when doubled goes as a bigint; kernels have 64 bits.
    const huge = Math.abs(delta) <= EXACT_MAX ? undefined : zigzag(BigInt(timestamp) - BigInt(base));
    const deltaWord = delta >= 0 ? delta * 2 : -delta * 2 - 1;
    const deltaBytes = huge === undefined ? varintBytes(deltaWord) : longBytes(huge);
    const keyWord = keyLength < 0 ? 1 : keyLength * 2;
    const body = 2 + deltaBytes + varintBytes(count * 2) + varintBytes(keyWord) + Math.max(keyLength, 0) + varintBytes(valueWord) + valueLength;
    if (position + varintBytes(body * 2) + body > (u32[(block + BLOCK.limit) >>> 2] as number)) break;
    let at = putVarint(u8, position, body * 2);
    u8[at++] = 0;
    at = huge === undefined ? putVarint(u8, at, deltaWord) : putLong(u8, at, huge);
    at = putVarint(u8, at, count * 2);
    at = putVarint(u8, at, keyWord);
    if (keyLength > 0) {
      const key = u32[keys + row] as number;
      u8.copyWithin(at, key, key + keyLength);
      at += keyLength;
    }
    at = putVarint(u8, at, valueWord);
    u8.copyWithin(at, value, value + valueLength);
    at += valueLength;
    u8[at++] = 0;
    u32[block >>> 2] = at;
    i32[(block + BLOCK.count) >>> 2] = count + 1;
    f64[(block + BLOCK.baseTimestamp) >>> 3] = base;
    f64[(block + BLOCK.maxTimestamp) >>> 3] = count === 0 ? timestamp : Math.max(f64[(block + BLOCK.maxTimestamp) >>> 3] as number, timestamp);
    value = end;
  }
  u32[j] = row;
  u32[j + 2] = value;
}

/** Differences up to it are exact, also when doubled. */
const EXACT_MAX = 2 ** 52;

function zigzag(value: bigint): bigint {
  return value >= 0n ? value * 2n : -value * 2n - 1n;
}

function longBytes(word: bigint): number {
  let bytes = 1;
  for (let rest = word >> 7n; rest > 0n; rest >>= 7n) bytes++;
  return bytes;
}

function putLong(u8: Uint8Array, start: number, word: bigint): number {
  let at = start;
  let rest = word;
  for (; rest >= 128n; rest >>= 7n) u8[at++] = Number(rest & 127n) | 0x80;
  u8[at++] = Number(rest);
  return at;
}

function varintBytes(word: number): number {
  let bytes = 1;
  for (let rest = word; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

function putVarint(u8: Uint8Array, start: number, word: number): number {
  let at = start;
  let rest = word;
  while (rest >= 128) {
    u8[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  u8[at++] = rest;
  return at;
}
