/**
 * The contract of operators that need whole rows by key: process, reduce, dropDuplicates, top, count windows,
 * joins. Rows travel by key to the owner of a shard (exchange/row-partition.ts), which keeps the operator's
 * state. Whatever can be combined before it travels should be: for partial aggregates see aggregate/.
 * keyed-exchange.ts makes an exchange of a plan.
 *
 *   scan    rows -> RowPartitioner -> block of rows, ordered by shard
 *   shard   at the epoch's barrier:  onBatch(rows, input) for each block, in the order of
 *                                    orderExchangeBlocks;
 *                                    onWatermark(watermark), once
 *
 * An operator is synchronous, belongs to one shard, and knows no thread and no clock except that of its
 * context. Its input and the order of it follow from offsets and from where epochs were cut; so its output
 * does, too.
 */

import type { Batch, Schema, SlabAllocator } from '../../core/index.ts';
import type { RowOrigin } from '../by-key/index.ts';
import type { DueTimes, EpochClock, OutputTime, RowFailures, RowInput, RowStage, StateFacts, StateRow } from '../exchange/index.ts';
import type { RowOutput } from './row-output.ts';

export type { DueTimes, EpochClock, OutputTime, RowFailures, RowInput as KeyedInput };

/** What an operator is: the same on every thread, derived from the pipeline alone. */
export interface KeyedOperatorPlan extends RowStage {
  /** Its name in explain and messages. */
  readonly name: string;
  readonly inputs: readonly RowInput[];
  /**
   * The input whose sources are read before those of the others, up to where they stand at the start.
   * Default: all at once.
   */
  readonly loadsFirst?: number;
  /** The input whose rows of an epoch a shard takes before those of the others. Default: none. */
  readonly takesFirst?: number;
  readonly output: Schema;
  /** The output column that says when a row happened, for operators behind this one; undefined: none. */
  readonly outputTime: OutputTime | undefined;
  /**
   * The event time until which rows up to `maxTimeMs` (+Infinity where the input has no event time) are held
   * in state. Their positions are committed no earlier. -Infinity: they are not held; +Infinity: for ever.
   */
  heldUntil(maxTimeMs: number, input: number): number;
  /** @param from what `snapshot` of this shard's operator gave */
  open(context: KeyedContext, from?: unknown): KeyedOperator;
  /**
   * Whether rows of a key must come in the order in which they were read, and results go out in that order
   * (exchange/row-order.ts). Default: false.
   */
  readonly isOrdered?: boolean;
  /** Whether `onBatch` calls user-defined functions. Default: false. */
  readonly callsFunctions?: boolean;
  /** What decides the meaning of the state, besides inputs and output, which keyed-exchange.ts adds. */
  readonly state: StateFacts;
  /** False: the state has nothing to do with the columns of the output. Default: it may have. */
  readonly isStateOfOutput?: boolean;
  /** Why rows travel whole and are not combined where they are scanned: a clause, for explain. */
  readonly whole: string;
  /** Several lines, for explain. */
  describe(): string;
}

/** What the runtime gives to the operator of one shard. */
export interface KeyedContext {
  readonly slabs: SlabAllocator;
  readonly shard: number;
  readonly clock: EpochClock;
  /** Where result rows go, during onBatch and onWatermark. One per thread, shared by its shards. */
  readonly output: RowOutput;
  readonly failures: RowFailures;
  /**
   * During onBatch: the source and the partition that the rows come from, as one number, in the order in which
   * these are merged. Rows that are merged by their places have the source only. Default: all come from one.
   */
  readonly origin?: () => number;
  /** Where the number of the row is written before a function is called for it: see ShardContext.atWork. */
  readonly atWork: Int32Array;
}

/** What is due at a time of one of the clocks: event time, or the epoch's. */
export function dueIn(isEventTime: boolean, time: number): DueTimes {
  return isEventTime ? { time, clock: Number.POSITIVE_INFINITY } : { time: Number.POSITIVE_INFINITY, clock: time };
}

/** One shard of an operator. */
export interface KeyedOperator {
  /**
   * Rows of this shard, in the order of (source, partition, offset). The batch is valid during the call.
   *
   * @param origin where all of them come from; rows that were merged from several shards have the partition 0
   */
  onBatch(rows: Batch, input: number, origin: RowOrigin): void;
  /**
   * Ends an epoch: what is due comes out. The watermark never moves backwards. -Infinity: nothing is known,
   * or there is no event time; +Infinity: the input has ended, and what is still open comes out.
   */
  onWatermark(watermark: number): void;
  /**
   * The state between two epochs, as values that structured clone and v8.serialize can copy, without
   * addresses. Taking it changes nothing, and it does not change afterwards. An operator opened with it puts
   * out what this one would have, in the same order.
   */
  snapshot(): unknown;
  /** The state row by row, for people: see ExchangeShard.stateRows. */
  stateRows(): Iterable<StateRow>;
  /** An estimate of the bytes of state held. */
  readonly stateBytes: number;
  /** Between two epochs: when `onWatermark` next has something to do without rows. */
  readonly due: DueTimes;
  /** Gives shared memory back, where the operator holds some. The operator is not used afterwards. */
  release?(): void;
}
