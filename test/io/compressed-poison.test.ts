/**
 * Compressed batches that claim more than they can hold, or hold more than is taken: refused before memory or
 * time is spent on them.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { crc32cBytes, MillraceError } from '../../core/index.ts';
import { decompressedBytesOf } from '../../io/record-batch/compression.ts';
import { RECORD_BATCH } from '../../io/record-batch/index.ts';
import { DecoderHarness, kafkaBatch, samples } from './record-batch-harness.ts';

const MIB = 1 << 20;

function withRecords(batch: Uint8Array, records: Uint8Array, type: number): Buffer {
  const out = Buffer.concat([batch.subarray(0, RECORD_BATCH.records), records]);
  out.writeInt32BE(out.length - RECORD_BATCH.lengthEnd, RECORD_BATCH.batchLength);
  out.writeInt16BE(type, RECORD_BATCH.attributes);
  out.writeUInt32BE(crc32cBytes(out, RECORD_BATCH.attributes), RECORD_BATCH.crc);
  return out;
}

/** A plain varint. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    if (rest < 128) return Buffer.from(bytes);
  }
}

const xerial = (block: Buffer): Buffer => {
  const head = Buffer.from('82534e41505059000000000100000001', 'hex');
  const length = Buffer.alloc(4);
  length.writeInt32BE(block.length);
  return Buffer.concat([head, length, block]);
};
/** An LZ4 frame that declares its content size and has one stored byte. */
const lz4 = (declared: number): Buffer => {
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x68, 0x40]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(declared));
  return Buffer.concat([head, size, Buffer.from([0, 1, 0, 0, 0x80, 0x78, 0, 0, 0, 0])]);
};
/** A zstd frame of one segment that declares its content size and has one raw byte. */
const zstd = (declared: number): Buffer => {
  const frame = Buffer.from('28b52ffda000000000' + '09000078', 'hex');
  frame.writeUInt32LE(declared, 5);
  return frame;
};
const gzip = (declared: number): Buffer => {
  const bytes = gzipSync('x');
  bytes.writeUInt32LE(declared, bytes.length - 4);
  return bytes;
};

test('what a few bytes cannot become is corrupt, and nothing is allocated for it', async () => {
  const good = await kafkaBatch(samples(3, 1));
  // Not beyond the cap, so that it is the lie that is refused.
  const claim = 12 * MIB;
  const cases: [string, number, Buffer][] = [
    ['gzip', 1, gzip(claim)],
    ['snappy', 2, Buffer.concat([varint(claim), Buffer.from([0])])],
    ['snappy', 2, xerial(Buffer.concat([varint(claim), Buffer.from([0, 0x78])]))],
    ['lz4', 3, lz4(claim)],
    ['zstd', 4, zstd(claim)],
  ];
  for (const bytes of [32 * MIB, 64 * MIB]) {
    for (const [name, type, packed] of cases) {
      const harness = new DecoderHarness('kernels', { bytes, decompressedBytesMax: 16 * MIB });
      const before = harness.slabs.usage().peakBytes;
      const { rows, rejections } = harness.decode([{ bytes: withRecords(good, packed, type) }, { bytes: good }]);
      assert.equal(rows.length, 3, name);
      assert.equal(rejections[0]?.reason, 'corrupt');
      assert.match(
        rejections[0]?.message ?? '',
        new RegExp(`is no valid ${name}: .*${claim}, and cannot become more than|is no valid ${name}: .*${claim} bytes, and cannot`),
        name,
      );
      assert.ok(harness.slabs.usage().peakBytes - before < MIB, `${name} took ${harness.slabs.usage().peakBytes - before} bytes`);
    }
  }
});

test('snappy at the end of what it can become is read', async () => {
  const good = await kafkaBatch(samples(1, 1));
  // A literal of one byte, then copies of 64 bytes, three bytes each: no snappy is denser. It holds no
  // records, but it is snappy.
  const copies = 40_000;
  const block = Buffer.concat([varint(1 + copies * 64), Buffer.from([0, 0]), ...Array.from({ length: copies }, () => Buffer.from([0xfe, 1, 0]))]);
  const { rejections } = new DecoderHarness('kernels').decode([{ bytes: withRecords(good, block, 2) }]);
  assert.doesNotMatch(rejections[0]?.message ?? '', /snappy/);
});

test('a legitimate batch above the cap is refused with its size, and the option that takes it; with the option it is read', async () => {
  const records = [{ key: null, value: Buffer.alloc(21 * MIB, 'x'), timestamp: 1 }];
  const big = await kafkaBatch(records, { compression: 'gzip' });
  const size = (await kafkaBatch(records)).length - RECORD_BATCH.records;
  assert.ok(big.length < 64 << 10);
  const good = await kafkaBatch(samples(3, 1));
  const harness = new DecoderHarness('kernels', { bytes: 64 * MIB });
  for (let restart = 0; restart < 2; restart++) {
    const { rows, rejections } = harness.decode([{ bytes: good }, { bytes: big }, { bytes: good }]);
    assert.equal(rows.length, 6);
    assert.equal(rejections.length, 1);
    assert.equal(rejections[0]?.rows, 1);
    assert.match(
      rejections[0]?.message ?? '',
      new RegExp(`decompresses to ${size} bytes; ${16 * MIB} is the most that is taken.*raise decompressedBytesMax of the source`),
    );
  }
  const { rows, rejections } = new DecoderHarness('kernels', { bytes: 256 * MIB, decompressedBytesMax: 32 * MIB }).decode([{ bytes: big }]);
  assert.deepEqual(rejections, []);
  assert.equal(rows[0]?.value?.length, 21 * MIB);
});

test('what gzip says of its size is believed where it is too much: nothing is inflated to find that out', async () => {
  const good = await kafkaBatch(samples(3, 1));
  const packed = gzipSync(Buffer.alloc(20 * MIB));
  // With a body that is none, so that inflating would end with another message.
  packed.fill(0xff, 10, packed.length - 8);
  const { rejections } = new DecoderHarness('kernels', { bytes: 64 * MIB }).decode([{ bytes: withRecords(good, packed, 1) }]);
  assert.match(rejections[0]?.message ?? '', new RegExp(`decompresses to ${20 * MIB} bytes`));
});

test('what is held for large batches is given back when the chunk is done', async () => {
  const big = await kafkaBatch([{ key: null, value: Buffer.alloc(10 * MIB, 'x'), timestamp: 1 }], { compression: 'gzip' });
  const harness = new DecoderHarness('kernels', { bytes: 64 * MIB });
  const used = harness.slabs.usage().usedBytes;
  assert.equal(harness.decode([{ bytes: big }]).rows.length, 1);
  assert.ok(harness.slabs.usage().usedBytes - used <= 8 * MIB);
});

test('the cap follows from the memory and the workers, and all workers together stay below half of it', () => {
  for (const memory of [32, 64, 100, 256, 1_024, 4_095].map((mib) => mib * MIB))
    for (const workers of [1, 2, 3, 4, 8]) {
      const cap = decompressedBytesOf('t', memory, workers, undefined);
      assert.ok(cap >= MIB && cap <= 64 * MIB && Number.isInteger(Math.log2(cap)));
      assert.ok(cap * workers * 4 <= memory, `${cap} for ${workers} workers in ${memory}`);
    }
  assert.equal(decompressedBytesOf('t', 1_024 * MIB, 8, 60 * MIB), 60 * MIB);
  assert.throws(
    () => decompressedBytesOf('clicks', 64 * MIB, 2, 42 * MIB),
    (error) =>
      error instanceof MillraceError &&
      error.code === 'ERR_MILLRACE_OPTION' &&
      /"clicks" has decompressedBytesMax 44040192: 2 workers would take up to 134217728 bytes/.test(error.message),
  );
});
