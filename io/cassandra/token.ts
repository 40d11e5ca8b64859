/**
 * Where a partition belongs: the token of Cassandra's Murmur3Partitioner (MurmurHash3 x64/128, its first half, with
 * bytes of the tail taken as signed, as Cassandra does). Only the upper 32 bits are given: they say which node owns a
 * partition, but for one in four billion.
 */

// 64-bit numbers as pairs of words. A result's upper word is in `high`.
let high = 0;

/** The upper word of the token of the partition key `from` to `to`. */
export function tokenHigh(u8: Uint8Array, from: number, to: number): number {
  const length = to - from;
  let h1 = 0;
  let h1High = 0;
  let h2 = 0;
  let h2High = 0;
  const blocks = length >>> 4;
  for (let block = 0; block < blocks; block++) {
    const at = from + block * 16;
    let k = mixFirst(word(u8, at), word(u8, at + 4));
    h1 ^= k;
    h1High ^= high;
    h1 = rotate(h1, h1High, 27);
    h1 = add(h1, high, h2, h2High);
    h1 = timesFiveAdd(h1, high, 0x52dce729);
    h1High = high;
    k = mixSecond(word(u8, at + 8), word(u8, at + 12));
    h2 ^= k;
    h2High ^= high;
    h2 = rotate(h2, h2High, 31);
    h2 = add(h2, high, h1, h1High);
    h2 = timesFiveAdd(h2, high, 0x38495ab5);
    h2High = high;
  }
  const tail = from + blocks * 16;
  const rest = length & 15;
  if (rest > 8) {
    const k = tailWord(u8, tail + 8, rest - 8);
    h2 ^= mixSecond(k, high);
    h2High ^= high;
  }
  if (rest > 0) {
    const k = tailWord(u8, tail, Math.min(rest, 8));
    h1 ^= mixFirst(k, high);
    h1High ^= high;
  }
  h1 ^= length;
  h2 ^= length;
  h1 = add(h1, h1High, h2, h2High);
  h1High = high;
  h2 = add(h2, h2High, h1, h1High);
  h2High = high;
  h1 = finish(h1, h1High);
  h1High = high;
  h2 = finish(h2, h2High);
  add(h1, h1High, h2, high);
  return high;
}

function word(u8: Uint8Array, at: number): number {
  return (u8[at] as number) | ((u8[at + 1] as number) << 8) | ((u8[at + 2] as number) << 16) | ((u8[at + 3] as number) << 24);
}

/** Up to eight bytes, each with its sign, one over the other. */
function tailWord(u8: Uint8Array, at: number, bytes: number): number {
  let low = 0;
  high = 0;
  for (let byte = bytes - 1; byte >= 0; byte--) {
    const value = ((u8[at + byte] as number) << 24) >> 24;
    if (byte >= 4) high ^= value << ((byte - 4) * 8);
    else {
      low ^= value << (byte * 8);
      // The bits that a shift to the left brings over, and the sign above them.
      high ^= byte === 0 ? value >> 31 : value >> (32 - byte * 8);
    }
  }
  return low;
}

const C1 = 0x114253d5;
const C1_HIGH = 0x87c37b91 | 0;
const C2 = 0x2745937f;
const C2_HIGH = 0x4cf5ad43;

function mixFirst(low: number, upper: number): number {
  let k = multiply(low, upper, C1, C1_HIGH);
  k = rotate(k, high, 31);
  return multiply(k, high, C2, C2_HIGH);
}

function mixSecond(low: number, upper: number): number {
  let k = multiply(low, upper, C2, C2_HIGH);
  k = rotate(k, high, 33);
  return multiply(k, high, C1, C1_HIGH);
}

function finish(low: number, upper: number): number {
  let k = low ^ (upper >>> 1);
  k = multiply(k, upper, 0xed558ccd | 0, 0xff51afd7 | 0);
  k ^= high >>> 1;
  k = multiply(k, high, 0x1a85ec53, 0xc4ceb9fe | 0);
  return k ^ (high >>> 1);
}

function timesFiveAdd(low: number, upper: number, more: number): number {
  const k = multiply(low, upper, 5, 0);
  return add(k, high, more, 0);
}

function add(low: number, upper: number, other: number, otherUpper: number): number {
  const sum = (low >>> 0) + (other >>> 0);
  high = (upper + otherUpper + (sum > 0xffff_ffff ? 1 : 0)) | 0;
  return sum | 0;
}

function rotate(low: number, upper: number, by: number): number {
  const one = by < 32 ? low : upper;
  const other = by < 32 ? upper : low;
  const bits = by & 31;
  high = (other << bits) | (one >>> (32 - bits));
  return (one << bits) | (other >>> (32 - bits));
}

/** The lower 64 bits of a product. */
function multiply(low: number, upper: number, other: number, otherUpper: number): number {
  const a0 = low & 0xffff;
  const a1 = low >>> 16;
  const b0 = other & 0xffff;
  const b1 = other >>> 16;
  const p00 = a0 * b0;
  const p10 = a1 * b0;
  const p01 = a0 * b1;
  const middle = (p00 >>> 16) + (p10 & 0xffff) + (p01 & 0xffff);
  high = (a1 * b1 + (p10 >>> 16) + (p01 >>> 16) + (middle >>> 16) + Math.imul(low, otherUpper) + Math.imul(upper, other)) | 0;
  return (p00 & 0xffff) | (middle << 16);
}
