/**
 * The second half of an aggregation, in the owner of a shard: what the combiners left is merged into the shard's state, and
 * results come out. One contract, two of them: with windows (window-aggregate.ts) and without (running-aggregate.ts).
 *
 *   each epoch, at the barrier:  merge(block) for each block, in the order of orderExchangeBlocks;  advance(watermark, emit)
 *   at the end of all input:     close(emit)
 *
 * Synchronous; one thread at a time. The groups are in shared memory; `snapshot` copies them out of it.
 */

import { assert, type SlabAllocator } from '../../core/index.ts';
import type { AggregatePlan } from './aggregate-plan.ts';
import type { Emit, ResultWriter } from './result-writer.ts';
import { RunningAggregate, type ShardPublisher } from './running-aggregate.ts';
import { WindowAggregate } from './window-aggregate.ts';

export type { ShardPublisher };

/** The state of a shard between two epochs: a plain value without addresses, good in any process. */
export interface ShardSnapshot {
  readonly watermark: number;
  /** What it holds, as the aggregation's own class wrote it; undefined: nothing yet, but windows up to the watermark are closed. */
  readonly state: Uint8Array | undefined;
}

export interface ShardAggregate {
  /** Merges this shard's part of an exchange block, and says how many groups it is. The block is not needed after. */
  merge(block: number): number;
  /**
   * Ends an epoch: results that are due go to `emit`, at most 4,096 rows a batch, windows in ascending order. A batch is good
   * during the call of `emit` only. The watermark never moves backwards; -Infinity: nothing is known yet.
   */
  advance(watermark: number, emit: Emit): void;
  /** The end of all input: what is still open is emitted. */
  close(emit: Emit): void;
  /**
   * As of the last `advance`. Changes nothing, and whoever goes on from it comes to the same bytes as this shard does. Cost: O(state).
   */
  snapshot(): ShardSnapshot;
  /** Bytes of state held, without what is kept for reuse. */
  readonly stateBytes: number;
  /** Groups held, over all panes; at most: in a pane that is runs, a key counts once a run. */
  readonly groupCount: number;
  release(): void;
}

/**
 * @param writer one a thread serves all its shards
 * @param from state to go on from
 * @param publisher is told of the changes of the table; of an aggregate without windows only
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when it cannot be read
 */
export function shardAggregate(
  slabs: SlabAllocator,
  plan: AggregatePlan,
  shard: number,
  writer: ResultWriter,
  from?: ShardSnapshot,
  publisher?: ShardPublisher,
): ShardAggregate {
  if (plan.window === undefined) return new RunningAggregate(slabs, plan, shard, writer, from, publisher);
  assert(publisher === undefined, 'a publisher of windows');
  return new WindowAggregate(slabs, plan, shard, writer, from);
}
