/**
 * The contract of a codec: how the bytes of records become columns, and back. Codecs are synchronous and run in workers.
 *
 * A codec knows nothing of where records come from: a source's decoder finds the records in its frames (record batch,
 * lines) and lists them in a RecordIndex; the codec's decoder fills columns from that list.
 */

import type { Batch, Schema, SharedMemory, SlabAllocator } from '../core/index.ts';
import type { DecoderContext, Source } from './source.ts';

/**
 * Where the records of one frame lie: a table of addresses, `count` records long. All fields are addresses of arrays in
 * the shared memory, indexed by record; 0 where the source has no such thing (lines have no keys and no timestamps).
 */
export interface RecordIndex {
  count: number;
  /** u32[]: address of the value's bytes. */
  values: number;
  /** i32[]: length of the value; -1 for null. */
  valueLengths: number;
  /** u32[]: address of the key's bytes. */
  keys: number;
  /** i32[]: length of the key; -1 for null. */
  keyLengths: number;
  /** f64[]: offset of the record. */
  offsets: number;
  /** f64[]: the record's timestamp, ms; NaN, or beyond ±2^53, where no number holds it exactly. */
  timestamps: number;
  /** u32[]: address of the record's header section (varint count, then headers, as record batch v2 lays them out). */
  headers: number;
  /**
   * Offset of the partition's first record: 0, or where a source begins behind it (files: a byte order mark,
   * skipped lines); -1: it is not in this list.
   */
  start: number;
  /** Topic and partition, for `raw()`. */
  topic: string;
  partition: number;
}

export interface Codec<R = unknown> {
  /** `json`, `arrow`, `csv`, `text`, `raw`: for explain and messages. */
  readonly name: string;
  /** True when each record gives one row, or is refused: then rows can be counted against records. */
  readonly isRowPerRecord?: boolean;
  /** True when a \r that no \n follows ends a line, where records are lines. */
  readonly breaksAtCr?: boolean;
  /** Columns that decoding yields; undefined when the codec only encodes (`json()` without a schema). */
  readonly schema: Schema | undefined;
  /** Worker side. Throws MillraceError ERR_MILLRACE_PIPELINE when the codec has no schema to decode to. */
  decoder(context: DecoderContext): RecordDecoder;
  /** Worker side. `schema` is that of the batches to come. Throws ERR_MILLRACE_PIPELINE for a column that it cannot write. */
  encoder(context: EncoderContext, schema: Schema): RecordEncoder;
  readonly _row?: R;
}

/** A source of records whose values go through a codec: what tests put records into without its outside. */
export interface CodedSource<R = unknown> extends Source<R> {
  readonly codec: Codec<R>;
}

/** Columns from records. */
export interface RecordDecoder {
  /** Starts on a list of records; `next` goes through it. */
  open(records: RecordIndex): void;
  /**
   * The next batch of at most `batchRows` rows, or undefined at the end of the list. Records that cannot be decoded are
   * reported with `context.reject` and left out; their neighbours are not harmed. The batch is good until the next call.
   */
  next(): Batch | undefined;
  /** Record (its position in the RecordIndex) that gave row `row` of the last batch. */
  recordOf(row: number): number;
}

export interface EncoderContext {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
}

/**
 * Records from columns. `encode` writes rows `from..` of a batch to `address`, as many as surely fit below `limit`, one
 * record a row (or one for the whole batch: arrow), and notes where each record ends.
 */
export interface RecordEncoder {
  /** True when one record holds a whole batch (arrow): then key columns do not apply. */
  readonly wholeBatch: boolean;
  /**
   * @returns the number of rows written; 0 when not even one fits
   * @param ends address of a u32 array: entry i receives the address behind record i
   */
  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number;
}
