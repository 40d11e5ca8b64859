/**
 * Checkpoints in a topic of a real broker: how it is made, what is refused, what a process that was fenced has sent, and what is left when
 * Kafka has compacted it.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TopicRecord } from '../../io/index.ts';
import { openCheckpointTopic } from '../../io/kafka/index.ts';
import { run } from '../../runtime/index.ts';
import { startKafka } from '../../scripts/kafka.js';
import { openStage, type Stage, until } from '../io/kafka-fixture.ts';
import { EXACT, isExact, type Row } from './exact-model.ts';
import { writeTopic } from './topics.ts';

let topics = 0;
const nextName = () => `state-${process.pid}-${Date.now()}-${topics++}`;
const bytes = (text: string) => Buffer.from(text);
const { signal } = new AbortController();

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function open(t: TestContext, stage: Stage, topic: string) {
  const opened = await openCheckpointTopic({ brokers: stage.brokers, topic }, { signal });
  t.after(() => opened.close());
  return opened;
}

async function read(topic: Awaited<ReturnType<typeof open>>): Promise<string[]> {
  const found: TopicRecord[] = [];
  await topic.read(0, await topic.end(), async (records) => {
    found.push(...records);
  });
  return found.map(({ key, value }) => `${key}=${value === null ? 'null' : Buffer.from(value).toString('latin1').slice(0, 40)}`);
}

test('what is committed is read, in order; what a fenced process has sent is not', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const name = nextName();
  const topic = await open(t, stage, name);
  const first = await topic.transactions.open({ id: name, signal });
  t.after(() => first.close());
  await first.recover();
  const large = bytes('x'.repeat(3 << 20));
  await topic.write(first, [
    { key: 'a', value: bytes('1') },
    { key: 'b', value: large.subarray(0, 512 << 10) },
    { key: 'c', value: null },
  ]);
  await topic.write(first, [{ key: 'd', value: bytes('2') }]);
  assert.deepEqual(await read(topic), [], 'nothing is committed');
  await first.commit(7, []);
  await until('the marker', async () => (await topic.end()) > 4);
  assert.deepEqual(await read(topic), ['a=1', `b=${'x'.repeat(40)}`, 'c=null', 'd=2']);
  // Sent, and not committed, by a process that is replaced.
  await topic.write(first, [{ key: 'a', value: bytes('of a zombie') }]);
  const second = await topic.transactions.open({ id: name, signal });
  t.after(() => second.close());
  assert.equal(await second.recover(), 7);
  assert.deepEqual((await read(topic)).length, 4);
  // Its question who has the id would abort what the second has open, so that comes later.
  await assert.rejects(
    async () => {
      await topic.write(first, [{ key: 'a', value: bytes('again') }]);
      await first.commit(8, []);
    },
    { code: 'ERR_MILLRACE_FENCED' },
  );
  await topic.write(second, [{ key: 'e', value: bytes('3') }]);
  await second.commit(9, []);
  await until('the marker', async () => (await read(topic)).length === 5);
  assert.deepEqual((await read(topic)).at(-1), 'e=3');
  assert.equal(await topic.holder(), undefined);
  await topic.announce('me');
  const heard = await topic.holder();
  assert.equal(heard?.text, 'me');
  await topic.announce('me');
  assert.ok(((await topic.holder())?.heard ?? 0) > (heard?.heard ?? 0));
});

test('the topic is made compacted; one that is not is refused, and so is one with a single partition', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const name = nextName();
  const topic = await open(t, stage, name);
  const { resources } = await stage.admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name, configNames: ['cleanup.policy'] }] });
  assert.equal(resources[0]?.configEntries[0]?.configValue, 'compact');
  assert.notEqual(topic.id, '');
  const refused = (message: RegExp) => ({ code: 'ERR_MILLRACE_TOPIC', message });
  const plain = await stage.topic(2);
  await assert.rejects(
    openCheckpointTopic({ brokers: stage.brokers, topic: plain }, { signal }),
    refused(/cleanup.policy is "delete", and a topic of checkpoints has to be compacted/),
  );
  const both = await stage.topic(2, { 'cleanup.policy': 'compact,delete' });
  await assert.rejects(openCheckpointTopic({ brokers: stage.brokers, topic: both }, { signal }), refused(/cleanup.policy is "compact,delete"/));
  const single = await stage.topic(1, { 'cleanup.policy': 'compact' });
  await assert.rejects(openCheckpointTopic({ brokers: stage.brokers, topic: single }, { signal }), refused(/has two partitions, and this one has 1/));
  await assert.rejects(openCheckpointTopic({ brokers: stage.brokers, topic: name, compression: 'lz4' } as never, { signal }), { code: 'ERR_MILLRACE_OPTION' });
});

test('log sinks, the state in a topic: folders come and go, and each row counts once; another pipeline is refused', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const dir = await folder(t);
  const kafka = { brokers: stage.brokers, topic: nextName() };
  const rows: Row[] = [];
  const params = { dir };
  const more = async (count: number): Promise<void> => {
    const made = Array.from({ length: count }, (_, i): Row => ({ id: rows.length + i, key: `k${i % 5}`, n: i % 7, at: 1_000 + (rows.length + i) * 2 }));
    rows.push(...made);
    await writeTopic(
      dir,
      'exact-in',
      2,
      made.map((row) => JSON.stringify(row)),
      rows.length,
    );
  };
  // With the folder of the run before, without one, with one that is a run old.
  const folders = ['a', 'a', 'b', 'a', 'c'];
  for (const [i, of] of folders.entries()) {
    await more(500);
    const job = await run(EXACT, {
      workers: 2,
      trigger: 20,
      bounded: true,
      drain: i === folders.length - 1 ? 'emit' : 'hold',
      guarantee: 'exactly-once',
      checkpoint: { kafka, dir: join(dir, of), interval: 20 },
      params,
    });
    await job.done;
  }
  await isExact(rows, params);
  // The job has said that nobody has the topic any more: others need not wait.
  const other = run(EXACT, { workers: 1, checkpoint: { kafka, dir: join(dir, 'd') }, params: { ...params, name: 'other' } });
  await assert.rejects(other, {
    code: 'ERR_MILLRACE_CHECKPOINT',
    message: /has the checkpoints of the pipeline "exact", not of "other". Give each pipeline a topic of its own/,
  });
  await assert.rejects(run(EXACT, { workers: 1, checkpoint: { kafka: { ...kafka, topic: nextName() }, dir: join(dir, 'c') }, params }), {
    code: 'ERR_MILLRACE_CHECKPOINT',
    message: /is empty, and the folder .* has checkpoints up to/,
  });
});

test('at-least-once, in a folder of its own; and a topic that was made anew is noticed', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const dir = await folder(t);
  const name = `${nextName()}-job`;
  const kafka = { brokers: stage.brokers, topic: nextName() };
  await writeTopic(
    dir,
    `${name}-in`,
    2,
    Array.from({ length: 300 }, (_, id) => JSON.stringify({ id, key: 'k', n: 1, at: id })),
  );
  const start = () => run(EXACT, { workers: 1, trigger: 20, bounded: true, checkpoint: { kafka, interval: 20 }, params: { dir, name } });
  const made = async () => (await readdir(tmpdir())).filter((file) => file.startsWith('millrace-') && file.includes(name));
  t.after(async () => {
    for (const file of await made()) await rm(join(tmpdir(), file), { recursive: true, force: true });
  });
  const first = await start();
  await first.done;
  assert.equal(first.progress().rowsIn, 300);
  assert.equal((await made()).length, 1);
  const second = await start();
  await second.done;
  assert.equal(second.progress().rowsIn, 0, 'nothing is read again');
  await stage.admin.deleteTopics({ topics: [kafka.topic] });
  await assert.rejects(start(), { code: 'ERR_MILLRACE_CHECKPOINT', message: /is empty, and the folder .* has checkpoints up to/ });
});

test('what Kafka has compacted is still a whole checkpoint', async (t) => {
  if ((await openStage(t)) === undefined) return;
  // Ordinary brokers look every 15 s for what to clean.
  const broker = await startKafka({ properties: { 'log.cleaner.backoff.ms': '200' } });
  t.after(() => broker.stop());
  const stage = await openStage(t, [broker.brokers]);
  if (stage === undefined) return;
  const settings = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.01', 'segment.ms': '200', 'delete.retention.ms': '0' };
  const kafka = { brokers: stage.brokers, topic: await stage.topic(2, settings) };
  const dir = await folder(t);
  const rows = Array.from({ length: 2_000 }, (_, id): Row => ({ id, key: `k${id % 5}`, n: id % 7, at: 1_000 + id * 2 }));
  const params = { dir };
  const start = (of: string, drain: 'hold' | 'emit') =>
    run(EXACT, {
      workers: 1,
      trigger: 10,
      bounded: true,
      drain,
      guarantee: 'exactly-once',
      epochBytes: '16KiB',
      checkpoint: { kafka, dir: join(dir, of), interval: 10 },
      params,
    });
  // Kafka never cleans the segment that it writes to, and begins another only when something is written to an old one: each run begins one,
  // so that what the last run has written, however fast it was, is a small part of the whole.
  const runs = 8;
  for (let first = 0; first < rows.length; first += rows.length / runs) {
    await writeTopic(
      dir,
      'exact-in',
      2,
      rows.slice(first, first + rows.length / runs).map((row) => JSON.stringify(row)),
      first,
    );
    await (await start('a', 'hold')).done;
  }
  const topic = await open(t, stage, kafka.topic);
  const before = await topic.end();
  await until('the broker to compact it', async () => (await read(topic)).length < before / 2, 120);
  t.diagnostic(`${before} offsets, ${(await read(topic)).length} records`);
  await (await start('b', 'emit')).done;
  await isExact(rows, params);
});
