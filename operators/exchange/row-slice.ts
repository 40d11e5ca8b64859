/**
 * A part of a block of rows: what it has for some neighbouring shards, as a block of its own. Blocks are cut so
 * where their shards are those of other processes.
 */

import { copyBytes, SHARD_COUNT, type SlabAllocator } from '../../core/index.ts';
import { blockInput, exchangeBlockOrigin, ROWS_MAGIC, writeBlockHead } from './exchange-block.ts';
import { type BlockColumns, COLUMN_BYTES, COLUMNS, MAX_TIME, OFFSETS, PLACES, rowBlockMaxTime, SHARDS } from './row-block.ts';

/**
 * Copies the rows of shards `from` to `to` (exclusive).
 *
 * @returns address of a slab, which is the caller's; 0: there is none of these shards
 * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
 */
export function sliceRowBlock(slabs: SlabAllocator, input: BlockColumns, block: number, from: number, to: number): number {
  const { memory } = slabs;
  const { u32, i32, f64 } = memory;
  const startOf = (shard: number): number => u32[(block + SHARDS + shard * 8) >>> 2] as number;
  const countOf = (shard: number): number => u32[(block + SHARDS + shard * 8 + 4) >>> 2] as number;
  let rows = 0;
  for (let shard = from; shard < to; shard++) rows += countOf(shard);
  if (rows === 0) return 0;
  // Starts are multiples of 8: bitmaps are cut between bytes.
  const first = startOf(from);
  const room = startOf(to - 1) + roundUp(countOf(to - 1), 8) - first;
  let bytes = roundUp(COLUMNS + input.columns.length * COLUMN_BYTES, 64);
  const copies: { readonly to: number; readonly from: number; readonly bytes: number }[] = [];
  const take = (address: number, size: number): number => {
    const at = bytes;
    copies.push({ to: at, from: address, bytes: size });
    bytes += roundUp(Math.max(size, 1), 64);
    return at;
  };
  const parts: number[] = [];
  const texts: { readonly offsets: number; readonly shift: number }[] = [];
  input.columns.forEach((column, i) => {
    const at = (block + COLUMNS + i * COLUMN_BYTES) >>> 2;
    const [data, offsets, validity] = [u32[at] as number, u32[at + 1] as number, u32[at + 2] as number];
    const { width, name } = input.schema.field(column).type;
    const valid = validity === 0 ? 0 : take(block + validity + first / 8, room / 8);
    if (offsets !== 0) {
      const ends = (block + offsets) >>> 2;
      const start = i32[ends + first] as number;
      const offsetsAt = take(block + offsets + first * 4, (room + 1) * 4);
      texts.push({ offsets: offsetsAt, shift: start });
      parts.push(take(block + data + start, (i32[ends + first + room] as number) - start), offsetsAt, valid);
    } else if (name === 'bool') parts.push(take(block + data + first / 8, room / 8), 0, valid);
    else parts.push(take(block + data + first * width, room * width), 0, valid);
  });
  const places = u32[(block + PLACES) >>> 2] as number;
  const offsets = u32[(block + OFFSETS) >>> 2] as number;
  const placesAt = places === 0 ? 0 : take(block + places + first * 8, room * 8);
  const offsetsAt = offsets === 0 ? 0 : take(block + offsets + first * 4, room * 4);
  const slice = slabs.alloc(bytes);
  const { sequence, ...origin } = exchangeBlockOrigin(memory, block);
  writeBlockHead(memory, slice, ROWS_MAGIC, origin, sequence, rows, bytes, blockInput(memory, block), rows);
  f64[(slice + MAX_TIME) >>> 3] = rowBlockMaxTime(memory, block);
  for (let shard = 0, at = (slice + SHARDS) >>> 2; shard < SHARD_COUNT; shard++, at += 2) {
    const isOurs = shard >= from && shard < to;
    u32[at] = isOurs ? startOf(shard) - first : 0;
    u32[at + 1] = isOurs ? countOf(shard) : 0;
  }
  u32[(slice + PLACES) >>> 2] = placesAt;
  u32[(slice + OFFSETS) >>> 2] = offsetsAt;
  u32.set(parts, (slice + COLUMNS) >>> 2);
  for (const copy of copies) copyBytes(memory, slice + copy.to, copy.from, copy.bytes);
  for (const text of texts) {
    const ends = (slice + text.offsets) >>> 2;
    for (let row = 0; row <= room; row++) i32[ends + row] = (i32[ends + row] as number) - text.shift;
  }
  return slice;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
