/**
 * Kafka's record batch v2: where its header fields are, and how to read them. No record is read here and no
 * checksum is computed. A source needs this on the coordinator's thread to cut a fetch, or a segment of the
 * embedded log, into frames.
 *
 *    0  baseOffset            i64   offset of the first record
 *    8  batchLength           i32   bytes after this field: the whole batch is 12 + batchLength
 *   12  partitionLeaderEpoch  i32
 *   16  magic                 i8    2
 *   17  crc                   u32   CRC32C of all that follows
 *   21  attributes            i16   bits 0-2 compression, 3 log append time, 4 transactional, 5 control
 *   23  lastOffsetDelta       i32   last offset - baseOffset, kept when compaction removed records
 *   27  baseTimestamp         i64
 *   35  maxTimestamp          i64
 *   43  producerId            i64   -1: none
 *   51  producerEpoch         i16
 *   53  baseSequence          i32
 *   57  recordCount           i32
 *   61  records               compressed as a whole, where the attributes say so
 *
 * All numbers are big endian. Layout: Apache Kafka, DefaultRecordBatch (KIP-98).
 */

export const RECORD_BATCH = {
  baseOffset: 0,
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
  records: 61,
  /** Bytes before what batchLength counts. */
  lengthEnd: 12,
  /** Bytes up to the magic, which the old message formats have as well. */
  prefixBytes: 17,
  headerBytes: 61,
  magicValue: 2,
} as const;

export const ATTRIBUTE = { compression: 0x07, logAppendTime: 0x08, transactional: 0x10, control: 0x20 } as const;

/** Names of the values of `attributes & ATTRIBUTE.compression`. */
export const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

/**
 * FRAME.flags of a frame that holds a record batch. ABORTED: the batch belongs to an aborted transaction, as
 * the source found out. The decoder reports its rows as `control`. Records below the offset FRAME.cut are
 * not wanted.
 */
export const FRAME_ABORTED = 1;
/**
 * The source found that the bytes are not a batch that belongs there: damage, from FRAME.first to FRAME.next.
 * All these rows are `corrupt`, whatever the bytes say. FRAME.cut is +Infinity then.
 */
export const FRAME_DAMAGED = 2;

/**
 * A frame without a body, in place of rows that were deleted before they were read. FRAME.cut is their
 * number; they are reported as `lost`.
 */
export const FRAME_LOST = 4;

/** The largest batch that a sink or a source accepts. A larger one is broken framing. */
export const BATCH_BYTES_MAX = 1 << 30;

/** The header of one batch. One object per batch, never one per record. */
export interface RecordBatchHeader {
  readonly baseOffset: number;
  /** The whole batch, length field included. */
  readonly byteLength: number;
  readonly partitionLeaderEpoch: number;
  readonly magic: number;
  readonly crc: number;
  readonly attributes: number;
  /** Index into COMPRESSIONS; 5 to 7 mean nothing. */
  readonly compression: number;
  readonly isLogAppendTime: boolean;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly lastOffsetDelta: number;
  /** baseOffset + lastOffsetDelta + 1: where the next batch can start. */
  readonly nextOffset: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
}

/**
 * The header of the batch at `at`. The caller makes sure that RECORD_BATCH.headerBytes are there. It must
 * also check the values, which are not validated here.
 */
export function readBatchHeader(bytes: Uint8Array, at = 0): RecordBatchHeader {
  const attributes = readU16(bytes, at + RECORD_BATCH.attributes);
  const baseOffset = readI64(bytes, at + RECORD_BATCH.baseOffset);
  const lastOffsetDelta = readI32(bytes, at + RECORD_BATCH.lastOffsetDelta);
  return {
    baseOffset,
    byteLength: batchBytesAt(bytes, at),
    partitionLeaderEpoch: readI32(bytes, at + RECORD_BATCH.partitionLeaderEpoch),
    magic: magicAt(bytes, at),
    crc: readI32(bytes, at + RECORD_BATCH.crc) >>> 0,
    attributes,
    compression: attributes & ATTRIBUTE.compression,
    isLogAppendTime: (attributes & ATTRIBUTE.logAppendTime) !== 0,
    isTransactional: (attributes & ATTRIBUTE.transactional) !== 0,
    isControl: (attributes & ATTRIBUTE.control) !== 0,
    lastOffsetDelta,
    nextOffset: baseOffset + lastOffsetDelta + 1,
    baseTimestamp: readI64(bytes, at + RECORD_BATCH.baseTimestamp),
    maxTimestamp: readI64(bytes, at + RECORD_BATCH.maxTimestamp),
    producerId: producerIdAt(bytes, at),
    producerEpoch: readI16(bytes, at + RECORD_BATCH.producerEpoch),
    baseSequence: readI32(bytes, at + RECORD_BATCH.baseSequence),
    recordCount: readI32(bytes, at + RECORD_BATCH.recordCount),
  };
}

/**
 * Bytes of the whole batch at `at`; needs 12 bytes. Less than RECORD_BATCH.headerBytes, or negative, is
 * broken framing.
 */
export function batchBytesAt(bytes: Uint8Array, at: number): number {
  return RECORD_BATCH.lengthEnd + readI32(bytes, at + RECORD_BATCH.batchLength);
}

export function baseOffsetAt(bytes: Uint8Array, at: number): number {
  return readI64(bytes, at + RECORD_BATCH.baseOffset);
}

/** Needs RECORD_BATCH.prefixBytes. 0 and 1 are the message sets of Kafka before 0.11. */
export function magicAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at + RECORD_BATCH.magic] as number) << 24) >> 24;
}

/** The offset after the last record of the batch. */
export function nextOffsetAt(bytes: Uint8Array, at: number): number {
  return baseOffsetAt(bytes, at) + readI32(bytes, at + RECORD_BATCH.lastOffsetDelta) + 1;
}

export function recordCountAt(bytes: Uint8Array, at: number): number {
  return readI32(bytes, at + RECORD_BATCH.recordCount);
}

export function isControlAt(bytes: Uint8Array, at: number): boolean {
  return (readU16(bytes, at + RECORD_BATCH.attributes) & ATTRIBUTE.control) !== 0;
}

export function isTransactionalAt(bytes: Uint8Array, at: number): boolean {
  return (readU16(bytes, at + RECORD_BATCH.attributes) & ATTRIBUTE.transactional) !== 0;
}

export function producerIdAt(bytes: Uint8Array, at: number): bigint {
  const high = BigInt(readI32(bytes, at + RECORD_BATCH.producerId));
  return (high << 32n) | BigInt(readI32(bytes, at + RECORD_BATCH.producerId + 4) >>> 0);
}

/**
 * The type of a control batch, from the key of its one record: 0 abort, 1 commit; -1 when the batch is not a
 * control batch or its record cannot be read.
 */
export function controlTypeAt(bytes: Uint8Array, at: number): number {
  const end = at + batchBytesAt(bytes, at);
  if (!isControlAt(bytes, at) || end > bytes.length || recordCountAt(bytes, at) < 1) return -1;
  // Record: length, attributes, timestamp delta, offset delta, key length: varints, then the key (version
  // i16, type i16).
  let position = at + RECORD_BATCH.records;
  for (let field = 0; field < 5; field++) {
    if (field === 1) position++;
    else {
      while (position < end && (bytes[position] as number) >= 0x80) position++;
      position++;
    }
  }
  return position + 4 <= end && (bytes[position - 1] as number) >= 8 ? readI16(bytes, position + 2) : -1;
}

export function readI16(bytes: Uint8Array, at: number): number {
  return (readU16(bytes, at) << 16) >> 16;
}

function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function readI32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
}

/**
 * The value as a number: exact up to 2^53 - 1. Beyond that it is the nearest number, which is no safe
 * integer: code that counts offsets checks that.
 */
export function readI64(bytes: Uint8Array, at: number): number {
  return readI32(bytes, at) * 4_294_967_296 + (readI32(bytes, at + 4) >>> 0);
}

export function writeI16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

export function writeI32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24;
  bytes[at + 1] = value >> 16;
  bytes[at + 2] = value >> 8;
  bytes[at + 3] = value;
}

export function writeI64(bytes: Uint8Array, at: number, value: number): void {
  writeI32(bytes, at, Math.floor(value / 4_294_967_296) | 0);
  writeI32(bytes, at + 4, value >>> 0);
}
