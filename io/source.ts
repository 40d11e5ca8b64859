/**
 * The contract of a source. It has two ends.
 *
 * The outer end (`open`) runs on the coordinator's thread: it is asynchronous, talks to the broker or the disk, and puts
 * frames of raw bytes into the runtime's slabs without looking inside. The inner end (`decoder`) runs in every worker:
 * it is synchronous, and turns the frames of one chunk into batches.
 *
 *   outside --read--> emit(partition, frame) --slab, ring--> ChunkDecoder.open(chunk) --next()--> Batch, Batch, ...
 *
 * A frame is the smallest piece that a source hands over: one Kafka record batch, one run of text lines, one Arrow
 * message, one range of generated rows. A chunk is a run of frames of one partition in one slab. Where the runtime
 * cuts chunks follows from offsets and sizes only, so that a replay cuts them in the same places.
 */

import type { Batch, Schema, SharedMemory, SlabAllocator } from '../core/index.ts';

/** Position of a partition: the offset of the next row to read. What an offset counts (records, bytes, rows) is the source's affair. */
export type Offset = number;

export interface Source<R = unknown> {
  /** What it is and where, for explain and messages: `kafka clicks`, `log clicks`, `generator`. */
  readonly name: string;
  readonly schema: Schema;
  /** True when it ends by itself (memory, files, a generator with a row count), whatever the trigger. */
  readonly bounded: boolean;
  /** What only one source at a time can read (a topic for a consumer group). Two of a pipeline that say the same are refused when the plan is made. */
  readonly alone?: string;
  /**
   * What a step of one in the offset weighs, in bytes, where frames are smaller than the rows that they stand for (the
   * generator: 16 bytes for 4096 rows). Chunks are cut, and credit is charged, by the larger of this and the frame's bytes.
   */
  readonly offsetBytes?: number;
  /**
   * How many rows a frame stands for, as its head says; undefined: that cannot be told without decoding it. What is told is
   * counted against what was decoded and what was refused.
   */
  frameRows?(bytes: Uint8Array, first: Offset, next: Offset, cut: number): number | undefined;
  /** Coordinator end. Checks that the outside is there; reads nothing yet. */
  open(context: SourceContext): Promise<SourceReader>;
  /** Worker end. One decoder per source and worker. */
  decoder(context: DecoderContext): ChunkDecoder;
  readonly _row?: R;
}

/** What the runtime gives to the outer end. Partitions are small integers, 0 to n - 1, in an order that is the same at every start. */
export interface SourceContext {
  /** Stop at what is there at `start` (trigger 'availableNow'), and report `end` for each partition then. */
  readonly drain: boolean;
  /** Where to start, where the caller knows better than the source's own committed positions. */
  readonly from?: ReadonlyMap<number, Offset>;
  /** Aborted when the job stops: stop reading at once. */
  readonly signal: AbortSignal;
  /**
   * Copies one frame into the partition's open chunk. Takes it in any case; returns false when the credit is used up:
   * then emit no more for that partition than what is already in hand (pause the fetch) until `credit` resolves.
   *
   * @param next the position behind this frame: what to commit once its rows are done
   * @param flags source-specific, handed to the decoder
   * @param cut source-specific number handed to the decoder (the Kafka source: rows below this offset are not wanted)
   */
  emit(partition: number, bytes: Uint8Array, first: Offset, next: Offset, flags?: number, cut?: number): boolean;
  /** Resolves when there is credit again (at once when there is), or when the job stops. */
  credit(partition: number): Promise<void>;
  /** No more frames for this partition, ever. Its watermark no longer holds the others back. */
  end(partition: number): void;
  /**
   * The position behind the newest row that exists outside, as of now: for the lag, and for idleness. To be told at every look, also
   * when there is nothing new: a partition counts as idle only for as long as its source goes on looking and finds nothing.
   */
  high(partition: number, end: Offset): void;
  /**
   * Which partitions there are from now on: never fewer than before. Told by the first call of `positions`, and again when there
   * are more; a source that never tells has them all. One that is not there holds no watermark back. A source that loses a
   * partition to another process cannot go on: it calls `fail`, and what is not written by then never is.
   */
  assigned(partitions: readonly number[]): void;
  /** What the source waits for outside, in one line (a broker that does not answer); undefined when that is over. Without it the source prints a warning. */
  waiting?(what: string | undefined): void;
  /** The first fatal error. The job stops with it. */
  fail(error: unknown): void;
}

/** Outer end of an open source. */
export interface SourceReader {
  /** Of a source whose partitions can become more: for how many a run has room. Those that are not there yet begin at 0, uncommitted. */
  readonly partitionCount: number;
  /** Where each partition starts: the committed positions and what was committed with them. Asked for before `start`. */
  positions(): Promise<CommittedPosition[]>;
  /** Starts reading, from `positions()`; emits until it ends or `close` is called. Returns at once. */
  start(): void;
  /** Records positions, so that the next `open` starts there. Called by the epoch's commit only, never by the source itself. */
  commit(positions: readonly CommittedPosition[]): Promise<void>;
  close(): Promise<void>;
}

export interface CommittedPosition {
  readonly partition: number;
  readonly offset: Offset;
  /** Text of the runtime's that travels with the offset (watermarks), at most 1 KiB. Empty when nothing was ever committed. */
  readonly metadata: string;
}

/** What the runtime gives to the inner end. */
export interface DecoderContext {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  /** Positions in `schema.fields` of the columns that the pipeline reads. The others may be left undecoded: their columns hold nothing. */
  readonly columns: readonly number[];
  /** At most this many rows a batch (a multiple of 8). */
  readonly batchRows: number;
  /** Workers that decode at the same time: each gets its share of the memory. Default 1. */
  readonly workers?: number;
  /** Most bytes of a rejection's sample. Default SAMPLE_BYTES_MAX; more where somebody keeps what was refused. */
  readonly sampleBytesMax?: number;
  /** Reports a row, or a whole frame, that cannot be decoded. It is counted in the ledger by reason; the decoder goes on behind it. */
  reject(rejection: Rejection): void;
}

/** Enough of a refused record to see what it is. */
export const SAMPLE_BYTES_MAX = 1_024;

/** Why rows do not reach the pipeline. */
export interface Rejection {
  /**
   * `undecodable`: a value the codec refuses. `corrupt`: broken framing or checksum. `filtered`: not to be seen (aborted transaction,
   * control record); no fault. `lost`: gone outside before it was read, so it never came in.
   */
  readonly reason: 'undecodable' | 'corrupt' | 'filtered' | 'lost';
  readonly offset: Offset;
  /** How many rows are lost by it; 1 for a row, the declared count for a frame. */
  readonly rows: number;
  /** What is wrong, with the value; and what to do. */
  readonly message: string;
  /** The bytes refused, a copy: all of them, or as many as the context's sampleBytesMax says. */
  readonly sample?: Uint8Array;
}

/** A run of frames of one partition, in the shared memory. `bytes` frames lie one behind the other as FRAME says. */
export interface Chunk {
  readonly partition: number;
  readonly address: number;
  readonly byteLength: number;
  readonly first: Offset;
  readonly next: Offset;
}

/**
 * Worker end. `open` starts a chunk; `next` yields its batches until undefined. A batch (and its bytes) is good until
 * the next call of either.
 */
export interface ChunkDecoder {
  open(chunk: Chunk): void;
  next(): Batch | undefined;
  /**
   * Offset of row `row` of the batch that `next` returned last: the row's coordinate for the ledger and for errors.
   */
  offsetOf(row: number): Offset;
}

/**
 * Frame header, in front of each frame of a chunk. The body follows at once, at a multiple of 64; the next header at
 * the next multiple of 64 behind the body. Written by the coordinator, read by the decoders.
 */
export const FRAME = {
  bodyBytes: 0, // u32: length of the body
  flags: 4, // u32: source-specific
  first: 8, // f64: position of the first row
  next: 16, // f64: position behind the last row
  cut: 24, // f64: source-specific
  headerBytes: 64,
  alignment: 64,
} as const;

/** Bytes that a frame of `bodyBytes` takes in a chunk, header and padding included. */
export function frameBytes(bodyBytes: number): number {
  return FRAME.headerBytes + Math.ceil(bodyBytes / FRAME.alignment) * FRAME.alignment;
}
