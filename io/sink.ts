/**
 * The contract of a sink. Like a source, it has two ends. The inner end (`encoder`) runs in the workers,
 * synchronously, and turns result batches into blocks of bytes. The outer end (`open`) runs on the
 * coordinator's thread and writes them.
 *
 * Nothing is final until `commit`. The runtime calls `write` for the blocks of an epoch, in (shard, sequence)
 * order. What comes next depends on the guarantee of the job:
 *
 *   at-least-once   write ... | commit(epoch), for every epoch
 *   exactly-once    recover(n), once, before the first write
 *                   write ..., for some epochs | prepare(n) | [the job decides n] | commit(n)
 *
 * A sink that has no `prepare` (an idempotent one) is committed before the decision: nothing else makes its
 * rows durable. io/README.md has the contract as a table, `sinkConformance` of millrace/testing tries it.
 *
 * n is the number of a checkpoint: that of its last epoch. The job decides a checkpoint by making its manifest
 * durable, or, where a sink is transactional, by the transaction. A crash before the decision leaves the job
 * at the checkpoint before: what was written or prepared behind it must never be seen. A crash behind the
 * decision leaves it at n: what was prepared must be seen, once. `recover` does both. Source positions are
 * committed after `commit` has resolved.
 *
 *   delivery             asks for                                   a restart from n
 *   transactional        `transactions`; writes go through it       the transaction knows n, and decides it
 *   replayed by epoch    `prepare`, `recover`                       the sink drops what it has behind n
 *   idempotent           nothing more: the same rows any number     rows behind n are written again, over
 *                        of times are the same as once              themselves
 *   at-least-once        nothing more; no exactly-once              rows behind n are written again
 */

import { type Batch, MillraceError, type Schema, type SharedMemory, type SlabAllocator, shown } from '../core/index.ts';
import type { Deposed } from './process-lock.ts';
import type { Report } from './report.ts';

/**
 * How rows of a table, which replace earlier ones and go, are written: `upsert`, the new ones, and for a row
 * that goes a record of its key without a value; `retract`, old and new ones, with a column `retracted`;
 * `append`, the new ones only.
 */
export type Changelog = 'upsert' | 'retract' | 'append';

export type Delivery = 'transactional' | 'replayed by epoch' | 'idempotent' | 'at-least-once';

export interface Sink<R = unknown> {
  /** What it is and where: `kafka clicks-per-page`, `log out`, `console`. */
  readonly name: string;
  /** What becomes of rows that are written again (see above). Default: 'at-least-once'. */
  readonly delivery?: Delivery;
  /** For a transactional sink: where its transactions are. */
  readonly transactions?: TransactionDomain;
  /**
   * What one writer alone may write: a topic of a log, the names of files. A pipeline with two such sinks is
   * refused when its plan is made. Undefined: any number of sinks may write there.
   */
  readonly place?: string | undefined;
  /**
   * How the sink takes rows of a table; `auto`: as fits the table. Undefined: it takes facts, and a table does
   * not compile in front of it.
   */
  readonly changelog?: Changelog | 'auto';
  /**
   * The key of its records, where it can write one without a value for a row that goes: those rows then have
   * true in the hidden column of the schema (`SIGN` of core).
   */
  readonly upsertKey?: readonly string[] | undefined;
  /**
   * Checks the sink against the schema of the stream when the plan is made. Throws MillraceError
   * ERR_MILLRACE_PIPELINE.
   */
  check(schema: Schema): void;
  /** Coordinator end. Checks that the outside exists. */
  open(context: SinkContext): Promise<SinkWriter>;
  /** Worker end. `info` is what `open` found out. */
  encoder(context: SinkEncoderContext): SinkEncoder;
  readonly _row?: R;
}

/**
 * How a sink takes rows of a table, of its option.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function changelogOf(what: string, changelog: Changelog | undefined): Changelog | 'auto' {
  if (changelog === undefined || changelog === 'upsert' || changelog === 'retract' || changelog === 'append') return changelog ?? 'auto';
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what}: changelog is ${shown(changelog)}; it must be 'upsert' (new rows; those that go are deleted), 'retract' (old and new rows, with a column "retracted") or 'append' (new rows only).`,
  );
}

/**
 * The key by which a sink of records deletes; undefined: it has none, or writes many rows into a record.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when it is to upsert and has none
 */
export function upsertKeyOf(
  what: string,
  options: { readonly key?: string | readonly string[]; readonly value: { readonly name: string }; readonly changelog?: Changelog },
): readonly string[] | undefined {
  const { key, value, changelog } = options;
  if (key !== undefined && value.name !== 'arrow') return [key].flat();
  if (changelog !== 'upsert') return undefined;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what}: changelog is 'upsert', which replaces by key. ${key === undefined ? "Give the key of the table: key: 'id'." : 'The arrow codec writes many rows into a record: take json() or csv().'}`,
  );
}

/** A sink that says how it takes rows of a table. */
export type ChangelogSink<R = unknown> = Sink<R> & { readonly changelog: Changelog | 'auto' };

export interface SinkContext {
  readonly schema: Schema;
  readonly pipeline: string;
  readonly signal: AbortSignal;
  /** Which of the two sequences of calls the sink will get. Default: at-least-once. */
  readonly guarantee?: 'at-least-once' | 'exactly-once';
  /**
   * The job was taken over from this process, which may be alive, and wake up later. A sink that locks what it
   * writes takes those locks from it; what it may still write then must not be seen.
   */
  readonly deposed?: Deposed;
  /** Exactly-once, for a transactional sink: the open transaction of its domain. */
  readonly transaction?: Transaction;
  /** See SourceContext: what the sink waits for outside. */
  waiting?(what: string | undefined): void;
  /** See report.ts. */
  readonly report?: Report;
  /** The outside refuses a row for good. It is counted, and the job goes on. */
  refused?(row: RefusedRow): void;
}

/** A row that the outside refuses for what is in it. */
export interface RefusedRow {
  readonly epoch: number;
  readonly unit: number;
  /** What refused it, its own words, and the row. */
  readonly message: string;
}

/** What a sink that talks to a server has done so far. */
export interface SinkCounts {
  readonly requests: number;
  /** Requests that were sent again, whole or in part. */
  readonly retries: number;
  /** Rows that are stored. */
  readonly rows: number;
  readonly bytes: number;
  readonly refused: number;
  /** Requests under way. */
  readonly inFlight: number;
  /** Over all requests. */
  readonly seconds: number;
  /** The server is away or too busy. */
  readonly isWaiting: boolean;
}

/**
 * Where transactions of several sinks, and the positions of sources, can be one: a cluster. A job that is
 * exactly-once has one at most.
 */
export interface TransactionDomain {
  /** The same for all sinks and sources of the domain: `kafka 127.0.0.1:9092`. */
  readonly domain: string;
  open(context: TransactionContext): Promise<Transaction>;
}

/**
 * What a process holds outside, by name: the identity of a producer, the membership of a group. It outlives a
 * job's restarts within the process. Who opens the same thing again shows what it had. So it gets that back, or
 * learns that another process has taken it over; it never takes it back from that one.
 */
export type Holdings = Map<string, unknown>;

export interface TransactionContext {
  /** Names the job. Whoever opens a transaction by the same name later fences this one. */
  readonly id: string;
  readonly signal: AbortSignal;
  /**
   * Whether another process is known to have the job now. Asked when the outside refuses this one: to ask
   * there who has the name can disturb the other one's transaction.
   */
  isTaken?(): Promise<boolean>;
  /** See {@link Holdings}. */
  readonly holdings?: Holdings;
  waiting?(what: string | undefined): void;
  readonly report?: Report;
}

/** Transactions of a job, one after the other. */
export interface Transaction {
  /**
   * Fences whoever had the name before, and ends what he left open. To be called before anything is read or
   * written.
   *
   * @returns the last checkpoint that was committed by this name; undefined: none ever was
   */
  recover(): Promise<number | undefined>;
  /**
   * Commits what the sinks have written since the last commit, positions of sources of the same domain, and
   * the number of the checkpoint, all at once. The same number may come again, with more rows. When it
   * rejects, only `recover` of a new transaction can tell whether it was committed.
   *
   * @param positions of SourceReader.transactional, for each source of the domain
   * @throws MillraceError ERR_MILLRACE_FENCED when another process has the name now
   */
  commit(checkpoint: number, positions: readonly unknown[]): Promise<void>;
  /** Aborts what is open. */
  close(): Promise<void>;
}

/**
 * Structured-cloneable facts that `open` found and the encoders need (the number of partitions of the topic).
 */
export interface SinkInfo {
  readonly partitionCount: number;
  /** What the codec's `prepare` gave. */
  readonly schemaId?: number;
}

export interface SinkWriter {
  readonly info: SinkInfo;
  /**
   * Writes one block. `bytes` is a view of shared memory, valid until the promise settles. Calls may overlap;
   * blocks keep the order of the calls.
   */
  write(block: SinkBlock): Promise<void>;
  /**
   * Exactly-once, before the first write: the job resumes from this checkpoint (-1: from nothing). What was
   * prepared for it, or before it, becomes visible; everything behind it goes.
   */
  recover?(checkpoint: number): Promise<void>;
  /**
   * Exactly-once: makes everything that was written durable, but not visible. Epochs up to this checkpoint
   * have been written.
   */
  prepare?(checkpoint: number): Promise<void>;
  /**
   * Makes what was written (at-least-once) or prepared (exactly-once) visible and durable. Resolves when that
   * is done.
   *
   * @param epoch of the rows, or the checkpoint
   */
  commit(epoch: number): Promise<void>;
  close(): Promise<void>;
  /** For progress and metrics. */
  counts?(): SinkCounts;
}

export interface SinkBlock {
  readonly epoch: number;
  /**
   * Where the block's rows come from: a partition (for rows that no operator by key took), or a group of
   * shards.
   */
  readonly unit: number;
  /** Output partition that the encoder chose; 0 where there are none. */
  readonly partition: number;
  readonly rowCount: number;
  readonly bytes: Uint8Array;
}

export interface SinkEncoderContext {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly schema: Schema;
  readonly info: SinkInfo;
  /** Where the next rows belong: for sinks that run user-defined code in the worker. */
  position(): SinkPosition;
  /** Hands over a finished block: a slab that the runtime frees once it is written. */
  block(partition: number, rowCount: number, slab: number, byteLength: number): void;
}

/** The epoch, and the shard that rows come from (for rows that no key-by sharded: the worker's scan). */
export interface SinkPosition {
  readonly epoch: number;
  readonly shard: number;
}

export interface SinkEncoder {
  /** Encodes the rows of a batch; may hand over blocks. */
  write(batch: Batch): void;
  /** Hands over what is pending, because the epoch or the shard ends here. */
  flush(): void;
}
