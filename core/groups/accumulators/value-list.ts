/**
 * A list of at most `max` values: the first ones by their order (event time). Equal times are ordered by
 * arrival, equal values of another order column by value. The selection does not depend on how rows were cut
 * into chunks or windows into panes.
 *
 *   0  u32 count    4  u32 bytes used
 *   8  records: f64 order, u32 length, u32 (unused), the bytes, padded to 8
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { Accumulator, Lane, StateArena, StateBehaviour } from './accumulator.ts';
import { compareValues, copyState, copyValue, POINTER_BYTES, setState } from './state.ts';

const HEADER_BYTES = 8;
const RECORD_BYTES = 16;
const BYTES_FIRST = 64;

export function valueList(max: number, lane: Lane, tiesByValue: boolean): StateBehaviour {
  const isBytes = lane === 'bytes';
  function add(arena: StateArena, field: number, order: number, start: number, length: number): void {
    const { u32, f64, u8 } = arena.memory;
    const bytes = recordBytes(length);
    let list = u32[(field >>> 2) + 1] as number;
    const used = u32[field >>> 2] === 0 ? HEADER_BYTES : (u32[(list >>> 2) + 1] as number);
    if (used + bytes > (u32[field >>> 2] as number)) list = grow(arena, field, used + bytes);
    const record = list + used;
    f64[record >>> 3] = order;
    u32[(record + 8) >>> 2] = length;
    u32[(record + 12) >>> 2] = 0;
    copyValue(arena.memory, record + RECORD_BYTES, start, length);
    for (let at = record + RECORD_BYTES + length; at < record + bytes; at++) u8[at] = 0;
    u32[list >>> 2] = (u32[list >>> 2] as number) + 1;
    u32[(list >>> 2) + 1] = used + bytes;
    if ((u32[list >>> 2] as number) >= 2 * max) keepFirst(arena, field);
  }

  /** Keeps the first `max` values, in order. */
  function keepFirst(arena: StateArena, field: number): void {
    const { u32, u8 } = arena.memory;
    const records = orderedRecords(arena.memory, field, max, lane, tiesByValue);
    const bytes = u32[field >>> 2] as number;
    const list = arena.alloc(bytes);
    let used = HEADER_BYTES;
    for (const record of records) {
      const size = recordBytes(u32[(record + 8) >>> 2] as number);
      u8.copyWithin(list + used, record, record + size);
      used += size;
    }
    u32[list >>> 2] = records.length;
    u32[(list >>> 2) + 1] = used;
    setState(arena, field, list, bytes);
  }

  return {
    slotBytes: POINTER_BYTES,
    pointers: [0],
    isRowWise: true,
    canSubtract: false,
    fuses: undefined,
    identity: (memory, field) => memory.u32.fill(0, field >>> 2, (field >>> 2) + 2),
    update(_kernels, slots, count, offset, values, { arena, nulls, orders }) {
      const { u32, u8, f64 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const order = orders === 0 ? 0 : (f64[(orders >>> 3) + i] as number);
        // Values without an order (null, NaN) come last.
        const place = order === order ? order : Number.POSITIVE_INFINITY;
        if (isBytes) add(arena, field, place, u32[(values >>> 2) + i * 2] as number, u32[(values >>> 2) + i * 2 + 1] as number);
        else add(arena, field, place, values + i * 8, 8);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, arena) {
      const { u32, f64 } = arena.memory;
      for (let i = 0; i < count; i++) {
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const from = fields + i * stride;
        if (u32[from >>> 2] === 0) continue;
        if (u32[field >>> 2] === 0) {
          copyState(arena, field, from);
          continue;
        }
        const list = u32[(from >>> 2) + 1] as number;
        const end = list + (u32[(list >>> 2) + 1] as number);
        for (let record = list + HEADER_BYTES; record < end; ) {
          const length = u32[(record + 8) >>> 2] as number;
          add(arena, field, f64[record >>> 3] as number, record + RECORD_BYTES, length);
          record += recordBytes(length);
        }
      }
    },
    /** The number of values, of which at most `max` count. */
    finish(_kernels, slots, count, offset, to, _asI64, memory) {
      for (let i = 0; i < count; i++) {
        const field = (memory.u32[(slots >>> 2) + i] as number) + offset;
        const n = memory.u32[field >>> 2] === 0 ? 0 : (memory.u32[(memory.u32[(field >>> 2) + 1] as number) >>> 2] as number);
        memory.f64[(to >>> 3) + i] = Math.min(n, max);
      }
      return 0;
    },
  };
}

/**
 * Calls `visit` with the address and the length of each of the first `max` values of a list (accumulator
 * `of`), in order.
 */
export function eachListed(memory: SharedMemory, of: Accumulator, field: number, max: number, visit: (start: number, length: number) => void): void {
  if (memory.u32[field >>> 2] === 0) return;
  for (const record of orderedRecords(memory, field, max, of.lane, of.ties === 'value')) visit(record + RECORD_BYTES, memory.u32[(record + 8) >>> 2] as number);
}

/** The same of all values of a list, in no particular order. */
export function eachUnordered({ u32 }: SharedMemory, field: number, visit: (start: number, length: number) => void): void {
  if (u32[field >>> 2] === 0) return;
  const list = u32[(field >>> 2) + 1] as number;
  const end = list + (u32[(list >>> 2) + 1] as number);
  for (let record = list + HEADER_BYTES; record < end; ) {
    const length = u32[(record + 8) >>> 2] as number;
    visit(record + RECORD_BYTES, length);
    record += recordBytes(length);
  }
}

function orderedRecords(memory: SharedMemory, field: number, max: number, lane: Lane, tiesByValue: boolean): number[] {
  const { u32, f64 } = memory;
  const list = u32[(field >>> 2) + 1] as number;
  const end = list + (u32[(list >>> 2) + 1] as number);
  const records: number[] = [];
  for (let record = list + HEADER_BYTES; record < end; record += recordBytes(u32[(record + 8) >>> 2] as number)) records.push(record);
  const values = (a: number, b: number) =>
    compareValues(memory, lane, a + RECORD_BYTES, u32[(a + 8) >>> 2] as number, b + RECORD_BYTES, u32[(b + 8) >>> 2] as number);
  // Two infinite orders differ by NaN. The sort is stable: equals stay in order of arrival.
  records.sort((a, b) => (f64[a >>> 3] as number) - (f64[b >>> 3] as number) || (tiesByValue ? values(a, b) : 0));
  if (records.length > max) records.length = max;
  return records;
}

function recordBytes(length: number): number {
  return RECORD_BYTES + ((length + 7) & ~7);
}

function grow(arena: StateArena, field: number, bytesMin: number): number {
  const { u32, u8 } = arena.memory;
  const formerBytes = u32[field >>> 2] as number;
  const former = u32[(field >>> 2) + 1] as number;
  let bytes = Math.max(BYTES_FIRST, formerBytes);
  while (bytes < bytesMin) bytes *= 2;
  const list = arena.alloc(bytes);
  if (formerBytes === 0) {
    u32[list >>> 2] = 0;
    u32[(list >>> 2) + 1] = HEADER_BYTES;
  } else u8.copyWithin(list, former, former + (u32[(former >>> 2) + 1] as number));
  setState(arena, field, list, bytes);
  return list;
}
