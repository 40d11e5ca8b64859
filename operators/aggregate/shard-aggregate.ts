/**
 * The second half of an aggregation, in the owner of a shard: the blocks of the combiners are merged into the
 * shard's state, and results come out. The contract has two implementations: with windows
 * (window-aggregate.ts) and without (running-aggregate.ts); open-shard.ts chooses.
 *
 *   each epoch, at the barrier:  merge(block) for each block, in the order of orderExchangeBlocks;
 *                                advance(watermark, emit)
 *   at the end of all input:     close(emit)
 *
 * Synchronous; one thread at a time. The groups are in shared memory; `snapshot` copies them out of it.
 */

import type { Emit } from '../exchange/index.ts';

/** The state of a shard between two epochs: a plain value without addresses, valid in any process. */
export interface ShardSnapshot {
  readonly watermark: number;
  /**
   * The state, as written by the aggregation's own class. Undefined: nothing yet, but windows up to the
   * watermark are closed.
   */
  readonly state: Uint8Array | undefined;
}

/**
 * What a shard is opened with. Windows up to the watermark are closed: after a restart without state, and
 * where the shard slept since its snapshot was taken.
 *
 * @param watermark as of the epoch before the first one to come
 */
export function startingAt(watermark: number, from: ShardSnapshot | undefined): ShardSnapshot | undefined {
  if (from === undefined) return Number.isFinite(watermark) ? { watermark, state: undefined } : undefined;
  return watermark > from.watermark ? { watermark, state: from.state } : from;
}

export interface ShardAggregate {
  /**
   * Merges this shard's part of an exchange block and returns its number of groups. The block is not needed
   * afterwards.
   */
  merge(block: number): number;
  /**
   * Brings the table to the epoch whose blocks were merged. `advance` does so where this was not called
   * before.
   */
  settle?(): void;
  /**
   * Ends an epoch. Results that are due go to `emit`, at most 4,096 rows per batch, windows in ascending
   * order. A batch is valid during the call of `emit` only. The watermark never moves backwards; -Infinity:
   * nothing is known yet.
   */
  advance(watermark: number, emit: Emit): void;
  /** The end of all input: windows that are still open are emitted. */
  close(emit: Emit): void;
  /**
   * As of the last `advance`. Changes nothing, and resuming from it yields the same bytes. Cost: O(state).
   */
  snapshot(): ShardSnapshot;
  /**
   * All groups, of all windows that are open, as results, for people: not in the order of emission. Windows
   * that come later may be combined anew afterwards.
   */
  emitState(emit: Emit): void;
  /** Bytes of state held, without memory kept for reuse. */
  readonly stateBytes: number;
  /** Bytes of memory kept for reuse. */
  readonly spareBytes: number;
  /** The watermark from which on `advance` has something to do without blocks; +Infinity: there is none. */
  readonly dueTime: number;
  /** Groups held, over all panes. An upper bound: in a pane that is runs, a key counts once per run. */
  readonly groupCount: number;
  release(): void;
}
