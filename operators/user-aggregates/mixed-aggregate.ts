/**
 * One shard of an aggregation with user-defined aggregates, running or in windows of time. The built-in
 * aggregates of the call work as they do alone: rows are combined (combine.ts) and merged into a shard of
 * their own (shard-aggregate.ts). Here that happens behind the exchange, not before it. When that shard emits
 * a group of a window, the user-defined results for it are added (pane-states.ts). So both agree on windows,
 * lateness and what is emitted when.
 *
 *   rows of the shard -+-> Combiner -> ShardAggregate -> result batch -+-> batch of all columns
 *                      '-> add(state, row), by key and pane -----------'
 */

import { assert, type Batch, BatchBuilder, type ColumnSpace, gather, readTimestamp, type SlabAllocator } from '../../core/index.ts';
import { Combiner, ResultWriter, type ShardAggregate, type ShardSnapshot, shardAggregate, startingAt } from '../aggregate/index.ts';
import { resultParts, type StateRow } from '../exchange/index.ts';
import { type DueTimes, type Key, type KeyedContext, type KeyedInput, type KeyedOperator, keyReader, type RowOutput, RowReader } from '../keyed/index.ts';
import { type MixedPlan, namedValues } from './aggregate-split.ts';
import { PaneStates, type PaneStatesSnapshot, type UserStrategy } from './pane-states.ts';
import { UserColumns } from './user-columns.ts';
import { UserFunction } from './user-function.ts';

export interface MixedAggregatePlan extends MixedPlan {
  readonly input: KeyedInput;
  /** By aggregator. */
  readonly strategies: readonly UserStrategy[];
}

export interface MixedSnapshot {
  readonly builtIn: ShardSnapshot;
  readonly own: PaneStatesSnapshot;
}

/** For its combiner, all rows of a shard's batch belong to one chunk. */
const ORIGIN = { source: 0, partition: 0, first: 0 };
const SOME_ROWS_MIN = 1_024;

export class MixedAggregate implements KeyedOperator {
  readonly #plan: MixedAggregatePlan;
  readonly #context: KeyedContext;
  readonly #parts: ThreadParts;
  readonly #builtIn: ShardAggregate;
  readonly #own: PaneStates;
  readonly #emit: (batch: Batch) => void;
  #epoch = Number.NaN;

  constructor(plan: MixedAggregatePlan, context: KeyedContext, from: MixedSnapshot | undefined) {
    const { slabs, shard, clock, output } = context;
    const { builtIn, strategies } = plan;
    const { grid } = builtIn;
    this.#plan = plan;
    this.#context = context;
    this.#parts = ThreadParts.taken(output, slabs, plan);
    this.#builtIn = shardAggregate(slabs, builtIn, shard, this.#parts.writer, startingAt(clock.watermark, from?.builtIn));
    const functions = plan.split.own.map((named) => new UserFunction(named));
    this.#own = new PaneStates(functions, strategies, grid, context.failures, from?.own);
    const keyOf = keyReader(
      builtIn.keys.map((_, k) => k),
      builtIn.output,
    );
    this.#emit = (batch) => {
      const ends = grid === undefined ? undefined : batch.column(builtIn.keys.length + 1).data;
      const windowOf = (row: number) => (ends === undefined ? 0 : (grid?.lastWindowEndedBy(readTimestamp(batch.memory, ends, row)) ?? 0));
      output.forward(this.#parts.columns.beside(batch, (row) => this.#resultsOf(batch, row, keyOf(batch, row), windowOf(row))));
    };
  }

  get stateBytes(): number {
    return this.#builtIn.stateBytes + this.#own.bytes;
  }

  get due(): DueTimes {
    return { time: this.#builtIn.dueTime, clock: Number.POSITIVE_INFINITY };
  }

  onBatch(rows: Batch): void {
    const { input, builtIn } = this.#plan;
    const { atWork } = this.#context;
    const { grid } = builtIn;
    const { keyOf, reader } = this.#parts;
    const taken = this.#context.failures.areSkipped ? new Int32Array(rows.rowCount) : undefined;
    let count = 0;
    // Rows that are left out are known afterwards.
    if (taken === undefined) this.#combine(rows);
    const times = grid === undefined ? 0 : rows.column(input.eventTime).data;
    for (let row = 0; row < rows.rowCount; row++) {
      const pane = grid === undefined ? 0 : grid.paneOf(readTimestamp(rows.memory, times, row) + input.timeShiftMs);
      atWork[0] = row;
      const isTaken = this.#own.add(keyOf(rows, row), pane, Object.freeze(reader.read(rows, row)), row, () => input.keys.map((key) => rows.value(key, row)));
      if (isTaken && taken !== undefined) taken[count++] = row;
    }
    if (taken !== undefined && count > 0) this.#combine(count === rows.rowCount ? rows : this.#parts.some(rows, taken, count));
  }

  onWatermark(watermark: number): void {
    this.#builtIn.advance(watermark, this.#emit);
    const { openWindows } = this.#plan.builtIn;
    if (openWindows !== undefined) this.#own.dropBelow(openWindows.firstOpenPane(watermark));
  }

  snapshot(): MixedSnapshot {
    return { builtIn: this.#builtIn.snapshot(), own: this.#own.snapshot() };
  }

  stateRows(): StateRow[] {
    const { builtIn } = this.#plan;
    const { keys, output, grid } = builtIn;
    const keyOf = keyReader(
      keys.map((_, k) => k),
      output,
    );
    const rows: StateRow[] = [];
    this.#builtIn.emitState((batch) => {
      for (let row = 0; row < batch.rowCount; row++) {
        const { key, bounds, names, values } = resultParts(batch, row, keys.length, grid !== undefined);
        const window = bounds === undefined ? 0 : (grid?.lastWindowEndedBy(bounds.windowEnd) ?? 0);
        try {
          const states = this.#own.statesOf(keyOf(batch, row), window);
          rows.push({ key, ...bounds, value: namedValues(this.#plan, names, values, states) });
        } catch (error) {
          this.#context.failures.skip(error, key);
        }
      }
    });
    return rows;
  }

  release(): void {
    this.#builtIn.release();
    ThreadParts.leave(this.#context.output);
  }

  /** @returns undefined: a function failed, and the result is left out */
  #resultsOf(batch: Batch, row: number, key: Key, window: number): readonly unknown[] | undefined {
    try {
      return this.#own.results(key, window);
    } catch (error) {
      this.#context.failures.skip(error, resultParts(batch, row, this.#plan.builtIn.keys.length, false).key);
      return undefined;
    }
  }

  #combine(rows: Batch): void {
    const { slabs, clock } = this.#context;
    const { combiner } = this.#parts;
    if (clock.epoch !== this.#epoch) {
      this.#epoch = clock.epoch;
      combiner.beginEpoch({ watermark: clock.watermark, timeBound: Number.POSITIVE_INFINITY });
    }
    combiner.beginChunk(ORIGIN);
    const lateCount = combiner.add(rows);
    assert(lateCount === 0, 'a late row behind the exchange');
    combiner.endChunk();
    for (const block of combiner.takeBlocks()) {
      this.#builtIn.merge(block);
      slabs.free(block);
    }
  }
}

const parts = new WeakMap<RowOutput, ThreadParts>();

/** What the shards of an operator share on one thread: each is done with it before the next one starts. */
class ThreadParts {
  readonly combiner: Combiner;
  readonly writer: ResultWriter;
  readonly columns: UserColumns;
  readonly keyOf: (batch: Batch, row: number) => Key;
  readonly reader: RowReader;
  readonly #slabs: SlabAllocator;
  #some: BatchBuilder | undefined;

  /** How many shards use it. */
  #users = 0;

  static taken(output: RowOutput, slabs: SlabAllocator, plan: MixedAggregatePlan): ThreadParts {
    let known = parts.get(output);
    if (known === undefined) parts.set(output, (known = new ThreadParts(slabs, plan)));
    known.#users++;
    return known;
  }

  constructor(slabs: SlabAllocator, plan: MixedAggregatePlan) {
    const { builtIn, input } = plan;
    this.#slabs = slabs;
    this.combiner = new Combiner(slabs, builtIn);
    this.writer = new ResultWriter(slabs, builtIn);
    this.columns = new UserColumns(slabs, plan, builtIn.keys.length + (builtIn.window === undefined ? 0 : 2));
    this.keyOf = keyReader(input.keys, input.schema);
    this.reader = new RowReader(input.schema);
  }

  /** Chosen rows of a batch. Valid until the next call. */
  some(rows: Batch, chosen: Int32Array, count: number): Batch {
    if (this.#some === undefined || this.#some.capacity < count) {
      this.#some?.release();
      this.#some = new BatchBuilder(this.#slabs, rows.schema, Math.max(count, SOME_ROWS_MIN));
    }
    const builder = this.#some;
    builder.reset();
    rows.columns.forEach((column, c) => gather(builder, column, builder.columns[c] as ColumnSpace, chosen, count));
    return builder.finish(count);
  }

  /** Frees the memory when the last of the shards is released. */
  static leave(output: RowOutput): void {
    const known = parts.get(output);
    if (known === undefined || --known.#users > 0) return;
    parts.delete(output);
    known.combiner.release();
    known.writer.release();
    known.columns.release();
    known.#some?.release();
  }
}
