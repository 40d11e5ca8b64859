/**
 * The second half of an aggregation, in the owner of a shard: what the combiners left is merged into the shard's state, and
 * results come out. One contract, two of them: with windows (window-aggregate.ts) and without (running-aggregate.ts);
 * open-shard.ts has the choice.
 *
 *   each epoch, at the barrier:  merge(block) for each block, in the order of orderExchangeBlocks;  advance(watermark, emit)
 *   at the end of all input:     close(emit)
 *
 * Synchronous; one thread at a time. The groups are in shared memory; `snapshot` copies them out of it.
 */

import type { Emit } from '../exchange/exchange-operator.ts';

/** The state of a shard between two epochs: a plain value without addresses, good in any process. */
export interface ShardSnapshot {
  readonly watermark: number;
  /** What it holds, as the aggregation's own class wrote it; undefined: nothing yet, but windows up to the watermark are closed. */
  readonly state: Uint8Array | undefined;
}

export interface ShardAggregate {
  /** Merges this shard's part of an exchange block, and says how many groups it is. The block is not needed after. */
  merge(block: number): number;
  /** Makes the table that of the epoch whose blocks were merged. `advance` does so where it was not done before. */
  settle?(): void;
  /**
   * Ends an epoch: results that are due go to `emit`, at most 4,096 rows a batch, windows in ascending order. A batch is good
   * during the call of `emit` only. The watermark never moves backwards; -Infinity: nothing is known yet.
   */
  advance(watermark: number, emit: Emit): void;
  /** The end of all input: what is still open is emitted. */
  close(emit: Emit): void;
  /**
   * As of the last `advance`. Changes nothing, and resuming from it yields the same bytes. Cost: O(state).
   */
  snapshot(): ShardSnapshot;
  /** Bytes of state held, without what is kept for reuse. */
  readonly stateBytes: number;
  /** Groups held, over all panes; at most: in a pane that is runs, a key counts once a run. */
  readonly groupCount: number;
  release(): void;
}
