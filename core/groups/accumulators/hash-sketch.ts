/**
 * Sketches of distinct values that work on hashes: HyperLogLog and linear counting. Both begin sparse, as the
 * set of the 64-bit hashes themselves, which is exact except for collisions. They become dense when the set
 * would take about half of the dense form.
 *
 * Whether a sketch is dense, and what it holds, depends on the set of values alone, never on the order of
 * arrival or of merges. So does the estimate.
 *
 *   dense:  0 u32 (unused)   4 u32 (unused)   8 u32 (unused)   12 u32 kind = 1   16 bytes of the dense form
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { StateArena, StateBehaviour } from './accumulator.ts';
import { hash64Bytes, hash64Long, hashHigh, hashLow } from './hash64.ts';
import { addLong, eachLong, longCapacity, longCount } from './long-set.ts';
import { copyState, POINTED, setState } from './state.ts';

const KIND = 3;
const HEADER_BYTES = 16;
const SPARSE_CAPACITY_MIN = 4;

/** The dense form of a sketch: `bytes` of memory, all initially 0. */
export interface DenseSketch {
  /** A multiple of 8. */
  readonly bytes: number;
  /** Adds a hash to the dense form at `dense`. */
  add(memory: SharedMemory, dense: number, low: number, high: number): void;
  merge(memory: SharedMemory, dense: number, from: number): void;
  /** Approximate number of distinct hashes seen. */
  estimate(memory: SharedMemory, dense: number): number;
}

/**
 * Accumulator of a sketch of the distinct values of a column. `isBytes`: the lane holds addresses and lengths
 * of byte strings.
 */
export function hashSketch(sketch: DenseSketch, isBytes: boolean): StateBehaviour {
  // Dense beyond this many hashes: the greatest set that takes at most half of the dense form.
  let capacityMax = SPARSE_CAPACITY_MIN;
  while (capacityMax * 2 * 8 <= sketch.bytes / 2) capacityMax *= 2;

  function add(arena: StateArena, field: number, low: number, high: number): void {
    const { u32 } = arena.memory;
    const state = u32[(field >>> 2) + 1] as number;
    if (u32[field >>> 2] !== 0 && u32[(state >>> 2) + KIND] === 1) {
      sketch.add(arena.memory, state + HEADER_BYTES, low, high);
      return;
    }
    addLong(arena, field, low, high);
    if (longCapacity(arena.memory, field) > capacityMax) becomeDense(arena, field);
  }

  function becomeDense(arena: StateArena, field: number): void {
    const { memory } = arena;
    const bytes = HEADER_BYTES + sketch.bytes;
    const state = arena.alloc(bytes);
    memory.u8.fill(0, state, state + bytes);
    memory.u32[(state >>> 2) + KIND] = 1;
    eachLong(memory, field, (low, high) => sketch.add(memory, state + HEADER_BYTES, low, high));
    setState(arena, field, state, bytes);
  }

  function mergeOne(arena: StateArena, field: number, from: number): void {
    const { memory } = arena;
    const { u32 } = memory;
    if (u32[from >>> 2] === 0) return;
    if (u32[field >>> 2] === 0) {
      copyState(arena, field, from);
      return;
    }
    const source = u32[(from >>> 2) + 1] as number;
    if (u32[(source >>> 2) + KIND] === 0) {
      eachLong(memory, from, (low, high) => add(arena, field, low, high));
      return;
    }
    if (u32[((u32[(field >>> 2) + 1] as number) >>> 2) + KIND] === 0) becomeDense(arena, field);
    sketch.merge(memory, (u32[(field >>> 2) + 1] as number) + HEADER_BYTES, source + HEADER_BYTES);
  }

  return {
    ...POINTED,
    update(_kernels, slots, count, offset, values, { arena, nulls }) {
      const { u32, u8 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        const low = u32[(values >>> 2) + i * 2] as number;
        const high = u32[(values >>> 2) + i * 2 + 1] as number;
        if (isBytes) hash64Bytes(u8, low, high);
        else hash64Long(low, high);
        add(arena, (u32[(slots >>> 2) + i] as number) + offset, hashLow, hashHigh);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, arena) {
      for (let i = 0; i < count; i++) mergeOne(arena, (arena.memory.u32[(slots >>> 2) + i] as number) + offset, fields + i * stride);
    },
    finish(_kernels, slots, count, offset, to, _asI64, memory) {
      const { u32, f64 } = memory;
      for (let i = 0; i < count; i++) {
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const state = u32[(field >>> 2) + 1] as number;
        const isDense = u32[field >>> 2] !== 0 && u32[(state >>> 2) + KIND] === 1;
        f64[(to >>> 3) + i] = isDense ? Math.round(sketch.estimate(memory, state + HEADER_BYTES)) : longCount(memory, field);
      }
      return 0;
    },
  };
}
