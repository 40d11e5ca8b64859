// A table whose keys stand too near each other: slots in the order in which they came, found by an index over
// a secret hash. Contract, and why: core/groups/reference/crowd.ts, the reference.

import { BASE, CAPACITY, CROWDING, INDEX, INDEX_MASK, KEY_BYTES, LONG_BYTES, OUTSIDE_COUNT, SECRET, SLOT_BYTES, STRING_COUNT, STRING_FIELDS, USED } from "./group-header";
import { copyLongs, insert, longBytes, sameKey } from "./group-slot";
import { mix32 } from "./hash";

/** Slots that a probe goes over before the table is crowded: by chance none ever does. */
export const STEPS_MAX: u32 = 192;

// @ts-ignore: decorator
@inline
export function isCrowded(table: usize): bool {
  return load<u32>(table, INDEX) != 0;
}

/** Notes that a probe has gone too far. */
export function noteCrowding(table: usize): void {
  store<u32>(table, 1, CROWDING);
}

// The hash of a key image, or of a slot, under the secret: each word is mixed before the next comes in.
function secretHash(table: usize, image: usize): u32 {
  let hash = load<u32>(table, SECRET);
  const keyBytes: usize = load<u32>(table, KEY_BYTES);
  if (load<u32>(table, STRING_COUNT) == 0) {
    for (let at: usize = 4; at < keyBytes; at += 4) hash = mix32(hash ^ load<u32>(image + at));
  } else {
    for (let at: usize = 4; at < keyBytes; at += 4) {
      const word = load<u32>(image + at);
      hash = mix32(hash ^ word);
      if (!isOutside(table, <u32>at, word)) continue;
      at += 4;
      hash = mixBytes(hash, load<u32>(image + at), word);
    }
  }
  return mix32(hash + load<u32>(table, SECRET + 4));
}

// Whether the word at `offset` is the length of a string that lies outside, its address in the next word.
function isOutside(table: usize, offset: u32, word: u32): bool {
  const strings = load<u32>(table, STRING_COUNT);
  for (let s: u32 = 0; s < strings; s++) {
    const place = table + STRING_FIELDS + (<usize>s << 3);
    if (load<u32>(place) == offset) return word > load<u32>(place, 4);
  }
  return false;
}

function mixBytes(seed: u32, from: usize, length: u32): u32 {
  let hash = seed;
  let i: u32 = 0;
  for (; i + 4 <= length; i += 4) hash = mix32(hash ^ load<u32>(from + i));
  let rest: u32 = 0;
  for (let shift: u32 = 0; i < length; i++, shift += 8) rest |= <u32>load<u8>(from + i) << shift;
  return mix32(hash ^ rest);
}

// @ts-ignore: decorator
@inline
function slotAt(table: usize, number: u32): usize {
  return <usize>load<u32>(table, BASE) + <usize>(number - 1) * <usize>load<u32>(table, SLOT_BYTES);
}

export function probeCrowded(table: usize, images: usize, stride: usize, count: u32, slots: usize): u32 {
  const index: usize = load<u32>(table, INDEX);
  const mask = load<u32>(table, INDEX_MASK);
  for (let i: u32 = 0; i < count; i++) {
    const image = images + <usize>i * stride;
    const hash = secretHash(table, image);
    let at = hash & mask;
    let slot: usize = 0;
    while (true) {
      const entry = index + (<usize>at << 3);
      const number = load<u32>(entry);
      if (number == 0) {
        slot = slotAt(table, load<u32>(table, USED) + 1);
        if (!insert(table, image, slot)) return i;
        store<u32>(entry, load<u32>(table, USED));
        store<u32>(entry, hash, 4);
        break;
      }
      if (load<u32>(entry, 4) == hash) {
        slot = slotAt(table, number);
        if (sameKey(table, image, slot)) break;
      }
      at = (at + 1) & mask;
    }
    store<u32>(slots + (<usize>i << 2), slot);
  }
  return count;
}

/** The slot of a key, or 0. */
export function findCrowded(table: usize, image: usize): usize {
  const index: usize = load<u32>(table, INDEX);
  const mask = load<u32>(table, INDEX_MASK);
  const hash = secretHash(table, image);
  for (let at = hash & mask; ; at = (at + 1) & mask) {
    const entry = index + (<usize>at << 3);
    const number = load<u32>(entry);
    if (number == 0) return 0;
    if (load<u32>(entry, 4) != hash) continue;
    const slot = slotAt(table, number);
    if (sameKey(table, image, slot)) return slot;
  }
  return 0;
}

// The place in the index of a slot's number.
function placeOf(table: usize, number: u32): u32 {
  const index: usize = load<u32>(table, INDEX);
  const mask = load<u32>(table, INDEX_MASK);
  let at = secretHash(table, slotAt(table, number)) & mask;
  while (load<u32>(index + (<usize>at << 3)) != number) at = (at + 1) & mask;
  return at;
}

/** Empties a slot; the last one moves into it. */
export function removeCrowded(table: usize, slot: usize): void {
  const index: usize = load<u32>(table, INDEX);
  const mask = load<u32>(table, INDEX_MASK);
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const last = load<u32>(table, USED);
  const number = <u32>((slot - <usize>load<u32>(table, BASE)) / slotBytes) + 1;
  store<u32>(table, load<u32>(table, LONG_BYTES) - longBytes(table, slot, load<u32>(table, OUTSIDE_COUNT)), LONG_BYTES);
  let gap = placeOf(table, number);
  for (let at = (gap + 1) & mask; load<u32>(index + (<usize>at << 3)) != 0; at = (at + 1) & mask) {
    const home = load<u32>(index + (<usize>at << 3), 4) & mask;
    if (((at - home) & mask) < ((at - gap) & mask)) continue;
    store<u64>(index + (<usize>gap << 3), load<u64>(index + (<usize>at << 3)));
    gap = at;
  }
  store<u64>(index + (<usize>gap << 3), 0);
  if (number != last) {
    store<u32>(index + (<usize>placeOf(table, last) << 3), number);
    copyLongs(slot, slotAt(table, last), slotBytes);
  }
  store<u32>(slotAt(table, last), 0);
  store<u32>(table, last - 1, USED);
}

/** See groupCrowd in core/groups/kernel-signatures.ts. */
export function groupCrowd(table: usize): void {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const index: usize = load<u32>(table, INDEX);
  const mask = load<u32>(table, INDEX_MASK);
  const base: usize = load<u32>(table, BASE);
  const end = base + <usize>load<u32>(table, CAPACITY) * slotBytes;
  memory.fill(index, 0, (<usize>mask + 1) << 3);
  let to = base;
  let number: u32 = 0;
  for (let slot = base; slot < end; slot += slotBytes) {
    if (load<u32>(slot) == 0) continue;
    if (slot != to) copyLongs(to, slot, slotBytes);
    const hash = secretHash(table, to);
    let at = hash & mask;
    while (load<u32>(index + (<usize>at << 3)) != 0) at = (at + 1) & mask;
    store<u32>(index + (<usize>at << 3), ++number);
    store<u32>(index + (<usize>at << 3), hash, 4);
    to += slotBytes;
  }
  memory.fill(to, 0, end - to);
}
