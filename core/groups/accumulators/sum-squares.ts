/**
 * The sum of squares, for variances, as two doubles (106 bits). Each product is exact (Dekker 1971;
 * Veltkamp's split) and added with its error carried along, as in sums. With the compensated sum of the same
 * column it gives the variance as (Q - S S / n) / n. The cancellation in it costs the square of mean /
 * deviation, of 106 bits. So all digits of a double are right up to a ratio of 10^7, some ten at 10^9
 * (measured), some six at 10^12, where a running mean (Welford 1962; Chan, Golub and LeVeque 1979) keeps
 * three or four.
 *
 * A running mean would round differently by the order of rows and merges; this sum does so only beyond its
 * 106 bits.
 *
 * It is not subtracted. When a value a billion times the others leaves a window, its square would leave a
 * rounding error as large as the squares of the others.
 *
 * For i64 values the squares are exact, too. Where a value or its square (beyond 10^150) is not finite, the
 * variance is NaN. Squares below 10^-290 are lost.
 */

import type { SharedMemory } from '../../memory/index.ts';
import { addExactly, addProduct, productError } from '../../two-doubles.ts';
import type { StateBehaviour } from './accumulator.ts';

const TWO_32 = 4_294_967_296;

export function sumSquares(isLong: boolean): StateBehaviour {
  return {
    slotBytes: 16,
    pointers: [],
    isRowWise: true,
    canSubtract: false,
    fuses: undefined,
    identity: (memory, field) => memory.u32.fill(0, field >>> 2, (field >>> 2) + 4),
    update(_kernels, slots, count, offset, values, { arena, nulls }) {
      const { f64, u32, i32, u8 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 3;
        if (!isLong) {
          addProduct(f64, at, f64[(values >>> 3) + i] as number, f64[(values >>> 3) + i] as number, 1);
          continue;
        }
        // (a + b)^2 of the upper and the lower half, both exact doubles.
        const a = (i32[(values >>> 2) + i * 2 + 1] as number) * TWO_32;
        const b = u32[(values >>> 2) + i * 2] as number;
        if (a !== 0) {
          addProduct(f64, at, a, a, 1);
          addProduct(f64, at, a, b, 2);
        }
        addProduct(f64, at, b, b, 1);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, { memory: { f64, u32 } }) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 3;
        const from = (fields + i * stride) >>> 3;
        addExactly(f64, at, f64[from] as number, f64[from + 1] as number);
      }
    },
    finish(kernels, slots, count, offset, to) {
      kernels.groupGatherSumF64(slots, count, offset, to);
      return 0;
    },
  };
}

/**
 * The variance of `count` values from the fields of their sum (f64 hi, lo or, with `isLong`, i128) and of
 * their squares. NaN where it is not finite.
 */
export function varianceOf(memory: SharedMemory, count: number, sumField: number, isLong: boolean, squaresField: number, divisor: number): number {
  const { f64, u32, i32 } = memory;
  let hi: number;
  let lo: number;
  if (isLong) {
    const at = sumField >>> 2;
    hi = (i32[at + 3] as number) * TWO_32 ** 3;
    lo = 0;
    for (let w = 2; w >= 0; w--) {
      const x = (u32[at + w] as number) * TWO_32 ** w;
      const sum = hi + x;
      const part = sum - hi;
      lo += hi - (sum - part) + (x - part);
      hi = sum;
    }
  } else {
    hi = f64[sumField >>> 3] as number;
    lo = f64[(sumField >>> 3) + 1] as number;
  }
  // The mean as two doubles, m + r, then Q - S m - S r.
  const s = hi + lo;
  const sRest = lo - (s - hi);
  const m = s / count;
  const back = m * count;
  const r = (s - back - productError(m, count, back) + sRest) / count;
  const product = s * m;
  const productRest = productError(s, m, product) + s * r + sRest * m;
  const q = f64[squaresField >>> 3] as number;
  const qRest = f64[(squaresField >>> 3) + 1] as number;
  const difference = q - product;
  const part = difference - q;
  const error = q - (difference - part) - (product + part);
  const variance = (difference + (error + qRest - productRest)) / divisor;
  return variance < 0 ? 0 : Number.isFinite(variance) ? variance : Number.NaN;
}
