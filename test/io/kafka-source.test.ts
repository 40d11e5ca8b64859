/** The Kafka source against a real broker (kafka-broker.ts); what it must deliver comes from what a plain kafkajs wrote. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Producer } from 'kafkajs';
import { MillraceError, type Schema, seededRng } from '../../core/index.ts';
import { kafka } from '../../io/kafka/index.ts';
import { FRAME_ABORTED } from '../../io/record-batch/index.ts';
import { openStage, pause, type Reading, recordBatchOf, textValue, until } from './kafka-fixture.ts';

const allEnded = (reading: Reading): Promise<void> =>
  until('all partitions to end', () => reading.failures.length > 0 || reading.ended.size === reading.reader.partitionCount);

function codeOf(error: unknown): string {
  return error instanceof MillraceError ? error.code : `not a MillraceError: ${error}`;
}

test('reads what a kafkajs producer wrote, by partition and in order, and ends at the end', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(3);
  const expected: string[][] = [[], [], []];
  for (let i = 0; i < 300; i++) expected[i % 2]?.push(`row ${i}`); // partition 2 stays empty
  for (let partition = 0; partition < 2; partition++) {
    for (let at = 0; at < 150; at += 50) {
      await stage.producer.send({ topic, messages: (expected[partition] as string[]).slice(at, at + 50).map((value) => ({ partition, value })) });
    }
  }
  const reading = await stage.open({ topic }, { drain: true });
  await allEnded(reading);
  assert.deepEqual(reading.failures, []);
  assert.ok(reading.reader.partitionCount > 3, 'there is room for more');
  assert.deepEqual(reading.values(), expected.flat());
  assert.deepEqual(
    reading.frames.filter((frame) => frame.partition === 0).map((frame) => [frame.first, frame.next]),
    [
      [0, 50],
      [50, 100],
      [100, 150],
    ],
  );
  assert.deepEqual([...reading.high].sort(), [
    [0, 150],
    [1, 150],
  ]);
  assert.deepEqual(reading.assignments, [[0, 1, 2]]);
});

for (const compression of ['gzip', 'snappy', 'lz4', 'zstd']) {
  test(`hands ${compression} batches over as they are`, async (t) => {
    const stage = await openStage(t);
    if (stage === undefined) return;
    // The broker compresses what it is given: no codec of ours or of kafkajs has a part in it.
    const topic = await stage.topic(1, { 'compression.type': compression });
    const values = Array.from({ length: 500 }, (_, i) => `value ${i % 7} ${'x'.repeat(i % 40)}`);
    await stage.producer.send({ topic, messages: values.map((value) => ({ value })) });
    const reading = await stage.open({ topic }, { drain: true });
    await allEnded(reading);
    assert.deepEqual(reading.failures, []);
    assert.equal((reading.frames[0]?.bytes[22] as number) & 7, ['none', 'gzip', 'snappy', 'lz4', 'zstd'].indexOf(compression));
    assert.deepEqual(reading.values(), values);
  });
}

test('marks the batches of aborted transactions, interleaved ones and zero keys included', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const producers: Producer[] = [];
  for (const name of ['a', 'b']) {
    const producer = stage.plain.producer({ transactionalId: `${topic}-${name}`, maxInFlightRequests: 1, idempotent: true });
    await producer.connect();
    t.after(() => producer.disconnect());
    producers.push(producer);
  }
  const [a, b] = producers as [Producer, Producer];
  const zero = Buffer.alloc(4); // kafkajs takes such a key for an abort marker
  const first = await a.transaction();
  const second = await b.transaction();
  await first.send({ topic, messages: [{ key: zero, value: 'aborted a1' }] });
  await second.send({ topic, messages: [{ key: zero, value: 'aborted b1' }] });
  await stage.producer.send({ topic, messages: [{ key: zero, value: 'plain' }] });
  await first.send({ topic, messages: [{ value: 'aborted a2' }] });
  await first.abort();
  await second.send({ topic, messages: [{ value: 'aborted b2' }] });
  const third = await a.transaction();
  await third.send({ topic, messages: [{ value: 'committed a3' }] });
  await second.abort();
  await third.commit();
  const fourth = await b.transaction();
  await fourth.send({ topic, messages: [{ value: 'committed b4' }] });
  await fourth.commit();

  const reading = await stage.open({ topic }, { drain: true });
  await allEnded(reading);
  assert.deepEqual(reading.failures, []);
  assert.deepEqual(reading.values(), ['plain', 'committed a3', 'committed b4']);
  assert.equal(reading.frames.filter((frame) => frame.flags === FRAME_ABORTED).length, 4);
  assert.equal(reading.rejected(), 4 + 4); // and four markers

  // From inside the aborted range (offset 3 is a2): the broker lists both transactions again.
  const inside = await stage.open({ topic, group: `${topic}-inside` }, { drain: true, from: new Map([[0, 3]]) });
  await allEnded(inside);
  assert.deepEqual(inside.values(), ['committed a3', 'committed b4']);

  const everything = await stage.open({ topic, group: `${topic}-all`, isolation: 'read_uncommitted' }, { drain: true });
  await allEnded(everything);
  assert.equal(everything.values().length, 7);
});

test('ends a drain in front of an open transaction, and behind it when it may look', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const producer = stage.plain.producer({ transactionalId: `${topic}-open`, maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  t.after(() => producer.disconnect());
  await stage.producer.send({ topic, messages: [{ value: 'before' }] });
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: [{ value: 'open' }] });
  const committed = await stage.open({ topic }, { drain: true });
  await allEnded(committed);
  assert.deepEqual(committed.values(), ['before']);
  const uncommitted = await stage.open({ topic, group: `${topic}-all`, isolation: 'read_uncommitted' }, { drain: true });
  await allEnded(uncommitted);
  assert.deepEqual(uncommitted.values(), ['before', 'open']);
  await transaction.abort();
});

test('takes a record batch of 130,000 records', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1, { 'max.message.bytes': '16000000' });
  const values = Array.from({ length: 130_000 }, (_, i) => String(i));
  const writer = await kafka
    .sink({ brokers: stage.brokers, topic, value: textValue })
    .open({ schema: textValue.schema as Schema, pipeline: 'test', signal: new AbortController().signal });
  await writer.write({ epoch: 1, unit: 0, partition: 0, rowCount: values.length, bytes: recordBatchOf(values) });
  await writer.close();
  const reading = await stage.open({ topic, maxBytesPerPartition: 65_536 }, { drain: true });
  await allEnded(reading);
  assert.deepEqual(reading.failures, []);
  assert.equal(reading.frames.length, 1);
  assert.deepEqual(reading.values(), values);
});

test('starts inside a record batch and cuts what lies below', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const values = Array.from({ length: 30 }, (_, i) => `row ${i}`);
  for (let at = 0; at < 30; at += 10) await stage.producer.send({ topic, messages: values.slice(at, at + 10).map((value) => ({ value })) });
  const reading = await stage.open({ topic }, { drain: true, from: new Map([[0, 13]]) });
  await allEnded(reading);
  assert.deepEqual(reading.positions.map(({ offset }) => offset).slice(0, 1), [13]);
  assert.deepEqual(
    reading.frames.map((frame) => [frame.first, frame.next, frame.cut]),
    [
      [10, 20, 13],
      [20, 30, 13],
    ],
  );
  assert.deepEqual(reading.values(), values.slice(13));
});

test('without credit a partition waits, alone, and keeps its place in the group', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(2);
  for (let i = 0; i < 20; i++) {
    for (const partition of [0, 1]) await stage.producer.send({ topic, messages: [{ partition, value: `${partition}:${i}` }] });
  }
  const reading = await stage.open({ topic, sessionTimeout: 1500, heartbeatInterval: 300 }, { credit: 3 });
  reading.give(1, 1000);
  const of = (partition: number): number => reading.frames.filter((frame) => frame.partition === partition).length;
  await until('partition 1 to be read', () => of(1) === 20);
  assert.equal(of(0), 3);
  await pause(4000); // nearly three sessions
  assert.equal(of(0), 3);
  await reading.reader.commit([{ partition: 0, offset: 3, metadata: 'waits' }]);
  reading.give(0, 5);
  await until('five more frames', () => of(0) === 8);
  await stage.producer.send({ topic, messages: [{ partition: 0, value: '0:20' }] });
  reading.give(0, 1000);
  await until('the rest', () => of(0) === 21);
  assert.deepEqual(reading.failures, []);
  assert.deepEqual(reading.assignments, [[0, 1]]);
  assert.deepEqual(
    reading.frames.filter((frame) => frame.partition === 0).map((frame) => frame.first),
    Array.from({ length: 21 }, (_, i) => i),
  );
  assert.equal(reading.values().slice(0, 21).join(), Array.from({ length: 21 }, (_, i) => `0:${i}`).join());
});

test('small fetches and credit that comes and goes lose nothing and repeat nothing', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(3);
  const rng = seededRng(17);
  const expected: string[][] = [[], [], []];
  for (let i = 0; i < 60; i++) {
    const partition = i % 3;
    const values = Array.from({ length: 1 + rng.int(20) }, (_, k) => `${partition} ${i} ${k} ${'x'.repeat(rng.int(120))}`);
    expected[partition]?.push(...values);
    await stage.producer.send({ topic, messages: values.map((value) => ({ partition, value })) });
  }
  const reading = await stage.open({ topic, maxBytesPerPartition: 3000, maxBytes: 7000, maxWaitTimeInMs: 20 }, { drain: true, credit: 1 });
  const giving = setInterval(() => reading.give(rng.int(3), 1 + rng.int(3)), 5);
  t.after(() => clearInterval(giving));
  await allEnded(reading);
  assert.deepEqual(reading.failures, []);
  assert.equal(reading.frames.length, 60);
  assert.deepEqual(reading.values(), expected.flat());
});

test('goes on where it committed, with what was committed beside', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(2);
  for (let i = 0; i < 10; i++) await stage.producer.send({ topic, messages: [{ partition: 0, value: `row ${i}` }] });
  const first = await stage.open({ topic }, { drain: true });
  assert.deepEqual(first.positions.slice(0, 2), [
    { partition: 0, offset: 0, metadata: '' },
    { partition: 1, offset: 0, metadata: '' },
  ]);
  await allEnded(first);
  await first.reader.commit([{ partition: 0, offset: 4, metadata: 'watermark 17, ü' }]);
  await first.reader.close();
  await assert.rejects(first.reader.commit([{ partition: 0, offset: 5, metadata: '' }]), (error) => codeOf(error) === 'ERR_MILLRACE_BROKER');

  const again = await stage.open({ topic }, { drain: true });
  assert.deepEqual(again.positions.slice(0, 2), [
    { partition: 0, offset: 4, metadata: 'watermark 17, ü' },
    { partition: 1, offset: 0, metadata: '' },
  ]);
  await allEnded(again);
  assert.deepEqual(again.values(), ['row 4', 'row 5', 'row 6', 'row 7', 'row 8', 'row 9']);
});

test('fromBeginning: false starts at the end', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  await stage.producer.send({ topic, messages: [{ value: 'old' }] });
  const reading = await stage.open({ topic, fromBeginning: false });
  await until('the group to be joined', () => reading.assignments.length === 1);
  await stage.producer.send({ topic, messages: [{ value: 'new' }] });
  await until('the new row', () => reading.frames.length === 1);
  assert.deepEqual(reading.values(), ['new']);
});

test('says so when rows were deleted before they were read, or goes on behind them', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  for (let i = 0; i < 6; i++) await stage.producer.send({ topic, messages: [{ value: `row ${i}` }] });
  const before = await stage.open({ topic });
  await until('the rows', () => before.frames.length === 6);
  await before.reader.commit([{ partition: 0, offset: 1, metadata: '' }]);
  await before.reader.close();
  await stage.admin.fetchTopicOffsets(topic); // loads the metadata that the next call needs
  await stage.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] });

  const strict = await stage.open({ topic }, { drain: true });
  await until('the failure', () => strict.failures.length > 0);
  assert.equal(codeOf(strict.failures[0]), 'ERR_MILLRACE_SOURCE');
  assert.match(String(strict.failures[0]), /offset 1 is not in the log .*rows 1 to 3 were deleted/);
  await strict.reader.close();
  assert.equal(
    (await stage.admin.fetchOffsets({ groupId: `group-${topic}`, topics: [topic] }))[0]?.partitions[0]?.offset,
    '1',
    'nothing was committed behind our back',
  );

  const lenient = await stage.open({ topic, failOnDataLoss: false }, { drain: true });
  await allEnded(lenient);
  assert.deepEqual(lenient.values(), ['row 4', 'row 5']);
  assert.equal(lenient.rejected('lost'), 3, 'what is passed over is counted');
});

test('a job that goes on in its process is the member that it was, and never takes the place of another process', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const holdings = new Map<string, unknown>();
  const one = await stage.open({ topic, sessionTimeout: 10_000 }, { holdings });
  assert.equal(holdings.size, 1);
  // As after a failure that came before it could leave: its session goes on.
  const again = await stage.open({ topic, sessionTimeout: 10_000 }, { holdings });
  await again.reader.commit([{ partition: 0, offset: 0, metadata: 'again' }]);
  assert.equal(holdings.size, 1);
  const successor = await stage.open({ topic });
  // The broker tells who leaves that his place is another's: it is not given back then.
  await again.reader.close();
  assert.equal(holdings.size, 1);
  await assert.rejects(stage.open({ topic }, { holdings }), (error: Error) => {
    return codeOf(error) === 'ERR_MILLRACE_FENCED' && /another process has begun to read as group/.test(error.message);
  });
  await successor.reader.commit([{ partition: 0, offset: 0, metadata: 'successor' }]);
  await successor.reader.close();
  assert.deepEqual(successor.failures, []);
  // Nobody has it any more: who had it before gets it.
  const last = await stage.open({ topic }, { holdings });
  await last.reader.commit([{ partition: 0, offset: 0, metadata: 'last' }]);
  await last.reader.close();
  assert.equal(holdings.size, 0);
  await one.reader.close();
});

test('a second member takes over from what was committed; the first one ends, and can commit no more', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(2);
  for (const partition of [0, 1]) {
    for (let i = 0; i < 5; i++) await stage.producer.send({ topic, messages: [{ partition, value: `${partition}:${i}` }] });
  }
  const one = await stage.open({ topic, heartbeatInterval: 100 });
  await until('ten frames', () => one.frames.length === 10);
  await one.reader.commit([{ partition: 1, offset: 2, metadata: 'by one' }]);
  const two = await stage.open({ topic });
  assert.deepEqual(two.positions.slice(0, 2), [
    { partition: 0, offset: 0, metadata: '' },
    { partition: 1, offset: 2, metadata: 'by one' },
  ]);
  await assert.rejects(one.reader.commit([{ partition: 0, offset: 5, metadata: '' }]), (error: Error) => {
    return codeOf(error) === 'ERR_MILLRACE_FENCED' && /another process has begun to read as group/.test(error.message);
  });
  await until('the first one to end', () => one.failures.length > 0);
  assert.match(String(one.failures[0]), /another process has begun to read as group/);
  await until('the rows that were not committed', () => two.frames.length === 8);
  await two.reader.commit([{ partition: 0, offset: 4, metadata: '' }]);
  const committed = (await stage.admin.fetchOffsets({ groupId: `group-${topic}`, topics: [topic] }))[0]?.partitions ?? [];
  assert.deepEqual(
    [...committed].sort((a, b) => a.partition - b.partition).map(({ offset }) => offset),
    ['4', '2'],
  );
  assert.deepEqual(two.failures, []);
});

test('an unknown topic is an error that names the near ones, and is not created', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const wrong = `${topic}s`;
  await assert.rejects(stage.open({ topic: wrong }), (error: Error) => codeOf(error) === 'ERR_MILLRACE_TOPIC' && error.message.includes(`Near it: ${topic}`));
  assert.ok(!(await stage.admin.listTopics()).includes(wrong));
});

test('a broker that is not there is an error within seconds', { timeout: 15_000 }, async () => {
  const source = kafka.source({ brokers: ['127.0.0.1:1'], topic: 'clicks', group: 'g', value: textValue, brokerTimeout: 300 });
  const context = {
    drain: false,
    signal: new AbortController().signal,
    emit: () => true,
    credit: async () => {},
    end() {},
    high() {},
    assigned() {},
    fail() {},
  };
  await assert.rejects(source.open(context), (error: Error) => codeOf(error) === 'ERR_MILLRACE_BROKER' && /127\.0\.0\.1:1 .*ECONNREFUSED/.test(error.message));
});

test('an ordinary kafkajs consumer in the same process works beside it', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const values = Array.from({ length: 40 }, (_, i) => `row ${i}`);
  const ours = await stage.open({ topic });
  const consumer = stage.plain.consumer({ groupId: `plain-${topic}`, maxWaitTimeInMs: 100 });
  t.after(() => consumer.disconnect());
  const theirs: string[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void theirs.push(String(message.value)) });
  for (let at = 0; at < 40; at += 8) await stage.producer.send({ topic, messages: values.slice(at, at + 8).map((value) => ({ value })) });
  await until('both to have read everything', () => theirs.length === 40 && ours.frames.length === 5);
  assert.deepEqual(theirs, values);
  assert.deepEqual(ours.values(), values);
});

test('an idle source sets few timers', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const reading = await stage.open({ topic, maxWaitTimeInMs: 200 });
  await until('the group to be joined', () => reading.assignments.length === 1);
  await stage.admin.disconnect();
  await stage.producer.disconnect();
  await pause(300);
  // Counted, not timed: kafkajs as published sets one timer a millisecond for every connection.
  const original = globalThis.setTimeout;
  let timers = 0;
  globalThis.setTimeout = ((...args: Parameters<typeof setTimeout>) => {
    timers++;
    return original(...args);
  }) as typeof setTimeout;
  await new Promise((resolve) => original(resolve, 1000));
  globalThis.setTimeout = original;
  assert.ok(timers < 100, `${timers} timers in a second`);
});

test('options are checked before anything is opened', () => {
  const good = { brokers: ['127.0.0.1:9092'], topic: 'clicks', group: 'g', value: textValue };
  kafka.source(good);
  const { schema: _, ...blind } = textValue;
  const wrong: [object, string, RegExp][] = [
    [{ brokers: [] }, 'ERR_MILLRACE_OPTION', /brokers/],
    [{ brokers: ['localhost'] }, 'ERR_MILLRACE_OPTION', /"localhost" is not host:port/],
    [{ topic: 'no spaces' }, 'ERR_MILLRACE_OPTION', /"no spaces"/],
    [{ group: '' }, 'ERR_MILLRACE_OPTION', /group/],
    [{ isolation: 'dirty' }, 'ERR_MILLRACE_OPTION', /isolation is "dirty"/],
    [{ maxBytesPerPartition: 0 }, 'ERR_MILLRACE_OPTION', /maxBytesPerPartition is 0/],
    [{ value: { ...blind, schema: undefined } }, 'ERR_MILLRACE_PIPELINE', /no schema/],
  ];
  for (const [change, code, text] of wrong) {
    assert.throws(
      () => kafka.source({ ...good, ...change } as typeof good),
      (error: Error) => codeOf(error) === code && text.test(error.message),
    );
  }
});
