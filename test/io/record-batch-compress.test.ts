/** Compression by a sink: LZ4 frames against another decoder, and whole record batches through a broker and back. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import test from 'node:test';
import * as zlib from 'node:zlib';
import { MillraceError, type Schema } from '../../core/index.ts';
import { type KafkaSinkOptions, kafka } from '../../io/kafka/index.ts';
import { readBatchHeader } from '../../io/record-batch/index.ts';
import { lz4Frame, lz4FrameBytesMax } from '../../io/record-batch/lz4-encode.ts';
import type { Transaction } from '../../io/sink.ts';
import { caseCount, fc } from '../seed.ts';
import { SinkRun } from './harness.ts';
import { openStage, textValue, until } from './kafka-fixture.ts';

const lz4js = createRequire(import.meta.url)('lz4js') as { decompress(bytes: Uint8Array): Uint8Array };
const hasZstd = 'zstdCompressSync' in zlib;

function frameOf(bytes: Uint8Array, from = 0, to = bytes.length): Uint8Array {
  const out = new Uint8Array(lz4FrameBytesMax(to - from));
  return out.slice(0, lz4Frame(bytes, from, to, out));
}

test('what is compressed as LZ4 is, decompressed by another decoder, what it was', () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 700 })).map(([piece, times]) => {
      const repeated = new Uint8Array(piece.length * times);
      for (let i = 0; i < times; i++) repeated.set(piece, i * piece.length);
      return repeated;
    }),
  );
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 60 }), fc.nat(30), (chunks, before) => {
      const bytes = Buffer.concat([Buffer.alloc(before, 'before'), ...chunks, Buffer.alloc(20, 'behind')]);
      const [from, to] = [before, bytes.length - 20];
      assert.deepEqual(Buffer.from(lz4js.decompress(frameOf(bytes, from, to))), bytes.subarray(from, to));
    }),
    { numRuns: caseCount(300) },
  );
});

test('blocks of LZ4: around their size, all alike, and nothing alike', () => {
  for (const length of [0, 1, 12, 13, 14, 65_535, 65_536, 65_537, 200_000]) {
    for (const bytes of [Buffer.alloc(length, 7), randomBytes(length), Buffer.alloc(length, 'some text that repeats itself, ')]) {
      const frame = frameOf(bytes);
      assert.deepEqual(Buffer.from(lz4js.decompress(frame)), bytes);
      assert.ok(frame.length <= length + 4 * Math.ceil(length / 65_536) + 11, 'never longer than the bytes and their frame');
    }
  }
});

for (const compression of ['none', 'lz4', 'gzip', 'zstd'] as const) {
  test(`rows through a sink with compression ${compression}, a broker that checks them, and a source`, async (t) => {
    if (compression === 'zstd' && !hasZstd) {
      // Refused when the sink is made, with what serves instead.
      assert.throws(
        () => kafka.sink({ brokers: ['127.0.0.1:9092'], topic: 'out', value: textValue, compression }),
        (error: Error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION' && /needs Node 22\.15.*"lz4" or "gzip"/.test(error.message),
      );
      return;
    }
    const stage = await openStage(t);
    if (stage === undefined) return;
    const topic = await stage.topic(2);
    const options: KafkaSinkOptions = { brokers: stage.brokers, topic, key: 'key', value: textValue, compression };
    const run = await SinkRun.open(kafka.sink(options), textValue.schema as Schema);
    const rows = Array.from({ length: 3_000 }, (_, i) => ({ key: `k${i % 2}`, value: `row ${i} with the text that all rows have` }));
    await run.write(rows);
    // A batch that would not become smaller stays as it is.
    await run.write([{ key: 'k0', value: 'x' }]);
    await run.commit(1);
    await run.close();
    // In a transaction, too: the producer is set in the compressed batch.
    const sink = kafka.sink(options);
    const { signal } = new AbortController();
    const transaction = (await sink.transactions?.open({ id: topic, signal })) as Transaction;
    await transaction.recover();
    const exact = await SinkRun.open(sink, textValue.schema as Schema, { guarantee: 'exactly-once', transaction });
    await exact.write(rows);
    await transaction.commit(1, []);
    await transaction.close();
    const reading = await stage.open({ topic, group: `back-${topic}` });
    await until('the rows', () => reading.values().length === 6_001);
    const expected = [...rows, ...rows].map(({ value }) => value);
    assert.deepEqual(reading.values().sort(), [...expected, 'x'].sort());
    const used = new Set(reading.frames.map(({ bytes }) => readBatchHeader(bytes)).map(({ compression: code }) => code));
    const code = ['none', 'gzip', 'snappy', 'lz4', 'zstd'].indexOf(compression);
    assert.deepEqual([...used].sort(), code === 0 ? [0] : [0, code]);
    const bytes = reading.frames.reduce((sum, frame) => sum + frame.bytes.length, 0);
    if (compression !== 'none') assert.ok(bytes < 0.5 * expected.join('').length, `${bytes} bytes`);
  });
}

test('a compression that no sink has is refused by name', () => {
  assert.throws(
    () => kafka.sink({ brokers: ['127.0.0.1:9092'], topic: 'out', value: textValue, compression: 'snappy' as never }),
    (error: Error) =>
      error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION' && /compression is "snappy"; it can be "none" or/.test(error.message),
  );
});
