/**
 * Exact distinct counts: a set of 64-bit values (numbers by their bits, with one NaN and one 0), or of byte
 * strings. Memory grows with the number of values.
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { StateArena, StateBehaviour } from './accumulator.ts';
import { addLong, eachLong, longCount } from './long-set.ts';
import { copyState, POINTED } from './state.ts';
import { addValue, eachValue, valueCount } from './value-table.ts';

export function distinct(isBytes: boolean): StateBehaviour {
  const add = isBytes
    ? (arena: StateArena, field: number, start: number, length: number) => addValue(arena, field, start, length, 1)
    : (arena: StateArena, field: number, low: number, high: number) => addLong(arena, field, low, high);
  const each: (memory: SharedMemory, field: number, visit: (a: number, b: number) => void) => void = isBytes ? eachValue : eachLong;
  const countOf = isBytes ? valueCount : longCount;
  return {
    ...POINTED,
    update(_kernels, slots, count, offset, values, { arena, nulls }) {
      const { u32, u8 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        add(arena, (u32[(slots >>> 2) + i] as number) + offset, u32[(values >>> 2) + i * 2] as number, u32[(values >>> 2) + i * 2 + 1] as number);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, arena) {
      const { u32 } = arena.memory;
      for (let i = 0; i < count; i++) {
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        if (u32[field >>> 2] === 0) copyState(arena, field, fields + i * stride);
        else each(arena.memory, fields + i * stride, (a, b) => add(arena, field, a, b));
      }
    },
    finish(_kernels, slots, count, offset, to, _asI64, memory) {
      for (let i = 0; i < count; i++) memory.f64[(to >>> 3) + i] = countOf(memory, (memory.u32[(slots >>> 2) + i] as number) + offset);
      return 0;
    },
  };
}
