/**
 * Partitions of the sources, as the coordinator knows them: where each is, and what its source has reported.
 */

import type { Offset } from '../../io/index.ts';

/** What is known of one partition. Times are those of a monotonic clock. */
export interface PartitionState {
  readonly source: number;
  readonly partition: number;
  /** Its number among the partitions of all sources. */
  readonly global: number;
  /** Where reading began. */
  start: Offset;
  /** Position behind the last frame taken in; undefined before the first. */
  position: Offset | undefined;
  /** The position that was committed last; undefined: none in this run. */
  committed: Offset | undefined;
  /** Position behind the newest row that exists outside, as far as the source has reported. */
  high: Offset | undefined;
  ended: boolean;
  /** It is ours; false while it is not there, or once another process has it. */
  assigned: boolean;
  /** When rows last came in. */
  lastRowsAtMs: number;
  /**
   * Everything outside, as far as the source has reported, was taken in; and when it reported that last.
   * Idleness goes by it.
   */
  caughtUp: boolean;
  lookedAtMs: number;
}

/** Where an epoch is to be cut: by global partition its position, and whether it had ended there. */
export interface EpochCut {
  readonly positions: readonly Offset[];
  readonly ended: readonly boolean[];
}

/** Where a partition is: behind its last frame, or where reading began. */
export function positionOf({ position, start }: Pick<PartitionState, 'position' | 'start'>): Offset {
  return position ?? start;
}
