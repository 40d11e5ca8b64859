/** TypeScript reference of the gather kernels (kernel-signatures.ts): one field of many slots to a column. */

import type { SharedMemory } from '../../memory/index.ts';
import type { GatherKernels } from '../kernel-signatures.ts';

const TWO_32 = 4_294_967_296;

export function gatherReference(memory: SharedMemory): GatherKernels {
  const { u8, u32, i32, f64 } = memory;
  const clearBit = (bits: number, row: number) => {
    u8[bits + (row >>> 3)] = (u8[bits + (row >>> 3)] as number) & ~(1 << (row & 7));
  };

  return {
    groupGatherWords(slots, count, offset, to) {
      for (let i = 0; i < count; i++) u32[(to >>> 2) + i] = u32[((u32[(slots >>> 2) + i] as number) + offset) >>> 2] as number;
    },
    groupGatherLongs(slots, count, offset, to) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        u32[(to >>> 2) + i * 2] = u32[at] as number;
        u32[(to >>> 2) + i * 2 + 1] = u32[at + 1] as number;
      }
    },
    groupGatherSumF64(slots, count, offset, to) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 3;
        f64[(to >>> 3) + i] = (f64[at] as number) + (f64[at + 1] as number);
      }
    },
    groupGatherSumI64(slots, count, offset, to) {
      let overflows = 0;
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        const extension = (i32[at + 1] as number) >> 31;
        if (i32[at + 2] !== extension || i32[at + 3] !== extension) overflows++;
        u32[(to >>> 2) + i * 2] = u32[at] as number;
        u32[(to >>> 2) + i * 2 + 1] = u32[at + 1] as number;
      }
      return overflows;
    },
    groupGatherSumI64AsF64(slots, count, offset, to) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        const high = (i32[at + 3] as number) * TWO_32 + (u32[at + 2] as number);
        const low = (u32[at + 1] as number) * TWO_32 + (u32[at] as number);
        // Small negative sums have only ones in the upper words: taken as a signed 64-bit number they lose
        // nothing.
        const isLong = i32[at + 2] === (i32[at + 1] as number) >> 31 && i32[at + 3] === i32[at + 2];
        f64[(to >>> 3) + i] = isLong ? (i32[at + 1] as number) * TWO_32 + (u32[at] as number) : high * (TWO_32 * TWO_32) + low;
      }
    },
    groupGatherI64AsF64(slots, count, offset, to) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        f64[(to >>> 3) + i] = (i32[at + 1] as number) * TWO_32 + (u32[at] as number);
      }
    },
    groupGatherLength(slots, count, offset) {
      let length = 0;
      for (let i = 0; i < count; i++) length += u32[((u32[(slots >>> 2) + i] as number) + offset) >>> 2] as number;
      return length;
    },
    groupGatherBytes(slots, count, offset, inlineBytes, data, position, ends) {
      let at = position;
      for (let i = 0; i < count; i++) {
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const length = u32[field >>> 2] as number;
        const source = length > inlineBytes ? (u32[(field >>> 2) + 1] as number) : field + 4;
        u8.copyWithin(data + at, source, source + length);
        at += length;
        i32[(ends >>> 2) + i] = at;
      }
    },
    groupGatherNulls(slots, count, nullBit, validity, row) {
      for (let i = 0; i < count; i++) if ((u32[((u32[(slots >>> 2) + i] as number) >>> 2) + 1] as number) & nullBit) clearBit(validity, row + i);
    },
    groupGatherEmpty(slots, count, offset, validity, row) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        if (u32[at] === 0 && u32[at + 1] === 0) clearBit(validity, row + i);
      }
    },
  };
}
