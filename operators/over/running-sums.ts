/**
 * Sums that values are added to and taken from again, in the record of a key.
 *
 *   SUM       f64 high | f64 low | f64 sum of magnitudes | f64 values taken out | f64 NaNs | f64 +Infs | f64 -Infs
 *   SQUARES   f64 high | f64 low | f64 values taken out
 *
 * High and low are one number of 106 bits: what a sum rounds off goes to low (TwoSum), and a product is exact
 * (Dekker 1971). Values that are not finite are only counted, so that nothing is left of them when they go. A
 * sum whose largest part went (2^30 times what is left), that has overflowed, or that as many values were taken
 * from as there are, has to be built again of the values that are there: `remove` says so. For i64 the high part is a
 * multiple of 2^32, and the low part less than that: both are exact, and nothing is rounded.
 */

import { addExactly, addProduct } from '../../core/index.ts';

const TWO_32 = 4_294_967_296;
const LARGE = 2 ** 30;
const REMOVALS_MIN = 64;
/** Numbers of a SUM, and of SQUARES. */
export const SUM_NUMBERS = 7;
export const SQUARES_NUMBERS = 3;

/** Adds `sign` times a value to the SUM at f64 `at`. */
export function addToSum(f64: Float64Array, at: number, value: number, sign: 1 | -1): void {
  if (value - value !== 0) {
    const counter = at + (value !== value ? 4 : value > 0 ? 5 : 6);
    f64[counter] = (f64[counter] as number) + sign;
    return;
  }
  addExactly(f64, at, sign * value, 0);
  f64[at + 2] = (f64[at + 2] as number) + sign * Math.abs(value);
}

/** Adds `sign` times an i64, given as its words. */
export function addLongToSum(f64: Float64Array, at: number, low: number, high: number, sign: 1 | -1): void {
  let sumHigh = (f64[at] as number) + sign * high * TWO_32;
  let sumLow = (f64[at + 1] as number) + sign * low;
  if (sumLow >= TWO_32) {
    sumLow -= TWO_32;
    sumHigh += TWO_32;
  } else if (sumLow < 0) {
    sumLow += TWO_32;
    sumHigh -= TWO_32;
  }
  f64[at] = sumHigh;
  f64[at + 1] = sumLow;
}

/**
 * Whether a SUM has to be built again, now that `value` was taken out of it.
 *
 * @param left how many rows are still there
 */
export function isSumWorn(f64: Float64Array, at: number, value: number, left: number): boolean {
  const removals = (f64[at + 3] as number) + 1;
  f64[at + 3] = removals;
  const sum = f64[at] as number;
  if (sum - sum !== 0) return true;
  const size = Math.abs(value);
  return removals >= Math.max(REMOVALS_MIN, left) || (size > LARGE * (f64[at + 2] as number) && size !== Number.POSITIVE_INFINITY);
}

/** The sum as a number. */
export function sumOf(f64: Float64Array, at: number): number {
  const [nans, plus, minus] = [f64[at + 4] as number, f64[at + 5] as number, f64[at + 6] as number];
  if (nans > 0 || (plus > 0 && minus > 0)) return Number.NaN;
  if (plus > 0) return Number.POSITIVE_INFINITY;
  if (minus > 0) return Number.NEGATIVE_INFINITY;
  return (f64[at] as number) + (f64[at + 1] as number);
}

/** Whether only finite values are in it. */
export function isSumFinite(f64: Float64Array, at: number): boolean {
  return (f64[at + 4] as number) + (f64[at + 5] as number) + (f64[at + 6] as number) === 0;
}

/** Adds `sign` times the square of a value to SQUARES; values that are not finite are left to the SUM. */
export function addToSquares(f64: Float64Array, at: number, value: number, sign: 1 | -1): void {
  if (value - value !== 0) return;
  addProduct(f64, at, value, value, sign);
}

/** The same of an i64: (a + b)^2 of its upper and its lower half, both exact doubles. */
export function addLongToSquares(f64: Float64Array, at: number, low: number, high: number, sign: 1 | -1): void {
  const a = high * TWO_32;
  if (a !== 0) {
    addProduct(f64, at, a, a, sign);
    addProduct(f64, at, a, low, (sign * 2) as 2 | -2);
  }
  addProduct(f64, at, low, low, sign);
}

/** Whether SQUARES have to be built again, now that the square of `value` was taken out. */
export function areSquaresWorn(f64: Float64Array, at: number, value: number, left: number): boolean {
  const removals = (f64[at + 2] as number) + 1;
  f64[at + 2] = removals;
  const squares = f64[at] as number;
  return squares - squares !== 0 || removals >= Math.max(REMOVALS_MIN, left) || value * value > LARGE * Math.abs(squares);
}
