/**
 * The inputs of an accumulator that works row by row: values brought to one lane (f64, i64, or address and
 * length of byte strings), which of them are null, and what orders them. Floats have one NaN and no -0, as in
 * keys.
 */

import type { Column } from '../batch/index.ts';
import type { SharedMemory } from '../memory/index.ts';
import type { StateArena } from './accumulators/accumulator.ts';
import type { Lane } from './accumulators.ts';
import { type GroupKernels, typeCode } from './kernel-signatures.ts';
import type { TileScratch } from './scratch.ts';

export interface Tile {
  arena: StateArena;
  nulls: number;
  orders: number;
}

export function fillTile(
  kernels: GroupKernels,
  memory: SharedMemory,
  tile: Tile,
  lane: Lane,
  column: Column,
  order: Column | undefined,
  scratch: TileScratch,
  from: number,
  count: number,
  selection: number,
): void {
  tile.nulls = 0;
  if (column.validity !== 0) {
    kernels.groupLaneNulls(column.validity, selection, from, count, scratch.nulls);
    tile.nulls = scratch.nulls;
  }
  if (lane === 'bytes') byteStrings(memory, column, selection, from, count, scratch.lane);
  else if (lane === 'i64') kernels.groupLaneI64(column.data, 0, selection, from, count, 0, scratch.lane);
  else {
    numbers(kernels, memory, column, selection, from, count, scratch.lane);
    // Adding 0 turns -0 into 0. Storing NaN stores the engine's own NaN.
    const { f64 } = memory;
    for (let i = scratch.lane >>> 3, end = i + count; i < end; i++) f64[i] = oneNaN((f64[i] as number) + 0);
  }
  tile.orders = 0;
  if (order === undefined) return;
  numbers(kernels, memory, order, selection, from, count, scratch.orders);
  tile.orders = scratch.orders;
  if (order.validity === 0) return;
  const { u8, u32, f64 } = memory;
  for (let i = 0; i < count; i++) {
    const row = selection === 0 ? from + i : (u32[(selection >>> 2) + from + i] as number);
    if ((((u8[order.validity + (row >>> 3)] as number) >>> (row & 7)) & 1) === 0) f64[(scratch.orders >>> 3) + i] = Number.NaN;
  }
}

/** Numbers of any type to f64. */
function numbers(kernels: GroupKernels, memory: SharedMemory, { type, data }: Column, selection: number, from: number, count: number, to: number): void {
  if (type.name !== 'i64' && type.name !== 'timestamp') {
    kernels.groupLaneF64(typeCode(type), data, 0, selection, from, count, to, to);
    return;
  }
  kernels.groupLaneI64(data, 0, selection, from, count, 0, to);
  const { i32, u32, f64 } = memory;
  for (let i = 0; i < count; i++) f64[(to >>> 3) + i] = (i32[(to >>> 2) + i * 2 + 1] as number) * 4_294_967_296 + (u32[(to >>> 2) + i * 2] as number);
}

function byteStrings({ u32, i32 }: SharedMemory, { data, offsets }: Column, selection: number, from: number, count: number, to: number): void {
  for (let i = 0; i < count; i++) {
    const row = selection === 0 ? from + i : (u32[(selection >>> 2) + from + i] as number);
    const start = i32[(offsets >>> 2) + row] as number;
    u32[(to >>> 2) + i * 2] = data + start;
    u32[(to >>> 2) + i * 2 + 1] = (i32[(offsets >>> 2) + row + 1] as number) - start;
  }
}

function oneNaN(value: number): number {
  return value === value ? value : Number.NaN;
}
