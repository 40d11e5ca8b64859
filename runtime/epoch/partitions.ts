/** Partitions of the sources, as the coordinator knows them: where each is, and what its source has told of it. */

import type { Offset } from '../../io/index.ts';

/** What is known of one partition. Times are those of a clock that nobody sets. */
export interface PartitionState {
  readonly source: number;
  readonly partition: number;
  /** Its number among the partitions of all sources. */
  readonly global: number;
  /** Where reading began. */
  start: Offset;
  /** Position behind the last frame taken in; undefined before the first. */
  position: Offset | undefined;
  /** The position that was committed last; undefined: none was in this run. */
  committed: Offset | undefined;
  /** Position behind the newest row that exists outside, as far as the source has told. */
  high: Offset | undefined;
  ended: boolean;
  /** It is ours: false once another member of the group has got it. */
  assigned: boolean;
  /** When rows last came in. */
  lastRowsAtMs: number;
  /** All that exists outside, as far as the source has told, was taken in; and when it told that last. What idleness goes by. */
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
