/**
 * The state of a pipeline between two epochs as a plain value: structuredClone and v8.serialize can copy it,
 * and it means the same in another process. State goes by shard, so any number of engines can write it, and
 * any number can resume from it. When to take it, and where to keep it, is up to the caller (testing.ts).
 */

import { MillraceError, type WatermarkState } from '../../core/index.ts';
import { identityDifference, type StateHead } from '../plan/index.ts';

/** One shard of an exchange: the snapshot of its aggregate or operator. */
export interface ShardState {
  readonly shard: number;
  readonly state: unknown;
}

/**
 * What engines know between two epochs. One engine has its own shards; `joinStates` puts those of all
 * together.
 */
export interface EngineState {
  /** The first epoch to come. */
  readonly epoch: number;
  /** The clock as of the end of the last epoch. */
  readonly nowMs: number;
  readonly watermarks: readonly WatermarkState[];
  /** By exchange. */
  readonly exchanges: readonly (readonly ShardState[])[];
}

/** The states of all engines of a job, after the same epoch, as one. */
export function joinStates(states: readonly EngineState[]): EngineState {
  const [first] = states as [EngineState];
  return {
    ...first,
    exchanges: first.exchanges.map((_, exchange) => states.flatMap((state) => state.exchanges[exchange] ?? []).sort((a, b) => a.shard - b.shard)),
  };
}

/** @throws MillraceError ERR_MILLRACE_CHECKPOINT when it is not there */
export function stateOfShard(states: readonly ShardState[], shard: number): unknown {
  // With all shards present, each is at its number.
  const found = states[shard]?.shard === shard ? states[shard] : states.find((state) => state.shard === shard);
  if (found === undefined) {
    throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `The state to go on from has nothing of shard ${shard}. Put the states of all engines together first.`);
  }
  return found.state;
}

/**
 * Refuses a state that was written by another version or for another plan.
 *
 * @param own the head of the plan that is to resume from it
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT, with what differs
 */
export function checkState(head: StateHead, own: StateHead): void {
  if (typeof head !== 'object' || head === null || typeof head.format !== 'number') {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      'What to go on from is no snapshot. Give what snapshot() returned, or what v8.deserialize makes of its bytes.',
    );
  }
  if (head.format !== own.format) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The snapshot has the format ${head.format}; this version of millrace reads ${own.format}. Take it again with this version.`,
    );
  }
  if (head.plan.pipeline !== own.plan.pipeline) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The snapshot is of the pipeline ${JSON.stringify(head.plan.pipeline)}, and this one is ${JSON.stringify(own.plan.pipeline)}. Restore it into the pipeline that it was taken of.`,
    );
  }
  const difference = identityDifference(head.plan, own.plan);
  if (difference === undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `The snapshot was taken of the pipeline ${JSON.stringify(head.plan.pipeline)} as it was before it was changed: ${difference}. State goes on only in the same plan: undo the change, or begin without the snapshot.`,
  );
}
