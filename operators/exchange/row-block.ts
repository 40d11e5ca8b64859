/**
 * A block of rows: the layout, and how a shard reads its rows: as a batch over the block's bytes.
 * row-partition.ts writes it.
 *
 *   0    head as in exchange-block.ts; count: rows
 *   40   f64 maxTime           greatest event time of the rows; -Infinity: there is none
 *   48   64 times: u32 start, u32 count of the shard's rows. A start is a multiple of 8: bitmaps begin on a
 *        byte
 *   560  u32 position of f64 places, one per row, where rows carry their order (row-order.ts); 0: they do
 *        not. u32 position of u32 offsets, one per row, less that of the chunk's first row, where functions take
 *        the rows; 0: not. In blocks of an earlier state log the second word may be anything. One word is
 *        unused
 *   572  each column that travels, in their order: u32 data, u32 offsets, u32 validity: positions in this
 *        block; 0: none
 *   ...  the columns, each part at a multiple of 64
 *
 * Nothing in a block depends on the columns that stay behind: a state log may be read when the stream has
 * others.
 */

import { assert, Batch, type Column, type Schema, SHARD_COUNT, type SharedMemory } from '../../core/index.ts';
import { BLOCK_HEAD_BYTES, exchangeBlockOrigin, ROWS_MAGIC } from './exchange-block.ts';

export const MAX_TIME = BLOCK_HEAD_BYTES;
export const SHARDS = MAX_TIME + 8;
export const PLACES = SHARDS + SHARD_COUNT * 8;
export const OFFSETS = PLACES + 4;
export const COLUMN_BYTES = 12;
/** In place of an offset that is not known, or too far from the chunk's first. */
export const NO_OFFSET = 0xffff_ffff;
export const COLUMNS = PLACES + COLUMN_BYTES;

/** What of an input says how its blocks are to be read. */
export interface BlockColumns {
  readonly schema: Schema;
  /** Positions of the columns that travel. */
  readonly columns: readonly number[];
}

/**
 * The rows of a shard in a block, in the order of the source; undefined when there are none. Valid as long as
 * the block is.
 */
export function shardRows(memory: SharedMemory, input: BlockColumns, block: number, shard: number): Batch | undefined {
  const { u32 } = memory;
  assert(u32[block >>> 2] === ROWS_MAGIC, `${block} is no block of rows`);
  const start = u32[(block + SHARDS + shard * 8) >>> 2] as number;
  const rowCount = u32[(block + SHARDS + shard * 8 + 4) >>> 2] as number;
  if (rowCount === 0) return undefined;
  const columns = input.schema.fields.map(({ type }): Column => ({ type, data: 0, offsets: 0, validity: 0 }));
  input.columns.forEach((c, i) => {
    const at = (block + COLUMNS + i * COLUMN_BYTES) >>> 2;
    const data = u32[at] as number;
    const offsets = u32[at + 1] as number;
    const validity = u32[at + 2] as number;
    const { type } = columns[c] as Column;
    columns[c] = {
      type,
      data: block + data + (offsets !== 0 ? 0 : type.name === 'bool' ? start / 8 : start * type.width),
      offsets: offsets === 0 ? 0 : block + offsets + start * 4,
      validity: validity === 0 ? 0 : block + validity + start / 8,
    };
  });
  return new Batch(memory, input.schema, rowCount, columns);
}

/** Puts a 1 into `found`, by shard, for each shard that a block has rows of. */
export function shardsWithRows({ u32 }: SharedMemory, block: number, found: Uint8Array): void {
  for (let shard = 0; shard < SHARD_COUNT; shard++) if (u32[(block + SHARDS + shard * 8 + 4) >>> 2] !== 0) found[shard] = 1;
}

/** Address of the places (f64) of a shard's rows; 0: the rows of this block carry none. */
export function shardOrders({ u32 }: SharedMemory, block: number, shard: number): number {
  const at = u32[(block + PLACES) >>> 2] as number;
  return at === 0 ? 0 : block + at + (u32[(block + SHARDS + shard * 8) >>> 2] as number) * 8;
}

/** Where a shard's row was read; undefined: unknown. Not for blocks of a state log. */
export function offsetInShard(memory: SharedMemory, block: number, shard: number, row: number): number | undefined {
  const { u32 } = memory;
  const at = u32[(block + OFFSETS) >>> 2] as number;
  if (at === 0) return undefined;
  const offset = u32[((block + at) >>> 2) + (u32[(block + SHARDS + shard * 8) >>> 2] as number) + row] as number;
  return offset === NO_OFFSET ? undefined : exchangeBlockOrigin(memory, block).first + offset;
}

/** The greatest event time of a block's rows: +Infinity where the input has no event time. */
export function rowBlockMaxTime(memory: SharedMemory, block: number): number {
  return memory.f64[(block + MAX_TIME) >>> 3] as number;
}
