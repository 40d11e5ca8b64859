/**
 * TypeScript reference of the accumulate kernels (kernel-signatures.ts): one pass over a tile's slots per
 * accumulator.
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { AccumulateKernels } from '../kernel-signatures.ts';

const TWO_32 = 4_294_967_296;

export function accumulateReference(memory: SharedMemory): AccumulateKernels {
  const { u32, i32, f64 } = memory;

  function addF64(at: number, x: number): void {
    // TwoSum (Knuth, TAOCP 2, 4.2.2): hi + x exactly is sum + error.
    const hi = f64[at] as number;
    const sum = hi + x;
    const part = sum - hi;
    const error = hi - (sum - part) + (x - part);
    f64[at] = sum;
    // The error of a sum that is infinite or NaN is NaN. Leaving it out keeps hi + lo equal to hi.
    if (error === error) f64[at + 1] = (f64[at + 1] as number) + error;
  }

  /** Adds a 128-bit integer given as four words to the one at `at`. */
  function addI128(at: number, w0: number, w1: number, w2: number, w3: number): void {
    let sum = (u32[at] as number) + w0;
    u32[at] = sum;
    sum = (u32[at + 1] as number) + w1 + (sum >= TWO_32 ? 1 : 0);
    u32[at + 1] = sum;
    sum = (u32[at + 2] as number) + w2 + (sum >= TWO_32 ? 1 : 0);
    u32[at + 2] = sum;
    u32[at + 3] = (u32[at + 3] as number) + w3 + (sum >= TWO_32 ? 1 : 0);
  }

  return {
    groupCount(slots, count, offset) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        const low = (u32[at] as number) + 1;
        u32[at] = low;
        if (low === TWO_32) u32[at + 1] = (u32[at + 1] as number) + 1;
      }
    },
    groupAddI64(slots, count, offset, values, stride, sign) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        const from = (values + i * stride) >>> 2;
        if (sign > 0) {
          const low = (u32[at] as number) + (u32[from] as number);
          u32[at] = low;
          u32[at + 1] = (u32[at + 1] as number) + (u32[from + 1] as number) + (low >= TWO_32 ? 1 : 0);
        } else {
          const low = (u32[at] as number) - (u32[from] as number);
          u32[at] = low;
          u32[at + 1] = (u32[at + 1] as number) - (u32[from + 1] as number) - (low < 0 ? 1 : 0);
        }
      }
    },
    groupSumF64(slots, count, offset, values) {
      for (let i = 0; i < count; i++) addF64(((u32[(slots >>> 2) + i] as number) + offset) >>> 3, f64[(values >>> 3) + i] as number);
    },
    groupFuseF64(slots, count, values, countAt, sumAt, minAt, maxAt) {
      for (let i = 0; i < count; i++) {
        const slot = u32[(slots >>> 2) + i] as number;
        const x = (f64[(values >>> 3) + i] as number) + 0;
        if (countAt !== 0) {
          const at = (slot + countAt) >>> 2;
          const low = (u32[at] as number) + 1;
          u32[at] = low;
          if (low === TWO_32) u32[at + 1] = (u32[at + 1] as number) + 1;
        }
        if (sumAt !== 0) addF64((slot + sumAt) >>> 3, x);
        if (minAt !== 0) {
          const least = f64[(slot + minAt) >>> 3] as number;
          if (x < least || least !== least) f64[(slot + minAt) >>> 3] = x;
        }
        if (maxAt !== 0 && (x > (f64[(slot + maxAt) >>> 3] as number) || x !== x)) f64[(slot + maxAt) >>> 3] = x;
      }
    },
    groupSumI64(slots, count, offset, values) {
      for (let i = 0; i < count; i++) {
        const from = (values >>> 2) + i * 2;
        const extension = ((i32[from + 1] as number) >> 31) >>> 0;
        addI128(((u32[(slots >>> 2) + i] as number) + offset) >>> 2, u32[from] as number, u32[from + 1] as number, extension, extension);
      }
    },
    groupMergeSumF64(slots, count, offset, values, stride, sign) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 3;
        const from = (values + i * stride) >>> 3;
        addF64(at, sign * (f64[from] as number));
        f64[at + 1] = (f64[at + 1] as number) + sign * (f64[from + 1] as number);
      }
    },
    groupMergeSumI64(slots, count, offset, values, stride, sign) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        const from = (values + i * stride) >>> 2;
        const flip = sign > 0 ? 0 : -1;
        addI128(
          at,
          ((u32[from] as number) ^ flip) >>> 0,
          ((u32[from + 1] as number) ^ flip) >>> 0,
          ((u32[from + 2] as number) ^ flip) >>> 0,
          ((u32[from + 3] as number) ^ flip) >>> 0,
        );
        if (flip !== 0) addI128(at, 1, 0, 0, 0);
      }
    },
    groupMinF64(slots, count, offset, values, stride) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 3;
        // Adding 0 turns -0 into 0.
        const value = (f64[(values + i * stride) >>> 3] as number) + 0;
        const least = f64[at] as number;
        if (value < least || least !== least) f64[at] = value;
      }
    },
    groupMaxF64(slots, count, offset, values, stride) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 3;
        const value = (f64[(values + i * stride) >>> 3] as number) + 0;
        if (value > (f64[at] as number) || value !== value) f64[at] = value;
      }
    },
    groupMinI64(slots, count, offset, values, stride) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        const from = (values + i * stride) >>> 2;
        const high = i32[from + 1] as number;
        const leastHigh = i32[at + 1] as number;
        if (high < leastHigh || (high === leastHigh && (u32[from] as number) < (u32[at] as number))) {
          u32[at] = u32[from] as number;
          i32[at + 1] = high;
        }
      }
    },
    groupMaxI64(slots, count, offset, values, stride) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 2;
        const from = (values + i * stride) >>> 2;
        const high = i32[from + 1] as number;
        const greatestHigh = i32[at + 1] as number;
        if (high > greatestHigh || (high === greatestHigh && (u32[from] as number) > (u32[at] as number))) {
          u32[at] = u32[from] as number;
          i32[at + 1] = high;
        }
      }
    },
  };
}
