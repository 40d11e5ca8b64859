/** Chooses the class for the shard of an aggregation: with windows of time, or without. */

import { assert, type SlabAllocator } from '../../core/index.ts';
import type { ShardPublisher } from '../exchange/index.ts';
import type { AggregatePlan } from './aggregate-plan.ts';
import type { ResultWriter } from './result-writer.ts';
import { RunningAggregate } from './running-aggregate.ts';
import type { ShardAggregate, ShardSnapshot } from './shard-aggregate.ts';
import { WindowAggregate } from './window-aggregate.ts';

/**
 * @param writer one per thread, shared by its shards
 * @param from state to resume from
 * @param publisher notified of the changes of the table; only for an aggregate without windows
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the state cannot be read
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
