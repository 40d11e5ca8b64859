/**
 * One shard of an aggregation without windows: one table that is updated for ever. At the end of each epoch the groups that
 * changed in it are emitted, with their totals so far; a sink for this overwrites by key.
 */

import { type GroupTable, SHARD_BITS, type SlabAllocator, StateReader, StateWriter, smallTable } from '../core/index.ts';
import type { AggregatePlan } from './aggregate-plan.ts';
import { eachPaneOf } from './exchange.ts';
import type { Emit, ResultWriter } from './result-writer.ts';
import type { ShardAggregate, ShardSnapshot } from './shard-aggregate.ts';

export class RunningAggregate implements ShardAggregate {
  readonly plan: AggregatePlan;
  readonly shard: number;
  readonly #slabs: SlabAllocator;
  readonly #table: GroupTable;
  /** The groups of this epoch alone: what changed. */
  readonly #changes: GroupTable;
  readonly #writer: ResultWriter;
  #watermark = Number.NEGATIVE_INFINITY;

  constructor(slabs: SlabAllocator, plan: AggregatePlan, shard: number, writer: ResultWriter, from?: ShardSnapshot) {
    this.plan = plan;
    this.shard = shard;
    this.#slabs = slabs;
    this.#table = smallTable(slabs, plan.layout, SHARD_BITS);
    this.#changes = smallTable(slabs, plan.layout, SHARD_BITS);
    this.#watermark = from?.watermark ?? Number.NEGATIVE_INFINITY;
    this.#writer = writer;
    if (from?.state !== undefined) this.#restore(new StateReader(from.state));
  }

  get stateBytes(): number {
    return this.#table.bytes;
  }

  get groupCount(): number {
    return this.#table.size;
  }

  merge(block: number): void {
    eachPaneOf(this.#slabs.memory, this.plan.layout, block, this.shard, (_, slots, count) => {
      this.#table.mergeSlots(slots, count);
      this.#changes.mergeSlots(slots, count);
    });
  }

  advance(watermark: number, emit: Emit): void {
    this.#watermark = watermark;
    this.#changes.eachTile((slots, count) => {
      this.#table.lookupSlots(slots, count, this.#writer.found);
      this.#writer.writeSlots(this.#table, this.#writer.found, count, 0, 0, emit);
    });
    this.#writer.flush(emit);
    this.#changes.clear();
  }

  close(emit: Emit): void {
    this.advance(Number.POSITIVE_INFINITY, emit);
  }

  snapshot(): ShardSnapshot {
    const out = new StateWriter();
    this.#table.snapshot(out);
    this.#changes.snapshot(out);
    return { watermark: this.#watermark, state: out.finish() };
  }

  #restore(from: StateReader): void {
    this.#table.restore(from);
    this.#changes.restore(from);
    from.end();
  }

  release(): void {
    this.#table.release();
    this.#changes.release();
  }
}
