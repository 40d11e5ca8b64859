/**
 * The contract of a source. It has two ends.
 *
 * The outer end (`open`) runs on the coordinator's thread. It is asynchronous, talks to the broker or the
 * disk, and puts frames of raw bytes into the runtime's slabs without looking inside. The inner end
 * (`decoder`) runs in every worker. It is synchronous and turns the frames of one chunk into batches.
 *
 *   outside --read--> emit(partition, frame) --slab, ring--> ChunkDecoder.open(chunk) --next()--> Batch, ...
 *
 * A frame is the smallest piece that a source hands over: one Kafka record batch, one run of text lines, one
 * Arrow message, one range of generated rows. A chunk is a run of frames of one partition in one slab. Where
 * the runtime cuts chunks depends on offsets and sizes only, so a replay cuts them in the same places.
 */

import type { Batch, Schema, SharedMemory, SlabAllocator } from '../core/index.ts';
import type { Deposed } from './process-lock.ts';
import type { Report } from './report.ts';
import type { SharedSource } from './shared-source.ts';
import type { Holdings } from './sink.ts';

/**
 * Position in a partition: the offset of the next row to read. What an offset counts (records, bytes, rows)
 * is up to the source.
 */
export type Offset = number;

export interface Source<R = unknown> {
  /** What it is and where, for explain and messages: `kafka clicks`, `log clicks`, `generator`. */
  readonly name: string;
  readonly schema: Schema;
  /** True when it ends by itself (memory, files, a generator with a row count), whatever the trigger. */
  readonly bounded: boolean;
  /**
   * False: what was read once cannot be read again (an iterator). A restart goes on with the rows that come
   * then, and exactly-once is refused. Default: true.
   */
  readonly isReplayable?: boolean;
  /**
   * Rows come at a pace that begins anew with each run, so the end of those that are there may lie before where
   * the last run had got to. Default: false, and such an end means that rows were lost.
   */
  readonly isPaced?: boolean;
  /**
   * What only one source at a time can read (a topic for a consumer group). The plan refuses two sources of a
   * pipeline with the same value.
   */
  readonly alone?: string;
  /** How several processes share its rows; undefined: one process at a time reads it. */
  readonly shared?: SharedSource<Source>;
  /**
   * Bytes that one step of the offset stands for, where frames are smaller than their rows (the generator: 16
   * bytes for 4096 rows). Chunks are cut, and credit is charged, by the larger of this and the frame's bytes.
   */
  readonly offsetBytes?: number;
  /**
   * How many rows a frame stands for, from its header; undefined when only decoding can tell. The number is
   * checked against the rows decoded and refused.
   */
  frameRows?(bytes: Uint8Array, first: Offset, next: Offset, cut: number): number | undefined;
  /**
   * How far the source's group has got, looked up without reading a record, and without being a member of the group: a job
   * may be running. Undefined where a source has no group that others could ask for.
   *
   * @throws MillraceError as `open`; ERR_MILLRACE_OPTION where the source has no group
   */
  lag?(signal: AbortSignal): Promise<readonly PartitionLag[]>;
  /** Coordinator end. Checks that the outside exists; reads nothing yet. */
  open(context: SourceContext): Promise<SourceReader>;
  /** Worker end. One decoder per source and worker. */
  decoder(context: DecoderContext): ChunkDecoder;
  readonly _row?: R;
}

/** Where a group is in a partition, as offsets. What it has yet to read is `end - (committed ?? first)`. */
export interface PartitionLag {
  readonly partition: number;
  /** Of the oldest record that there is. */
  readonly first: number;
  /** Where the group goes on; undefined: it has committed nothing. */
  readonly committed: number | undefined;
  /** Behind the newest record that is visible. */
  readonly end: number;
}

/**
 * What the runtime gives to the outer end. Partitions are small integers, 0 to n - 1, in the same order at
 * every start.
 */
export interface SourceContext {
  /**
   * Stop at the end that exists at `start` (trigger 'availableNow'), and call `end` for each partition then.
   */
  readonly drain: boolean;
  /** Where to start, where the caller knows better than the source's own committed positions. */
  readonly from?: ReadonlyMap<number, Offset>;
  /** With `from`: the identity of the reader that had come so far (see SourceReader). */
  readonly identity?: readonly string[];
  /**
   * Where an epoch that is repeated was cut next behind an offset; undefined: nowhere. A source that could hand
   * over more there than it could then (a file that has grown) ends a frame at it.
   */
  cutBehind?(partition: number, offset: Offset): Offset | undefined;
  /** See SinkContext. */
  readonly deposed?: Deposed;
  /** See sink.ts. */
  readonly holdings?: Holdings;
  /** Aborted when the job stops: stop reading at once. */
  readonly signal: AbortSignal;
  /**
   * Copies one frame into the partition's open chunk. It always takes the frame, and returns false when the
   * credit is used up. Emit no more for that partition then than what is already in hand (pause the fetch)
   * until `credit` resolves.
   *
   * @param next the position after this frame: what to commit once its rows are done
   * @param flags source-specific, passed to the decoder
   * @param cut source-specific number, passed to the decoder (the Kafka source: rows below this offset are
   * not wanted)
   */
  emit(partition: number, bytes: Uint8Array, first: Offset, next: Offset, flags?: number, cut?: number): boolean;
  /** Resolves when there is credit again (at once if there is), or when the job stops. */
  credit(partition: number): Promise<void>;
  /** This partition will have no more frames. Its watermark no longer holds the others back. */
  end(partition: number): void;
  /**
   * The position after the newest row that exists outside now: for the lag, and for idleness. Call it at
   * every look, also when there is nothing new. A partition counts as idle only while its source keeps
   * looking and finds nothing.
   */
  high(partition: number, end: Offset): void;
  /**
   * Which partitions exist from now on, never fewer than before. The first call of `positions` reports them,
   * and again when there are more; a source that never reports has all of them. A partition that does not
   * exist holds no watermark back. A source that loses a partition to another process cannot continue: it
   * calls `fail`, and nothing is written after that.
   */
  assigned(partitions: readonly number[]): void;
  /**
   * What the source waits for outside, in one line (a broker that does not answer); undefined when that is
   * over. Without this callback the source prints a warning.
   */
  waiting?(what: string | undefined): void;
  /** See report.ts. */
  readonly report?: Report;
  /** The first fatal error. The job stops with it. */
  fail(error: unknown): void;
}

/** Outer end of an open source. */
export interface SourceReader {
  /**
   * For a source whose partitions can increase: how many a run has room for. Those that do not exist yet
   * begin at 0, uncommitted.
   */
  readonly partitionCount: number;
  /**
   * What positions are positions in, where another thing could come to stand in its place: the id of a topic, the
   * names of files by partition. It is kept with each checkpoint, and the next `open` gets it. A source refuses
   * there what it cannot go on with.
   */
  readonly identity?: readonly string[];
  /**
   * Where each partition starts: the committed positions and the text committed with them. Called before
   * `start`.
   */
  positions(): Promise<CommittedPosition[]>;
  /** Starts reading from `positions()`, and emits until it ends or `close` is called. Returns at once. */
  start(): void;
  /**
   * Stores positions, so that the next `open` starts there. Only the epoch's commit calls it, never the
   * source itself.
   */
  commit(positions: readonly CommittedPosition[]): Promise<void>;
  /**
   * For positions that can be committed in the transaction of a sink, instead of by `commit`: the domain (see
   * TransactionDomain), and positions as the domain's transactions take them.
   */
  readonly transactional?: { readonly domain: string; positions(positions: readonly CommittedPosition[]): unknown };
  close(): Promise<void>;
}

export interface CommittedPosition {
  readonly partition: number;
  readonly offset: Offset;
  /**
   * The runtime's text that travels with the offset (watermarks), at most 1 KiB. Empty if nothing was ever
   * committed.
   */
  readonly metadata: string;
}

/** What the runtime gives to the inner end. */
export interface DecoderContext {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  /**
   * Positions in `schema.fields` of the columns that the pipeline reads. The others may stay undecoded; they
   * hold nothing.
   */
  readonly columns: readonly number[];
  /** Most rows of a batch (a multiple of 8). */
  readonly batchRows: number;
  /** Number of workers that decode at the same time; each gets its share of the memory. Default 1. */
  readonly workers?: number;
  /** Most bytes of a rejection's sample. Default SAMPLE_BYTES_MAX; more where refused bytes are kept. */
  readonly sampleBytesMax?: number;
  /** What the decoder waits for outside, in one line, while `waitsFor` lasts; undefined when that is over. */
  waiting?(what: string | undefined): void;
  /**
   * Reports a row, or a whole frame, that cannot be decoded. The ledger counts it by reason; the decoder
   * continues after it.
   */
  reject(rejection: Rejection): void;
}

/** Enough of a refused record to see what it is. */
export const SAMPLE_BYTES_MAX = 1_024;

/** Why rows do not reach the pipeline. */
export interface Rejection {
  /**
   * `undecodable`: a value that the codec refuses. `corrupt`: broken framing or checksum. `control`: no row of the
   * user's (a control record, an aborted transaction, a header line); no fault. `lost`: deleted outside before it was
   * read, so it never came in.
   */
  readonly reason: 'undecodable' | 'corrupt' | 'control' | 'lost';
  readonly offset: Offset;
  /** How many rows it loses; 1 for a row, the declared count for a frame. */
  readonly rows: number;
  /** What is wrong, with the value, and what to do. */
  readonly message: string;
  /** A copy of the refused bytes: all of them, or as many as the context's sampleBytesMax allows. */
  readonly sample?: Uint8Array;
}

/**
 * A run of frames of one partition, in shared memory. The frames lie back to back, in the layout of FRAME.
 */
export interface Chunk {
  readonly partition: number;
  readonly address: number;
  readonly byteLength: number;
  readonly first: Offset;
  readonly next: Offset;
}

/**
 * Worker end. `open` starts a chunk; `next` yields its batches until undefined. A batch (and its bytes) is
 * valid until the next call of either.
 */
export interface ChunkDecoder {
  open(chunk: Chunk): void;
  next(): Batch | undefined;
  /**
   * Set where `next` returned undefined before the chunk's end: what has to be there first, such as the schema of a
   * record. Wait for it, and call `next` again. A rejection ends the job.
   */
  readonly waitsFor?: Promise<void> | undefined;
  /**
   * Offset of row `row` of the batch that `next` returned last: the row's coordinate for the ledger and for
   * errors.
   */
  offsetOf(row: number): Offset;
}

/**
 * Frame header, before each frame of a chunk. The body follows at once, at a multiple of 64. The next header
 * is at the next multiple of 64 after the body. The coordinator writes it, the decoders read it.
 */
export const FRAME = {
  bodyBytes: 0, // u32: length of the body
  flags: 4, // u32: source-specific
  first: 8, // f64: position of the first row
  next: 16, // f64: position after the last row
  cut: 24, // f64: source-specific
  headerBytes: 64,
  alignment: 64,
} as const;

/** Bytes that a frame of `bodyBytes` takes in a chunk, header and padding included. */
export function frameBytes(bodyBytes: number): number {
  return FRAME.headerBytes + Math.ceil(bodyBytes / FRAME.alignment) * FRAME.alignment;
}
