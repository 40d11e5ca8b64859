/**
 * Slots of group tables, and whole tables, as bytes that can be put into another memory
 * (core/memory/state-bytes.ts). A slot is written as it is, without its addresses. What these point to, long
 * strings and states of sketches, follows it.
 *
 * A table is restored exactly: the same slots in the same places of the same number. Walking over it, or
 * merging into it, does what it would have done with the original, in the same order.
 */

import { MillraceError } from '../errors.ts';
import type { SharedMemory, StateReader, StateWriter } from '../memory/index.ts';
import { BASE, CAPACITY, SKIP_BITS, USED } from './header.ts';
import type { SlotLayout } from './slot-layout.ts';
import type { GroupStorage } from './storage.ts';

/** Room for what is written besides a table, so that it does not make a large one grow. */
const STATE_BYTES = 256;

/** Writes the slot at `slot`. */
export function snapshotSlot(memory: SharedMemory, layout: SlotLayout, slot: number, out: StateWriter): void {
  const { u32 } = memory;
  const { outside, slotBytes } = layout;
  const at = out.position;
  out.copy(memory, slot, slotBytes);
  for (let f = 0; f < outside.length; f++) {
    const { offset, inlineBytes } = outside[f] as (typeof outside)[number];
    const length = u32[(slot + offset) >>> 2] as number;
    // Bytes inline are not an address. A state of no bytes has an address that nothing is at.
    if (length <= inlineBytes && inlineBytes > 0) continue;
    out.setWord(at + offset + 4, 0);
    if (length > inlineBytes) out.copy(memory, u32[(slot + offset + 4) >>> 2] as number, length);
  }
}

/** Reads a slot to `slot`. `alloc` gives room, at multiples of 8, for what lies outside. */
export function restoreSlot(memory: SharedMemory, layout: SlotLayout, from: StateReader, slot: number, alloc: (bytes: number) => number): void {
  const { u32 } = memory;
  const { outside, slotBytes } = layout;
  from.copy(memory, slot, slotBytes);
  for (let f = 0; f < outside.length; f++) {
    const { offset, inlineBytes } = outside[f] as (typeof outside)[number];
    const length = u32[(slot + offset) >>> 2] as number;
    if (length <= inlineBytes) continue;
    const address = alloc(length);
    from.copy(memory, address, length);
    u32[(slot + offset + 4) >>> 2] = address;
  }
}

/**
 * Writes a table: its number of slots, how many are used, whether it is crowded, and the used slots, starting
 * after the first empty one.
 */
export function snapshotTable(storage: GroupStorage, out: StateWriter): void {
  const { memory, layout } = storage;
  const { u32 } = memory;
  const capacity = storage.get(CAPACITY);
  const base = storage.get(BASE);
  const used = storage.get(USED);
  out.reserve(24 + used * ((layout.slotBytes + 7) & ~7) + STATE_BYTES);
  out.number(capacity);
  out.number(used);
  if (used === 0) return;
  out.number(storage.isCrowded ? 1 : 0);
  // The slots of a crowded table are at the front, in their order.
  let first = storage.isCrowded ? capacity - 1 : 0;
  while (u32[(base + first * layout.slotBytes) >>> 2] !== 0) first++;
  for (let i = 1; i < capacity; i++) {
    const slot = base + ((first + i) % capacity) * layout.slotBytes;
    if (u32[slot >>> 2] !== 0) snapshotSlot(memory, layout, slot, out);
  }
}

/** Writes a table as it will be after clearing, which is what happens to it next. */
export function snapshotCleared(storage: GroupStorage, out: StateWriter): void {
  out.number(storage.clearedCapacity);
  out.number(0);
}

/** Fills an empty table with what {@link snapshotTable} wrote. `work` is room for a slot. */
export function restoreTable(storage: GroupStorage, from: StateReader, work: number): void {
  const { memory, layout, address } = storage;
  const { slotBytes } = layout;
  const { u32 } = memory;
  storage.reserve(from.count());
  const used = from.count();
  if (used >= storage.get(CAPACITY)) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The state to go on from has a table of ${storage.get(CAPACITY)} slots with ${used} groups: it is damaged.`,
    );
  }
  const base = storage.get(BASE);
  const capacity = storage.get(CAPACITY);
  const end = base + capacity * slotBytes;
  const skipBits = storage.get(SKIP_BITS);
  const alloc = (bytes: number) => storage.alloc(bytes);
  const isCrowded = used > 0 && from.count() === 1;
  for (let i = 0; i < used; i++) {
    restoreSlot(memory, layout, from, work, alloc);
    // In the order in which they follow an empty slot, each one finds its previous place.
    let slot = isCrowded ? base + i * slotBytes : base + homeOf(u32[work >>> 2] as number, skipBits, capacity) * slotBytes;
    while (u32[slot >>> 2] !== 0) slot = slot + slotBytes === end ? base : slot + slotBytes;
    for (let w = 0; w < slotBytes >>> 2; w++) u32[(slot >>> 2) + w] = u32[(work >>> 2) + w] as number;
  }
  u32[(address + USED) >>> 2] = used;
  if (isCrowded) storage.crowd();
}

/** As in the probe (probe.ts). */
function homeOf(tag: number, skipBits: number, capacity: number): number {
  return Math.floor((((tag << skipBits) >>> 6) * capacity) / 2 ** 26);
}
