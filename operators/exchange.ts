/**
 * The exchange block: what a combiner leaves, in one slab, for the owners of the shards. Layout only: who carries a
 * block from thread to thread, and who frees it, is the runtime's affair.
 *
 *   0    u32 magic
 *   4    u32 source            which input of the stage the rows came from
 *   8    u32 partition
 *   12   u32 sequence          0, 1, ... of the blocks of one chunk
 *   16   f64 first             offset of the chunk's first row
 *   24   u32 paneCount
 *   28   u32 byteLength
 *   32   paneCount times:  f64 pane,  u32 position of its table in this block,  u32 groups
 *   ...  the tables, each as GroupTable.copyOut writes it: slots ordered by shard, long strings behind them
 *
 * Blocks are merged in the order (source, partition, first, sequence), which depends on the input alone. So a shard comes
 * to the same bytes whatever thread scanned what, and in whatever order.
 */

import { assert, blockSlots, type GroupTable, type SharedMemory, type SlabAllocator, type SlotLayout } from '../core/index.ts';

const MAGIC = 0x6d_72_78_62;
const SOURCE = 4;
const PARTITION = 8;
const SEQUENCE = 12;
const FIRST = 16;
const PANE_COUNT = 24;
const BYTE_LENGTH = 28;
const HEADER_BYTES = 32;
const ENTRY_BYTES = 16;

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
 * @returns address of a slab, to be freed by whoever merged it last; 0 when there is no group at all
 * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
 */
export function writeExchangeBlock(
  slabs: SlabAllocator,
  origin: ChunkOrigin,
  sequence: number,
  panes: readonly number[],
  tables: readonly GroupTable[],
): number {
  let paneCount = 0;
  let bytes = HEADER_BYTES;
  for (const table of tables) {
    if (table.size === 0) continue;
    paneCount++;
    bytes += ENTRY_BYTES + roundUp8(table.blockBytes);
  }
  if (paneCount === 0) return 0;
  const block = slabs.alloc(bytes);
  const { u32, f64 } = slabs.memory;
  u32[block >>> 2] = MAGIC;
  u32[(block + SOURCE) >>> 2] = origin.source;
  u32[(block + PARTITION) >>> 2] = origin.partition;
  u32[(block + SEQUENCE) >>> 2] = sequence;
  f64[(block + FIRST) >>> 3] = origin.first;
  u32[(block + PANE_COUNT) >>> 2] = paneCount;
  u32[(block + BYTE_LENGTH) >>> 2] = bytes;
  let entry = block + HEADER_BYTES;
  let at = entry + paneCount * ENTRY_BYTES;
  for (let i = 0; i < tables.length; i++) {
    const table = tables[i] as GroupTable;
    if (table.size === 0) continue;
    f64[entry >>> 3] = panes[i] as number;
    u32[(entry + 8) >>> 2] = at - block;
    u32[(entry + 12) >>> 2] = table.size;
    const tableBytes = table.blockBytes;
    table.copyOut(at);
    at += roundUp8(tableBytes);
    entry += ENTRY_BYTES;
  }
  return block;
}

/** Bytes of a block that are in use. */
export function exchangeBlockBytes(memory: SharedMemory, block: number): number {
  assert(memory.u32[block >>> 2] === MAGIC, `${block} is no exchange block`);
  return memory.u32[(block + BYTE_LENGTH) >>> 2] as number;
}

/** Where the rows of a block came from. */
export function exchangeBlockOrigin(memory: SharedMemory, block: number): ChunkOrigin & { readonly sequence: number } {
  assert(memory.u32[block >>> 2] === MAGIC, `${block} is no exchange block`);
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

/** Puts the blocks of an epoch into the order in which every shard has to merge them. Sorts `blocks` itself and returns it. */
export function orderExchangeBlocks(memory: SharedMemory, blocks: number[]): number[] {
  const { u32, f64 } = memory;
  return blocks.sort(
    (a, b) =>
      (u32[(a + SOURCE) >>> 2] as number) - (u32[(b + SOURCE) >>> 2] as number) ||
      (u32[(a + PARTITION) >>> 2] as number) - (u32[(b + PARTITION) >>> 2] as number) ||
      (f64[(a + FIRST) >>> 3] as number) - (f64[(b + FIRST) >>> 3] as number) ||
      (u32[(a + SEQUENCE) >>> 2] as number) - (u32[(b + SEQUENCE) >>> 2] as number),
  );
}

/** Calls `visit` with each pane of a block that has groups of `shard`: where these slots begin, and how many they are. */
export function eachPaneOf(
  memory: SharedMemory,
  layout: SlotLayout,
  block: number,
  shard: number,
  visit: (pane: number, slots: number, count: number) => void,
): void {
  if (memory.u32[block >>> 2] !== MAGIC) assert(false, `${block} is no exchange block`);
  const paneCount = memory.u32[(block + PANE_COUNT) >>> 2] as number;
  for (let i = 0, entry = block + HEADER_BYTES; i < paneCount; i++, entry += ENTRY_BYTES) {
    const tableBlock = block + (memory.u32[(entry + 8) >>> 2] as number);
    const { address, count } = blockSlots(memory, layout, tableBlock, shard);
    if (count > 0) visit(memory.f64[entry >>> 3] as number, address, count);
  }
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
