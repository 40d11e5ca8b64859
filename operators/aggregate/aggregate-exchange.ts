/**
 * An aggregation as the operator of an exchange. Rows are combined where they are scanned (combine.ts), and
 * partial aggregates travel (group-block.ts). Shards merge them: into panes (window-aggregate.ts) or, without
 * a window, into one table (running-aggregate.ts), which a view may read.
 */

import { type Schema, SHARD_COUNT, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import {
  type ExchangeInput,
  type ExchangeOperator,
  type ExchangeShard,
  type HeldRows,
  named,
  type OpenShard,
  type OutputTime,
  resultParts,
  type Scatter,
  type ScatterHooks,
  type ShardContext,
  type StateFacts,
  type StateRow,
} from '../exchange/index.ts';
import type { AggregatePlan } from './aggregate-plan.ts';
import { Combiner } from './combine.ts';
import { groupsIn, lastPaneIn, relocateGroupBlock, shardsWithGroups } from './group-block.ts';
import { sliceGroupBlock } from './group-slice.ts';
import { HeldPaneRows } from './held-rows.ts';
import { shardAggregate } from './open-shard.ts';
import { ResultWriter } from './result-writer.ts';
import { type ShardAggregate, type ShardSnapshot, startingAt } from './shard-aggregate.ts';

/** The format of the shards' snapshots. */
const STATE_FORMAT = 1;

export class AggregateExchange implements ExchangeOperator {
  readonly plan: AggregatePlan;
  readonly name = 'aggregate';
  readonly inputs: readonly [ExchangeInput];
  readonly output: Schema;
  readonly outputTime: OutputTime | undefined;
  readonly travels = `rows are combined in the scan, merged by ${SHARD_COUNT} shards`;
  readonly state: StateFacts;
  readonly order = undefined;
  readonly callsFunctions = false;
  readonly isViewable: boolean;
  readonly heldRows: ((memory: SharedMemory) => HeldRows) | undefined;

  constructor(plan: AggregatePlan) {
    const { input, openWindows, window } = plan;
    this.plan = plan;
    this.inputs = [{ schema: input, columns: plan.columnsRead.map((name) => input.indexOf(name)), eventTime: plan.eventTime }];
    this.output = plan.output;
    this.outputTime = window === undefined ? undefined : { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs };
    this.state = { format: STATE_FORMAT, facts: plan.facts };
    this.isViewable = window === undefined;
    this.heldRows = openWindows === undefined ? undefined : (memory) => new HeldPaneRows(memory, openWindows);
  }

  scatter(slabs: SlabAllocator, _input: number, hooks: ScatterHooks): Scatter {
    return new Combiner(slabs, this.plan, hooks);
  }

  openShards({ slabs, clock, emit, publisher }: ShardContext): OpenShard {
    const writer = new ResultWriter(slabs, this.plan);
    return (shard, from): ExchangeShard => {
      const start = startingAt(clock.watermark, from as ShardSnapshot | undefined);
      const aggregate = shardAggregate(slabs, this.plan, shard, writer, start, publisher?.(shard));
      return {
        merge(blocks) {
          let merged = 0;
          for (const block of blocks) merged += aggregate.merge(block);
          return merged;
        },
        settle: () => aggregate.settle?.(),
        advance: (watermark) => aggregate.advance(watermark, emit),
        snapshot: () => aggregate.snapshot(),
        stateRows: () => this.#stateRows(aggregate),
        get stateBytes() {
          return aggregate.stateBytes;
        },
        get spareBytes() {
          return aggregate.spareBytes;
        },
        get due() {
          return { time: aggregate.dueTime, clock: Number.POSITIVE_INFINITY };
        },
        close: () => aggregate.release(),
      };
    };
  }

  relocate(memory: SharedMemory, block: number, from: number): boolean {
    return relocateGroupBlock(memory, this.plan.layout, block, from);
  }

  slice(slabs: SlabAllocator, block: number, from: number, to: number): number {
    return sliceGroupBlock(slabs, this.plan.layout, block, from, to);
  }

  piecesOf(memory: SharedMemory, block: number): number {
    return groupsIn(memory, block);
  }

  shardsIn(memory: SharedMemory, block: number, found: Uint8Array): void {
    shardsWithGroups(memory, this.plan.layout, block, found);
  }

  heldUntil(memory: SharedMemory, block: number): number {
    return this.plan.openWindows?.paneHeldUntil(lastPaneIn(memory, block)) ?? Number.POSITIVE_INFINITY;
  }

  #stateRows(aggregate: ShardAggregate): StateRow[] {
    const { keys, window } = this.plan;
    const rows: StateRow[] = [];
    aggregate.emitState((batch) => {
      for (let row = 0; row < batch.rowCount; row++) {
        const { key, bounds, names, values } = resultParts(batch, row, keys.length, window !== undefined);
        rows.push({ key, ...bounds, value: named(names, values) });
      }
    });
    return rows;
  }

  describe(): string {
    return this.plan.describe();
  }
}
