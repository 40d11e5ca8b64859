/**
 * The row exchange: the scan's half. Rows of a batch are ordered by shard and copied into one block, with
 * columns in Arrow layout, so that the rows of a shard are a batch over the block's bytes. The other half is
 * a shard of an operator over rows by key.
 *
 *   beginEpoch -> { beginChunk -> add(batch) ... -> endChunk } ... -> takeBlocks
 *
 *   0    head as in exchange-block.ts; count: rows
 *   40   f64 maxTime           greatest event time of the rows; -Infinity: there is none
 *   48   64 times: u32 start, u32 count of the shard's rows. A start is a multiple of 8: bitmaps begin on a
 *        byte
 *   560  each column: u32 data, u32 offsets, u32 validity: positions in this block; 0: none, or the column
 *        does not travel
 *   ...  u32 position of f64 places, one per row, where rows carry their order (row-order.ts); 0: they do
 *        not. Two words are unused
 *   ...  the columns, each part at a multiple of 64
 *
 * The order within a shard is that of the batch. A counting sort: one pass hashes, one counts, one places.
 * Then each column is read in order and written in 64 runs. Rows that are late by the watermark at the start
 * of the epoch stay behind: they are counted and handed to the `late` hook.
 */

import {
  assert,
  Batch,
  type Column,
  EVENT_TIME_MAX,
  isValid,
  readTimestamp,
  type Schema,
  SHARD_COUNT,
  type SharedMemory,
  type SlabAllocator,
  shardOf,
} from '../../core/index.ts';
import { BLOCK_HEAD_BYTES, type ChunkOrigin, ROWS_MAGIC, writeBlockHead } from './exchange-block.ts';
import type { EpochStart, ExchangeInput, Scatter, ScatterHooks } from './exchange-operator.ts';
import { hashKeys } from './key-hash.ts';

const MAX_TIME = BLOCK_HEAD_BYTES;
const SHARDS = MAX_TIME + 8;
const COLUMNS = SHARDS + SHARD_COUNT * 8;
const COLUMN_BYTES = 12;
const ROW_COUNT_MIN = 64;
/** The place of a row that does not travel. */
const STAYS = 0xffff_ffff;
/** From this many bytes on, a copy in one call is faster than a loop. */
const LONG_COPY = 48;

/** One stream whose rows travel whole. */
export interface RowInput extends ExchangeInput {
  /**
   * Positions of the key columns, which are among `columns`. All inputs of an operator have the same number
   * of keys, of the same types.
   */
  readonly keys: readonly number[];
  /** True: every row goes to all shards, whatever its key. */
  readonly isBroadcast?: boolean;
  /** -1 where event time is the end of a window: the row then belongs to the window's last moment. Else 0. */
  readonly timeShiftMs: 0 | -1;
}

/** What a partitioner needs to know of the operator that its rows travel to. */
export interface RowStage {
  readonly inputs: readonly RowInput[];
  /**
   * Rows of an input with an event time before this are late, given the watermark at the start of the epoch.
   */
  lateBefore(watermark: number, input: number): number;
  /**
   * Rows that a restart reads again are late only before this time. For operators whose state needs rows that
   * were decided before the restart. Default: `lateBefore`.
   */
  uselessBefore?(watermark: number, input: number): number;
}

/** Partitions the rows of chunks for one input of one operator. One per thread; synchronous. */
export class RowPartitioner implements Scatter {
  readonly #slabs: SlabAllocator;
  readonly #stage: RowStage;
  readonly #inputNumber: number;
  readonly #late: ((batch: Batch, rows: Uint32Array) => void) | undefined;
  readonly #orderOf: ((row: number) => number) | undefined;
  readonly #isReplayed: ((row: number) => boolean) | undefined;
  /** By shard: the number of rows; then the place of the next one. */
  readonly #counts = new Uint32Array(SHARD_COUNT);
  #hashes = new Uint32Array(ROW_COUNT_MIN);
  #places = new Uint32Array(ROW_COUNT_MIN);
  #lateRows = new Uint32Array(ROW_COUNT_MIN);
  #blocks: number[] = [];
  #origin: ChunkOrigin | undefined;
  #sequence = 0;
  #lateBefore = Number.NEGATIVE_INFINITY;
  #uselessBefore = Number.NEGATIVE_INFINITY;

  constructor(slabs: SlabAllocator, stage: RowStage, input: number, hooks: ScatterHooks = {}) {
    this.#slabs = slabs;
    this.#stage = stage;
    this.#inputNumber = input;
    this.#late = hooks.late?.bind(hooks);
    this.#orderOf = hooks.orderOf?.bind(hooks);
    this.#isReplayed = stage.uselessBefore === undefined ? undefined : hooks.isReplayed?.bind(hooks);
  }

  beginEpoch({ watermark }: EpochStart): void {
    assert(this.#origin === undefined, 'an epoch begins within a chunk');
    this.#lateBefore = this.#stage.lateBefore(watermark, this.#inputNumber);
    this.#uselessBefore = this.#stage.uselessBefore?.(watermark, this.#inputNumber) ?? this.#lateBefore;
  }

  beginChunk(origin: ChunkOrigin): void {
    assert(this.#origin === undefined, 'a chunk begins within a chunk');
    this.#origin = origin;
    this.#sequence = 0;
  }

  /**
   * Adds the rows of a batch whose schema is the input's.
   *
   * @returns how many of them were late
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room for the block
   */
  add(batch: Batch): number {
    assert(this.#origin !== undefined, 'a batch outside a chunk');
    const { keys, eventTime, timeShiftMs, isBroadcast } = this.#stage.inputs[this.#inputNumber] as RowInput;
    const { memory, rowCount } = batch;
    if (rowCount === 0) return 0;
    this.#reserve(rowCount);
    const hashes = this.#hashes;
    // Rows that go to all shards lie in the block once, as if they were the first shard's.
    if (isBroadcast) hashes.fill(0, 0, rowCount);
    else {
      hashKeys(
        memory,
        keys.map((key) => batch.column(key)),
        rowCount,
        hashes,
      );
    }
    const counts = this.#counts.fill(0);
    let lateCount = 0;
    let maxTime = Number.NEGATIVE_INFINITY;
    if (eventTime < 0) {
      for (let row = 0; row < rowCount; row++) {
        const shard = shardOf(hashes[row] as number);
        hashes[row] = shard;
        counts[shard] = (counts[shard] as number) + 1;
      }
    } else {
      const times = batch.column(eventTime);
      for (let row = 0; row < rowCount; row++) {
        const time = isValid(memory, times, row) ? readTimestamp(memory, times.data, row) + timeShiftMs : Number.NaN;
        const isLate = !(time >= this.#lateBefore) && !(time >= this.#uselessBefore && this.#isReplayed?.(row) === true);
        if (isLate || !(time >= -EVENT_TIME_MAX && time <= EVENT_TIME_MAX)) {
          hashes[row] = STAYS;
          this.#lateRows[lateCount++] = row;
          continue;
        }
        if (time > maxTime) maxTime = time;
        const shard = shardOf(hashes[row] as number);
        hashes[row] = shard;
        counts[shard] = (counts[shard] as number) + 1;
      }
    }
    if (lateCount < rowCount) this.#write(batch, rowCount - lateCount, eventTime < 0 ? Number.POSITIVE_INFINITY : maxTime);
    if (lateCount > 0) this.#late?.(batch, this.#lateRows.subarray(0, lateCount));
    return lateCount;
  }

  endChunk(): void {
    this.#origin = undefined;
  }

  /**
   * Addresses of the blocks since the last call. The caller now owns them and frees them when all shards have
   * read them.
   */
  takeBlocks(): number[] {
    const blocks = this.#blocks;
    this.#blocks = [];
    return blocks;
  }

  release(): void {
    for (const block of this.takeBlocks()) this.#slabs.free(block);
    this.#origin = undefined;
  }

  /** Writes the rows whose shard is in #hashes as a block. #counts holds the number of rows per shard. */
  #write(batch: Batch, travelling: number, maxTime: number): void {
    const { memory, rowCount } = batch;
    const { columns, isBroadcast } = this.#stage.inputs[this.#inputNumber] as RowInput;
    const counts = this.#counts;
    let room = 0;
    for (let shard = 0; shard < SHARD_COUNT; shard++) room += roundUp(counts[shard] as number, 8);
    // Where each part of each column lies.
    const fieldCount = batch.schema.length;
    let bytes = roundUp(COLUMNS + (fieldCount + 1) * COLUMN_BYTES, 64);
    const take = (size: number): number => {
      const at = bytes;
      bytes += roundUp(size, 64);
      return at;
    };
    const parts = new Uint32Array((fieldCount + 1) * 3);
    for (const c of columns) {
      const column = batch.column(c);
      const { name, width } = column.type;
      if (column.validity !== 0) parts[c * 3 + 2] = take(room / 8);
      if (name === 'utf8' || name === 'binary') {
        parts[c * 3 + 1] = take((room + 1) * 4);
        parts[c * 3] = take(textBytes(memory, column, this.#hashes, rowCount));
      } else parts[c * 3] = take(name === 'bool' ? room / 8 : room * width);
    }
    const orderOf = this.#orderOf;
    if (orderOf !== undefined) parts[fieldCount * 3] = take(room * 8);
    const block = this.#slabs.alloc(bytes);
    const { u32, f64 } = memory;
    writeBlockHead(memory, block, ROWS_MAGIC, this.#origin as ChunkOrigin, this.#sequence++, travelling, bytes, this.#inputNumber, travelling);
    f64[(block + MAX_TIME) >>> 3] = maxTime;
    for (let shard = 0, start = 0, at = (block + SHARDS) >>> 2; shard < SHARD_COUNT; shard++, at += 2) {
      const count = isBroadcast && shard > 0 ? travelling : (counts[shard] as number);
      if (isBroadcast) start = 0;
      u32[at] = start;
      u32[at + 1] = count;
      counts[shard] = start;
      start += roundUp(count, 8);
    }
    u32.set(parts, (block + COLUMNS) >>> 2);
    const places = this.#places;
    for (let row = 0; row < rowCount; row++) {
      const shard = this.#hashes[row] as number;
      if (shard === STAYS) places[row] = STAYS;
      else {
        const place = counts[shard] as number;
        places[row] = place;
        counts[shard] = place + 1;
      }
    }
    if (orderOf !== undefined) {
      const to = (block + (parts[fieldCount * 3] as number)) >>> 3;
      for (let row = 0; row < rowCount; row++) if (places[row] !== STAYS) f64[to + (places[row] as number)] = orderOf(row);
    }
    for (const c of columns) {
      const column = batch.column(c);
      const data = block + (parts[c * 3] as number);
      if (column.offsets !== 0) placeTexts(memory, column, data, block + (parts[c * 3 + 1] as number), places, rowCount, room);
      else placeFixed(memory, column, data, places, rowCount, room);
      if (column.validity !== 0) placeBits(memory, column.validity, block + (parts[c * 3 + 2] as number), places, rowCount, room);
    }
    this.#blocks.push(block);
  }

  #reserve(rowCount: number): void {
    if (rowCount <= this.#hashes.length) return;
    const capacity = 2 ** Math.ceil(Math.log2(rowCount));
    this.#hashes = new Uint32Array(capacity);
    this.#places = new Uint32Array(capacity);
    this.#lateRows = new Uint32Array(capacity);
  }
}

/**
 * The rows of a shard in a block, in the order of the source; undefined when there are none. Valid as long as
 * the block is.
 */
export function shardRows(memory: SharedMemory, schema: Schema, block: number, shard: number): Batch | undefined {
  const { u32 } = memory;
  assert(u32[block >>> 2] === ROWS_MAGIC, `${block} is no block of rows`);
  const start = u32[(block + SHARDS + shard * 8) >>> 2] as number;
  const rowCount = u32[(block + SHARDS + shard * 8 + 4) >>> 2] as number;
  if (rowCount === 0) return undefined;
  const columns = schema.fields.map(({ type }, c): Column => {
    const at = (block + COLUMNS + c * COLUMN_BYTES) >>> 2;
    const data = u32[at] as number;
    const offsets = u32[at + 1] as number;
    const validity = u32[at + 2] as number;
    if (data === 0) return { type, data: 0, offsets: 0, validity: 0 };
    return {
      type,
      data: block + data + (offsets !== 0 ? 0 : type.name === 'bool' ? start / 8 : start * type.width),
      offsets: offsets === 0 ? 0 : block + offsets + start * 4,
      validity: validity === 0 ? 0 : block + validity + start / 8,
    };
  });
  return new Batch(memory, schema, rowCount, columns);
}

/** Address of the places (f64) of a shard's rows, in a block whose rows carry them. */
export function shardOrders({ u32 }: SharedMemory, schema: Schema, block: number, shard: number): number {
  const start = u32[(block + SHARDS + shard * 8) >>> 2] as number;
  return block + (u32[(block + COLUMNS + schema.length * COLUMN_BYTES) >>> 2] as number) + start * 8;
}

/** The greatest event time of a block's rows: +Infinity where the input has no event time. */
export function rowBlockMaxTime(memory: SharedMemory, block: number): number {
  return memory.f64[(block + MAX_TIME) >>> 3] as number;
}

function textBytes({ i32 }: SharedMemory, column: Column, shards: Uint32Array, rowCount: number): number {
  const ends = column.offsets >>> 2;
  let bytes = 0;
  for (let row = 0; row < rowCount; row++) if (shards[row] !== STAYS) bytes += (i32[ends + row + 1] as number) - (i32[ends + row] as number);
  return Math.max(bytes, 1);
}

function placeFixed(memory: SharedMemory, column: Column, to: number, places: Uint32Array, rowCount: number, room: number): void {
  const { u8, u16, u32 } = memory;
  switch (column.type.width) {
    case 0:
      placeBits(memory, column.data, to, places, rowCount, room);
      return;
    case 1:
      for (let row = 0; row < rowCount; row++) {
        const place = places[row] as number;
        if (place !== STAYS) u8[to + place] = u8[column.data + row] as number;
      }
      return;
    case 2: {
      const from = column.data >>> 1;
      for (let row = 0; row < rowCount; row++) {
        const place = places[row] as number;
        if (place !== STAYS) u16[(to >>> 1) + place] = u16[from + row] as number;
      }
      return;
    }
    case 4: {
      const from = column.data >>> 2;
      for (let row = 0; row < rowCount; row++) {
        const place = places[row] as number;
        if (place !== STAYS) u32[(to >>> 2) + place] = u32[from + row] as number;
      }
      return;
    }
    case 8: {
      // Copied as two words: a double copied as a double may lose the bits of its NaN.
      const from = column.data >>> 2;
      for (let row = 0; row < rowCount; row++) {
        const place = places[row] as number;
        if (place === STAYS) continue;
        const at = (to >>> 2) + place * 2;
        u32[at] = u32[from + row * 2] as number;
        u32[at + 1] = u32[from + row * 2 + 1] as number;
      }
    }
  }
}

function placeBits({ u8 }: SharedMemory, from: number, to: number, places: Uint32Array, rowCount: number, room: number): void {
  u8.fill(0, to, to + room / 8);
  for (let row = 0; row < rowCount; row++) {
    const place = places[row] as number;
    if (place === STAYS) continue;
    const bit = ((u8[from + (row >>> 3)] as number) >>> (row & 7)) & 1;
    u8[to + (place >>> 3)] = (u8[to + (place >>> 3)] as number) | (bit << (place & 7));
  }
}

/**
 * Lengths first, to the place behind each row's own; their running sums are the offsets. Places between two
 * shards have no bytes.
 */
function placeTexts({ u8, i32 }: SharedMemory, column: Column, data: number, offsets: number, places: Uint32Array, rowCount: number, room: number): void {
  const from = column.offsets >>> 2;
  const to = offsets >>> 2;
  i32.fill(0, to, to + room + 1);
  for (let row = 0; row < rowCount; row++) {
    const place = places[row] as number;
    if (place !== STAYS) i32[to + place + 1] = (i32[from + row + 1] as number) - (i32[from + row] as number);
  }
  for (let i = 1; i <= room; i++) i32[to + i] = (i32[to + i] as number) + (i32[to + i - 1] as number);
  for (let row = 0; row < rowCount; row++) {
    const place = places[row] as number;
    if (place === STAYS) continue;
    const start = column.data + (i32[from + row] as number);
    const length = (i32[from + row + 1] as number) - (i32[from + row] as number);
    const target = data + (i32[to + place] as number);
    if (length > LONG_COPY) u8.copyWithin(target, start, start + length);
    else for (let i = 0; i < length; i++) u8[target + i] = u8[start + i] as number;
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
