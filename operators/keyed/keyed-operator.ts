/**
 * The contract of operators that need whole rows by key: process, reduce, dropDuplicates, top, count windows, joins. Rows
 * travel by key to the owner of a shard (row-partition.ts), who keeps the operator's state. Partial aggregates travel
 * otherwise (combine.ts, shard-aggregate.ts): whatever can be combined before it travels should be.
 *
 *   scan    rows -> RowPartitioner -> block of rows, ordered by shard
 *   shard   at the epoch's barrier:  onBatch(rows, input) for each block, in the order of orderExchangeBlocks;
 *                                    onWatermark(watermark), once
 *
 * An operator is synchronous, belongs to one shard, and knows no thread and no clock but that of its context. What it has
 * seen, and in which order, follows from offsets and from where epochs were cut; so its output does.
 */

import type { Batch, Schema, SlabAllocator } from '../../core/index.ts';
import type { RowOutput } from './row-output.ts';

/** One stream that an operator takes rows from. */
export interface KeyedInput {
  readonly schema: Schema;
  /** Positions of the key columns. All inputs of an operator have the same number of keys, of the same types. */
  readonly keys: readonly number[];
  /** Positions of the columns that travel, ascending, those of the keys and of event time among them. Others hold nothing. */
  readonly columns: readonly number[];
  /** Position of the event time that decides whether a row is late; -1: no row ever is. A row without a time is late. */
  readonly eventTime: number;
  /** True: every row goes to all shards, whatever its key. */
  readonly isBroadcast?: boolean;
  /** -1 where event time is the end of a window, whose last moment is what the row is of; else 0. */
  readonly timeShiftMs: 0 | -1;
}

/** What an operator is: the same on every thread, made from the pipeline alone. */
export interface KeyedOperatorPlan {
  /** As explain and messages call it. */
  readonly name: string;
  readonly inputs: readonly KeyedInput[];
  /** The input whose sources are to be read, up to where they stand at the start, before those of the others. Default: all at once. */
  readonly loadsFirst?: number;
  readonly output: Schema;
  /** The column of the output that says when a row happened, for operators behind; undefined: none. */
  readonly outputTime: OutputTime | undefined;
  /** Rows of an input with an event time before this are late, given the watermark at the start of the epoch. */
  lateBefore(watermark: number, input: number): number;
  /**
   * Rows that a restart reads again are late only before this, where the state that is made of them needs what was decided before the
   * restart. Default: `lateBefore`.
   */
  uselessBefore?(watermark: number, input: number): number;
  /**
   * Until which event time rows up to `maxTimeMs` (+Infinity where the input has no event time) are held in state:
   * positions are committed no earlier. -Infinity: they are not held; +Infinity: for ever.
   */
  heldUntil(maxTimeMs: number, input: number): number;
  /** @param from what `snapshot` of the operator of this shard gave */
  open(context: KeyedContext, from?: unknown): KeyedOperator;
  /** Rows of a key must come in the order in which they were read, and what is made of them goes out in it (exchange/row-order.ts). Default: false. */
  readonly isOrdered?: boolean;
  /** Why rows travel whole and are not combined where they are scanned: half a sentence, for explain. */
  readonly whole: string;
  /** Several lines, for explain. */
  describe(): string;
}

export interface OutputTime {
  readonly column: string;
  readonly shiftMs: 0 | -1;
  /** How long after the watermark has passed its time a row may come out (default 0): the event time of operators behind is so much less. */
  readonly delayMs?: number;
}

/** Time as an operator may see it: the same for all workers, and the same again in a replay of recorded epochs. */
export interface EpochClock {
  readonly epoch: number;
  /** The coordinator's clock when it ended this epoch, ms since 1970. */
  readonly nowMs: number;
  /** During onBatch: as of the end of the epoch before. During onWatermark: as it is now. */
  readonly watermark: number;
}

/** What the runtime gives to the operator of one shard. */
export interface KeyedContext {
  readonly slabs: SlabAllocator;
  readonly shard: number;
  readonly clock: EpochClock;
  /** Where result rows go, during onBatch and onWatermark. One for all shards of a thread. */
  readonly output: RowOutput;
  /**
   * A row that the operator could not take, because a function of the user's failed on it. Throws where the job should end;
   * returns where the row is to be left out, and then the operator must be as if it had never come.
   */
  failed(error: unknown, rows: Batch, row: number): void;
}

/** One shard of an operator. */
export interface KeyedOperator {
  /** Rows of this shard, in the order of (source, partition, offset). The batch is good during the call. */
  onBatch(rows: Batch, input: number): void;
  /**
   * Ends an epoch: what is due is put out. The watermark never moves backwards. -Infinity: nothing is known, or there is no
   * event time; +Infinity: the input has ended, and what is still open comes out.
   */
  onWatermark(watermark: number): void;
  /**
   * The state between two epochs, as values that structured clone and v8.serialize can copy, without addresses. It changes nothing, and what
   * it gives is not changed afterwards. An operator that is opened with it puts out what this one would have, in the same order.
   */
  snapshot(): unknown;
  /** An estimate of the bytes of state held. */
  readonly stateBytes: number;
  /** Gives shared memory back, where it holds some. The operator is not used after. */
  release?(): void;
}
