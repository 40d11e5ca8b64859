/**
 * The most frequent values of a column: a Misra-Gries summary ("Finding repeated elements", 1982). It is
 * equivalent to Space-Saving but merges by adding (Agarwal et al., "Mergeable summaries", PODS 2012).
 *
 * It counts up to 2c different values exactly. When there are more, the count of rank c + 1 is subtracted
 * from all, and at most c stay. Each such step subtracts it from c + 1 values at least. So all steps together
 * have subtracted at most n / (c + 1) from any value, for n rows, in any order of rows and merges. A count is
 * too small by at most what was subtracted (which is known), and never too large. Every value with more than
 * n / (c + 1) rows is present.
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { StateArena, StateBehaviour } from './accumulator.ts';
import { copyState, POINTED } from './state.ts';
import { addValue, eachValue, noteTakenOff, takenOff, takeOff, valueCount } from './value-table.ts';

/** @param counters c, above */
export function heavyHitters(counters: number, isBytes: boolean): StateBehaviour {
  let sortable = new Float64Array(0);

  function prune(arena: StateArena, field: number): void {
    const used = valueCount(arena.memory, field);
    if (used <= 2 * counters) return;
    if (used > sortable.length) sortable = new Float64Array(used);
    let i = 0;
    eachValue(arena.memory, field, (_start, _length, count) => {
      sortable[i++] = count;
    });
    sortable.subarray(0, used).sort();
    takeOff(arena, field, sortable[used - counters - 1] as number);
  }

  return {
    ...POINTED,
    update(_kernels, slots, count, offset, values, { arena, nulls }) {
      const { u32, u8 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        if (isBytes) addValue(arena, field, u32[(values >>> 2) + i * 2] as number, u32[(values >>> 2) + i * 2 + 1] as number, 1);
        else addValue(arena, field, values + i * 8, 8, 1);
        prune(arena, field);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, arena) {
      const { memory } = arena;
      for (let i = 0; i < count; i++) {
        const field = (memory.u32[(slots >>> 2) + i] as number) + offset;
        const from = fields + i * stride;
        if (memory.u32[from >>> 2] === 0) continue;
        if (memory.u32[field >>> 2] === 0) {
          copyState(arena, field, from);
          continue;
        }
        eachValue(memory, from, (start, length, n) => addValue(arena, field, start, length, n));
        noteTakenOff(memory, field, takenOff(memory, from));
        prune(arena, field);
      }
    },
    /** Number of values that are counted. */
    finish(_kernels, slots, count, offset, to, _asI64, memory: SharedMemory) {
      for (let i = 0; i < count; i++) memory.f64[(to >>> 3) + i] = valueCount(memory, (memory.u32[(slots >>> 2) + i] as number) + offset);
      return 0;
    },
  };
}
