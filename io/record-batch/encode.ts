/**
 * Headers of record batches: one for a new batch, and a sink's changes to a finished one. append.ts writes
 * the records.
 */

import { crc32c, crc32cBytes, type SharedMemory } from '../../core/index.ts';
import { crcShifted } from './crc-shift.ts';
import { ATTRIBUTE, batchBytesAt, RECORD_BATCH, readI32, writeI16, writeI32, writeI64 } from './layout.ts';

export interface FilledBatch {
  readonly recordCount: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  /** How the records are compressed: index into COMPRESSIONS. Default 0. */
  readonly compression?: number;
}

/**
 * Writes the header of the batch at `address`, whose size with all records is `byteLength`: base offset 0, no
 * producer, CRC.
 */
export function writeBatchHeader(memory: SharedMemory, address: number, byteLength: number, filled: FilledBatch): void {
  const { u8, view } = memory;
  u8.fill(0, address, address + RECORD_BATCH.headerBytes);
  view.setInt32(address + RECORD_BATCH.batchLength, byteLength - RECORD_BATCH.lengthEnd);
  view.setInt32(address + RECORD_BATCH.partitionLeaderEpoch, -1);
  view.setInt8(address + RECORD_BATCH.magic, RECORD_BATCH.magicValue);
  view.setInt32(address + RECORD_BATCH.lastOffsetDelta, filled.recordCount - 1);
  view.setInt16(address + RECORD_BATCH.attributes, filled.compression ?? 0);
  writeI64(u8, address + RECORD_BATCH.baseTimestamp, filled.baseTimestamp);
  writeI64(u8, address + RECORD_BATCH.maxTimestamp, filled.maxTimestamp);
  u8.fill(0xff, address + RECORD_BATCH.producerId, address + RECORD_BATCH.recordCount);
  view.setInt32(address + RECORD_BATCH.recordCount, filled.recordCount);
  view.setUint32(address + RECORD_BATCH.crc, crc32c(memory, address + RECORD_BATCH.attributes, byteLength - RECORD_BATCH.attributes));
}

/** Sets the base offset of the batch at `at`. The CRC does not cover it: this costs eight bytes. */
export function setBaseOffset(bytes: Uint8Array, offset: number, at = 0): void {
  writeI64(bytes, at + RECORD_BATCH.baseOffset, offset);
}

/**
 * Sets the producer of the batch at `at`, for idempotent and transactional writes. It costs the same for
 * every size: the CRC is changed by what the header's change does to it (crc-shift.ts), not computed again.
 * The CRC of a damaged batch stays wrong.
 */
export function setProducer(bytes: Uint8Array, producerId: bigint, epoch: number, sequence: number, isTransactional = false, at = 0): void {
  const [from, to] = [at + RECORD_BATCH.attributes, at + RECORD_BATCH.recordCount];
  const before = crc32cBytes(bytes, from, to);
  writeI32(bytes, at + RECORD_BATCH.producerId, Number(BigInt.asIntN(32, producerId >> 32n)));
  writeI32(bytes, at + RECORD_BATCH.producerId + 4, Number(BigInt.asIntN(32, producerId)));
  writeI16(bytes, at + RECORD_BATCH.producerEpoch, epoch);
  writeI32(bytes, at + RECORD_BATCH.baseSequence, sequence);
  const low = at + RECORD_BATCH.attributes + 1;
  bytes[low] = isTransactional ? (bytes[low] as number) | ATTRIBUTE.transactional : (bytes[low] as number) & ~ATTRIBUTE.transactional;
  const behind = batchBytesAt(bytes, at) - RECORD_BATCH.recordCount;
  const change = crcShifted(before ^ crc32cBytes(bytes, from, to), behind);
  writeI32(bytes, at + RECORD_BATCH.crc, readI32(bytes, at + RECORD_BATCH.crc) ^ change);
}
