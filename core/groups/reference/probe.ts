/**
 * TypeScript reference of the probe kernels (kernel-signatures.ts): find or insert, remove, rehash, scan,
 * copy out.
 *
 * Linear probing starts from the slot that the tag's top bits name. These bits order the slots, so doubling a
 * table reads and writes it front to back: slot i goes to 2i or 2i + 1.
 */

import type { SharedMemory } from '../../memory/index.ts';
import {
  ARENA_AT,
  ARENA_END,
  ARENA_NEED,
  BASE,
  BLOCK_SLOTS,
  CAPACITY,
  CROWDING,
  IDENTITY,
  INDEX,
  KEY_BYTES,
  LIMIT,
  LONG_BYTES,
  OUTSIDE_COUNT,
  SKIP_BITS,
  SLOT_BYTES,
  STRING_COUNT,
  STRING_FIELDS,
  USED,
} from '../header.ts';
import type { ProbeKernels } from '../kernel-signatures.ts';
import { crowdReference, STEPS_MAX } from './crowd.ts';

const SHARD_SHIFT = 26;
const SHARD_COUNT = 64;

export function probeReference(memory: SharedMemory): ProbeKernels {
  const { u8, u32 } = memory;
  const get = (address: number) => u32[address >>> 2] as number;

  function copyWords(to: number, from: number, bytes: number): void {
    for (let w = 0; w < bytes >>> 2; w++) u32[(to >>> 2) + w] = u32[(from >>> 2) + w] as number;
  }

  /**
   * The slot number of a tag: its top 26 bits (after the skipped ones) scaled to the capacity. 26 + 27 bits
   * are exact in a double.
   */
  function numberOf(tag: number, skipBits: number, capacity: number): number {
    return Math.floor((((tag << skipBits) >>> 6) * capacity) / 2 ** 26);
  }

  function slotOf(table: number, tag: number): number {
    return get(table + BASE) + numberOf(tag, get(table + SKIP_BITS), get(table + CAPACITY)) * get(table + SLOT_BYTES);
  }

  function slotAfter(table: number, slot: number): number {
    const next = slot + get(table + SLOT_BYTES);
    return next === get(table + BASE) + get(table + CAPACITY) * get(table + SLOT_BYTES) ? get(table + BASE) : next;
  }

  /**
   * Calls `visit` for each of the first `count` fields that may have bytes outside the slot, if it has any.
   */
  function eachLongString(table: number, image: number, count: number, visit: (field: number, length: number) => void): void {
    for (let s = 0; s < count; s++) {
      const field = image + get(table + STRING_FIELDS + s * 8);
      const length = get(field);
      if (length > get(table + STRING_FIELDS + s * 8 + 4)) visit(field, length);
    }
  }

  function longBytes(table: number, image: number, count: number): number {
    let bytes = 0;
    eachLongString(table, image, count, (_field, length) => {
      bytes += (length + 7) & ~7;
    });
    return bytes;
  }

  /**
   * Copies what the first `count` of those fields have outside to `at`. Returns the address after the copies.
   */
  function moveStrings(table: number, slot: number, at: number, count: number): number {
    let next = at;
    eachLongString(table, slot, count, (field, length) => {
      u8.copyWithin(next, get(field + 4), get(field + 4) + length);
      u32[(field + 4) >>> 2] = next;
      next += (length + 7) & ~7;
    });
    return next;
  }

  function sameKey(table: number, image: number, slot: number): boolean {
    const keyBytes = get(table + KEY_BYTES);
    for (let offset = 4; offset < keyBytes; offset += 4) {
      if (get(image + offset) !== get(slot + offset) && !sameLongString(table, image, slot, offset - 4)) return false;
    }
    return true;
  }

  /** Whether both have the same string at `offset`, and it lies outside. */
  function sameLongString(table: number, image: number, slot: number, offset: number): boolean {
    for (let s = 0; s < get(table + STRING_COUNT); s++) {
      if (get(table + STRING_FIELDS + s * 8) !== offset) continue;
      const length = get(image + offset);
      if (length <= get(table + STRING_FIELDS + s * 8 + 4) || length !== get(slot + offset)) return false;
      const a = get(image + offset + 4);
      const b = get(slot + offset + 4);
      for (let i = 0; i < length; i++) if (u8[a + i] !== u8[b + i]) return false;
      return true;
    }
    return false;
  }

  /** The slot of the key, or the empty one where it would be. */
  function probe(table: number, image: number): number {
    const tag = get(image);
    let slot = slotOf(table, tag);
    for (;;) {
      const there = get(slot);
      if (there === 0 || (there === tag && sameKey(table, image, slot))) return slot;
      slot = slotAfter(table, slot);
    }
  }

  /** Fills an empty slot. False: there is no room, and the header says for what. */
  function insert(table: number, image: number, slot: number): boolean {
    return get(table + USED) < get(table + LIMIT) && fill(table, image, slot);
  }

  function fill(table: number, image: number, slot: number): boolean {
    const need = longBytes(table, image, get(table + STRING_COUNT));
    if (need > get(table + ARENA_END) - get(table + ARENA_AT)) {
      u32[(table + ARENA_NEED) >>> 2] = need;
      return false;
    }
    const keyBytes = get(table + KEY_BYTES);
    copyWords(slot, image, keyBytes);
    copyWords(slot + keyBytes, get(table + IDENTITY) + keyBytes, get(table + SLOT_BYTES) - keyBytes);
    if (need > 0) {
      u32[(table + ARENA_AT) >>> 2] = moveStrings(table, slot, get(table + ARENA_AT), get(table + STRING_COUNT));
      u32[(table + LONG_BYTES) >>> 2] = get(table + LONG_BYTES) + need;
    }
    u32[(table + USED) >>> 2] = get(table + USED) + 1;
    return true;
  }

  function forgetLong(table: number, slot: number): void {
    u32[(table + LONG_BYTES) >>> 2] = get(table + LONG_BYTES) - longBytes(table, slot, get(table + OUTSIDE_COUNT));
  }

  /**
   * Empties a slot and closes the gap: moves up each later slot of the run that may be closer to its place.
   */
  function remove(table: number, slot: number): void {
    const slotBytes = get(table + SLOT_BYTES);
    const span = get(table + CAPACITY) * slotBytes;
    forgetLong(table, slot);
    u32[(table + USED) >>> 2] = get(table + USED) - 1;
    let gap = slot;
    for (let next = slotAfter(table, gap); get(next) !== 0; next = slotAfter(table, next)) {
      const home = slotOf(table, get(next));
      // Distances around the ring: a slot may move when its home is not between the gap and itself.
      if ((next - home + span) % span < (next - gap + span) % span) continue;
      copyWords(gap, next, slotBytes);
      gap = next;
    }
    u32[gap >>> 2] = 0;
  }

  const crowd = crowdReference(memory, { insert, sameKey, forgetLong });
  const isCrowded = (table: number) => get(table + INDEX) !== 0;

  return {
    groupProbe(table, images, stride, count, slots) {
      if (isCrowded(table)) return crowd.probe(table, images, stride, count, slots);
      const base = get(table + BASE);
      const slotBytes = get(table + SLOT_BYTES);
      const capacity = get(table + CAPACITY);
      const last = base + (capacity - 1) * slotBytes;
      const skipBits = get(table + SKIP_BITS);
      const isShort = get(table + KEY_BYTES) === 8;
      for (let i = 0; i < count; i++) {
        const image = images + i * stride;
        const tag = u32[image >>> 2] as number;
        let slot = base + numberOf(tag, skipBits, capacity) * slotBytes;
        for (let steps = 1; ; steps++) {
          const there = u32[slot >>> 2] as number;
          if (there === tag && (isShort ? u32[(slot >>> 2) + 1] === u32[(image >>> 2) + 1] : sameKey(table, image, slot))) break;
          if (there === 0) {
            if (!insert(table, image, slot)) return i;
            break;
          }
          if (steps === STEPS_MAX) {
            u32[(table + CROWDING) >>> 2] = 1;
            return i;
          }
          slot = slot === last ? base : slot + slotBytes;
        }
        u32[(slots >>> 2) + i] = slot;
      }
      return count;
    },
    groupAppend(table, images, stride, count, slots) {
      const slotBytes = get(table + SLOT_BYTES);
      const end = get(table + BASE) + get(table + CAPACITY) * slotBytes;
      let slot = get(table + BASE) + get(table + USED) * slotBytes;
      for (let i = 0; i < count; i++) {
        if (slot === end || !fill(table, images + i * stride, slot)) return i;
        u32[(slots >>> 2) + i] = slot;
        slot += slotBytes;
      }
      return count;
    },
    groupLookup(table, images, stride, count, slots) {
      let found = 0;
      for (let i = 0; i < count; i++) {
        const place = isCrowded(table) ? crowd.find(table, images + i * stride) : probe(table, images + i * stride);
        const slot = place !== 0 && get(place) !== 0 ? place : 0;
        u32[(slots >>> 2) + i] = slot;
        if (slot !== 0) found++;
      }
      return found;
    },
    groupRemoveEmpty(table, images, stride, count, countOffset) {
      for (let i = 0; i < count; i++) {
        const slot = isCrowded(table) ? crowd.find(table, images + i * stride) : probe(table, images + i * stride);
        if (slot === 0 || get(slot) === 0 || get(slot + countOffset) !== 0 || get(slot + countOffset + 4) !== 0) continue;
        if (isCrowded(table)) crowd.remove(table, slot);
        else remove(table, slot);
      }
    },
    groupRehash(table, formerBase, formerCapacity) {
      const slotBytes = get(table + SLOT_BYTES);
      u32.fill(0, get(table + BASE) >>> 2, (get(table + BASE) + get(table + CAPACITY) * slotBytes) >>> 2);
      for (let i = 0; i < formerCapacity; i++) {
        const former = formerBase + i * slotBytes;
        const tag = get(former);
        if (tag === 0) continue;
        let slot = slotOf(table, tag);
        while (get(slot) !== 0) slot = slotAfter(table, slot);
        copyWords(slot, former, slotBytes);
      }
    },
    groupCrowd: crowd.groupCrowd,
    groupMoveStrings(table) {
      const slotBytes = get(table + SLOT_BYTES);
      const end = get(table + BASE) + get(table + CAPACITY) * slotBytes;
      let at = get(table + ARENA_AT);
      for (let slot = get(table + BASE); slot < end; slot += slotBytes) if (get(slot) !== 0) at = moveStrings(table, slot, at, get(table + OUTSIDE_COUNT));
      u32[(table + ARENA_AT) >>> 2] = at;
    },
    groupScan(table, from, max, slots) {
      const slotBytes = get(table + SLOT_BYTES);
      const capacity = get(table + CAPACITY);
      let found = 0;
      let i = from;
      for (; i < capacity && found < max; i++) {
        const slot = get(table + BASE) + i * slotBytes;
        if (get(slot) !== 0) u32[(slots >>> 2) + found++] = slot;
      }
      u32[(slots >>> 2) + max] = i;
      return found;
    },
    groupPack(slots, count, slotBytes, to) {
      for (let i = 0; i < count; i++) copyWords(to + i * slotBytes, u32[(slots >>> 2) + i] as number, slotBytes);
    },
    groupCopyOut(table, block) {
      const slotBytes = get(table + SLOT_BYTES);
      const base = get(table + BASE);
      const end = base + get(table + CAPACITY) * slotBytes;
      const bounds = block >>> 2;
      for (let s = 0; s <= SHARD_COUNT; s++) u32[bounds + s] = 0;
      for (let slot = base; slot < end; slot += slotBytes) {
        const tag = get(slot);
        if (tag !== 0) u32[bounds + (tag >>> SHARD_SHIFT) + 1] = (u32[bounds + (tag >>> SHARD_SHIFT) + 1] as number) + 1;
      }
      for (let s = 0; s < SHARD_COUNT; s++) u32[bounds + s + 1] = (u32[bounds + s + 1] as number) + (u32[bounds + s] as number);
      let strings = block + BLOCK_SLOTS + get(table + USED) * slotBytes;
      for (let slot = base; slot < end; slot += slotBytes) {
        const tag = get(slot);
        if (tag === 0) continue;
        // The lower bound of a shard serves as its cursor, and ends as its upper bound.
        const place = u32[bounds + (tag >>> SHARD_SHIFT)] as number;
        u32[bounds + (tag >>> SHARD_SHIFT)] = place + 1;
        copyWords(block + BLOCK_SLOTS + place * slotBytes, slot, slotBytes);
        strings = moveStrings(table, block + BLOCK_SLOTS + place * slotBytes, strings, get(table + OUTSIDE_COUNT));
      }
      for (let s = SHARD_COUNT; s > 0; s--) u32[bounds + s] = u32[bounds + s - 1] as number;
      u32[bounds] = 0;
    },
  };
}
