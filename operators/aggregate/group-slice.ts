/**
 * A part of a block of groups: what it has for some neighbouring shards, as a block of its own. Blocks are cut so
 * where their shards are those of other processes.
 */

import { BLOCK_SLOTS, copyBytes, SHARD_COUNT, type SharedMemory, type SlabAllocator, type SlotLayout } from '../../core/index.ts';
import { BLOCK_HEAD_BYTES, blockCount, exchangeBlockOrigin, GROUPS_MAGIC, writeBlockHead } from '../exchange/index.ts';
import { GROUP_ENTRY_BYTES } from './group-block.ts';

interface PanePart {
  /** Of the whole block: the pane's entry, and its table. */
  readonly entry: number;
  readonly table: number;
  readonly firstSlot: number;
  readonly count: number;
  readonly bytes: number;
}

/**
 * Copies the groups of shards `from` to `to` (exclusive). A pane's number of rows goes along with the first of its
 * groups: the parts of a block stand together for as many rows as the block.
 *
 * @returns address of a slab, which is the caller's; 0: there is none of these shards
 * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
 */
export function sliceGroupBlock(slabs: SlabAllocator, layout: SlotLayout, block: number, from: number, to: number): number {
  const { memory } = slabs;
  const { u32, f64 } = memory;
  const parts = panesOf(memory, layout, block, from, to);
  if (parts.length === 0) return 0;
  let bytes = BLOCK_HEAD_BYTES + parts.length * GROUP_ENTRY_BYTES;
  for (const part of parts) bytes += part.bytes;
  const slice = slabs.alloc(bytes);
  const { sequence, ...origin } = exchangeBlockOrigin(memory, block);
  let rows = 0;
  let entry = slice + BLOCK_HEAD_BYTES;
  let at = entry + parts.length * GROUP_ENTRY_BYTES;
  for (const part of parts) {
    const rowsOfPane = part.firstSlot === 0 ? (u32[(part.entry + 16) >>> 2] as number) : 0;
    rows += rowsOfPane;
    f64[entry >>> 3] = f64[part.entry >>> 3] as number;
    u32[(entry + 8) >>> 2] = at - slice;
    u32[(entry + 12) >>> 2] = part.count;
    u32[(entry + 16) >>> 2] = rowsOfPane;
    u32[(entry + 20) >>> 2] = 0;
    copyTable(memory, layout, part, from, to, at);
    at += part.bytes;
    entry += GROUP_ENTRY_BYTES;
  }
  writeBlockHead(memory, slice, GROUPS_MAGIC, origin, sequence, parts.length, bytes, 0, rows);
  return slice;
}

function panesOf(memory: SharedMemory, layout: SlotLayout, block: number, from: number, to: number): PanePart[] {
  const { u32 } = memory;
  const parts: PanePart[] = [];
  const paneCount = blockCount(memory, block);
  for (let i = 0, entry = block + BLOCK_HEAD_BYTES; i < paneCount; i++, entry += GROUP_ENTRY_BYTES) {
    const table = block + (u32[(entry + 8) >>> 2] as number);
    const firstSlot = u32[(table >>> 2) + from] as number;
    const count = (u32[(table >>> 2) + to] as number) - firstSlot;
    if (count === 0) continue;
    let bytes = BLOCK_SLOTS + count * layout.slotBytes;
    eachOutside(memory, layout, table + BLOCK_SLOTS + firstSlot * layout.slotBytes, count, (_, length) => {
      bytes += roundUp8(length);
    });
    parts.push({ entry, table, firstSlot, count, bytes: roundUp8(bytes) });
  }
  return parts;
}

/** Slots, and behind them what they have outside. */
function copyTable(memory: SharedMemory, layout: SlotLayout, { table, firstSlot, count }: PanePart, from: number, to: number, at: number): void {
  const { u32 } = memory;
  for (let shard = 0; shard <= SHARD_COUNT; shard++) {
    u32[(at >>> 2) + shard] = (u32[(table >>> 2) + Math.min(Math.max(shard, from), to)] as number) - firstSlot;
  }
  const slots = at + BLOCK_SLOTS;
  const bytes = count * layout.slotBytes;
  copyBytes(memory, slots, table + BLOCK_SLOTS + firstSlot * layout.slotBytes, bytes);
  let free = slots + bytes;
  eachOutside(memory, layout, slots, count, (field, length) => {
    copyBytes(memory, free, u32[(field >>> 2) + 1] as number, length);
    u32[(field >>> 2) + 1] = free;
    free += roundUp8(length);
  });
}

/** Calls `visit` with each field that points outside its slot, and how many bytes there are. */
function eachOutside(
  { u32 }: SharedMemory,
  { slotBytes, outside }: SlotLayout,
  slots: number,
  count: number,
  visit: (field: number, bytes: number) => void,
): void {
  if (outside.length === 0) return;
  for (let slot = slots, end = slots + count * slotBytes; slot < end; slot += slotBytes) {
    for (const { offset, inlineBytes } of outside) {
      const bytes = u32[(slot + offset) >>> 2] as number;
      if (bytes > inlineBytes) visit(slot + offset, bytes);
    }
  }
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
