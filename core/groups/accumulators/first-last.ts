/**
 * The first or the last value of a column by an order (event time, or another column). Of equal event times
 * it is the one that arrived first, or last: by partition and offset within an epoch. That is an order only
 * where equals lie in one pane, as those of one event time do. Of equal values of another column it is the
 * least of the values, or the greatest. A value without an order (null, NaN) is taken only where there is no
 * other.
 *
 *   0  i64 values seen    8  f64 order    16  the value: f64, i64, or the pointer to its bytes
 */

import type { Lane, StateArena, StateBehaviour } from './accumulator.ts';
import { compareValues, copyValue, setState } from './state.ts';

export const COUNT_BYTES = 8;
const ORDER = 8;
const VALUE = 16;

export function firstLast(isFirst: boolean, lane: Lane, tiesByValue: boolean): StateBehaviour {
  const isBytes = lane === 'bytes';
  const none = isFirst ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;

  function offer(arena: StateArena, field: number, order: number, start: number, length: number): void {
    const { memory } = arena;
    const { f64, u32 } = memory;
    const isNew = u32[field >>> 2] === 0 && u32[(field >>> 2) + 1] === 0;
    const present = f64[(field + ORDER) >>> 3] as number;
    if (!isNew && (isFirst ? order > present : order < present)) return;
    if (!isNew && order === present) {
      if (!tiesByValue) {
        if (isFirst) return;
      } else {
        const value = field + VALUE;
        const difference = isBytes
          ? compareValues(memory, lane, start, length, u32[(value + 4) >>> 2] as number, u32[value >>> 2] as number)
          : compareValues(memory, lane, start, 8, value, 8);
        if (isFirst ? difference >= 0 : difference <= 0) return;
      }
    }
    f64[(field + ORDER) >>> 3] = order;
    if (isBytes) setBytes(arena, field + VALUE, start, length);
    else copyValue(memory, field + VALUE, start, 8);
  }

  return {
    slotBytes: VALUE + 8,
    pointers: isBytes ? [VALUE] : [],
    isRowWise: true,
    canSubtract: false,
    fuses: undefined,
    identity: (memory, field) => memory.u32.fill(0, field >>> 2, (field + VALUE + 8) >>> 2),
    update(_kernels, slots, count, offset, values, { arena, nulls, orders }) {
      const { u32, u8, f64 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const given = orders === 0 ? 0 : (f64[(orders >>> 3) + i] as number);
        const order = given === given ? given : none;
        if (isBytes) offer(arena, field, order, u32[(values >>> 2) + i * 2] as number, u32[(values >>> 2) + i * 2 + 1] as number);
        else offer(arena, field, order, values + i * 8, 8);
        addCount(u32, field, 1, 0);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, arena) {
      const { u32, f64 } = arena.memory;
      for (let i = 0; i < count; i++) {
        const from = fields + i * stride;
        if (u32[from >>> 2] === 0 && u32[(from >>> 2) + 1] === 0) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const order = f64[(from + ORDER) >>> 3] as number;
        if (isBytes) offer(arena, field, order, u32[(from + VALUE + 4) >>> 2] as number, u32[(from + VALUE) >>> 2] as number);
        else offer(arena, field, order, from + VALUE, 8);
        addCount(u32, field, u32[from >>> 2] as number, u32[(from >>> 2) + 1] as number);
      }
    },
    finish(kernels, slots, count, offset, to) {
      kernels.groupGatherLongs(slots, count, offset + VALUE, to);
      return 0;
    },
    textOffset: VALUE,
  };
}

/**
 * The least or the greatest byte string, byte by byte: for UTF-8 the order of code points, as in DuckDB.
 *
 *   0  i64 values seen    8  pointer
 */
export function extremeBytes(isMin: boolean): StateBehaviour {
  function offer(arena: StateArena, field: number, start: number, length: number): void {
    const { u32 } = arena.memory;
    const isNew = u32[field >>> 2] === 0 && u32[(field >>> 2) + 1] === 0;
    const at = (field + COUNT_BYTES) >>> 2;
    const order = isNew ? 0 : compareValues(arena.memory, 'bytes', start, length, u32[at + 1] as number, u32[at] as number);
    if (isNew || (isMin ? order < 0 : order > 0)) setBytes(arena, field + COUNT_BYTES, start, length);
  }

  return {
    slotBytes: COUNT_BYTES + 8,
    pointers: [COUNT_BYTES],
    isRowWise: true,
    canSubtract: false,
    fuses: undefined,
    identity: (memory, field) => memory.u32.fill(0, field >>> 2, (field >>> 2) + 4),
    update(_kernels, slots, count, offset, values, { arena, nulls }) {
      const { u32, u8 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        offer(arena, field, u32[(values >>> 2) + i * 2] as number, u32[(values >>> 2) + i * 2 + 1] as number);
        addCount(u32, field, 1, 0);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, arena) {
      const { u32 } = arena.memory;
      for (let i = 0; i < count; i++) {
        const from = fields + i * stride;
        if (u32[from >>> 2] === 0 && u32[(from >>> 2) + 1] === 0) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        offer(arena, field, u32[(from + COUNT_BYTES + 4) >>> 2] as number, u32[(from + COUNT_BYTES) >>> 2] as number);
        addCount(u32, field, u32[from >>> 2] as number, u32[(from >>> 2) + 1] as number);
      }
    },
    finish(kernels, slots, count, offset, to) {
      kernels.groupGatherLongs(slots, count, offset, to);
      return 0;
    },
    textOffset: COUNT_BYTES,
  };
}

/** Makes the pointer at `field` point to these bytes; in place where they fit. */
function setBytes(arena: StateArena, field: number, start: number, length: number): void {
  const { u32 } = arena.memory;
  const former = u32[field >>> 2] as number;
  if (former >= length) {
    copyValue(arena.memory, u32[(field >>> 2) + 1] as number, start, length);
    arena.discard(roundUp8(former) - roundUp8(length));
    u32[field >>> 2] = length;
    return;
  }
  const address = arena.alloc(length);
  copyValue(arena.memory, address, start, length);
  setState(arena, field, address, length);
}

function addCount(u32: Uint32Array, field: number, low: number, high: number): void {
  const sum = (u32[field >>> 2] as number) + low;
  u32[field >>> 2] = sum;
  u32[(field >>> 2) + 1] = (u32[(field >>> 2) + 1] as number) + high + (sum > 0xffff_ffff ? 1 : 0);
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
