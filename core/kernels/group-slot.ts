// One slot of a group table: fill it, copy it, compare it with a key image. group-probe.ts says where a slot stands, and
// group-crowd.ts does where the keys stand too near each other. Contract: core/groups/kernel-signatures.ts.

import { ARENA_AT, ARENA_END, ARENA_NEED, IDENTITY, KEY_BYTES, LIMIT, LONG_BYTES, SLOT_BYTES, STRING_COUNT, STRING_FIELDS, USED } from "./group-header";

// Copies a multiple of 8 bytes.
// @ts-ignore: decorator
@inline
export function copyLongs(to: usize, from: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 8) store<u64>(to + at, load<u64>(from + at));
}

// Bytes outside the slot of the first `count` fields that may have some.
export function longBytes(table: usize, image: usize, count: u32): u32 {
  let bytes: u32 = 0;
  for (let s: u32 = 0; s < count; s++) {
    const place = table + STRING_FIELDS + (<usize>s << 3);
    const length = load<u32>(image + load<u32>(place));
    if (length > load<u32>(place, 4)) bytes += (length + 7) & ~7;
  }
  return bytes;
}

// Copies what lies outside of the first `count` such fields to `to`, each to a multiple of 8, and points the fields there.
export function moveStrings(table: usize, slot: usize, to: usize, count: u32): usize {
  let next = to;
  for (let s: u32 = 0; s < count; s++) {
    const place = table + STRING_FIELDS + (<usize>s << 3);
    const field = slot + load<u32>(place);
    const length = load<u32>(field);
    if (length <= load<u32>(place, 4)) continue;
    memory.copy(next, load<u32>(field, 4), length);
    store<u32>(field, next, 4);
    next += (length + 7) & ~7;
  }
  return next;
}

// Whether two images with the same tag are of the same key: word by word, strings that lie outside by their bytes.
export function sameKey(table: usize, image: usize, slot: usize): bool {
  const keyBytes = load<u32>(table, KEY_BYTES);
  for (let offset: u32 = 4; offset < keyBytes; offset += 4) {
    if (load<u32>(image + offset) != load<u32>(slot + offset) && !sameLongString(table, image, slot, offset - 4)) return false;
  }
  return true;
}

function sameLongString(table: usize, image: usize, slot: usize, offset: u32): bool {
  const count = load<u32>(table, STRING_COUNT);
  for (let s: u32 = 0; s < count; s++) {
    const place = table + STRING_FIELDS + (<usize>s << 3);
    if (load<u32>(place) != offset) continue;
    const length = load<u32>(image + offset);
    if (length <= load<u32>(place, 4) || length != load<u32>(slot + offset)) return false;
    const a: usize = load<u32>(image + offset, 4);
    const b: usize = load<u32>(slot + offset, 4);
    let i: u32 = 0;
    for (; i + 8 <= length; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false;
    for (; i < length; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
    return true;
  }
  return false;
}

// Whether the words of two key images behind the first are the same. `words` is a constant; 0 = any number.
// @ts-ignore: decorator
@inline
export function sameRest(image: usize, slot: usize, words: u32, keyBytes: usize): bool {
  if (words == 1) return true;
  if (words == 2) return load<u64>(image, 8) == load<u64>(slot, 8);
  if (words == 4) {
    const first = v128.xor(v128.load(image, 8), v128.load(slot, 8));
    return !v128.any_true(first) && load<u64>(image, 24) == load<u64>(slot, 24);
  }
  if (words == 5) {
    const first = v128.xor(v128.load(image, 8), v128.load(slot, 8));
    const second = v128.xor(v128.load(image, 24), v128.load(slot, 24));
    return !v128.any_true(v128.or(first, second));
  }
  for (let at: usize = 8; at < keyBytes; at += 8) if (load<u64>(image + at) != load<u64>(slot + at)) return false;
  return true;
}

// Fills an empty slot, if the table may take one more. False: there is no room, and the header says for what.
export function insert(table: usize, image: usize, slot: usize): bool {
  return load<u32>(table, USED) < load<u32>(table, LIMIT) && fill(table, image, slot);
}

// As insert, whatever the limit is.
export function fill(table: usize, image: usize, slot: usize): bool {
  const strings = load<u32>(table, STRING_COUNT);
  const need: u32 = strings == 0 ? 0 : longBytes(table, image, strings);
  const arena = load<u32>(table, ARENA_AT);
  if (need > load<u32>(table, ARENA_END) - arena) {
    store<u32>(table, need, ARENA_NEED);
    return false;
  }
  const keyBytes: usize = load<u32>(table, KEY_BYTES);
  copyLongs(slot, image, keyBytes);
  copyLongs(slot + keyBytes, <usize>load<u32>(table, IDENTITY) + keyBytes, <usize>load<u32>(table, SLOT_BYTES) - keyBytes);
  if (need > 0) {
    store<u32>(table, moveStrings(table, slot, arena, strings), ARENA_AT);
    store<u32>(table, load<u32>(table, LONG_BYTES) + need, LONG_BYTES);
  }
  store<u32>(table, load<u32>(table, USED) + 1, USED);
  return true;
}
