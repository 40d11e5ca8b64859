/**
 * The contract behind an exchange: what the runtime knows of an operator that works by key. Scans scatter
 * rows into blocks. Blocks go to all owners of shards. Each shard takes its part of them and puts results
 * out.
 *
 *   scan    beginEpoch -> { beginChunk -> add(batch) ... -> endChunk } ... -> takeBlocks
 *   shard   at the epoch's barrier:  merge(blocks), in the order of orderExchangeBlocks;
 *                                    advance(watermark), once
 *
 * Two adapters implement it: AggregateExchange (aggregate/aggregate-exchange.ts), whose rows are combined
 * where they are scanned, and KeyedExchange (keyed/keyed-exchange.ts), whose rows travel whole. The content
 * of a block is up to the operator: the runtime reads only its head (exchange-block.ts).
 *
 * An operator is synchronous, and knows no thread and no clock except that of its context. The input of a
 * shard and its order follow from offsets and from where epochs were cut; so its results do, too.
 */

import type { AnyRow, Batch, Schema, SharedMemory, SlabAllocator } from '../../core/index.ts';
import type { RowPlace } from '../by-key/index.ts';
import type { ChunkOrigin } from './exchange-block.ts';
import type { StateRow } from './state-row.ts';

/** Takes a result batch. Its bytes are valid during the call only. */
export type Emit = (batch: Batch) => void;

/** One stream that an operator takes rows from. */
export interface ExchangeInput {
  readonly schema: Schema;
  /** Positions of the columns that it reads, ascending. Other columns hold nothing. */
  readonly columns: readonly number[];
  /**
   * Position of the event time that decides whether a row is late; -1: no row is ever late. A row without a
   * time is late.
   */
  readonly eventTime: number;
}

/** What an operator is: the same on every thread, derived from the pipeline alone. */
export interface ExchangeOperator {
  /** Its name in explain and messages. */
  readonly name: string;
  readonly inputs: readonly ExchangeInput[];
  readonly output: Schema;
  /** The output column that says when a row happened, for operators behind this one; undefined: none. */
  readonly outputTime: OutputTime | undefined;
  /**
   * The input whose sources are read before those of the others, up to where they stand at the start.
   * Default: all at once.
   */
  readonly loadsFirst?: number | undefined;
  /** What travels, and why: one line, for explain. */
  readonly travels: string;
  readonly state: StateFacts;
  /** Undefined: the results have no place among the input rows, as with partial aggregates. */
  readonly order: OrderOfRows | undefined;
  /** Whether its shards call user-defined functions for rows: their blocks then say where each was read. */
  readonly callsFunctions: boolean;
  /** Whether its shards notify a publisher of changes, so that a view (view/live-rows.ts) may read them. */
  readonly isViewable: boolean;
  /** The scan's half, for one input. One per thread. */
  scatter(slabs: SlabAllocator, input: number, hooks: ScatterHooks): Scatter;
  /**
   * The shard's half, for the shards that one thread owns. This call makes what they share; its result makes
   * the shards.
   */
  openShards(context: ShardContext): OpenShard;
  /**
   * Makes a copy of a block of this operator valid where it is, as shards read it. Default: it holds no
   * addresses, and is.
   *
   * @param from the address that the block had
   * @returns false: it is no copy of such a block
   */
  relocate?(memory: SharedMemory, block: number, from: number): boolean;
  /**
   * Copies what a block has for the shards `from` to `to` (exclusive) into a block of its own, for a process that has
   * these shards. It is a copy in the sense of `relocate`, of the address that is returned.
   *
   * @returns address of a slab, which is the caller's; 0: there is nothing for them
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  slice(slabs: SlabAllocator, block: number, from: number, to: number): number;
  /** How many pieces (groups, or rows) of a block all shards together have to merge. */
  piecesOf(memory: SharedMemory, block: number): number;
  /** Puts a 1 into `found`, by shard, for each shard that has to merge pieces of a block. Cost: O(shards). */
  shardsIn(memory: SharedMemory, block: number, found: Uint8Array): void;
  /**
   * The event time until which the rows of a block are held in state. Their positions are committed no
   * earlier. -Infinity: they are not held; +Infinity: for ever.
   */
  heldUntil(memory: SharedMemory, block: number): number;
  /** Counts the rows in open windows, for the balance. Undefined: it cannot. */
  readonly heldRows: ((memory: SharedMemory) => HeldRows) | undefined;
  /** Several lines, for explain. */
  describe(): string;
}

/** How an operator treats the order in which rows were read (row-order.ts). */
export interface OrderOfRows {
  /** Rows of a key must come in that order, and results go out in it. */
  readonly isNeeded: boolean;
  /** Names of the key columns, by input. */
  readonly keys: readonly (readonly string[])[];
  /** Results have the key of the rows that they are made of, in the columns of these names. */
  readonly keepsKeys: boolean;
}

export interface OutputTime {
  readonly column: string;
  readonly shiftMs: 0 | -1;
  /**
   * How long after the watermark has passed its time a row may come out (default 0). The event time of
   * operators behind this one is that much less.
   */
  readonly delayMs?: number;
}

/**
 * What the state of an operator depends on. It is valid for an operator of the same name with the same facts
 * and format.
 */
export interface StateFacts {
  /** The format of `snapshot`. Raised when what was written before can no longer be read. */
  readonly format: number;
  /** Values that JSON can hold: schemas, columns, windows, parameters; not what functions do. */
  readonly facts: unknown;
  /**
   * For state of other facts, or of another format: makes of a shard's snapshot one of these. Undefined: it
   * cannot be read. Default: none can.
   */
  readonly migration?: ((then: { readonly format: number; readonly facts: unknown }) => Migration | undefined) | undefined;
}

/** Makes of what `snapshot` of a shard gave, in another version of the pipeline, what it would give now. */
export type Migration = (state: unknown) => unknown;

/** What every scan of an epoch needs to know. The same for all threads. */
export interface EpochStart {
  /** As of the end of the previous epoch; -Infinity at first. */
  readonly watermark: number;
  /** Watermark.timeBound of the epoch; +Infinity: no bound. */
  readonly timeBound: number;
}

export interface ScatterHooks {
  /**
   * Rows of `batch` that came too late. `rows` holds their numbers, ascending, valid during the call only.
   */
  late?(batch: Batch, rows: Uint32Array): void;
  /**
   * The place of a row of the batch that is being added: in the batch, or in the epoch (row-order.ts).
   * Default: nobody asks.
   */
  orderOf?(row: number): number;
  /**
   * Where a row of the batch that is being added was read; -1: it was not read, but made. Default: nobody asks.
   */
  offsetOf?(row: number): number;
  /**
   * Whether a row of the batch that is being added was already read before the restart that began this run.
   * Default: it was not.
   */
  isReplayed?(row: number): boolean;
}

/** The scan's half: rows of chunks in, blocks out. */
export interface Scatter {
  beginEpoch(start: EpochStart): void;
  beginChunk(origin: ChunkOrigin): void;
  /**
   * Adds the rows of a batch whose schema is the input's.
   *
   * @returns how many of them were late
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room for a block
   */
  add(batch: Batch): number;
  endChunk(): unknown;
  /**
   * Addresses of the blocks since the last call. The caller now owns them and frees them when all shards have
   * read them.
   */
  takeBlocks(): number[];
}

/** What happens where a user-defined function fails. One per thread and operator. */
export interface RowFailures {
  /**
   * Whether the row is left out. The operator must then be as if it had never come, so it keeps what a call
   * may change.
   */
  readonly areSkipped: boolean;
  /**
   * Takes note of what is left out. Throws the error where the job is to end.
   *
   * @param of the row, by its place in the batch that is being taken, or by its values; of a timer or a result
   *   the key columns
   * @param place where it was read, if it is a row of an earlier batch; default: unknown
   */
  skip(error: unknown, of: number | AnyRow, place?: RowPlace): void;
}

/** What is left out. */
export interface LeftOut {
  /** Its columns; of a timer or a result the key columns. */
  readonly values: AnyRow;
  /** Where the row lies; 0: it is no row of a block that is being merged, but a timer, a result, or an older row. */
  readonly block: number;
  /** Where it was read; undefined: unknown. */
  readonly offset: number | undefined;
  /** The same of an older row, where it is known. */
  readonly place?: RowPlace | undefined;
}

/** Time as an operator may see it: the same for all workers, and the same in a replay of recorded epochs. */
export interface EpochClock {
  readonly epoch: number;
  /** The coordinator's clock when it ended this epoch, ms since 1970. */
  readonly nowMs: number;
  /**
   * During `merge`: as of the end of the previous epoch. During `advance`: as it is now. When shards are
   * opened: as committed.
   */
  readonly watermark: number;
}

/** What the runtime gives to the shards that one thread owns. */
export interface ShardContext {
  readonly slabs: SlabAllocator;
  readonly clock: EpochClock;
  /** Where results go, during `merge` and `advance`. */
  readonly emit: Emit;
  readonly failures: {
    readonly areSkipped: boolean;
    skip(error: unknown, of: LeftOut): void;
  };
  /**
   * An error that a row of a block caused, with the place where the row was read, as far as the block knows.
   *
   * @param offset of the row; undefined: unknown
   */
  located(error: unknown, block: number, offset?: number): unknown;
  /** Rows carry their places in the epoch, and come to each shard in their order. */
  readonly carriesOrder: boolean;
  /** A word that other threads see: the row, in its batch, that a function is called for; -1: unknown. */
  readonly atWork?: Int32Array;
  /** Told whose rows are being taken: a shard's rows of a block, as they lie there; 0: none, or not as they lie. */
  taking?(block: number, shard: number): void;
  /** Where the exchange is viewed: notifies readers of the changes of a shard. */
  publisher?(shard: number): ShardPublisher;
}

/** @param from what `snapshot` of this shard gave */
export type OpenShard = (shard: number, from?: unknown) => ExchangeShard;

/** One shard of an operator. */
export interface ExchangeShard {
  /**
   * Takes this shard's parts of the blocks of an epoch. The blocks are not needed afterwards.
   *
   * @returns how many pieces (groups, or rows) these are
   */
  merge(blocks: readonly number[]): number;
  /**
   * For a state that is viewed: brings it to the epoch whose blocks were merged, before `advance` emits what
   * changed.
   */
  settle?(): void;
  /**
   * Ends an epoch: what is due is emitted. The watermark never moves backwards. -Infinity: nothing is known,
   * or there is no event time; +Infinity: the input has ended, and what is still open comes out.
   */
  advance(watermark: number): void;
  /**
   * The state between two epochs, as values that structured clone can copy, without addresses. Taking it
   * changes nothing, and resuming from it yields the same bytes. Cost: O(state).
   */
  snapshot(): unknown;
  /**
   * The state between two epochs, row by row, for people. What is emitted later may differ afterwards: this is
   * for shards that were opened to be looked at. User functions that make values of state may be called.
   */
  stateRows(): Iterable<StateRow>;
  /** Bytes of state held, or an estimate of them. */
  readonly stateBytes: number;
  /** Bytes beside that which it keeps for reuse. Default: few. */
  readonly spareBytes?: number;
  /** Between two epochs: when `advance` next has something to do without blocks. */
  readonly due: DueTimes;
  /** Gives its memory back. The shard is not used afterwards; another one may be opened from its snapshot. */
  close(): void;
}

/**
 * Until when a shard may sleep: as long as it has no pieces to merge, calls of `advance` before these times
 * change nothing, neither its output nor its state. They may be too early. +Infinity: never.
 */
export interface DueTimes {
  /** The watermark from which on something is due; MAX_VALUE: the one of the end of the input. */
  readonly time: number;
  /** The epoch's clock from which on something is due. */
  readonly clock: number;
}

/** Nothing is ever due by itself. */
export const NEVER_DUE: DueTimes = { time: Number.POSITIVE_INFINITY, clock: Number.POSITIVE_INFINITY };

/** Notified when the table of a shard changes, so that others may read it meanwhile. */
export interface ShardPublisher {
  begin(): void;
  /** The table has changed, and is as of the epoch that is ending. */
  publish(table: number): void;
  /** The change failed half way. */
  abandon(): void;
}

/**
 * The number of rows that open windows hold. Each worker counts for all shards, since each finds all blocks.
 */
export interface HeldRows {
  readonly held: number;
  /** Number of rows of windows that have closed. */
  readonly released: number;
  /** The blocks of an epoch, and the watermark at its end. */
  account(blocks: readonly number[], watermark: number): void;
}
