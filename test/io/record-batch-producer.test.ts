/** The producer's numbers in finished record batches: the CRC against one computed anew, bit by bit. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { ATTRIBUTE, batchBytesAt, RECORD_BATCH, readBatchHeader, setProducer, writeI16, writeI32 } from '../../io/record-batch/index.ts';
import { caseCount, fc } from '../seed.ts';

/** The model: a CRC32C over all bytes. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function batchOf(records: Uint8Array, attributes: number): Buffer {
  const bytes = Buffer.alloc(RECORD_BATCH.records + records.length, 0x5a);
  writeI32(bytes, RECORD_BATCH.batchLength, bytes.length - RECORD_BATCH.lengthEnd);
  bytes[RECORD_BATCH.magic] = 2;
  writeI16(bytes, RECORD_BATCH.attributes, attributes);
  bytes.set(records, RECORD_BATCH.records);
  bytes.writeUInt32BE(crc32c(bytes.subarray(RECORD_BATCH.attributes)), RECORD_BATCH.crc);
  return bytes;
}

test('the producer set twice, with any length behind it, gives the CRC of all bytes, and changes no others', () => {
  const producer = fc.record({
    id: fc.bigInt({ min: -1n, max: 2n ** 63n - 1n }),
    epoch: fc.integer({ min: -1, max: 32_767 }),
    sequence: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
    isTransactional: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 3_000 }),
      fc.integer({ min: 0, max: 0x1f }),
      fc.array(producer, { minLength: 1, maxLength: 3 }),
      fc.nat(40),
      (records, attributes, producers, at) => {
        const whole = Buffer.concat([Buffer.alloc(at, 0xee), batchOf(records, attributes), Buffer.alloc(9, 0xee)]);
        const expected = Buffer.from(whole);
        for (const { id, epoch, sequence, isTransactional } of producers) {
          setProducer(whole, id, epoch, sequence, isTransactional, at);
          expected.writeBigInt64BE(id, at + RECORD_BATCH.producerId);
          expected.writeInt16BE(epoch, at + RECORD_BATCH.producerEpoch);
          expected.writeInt32BE(sequence, at + RECORD_BATCH.baseSequence);
          expected.writeInt16BE((attributes & ~ATTRIBUTE.transactional) | (isTransactional ? ATTRIBUTE.transactional : 0), at + RECORD_BATCH.attributes);
          const end = at + batchBytesAt(expected, at);
          expected.writeUInt32BE(crc32c(expected.subarray(at + RECORD_BATCH.attributes, end)), at + RECORD_BATCH.crc);
          assert.deepEqual(whole, expected);
        }
      },
    ),
    { numRuns: caseCount(300) },
  );
});

test('a large batch, and one that is damaged: the CRC of damage stays wrong', () => {
  const bytes = batchOf(Buffer.alloc(5 << 20, 'large'), 0);
  setProducer(bytes, 77n, 3, 12, true);
  assert.equal(readBatchHeader(bytes).crc, crc32c(bytes.subarray(RECORD_BATCH.attributes)));
  const damaged = batchOf(Buffer.from('some records'), 0);
  damaged[70] = (damaged[70] as number) ^ 1;
  setProducer(damaged, 77n, 3, 12, true);
  assert.notEqual(readBatchHeader(damaged).crc, crc32c(damaged.subarray(RECORD_BATCH.attributes)));
});
