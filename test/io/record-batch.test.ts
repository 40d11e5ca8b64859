import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { crc32cBytes } from '../../core/index.ts';
import { ATTRIBUTE, controlTypeAt, FRAME_ABORTED, RECORD_BATCH, readBatchHeader, setBaseOffset, setProducer } from '../../io/record-batch/index.ts';
import { effortCount } from '../seed.ts';
import { COMPRESS, DecoderHarness, type Frame, kafkaBatch, kafkaDecode, randomOf, samples, seenOf } from './record-batch-harness.ts';

const KINDS = ['kernels', 'reference'] as const;
const MUTATIONS = effortCount(4_000);

/** The same batch with other record bytes, and a right CRC: what a broken or hostile producer sends. */
function withRecords(batch: Uint8Array, records: Uint8Array, attributes?: number): Buffer {
  const out = Buffer.concat([batch.subarray(0, RECORD_BATCH.records), records]);
  out.writeInt32BE(out.length - RECORD_BATCH.lengthEnd, RECORD_BATCH.batchLength);
  if (attributes !== undefined) out.writeInt16BE(attributes, RECORD_BATCH.attributes);
  return sealed(out);
}

function sealed(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32cBytes(batch, RECORD_BATCH.attributes), RECORD_BATCH.crc);
  return batch;
}

for (const kind of KINDS) {
  for (const compression of COMPRESS.keys()) {
    test(`kafkajs's batches are read: ${compression}, ${kind}`, async () => {
      const harness = new DecoderHarness(kind);
      for (const [count, seed] of [
        [1, 1],
        [2, 2],
        [700, 3],
        [5_000, 4],
      ] as const) {
        const records = samples(count, seed);
        const { rows, rejections } = harness.decode([{ bytes: await kafkaBatch(records, { baseOffset: 1_000, compression }) }]);
        assert.deepEqual(rejections, []);
        assert.deepEqual(rows, seenOf(records, 1_000));
      }
    });
  }

  test(`many small frames come together in full batches, ${kind}`, async () => {
    const frames: Frame[] = [];
    const expected = [];
    const names = [...COMPRESS.keys()];
    for (let i = 0; i < 60; i++) {
      const records = samples(1 + (i % 30), i);
      frames.push({ bytes: await kafkaBatch(records, { baseOffset: i * 100, compression: names[i % names.length] as string }) });
      expected.push(...seenOf(records, i * 100));
    }
    const { rows, batchRows, rejections } = new DecoderHarness(kind, { batchRows: 256 }).decode(frames);
    assert.deepEqual(rejections, []);
    assert.deepEqual(rows, expected);
    assert.deepEqual(
      batchRows.slice(0, -1),
      batchRows.slice(0, -1).map(() => 256),
    );
  });

  test(`an arena in use makes the next frame wait, ${kind}`, async () => {
    const frames: Frame[] = [];
    const expected = [];
    for (let i = 0; i < 12; i++) {
      const records = samples(900, i, 500);
      frames.push({ bytes: await kafkaBatch(records, { baseOffset: i * 1_000, compression: i % 2 === 0 ? 'lz4' : 'gzip' }) });
      expected.push(...seenOf(records, i * 1_000));
    }
    const { rows, rejections } = new DecoderHarness(kind).decode(frames);
    assert.deepEqual(rejections, []);
    assert.deepEqual(rows, expected);
  });

  test(`records below the cut are left out; aborted and control batches are filtered, ${kind}`, async () => {
    const records = samples(10, 1);
    const bytes = await kafkaBatch(records, { baseOffset: 40 });
    const control = Buffer.from(bytes);
    control.writeInt16BE(ATTRIBUTE.control, RECORD_BATCH.attributes);
    const { rows, rejections } = new DecoderHarness(kind).decode([
      { bytes, first: 43, next: 50, cut: 43 },
      { bytes, first: 40, next: 50, cut: 50 },
      { bytes, first: 40, next: 50, flags: FRAME_ABORTED },
      { bytes: sealed(control), first: 40, next: 50 },
    ]);
    assert.deepEqual(rows, seenOf(records, 40).slice(3));
    assert.deepEqual(
      rejections.map(({ reason, rows: lost, offset }) => [reason, lost, offset]),
      [
        ['control', 10, 40],
        ['control', 10, 40],
      ],
    );
    assert.match((rejections[0] as { message: string }).message, /aborted/);
    assert.match((rejections[1] as { message: string }).message, /control/);
  });

  test(`log append time stands for every record, ${kind}`, async () => {
    const records = samples(5, 9);
    const bytes = await kafkaBatch(records);
    bytes.writeInt16BE(ATTRIBUTE.logAppendTime, RECORD_BATCH.attributes);
    bytes.writeBigInt64BE(1_234_567_890_123n, RECORD_BATCH.maxTimestamp);
    const { rows } = new DecoderHarness(kind).decode([{ bytes: sealed(bytes) }]);
    assert.deepEqual(
      rows,
      seenOf(records).map((row) => ({ ...row, timestamp: 1_234_567_890_123 })),
    );
  });

  test(`offsets and timestamps that no number holds exactly are refused, not rounded, ${kind}`, async () => {
    const records = samples(5, 9);
    const plain = await kafkaBatch(records);
    for (const base of [2n ** 53n - 4n, 2n ** 53n, 2n ** 63n - 5n, -(2n ** 63n)]) {
      const bytes = Buffer.from(plain);
      bytes.writeBigInt64BE(base, RECORD_BATCH.baseOffset);
      const { rows, rejections } = new DecoderHarness(kind).decode([{ bytes }, { bytes: plain }]);
      assert.deepEqual(rows, seenOf(records), 'the neighbour is not harmed');
      assert.equal(rejections[0]?.reason, 'corrupt');
      assert.match(rejections[0]?.message ?? '', new RegExp(`has the base offset ${base}: offsets beyond 2\\^53 are not read`));
    }
    for (const base of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n - 1n, -(2n ** 53n) + 1n]) {
      const bytes = Buffer.from(plain);
      bytes.writeBigInt64BE(base, RECORD_BATCH.baseTimestamp);
      const { rows } = new DecoderHarness(kind).decode([{ bytes: sealed(bytes) }]);
      const first = (records[0] as (typeof records)[number]).timestamp;
      rows.forEach((row, i) => {
        const exact = base + BigInt((records[i] as (typeof records)[number]).timestamp - first);
        if (Number.isSafeInteger(row.timestamp)) assert.equal(BigInt(row.timestamp), exact);
        else assert.ok(exact >= 2n ** 53n || exact <= -(2n ** 53n) || base >= 2n ** 53n || base <= -(2n ** 53n), `${exact} came as ${row.timestamp}`);
      });
    }
  });

  test(`every flipped byte of a batch is noticed, and its neighbours are not harmed, ${kind}`, async () => {
    const harness = new DecoderHarness(kind);
    const records = samples(4, 5, 3);
    const good = await kafkaBatch(records, { baseOffset: 7 });
    for (let at = RECORD_BATCH.batchLength; at < good.length; at++) {
      // The CRC does not cover the leader epoch, as the broker sets it.
      if (at >= RECORD_BATCH.partitionLeaderEpoch && at < RECORD_BATCH.magic) continue;
      const broken = Buffer.from(good);
      broken[at] = (broken[at] as number) ^ (1 << (at % 8));
      const { rows, rejections } = harness.decode([{ bytes: good }, { bytes: broken, first: 7, next: 11 }, { bytes: good }]);
      assert.equal(rows.length, 8, `byte ${at}`);
      assert.equal(rejections.length, 1);
      const rejection = rejections[0] as (typeof rejections)[number];
      assert.equal(rejection.reason, 'corrupt');
      assert.equal(rejection.offset, 7);
      assert.ok(rejection.rows >= 1 && rejection.rows <= 4);
      assert.ok((rejection.sample?.length ?? 0) > 0);
    }
  });

  test(`every truncation is reported, ${kind}`, async () => {
    const harness = new DecoderHarness(kind);
    const good = await kafkaBatch(samples(4, 5, 3));
    for (let length = 0; length < good.length; length++) {
      const { rows, rejections } = harness.decode([{ bytes: good.subarray(0, length) }, { bytes: good }]);
      assert.equal(rows.length, 4);
      assert.deepEqual(
        rejections.map((rejection) => rejection.reason),
        ['corrupt'],
      );
    }
  });
}

test('old message formats are refused by name', async () => {
  const bytes = await kafkaBatch(samples(2, 1));
  for (const magic of [0, 1]) {
    bytes[RECORD_BATCH.magic] = magic;
    const { rejections } = new DecoderHarness('kernels').decode([{ bytes }]);
    assert.match(rejections[0]?.message ?? '', new RegExp(`message format v${magic} of Kafka before 0.11`));
  }
});

test('hostile records with a right CRC: kernels and reference agree, nothing hangs, no row is made up', async () => {
  const kernels = new DecoderHarness('kernels');
  const reference = new DecoderHarness('reference');
  const random = randomOf(42);
  const names = [...COMPRESS.keys()];
  let mutated = 0;
  let broken = 0;
  while (mutated < MUTATIONS) {
    const compression = names[mutated % names.length] as string;
    const { type, compress } = COMPRESS.get(compression) as { type: number; compress(bytes: Buffer): Buffer };
    const good = await kafkaBatch(samples(1 + random(12), mutated, 20));
    for (let i = 0; i < 20; i++, mutated++) {
      const records = Buffer.from(good.subarray(RECORD_BATCH.records));
      const batch = Buffer.from(good);
      for (let n = 1 + random(3); n > 0; n--) {
        const at = random(records.length);
        records[at] = random(3) === 0 ? 0xff : random(256);
      }
      const kept = random(4) === 0 ? records.subarray(0, random(records.length + 1)) : records;
      if (random(5) === 0) batch.writeInt32BE([-1, 0, 1, 1_000, 2 ** 31 - 1][random(5)] as number, RECORD_BATCH.recordCount);
      if (random(8) === 0) batch.writeInt32BE([-1, 0, 2, 2 ** 31 - 1][random(4)] as number, RECORD_BATCH.lastOffsetDelta);
      const packed = type === 0 ? kept : Buffer.from(compress(Buffer.from(kept)));
      // The compressed bytes are mutated as well, half of the time.
      if (type !== 0 && random(2) === 0) packed[random(packed.length)] = random(256);
      const frame = { bytes: withRecords(batch, packed, type), first: 0, next: 12 };
      const ours = kernels.decode([frame]);
      assert.deepEqual(reference.decode([frame]), ours);
      if (ours.rejections.length > 0) broken++;
      for (const row of ours.rows) assert.ok((row.key?.length ?? 0) + (row.value?.length ?? 0) <= 1 << 16);
    }
  }
  assert.ok(broken > mutated / 4, `${broken} of ${mutated} were refused`);
});

test('random bytes in place of each compression, and of the whole batch, do not hang', async () => {
  const good = await kafkaBatch(samples(3, 1));
  const random = randomOf(7);
  const kernels = new DecoderHarness('kernels');
  const reference = new DecoderHarness('reference');
  for (let i = 0; i < MUTATIONS / 4; i++) {
    const junk = Buffer.from(Array.from({ length: random(300) }, () => random(256)));
    if (junk.length > 7 && i % 3 === 0) Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0x00]).copy(junk);
    const frame = { bytes: withRecords(good, junk, i % 8) };
    assert.deepEqual(reference.decode([frame]), kernels.decode([frame]));
    kernels.decode([{ bytes: junk }]);
  }
  // A literal of 2^32 - 5 bytes: a decoder with 32-bit lengths goes backwards and never ends.
  const { rejections } = kernels.decode([{ bytes: withRecords(good, Buffer.from([10, 0xfc, 0xfa, 0xff, 0xff, 0xff, 1, 2, 3]), 2) }]);
  assert.match(rejections[0]?.message ?? '', /no valid snappy/);
});

test('a decompression bomb is refused, for each compression', async () => {
  const good = await kafkaBatch(samples(3, 1));
  const bomb = Buffer.alloc(20 << 20);
  const harness = new DecoderHarness('kernels', { decompressedBytesMax: 1 << 20 });
  for (const name of ['gzip', 'snappy-xerial', 'snappy', 'lz4']) {
    const { type, compress } = COMPRESS.get(name) as { type: number; compress(bytes: Buffer): Buffer };
    const packed = compress(bomb);
    const { rows, rejections } = harness.decode([{ bytes: withRecords(good, packed, type) }, { bytes: good }]);
    assert.equal(rows.length, 3, name);
    assert.match(rejections[0]?.message ?? '', /decompresses to .*1048576/, name);
  }
  assert.ok(harness.slabs.usage().peakBytes < 16 << 20);
});

// 'hello', by zstd 1.5: what is read where there is no command line tool to make more.
const ZSTD_HELLO = Buffer.from('KLUv/QRYKQAAaGVsbG+jbZ+I', 'base64');

test("zstd is read, with or without Node's own", async (context) => {
  const records = samples(700, 3);
  const plain = await kafkaBatch(records, { baseOffset: 5 });
  let packed: Buffer;
  try {
    packed = execFileSync('zstd', ['-q', '-c', '-'], { input: plain.subarray(RECORD_BATCH.records) });
  } catch {
    context.diagnostic('no zstd command; only a frame of five bytes was read');
    const { rejections } = new DecoderHarness('kernels').decode([{ bytes: withRecords(plain, ZSTD_HELLO, 4) }]);
    assert.match(rejections[0]?.message ?? '', /declares 700 records in 5 bytes/);
    return;
  }
  const harness = new DecoderHarness('kernels', { decompressedBytesMax: 1 << 20 });
  const { rows, rejections } = harness.decode([{ bytes: withRecords(plain, packed, 4) }]);
  assert.deepEqual(rejections, []);
  assert.deepEqual(rows, seenOf(records, 5));
  const bomb = execFileSync('zstd', ['-q', '-c', '-'], { input: Buffer.alloc(20 << 20) });
  assert.match(harness.decode([{ bytes: withRecords(plain, bomb, 4) }]).rejections[0]?.message ?? '', /decompresses to more/);
  // A window of 2 GiB, asked for by a byte; then bytes at random.
  const greedy = Buffer.from(packed);
  greedy[5] = 0xa8;
  if (((greedy[4] as number) & 0x20) === 0)
    assert.match(harness.decode([{ bytes: withRecords(plain, greedy, 4) }]).rejections[0]?.message ?? '', /window of 2147483648/);
  const random = randomOf(11);
  for (let i = 0; i < MUTATIONS / 80; i++) {
    const mutant = Buffer.from(packed);
    for (let n = 1 + random(4); n > 0; n--) mutant[random(i % 2 === 0 ? 40 : mutant.length)] = random(256);
    harness.decode([{ bytes: withRecords(plain, mutant, 4) }]);
  }
  for (const length of [3, 10, packed.length - 1]) {
    assert.equal(harness.decode([{ bytes: withRecords(plain, packed.subarray(0, length), 4) }]).rejections[0]?.reason, 'corrupt');
  }
});

test('lz4 as the reference tool writes it: block sizes, linked blocks, checksums, content size', async (context) => {
  const records = samples(3_000, 3);
  const plain = await kafkaBatch(records);
  for (const flags of [['-B4'], ['-B7', '-9'], ['-BD', '-B4'], ['-BX', '-B5'], ['--content-size'], ['--no-frame-crc']]) {
    let packed: Buffer;
    try {
      packed = execFileSync('lz4', ['-q', '-c', ...flags, '-'], { input: plain.subarray(RECORD_BATCH.records), maxBuffer: 1 << 24 });
    } catch {
      context.skip('no lz4 command');
      return;
    }
    for (const kind of KINDS) {
      const { rows, rejections } = new DecoderHarness(kind).decode([{ bytes: withRecords(plain, packed, 3) }]);
      assert.deepEqual(rejections, [], flags.join(' '));
      assert.deepEqual(rows, seenOf(records));
    }
  }
});

test('header fields, base offset and producer', async () => {
  const bytes = await kafkaBatch(samples(6, 2), { baseOffset: 2 ** 40 + 5, transactional: true });
  const header = readBatchHeader(bytes);
  assert.equal(header.baseOffset, 2 ** 40 + 5);
  assert.equal(header.byteLength, bytes.length);
  assert.equal(header.nextOffset, 2 ** 40 + 11);
  assert.equal(header.producerId, -1n);
  assert.equal(header.isTransactional, true);
  assert.equal(header.recordCount, 6);
  setBaseOffset(bytes, 2 ** 33 + 1);
  assert.equal(bytes.readBigInt64BE(0), 2n ** 33n + 1n);
  setProducer(bytes, 2n ** 45n + 3n, 7, 99, false);
  assert.equal(bytes.readBigInt64BE(RECORD_BATCH.producerId), 2n ** 45n + 3n);
  assert.equal(bytes.readInt16BE(RECORD_BATCH.producerEpoch), 7);
  assert.equal(bytes.readInt32BE(RECORD_BATCH.baseSequence), 99);
  assert.equal(readBatchHeader(bytes).isTransactional, false);
  const { rows, rejections } = new DecoderHarness('kernels').decode([{ bytes }]);
  assert.deepEqual(rejections, []);
  assert.equal(rows.length, 6);
  assert.equal((await kafkaDecode(bytes)).records.length, 6);
});

test('the type of a control batch', async () => {
  for (const type of [0, 1]) {
    const bytes = await kafkaBatch([{ key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6), timestamp: 1_700_000_000_000 }]);
    assert.equal(controlTypeAt(bytes, 0), -1);
    bytes.writeInt16BE(ATTRIBUTE.control | ATTRIBUTE.transactional, RECORD_BATCH.attributes);
    assert.equal(controlTypeAt(bytes, 0), type);
  }
});

test('gzip with several members is one stream', async () => {
  const records = samples(50, 8);
  const plain = await kafkaBatch(records);
  const body = plain.subarray(RECORD_BATCH.records);
  const packed = Buffer.concat([gzipSync(body.subarray(0, 100)), gzipSync(body.subarray(100))]);
  assert.deepEqual(new DecoderHarness('kernels').decode([{ bytes: withRecords(plain, packed, 1) }]).rows, seenOf(records));
});
