/**
 * One shard of an aggregation without windows: one table that is updated for ever. At the end of each epoch
 * the groups that changed in it are emitted with their totals so far. A sink for this overwrites by key.
 *
 * The blocks of an epoch are merged into a table of their own, the changes. At the end the changes are merged
 * into the table of all. So each group of that table is touched once per epoch, and a concurrent reader (a
 * view) is held up as briefly as possible.
 */

import { assert, type GroupTable, SHARD_BITS, type SlabAllocator, StateReader, StateWriter, smallTable } from '../../core/index.ts';
import type { Emit, ShardPublisher } from '../exchange/index.ts';
import type { AggregatePlan } from './aggregate-plan.ts';
import { eachPaneOf } from './group-block.ts';
import type { ResultWriter } from './result-writer.ts';
import type { ShardAggregate, ShardSnapshot } from './shard-aggregate.ts';

/** Groups of a table that is not yet looked through for those that went. */
const LOOK_SIZE_MIN = 64;

export class RunningAggregate implements ShardAggregate {
  readonly plan: AggregatePlan;
  readonly shard: number;
  readonly #slabs: SlabAllocator;
  #table: GroupTable;
  /** The groups of this epoch alone: what changed. */
  readonly #changes: GroupTable;
  readonly #writer: ResultWriter;
  readonly #publisher: ShardPublisher | undefined;
  #watermark = Number.NEGATIVE_INFINITY;
  #isSettled = false;
  /** At this size the table is looked through for groups that went. */
  #lookSize = LOOK_SIZE_MIN;

  constructor(slabs: SlabAllocator, plan: AggregatePlan, shard: number, writer: ResultWriter, from?: ShardSnapshot, publisher?: ShardPublisher) {
    this.plan = plan;
    this.shard = shard;
    this.#slabs = slabs;
    this.#table = smallTable(slabs, plan.layout, SHARD_BITS);
    this.#changes = smallTable(slabs, plan.layout, SHARD_BITS);
    this.#watermark = from?.watermark ?? Number.NEGATIVE_INFINITY;
    this.#writer = writer;
    if (from?.state !== undefined) this.#restore(new StateReader(from.state));
    this.#publisher = publisher;
    publisher?.begin();
    publisher?.publish(this.#table.address);
  }

  get stateBytes(): number {
    return this.#table.bytes;
  }

  /** Of the epoch's changes, which are gone after it. */
  get spareBytes(): number {
    return this.#changes.bytes;
  }

  /** Only what changes comes out. */
  get dueTime(): number {
    return Number.POSITIVE_INFINITY;
  }

  get groupCount(): number {
    return this.#table.size;
  }

  merge(block: number): number {
    return eachPaneOf(this.#slabs.memory, this.plan.layout, block, this.shard, (_, slots, count) => this.#changes.mergeSlots(slots, count));
  }

  /**
   * Adds the changes of the epoch to the table, and publishes it. `advance` does so where this was not called
   * before. Calling it for all shards one after the other keeps the time short in which they are of two
   * epochs.
   */
  settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#publisher?.begin();
    try {
      if (this.plan.dropsEmpty === true && this.#table.size >= this.#lookSize) this.#dropEmpty();
      this.#table.mergeTable(this.#changes);
    } catch (error) {
      this.#publisher?.abandon();
      throw error;
    }
    this.#publisher?.publish(this.#table.address);
  }

  advance(watermark: number, emit: Emit): void {
    this.#watermark = watermark;
    this.settle();
    this.#isSettled = false;
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

  /** Leaves out the groups that went in earlier epochs. Cost: O(groups), once for as many that have come. */
  #dropEmpty(): void {
    const { memory } = this.#slabs;
    const [first] = this.plan.layout.accumulators;
    assert(first?.accumulator.textOffset !== undefined, 'groups that go by a value of bytes');
    const lengthAt = first.offset + first.accumulator.textOffset;
    const kept = smallTable(this.#slabs, this.plan.layout, SHARD_BITS);
    try {
      this.#table.eachTile((slots, count) => {
        for (let i = 0; i < count; i++) {
          const slot = memory.u32[(slots >>> 2) + i] as number;
          if (memory.u32[(slot + lengthAt) >>> 2] !== 0) kept.mergeSlots(slot, 1);
        }
      });
    } catch (error) {
      kept.release();
      throw error;
    }
    this.#table.release();
    this.#table = kept;
    this.#lookSize = Math.max(LOOK_SIZE_MIN, kept.size * 2);
  }

  snapshot(): ShardSnapshot {
    const out = new StateWriter();
    this.#table.snapshot(out);
    this.#changes.snapshot(out);
    return { watermark: this.#watermark, state: out.finish() };
  }

  emitState(emit: Emit): void {
    this.#writer.writeTable(this.#table, 0, 0, emit);
    this.#writer.flush(emit);
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
