/** The Kafka sink against a real broker (kafka-broker.ts), read back by a plain kafkajs. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { MillraceError, schema, timestamp, utf8 } from '../../core/index.ts';
import { type KafkaSinkOptions, kafka } from '../../io/kafka/index.ts';
import type { SinkWriter } from '../../io/sink.ts';
import { SinkRun } from './harness.ts';
import { openStage, recordBatchOf, type Stage, textValue, until } from './kafka-fixture.ts';

const columns = schema({ key: utf8, value: utf8 });

function codeOf(error: unknown): string {
  return error instanceof MillraceError ? error.code : `not a MillraceError: ${error}`;
}

function openWriter(options: KafkaSinkOptions): Promise<SinkWriter> {
  return kafka.sink(options).open({ schema: columns, pipeline: 'test', signal: new AbortController().signal });
}

interface ReadBack {
  readonly partition: number;
  readonly offset: string;
  readonly key: string | undefined;
  readonly value: string;
}

/** What a plain consumer sees, by partition and offset. */
async function readBack(stage: Stage, topic: string, count: number): Promise<ReadBack[]> {
  const consumer = stage.plain.consumer({ groupId: `back-${topic}`, maxWaitTimeInMs: 100 });
  const messages: ReadBack[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message }) =>
      void messages.push({ partition, offset: message.offset, key: message.key?.toString(), value: String(message.value) }),
  });
  await until(`${count} messages`, () => messages.length >= count);
  await consumer.disconnect();
  return messages.sort((a, b) => a.partition - b.partition || Number(a.offset) - Number(b.offset));
}

test('rows through the encoder and the broker come back as they were', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(3);
  const run = await SinkRun.open(kafka.sink({ brokers: stage.brokers, topic, key: 'key', value: textValue }), columns);
  const rows = Array.from({ length: 2000 }, (_, i) => ({ key: `k${i % 17}`, value: `row ${i}` }));
  for (let at = 0; at < rows.length; at += 500) await run.write(rows.slice(at, at + 500));
  await run.commit(1);
  await run.close();
  const back = await readBack(stage, topic, rows.length);
  assert.deepEqual(back.map(({ key, value }) => `${key} ${value}`).sort(), rows.map(({ key, value }) => `${key} ${value}`).sort());
  // One key, one partition; within it the order of the rows.
  for (let k = 0; k < 17; k++) {
    const own = back.filter(({ key }) => key === `k${k}`);
    assert.equal(new Set(own.map(({ partition }) => partition)).size, 1);
    assert.deepEqual(
      own.map(({ value }) => value),
      rows.filter(({ key }) => key === `k${k}`).map(({ value }) => value),
    );
  }
});

test('times before 1970 are written as they are; one that no record can have is refused', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1, { 'retention.ms': '-1' });
  const times = schema({ at: timestamp, value: utf8 });
  const run = await SinkRun.open(kafka.sink({ brokers: stage.brokers, topic, timestamp: 'at', value: textValue }), times);
  const expected = [-5_000, -14_182_940_000, 0, 1_700_000_000_000, -(2 ** 53 - 1)];
  await run.write(expected.map((at, i) => ({ at, value: `row ${i}` })));
  await run.commit(1);
  const consumer = stage.plain.consumer({ groupId: `back-${topic}`, maxWaitTimeInMs: 100 });
  t.after(() => consumer.disconnect());
  const back: number[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void back.push(Number(message.timestamp)) });
  await until('the records', () => back.length === expected.length);
  assert.deepEqual(back, expected);
  await assert.rejects(
    async () => run.write([{ at: 2 ** 53, value: 'too late' }]),
    (error: Error) => codeOf(error) === 'ERR_MILLRACE_SINK' && /"at" holds the time 9007199254740992/.test(error.message),
  );
  await run.close();
});

test('blocks of several record batches are written in the order of the calls, out of shared memory', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(4);
  const writer = await openWriter({ brokers: stage.brokers, topic, value: textValue });
  t.after(() => writer.close());
  assert.deepEqual(writer.info, { partitionCount: 4 });
  const expected: string[][] = [[], [], [], []];
  const writes: Promise<void>[] = [];
  for (let i = 0; i < 200; i++) {
    const partition = (i * 7) % 4;
    const batches = [[`${i} a`, `${i} b`], [`${i} c`]];
    expected[partition]?.push(...batches.flat());
    const body = Buffer.concat(batches.map(recordBatchOf));
    const bytes = new Uint8Array(new SharedArrayBuffer(body.length));
    bytes.set(body);
    writes.push(writer.write({ epoch: 1, unit: 0, partition, rowCount: 3, bytes }).then(() => void bytes.fill(0xee)));
  }
  await writer.commit(1);
  await Promise.all(writes);
  const back = await readBack(stage, topic, 600);
  assert.deepEqual(
    [0, 1, 2, 3].map((p) => back.filter(({ partition }) => partition === p).map(({ value }) => value)),
    expected,
  );
});

test('a record batch that the topic does not take fails the write and the commit, and says what to change', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1, { 'max.message.bytes': '1000' });
  const writer = await openWriter({ brokers: stage.brokers, topic, value: textValue });
  t.after(() => writer.close());
  const isRefusal = (error: Error): boolean => codeOf(error) === 'ERR_MILLRACE_SINK' && /partition 0 .*max\.message\.bytes/.test(error.message);
  await assert.rejects(writer.write({ epoch: 1, unit: 0, partition: 0, rowCount: 1, bytes: recordBatchOf(['x'.repeat(2000)]) }), isRefusal);
  await assert.rejects(writer.commit(1), isRefusal);
  await assert.rejects(writer.write({ epoch: 2, unit: 0, partition: 0, rowCount: 1, bytes: recordBatchOf(['small']) }), isRefusal);
});

test('a corrupt record batch is refused by the broker', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const writer = await openWriter({ brokers: stage.brokers, topic, value: textValue, deliveryTimeout: 500 });
  t.after(() => writer.close());
  const bytes = recordBatchOf(['fine']);
  bytes[bytes.length - 2] = 0x7e;
  await assert.rejects(writer.write({ epoch: 1, unit: 0, partition: 0, rowCount: 1, bytes }), (error) => codeOf(error) === 'ERR_MILLRACE_SINK');
});

test('an unknown topic is an error, or is made on request', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = `${await stage.topic(1)}-not`;
  await assert.rejects(openWriter({ brokers: stage.brokers, topic, value: textValue }), (error) => codeOf(error) === 'ERR_MILLRACE_TOPIC');
  const writer = await openWriter({ brokers: stage.brokers, topic, value: textValue, createTopic: { partitions: 5 } });
  t.after(() => writer.close());
  assert.deepEqual(writer.info, { partitionCount: 5 });
  await writer.write({ epoch: 1, unit: 0, partition: 4, rowCount: 1, bytes: recordBatchOf(['made']) });
  assert.deepEqual(
    (await readBack(stage, topic, 1)).map(({ partition, value }) => [partition, value]),
    [[4, 'made']],
  );
});

test('a key column that is not there is found when the plan is made', () => {
  const sink = kafka.sink({ brokers: ['127.0.0.1:9092'], topic: 'out', key: ['key', 'paeg'], value: textValue });
  assert.throws(
    () => sink.check(columns),
    (error: Error) => codeOf(error) === 'ERR_MILLRACE_PIPELINE' && error.message.includes('"paeg"'),
  );
  assert.throws(
    () => kafka.sink({ brokers: ['127.0.0.1:9092'], topic: 'out', value: textValue, acks: 0 as never }),
    (error) => codeOf(error) === 'ERR_MILLRACE_OPTION',
  );
});

test('no broker is an error within seconds', { timeout: 15_000 }, async () => {
  await assert.rejects(
    openWriter({ brokers: ['127.0.0.1:1'], topic: 'out', value: textValue, brokerTimeout: 300 }),
    (error) => codeOf(error) === 'ERR_MILLRACE_BROKER',
  );
});
