/** Exactly-once into Kafka, against a real broker: what is committed, what is not, and what `recover` makes of each end. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import { MillraceError, type Schema } from '../../core/index.ts';
import { Cluster } from '../../io/kafka/client/index.ts';
import { type KafkaSinkOptions, kafka } from '../../io/kafka/index.ts';
import { Connection } from '../../io/kafka/kafkajs/index.ts';
import type { Holdings, SinkWriter, Transaction } from '../../io/sink.ts';
import { API, holdRequest, loseAnswer } from './kafka-faults.ts';
import { openStage, pause, recordBatchOf, type Stage, textValue, until } from './kafka-fixture.ts';

const columns = textValue.schema as Schema;

interface Job {
  readonly recovered: number | undefined;
  readonly transaction: Transaction;
  readonly writer: SinkWriter;
  write(values: readonly string[], partition?: number): Promise<void>;
}

function blockOf(values: readonly string[], partition: number) {
  return { epoch: 1, unit: 0, partition, rowCount: values.length, bytes: recordBatchOf(values) };
}

/** What the runtime does at a start. */
async function openJob(
  t: TestContext,
  stage: Stage,
  id: string,
  options: Partial<KafkaSinkOptions> & { topic: string },
  holdings: Holdings = new Map(),
): Promise<Job> {
  const sink = kafka.sink({ brokers: stage.brokers, value: textValue, ...options });
  const { signal } = new AbortController();
  const transaction = (await sink.transactions?.open({ id, signal, holdings })) as Transaction;
  t.after(() => transaction.close());
  const recovered = await transaction.recover();
  const writer = await sink.open({ schema: columns, pipeline: 'test', signal, guarantee: 'exactly-once', transaction });
  return { recovered, transaction, writer, write: (values, partition = 0) => writer.write(blockOf(values, partition)) };
}

async function checkpoint(job: Job, n: number, positions: readonly unknown[] = []): Promise<void> {
  await job.writer.prepare?.(n);
  await job.transaction.commit(n, positions);
  await job.writer.commit(n);
}

/** The number that the next start would find. It fences whoever has the id. */
async function recoveredBy(stage: Stage, id: string, topic: string, options: Partial<KafkaSinkOptions> = {}): Promise<number | undefined> {
  const sink = kafka.sink({ brokers: stage.brokers, value: textValue, topic, ...options });
  const transaction = await sink.transactions?.open({ id, signal: new AbortController().signal });
  try {
    return await transaction?.recover();
  } finally {
    await transaction?.close();
  }
}

async function valuesIn(stage: Stage, topic: string, isolation: 'read_committed' | 'read_uncommitted' = 'read_committed'): Promise<string[]> {
  const reading = await stage.open({ topic, isolation, group: `back-${randomBytes(4).toString('hex')}` }, { drain: true });
  await until('the end', () => reading.ended.size === reading.reader.partitionCount);
  await reading.reader.close();
  assert.deepEqual(reading.failures, []);
  return reading.values();
}

/** Markers are written a moment after a commit was answered. */
async function assertCommitted(stage: Stage, topic: string, expected: readonly string[]): Promise<void> {
  let seen: string[] = [];
  await until(`${expected.length} rows of ${topic}`, async () => {
    seen = await valuesIn(stage, topic);
    return seen.length >= expected.length;
  });
  assert.deepEqual(seen, expected);
}

function is(code: string, message: RegExp): (error: Error) => boolean {
  return (error) => {
    assert.equal(error instanceof MillraceError ? error.code : String(error), code);
    assert.match(error.message, message);
    return true;
  };
}

async function topicIds({ brokers }: Stage, topic: string): Promise<(string | undefined)[]> {
  const cluster = new Cluster(new Connection({ brokers }));
  try {
    return [(await cluster.topic(topic)).id];
  } finally {
    cluster.close();
  }
}

let nextId = 0;
const newId = (): string => `test-${randomBytes(4).toString('hex')}-${nextId++}`;

test('rows are seen when their checkpoint is committed, all at once; an empty checkpoint has a number too', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(2), newId()];
  const job = await openJob(t, stage, id, { topic });
  assert.equal(job.recovered, undefined);
  await Promise.all([job.write(['a', 'b'], 0), job.write(['c'], 1)]);
  await job.writer.prepare?.(3);
  assert.deepEqual(await valuesIn(stage, topic), []);
  assert.deepEqual(await valuesIn(stage, topic, 'read_uncommitted'), ['a', 'b', 'c']);
  await job.transaction.commit(3, []);
  await assertCommitted(stage, topic, ['a', 'b', 'c']);
  // The same number again, with more rows; then none at all.
  await job.write(['d'], 1);
  await checkpoint(job, 3);
  await checkpoint(job, 8);
  await assertCommitted(stage, topic, ['a', 'b', 'c', 'd']);
  await job.transaction.close();
  const next = await openJob(t, stage, id, { topic });
  assert.equal(next.recovered, 8);
  await next.write(['e'], 0);
  await checkpoint(next, 9);
  await assertCommitted(stage, topic, ['a', 'b', 'e', 'c', 'd']);
  assert.equal(await recoveredBy(stage, id, topic), 9);
});

test('numbers go on from transaction to transaction: hundreds of batches in many, none lost, none out of order', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(3), newId()];
  const job = await openJob(t, stage, id, { topic });
  const expected: string[][] = [[], [], []];
  const writes: Promise<void>[] = [];
  for (let n = 0; n < 20; n++) {
    for (let i = 0; i < 15; i++) {
      const partition = (n + i * i) % 3;
      const values = Array.from({ length: 1 + ((n * 7 + i) % 4) }, (_, k) => `${n}/${i}/${k}`);
      expected[partition]?.push(...values);
      writes.push(job.write(values, partition));
    }
    // Every other commit has writes of the next transaction waiting behind it.
    await job.writer.prepare?.(n);
    const committing = job.transaction.commit(n, []);
    if (n % 2 === 1) {
      expected[n % 3]?.push(`${n}/behind`);
      writes.push(job.write([`${n}/behind`], n % 3));
    }
    await committing;
  }
  await Promise.all(writes);
  await checkpoint(job, 20);
  await assertCommitted(stage, topic, expected.flat());
});

test('what is written during a commit belongs to the next transaction', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(1), newId()];
  const job = await openJob(t, stage, id, { topic });
  await job.write(['in time']);
  const committing = job.transaction.commit(1, []);
  const late = job.write(['late']);
  await committing;
  await late;
  await job.transaction.close();
  await assertCommitted(stage, topic, ['in time']);
  assert.deepEqual(await valuesIn(stage, topic, 'read_uncommitted'), ['in time', 'late']);
  assert.equal(await recoveredBy(stage, id, topic), 1);
  await assert.rejects(job.write(['too late']), is('ERR_MILLRACE_TRANSACTION', /closed before everything was committed/));
});

test('rows of transactions that were aborted are not seen by a source, between those that were committed', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(1), newId()];
  for (let n = 1; n <= 3; n++) {
    const job = await openJob(t, stage, id, { topic });
    assert.equal(job.recovered, n === 1 ? undefined : n - 1);
    await job.write([`kept ${n}`]);
    await checkpoint(job, n);
    await job.write([`gone ${n}`]);
    // One is aborted by its end, one by the next start, which fences it.
    if (n !== 2) await job.transaction.close();
  }
  await assertCommitted(stage, topic, ['kept 1', 'kept 2', 'kept 3']);
  assert.equal((await valuesIn(stage, topic, 'read_uncommitted')).length, 6);
});

for (const when of ['before', 'behind', 'unread'] as const) {
  test(`the answer to EndTxn is lost, ${when}: recover tells what is seen`, async (t) => {
    const stage = await openStage(t);
    if (stage === undefined) return;
    const [topic, id] = [await stage.topic(2), newId()];
    const job = await openJob(t, stage, id, { topic });
    await job.write(['first'], 0);
    await checkpoint(job, 1);
    await Promise.all([job.write(['second'], 0), job.write(['second'], 1)]);
    await job.writer.prepare?.(2);
    const { lost } = loseAnswer(t, API.endTxn, when);
    await job.transaction.close().catch(() => {});
    assert.equal(lost(), 1, 'an abort is an EndTxn too');
    assert.equal(await recoveredBy(stage, id, topic), 1);

    const again = await openJob(t, stage, id, { topic });
    await Promise.all([again.write(['third'], 0), again.write(['third'], 1)]);
    const faults = loseAnswer(t, API.endTxn, when);
    await assert.rejects(checkpoint(again, 3), is('ERR_MILLRACE_TRANSACTION', /answer got lost while the transaction is committed/));
    assert.equal(faults.lost(), 1);
    await assert.rejects(again.write(['dead']), is('ERR_MILLRACE_TRANSACTION', /lost/));
    await assert.rejects(again.transaction.commit(4, []), is('ERR_MILLRACE_TRANSACTION', /lost/));
    const recovered = await recoveredBy(stage, id, topic);
    if (when === 'before') assert.equal(recovered, 1);
    if (when === 'unread') assert.equal(recovered, 3);
    await assertCommitted(stage, topic, recovered === 3 ? ['first', 'third', 'third'] : ['first']);
  });
}

for (const [what, api] of [
  ['AddPartitionsToTxn', API.addPartitions],
  ['Produce', API.produce],
  ['AddOffsetsToTxn', API.addOffsets],
  ['TxnOffsetCommit', API.txnOffsetCommit],
] as const) {
  test(`the answer to ${what} is lost: nothing is committed, and the next start goes on`, async (t) => {
    const stage = await openStage(t);
    if (stage === undefined) return;
    const [topic, id] = [await stage.topic(1), newId()];
    const job = await openJob(t, stage, id, { topic });
    await job.write(['first']);
    await checkpoint(job, 1);
    const { lost } = loseAnswer(t, api, 'unread');
    const written = job.write(['second']);
    written.catch(() => {});
    await assert.rejects(checkpoint(job, 2), is('ERR_MILLRACE_TRANSACTION', /answer got lost while/));
    assert.equal(lost(), 1);
    const next = await openJob(t, stage, id, { topic });
    assert.equal(next.recovered, 1);
    await next.write(['again']);
    await checkpoint(next, 2);
    await assertCommitted(stage, topic, ['first', 'again']);
  });
}

test('a job that was taken over can write no row, and says so', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(2), newId()];
  const zombie = await openJob(t, stage, id, { topic });
  await zombie.write(['zombie, committed']);
  await checkpoint(zombie, 1);
  await zombie.write(['zombie, open']);
  const prepared = await openJob(t, stage, id, { topic });
  assert.equal(prepared.recovered, 1);
  const takenOver = is('ERR_MILLRACE_FENCED', /another process has taken this job over .*this one writes nothing more/);
  await assert.rejects(zombie.write(['zombie, late']), takenOver);
  await assert.rejects(zombie.write(['zombie, other partition'], 1), takenOver);
  await assert.rejects(zombie.transaction.commit(2, []), takenOver);
  // This one has everything written and acknowledged when it is fenced.
  await prepared.write(['prepared'], 1);
  await prepared.writer.prepare?.(2);
  const owner = await openJob(t, stage, id, { topic });
  await owner.write(['owner, first']);
  await assert.rejects(prepared.transaction.commit(2, []), takenOver);
  await assert.rejects(prepared.write(['prepared, late'], 1), takenOver);
  // The question who has the id may have aborted what the owner had open: then it starts again.
  const ended = await checkpoint(owner, 2).then(
    () => 'committed',
    (error) => error.code,
  );
  assert.ok(ended === 'committed' || ended === 'ERR_MILLRACE_TRANSACTION', String(ended));
  await assertCommitted(stage, topic, ended === 'committed' ? ['zombie, committed', 'owner, first'] : ['zombie, committed']);
});

test('a job that goes on in its process gets its transactions back, and never those that another process has taken over', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(1), newId()];
  const holdings: Holdings = new Map();
  const first = await openJob(t, stage, id, { topic, transactionTimeout: 500 }, holdings);
  await first.write(['kept']);
  await checkpoint(first, 1);
  await first.write(['gone']);
  // It has failed for another reason, and goes on: what was open is aborted.
  const second = await openJob(t, stage, id, { topic, transactionTimeout: 500 }, holdings);
  assert.equal(second.recovered, 1);
  await second.write(['too slow']);
  await assert.rejects(
    (async () => {
      for (;;) await second.write(['more']).then(() => new Promise((resolve) => setTimeout(resolve, 50)));
    })(),
    is('ERR_MILLRACE_TRANSACTION', /open for longer/),
  );
  const third = await openJob(t, stage, id, { topic }, holdings);
  await third.write(['again']);
  await checkpoint(third, 2);
  const successor = await openJob(t, stage, id, { topic });
  await assert.rejects(openJob(t, stage, id, { topic }, holdings), is('ERR_MILLRACE_FENCED', /another process has taken this job over/));
  // Asking may have aborted what the successor had open; it has the id all the same, and this is its first row.
  await successor.write(['successor']);
  await checkpoint(successor, 3);
  await assert.rejects(third.write(['zombie']), is('ERR_MILLRACE_FENCED', /taken this job over/));
  await assertCommitted(stage, topic, ['kept', 'again', 'successor']);
});

test('a transaction that is open for too long is aborted by the broker; a timeout that brokers refuse is an error of the option', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(1), newId()];
  await assert.rejects(
    openJob(t, stage, id, { topic, transactionTimeout: 2 ** 31 - 1 }),
    is('ERR_MILLRACE_OPTION', /transactionTimeout is 2147483647 ms.*transaction\.max\.timeout\.ms/),
  );
  const job = await openJob(t, stage, id, { topic, transactionTimeout: 500 });
  await job.write(['kept']);
  await checkpoint(job, 1);
  await job.write(['gone']);
  await assert.rejects(
    (async () => {
      for (;;) await job.write(['more']).then(() => new Promise((resolve) => setTimeout(resolve, 50)));
    })(),
    is('ERR_MILLRACE_TRANSACTION', /open for longer than transactionTimeout \(0\.5 s\)/),
  );
  await assert.rejects(job.transaction.commit(2, []), is('ERR_MILLRACE_TRANSACTION', /transactionTimeout/));
  const next = await openJob(t, stage, id, { topic });
  assert.equal(next.recovered, 1);
  await next.write(['again']);
  await checkpoint(next, 2);
  await assertCommitted(stage, topic, ['kept', 'again']);
});

test('several sinks and sources are in one transaction', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [input, other, output, counts, id] = [await stage.topic(2), await stage.topic(1), await stage.topic(1), await stage.topic(1), newId()];
  await stage.producer.send({ topic: input, messages: ['a', 'b'].map((value, partition) => ({ partition, value })) });
  await stage.producer.send({ topic: other, messages: [{ value: 'x' }] });
  const group = `group-${id}`;
  const [left, right] = [await stage.open({ topic: input, group }), await stage.open({ topic: other, group })];
  const job = await openJob(t, stage, id, { topic: output });
  const open = (topic: string): Promise<SinkWriter> =>
    kafka.sink({ brokers: stage.brokers, value: textValue, topic }).open({
      schema: columns,
      pipeline: 'test',
      signal: new AbortController().signal,
      guarantee: 'exactly-once',
      transaction: job.transaction,
    });
  // Two sinks write to one topic: its numbers are shared.
  const [second, third] = [await open(counts), await open(output)];
  for (let n = 1; n <= 3; n++) {
    await Promise.all([job.write([`first ${n}`]), second.write(blockOf([`second ${n}`], 0)), third.write(blockOf([`third ${n}`], 0))]);
    for (const writer of [job.writer, second, third]) await writer.prepare?.(n);
    const positions = [
      left.reader.transactional?.positions([
        { partition: 0, offset: n, metadata: `left ${n}` },
        { partition: 1, offset: n + 1, metadata: '' },
      ]),
      right.reader.transactional?.positions([{ partition: 0, offset: n * 10, metadata: `right ${n}` }]),
    ];
    await job.transaction.commit(n, positions);
  }
  assert.equal(left.reader.transactional?.domain, kafka.sink({ brokers: stage.brokers, value: textValue, topic: output }).transactions?.domain);
  assert.deepEqual(
    (await left.reader.positions()).slice(0, 2).map(({ offset, metadata }) => [offset, metadata]),
    [
      [3, 'left 3'],
      [4, ''],
    ],
  );
  assert.deepEqual((await right.reader.positions())[0], { partition: 0, offset: 30, metadata: 'right 3' });
  await assertCommitted(stage, output, ['first 1', 'third 1', 'first 2', 'third 2', 'first 3', 'third 3']);
  await assertCommitted(stage, counts, ['second 1', 'second 2', 'second 3']);
  // All or nothing: a text that no broker takes, in one of the positions.
  await Promise.all([job.write(['first 4']), second.write(blockOf(['second 4'], 0))]);
  const positions = [
    left.reader.transactional?.positions([{ partition: 0, offset: 4, metadata: 'left 4' }]),
    right.reader.transactional?.positions([{ partition: 0, offset: 40, metadata: 'r'.repeat(5_000) }]),
  ];
  await assert.rejects(job.transaction.commit(4, positions), is('ERR_MILLRACE_CHECKPOINT', /offset\.metadata\.max\.bytes.* Nothing was committed/));
  assert.equal(await recoveredBy(stage, id, output), 3);
  assert.equal((await left.reader.positions())[0]?.offset, 3);
  assert.equal((await right.reader.positions())[0]?.offset, 30);
  assert.equal((await valuesIn(stage, output)).length, 6);
});

test('a source that another process took over cannot be committed in a transaction', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [input, output, id] = [await stage.topic(1), await stage.topic(1), newId()];
  const group = `group-${id}`;
  const reading = await stage.open({ topic: input, group, heartbeatInterval: 30_000 });
  const job = await openJob(t, stage, id, { topic: output });
  await job.write(['row']);
  await checkpoint(job, 1, [reading.reader.transactional?.positions([{ partition: 0, offset: 0, metadata: 'mine' }])]);
  await stage.open({ topic: input, group });
  await job.write(['late']);
  await assert.rejects(
    checkpoint(job, 2, [reading.reader.transactional?.positions([{ partition: 0, offset: 0, metadata: 'late' }])]),
    is('ERR_MILLRACE_FENCED', /another process reads for the consumer group now/),
  );
  await job.transaction.close();
  await assertCommitted(stage, output, ['row']);
  assert.equal(await recoveredBy(stage, id, output), 1);
});

test('positions are read when a pending transaction has ended: none is older than what was committed', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [input, output, id] = [await stage.topic(1), await stage.topic(1), newId()];
  const group = `group-${id}`;
  await stage.producer.send({ topic: input, messages: [{ value: 'a' }, { value: 'b' }] });
  const reading = await stage.open({ topic: input, group });
  const job = await openJob(t, stage, id, { topic: output });
  let release = (): void => {};
  const { lost } = holdRequest(t, API.endTxn, new Promise((resolve) => (release = resolve)));
  const committing = job.transaction.commit(1, [reading.reader.transactional?.positions([{ partition: 0, offset: 2, metadata: 'pending' }])]);
  await until('the offsets to be pending', () => lost() === 1);
  const opening = stage.open({ topic: input, group });
  // Long enough for a reader that does not wait to get the older position.
  await pause(300);
  release();
  await committing;
  assert.deepEqual((await opening).positions[0], { partition: 0, offset: 2, metadata: 'pending' });
});

test('the number outlives a change of topics; one that a tool has set is refused', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [first, second, id] = [await stage.topic(1), await stage.topic(1), newId()];
  await checkpoint(await openJob(t, stage, id, { topic: first }), 4);
  const moved = await openJob(t, stage, id, { topic: second });
  assert.equal(moved.recovered, 4);
  await checkpoint(moved, 5);
  assert.equal(await recoveredBy(stage, id, first), 5);
  await stage.admin.deleteTopics({ topics: [first] });
  await until('the offset of the deleted topic to go', async () => (await stage.admin.fetchOffsets({ groupId: `millrace.${id}` })).length === 1);
  assert.equal(await recoveredBy(stage, id, second), 5);
  await stage.admin.setOffsets({ groupId: `millrace.${id}`, topic: second, partitions: [{ partition: 0, offset: '2' }] });
  await assert.rejects(recoveredBy(stage, id, second), is('ERR_MILLRACE_CHECKPOINT', /holds offset 2 with the text "".*reset the group by a tool/));
  const named = { topic: second, transactionalId: `${id}-named` };
  await checkpoint(await openJob(t, stage, id, named), 7);
  assert.equal(await recoveredBy(stage, 'another', second, named), 7);
});

test('a sink that cannot be in the transaction says why', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [topic, id] = [await stage.topic(1), newId()];
  const { transaction } = await openJob(t, stage, id, { topic });
  const open = (options: Partial<KafkaSinkOptions>, given: Transaction | undefined = transaction): Promise<SinkWriter> =>
    kafka.sink({ brokers: stage.brokers, value: textValue, topic, ...options }).open({
      schema: columns,
      pipeline: 'test',
      signal: new AbortController().signal,
      guarantee: 'exactly-once',
      ...(given !== undefined && { transaction: given }),
    });
  const other = { recover: async () => undefined, commit: async () => {}, close: async () => {} };
  await assert.rejects(open({ acks: 1 }), is('ERR_MILLRACE_PIPELINE', /acks is 1/));
  await assert.rejects(open({}, other), is('ERR_MILLRACE_PIPELINE', /no transaction of Kafka/));
  await assert.rejects(open({ brokers: ['localhost:1'] }), is('ERR_MILLRACE_PIPELINE', /the transactions of the job are in kafka 127/));
  await assert.rejects(open({ transactionalId: 'mine' }), is('ERR_MILLRACE_PIPELINE', /shares the transactions/));
  await assert.rejects(open({ transactionTimeout: 5 }), is('ERR_MILLRACE_PIPELINE', /shares the transactions/));
  assert.equal(kafka.sink({ brokers: stage.brokers, value: textValue, topic, acks: 1 }).delivery, 'at-least-once');
  assert.equal(kafka.sink({ brokers: stage.brokers, value: textValue, topic }).delivery, 'transactional');
});

for (const { acks, copies } of [
  { acks: -1, copies: 1 },
  { acks: 1, copies: 2 },
] as const) {
  test(`at least once, a batch whose answer is lost is there ${copies === 1 ? 'once' : 'twice'} with acks ${acks}`, async (t) => {
    const stage = await openStage(t);
    if (stage === undefined) return;
    const topic = await stage.topic(1);
    const sink = kafka.sink({ brokers: stage.brokers, value: textValue, topic, acks });
    const writer = await sink.open({ schema: columns, pipeline: 'test', signal: new AbortController().signal });
    t.after(() => writer.close());
    const expected: string[] = [];
    for (let i = 0; i < 12; i++) {
      const { lost } = loseAnswer(t, API.produce, 'unread');
      await writer.write(blockOf([`${i} a`, `${i} b`], 0));
      assert.equal(lost(), 1);
      for (let copy = 0; copy < copies; copy++) expected.push(`${i} a`, `${i} b`);
    }
    await writer.commit(1);
    assert.deepEqual(await valuesIn(stage, topic), expected);
  });
}

test('at least once, a producer whose numbers do not fit any more takes new ones, and goes on', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const sink = kafka.sink({ brokers: stage.brokers, value: textValue, topic });
  const writer = await sink.open({ schema: columns, pipeline: 'test', signal: new AbortController().signal });
  t.after(() => writer.close());
  for (let i = 0; i < 3; i++) await writer.write(blockOf([`old ${i}`], 0));
  // Made anew under the same name: its log knows nothing, and begins at 0 again.
  const id = (await topicIds(stage, topic))[0];
  await stage.admin.deleteTopics({ topics: [topic] });
  await until('the topic to be made anew', async () => {
    await stage.admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: false }).catch(() => {});
    const now = await topicIds(stage, topic).catch(() => []);
    return now[0] !== undefined && now[0] !== id;
  });
  for (let i = 0; i < 3; i++) await writer.write(blockOf([`new ${i}`], 0));
  await writer.commit(1);
  assert.deepEqual([...new Set(await valuesIn(stage, topic))], ['new 0', 'new 1', 'new 2']);
});
