// Key images with their hash. Contract: ImageKernels in core/groups/kernel-signatures.ts.

import { hashBlock, hashBytes, hashLong, hashLongx4, hashNull, hashStart, hashWord, loadPadded, loadSlowly, mix32x4 } from "./hash";

const FIRST_KEY: u32 = 1;
const LAST_KEY: u32 = 2;

// @ts-ignore: decorator
@inline
function putHash(image: usize, hash: u32, isNull: bool, nullBit: u32, flags: u32): void {
  const tag = hash | ((flags & LAST_KEY) >>> 1);
  const bits: u32 = isNull ? nullBit : 0;
  if (flags & FIRST_KEY) store<u64>(image, (<u64>bits << 32) | <u64>tag);
  else {
    store<u32>(image, tag);
    if (isNull) store<u32>(image, load<u32>(image, 4) | nullBit, 4);
  }
}

// @ts-ignore: decorator
@inline
function seedOf(image: usize, flags: u32): u32 {
  return flags & FIRST_KEY ? 0 : load<u32>(image);
}

export function groupImageNone(images: usize, stride: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) store<u64>(images + <usize>i * stride, 1);
}

export function groupImageWords(images: usize, stride: usize, offset: usize, count: u32, words: usize, nulls: usize, nullBit: u32, flags: u32): void {
  let i: u32 = 0;
  if (stride == 8 && nulls == 0) {
    // The commonest key, one word without nulls: four images are tag, key, tag, key ...
    const one = i32x4.splat(1);
    for (; i + 4 <= count; i += 4) {
      const keys = v128.load(words + (<usize>i << 2));
      const tags = v128.or(mix32x4(keys), one);
      v128.store(images + (<usize>i << 3), v128.shuffle<i32>(tags, keys, 0, 4, 1, 5));
      v128.store(images + (<usize>i << 3), v128.shuffle<i32>(tags, keys, 2, 6, 3, 7), 16);
    }
  }
  for (; i < count; i++) {
    const image = images + <usize>i * stride;
    const seed = seedOf(image, flags);
    const isNull = nulls != 0 && load<u8>(nulls + i) == 1;
    const word: u32 = isNull ? 0 : load<u32>(words + (<usize>i << 2));
    putHash(image, isNull ? hashNull(seed) : hashWord(word, seed), isNull, nullBit, flags);
    store<u32>(image + offset, word);
  }
}

export function groupImageLongs(images: usize, stride: usize, offset: usize, count: u32, longs: usize, nulls: usize, nullBit: u32, flags: u32): void {
  let i: u32 = 0;
  if (stride == 16 && nulls == 0 && flags == (FIRST_KEY | LAST_KEY)) {
    // One 8-byte value without nulls: an image is tag, 0, low, high.
    const one = i32x4.splat(1);
    const zero = i32x4.splat(0);
    for (; i + 4 <= count; i += 4) {
      const from = longs + (<usize>i << 3);
      const a = v128.load(from);
      const b = v128.load(from, 16);
      const tags = v128.or(hashLongx4(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7)), one);
      const low = v128.shuffle<i32>(tags, zero, 0, 4, 1, 5);
      const high = v128.shuffle<i32>(tags, zero, 2, 6, 3, 7);
      const image = images + (<usize>i << 4);
      v128.store(image, v128.shuffle<i64>(low, a, 0, 2));
      v128.store(image, v128.shuffle<i64>(low, a, 1, 3), 16);
      v128.store(image, v128.shuffle<i64>(high, b, 0, 2), 32);
      v128.store(image, v128.shuffle<i64>(high, b, 1, 3), 48);
    }
  }
  for (; i < count; i++) {
    const image = images + <usize>i * stride;
    const seed = seedOf(image, flags);
    const isNull = nulls != 0 && load<u8>(nulls + i) == 1;
    const value: u64 = isNull ? 0 : load<u64>(longs + (<usize>i << 3));
    putHash(image, isNull ? hashNull(seed) : hashLong(value, seed), isNull, nullBit, flags);
    store<u64>(image + offset, value);
  }
}

export function groupImageBytes(images: usize, stride: usize, offset: usize, inlineBytes: u32, count: u32, data: usize, offsets: usize, selection: usize, from: u32, nulls: usize, nullBit: u32, flags: u32): void {
  const memoryEnd = <usize>memory.size() << 16;
  for (let i: u32 = 0; i < count; i++) {
    const image = images + <usize>i * stride;
    const field = image + offset;
    const seed = seedOf(image, flags);
    const isNull = nulls != 0 && load<u8>(nulls + i) == 1;
    const row = selection == 0 ? from + i : load<u32>(selection + (<usize>(from + i) << 2));
    const ends = offsets + (<usize>row << 2);
    const start = load<u32>(ends);
    const length: u32 = isNull ? 0 : load<u32>(ends, 4) - start;
    const source = data + start;
    if (length <= inlineBytes) {
      const tail: u32 = length > 16 ? length - 16 : 0;
      let low: v128;
      let high: v128;
      if (source + 32 <= memoryEnd) {
        low = loadPadded(source, length);
        high = loadPadded(source + 16, tail);
      } else {
        low = loadSlowly(source, length);
        high = loadSlowly(source + 16, tail);
      }
      putHash(image, isNull ? hashNull(seed) : hashBlock(hashStart(length, seed), low, high), isNull, nullBit, flags);
      store<u32>(field, length);
      v128.store(field, low, 4);
      if (inlineBytes == 24) store<u64>(field, i64x2.extract_lane(high, 0), 20);
      else store<u32>(field, i32x4.extract_lane(high, 0), 20);
    } else {
      putHash(image, hashBytes(source, length, seed, memoryEnd), false, nullBit, flags);
      store<u32>(field, length);
      store<u32>(field, <u32>source, 4);
      for (let at: usize = 8; at < <usize>inlineBytes + 4; at += 4) store<u32>(field + at, 0);
    }
  }
}
