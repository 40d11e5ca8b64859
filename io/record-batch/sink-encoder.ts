/**
 * Result batches to record batches v2, compressed if that is asked for: the worker end of every sink that writes them (Kafka and
 * the embedded log).
 *
 *   Batch -> codec -> values -> keys -> partitions -> staging, one block per partition -> header, CRC -> block
 *
 * Blocks have base offset 0 and no producer; the outer end sets what it must (encode.ts). A finished block is
 * copied from its staging to a slab of its size. Rows of a table come with the hidden column: one that is taken
 * back is a record without a value, or none where the next row has its key. Each shard flushes its own blocks, so most are far smaller
 * than the limit.
 */

import { Batch, type Clock, copyBytes, MillraceError, readValue, type Schema, type SharedMemory, SIGN, shown, withoutSign } from '../../core/index.ts';
import type { Codec, RecordEncoder } from '../codec.ts';
import type { SinkEncoder, SinkEncoderContext } from '../sink.ts';
import { APPEND, type AppendRecords, appendRecords, BLOCK, MARK, RECORD_OVERHEAD_MAX } from './append.ts';
import { type CompressRecords, compressionCode, recordCompressor, type SinkCompression } from './compress.ts';
import { type FilledBatch, writeBatchHeader } from './encode.ts';
import { KeyColumns } from './keys.ts';
import { RECORD_BATCH } from './layout.ts';
import { type PartitionRecords, partitionRecords } from './partitioner.ts';

export interface RecordSinkOptions {
  readonly codec: Codec;
  /**
   * Column whose text is the record's key (utf8 and binary: its bytes). With several columns, the key is a
   * JSON array of their values. The key decides the partition as in Kafka's default partitioner. Without a
   * key, and with codecs that put a whole batch into a record (arrow), records are spread by the hash of
   * their value.
   */
  readonly key?: string | readonly string[];
  /** Position of the column (i32) that holds the partition of each row; default: the key, or else the value, decides. */
  readonly partition?: number;
  /** `now` (default), or the name of a timestamp column: `windowEnd`. */
  readonly timestamp?: 'now' | (string & {});
  readonly clock?: Clock;
  /** A block is handed over before it exceeds this size. Default 512 KiB. */
  readonly blockBytes?: number;
  /**
   * The largest record batch that the outside accepts. Default 1,048,588 bytes, the broker's
   * `message.max.bytes`.
   */
  readonly batchBytesMax?: number;
  /** Default: none. Sizes are limited before compression. */
  readonly compression?: SinkCompression;
}

const BLOCK_BYTES = 512 << 10;
const BATCH_BYTES_MAX = 1_048_588;
const SCRATCH_BYTES_MIN = 1 << 16;
const STAGING_BYTES_MIN = 1 << 14;
/** Rows encoded at a time. */
const ROWS_MAX = 4_096;
/** Whole milliseconds that a number holds exactly, before and after 1970. */
const TIMESTAMP_MAX = Number.MAX_SAFE_INTEGER;

/**
 * The encoder of a sink.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE when `key` or `timestamp` names no column, or one that cannot
 * serve
 */
export function recordSinkEncoder(context: SinkEncoderContext, options: RecordSinkOptions): SinkEncoder {
  return new RecordSinkEncoder(context, options);
}

class RecordSinkEncoder implements SinkEncoder {
  readonly #context: SinkEncoderContext;
  readonly #memory: SharedMemory;
  readonly #codec: RecordEncoder;
  readonly #codecName: string;
  readonly #keys: KeyColumns | undefined;
  /** Columns of what is written. */
  readonly #schema: Schema;
  /** The hidden column of a table's changes; -1: rows are only added. */
  readonly #sign: number;
  readonly #partitionColumn: number | undefined;
  readonly #timeColumn: number;
  readonly #clock: Clock;
  readonly #blockBytes: number;
  readonly #batchBytesMax: number;
  readonly #append: AppendRecords;
  readonly #partition: PartitionRecords;
  readonly #compress: CompressRecords | undefined;
  readonly #compression: number;
  // By row of a run: ends, keys, keyLengths, partitions (4 bytes each), timestamps (8).
  readonly #job: number;
  readonly #ends: number;
  readonly #keyAddresses: number;
  readonly #keyLengths: number;
  readonly #partitions: number;
  readonly #timestamps: number;
  /** By row of a run: MARK, 1 byte each. */
  readonly #marks: number;
  readonly #blocks: number;
  /**
   * By partition: the slab in which the open block is staged (0: none yet), its size, and its result rows.
   */
  readonly #stagings: number[];
  readonly #stagingBytes: number[];
  readonly #rowCounts: number[];
  #scratch = 0;
  #scratchBytes = 0;

  constructor(context: SinkEncoderContext, options: RecordSinkOptions) {
    const { slabs, info } = context;
    const schema = withoutSign(context.schema);
    this.#schema = schema;
    this.#sign = context.schema.indexOf(SIGN);
    this.#context = context;
    this.#memory = context.memory;
    this.#codec = options.codec.encoder(context, schema);
    this.#codecName = options.codec.name;
    const names = options.key === undefined || this.#codec.wholeBatch ? [] : [options.key].flat();
    this.#keys =
      names.length === 0
        ? undefined
        : new KeyColumns(
            slabs,
            schema,
            names.map((name) => schema.require(name, 'The key of the sink')),
          );
    if (this.#sign >= 0 && this.#keys === undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        'The sink is to delete rows of a table, which takes a key, and a codec that writes one row into a record.',
      );
    }
    this.#timeColumn = -1;
    if (options.timestamp !== undefined && options.timestamp !== 'now') {
      this.#timeColumn = schema.require(options.timestamp, 'The timestamp of the sink');
      const { type } = schema.field(this.#timeColumn);
      if (type.name !== 'timestamp')
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `The timestamp of the sink names the column ${shown(options.timestamp)}, which is ${type.name}. Name a timestamp column, or leave it out for the time of writing.`,
        );
    }
    this.#partitionColumn = options.partition;
    this.#clock = options.clock ?? Date.now;
    this.#batchBytesMax = options.batchBytesMax ?? BATCH_BYTES_MAX;
    this.#blockBytes = Math.min(options.blockBytes ?? BLOCK_BYTES, this.#batchBytesMax);
    const { compression = 'none' } = options;
    this.#compress = recordCompressor(compression);
    this.#compression = compressionCode(compression);
    this.#append = appendRecords(this.#memory);
    this.#partition = partitionRecords(this.#memory);
    const arrays = slabs.alloc(ROWS_MAX * (4 * 4 + 8 + 1) + 64);
    this.#timestamps = arrays;
    this.#ends = arrays + ROWS_MAX * 8;
    this.#keyAddresses = this.#ends + ROWS_MAX * 4;
    this.#keyLengths = this.#keyAddresses + ROWS_MAX * 4;
    this.#partitions = this.#keyLengths + ROWS_MAX * 4;
    this.#job = this.#partitions + ROWS_MAX * 4;
    this.#marks = this.#job + 64;
    this.#blocks = slabs.alloc(info.partitionCount * BLOCK.byteLength);
    this.#memory.u8.fill(0, this.#blocks, this.#blocks + info.partitionCount * BLOCK.byteLength);
    this.#stagings = new Array<number>(info.partitionCount).fill(0);
    this.#stagingBytes = new Array<number>(info.partitionCount).fill(0);
    this.#rowCounts = new Array<number>(info.partitionCount).fill(0);
  }

  write(given: Batch): void {
    const now = this.#clock();
    const isChanges = this.#sign >= 0;
    const batch = isChanges ? new Batch(given.memory, this.#schema, given.rowCount, given.columns.toSpliced(this.#sign, 1)) : given;
    let row = 0;
    while (row < batch.rowCount) {
      // Of changes the key behind the last row is looked at, too.
      const to = Math.min(batch.rowCount, row + ROWS_MAX - (isChanges ? 1 : 0));
      const rows = this.#encode(batch, row, to);
      const recordCount = this.#codec.wholeBatch ? 1 : rows;
      this.#fillTimestamps(batch, row, recordCount, now);
      const next = isChanges && row + rows < batch.rowCount ? 1 : 0;
      this.#keys?.list(batch, row, row + rows + next, this.#keyAddresses, this.#keyLengths);
      if (isChanges) this.#mark(given, row, rows, next);
      const keys = this.#keys === undefined ? 0 : this.#keyAddresses;
      if (this.#partitionColumn !== undefined) this.#takePartitions(batch, this.#partitionColumn, row, rows);
      else this.#partition(recordCount, keys, this.#keyLengths, this.#scratch, this.#ends, this.#context.info.partitionCount, this.#partitions);
      this.#appendAll(recordCount, keys, rows);
      row += rows;
    }
  }

  flush(): void {
    for (let partition = 0; partition < this.#stagings.length; partition++) this.#close(partition);
  }

  #takePartitions(batch: Batch, column: number, from: number, count: number): void {
    const { i32 } = this.#memory;
    const at = (batch.column(column).data >>> 2) + from;
    i32.copyWithin(this.#partitions >>> 2, at, at + count);
  }

  /** Encodes as many rows into the scratch as fit; enlarges it when not even one does. */
  #encode(batch: Batch, from: number, to: number): number {
    if (this.#scratch === 0) this.#reserveScratch(SCRATCH_BYTES_MIN);
    for (;;) {
      const rows = this.#codec.encode(batch, from, to, this.#scratch, this.#scratch + this.#scratchBytes, this.#ends);
      if (rows > 0) return rows;
      if (this.#scratchBytes >= this.#batchBytesMax) throw this.#tooLarge(`more than ${this.#scratchBytes}`);
      this.#reserveScratch(this.#scratchBytes * 2);
    }
  }

  #reserveScratch(bytes: number): void {
    const { slabs } = this.#context;
    if (this.#scratch !== 0) slabs.free(this.#scratch);
    this.#scratch = slabs.alloc(bytes);
    this.#scratchBytes = slabs.slabBytes(this.#scratch);
  }

  #fillTimestamps(batch: Batch, from: number, recordCount: number, now: number): void {
    const { f64 } = this.#memory;
    const out = this.#timestamps >>> 3;
    if (this.#timeColumn < 0) {
      f64.fill(now, out, out + recordCount);
      return;
    }
    // A null means the time of writing.
    for (let i = 0; i < recordCount; i++) {
      const value = batch.value(this.#timeColumn, from + i) as number | null;
      if (value !== null && !(Math.abs(value) <= TIMESTAMP_MAX)) throw this.#unwritable(value);
      f64[out + i] = value ?? now;
    }
  }

  /** @param next 1: there is a row behind the run, whose key is listed */
  #mark(changes: Batch, from: number, rows: number, next: number): void {
    const { u8 } = this.#memory;
    const sign = changes.column(this.#sign);
    const isTakenBack = (row: number): boolean => readValue(this.#memory, sign, row) === true;
    for (let i = 0; i < rows; i++) {
      const isReplaced = i + 1 < rows + next && !isTakenBack(from + i + 1) && this.#hasKeyOfNext(i);
      u8[this.#marks + i] = !isTakenBack(from + i) ? MARK.record : isReplaced ? MARK.leftOut : MARK.withoutValue;
    }
  }

  #hasKeyOfNext(i: number): boolean {
    const { u8, u32, i32 } = this.#memory;
    const length = i32[(this.#keyLengths >>> 2) + i] as number;
    if (length !== i32[(this.#keyLengths >>> 2) + i + 1]) return false;
    const [a, b] = [u32[(this.#keyAddresses >>> 2) + i] as number, u32[(this.#keyAddresses >>> 2) + i + 1] as number];
    for (let at = 0; at < length; at++) if (u8[a + at] !== u8[b + at]) return false;
    return true;
  }

  #unwritable(value: number): MillraceError {
    const { name } = this.#schema.field(this.#timeColumn);
    return new MillraceError(
      'ERR_MILLRACE_SINK',
      `The column ${shown(name)} holds the time ${value}, which cannot be a record's timestamp: those go from ${-TIMESTAMP_MAX} to ${TIMESTAMP_MAX} ms. Correct it in front of the sink, or leave out the option timestamp.`,
    );
  }

  /** Appends the encoded records. With a whole batch in one record, `rows` are its rows. */
  #appendAll(recordCount: number, keys: number, rows: number): void {
    const { u32 } = this.#memory;
    const job = this.#job >>> 2;
    u32[job] = 0;
    u32[job + 1] = recordCount;
    u32[job + 2] = this.#scratch;
    u32[job + 3] = this.#ends;
    u32[job + 4] = keys;
    u32[job + 5] = this.#keyLengths;
    u32[job + 6] = this.#timestamps;
    u32[job + 7] = this.#partitions;
    u32[job + 8] = this.#blocks;
    u32[job + 9] = this.#sign < 0 ? 0 : this.#marks;
    for (;;) {
      this.#append(this.#job);
      const record = u32[job] as number;
      if (record >= recordCount) break;
      this.#makeRoom(u32[(this.#partitions >>> 2) + record] as number, record, keys);
    }
    if (this.#codec.wholeBatch) {
      const partition = u32[this.#partitions >>> 2] as number;
      this.#rowCounts[partition] = (this.#rowCounts[partition] as number) + rows;
    }
  }

  /** Makes room in the partition's block for the record: more staging, or a new block. */
  #makeRoom(partition: number, record: number, keys: number): void {
    const { u32, i32 } = this.#memory;
    const value = (u32[(this.#ends >>> 2) + record] as number) - (u32[(this.#job + APPEND.value) >>> 2] as number);
    const key = keys === 0 ? 0 : Math.max(0, i32[(this.#keyLengths >>> 2) + record] as number);
    const recordBytes = key + value + RECORD_OVERHEAD_MAX;
    const block = this.#blocks + partition * BLOCK.byteLength;
    let used = (u32[(block + BLOCK.position) >>> 2] as number) - (this.#stagings[partition] as number);
    if (this.#stagings[partition] === 0 || i32[(block + BLOCK.count) >>> 2] === 0) used = RECORD_BATCH.headerBytes;
    if (used > RECORD_BATCH.headerBytes && used + recordBytes > this.#blockBytes) {
      this.#close(partition);
      used = RECORD_BATCH.headerBytes;
    }
    const needed = used + recordBytes;
    if (needed > this.#batchBytesMax) throw this.#tooLarge(String(key + value));
    const bytes = this.#stagingBytes[partition] as number;
    if (needed > bytes) this.#growStaging(partition, used, Math.max(needed, bytes * 2, STAGING_BYTES_MIN));
    const staging = this.#stagings[partition] as number;
    u32[(block + BLOCK.position) >>> 2] = staging + used;
    // A block closes at blockBytes; only a single record that is larger exceeds it.
    const limit = Math.min(this.#stagingBytes[partition] as number, Math.max(this.#blockBytes, needed));
    u32[(block + BLOCK.limit) >>> 2] = staging + limit;
  }

  #growStaging(partition: number, used: number, bytes: number): void {
    const { slabs } = this.#context;
    const old = this.#stagings[partition] as number;
    const slab = slabs.alloc(bytes);
    if (old !== 0) {
      copyBytes(this.#memory, slab, old, used);
      slabs.free(old);
    }
    this.#stagings[partition] = slab;
    this.#stagingBytes[partition] = slabs.slabBytes(slab);
  }

  /** Hands over the partition's block, if it has a record. */
  #close(partition: number): void {
    const { u32, i32, f64 } = this.#memory;
    const block = this.#blocks + partition * BLOCK.byteLength;
    const recordCount = i32[(block + BLOCK.count) >>> 2] as number;
    if (recordCount === 0) return;
    const staging = this.#stagings[partition] as number;
    const byteLength = (u32[(block + BLOCK.position) >>> 2] as number) - staging;
    const { slab, bytes } = this.#finish(staging, byteLength, {
      recordCount,
      baseTimestamp: f64[(block + BLOCK.baseTimestamp) >>> 3] as number,
      maxTimestamp: f64[(block + BLOCK.maxTimestamp) >>> 3] as number,
    });
    const rows = this.#codec.wholeBatch ? (this.#rowCounts[partition] as number) : recordCount;
    this.#rowCounts[partition] = 0;
    i32[(block + BLOCK.count) >>> 2] = 0;
    u32[(block + BLOCK.position) >>> 2] = staging + RECORD_BATCH.headerBytes;
    u32[(block + BLOCK.limit) >>> 2] = staging + Math.min(this.#stagingBytes[partition] as number, this.#blockBytes);
    this.#context.block(partition, rows, slab, bytes);
  }

  /** The staged batch, in a slab of its size. */
  #finish(staging: number, byteLength: number, filled: FilledBatch): { readonly slab: number; readonly bytes: number } {
    const { slabs } = this.#context;
    const compressed = this.#compress?.(this.#memory.u8, staging + RECORD_BATCH.records, staging + byteLength);
    if (compressed === undefined) {
      writeBatchHeader(this.#memory, staging, byteLength, filled);
      const slab = slabs.alloc(byteLength);
      copyBytes(this.#memory, slab, staging, byteLength);
      return { slab, bytes: byteLength };
    }
    const bytes = RECORD_BATCH.records + compressed.length;
    const slab = slabs.alloc(bytes);
    this.#memory.u8.set(compressed, slab + RECORD_BATCH.records);
    writeBatchHeader(this.#memory, slab, bytes, { ...filled, compression: this.#compression });
    return { slab, bytes };
  }

  #tooLarge(bytes: string): MillraceError {
    const what = this.#codec.wholeBatch ? 'A batch of results' : 'One row of the result';
    return new MillraceError(
      'ERR_MILLRACE_SINK',
      `${what} takes ${bytes} bytes as ${this.#codecName}, but the largest record batch that the sink writes is ${this.#batchBytesMax}. Drop large columns, or raise the sink's batchBytesMax (of Kafka, with the topic's max.message.bytes).`,
    );
  }
}
