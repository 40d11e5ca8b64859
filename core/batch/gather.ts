/**
 * Copies chosen rows of a column to a column of a builder: the part of a filter that is the same for every
 * pipeline, and of sinks that part rows. The kernels work on shared views and addresses. They allocate nothing except the room for bytes.
 */

import type { SharedMemory } from '../memory/index.ts';
import type { Column } from './batch.ts';
import type { BatchBuilder, ColumnSpace } from './batch-builder.ts';

const LONG_COPY = 48;

/** Writes row j of `to` from row rows[j] of `from`, for j below `count`. `rows` ascends. */
export function gather(builder: BatchBuilder, from: Column, to: ColumnSpace, rows: Int32Array, count: number): void {
  const { memory } = builder;
  switch (from.type.name) {
    case 'bool':
      gatherBits(memory.u8, from.data, to.data, rows, count);
      break;
    case 'i8':
      gather8(memory.u8, from.data, to.data, rows, count);
      break;
    case 'i16':
      gather16(memory.u16, from.data >>> 1, to.data >>> 1, rows, count);
      break;
    case 'i32':
    case 'u32':
    case 'f32':
      gather32(memory.i32, from.data >>> 2, to.data >>> 2, rows, count);
      break;
    case 'f64':
      gather64(memory.f64, from.data >>> 3, to.data >>> 3, rows, count);
      break;
    case 'i64':
    case 'timestamp':
      gatherPairs(memory.i32, from.data >>> 2, to.data >>> 2, rows, count);
      break;
    case 'utf8':
    case 'binary':
      gatherBytes(builder, from, to, rows, count);
  }
  if (to.validity !== 0 && from.validity !== 0) gatherBits(memory.u8, from.validity, to.validity, rows, count);
}

function gather8(u8: SharedMemory['u8'], from: number, to: number, rows: Int32Array, count: number): void {
  for (let j = 0; j < count; j++) u8[to + j] = u8[from + (rows[j] as number)] as number;
}

function gather16(u16: SharedMemory['u16'], from: number, to: number, rows: Int32Array, count: number): void {
  for (let j = 0; j < count; j++) u16[to + j] = u16[from + (rows[j] as number)] as number;
}

function gather32(i32: SharedMemory['i32'], from: number, to: number, rows: Int32Array, count: number): void {
  for (let j = 0; j < count; j++) i32[to + j] = i32[from + (rows[j] as number)] as number;
}

function gather64(f64: SharedMemory['f64'], from: number, to: number, rows: Int32Array, count: number): void {
  for (let j = 0; j < count; j++) f64[to + j] = f64[from + (rows[j] as number)] as number;
}

function gatherPairs(i32: SharedMemory['i32'], from: number, to: number, rows: Int32Array, count: number): void {
  for (let j = 0; j < count; j++) {
    const at = from + (rows[j] as number) * 2;
    i32[to + j * 2] = i32[at] as number;
    i32[to + j * 2 + 1] = i32[at + 1] as number;
  }
}

function gatherBits(u8: SharedMemory['u8'], from: number, to: number, rows: Int32Array, count: number): void {
  let bits = 0;
  for (let j = 0; j < count; j++) {
    const row = rows[j] as number;
    bits |= (((u8[from + (row >>> 3)] as number) >>> (row & 7)) & 1) << (j & 7);
    if ((j & 7) === 7) {
      u8[to + (j >>> 3)] = bits;
      bits = 0;
    }
  }
  if ((count & 7) !== 0) u8[to + (count >>> 3)] = bits;
}

/** Neighbouring rows are copied in one call. */
function gatherBytes(builder: BatchBuilder, from: Column, to: ColumnSpace, rows: Int32Array, count: number): void {
  const { u8, i32 } = builder.memory;
  const fromEnds = from.offsets >>> 2;
  const toEnds = to.offsets >>> 2;
  let total = 0;
  i32[toEnds] = 0;
  for (let j = 0; j < count; j++) {
    const at = fromEnds + (rows[j] as number);
    total += (i32[at + 1] as number) - (i32[at] as number);
    i32[toEnds + j + 1] = total;
  }
  to.byteLength = 0;
  builder.reserve(to, total);
  to.byteLength = total;
  let target = to.data;
  for (let j = 0; j < count; ) {
    const first = rows[j] as number;
    let last = first;
    for (j++; j < count && rows[j] === last + 1; j++) last++;
    const start = from.data + (i32[fromEnds + first] as number);
    const end = from.data + (i32[fromEnds + last + 1] as number);
    if (end - start > LONG_COPY) u8.copyWithin(target, start, end);
    else for (let at = 0; at < end - start; at++) u8[target + at] = u8[start + at] as number;
    target += end - start;
  }
}
