/**
 * Record batches of keys and values in plain memory, for the few that the main thread writes and reads
 * itself. Batches of rows go through the workers (sink-encoder.ts, chunk-decoder.ts).
 *
 * They are compressed by gzip, in Node's own threads. Nothing of a batch is believed before its checksum was
 * compared.
 */

import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { crc32cBytes } from '../../core/index.ts';
import { compressionCode } from './compress.ts';
import { ATTRIBUTE, BATCH_BYTES_MAX, COMPRESSIONS, RECORD_BATCH, readBatchHeader, writeI16, writeI32, writeI64 } from './layout.ts';

export interface KeyedRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

const gzip = promisify(zlib.gzip as (bytes: Uint8Array, options: zlib.ZlibOptions, done: (error: Error | null, result: Buffer) => void) => void);
const GZIP = compressionCode('gzip');
/** Smaller ones are not worth a thread. */
const COMPRESSED_BYTES_MIN = 1 << 10;

/** One batch with these records, at offset 0, without a producer. */
export async function keyedBatch(records: readonly KeyedRecord[], timestampMs: number, { compress = true } = {}): Promise<Uint8Array> {
  const pieces = records.flatMap(({ key, value }, index) => {
    const front = [0, ...varint(0), ...varint(index), ...varint(key.length)];
    const middle = varint(value === null ? -1 : value.length);
    const length = front.length + key.length + middle.length + (value?.length ?? 0) + 1;
    return [Uint8Array.from([...varint(length), ...front]), key, Uint8Array.from(middle), value ?? new Uint8Array(0), Uint8Array.of(0)];
  });
  const plain = Buffer.concat(pieces);
  const packed = !compress || plain.length < COMPRESSED_BYTES_MIN ? plain : await gzip(plain, { level: zlib.constants.Z_BEST_SPEED });
  const isSmaller = packed.length < plain.length;
  const batch = Buffer.concat([Buffer.alloc(RECORD_BATCH.records), isSmaller ? packed : plain]);
  writeI32(batch, RECORD_BATCH.batchLength, batch.length - RECORD_BATCH.lengthEnd);
  writeI32(batch, RECORD_BATCH.partitionLeaderEpoch, -1);
  batch[RECORD_BATCH.magic] = RECORD_BATCH.magicValue;
  writeI16(batch, RECORD_BATCH.attributes, isSmaller ? GZIP : 0);
  writeI32(batch, RECORD_BATCH.lastOffsetDelta, records.length - 1);
  writeI64(batch, RECORD_BATCH.baseTimestamp, timestampMs);
  writeI64(batch, RECORD_BATCH.maxTimestamp, timestampMs);
  batch.fill(0xff, RECORD_BATCH.producerId, RECORD_BATCH.recordCount);
  writeI32(batch, RECORD_BATCH.recordCount, records.length);
  writeI32(batch, RECORD_BATCH.crc, crc32cBytes(batch, RECORD_BATCH.attributes, batch.length) | 0);
  return batch;
}

/**
 * The records of one batch; views, where it is not compressed.
 *
 * @param bytesMax most bytes that it may decompress to
 * @throws RangeError that says what is wrong with it
 */
export function keyedRecords(batch: Uint8Array, bytesMax: number): KeyedRecord[] {
  const { crc, attributes, recordCount, byteLength } = readBatchHeader(batch);
  if (byteLength !== batch.length || byteLength > BATCH_BYTES_MAX) throw new RangeError('is not whole');
  if (crc32cBytes(batch, RECORD_BATCH.attributes, batch.length) !== crc) throw new RangeError('has a wrong checksum');
  const bytes = plainRecords(batch.subarray(RECORD_BATCH.records), attributes & ATTRIBUTE.compression, bytesMax);
  const records: KeyedRecord[] = [];
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError('ends within a record');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw new RangeError('has a number that is too long');
  };
  const piece = (length: number): Uint8Array => {
    if (length < 0 || length > bytes.length - at) throw new RangeError('has a length that leads out of it');
    at += length;
    return bytes.subarray(at - length, at);
  };
  for (let index = 0; index < recordCount; index++) {
    const length = number();
    const end = at + length;
    at++;
    // The timestamp may take more than an i32.
    while ((bytes[at++] ?? 0) >= 0x80);
    number();
    const keyLength = number();
    const key = keyLength < 0 ? new Uint8Array(0) : piece(keyLength);
    const valueLength = number();
    records.push({ key, value: valueLength < 0 ? null : piece(valueLength) });
    if (length < 0 || end > bytes.length || at > end) throw new RangeError('has a record that leads out of it');
    at = end;
  }
  return records;
}

function plainRecords(bytes: Uint8Array, compression: number, bytesMax: number): Uint8Array {
  if (compression === 0) return bytes;
  if (compression !== GZIP) throw new RangeError(`is compressed as ${COMPRESSIONS[compression] ?? compression}: set compression.type of the topic to producer`);
  try {
    return zlib.gunzipSync(bytes, { maxOutputLength: bytesMax });
  } catch (error) {
    throw new RangeError(`cannot be decompressed: ${(error as Error).message}`);
  }
}

/** Zigzag and seven bits a byte, as in Protocol Buffers. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return bytes;
}
