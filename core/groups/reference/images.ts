/**
 * TypeScript reference of the image kernels (kernel-signatures.ts): the key part of a slot for every row of a
 * tile, hash included.
 */

import { hashBytes, hashLong, hashNull, hashPadded, hashWord } from '../../hash.ts';
import type { SharedMemory } from '../../memory/index.ts';
import type { ImageKernels } from '../kernel-signatures.ts';

const FIRST_KEY = 1;
const LAST_KEY = 2;

export function imageReference(memory: SharedMemory): ImageKernels {
  const { u8, i32, u32 } = memory;

  /** Adds the hash of one more column to the image's tag and, where it is null, its bit to the null mask. */
  function putHash(image: number, hash: number, isNull: boolean, nullBit: number, flags: number): void {
    const at = image >>> 2;
    u32[at] = flags & LAST_KEY ? hash | 1 : hash;
    if (flags & FIRST_KEY) u32[at + 1] = isNull ? nullBit : 0;
    else if (isNull) u32[at + 1] = (u32[at + 1] as number) | nullBit;
  }

  return {
    groupImageNone(images, stride, count) {
      for (let i = 0; i < count; i++) {
        u32[(images + i * stride) >>> 2] = 1;
        u32[((images + i * stride) >>> 2) + 1] = 0;
      }
    },
    groupImageWords(images, stride, offset, count, words, nulls, nullBit, flags) {
      for (let i = 0; i < count; i++) {
        const image = images + i * stride;
        const seed = flags & FIRST_KEY ? 0 : (u32[image >>> 2] as number);
        const isNull = nulls !== 0 && u8[nulls + i] === 1;
        const word = isNull ? 0 : (u32[(words >>> 2) + i] as number);
        putHash(image, isNull ? hashNull(seed) : hashWord(word, seed), isNull, nullBit, flags);
        u32[(image + offset) >>> 2] = word;
      }
    },
    groupImageLongs(images, stride, offset, count, longs, nulls, nullBit, flags) {
      for (let i = 0; i < count; i++) {
        const image = images + i * stride;
        const seed = flags & FIRST_KEY ? 0 : (u32[image >>> 2] as number);
        const isNull = nulls !== 0 && u8[nulls + i] === 1;
        const low = isNull ? 0 : (u32[(longs >>> 2) + i * 2] as number);
        const high = isNull ? 0 : (u32[(longs >>> 2) + i * 2 + 1] as number);
        putHash(image, isNull ? hashNull(seed) : hashLong(low, high, seed), isNull, nullBit, flags);
        u32[(image + offset) >>> 2] = low;
        u32[(image + offset + 4) >>> 2] = high;
      }
    },
    groupImageBytes(images, stride, offset, inlineBytes, count, data, offsets, selection, from, nulls, nullBit, flags) {
      for (let i = 0; i < count; i++) {
        const image = images + i * stride;
        const seed = flags & FIRST_KEY ? 0 : (u32[image >>> 2] as number);
        const isNull = nulls !== 0 && u8[nulls + i] === 1;
        const row = selection === 0 ? from + i : (u32[(selection >>> 2) + from + i] as number);
        const start = i32[(offsets >>> 2) + row] as number;
        const length = isNull ? 0 : (i32[(offsets >>> 2) + row + 1] as number) - start;
        const source = data + start;
        const at = (image + offset) >>> 2;
        for (let w = 1; w <= inlineBytes >>> 2; w++) u32[at + w] = 0;
        if (length <= inlineBytes) {
          for (let b = 0; b < length; b++) u8[image + offset + 4 + b] = u8[source + b] as number;
          putHash(image, isNull ? hashNull(seed) : hashPadded(u32, at + 1, length, seed), isNull, nullBit, flags);
        } else {
          u32[at + 1] = source;
          putHash(image, hashBytes(u8, source, length, seed), false, nullBit, flags);
        }
        // Behind the tag: the first key's tag is written with the word behind it, which may be this one.
        u32[at] = length;
      }
    },
  };
}
