/**
 * What a group table becomes when its keys cluster (TypeScript reference of core/kernels/group-crowd.ts).
 *
 * The hash of keys is public, and the slots of a table are in its order. So whoever chooses keys can give all
 * of them one slot. Keys may also come in the order of the hash, as our own output does when it was written
 * to a topic and is read again. They then fill the front of a table completely while the rest is empty.
 * Either way linear probing passes all slots in use. Rehashing with another public hash does not help in the
 * first case, and a secret hash would show in the order of the output.
 *
 * So a probe that has passed STEPS_MAX slots, which never happens by chance (e^-37 at a load of 1/2), makes
 * the table a crowded one. Its slots move together, later ones follow in order of arrival, and an index
 * beside them says where each key is:
 *
 *   slots  | slot 1 | slot 2 | ... | slot `used` | empty ...
 *   index  | u32 number, u32 secret hash | ...     open addressing, a power of two, at most half full;
 *                                                  number 0: free
 *
 * The index uses a hash under a secret of this process: nobody can choose keys for it. The secret decides
 * where entries of the index lie and nothing else. The order of slots follows from the rows alone, so the
 * bytes of a result are the same in every process and for any number of workers. A table stays crowded until
 * it is cleared.
 *
 * The secret hash takes one word after the other, each mixed (lowbias32) before the next. The hash of keys
 * adds up words mapped separately, and would have collisions that hold under every secret.
 */

import { mix32 } from '../../hash.ts';
import type { SharedMemory } from '../../memory/index.ts';
import { BASE, CAPACITY, INDEX, INDEX_MASK, KEY_BYTES, SECRET, SLOT_BYTES, STRING_COUNT, STRING_FIELDS, USED } from '../header.ts';

/** A table becomes crowded once a probe passes this many slots. */
export const STEPS_MAX = 192;

/** What the probe has to provide. */
export interface CrowdParts {
  insert(table: number, image: number, slot: number): boolean;
  sameKey(table: number, image: number, slot: number): boolean;
  /** Subtracts the strings of a slot that is removed from LONG_BYTES. */
  forgetLong(table: number, slot: number): void;
}

export interface CrowdReference {
  /** groupProbe in a crowded table. */
  probe(table: number, images: number, stride: number, count: number, slots: number): number;
  /** The slot of a key, or 0. */
  find(table: number, image: number): number;
  /** Empties a slot. The last slot moves into it. */
  remove(table: number, slot: number): void;
  /** See groupCrowd in kernel-signatures.ts. */
  groupCrowd(table: number): void;
}

export function crowdReference(memory: SharedMemory, { insert, sameKey, forgetLong }: CrowdParts): CrowdReference {
  const { u8, u32 } = memory;
  const get = (address: number) => u32[address >>> 2] as number;

  function secretHash(table: number, image: number): number {
    let hash = get(table + SECRET);
    const keyBytes = get(table + KEY_BYTES);
    for (let at = 4; at < keyBytes; at += 4) {
      const word = get(image + at);
      hash = mix32(hash ^ word);
      if (!isOutside(table, at, word)) continue;
      at += 4;
      hash = mixBytes(hash, get(image + at), word);
    }
    return mix32(hash + get(table + SECRET + 4));
  }

  /**
   * Whether the word at `offset` is the length of a string that lies outside, with its address in the next
   * word.
   */
  function isOutside(table: number, offset: number, word: number): boolean {
    for (let s = 0; s < get(table + STRING_COUNT); s++) {
      if (get(table + STRING_FIELDS + s * 8) === offset) return word > get(table + STRING_FIELDS + s * 8 + 4);
    }
    return false;
  }

  function mixBytes(seed: number, from: number, length: number): number {
    let hash = seed;
    const whole = length & ~3;
    for (let i = 0; i < whole; i += 4) hash = mix32(hash ^ wordAt(from + i, 4));
    return mix32(hash ^ wordAt(from + whole, length & 3));
  }

  function wordAt(from: number, bytes: number): number {
    let word = 0;
    for (let i = 0; i < bytes; i++) word |= (u8[from + i] as number) << (i * 8);
    return word;
  }

  const slotAt = (table: number, number: number) => get(table + BASE) + (number - 1) * get(table + SLOT_BYTES);

  /** The place in the index of a slot's number. */
  function placeOf(table: number, number: number): number {
    const index = get(table + INDEX) >>> 2;
    const mask = get(table + INDEX_MASK);
    let at = secretHash(table, slotAt(table, number)) & mask;
    while (u32[index + at * 2] !== number) at = (at + 1) & mask;
    return at;
  }

  function find(table: number, image: number): number {
    const index = get(table + INDEX) >>> 2;
    const mask = get(table + INDEX_MASK);
    const hash = secretHash(table, image);
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const number = u32[index + at * 2] as number;
      if (number === 0) return 0;
      if (u32[index + at * 2 + 1] !== hash) continue;
      const slot = slotAt(table, number);
      if (sameKey(table, image, slot)) return slot;
    }
  }

  return {
    probe(table, images, stride, count, slots) {
      const index = get(table + INDEX) >>> 2;
      const mask = get(table + INDEX_MASK);
      for (let i = 0; i < count; i++) {
        const image = images + i * stride;
        const hash = secretHash(table, image);
        let slot = 0;
        for (let at = hash & mask; slot === 0; at = (at + 1) & mask) {
          const number = u32[index + at * 2] as number;
          if (number === 0) {
            slot = slotAt(table, get(table + USED) + 1);
            if (!insert(table, image, slot)) return i;
            u32[index + at * 2] = get(table + USED);
            u32[index + at * 2 + 1] = hash;
          } else if (u32[index + at * 2 + 1] === hash && sameKey(table, image, slotAt(table, number))) slot = slotAt(table, number);
        }
        u32[(slots >>> 2) + i] = slot;
      }
      return count;
    },
    find,
    remove(table, slot) {
      const index = get(table + INDEX) >>> 2;
      const mask = get(table + INDEX_MASK);
      const slotBytes = get(table + SLOT_BYTES);
      const last = get(table + USED);
      const number = (slot - get(table + BASE)) / slotBytes + 1;
      forgetLong(table, slot);
      let gap = placeOf(table, number);
      for (let at = (gap + 1) & mask; u32[index + at * 2] !== 0; at = (at + 1) & mask) {
        const home = (u32[index + at * 2 + 1] as number) & mask;
        if (((at - home) & mask) < ((at - gap) & mask)) continue;
        u32[index + gap * 2] = u32[index + at * 2] as number;
        u32[index + gap * 2 + 1] = u32[index + at * 2 + 1] as number;
        gap = at;
      }
      u32[index + gap * 2] = 0;
      u32[index + gap * 2 + 1] = 0;
      if (number !== last) {
        u32[index + placeOf(table, last) * 2] = number;
        u8.copyWithin(slot, slotAt(table, last), slotAt(table, last) + slotBytes);
      }
      u32[slotAt(table, last) >>> 2] = 0;
      u32[(table + USED) >>> 2] = last - 1;
    },
    groupCrowd(table) {
      const slotBytes = get(table + SLOT_BYTES);
      const index = get(table + INDEX) >>> 2;
      const mask = get(table + INDEX_MASK);
      const end = get(table + BASE) + get(table + CAPACITY) * slotBytes;
      u32.fill(0, index, index + (mask + 1) * 2);
      let to = get(table + BASE);
      let number = 0;
      for (let slot = to; slot < end; slot += slotBytes) {
        if (get(slot) === 0) continue;
        if (slot !== to) u8.copyWithin(to, slot, slot + slotBytes);
        const hash = secretHash(table, to);
        let at = hash & mask;
        while (u32[index + at * 2] !== 0) at = (at + 1) & mask;
        u32[index + at * 2] = ++number;
        u32[index + at * 2 + 1] = hash;
        to += slotBytes;
      }
      u8.fill(0, to, end);
    },
  };
}
