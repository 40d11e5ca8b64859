/**
 * State of variable size beside a slot: a sketch, a set or a text of an accumulator.
 *
 * The slot holds a pointer, two words: u32 bytes of the state, u32 its address; 0, 0 where there is none yet.
 * The state itself lies in the arena of the table that owns the slot, as its long key strings do, and
 * contains no address. So a table may copy it as it is (into an exchange block, into a compacted arena), and
 * frees it with all others when it is cleared or released.
 *
 * To grow a state is to allocate new memory, move the content, and give up the old memory. The table compacts
 * its arena when most of it is given up, but never while an accumulator works.
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { Lane, StateArena } from './accumulator.ts';

export const POINTER_BYTES = 8;

/** Common to accumulators whose field is a pointer to a state and nothing else, and which cannot subtract. */
export const POINTED = {
  slotBytes: POINTER_BYTES,
  pointers: [0],
  isRowWise: true,
  canSubtract: false,
  fuses: undefined,
  identity(memory: SharedMemory, field: number): void {
    memory.u32.fill(0, field >>> 2, (field >>> 2) + 2);
  },
} as const;

const SHORT_BYTES = 48;

/** Copies a value. Short ones byte by byte: a call of copyWithin costs more than they do. */
export function copyValue({ u8, u32 }: SharedMemory, to: number, from: number, length: number): void {
  if (length === 8 && (to & 3) === 0 && (from & 3) === 0) {
    u32[to >>> 2] = u32[from >>> 2] as number;
    u32[(to >>> 2) + 1] = u32[(from >>> 2) + 1] as number;
  } else if (length <= SHORT_BYTES) for (let i = 0; i < length; i++) u8[to + i] = u8[from + i] as number;
  else u8.copyWithin(to, from, from + length);
}

/**
 * Compares two values as accumulators keep them: byte strings byte by byte, numbers with NaN the greatest.
 * Negative: a is less.
 */
export function compareValues(memory: SharedMemory, lane: Lane, a: number, aLength: number, b: number, bLength: number): number {
  if (lane === 'bytes') {
    const { u8 } = memory;
    const length = Math.min(aLength, bLength);
    for (let i = 0; i < length; i++) {
      const difference = (u8[a + i] as number) - (u8[b + i] as number);
      if (difference !== 0) return difference;
    }
    return aLength - bLength;
  }
  if (lane === 'i64') {
    const { i32, u32 } = memory;
    return (i32[(a >>> 2) + 1] as number) - (i32[(b >>> 2) + 1] as number) || (u32[a >>> 2] as number) - (u32[b >>> 2] as number);
  }
  const x = memory.f64[a >>> 3] as number;
  const y = memory.f64[b >>> 3] as number;
  return x < y ? -1 : x > y ? 1 : Number(x !== x) - Number(y !== y);
}

/** Makes `bytes` at `address` the state of the pointer at `field`. The previous state is given up. */
export function setState(arena: StateArena, field: number, address: number, bytes: number): void {
  const { u32 } = arena.memory;
  const former = u32[field >>> 2] as number;
  if (former > 0) arena.discard(former);
  u32[field >>> 2] = bytes;
  u32[(field >>> 2) + 1] = address;
}

/** Gives the pointer at `field`, which has no state, a copy of the state of another pointer. */
export function copyState(arena: StateArena, field: number, from: number): void {
  const { u32, u8 } = arena.memory;
  const bytes = u32[from >>> 2] as number;
  if (bytes === 0) return;
  const address = arena.alloc(bytes);
  const source = u32[(from >>> 2) + 1] as number;
  u8.copyWithin(address, source, source + bytes);
  setState(arena, field, address, bytes);
}
