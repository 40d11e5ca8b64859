/**
 * The block in which the partial aggregates of a chunk travel to the shards: groups by pane. It follows the
 * head that all blocks have (exchange/exchange-block.ts), whose count is the number of panes:
 *
 *   40   paneCount times: f64 pane, u32 position of its table in this block, u32 groups, u32 rows, u32 (free)
 *   ...  the tables, each as GroupTable.copyOut writes it: slots ordered by shard, long strings behind them
 *
 * Slots name long strings and states by address. A block that is copied elsewhere must be relocated.
 */

import { assert, blockSlots, type GroupTable, SHARD_COUNT, type SharedMemory, type SlabAllocator, type SlotLayout } from '../../core/index.ts';
import { BLOCK_HEAD_BYTES, blockCount, type ChunkOrigin, exchangeBlockBytes, GROUPS_MAGIC, writeBlockHead } from '../exchange/index.ts';

export const GROUP_ENTRY_BYTES = 24;
/** What of a table is in front of its slots, at least. */
const TABLE_HEAD_BYTES = 4 * (SHARD_COUNT + 1);

/**
 * Writes the groups of some panes as one block.
 *
 * @param panes pane numbers, with their tables; empty tables are left out
 * @param rows that went into each of them
 * @returns address of a slab, to be freed by whoever merges it last; 0 when there is no group at all
 * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
 */
export function writeGroupBlock(
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
  let bytes = BLOCK_HEAD_BYTES;
  for (const table of tables) {
    if (table.size === 0) continue;
    paneCount++;
    bytes += GROUP_ENTRY_BYTES + roundUp8(table.blockBytes);
  }
  if (paneCount === 0) return 0;
  const block = slabs.alloc(bytes);
  const { u32, f64 } = slabs.memory;
  writeBlockHead(slabs.memory, block, GROUPS_MAGIC, origin, sequence, paneCount, bytes, 0, rowCount);
  let entry = block + BLOCK_HEAD_BYTES;
  let at = entry + paneCount * GROUP_ENTRY_BYTES;
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
    entry += GROUP_ENTRY_BYTES;
  }
  return block;
}

/**
 * Makes a copy of a block valid where it is.
 *
 * @param from the address that the block had
 * @returns false: it is no copy of such a block
 */
export function relocateGroupBlock(memory: SharedMemory, layout: SlotLayout, block: number, from: number): boolean {
  const { u32 } = memory;
  const { slotBytes, outside } = layout;
  const end = block + exchangeBlockBytes(memory, block);
  const shift = block - from;
  const paneCount = paneCountOf(memory, block);
  if (block + BLOCK_HEAD_BYTES + paneCount * GROUP_ENTRY_BYTES > end) return false;
  for (let i = 0, entry = block + BLOCK_HEAD_BYTES; i < paneCount; i++, entry += GROUP_ENTRY_BYTES) {
    const tableBlock = block + (u32[(entry + 8) >>> 2] as number);
    if (tableBlock + TABLE_HEAD_BYTES > end) return false;
    const { address, count } = blockSlots(memory, layout, tableBlock);
    const slotsEnd = address + count * slotBytes;
    if (slotsEnd > end) return false;
    for (let slot = address; slot < slotsEnd; slot += slotBytes) {
      for (const { offset, inlineBytes } of outside) {
        const at = (slot + offset) >>> 2;
        const bytes = u32[at] as number;
        if (bytes <= inlineBytes) continue;
        const moved = (u32[at + 1] as number) + shift;
        if (moved < slotsEnd || moved + bytes > end) return false;
        u32[at + 1] = moved;
      }
    }
  }
  return true;
}

/** Number of groups in a block, over all its panes. */
export function groupsIn(memory: SharedMemory, block: number): number {
  const paneCount = paneCountOf(memory, block);
  let groups = 0;
  for (let i = 0; i < paneCount; i++) groups += memory.u32[(block + BLOCK_HEAD_BYTES + i * GROUP_ENTRY_BYTES + 12) >>> 2] as number;
  return groups;
}

/** The latest pane that a block has groups for. */
export function lastPaneIn(memory: SharedMemory, block: number): number {
  const paneCount = paneCountOf(memory, block);
  let last = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < paneCount; i++) last = Math.max(last, memory.f64[(block + BLOCK_HEAD_BYTES + i * GROUP_ENTRY_BYTES) >>> 3] as number);
  return last;
}

/** Calls `visit` with each pane of a block, and the number of rows that went into it. */
export function eachPaneRows(memory: SharedMemory, block: number, visit: (pane: number, rows: number) => void): void {
  const paneCount = paneCountOf(memory, block);
  for (let i = 0, entry = block + BLOCK_HEAD_BYTES; i < paneCount; i++, entry += GROUP_ENTRY_BYTES) {
    visit(memory.f64[entry >>> 3] as number, memory.u32[(entry + 16) >>> 2] as number);
  }
}

/**
 * Calls `visit` with each pane of a block that has groups of `shard`: where their slots begin, and how many
 * there are.
 *
 * @returns how many there are in all panes
 */
export function eachPaneOf(
  memory: SharedMemory,
  layout: SlotLayout,
  block: number,
  shard: number,
  visit: (pane: number, slots: number, count: number) => void,
): number {
  const paneCount = paneCountOf(memory, block);
  let groups = 0;
  for (let i = 0, entry = block + BLOCK_HEAD_BYTES; i < paneCount; i++, entry += GROUP_ENTRY_BYTES) {
    const tableBlock = block + (memory.u32[(entry + 8) >>> 2] as number);
    const { address, count } = blockSlots(memory, layout, tableBlock, shard);
    if (count === 0) continue;
    visit(memory.f64[entry >>> 3] as number, address, count);
    groups += count;
  }
  return groups;
}

/** Puts a 1 into `found`, by shard, for each shard that a block has groups of. */
export function shardsWithGroups(memory: SharedMemory, layout: SlotLayout, block: number, found: Uint8Array): void {
  const paneCount = paneCountOf(memory, block);
  for (let i = 0, entry = block + BLOCK_HEAD_BYTES; i < paneCount; i++, entry += GROUP_ENTRY_BYTES) {
    const tableBlock = block + (memory.u32[(entry + 8) >>> 2] as number);
    for (let shard = 0; shard < SHARD_COUNT; shard++) if (blockSlots(memory, layout, tableBlock, shard).count > 0) found[shard] = 1;
  }
}

function paneCountOf(memory: SharedMemory, block: number): number {
  // Making the text of the message costs more than the check.
  if (memory.u32[block >>> 2] !== GROUPS_MAGIC) assert(false, `${block} is no block of groups`);
  return blockCount(memory, block);
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
