/** Progress at one time, small enough to keep some hundred of them. */

import type { BackPressure, Progress } from './progress.ts';

/** Beyond this many partitions a sample has the sums only. */
const PARTITIONS_SAMPLED_MAX = 1_000;

export interface ProgressSample {
  /** ms since 1970. */
  readonly atMs: number;
  readonly state: Progress['state'];
  readonly rowsIn: number;
  readonly rowsOut: number;
  readonly bytesIn: number;
  readonly lag: number | undefined;
  readonly watermark: number;
  readonly stateBytes: number;
  readonly spilledBytes: number;
  readonly memoryBytes: number;
  readonly backPressure: BackPressure;
  /** By partition, in the order of `Progress.partitions`; NaN: unknown. Empty where there are more than 1,000. */
  readonly lags: Float64Array;
  readonly watermarks: Float64Array;
}

/** Taken now. */
export function sampleOf({
  state,
  rowsIn,
  rowsOut,
  bytesIn,
  lag,
  watermark,
  stateBytes,
  spilledBytes,
  memory,
  backPressure,
  partitions,
}: Progress): ProgressSample {
  const sampled = partitions.length > PARTITIONS_SAMPLED_MAX ? [] : partitions;
  return {
    atMs: Date.now(),
    state,
    rowsIn,
    rowsOut,
    bytesIn,
    lag,
    watermark,
    stateBytes,
    spilledBytes,
    memoryBytes: memory.usedBytes,
    backPressure,
    lags: Float64Array.from(sampled, (one) => one.lag ?? Number.NaN),
    watermarks: Float64Array.from(sampled, (one) => one.watermark),
  };
}
