/**
 * A set of 64-bit values in one piece of state: open addressing, linear probing, at most three quarters full.
 * Used for exact distinct counts of numbers, and for sketches while they are small.
 *
 *   0  u32 used    4  u32 capacity, a power of two
 *   8  u32 bit 0: the value 0 is in it; the others: a secret, or 0
 *   12 u32 kind (0; sketches: 1 = dense)
 *   16 u64 values[capacity], 0 = empty
 *
 * Values that were chosen to collide are placed by a secret hash (core/secret-hash.ts) once a search has
 * passed many slots.
 */

import { mix32 } from '../../hash.ts';
import type { SharedMemory } from '../../memory/index.ts';
import { newSecret, secretHashLong } from '../../secret-hash.ts';
import type { StateArena } from './accumulator.ts';
import { setState } from './state.ts';

const CAPACITY_FIRST = 4;
const HEADER_BYTES = 16;
/** Words of the header. */
const USED = 0;
const CAPACITY = 1;
const FLAGS = 2;
/** Bit of FLAGS; the bits above it are the secret. */
const HAS_ZERO = 1;
/**
 * The set takes a secret once a search passes this many slots. In the fullest sets one in 10,000 searches
 * does so by chance, which does no harm.
 */
const STEPS_MAX = 256;

/** Adds a value given as two words to the set at pointer `field`. Creates the set where there is none. */
export function addLong(arena: StateArena, field: number, low: number, high: number): void {
  const { u32 } = arena.memory;
  if (u32[field >>> 2] === 0) make(arena, field, CAPACITY_FIRST);
  const set = (u32[(field >>> 2) + 1] as number) >>> 2;
  if (low === 0 && high === 0) {
    u32[set + FLAGS] = (u32[set + FLAGS] as number) | HAS_ZERO;
    return;
  }
  const steps = insert(u32, set, low, high);
  if (steps < 0) return;
  const used = (u32[set + USED] as number) + 1;
  u32[set + USED] = used;
  if (steps >= STEPS_MAX && (u32[set + FLAGS] as number) <= HAS_ZERO) {
    u32[set + FLAGS] = ((newSecret() & ~HAS_ZERO) | (u32[set + FLAGS] as number)) >>> 0;
    rebuild(arena, field, set, u32[set + CAPACITY] as number);
    return;
  }
  if (used * 4 > (u32[set + CAPACITY] as number) * 3) rebuild(arena, field, set, (u32[set + CAPACITY] as number) * 2);
}

/** Values in the set; 0 where there is none. */
export function longCount(memory: SharedMemory, field: number): number {
  if (memory.u32[field >>> 2] === 0) return 0;
  const set = (memory.u32[(field >>> 2) + 1] as number) >>> 2;
  return (memory.u32[set + USED] as number) + ((memory.u32[set + FLAGS] as number) & HAS_ZERO);
}

/** Slots of the set that exists at `field`. */
export function longCapacity(memory: SharedMemory, field: number): number {
  return memory.u32[((memory.u32[(field >>> 2) + 1] as number) >>> 2) + CAPACITY] as number;
}

/** Calls `visit` with each value of the set at `field`, in no particular order. */
export function eachLong(memory: SharedMemory, field: number, visit: (low: number, high: number) => void): void {
  const { u32 } = memory;
  if (u32[field >>> 2] === 0) return;
  const set = (u32[(field >>> 2) + 1] as number) >>> 2;
  if (((u32[set + FLAGS] as number) & HAS_ZERO) !== 0) visit(0, 0);
  const end = set + HEADER_BYTES / 4 + (u32[set + CAPACITY] as number) * 2;
  for (let at = set + HEADER_BYTES / 4; at < end; at += 2) {
    const low = u32[at] as number;
    const high = u32[at + 1] as number;
    if (low !== 0 || high !== 0) visit(low, high);
  }
}

/**
 * How many slots the search passed; -1: the value was there already. The low bits of the hash choose the
 * slot, so a merge, which comes in slot order, spreads.
 */
function insert(u32: Uint32Array, set: number, low: number, high: number): number {
  const mask = (u32[set + CAPACITY] as number) - 1;
  const slots = set + HEADER_BYTES / 4;
  const secret = (u32[set + FLAGS] as number) & ~HAS_ZERO;
  const home = secret === 0 ? mix32(low ^ mix32(high ^ 0x5b_d1_e9_95)) : secretHashLong(low, high, secret);
  for (let steps = 0, slot = home & mask; ; slot = (slot + 1) & mask, steps++) {
    const at = slots + slot * 2;
    const thereLow = u32[at] as number;
    const thereHigh = u32[at + 1] as number;
    if (thereLow === low && thereHigh === high) return -1;
    if (thereLow === 0 && thereHigh === 0) {
      u32[at] = low;
      u32[at + 1] = high;
      return steps;
    }
  }
}

function make(arena: StateArena, field: number, capacity: number): void {
  const { u32 } = arena.memory;
  const bytes = HEADER_BYTES + capacity * 8;
  const address = arena.alloc(bytes);
  u32.fill(0, address >>> 2, (address + bytes) >>> 2);
  u32[(address >>> 2) + CAPACITY] = capacity;
  setState(arena, field, address, bytes);
}

function rebuild(arena: StateArena, field: number, former: number, capacity: number): void {
  const { u32 } = arena.memory;
  const formerCapacity = u32[former + CAPACITY] as number;
  make(arena, field, capacity);
  const set = (u32[(field >>> 2) + 1] as number) >>> 2;
  u32[set + USED] = u32[former + USED] as number;
  u32[set + FLAGS] = u32[former + FLAGS] as number;
  const end = former + HEADER_BYTES / 4 + formerCapacity * 2;
  for (let at = former + HEADER_BYTES / 4; at < end; at += 2) {
    const low = u32[at] as number;
    const high = u32[at + 1] as number;
    if (low !== 0 || high !== 0) insert(u32, set, low, high);
  }
}
