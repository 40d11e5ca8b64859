/**
 * Sums of doubles without any error, so that what was added can be taken out again, in any order: a sum is a
 * list of doubles that do not overlap (Shewchuk, 1997), and its value is their sum, rounded once. What is not
 * finite is counted. Values so large that a sum of them might not be finite have a list of their own, divided
 * by 2^100. State is plain values.
 */

import { productError } from '../../core/index.ts';

export interface ExactSum {
  parts: number[];
  large: number[];
  nan: number;
  positive: number;
  negative: number;
}

const LARGE = 2 ** 920;
const SCALE = 2 ** 100;

export function exactSum(): ExactSum {
  return { parts: [], large: [], nan: 0, positive: 0, negative: 0 };
}

/** @param sign 1 adds the value, -1 takes it out */
export function addExactly(sum: ExactSum, value: number, sign: 1 | -1): void {
  if (Number.isNaN(value)) sum.nan += sign;
  else if (value === Number.POSITIVE_INFINITY) sum.positive += sign;
  else if (value === Number.NEGATIVE_INFINITY) sum.negative += sign;
  else if (Math.abs(value) >= LARGE) grow(sum.large, (sign * value) / SCALE);
  else grow(sum.parts, sign * value);
}

export function valueOfSum({ parts, large, nan, positive, negative }: ExactSum): number {
  if (nan > 0 || (positive > 0 && negative > 0)) return Number.NaN;
  if (positive > 0) return Number.POSITIVE_INFINITY;
  if (negative > 0) return Number.NEGATIVE_INFINITY;
  if (large.length === 0) return rounded(parts);
  const all = [...large];
  for (const part of parts) grow(all, part / SCALE);
  return rounded(all) * SCALE;
}

/** The value of n * squares - sum * sum, of finite sums: the numerator of a variance. */
export function spreadOf(n: number, sum: ExactSum, squares: ExactSum): number {
  const [s, q] = [valueOfSum(sum), valueOfSum(squares)];
  if (!Number.isFinite(s) || !Number.isFinite(q)) return Number.NaN;
  if (sum.large.length > 0 || squares.large.length > 0) return Math.max(0, n * q - s * s);
  const parts: number[] = [];
  for (const part of squares.parts) addProduct(parts, n, part, 1);
  for (const a of sum.parts) for (const b of sum.parts) addProduct(parts, a, b, -1);
  return Math.max(0, rounded(parts));
}

/** Adds the square of a value, with all its digits where they are within the range of a double. */
export function addSquare(sum: ExactSum, value: number, sign: 1 | -1): void {
  if (!Number.isFinite(value) || Math.abs(value) > 1e150) {
    addExactly(sum, value * value, sign);
    return;
  }
  const high = value * value;
  addExactly(sum, high, sign);
  addExactly(sum, lowOf(value, value, high), sign);
}

function addProduct(parts: number[], a: number, b: number, sign: 1 | -1): void {
  const high = a * b;
  grow(parts, sign * high);
  grow(parts, sign * lowOf(a, b, high));
}

/** What a product lost when it was rounded; nothing of one beyond the range of doubles. */
function lowOf(a: number, b: number, high: number): number {
  const low = productError(a, b, high);
  return Number.isFinite(low) ? low : 0;
}

/** Adds a finite value to a list of doubles of growing size that do not overlap. */
function grow(parts: number[], value: number): void {
  let x = value;
  let kept = 0;
  for (let i = 0; i < parts.length; i++) {
    let y = parts[i] as number;
    if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
    const high = x + y;
    const low = y - (high - x);
    if (low !== 0) parts[kept++] = low;
    x = high;
  }
  parts.length = kept;
  if (x !== 0) parts.push(x);
}

/** The sum of the parts, correctly rounded. */
function rounded(parts: readonly number[]): number {
  let n = parts.length;
  if (n === 0) return 0;
  let high = parts[--n] as number;
  let low = 0;
  while (n > 0) {
    const x = high;
    const y = parts[--n] as number;
    high = x + y;
    low = y - (high - x);
    if (low !== 0) break;
  }
  // Half-way cases are decided by what is further below.
  if (n > 0 && ((low < 0 && (parts[n - 1] as number) < 0) || (low > 0 && (parts[n - 1] as number) > 0))) {
    const y = low * 2;
    const x = high + y;
    if (y === x - high) high = x;
  }
  return high;
}
