/** A histogram: how many values were at most so large, for some bounds, and their sum. As Prometheus counts. */

/** Seconds, from a millisecond to a minute. */
export const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
/** Bytes, from a KiB to a GiB. */
export const BYTES = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30].map((bits) => 2 ** bits);

export class Histogram {
  readonly bounds: readonly number[];
  /** By bound: values that are greater than the bound before, and at most this one. The last: greater than all. */
  readonly counts: number[];
  sum = 0;
  count = 0;

  /** @param bounds ascending */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  record(value: number): void {
    let at = 0;
    while (at < this.bounds.length && value > (this.bounds[at] as number)) at++;
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sum += value;
    this.count++;
  }
}
