/**
 * A hash of 64 bits, as two words, for sketches. HyperLogLog and linear counting are off by the number of
 * collisions, so the 32 bits of the group table's hash are too few for them. The hash is the same on every
 * machine; sketches of different jobs can be merged.
 *
 * Integers: two seeded mixes (lowbias32, Wellons 2018), which collide together for 2^-64 of all pairs. Bytes:
 * two streams of MurmurHash3's body (Appleby, 2011) with different constants, mixed with each other at the
 * end.
 */

import { mix32 } from '../../hash.ts';

const SEED_LOW = 0x3c_6e_f3_72;
const SEED_HIGH = 0x1b_87_35_93;

/** The first word of the last hash. */
export let hashLow = 0;
/** The second word of the last hash. */
export let hashHigh = 0;

/** Hashes 8 bytes given as two words. */
export function hash64Long(low: number, high: number): void {
  hashLow = mix32(low ^ mix32(high ^ SEED_LOW));
  hashHigh = mix32(high ^ mix32(low ^ SEED_HIGH));
}

/** Hashes `length` bytes at `start`. */
export function hash64Bytes(u8: Uint8Array, start: number, length: number): void {
  let a = SEED_LOW ^ length;
  let b = SEED_HIGH ^ length;
  for (let at = start, end = start + length; at < end; at += 4) {
    let word = u8[at] as number;
    if (at + 1 < end) word |= (u8[at + 1] as number) << 8;
    if (at + 2 < end) word |= (u8[at + 2] as number) << 16;
    if (at + 3 < end) word |= (u8[at + 3] as number) << 24;
    let k = Math.imul(word, 0xcc_9e_2d_51);
    a ^= Math.imul((k << 15) | (k >>> 17), 0x1b_87_35_93);
    a = (Math.imul((a << 13) | (a >>> 19), 5) + 0xe6_54_6b_64) | 0;
    k = Math.imul(word, 0x23_9b_96_1b);
    b ^= Math.imul((k << 16) | (k >>> 16), 0xab_0e_97_89);
    b = (Math.imul((b << 17) | (b >>> 15), 5) + 0x38_b3_4a_e5) | 0;
  }
  hash64Long(a >>> 0, b >>> 0);
}
