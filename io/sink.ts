/**
 * The contract of a sink. Like a source, it has two ends. The inner end (`encoder`) runs in the workers,
 * synchronously, and turns result batches into blocks of bytes. The outer end (`open`) runs on the
 * coordinator's thread and writes them.
 *
 * Nothing is final until `commit`. The runtime calls `write` for the blocks of an epoch, in (shard, sequence)
 * order, and then `commit(epoch)`. Source positions are committed after that has resolved. A sink that gets
 * the same epoch twice (after a failure) must end in the same state where it can.
 */

import type { Batch, Schema, SharedMemory, SlabAllocator } from '../core/index.ts';

export interface Sink<R = unknown> {
  /** What it is and where: `kafka clicks-per-page`, `log out`, `console`. */
  readonly name: string;
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

export interface SinkContext {
  readonly schema: Schema;
  readonly pipeline: string;
  readonly signal: AbortSignal;
  /** See SourceContext: what the sink waits for outside. */
  waiting?(what: string | undefined): void;
}

/**
 * Structured-cloneable facts that `open` found and the encoders need (the number of partitions of the topic).
 */
export interface SinkInfo {
  readonly partitionCount: number;
}

export interface SinkWriter {
  readonly info: SinkInfo;
  /**
   * Writes one block. `bytes` is a view of shared memory, valid until the promise settles. Calls may overlap;
   * blocks keep the order of the calls.
   */
  write(block: SinkBlock): Promise<void>;
  /** Makes what was written for the epoch visible and durable. Resolves when that is done. */
  commit(epoch: number): Promise<void>;
  close(): Promise<void>;
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
