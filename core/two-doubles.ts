/**
 * A number as two doubles, high and low: 106 bits. What a sum rounds off goes to the low one (TwoSum: Knuth, "The
 * Art of Computer Programming", volume 2, 4.2.2), and a product is exact with its error (Dekker, "A Floating-Point
 * Technique for Extending the Available Precision", 1971; Veltkamp's split).
 */

const SPLIT = 134_217_729;

/** Adds x + extra to the two doubles at `at` (in doubles). An error that is no number, of infinities, is left out. */
export function addExactly(f64: Float64Array, at: number, x: number, extra: number): void {
  const high = f64[at] as number;
  const sum = high + x;
  const part = sum - high;
  const error = high - (sum - part) + (x - part);
  f64[at] = sum;
  f64[at + 1] = (f64[at + 1] as number) + (error === error ? error : 0) + (extra === extra ? extra : 0);
}

/** Adds factor * x * y; the factor is a power of two, or the negative of one. */
export function addProduct(f64: Float64Array, at: number, x: number, y: number, factor: 1 | 2 | -1 | -2): void {
  const product = x * y;
  addExactly(f64, at, factor * product, factor * productError(x, y, product));
}

/** What `product`, x * y, has lost by rounding. */
export function productError(x: number, y: number, product: number): number {
  const cx = SPLIT * x;
  const xh = cx - (cx - x);
  const xl = x - xh;
  const cy = SPLIT * y;
  const yh = cy - (cy - y);
  const yl = y - yh;
  return xl * yl - (product - xh * yh - xl * yh - xh * yl);
}
