/**
 * A table from values (byte strings; a number is its 8 bytes) to counts, in one piece of state. Used for
 * exact distinct counts of texts and for the heavy hitters of topK.
 *
 *   0   u32 used     4  u32 capacity, a power of two     8  u32 heap bytes used     12  u32 heap bytes
 *   16  f64 taken off
 *   24  u32 secret, or 0     28  u32 0
 *   32  u32 slots[capacity]: position of the record in the heap / 8 + 1; 0 = empty
 *   ..  heap of records:  f64 count,  u32 hash,  u32 length,  the bytes, padded to 8
 *
 * Values that were chosen to collide are hashed under a secret (core/secret-hash.ts) once a search has passed
 * many slots. The order of the records does not depend on it.
 */

import type { SharedMemory } from '../../memory/index.ts';
import { newSecret, secretHashBytes } from '../../secret-hash.ts';
import type { StateArena } from './accumulator.ts';
import { hash64Bytes, hash64Long, hashLow } from './hash64.ts';
import { copyValue, setState } from './state.ts';

const CAPACITY_FIRST = 4;
const HEAP_BYTES_FIRST = 64;
const HEADER_BYTES = 32;
const RECORD_BYTES = 16;
const USED = 0;
const CAPACITY = 1;
const HEAP_USED = 2;
const HEAP_BYTES = 3;
const TAKEN_OFF = 16;
const SECRET = 24;
/**
 * The table takes a secret once a search passes this many slots. In the fullest tables one in 10,000 searches
 * does so by chance, which does no harm.
 */
const STEPS_MAX = 256;

/**
 * Adds `count` to the value of `length` bytes at `start`. Creates the table at pointer `field` where there is
 * none.
 */
export function addValue(arena: StateArena, field: number, start: number, length: number, count: number): void {
  const { u32, f64, u8 } = arena.memory;
  if (u32[field >>> 2] === 0) make(arena, field, CAPACITY_FIRST, HEAP_BYTES_FIRST, 0, 0);
  let table = u32[(field >>> 2) + 1] as number;
  let hash = hashOf(u8, start, length, u32[(table + SECRET) >>> 2] as number);
  let mask = (u32[(table >>> 2) + CAPACITY] as number) - 1;
  let heap = table + HEADER_BYTES + (mask + 1) * 4;
  let slot = hash & mask;
  for (let steps = 0; ; steps++) {
    const place = u32[((table + HEADER_BYTES) >>> 2) + slot] as number;
    if (place === 0) break;
    const record = heap + (place - 1) * 8;
    if (u32[(record + 8) >>> 2] === hash && u32[(record + 12) >>> 2] === length && sameBytes(u8, record + RECORD_BYTES, start, length)) {
      f64[record >>> 3] = (f64[record >>> 3] as number) + count;
      return;
    }
    if (steps === STEPS_MAX && u32[(table + SECRET) >>> 2] === 0) {
      table = rebuild(arena, field, 0, 0, 0, newSecret());
      heap = table + HEADER_BYTES + (mask + 1) * 4;
      hash = hashOf(u8, start, length, u32[(table + SECRET) >>> 2] as number);
      slot = hash & mask;
      continue;
    }
    slot = (slot + 1) & mask;
  }
  const bytes = recordBytes(length);
  const used = u32[(table >>> 2) + USED] as number;
  const heapUsed = u32[(table >>> 2) + HEAP_USED] as number;
  if ((used + 1) * 4 > (mask + 1) * 3 || heapUsed + bytes > (u32[(table >>> 2) + HEAP_BYTES] as number)) {
    table = rebuild(arena, field, used + 1, heapUsed + bytes, 0);
    mask = (u32[(table >>> 2) + CAPACITY] as number) - 1;
    heap = table + HEADER_BYTES + (mask + 1) * 4;
    slot = emptySlot(u32, table, hash, mask);
  }
  u32[((table + HEADER_BYTES) >>> 2) + slot] = (heapUsed >>> 3) + 1;
  const record = heap + heapUsed;
  f64[record >>> 3] = count;
  u32[(record + 8) >>> 2] = hash;
  u32[(record + 12) >>> 2] = length;
  copyValue(arena.memory, record + RECORD_BYTES, start, length);
  for (let at = record + RECORD_BYTES + length; at < record + bytes; at++) u8[at] = 0;
  u32[(table >>> 2) + USED] = used + 1;
  u32[(table >>> 2) + HEAP_USED] = heapUsed + bytes;
}

/** Number of different values in the table at `field`; 0 where there is none. */
export function valueCount(memory: SharedMemory, field: number): number {
  return memory.u32[field >>> 2] === 0 ? 0 : (memory.u32[((memory.u32[(field >>> 2) + 1] as number) >>> 2) + USED] as number);
}

/** Calls `visit` with the address, the length and the count of each value, in order of first arrival. */
export function eachValue(memory: SharedMemory, field: number, visit: (start: number, length: number, count: number) => void): void {
  const { u32, f64 } = memory;
  if (u32[field >>> 2] === 0) return;
  const table = u32[(field >>> 2) + 1] as number;
  const heap = table + HEADER_BYTES + (u32[(table >>> 2) + CAPACITY] as number) * 4;
  const end = heap + (u32[(table >>> 2) + HEAP_USED] as number);
  for (let record = heap; record < end; ) {
    const length = u32[(record + 12) >>> 2] as number;
    visit(record + RECORD_BYTES, length, f64[record >>> 3] as number);
    record += recordBytes(length);
  }
}

/** The total that `takeOff` has taken off each value so far, in this table and those merged into it. */
export function takenOff(memory: SharedMemory, field: number): number {
  return memory.u32[field >>> 2] === 0 ? 0 : (memory.f64[((memory.u32[(field >>> 2) + 1] as number) + TAKEN_OFF) >>> 3] as number);
}

/** Records that `count` was taken off elsewhere. The table at `field` exists. */
export function noteTakenOff(memory: SharedMemory, field: number, count: number): void {
  const at = ((memory.u32[(field >>> 2) + 1] as number) + TAKEN_OFF) >>> 3;
  memory.f64[at] = (memory.f64[at] as number) + count;
}

/** Takes `count` off each value. Values with no count left are removed. The table at `field` exists. */
export function takeOff(arena: StateArena, field: number, count: number): void {
  rebuild(arena, field, 0, 0, count);
  noteTakenOff(arena.memory, field, count);
}

function recordBytes(length: number): number {
  return RECORD_BYTES + ((length + 7) & ~7);
}

/** One hash for all values of a length, so that no state depends on the type of its values. */
function hashOf(u8: Uint8Array, start: number, length: number, secret: number): number {
  if (secret !== 0) return secretHashBytes(u8, start, length, secret);
  if (length === 8) hash64Long(wordAt(u8, start), wordAt(u8, start + 4));
  else hash64Bytes(u8, start, length);
  return hashLow;
}

function wordAt(u8: Uint8Array, at: number): number {
  return ((u8[at] as number) | ((u8[at + 1] as number) << 8) | ((u8[at + 2] as number) << 16) | ((u8[at + 3] as number) << 24)) >>> 0;
}

function sameBytes(u8: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (u8[a + i] !== u8[b + i]) return false;
  return true;
}

function emptySlot(u32: Uint32Array, table: number, hash: number, mask: number): number {
  let slot = hash & mask;
  while (u32[((table + HEADER_BYTES) >>> 2) + slot] !== 0) slot = (slot + 1) & mask;
  return slot;
}

function make(arena: StateArena, field: number, capacity: number, heapBytes: number, off: number, secret: number): number {
  const { u32, f64 } = arena.memory;
  const bytes = HEADER_BYTES + capacity * 4 + heapBytes;
  const table = arena.alloc(bytes);
  u32.fill(0, table >>> 2, (table + HEADER_BYTES + capacity * 4) >>> 2);
  u32[(table >>> 2) + CAPACITY] = capacity;
  u32[(table >>> 2) + HEAP_BYTES] = heapBytes;
  f64[(table + TAKEN_OFF) >>> 3] = off;
  u32[(table + SECRET) >>> 2] = secret;
  u32[(table + SECRET + 4) >>> 2] = 0;
  setState(arena, field, table, bytes);
  return table;
}

/**
 * Moves the table to one with the given room, leaving out what `off` takes away, hashed under `secret` where
 * that is not 0. Returns its address.
 */
function rebuild(arena: StateArena, field: number, usedMin: number, heapMin: number, off: number, secret = 0): number {
  const { u32, f64, u8 } = arena.memory;
  const former = u32[(field >>> 2) + 1] as number;
  const formerCapacity = u32[(former >>> 2) + CAPACITY] as number;
  const formerHeap = former + HEADER_BYTES + formerCapacity * 4;
  const formerEnd = formerHeap + (u32[(former >>> 2) + HEAP_USED] as number);
  let capacity = formerCapacity;
  while (usedMin * 4 > capacity * 3) capacity *= 2;
  let heapBytes = u32[(former >>> 2) + HEAP_BYTES] as number;
  while (heapMin > heapBytes) heapBytes *= 2;
  const table = make(arena, field, capacity, heapBytes, f64[(former + TAKEN_OFF) >>> 3] as number, secret || (u32[(former + SECRET) >>> 2] as number));
  const heap = table + HEADER_BYTES + capacity * 4;
  let used = 0;
  let to = heap;
  for (let record = formerHeap; record < formerEnd; ) {
    const bytes = recordBytes(u32[(record + 12) >>> 2] as number);
    const count = (f64[record >>> 3] as number) - off;
    if (count > 0) {
      u8.copyWithin(to, record, record + bytes);
      f64[to >>> 3] = count;
      if (secret !== 0) u32[(to + 8) >>> 2] = secretHashBytes(u8, to + RECORD_BYTES, u32[(to + 12) >>> 2] as number, secret);
      u32[((table + HEADER_BYTES) >>> 2) + emptySlot(u32, table, u32[(record + 8) >>> 2] as number, capacity - 1)] = ((to - heap) >>> 3) + 1;
      used++;
      to += bytes;
    }
    record += bytes;
  }
  u32[(table >>> 2) + USED] = used;
  u32[(table >>> 2) + HEAP_USED] = to - heap;
  return table;
}
