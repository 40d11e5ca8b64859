/**
 * The hash of keys: 32 bits, the same in TypeScript and in the kernels, bit for bit.
 *
 * Tables index by the top bits; the topmost SHARD_BITS choose the shard. Integers go through lowbias32
 * (Wellons, "Hash function prospector", 2018), a bijection, so that distinct 32-bit keys never share a hash.
 * Byte strings go in blocks, whose words are mixed as in MurmurHash3 (Appleby, 2011). A composite key chains:
 * the hash of a value is seeded with that of the values before it.
 */

export const SHARD_BITS = 6;
export const SHARD_COUNT = 1 << SHARD_BITS;

/** The shard of a hash (or of a slot's tag): its top bits. */
export function shardOf(hash: number): number {
  return hash >>> (32 - SHARD_BITS);
}

const NULL_WORD = 0x6e_75_6c_6c;
const LONG_SEED = 0x9e_37_79_b9;

/** Mixes a 32-bit word: a bijection with low bias. */
export function mix32(word: number): number {
  let x = word | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21_f0_aa_ad);
  x = Math.imul(x ^ (x >>> 15), 0x73_5a_2d_97);
  return (x ^ (x >>> 15)) >>> 0;
}

/** The hash of a 4-byte value. `seed` is the hash of the key's earlier values, 0 for the first. */
export function hashWord(word: number, seed: number): number {
  return mix32(word ^ seed);
}

/** The hash of an 8-byte value given as its halves. */
export function hashLong(low: number, high: number, seed: number): number {
  return mix32(low ^ mix32(high ^ seed ^ LONG_SEED));
}

export function hashNull(seed: number): number {
  return mix32(NULL_WORD ^ seed);
}

/**
 * The hash of `length` bytes at `start` of `u8`: blocks of 32 bytes, zero-padded, at least one. In a block
 * each of 8 words is mixed by its own multiplier and the results are added, so that one block is a few SIMD
 * instructions.
 */
export function hashBytes(u8: Uint8Array, start: number, length: number, seed: number): number {
  const end = start + length;
  let hash = seed ^ Math.imul(length, LONG_SEED);
  let at = start;
  do {
    let sum = 0;
    // Words of zeros add nothing.
    for (let lane = 0; lane < 8 && at < end; lane++, at += 4) {
      let word = u8[at] as number;
      if (at + 1 < end) word |= (u8[at + 1] as number) << 8;
      if (at + 2 < end) word |= (u8[at + 2] as number) << 16;
      if (at + 3 < end) word |= (u8[at + 3] as number) << 24;
      const k = Math.imul(word, LANE_FACTORS[lane] as number);
      sum = (sum + Math.imul((k << 15) | (k >>> 17), BLOCK_FACTOR)) | 0;
    }
    hash = mix32(hash ^ sum);
  } while (at < end);
  return hash;
}

/** {@link hashBytes} of at most 32 bytes at `u32` index `at`, followed by zeros up to a multiple of 4. */
export function hashPadded(u32: Uint32Array, at: number, length: number, seed: number): number {
  let sum = 0;
  for (let lane = 0; lane < (length + 3) >>> 2; lane++) {
    const k = Math.imul(u32[at + lane] as number, LANE_FACTORS[lane] as number);
    sum = (sum + Math.imul((k << 15) | (k >>> 17), BLOCK_FACTOR)) | 0;
  }
  return mix32(seed ^ Math.imul(length, LONG_SEED) ^ sum);
}

const LANE_FACTORS = [0xcc_9e_2d_51, 0x85_eb_ca_6b, 0xc2_b2_ae_35, 0x27_d4_eb_2f, 0x16_56_67_b1, 0x9e_37_79_b1, 0x85_eb_ca_77, 0xc2_b2_ae_3d] as const;
const BLOCK_FACTOR = 0x1b_87_35_93;
