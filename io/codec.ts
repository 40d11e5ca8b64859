/**
 * The contract of a codec: how the bytes of records become columns, and back. Codecs are synchronous and run
 * in workers.
 *
 * A codec does not know where records come from. The source's decoder finds the records in its frames (record
 * batch, lines) and lists them in a RecordIndex. The codec's decoder fills columns from that list.
 */

import { type Batch, MillraceError, type Schema, type SharedMemory, type SlabAllocator, shown } from '../core/index.ts';
import type { PrepareContext } from './schema-registry.ts';
import type { SinkInfo } from './sink.ts';
import type { DecoderContext, Source } from './source.ts';

/**
 * Where the records of one frame lie: a table of addresses with `count` records. Each field is the address of
 * an array in shared memory, indexed by record, or 0 where the source has no such thing (lines have no keys
 * and no timestamps).
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
  /** f64[]: the record's timestamp in ms; NaN, or beyond ±2^53, where no number holds it exactly. */
  timestamps: number;
  /**
   * u32[]: address of the record's header section (varint count, then headers, in the layout of record batch
   * v2).
   */
  headers: number;
  /**
   * Offset of the partition's first record. It is 0, or larger where a source begins later (files: after a
   * byte order mark or skipped lines). -1: that record is not in this list.
   */
  start: number;
  /** Address and length of the first line of the partition, for a codec that is `headed`; else 0. */
  header: number;
  headerBytes: number;
  /** Topic and partition, for `raw()`. */
  topic: string;
  partition: number;
}

export interface Codec<R = unknown> {
  /** `json`, `arrow`, `csv`, `text`, `raw`: for explain and messages. */
  readonly name: string;
  /** True when each record gives one row or is refused. Rows can then be counted against records. */
  readonly isRowPerRecord?: boolean;
  /** True when a \r without a \n ends a line, where records are lines. */
  readonly breaksAtCr?: boolean;
  /**
   * Given where records are understood by the first line of their partition, wherever they are read. The
   * source puts that line beside every frame, and ends with an error where `fault` says what is wrong with it.
   */
  readonly headed?: { fault(line: Uint8Array): string | undefined };
  /**
   * Coordinator side, before a sink of a topic opens: what its encoders need from outside, the id of the schema that they
   * write (SinkInfo.schemaId).
   *
   * @throws MillraceError ERR_MILLRACE_SINK
   */
  prepare?(context: PrepareContext): Promise<number>;
  /** The columns that decoding gives; undefined when the codec only encodes (`json()` without a schema). */
  readonly schema: Schema | undefined;
  /** Worker side. Throws MillraceError ERR_MILLRACE_PIPELINE when the codec has no schema to decode to. */
  decoder(context: DecoderContext): RecordDecoder;
  /**
   * Worker side. `schema` is that of the batches to come. Throws ERR_MILLRACE_PIPELINE for a column that the
   * codec cannot write.
   */
  encoder(context: EncoderContext, schema: Schema): RecordEncoder;
  readonly _row?: R;
}

/** A source whose records go through a codec. Tests can feed it raw records, without its outside. */
export interface CodedSource<R = unknown> extends Source<R> {
  readonly codec: Codec<R>;
}

/** Columns from records. */
export interface RecordDecoder {
  /** Starts on a list of records; `next` walks through it. */
  open(records: RecordIndex): void;
  /**
   * The next batch of at most `batchRows` rows, or undefined at the end of the list. Records that cannot be
   * decoded are reported with `context.reject` and left out; their neighbours are unaffected. The batch is
   * valid until the next call.
   */
  next(): Batch | undefined;
  /** The record (its position in the RecordIndex) that gave row `row` of the last batch. */
  recordOf(row: number): number;
  /** See ChunkDecoder. */
  readonly waitsFor?: Promise<void> | undefined;
}

export interface EncoderContext {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  /** What the sink found when it opened. */
  readonly info?: SinkInfo;
}

/**
 * Records from columns. `encode` writes rows `from..` of a batch to `address`, as many as surely fit below
 * `limit`. It writes one record per row (or one for the whole batch: arrow) and notes where each record ends.
 */
export interface RecordEncoder {
  /** True when one record holds a whole batch (arrow). Key columns do not apply then. */
  readonly wholeBatch: boolean;
  /**
   * @returns the number of rows written; 0 when not even one fits
   * @param ends address of a u32 array: entry i receives the address after record i
   */
  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number;
}

/**
 * @param what whose option `value` it is: the start of the message
 * @throws MillraceError ERR_MILLRACE_OPTION when a value is no codec, with what to write where it is a schema
 */
export function mustBeCodec(what: string, value: unknown): void {
  if (typeof (value as Partial<Codec> | undefined)?.encoder === 'function') return;
  const columns = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  const isSchema = columns.length > 0 && columns.every((name) => typeof (value as Record<string, { name?: unknown } | undefined>)[name]?.name === 'string');
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    isSchema
      ? `${what}: value is the schema ${shown(Object.fromEntries(columns.map((name) => [name, (value as Record<string, { name: string }>)[name]?.name])))}, which does not say how records are written. Give a codec of it: value: json({ ... }), csv({ ... }) or arrow({ ... }).`
      : `${what}: value is ${shown(value)}. Give a codec: json({ page: utf8, ms: f64 }), csv({ ... }), arrow({ ... }), text() or raw().`,
  );
}

/**
 * @param what whose records have no first line that is a header: the start of the message
 * @throws MillraceError ERR_MILLRACE_OPTION when the codec needs one
 */
export function mustNotBeHeaded(what: string, codec: Codec): void {
  if (codec.headed === undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what}: value finds its columns in the header of a file, and records have none. Leave header: 'byName' out, and name the columns in the order of the fields.`,
  );
}
