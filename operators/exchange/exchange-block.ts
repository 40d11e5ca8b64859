/**
 * Exchange blocks: what a scan leaves, in one slab each, for the owners of the shards. There are two kinds:
 * partial aggregates (aggregate/group-block.ts) and rows (row-block.ts). They share one head, described
 * here. This file is layout only; carrying blocks from thread to thread and freeing them is up to the
 * runtime.
 *
 *   0    u32 magic             of the kind
 *   4    u32 source            the input of the stage that the rows came from
 *   8    u32 partition
 *   12   u32 sequence          0, 1, ... of the blocks of one chunk
 *   16   f64 first             offset of the chunk's first row
 *   24   u32 count             aggregates: panes; rows: rows
 *   28   u32 byteLength
 *   32   u32 input             1 for rows of the second stream of an operator with two, else 0
 *   36   u32 rows              that the block stands for: what was put in is counted against what was merged
 *   40   the content of the kind
 *
 * Blocks are merged in the order (source, partition, first, input, sequence), which depends on the input
 * alone. So a shard gets the same bytes whichever thread scanned what, in whatever order.
 */

import { assert, type SharedMemory } from '../../core/index.ts';

/** Magic of a block of groups. */
export const GROUPS_MAGIC = 0x6d_72_78_62;
/** Magic of a block of rows. */
export const ROWS_MAGIC = 0x6d_72_78_72;
const SOURCE = 4;
const PARTITION = 8;
const SEQUENCE = 12;
const FIRST = 16;
const COUNT = 24;
const BYTE_LENGTH = 28;
const INPUT = 32;
const ROWS = 36;

/** Where a chunk comes from. It orders the chunk's blocks among those of an epoch. */
export interface ChunkOrigin {
  readonly source: number;
  readonly partition: number;
  /** Offset of the chunk's first row. */
  readonly first: number;
}

/** Bytes of the head. */
export const BLOCK_HEAD_BYTES = 40;

/** Writes the head of a block. */
export function writeBlockHead(
  memory: SharedMemory,
  block: number,
  magic: number,
  origin: ChunkOrigin,
  sequence: number,
  count: number,
  byteLength: number,
  input: number,
  rows: number,
): void {
  const { u32, f64 } = memory;
  u32[block >>> 2] = magic;
  u32[(block + SOURCE) >>> 2] = origin.source;
  u32[(block + PARTITION) >>> 2] = origin.partition;
  u32[(block + SEQUENCE) >>> 2] = sequence;
  f64[(block + FIRST) >>> 3] = origin.first;
  u32[(block + COUNT) >>> 2] = count;
  u32[(block + BYTE_LENGTH) >>> 2] = byteLength;
  u32[(block + INPUT) >>> 2] = input;
  u32[(block + ROWS) >>> 2] = rows;
}

/** The count of a block: panes or rows, depending on its kind. */
export function blockCount(memory: SharedMemory, block: number): number {
  return memory.u32[(block + COUNT) >>> 2] as number;
}

/** Bytes of a block, head included. A copy of them elsewhere must be relocated (ExchangeOperator.relocate). */
export function exchangeBlockBytes(memory: SharedMemory, block: number): number {
  mustBeBlock(memory, block);
  return memory.u32[(block + BYTE_LENGTH) >>> 2] as number;
}

/** How many rows a block of either kind stands for. */
export function exchangeBlockRows(memory: SharedMemory, block: number): number {
  mustBeBlock(memory, block);
  return memory.u32[(block + ROWS) >>> 2] as number;
}

/** The stream that the rows of a block came from, for an operator with two. */
export function blockInput(memory: SharedMemory, block: number): number {
  return memory.u32[(block + INPUT) >>> 2] as number;
}

/** Where the rows of a block came from. */
export function exchangeBlockOrigin(memory: SharedMemory, block: number): ChunkOrigin & { readonly sequence: number } {
  mustBeBlock(memory, block);
  return {
    source: memory.u32[(block + SOURCE) >>> 2] as number,
    partition: memory.u32[(block + PARTITION) >>> 2] as number,
    first: memory.f64[(block + FIRST) >>> 3] as number,
    sequence: memory.u32[(block + SEQUENCE) >>> 2] as number,
  };
}

/**
 * Sorts the blocks of an epoch into the order in which every shard has to merge them. Sorts in place and
 * returns `blocks`.
 */
export function orderExchangeBlocks(memory: SharedMemory, blocks: number[]): number[] {
  const { u32, f64 } = memory;
  return blocks.sort(
    (a, b) =>
      (u32[(a + SOURCE) >>> 2] as number) - (u32[(b + SOURCE) >>> 2] as number) ||
      (u32[(a + PARTITION) >>> 2] as number) - (u32[(b + PARTITION) >>> 2] as number) ||
      (f64[(a + FIRST) >>> 3] as number) - (f64[(b + FIRST) >>> 3] as number) ||
      (u32[(a + INPUT) >>> 2] as number) - (u32[(b + INPUT) >>> 2] as number) ||
      (u32[(a + SEQUENCE) >>> 2] as number) - (u32[(b + SEQUENCE) >>> 2] as number),
  );
}

/** Whether bytes that came from elsewhere begin as a block does that is so long. */
export function isExchangeBlock({ u32 }: SharedMemory, block: number, byteLength: number): boolean {
  const magic = u32[block >>> 2];
  return (magic === GROUPS_MAGIC || magic === ROWS_MAGIC) && byteLength >= BLOCK_HEAD_BYTES && u32[(block + BYTE_LENGTH) >>> 2] === byteLength;
}

function mustBeBlock(memory: SharedMemory, block: number): void {
  const magic = memory.u32[block >>> 2];
  assert(magic === GROUPS_MAGIC || magic === ROWS_MAGIC, `${block} is no exchange block`);
}
