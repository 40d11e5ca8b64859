/**
 * Exchange blocks: what a scan leaves, in one slab each, for the owners of the shards. There are two kinds, with one head:
 * partial aggregates (this file) and rows (row-partition.ts). Layout only: who carries a block from thread to thread, and
 * who frees it, is the runtime's affair.
 *
 *   0    u32 magic             of the kind
 *   4    u32 source            which input of the stage the rows came from
 *   8    u32 partition
 *   12   u32 sequence          0, 1, ... of the blocks of one chunk
 *   16   f64 first             offset of the chunk's first row
 *   24   u32 count             aggregates: panes; rows: rows
 *   28   u32 byteLength
 *   32   u32 input             0, or 1 for what comes from the second stream of an operator of two
 *   36   u32 rows              that the block stands for: what was put in is counted against what was merged
 *
 * A block of aggregates goes on with
 *
 *   40   paneCount times:  f64 pane,  u32 position of its table in this block,  u32 groups,  u32 rows, u32 (free)
 *   ...  the tables, each as GroupTable.copyOut writes it: slots ordered by shard, long strings behind them
 *
 * Blocks are merged in the order (source, partition, first, input, sequence), which depends on the input alone. So a shard
 * comes to the same bytes whatever thread scanned what, and in whatever order.
 */

import { assert, blockSlots, type GroupTable, type SharedMemory, type SlabAllocator, type SlotLayout } from '../../core/index.ts';

const MAGIC = 0x6d_72_78_62;
const SOURCE = 4;
const PARTITION = 8;
const SEQUENCE = 12;
const FIRST = 16;
const PANE_COUNT = 24;
const BYTE_LENGTH = 28;
const INPUT = 32;
const ROWS = 36;
const HEADER_BYTES = 40;
const ENTRY_BYTES = 24;

/** Where a chunk comes from: what orders its blocks among those of an epoch. */
export interface ChunkOrigin {
  readonly source: number;
  readonly partition: number;
  /** Offset of the chunk's first row. */
  readonly first: number;
}

/**
 * Writes the groups of some panes as one block.
 *
 * @param panes pane numbers, and their tables beside; empty tables are left out
 * @param rows that went into each of them
 * @returns address of a slab, to be freed by whoever merged it last; 0 when there is no group at all
 * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
 */
export function writeExchangeBlock(
  slabs: SlabAllocator,
  origin: ChunkOrigin,
  sequence: number,
  panes: readonly number[],
  tables: readonly GroupTable[],
  rows: readonly number[],
): number {
  let paneCount = 0;
  let rowCount = 0;
  for (const count of rows) rowCount += count;
  let bytes = HEADER_BYTES;
  for (const table of tables) {
    if (table.size === 0) continue;
    paneCount++;
    bytes += ENTRY_BYTES + roundUp8(table.blockBytes);
  }
  if (paneCount === 0) return 0;
  const block = slabs.alloc(bytes);
  const { u32, f64 } = slabs.memory;
  writeBlockHead(slabs.memory, block, MAGIC, origin, sequence, paneCount, bytes, 0, rowCount);
  let entry = block + HEADER_BYTES;
  let at = entry + paneCount * ENTRY_BYTES;
  for (let i = 0; i < tables.length; i++) {
    const table = tables[i] as GroupTable;
    if (table.size === 0) continue;
    f64[entry >>> 3] = panes[i] as number;
    u32[(entry + 8) >>> 2] = at - block;
    u32[(entry + 12) >>> 2] = table.size;
    u32[(entry + 16) >>> 2] = rows[i] as number;
    const tableBytes = table.blockBytes;
    table.copyOut(at);
    at += roundUp8(tableBytes);
    entry += ENTRY_BYTES;
  }
  return block;
}

/** Bytes of the head that blocks of both kinds have. */
export const BLOCK_HEAD_BYTES = HEADER_BYTES;
/** Magic of a block of rows. */
export const ROWS_MAGIC = 0x6d_72_78_72;

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
  u32[(block + PANE_COUNT) >>> 2] = count;
  u32[(block + BYTE_LENGTH) >>> 2] = byteLength;
  u32[(block + INPUT) >>> 2] = input;
  u32[(block + ROWS) >>> 2] = rows;
}

/** How many rows a block of either kind stands for. */
export function exchangeBlockRows(memory: SharedMemory, block: number): number {
  mustBeBlock(memory, block);
  return memory.u32[(block + ROWS) >>> 2] as number;
}

/** How many pieces of a block its shards have to merge, all together: groups, or rows. */
export function exchangeBlockEntries(memory: SharedMemory, block: number): number {
  if (memory.u32[block >>> 2] !== MAGIC) return exchangeBlockRows(memory, block);
  const paneCount = memory.u32[(block + PANE_COUNT) >>> 2] as number;
  let groups = 0;
  for (let i = 0; i < paneCount; i++) groups += memory.u32[(block + HEADER_BYTES + i * ENTRY_BYTES + 12) >>> 2] as number;
  return groups;
}

/** The stream of an operator of two that a block's rows came from. */
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

/** The panes that a block has groups for. */
export function exchangeBlockPanes(memory: SharedMemory, block: number): number[] {
  assert(memory.u32[block >>> 2] === MAGIC, `${block} is no exchange block`);
  const paneCount = memory.u32[(block + PANE_COUNT) >>> 2] as number;
  return Array.from({ length: paneCount }, (_, i) => memory.f64[(block + HEADER_BYTES + i * ENTRY_BYTES) >>> 3] as number);
}

/** Calls `visit` with each pane of a block of aggregates, and the rows that went into it. */
export function eachPaneRows(memory: SharedMemory, block: number, visit: (pane: number, rows: number) => void): void {
  assert(memory.u32[block >>> 2] === MAGIC, `${block} is no exchange block`);
  const paneCount = memory.u32[(block + PANE_COUNT) >>> 2] as number;
  for (let i = 0, entry = block + HEADER_BYTES; i < paneCount; i++, entry += ENTRY_BYTES) {
    visit(memory.f64[entry >>> 3] as number, memory.u32[(entry + 16) >>> 2] as number);
  }
}

/** Puts the blocks of an epoch into the order in which every shard has to merge them. Sorts `blocks` itself and returns it. */
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

/**
 * Calls `visit` with each pane of a block that has groups of `shard`: where these slots begin, and how many they are.
 *
 * @returns how many they are in all panes
 */
export function eachPaneOf(
  memory: SharedMemory,
  layout: SlotLayout,
  block: number,
  shard: number,
  visit: (pane: number, slots: number, count: number) => void,
): number {
  if (memory.u32[block >>> 2] !== MAGIC) assert(false, `${block} is no exchange block`);
  const paneCount = memory.u32[(block + PANE_COUNT) >>> 2] as number;
  let groups = 0;
  for (let i = 0, entry = block + HEADER_BYTES; i < paneCount; i++, entry += ENTRY_BYTES) {
    const tableBlock = block + (memory.u32[(entry + 8) >>> 2] as number);
    const { address, count } = blockSlots(memory, layout, tableBlock, shard);
    if (count === 0) continue;
    visit(memory.f64[entry >>> 3] as number, address, count);
    groups += count;
  }
  return groups;
}

function mustBeBlock(memory: SharedMemory, block: number): void {
  const magic = memory.u32[block >>> 2];
  assert(magic === MAGIC || magic === ROWS_MAGIC, `${block} is no exchange block`);
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
