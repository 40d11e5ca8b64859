/**
 * The row exchange: the scan's half. Rows of a batch are ordered by shard and copied into one block, with
 * columns in Arrow layout (row-block.ts). The other half is a shard of an operator over rows by key.
 *
 *   beginEpoch -> { beginChunk -> add(batch) ... -> endChunk } ... -> takeBlocks
 *
 * The order within a shard is that of the batch. A counting sort: one pass hashes, one counts, one places.
 * Then each column is read in order and written in 64 runs. Rows that are late by the watermark at the start
 * of the epoch stay behind: they are counted and handed to the `late` hook.
 */

import { assert, type Batch, EVENT_TIME_MAX, isValid, readTimestamp, SHARD_COUNT, type SlabAllocator, shardOf } from '../../core/index.ts';
import { type ChunkOrigin, ROWS_MAGIC, writeBlockHead } from './exchange-block.ts';
import type { EpochStart, ExchangeInput, Scatter, ScatterHooks } from './exchange-operator.ts';
import { hashKeys } from './key-hash.ts';
import { COLUMN_BYTES, COLUMNS, MAX_TIME, NO_OFFSET, OFFSETS, PLACES, SHARDS } from './row-block.ts';
import { placeBits, placeFixed, placeTexts, STAYS, textBytes } from './row-places.ts';

const ROW_COUNT_MIN = 64;

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
  readonly #offsetOf: ((row: number) => number) | undefined;
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
    this.#offsetOf = hooks.offsetOf?.bind(hooks);
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
    let bytes = roundUp(COLUMNS + columns.length * COLUMN_BYTES, 64);
    const take = (size: number): number => {
      const at = bytes;
      bytes += roundUp(size, 64);
      return at;
    };
    const parts = new Uint32Array(columns.length * 3);
    columns.forEach((c, i) => {
      const column = batch.column(c);
      const { name, width } = column.type;
      if (column.validity !== 0) parts[i * 3 + 2] = take(room / 8);
      if (name === 'utf8' || name === 'binary') {
        parts[i * 3 + 1] = take((room + 1) * 4);
        parts[i * 3] = take(textBytes(memory, column, this.#hashes, rowCount));
      } else parts[i * 3] = take(name === 'bool' ? room / 8 : room * width);
    });
    const orderOf = this.#orderOf;
    const placesAt = orderOf === undefined ? 0 : take(room * 8);
    const offsetOf = this.#offsetOf;
    const offsetsAt = offsetOf === undefined ? 0 : take(room * 4);
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
    u32[(block + PLACES) >>> 2] = placesAt;
    u32[(block + OFFSETS) >>> 2] = offsetsAt;
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
      const to = (block + placesAt) >>> 3;
      for (let row = 0; row < rowCount; row++) if (places[row] !== STAYS) f64[to + (places[row] as number)] = orderOf(row);
    }
    if (offsetOf !== undefined) {
      const to = (block + offsetsAt) >>> 2;
      const { first } = this.#origin as ChunkOrigin;
      for (let row = 0; row < rowCount; row++) {
        if (places[row] === STAYS) continue;
        const offset = offsetOf(row) - first;
        u32[to + (places[row] as number)] = offset >= 0 && offset < NO_OFFSET ? offset : NO_OFFSET;
      }
    }
    columns.forEach((c, i) => {
      const column = batch.column(c);
      const data = block + (parts[i * 3] as number);
      if (column.offsets !== 0) placeTexts(memory, column, data, block + (parts[i * 3 + 1] as number), places, rowCount, room);
      else placeFixed(memory, column, data, places, rowCount, room);
      if (column.validity !== 0) placeBits(memory, column.validity, block + (parts[i * 3 + 2] as number), places, rowCount, room);
    });
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

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
