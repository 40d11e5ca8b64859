/** Kernels that write a column's values to the places that the rows have in a block (row-partition.ts). */

import type { Column, SharedMemory } from '../../core/index.ts';

/** The place of a row that does not travel. */
export const STAYS = 0xffff_ffff;
/** From this many bytes on, a copy in one call is faster than a loop. */
const LONG_COPY = 48;

/** Bytes of the texts that travel. */
export function textBytes({ i32 }: SharedMemory, column: Column, shards: Uint32Array, rowCount: number): number {
  const ends = column.offsets >>> 2;
  let bytes = 0;
  for (let row = 0; row < rowCount; row++) if (shards[row] !== STAYS) bytes += (i32[ends + row + 1] as number) - (i32[ends + row] as number);
  return Math.max(bytes, 1);
}

/** Writes the values of a column of any type but texts to their places, of which there are `room`. */
export function placeFixed(memory: SharedMemory, column: Column, to: number, places: Uint32Array, rowCount: number, room: number): void {
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

export function placeBits({ u8 }: SharedMemory, from: number, to: number, places: Uint32Array, rowCount: number, room: number): void {
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
export function placeTexts(
  { u8, i32 }: SharedMemory,
  column: Column,
  data: number,
  offsets: number,
  places: Uint32Array,
  rowCount: number,
  room: number,
): void {
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
