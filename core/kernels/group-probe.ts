// The table: find or insert, remove, rehash, scan, copy out. Contract: ProbeKernels in core/groups/kernel-signatures.ts.

import { ARENA_AT, BASE, BLOCK_SLOTS, CAPACITY, KEY_BYTES, LONG_BYTES, OUTSIDE_COUNT, SINK, SKIP_BITS, SLOT_BYTES, STRING_COUNT, USED } from "./group-header";
import { findCrowded, isCrowded, noteCrowding, probeCrowded, removeCrowded, STEPS_MAX } from "./group-crowd";
import { copyLongs, fill, insert, longBytes, moveStrings, sameKey, sameRest } from "./group-slot";

const SHARD_SHIFT: u32 = 26;
const SHARD_COUNT: u32 = 64;
// From this size on a table's slots are touched before they are probed: it is larger than the second cache level's share.
export const TOUCH_BYTES_MIN: u32 = 4 << 20;
// A multiple of 8.
const ZERO_BYTES: usize = 32 << 10;
const TOUCH_ROWS: u32 = 128;

// The slot number of a tag: its top 26 bits (behind the skipped ones) scaled to the capacity, which may be any number and
// keeps the order of tags (Lemire, "Fast random integer generation in an interval", 2019).
// @ts-ignore: decorator
@inline
export function numberOf(tag: u32, skipBits: u32, capacity: u64): usize {
  return <usize>((<u64>((tag << skipBits) >>> 6) * capacity) >> 26);
}

// Reads the first and the last line of the slots that `count` tags name, so that the cache misses of all of them overlap;
// in the probe itself a mispredicted branch would wait for each (group prefetching: Chen et al., "Improving hash join
// performance through prefetching", ICDE 2004; here by loads, as WebAssembly has no prefetch).
function touchSlots(table: usize, images: usize, stride: usize, count: u32): void {
  const base: usize = load<u32>(table, BASE);
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const capacity = <u64>load<u32>(table, CAPACITY);
  const skipBits = load<u32>(table, SKIP_BITS);
  const end = slotBytes - 8;
  let sink: u64 = 0;
  let image = images;
  for (let i: u32 = 0; i < count; i++) {
    const slot = base + numberOf(load<u32>(image), skipBits, capacity) * slotBytes;
    sink ^= load<u64>(slot) ^ load<u64>(slot + end);
    image += stride;
  }
  store<u32>(table, <u32>sink, SINK);
}

// @ts-ignore: decorator
@inline
function probeRows(table: usize, images: usize, stride: usize, count: u32, slots: usize, words: u32): u32 {
  const base: usize = load<u32>(table, BASE);
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const keyBytes: usize = load<u32>(table, KEY_BYTES);
  const capacity = <u64>load<u32>(table, CAPACITY);
  const skipBits = load<u32>(table, SKIP_BITS);
  const hasStrings = load<u32>(table, STRING_COUNT) > 0;
  const last = base + (<usize>load<u32>(table, CAPACITY) - 1) * slotBytes;
  let image = images;
  for (let i: u32 = 0; i < count; i++) {
    const head = load<u64>(image);
    let slot = base + numberOf(<u32>head, skipBits, capacity) * slotBytes;
    let steps: u32 = 0;
    while (true) {
      const there = load<u64>(slot);
      if (there == head && sameRest(image, slot, words, keyBytes)) break;
      if (<u32>there == 0) {
        if (!insert(table, image, slot)) return i;
        break;
      }
      // The same tag, but other words: another key, unless strings lie outside.
      if (hasStrings && <u32>there == <u32>head && sameKey(table, image, slot)) break;
      if (++steps == STEPS_MAX) {
        noteCrowding(table);
        return i;
      }
      slot = slot == last ? base : slot + slotBytes;
    }
    store<u32>(slots + (<usize>i << 2), slot);
    image += stride;
  }
  return count;
}

// @ts-ignore: decorator
@inline
function probeTile(table: usize, images: usize, stride: usize, count: u32, slots: usize, words: u32): u32 {
  if (load<u32>(table, CAPACITY) * load<u32>(table, SLOT_BYTES) < TOUCH_BYTES_MIN) return probeRows(table, images, stride, count, slots, words);
  let done: u32 = 0;
  while (done < count) {
    const block = min<u32>(count - done, TOUCH_ROWS);
    const from = images + <usize>done * stride;
    touchSlots(table, from, stride, block);
    const probed = probeRows(table, from, stride, block, slots + (<usize>done << 2), words);
    done += probed;
    if (probed < block) break;
  }
  return done;
}

export function groupProbe(table: usize, images: usize, stride: usize, count: u32, slots: usize): u32 {
  if (isCrowded(table)) return probeCrowded(table, images, stride, count, slots);
  const keyBytes = load<u32>(table, KEY_BYTES);
  if (keyBytes == 8) return probeTile(table, images, stride, count, slots, 1);
  if (keyBytes == 16) return probeTile(table, images, stride, count, slots, 2);
  if (keyBytes == 32) return probeTile(table, images, stride, count, slots, 4);
  if (keyBytes == 40) return probeTile(table, images, stride, count, slots, 5);
  return probeTile(table, images, stride, count, slots, 0);
}

export function groupAppend(table: usize, images: usize, stride: usize, count: u32, slots: usize): u32 {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const end = endOf(table);
  let slot = <usize>load<u32>(table, BASE) + <usize>load<u32>(table, USED) * slotBytes;
  for (let i: u32 = 0; i < count; i++) {
    if (slot == end || !fill(table, images + <usize>i * stride, slot)) return i;
    store<u32>(slots + (<usize>i << 2), slot);
    slot += slotBytes;
  }
  return count;
}

// The slot that a tag names.
// @ts-ignore: decorator
@inline
function slotOf(table: usize, tag: u32): usize {
  return <usize>load<u32>(table, BASE) + numberOf(tag, load<u32>(table, SKIP_BITS), load<u32>(table, CAPACITY)) * <usize>load<u32>(table, SLOT_BYTES);
}

// @ts-ignore: decorator
@inline
export function endOf(table: usize): usize {
  return <usize>load<u32>(table, BASE) + <usize>load<u32>(table, CAPACITY) * <usize>load<u32>(table, SLOT_BYTES);
}

// @ts-ignore: decorator
@inline
function slotAfter(table: usize, slot: usize): usize {
  const next = slot + <usize>load<u32>(table, SLOT_BYTES);
  return next == endOf(table) ? <usize>load<u32>(table, BASE) : next;
}

// The slot of the key, or the empty one where it would be.
function find(table: usize, image: usize): usize {
  const tag = load<u32>(image);
  let slot = slotOf(table, tag);
  while (true) {
    const there = load<u32>(slot);
    if (there == 0 || (there == tag && sameKey(table, image, slot))) return slot;
    slot = slotAfter(table, slot);
  }
}

export function groupLookup(table: usize, images: usize, stride: usize, count: u32, slots: usize): u32 {
  let found: u32 = 0;
  if (isCrowded(table)) {
    for (let i: u32 = 0; i < count; i++) {
      const slot = findCrowded(table, images + <usize>i * stride);
      store<u32>(slots + (<usize>i << 2), slot);
      found += u32(slot != 0);
    }
    return found;
  }
  for (let i: u32 = 0; i < count; i++) {
    const slot = find(table, images + <usize>i * stride);
    const isThere = load<u32>(slot) != 0;
    store<u32>(slots + (<usize>i << 2), isThere ? slot : 0);
    found += u32(isThere);
  }
  return found;
}

// Empties a slot and closes the gap: moves up each later slot of the run that may stand nearer its place.
function remove(table: usize, slot: usize): void {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const span = <usize>load<u32>(table, CAPACITY) * slotBytes;
  store<u32>(table, load<u32>(table, LONG_BYTES) - longBytes(table, slot, load<u32>(table, OUTSIDE_COUNT)), LONG_BYTES);
  store<u32>(table, load<u32>(table, USED) - 1, USED);
  let gap = slot;
  for (let next = slotAfter(table, gap); load<u32>(next) != 0; next = slotAfter(table, next)) {
    const home = slotOf(table, load<u32>(next));
    const fromHome = next >= home ? next - home : next + span - home;
    const fromGap = next >= gap ? next - gap : next + span - gap;
    if (fromHome < fromGap) continue;
    copyLongs(gap, next, slotBytes);
    gap = next;
  }
  store<u32>(gap, 0);
}

export function groupRemoveEmpty(table: usize, images: usize, stride: usize, count: u32, countOffset: usize): void {
  if (isCrowded(table)) {
    for (let i: u32 = 0; i < count; i++) {
      const slot = findCrowded(table, images + <usize>i * stride);
      if (slot != 0 && load<u64>(slot + countOffset) == 0) removeCrowded(table, slot);
    }
    return;
  }
  for (let i: u32 = 0; i < count; i++) {
    const slot = find(table, images + <usize>i * stride);
    if (load<u32>(slot) != 0 && load<u64>(slot + countOffset) == 0) remove(table, slot);
  }
}

// Zeroes the slots on the way, a piece that the second cache level holds before it is written: the groups come nearly in
// the order of their places, as the tag's top bits order both arrays.
export function groupRehash(table: usize, formerBase: usize, formerCapacity: u32): void {
  const base: usize = load<u32>(table, BASE);
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const capacity = <u64>load<u32>(table, CAPACITY);
  const skipBits = load<u32>(table, SKIP_BITS);
  const last = base + (<usize>load<u32>(table, CAPACITY) - 1) * slotBytes;
  const end = last + slotBytes;
  let zeroed = base;
  let former = formerBase;
  for (let i: u32 = 0; i < formerCapacity; i++) {
    const tag = load<u32>(former);
    if (tag != 0) {
      let slot = base + numberOf(tag, skipBits, capacity) * slotBytes;
      while (true) {
        while (slot + slotBytes > zeroed) {
          const piece = min<usize>(end - zeroed, ZERO_BYTES);
          memory.fill(zeroed, 0, piece);
          zeroed += piece;
        }
        if (load<u32>(slot) == 0) break;
        slot = slot == last ? base : slot + slotBytes;
      }
      copyLongs(slot, former, slotBytes);
    }
    former += slotBytes;
  }
  memory.fill(zeroed, 0, end - zeroed);
}

export function groupMoveStrings(table: usize): void {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const end = endOf(table);
  const outside = load<u32>(table, OUTSIDE_COUNT);
  let at: usize = load<u32>(table, ARENA_AT);
  for (let slot: usize = load<u32>(table, BASE); slot < end; slot += slotBytes) if (load<u32>(slot) != 0) at = moveStrings(table, slot, at, outside);
  store<u32>(table, at, ARENA_AT);
}

export function groupScan(table: usize, from: u32, max: u32, slots: usize): u32 {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const capacity = load<u32>(table, CAPACITY);
  let slot = <usize>load<u32>(table, BASE) + <usize>from * slotBytes;
  let found: u32 = 0;
  let i = from;
  for (; i < capacity && found < max; i++) {
    store<u32>(slots + (<usize>found << 2), slot);
    found += u32(load<u32>(slot) != 0);
    slot += slotBytes;
  }
  store<u32>(slots + (<usize>max << 2), i);
  return found;
}

export function groupPack(slots: usize, count: u32, slotBytes: usize, to: usize): void {
  let at = to;
  for (let i: u32 = 0; i < count; i++) {
    copyLongs(at, load<u32>(slots + (<usize>i << 2)), slotBytes);
    at += slotBytes;
  }
}

export function groupCopyOut(table: usize, block: usize): void {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const base: usize = load<u32>(table, BASE);
  const end = endOf(table);
  const outside = load<u32>(table, OUTSIDE_COUNT);
  for (let s: u32 = 0; s <= SHARD_COUNT; s++) store<u32>(block + (<usize>s << 2), 0);
  for (let slot = base; slot < end; slot += slotBytes) {
    const tag = load<u32>(slot);
    if (tag == 0) continue;
    const upper = block + ((tag >>> SHARD_SHIFT) << 2);
    store<u32>(upper, load<u32>(upper, 4) + 1, 4);
  }
  for (let s: u32 = 0; s < SHARD_COUNT; s++) {
    const bound = block + (<usize>s << 2);
    store<u32>(bound, load<u32>(bound, 4) + load<u32>(bound), 4);
  }
  let strings = block + BLOCK_SLOTS + <usize>load<u32>(table, USED) * slotBytes;
  for (let slot = base; slot < end; slot += slotBytes) {
    const tag = load<u32>(slot);
    if (tag == 0) continue;
    // The lower bound of a shard serves as its cursor, and is its upper bound in the end.
    const bound = block + ((tag >>> SHARD_SHIFT) << 2);
    const place = load<u32>(bound);
    store<u32>(bound, place + 1);
    const to = block + BLOCK_SLOTS + <usize>place * slotBytes;
    copyLongs(to, slot, slotBytes);
    if (outside > 0) strings = moveStrings(table, to, strings, outside);
  }
  for (let s = SHARD_COUNT; s > 0; s--) store<u32>(block + (<usize>s << 2), load<u32>(block + (<usize>(s - 1) << 2)));
  store<u32>(block, 0);
}
