// The hash of keys (core/hash.ts), bit for bit.

const NULL_WORD: u32 = 0x6e756c6c;
const LONG_SEED: u32 = 0x9e3779b9;
const BLOCK_FACTOR: u32 = 0x1b873593;

// @ts-ignore: decorator
@inline
export function mix32(word: u32): u32 {
  let x = (word ^ (word >>> 16)) * 0x21f0aaad;
  x = (x ^ (x >>> 15)) * 0x735a2d97;
  return x ^ (x >>> 15);
}

// mix32 of four words.
// @ts-ignore: decorator
@inline
export function mix32x4(words: v128): v128 {
  let x = i32x4.mul(v128.xor(words, i32x4.shr_u(words, 16)), i32x4.splat(0x21f0aaad));
  x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 15)), i32x4.splat(0x735a2d97));
  return v128.xor(x, i32x4.shr_u(x, 15));
}

// @ts-ignore: decorator
@inline
export function hashWord(word: u32, seed: u32): u32 {
  return mix32(word ^ seed);
}

// @ts-ignore: decorator
@inline
export function hashLong(value: u64, seed: u32): u32 {
  return mix32(<u32>value ^ mix32(<u32>(value >>> 32) ^ seed ^ LONG_SEED));
}

// hashLong of four values given as their halves, seed 0.
// @ts-ignore: decorator
@inline
export function hashLongx4(low: v128, high: v128): v128 {
  return mix32x4(v128.xor(low, mix32x4(v128.xor(high, i32x4.splat(<i32>LONG_SEED)))));
}

// @ts-ignore: decorator
@inline
export function hashNull(seed: u32): u32 {
  return mix32(NULL_WORD ^ seed);
}

// @ts-ignore: decorator
@inline
export function hashStart(length: u32, seed: u32): u32 {
  return seed ^ (length * LONG_SEED);
}

// One block of 32 bytes, zero-padded.
// @ts-ignore: decorator
@inline
export function hashBlock(hash: u32, low: v128, high: v128): u32 {
  const a = i32x4.mul(low, i32x4(<i32>0xcc9e2d51, <i32>0x85ebca6b, <i32>0xc2b2ae35, 0x27d4eb2f));
  const b = i32x4.mul(high, i32x4(0x165667b1, <i32>0x9e3779b1, <i32>0x85ebca77, <i32>0xc2b2ae3d));
  const ra = v128.or(i32x4.shl(a, 15), i32x4.shr_u(a, 17));
  const rb = v128.or(i32x4.shl(b, 15), i32x4.shr_u(b, 17));
  // The factor is common: add first, then multiply.
  const sums = i32x4.add(ra, rb);
  const pairs = i32x4.add(sums, v128.shuffle<i32>(sums, sums, 2, 3, 0, 1));
  const sum = i32x4.extract_lane(i32x4.add(pairs, v128.shuffle<i32>(pairs, pairs, 1, 0, 3, 2)), 0);
  return mix32(hash ^ (<u32>sum * BLOCK_FACTOR));
}

// The first 16 bytes of `length` at `from`, zeros behind them; 16 bytes at `from` must be readable.
// @ts-ignore: decorator
@inline
export function loadPadded(from: usize, length: u32): v128 {
  const mask = i8x16.lt_u(i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), i8x16.splat(<i8>min<u32>(length, 16)));
  return v128.and(v128.load(from), mask);
}

// The hash of bytes at any place, 32 of them readable behind each block's start or not.
export function hashBytes(from: usize, length: u32, seed: u32, memoryEnd: usize): u32 {
  let hash = hashStart(length, seed);
  let at = from;
  let left = length;
  do {
    if (at + 32 <= memoryEnd) {
      hash = hashBlock(hash, loadPadded(at, left), loadPadded(at + 16, left > 16 ? left - 16 : 0));
    } else {
      hash = hashBlock(hash, loadSlowly(at, left), loadSlowly(at + 16, left > 16 ? left - 16 : 0));
    }
    at += 32;
    left = left > 32 ? left - 32 : 0;
  } while (left > 0);
  return hash;
}

// loadPadded without reading behind the bytes.
export function loadSlowly(from: usize, length: u32): v128 {
  let low: u64 = 0;
  let high: u64 = 0;
  const count = min<u32>(length, 16);
  for (let i: u32 = 0; i < count; i++) {
    const byte = <u64>load<u8>(from + i);
    if (i < 8) low |= byte << (<u64>i << 3);
    else high |= byte << (<u64>(i - 8) << 3);
  }
  return i64x2(<i64>low, <i64>high);
}
