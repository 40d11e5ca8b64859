/** Consumer groups as jobs use them: several topics in one group, partitions that are added, a second job that takes over. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnyRow, run } from '../../runtime/index.ts';
import { openStage, until } from '../io/kafka-fixture.ts';
import { results } from './pipelines/two-topics.ts';

const module = new URL('./pipelines/two-topics.ts', import.meta.url);
const row = (id: string, n: number, at = 0) => ({ value: JSON.stringify({ id, n, at }) });
const numbers = (rows: readonly AnyRow[]) => rows.map(({ n }) => n as number).sort((a, b) => a - b);

test('two topics of one group are read side by side, and the group commits both', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [left, right] = [await stage.topic(2), await stage.topic(3)];
  const expected = Array.from({ length: 60 }, (_, n) => n);
  for (const n of expected) await stage.producer.send({ topic: n % 2 === 0 ? left : right, messages: [row('x', n)] });
  const params = { brokers: stage.brokers.join(','), left, right, group: left, what: 'union' };
  const job = await run(module, { workers: 1, trigger: '20ms', params });
  await until('all rows', () => results.rows.length >= 60);
  await job.stop({ drain: true });
  assert.deepEqual(numbers(results.rows), expected);
  for (const [topic, rows] of [
    [left, 30],
    [right, 30],
  ] as const) {
    const [committed] = await stage.admin.fetchOffsets({ groupId: left, topics: [topic] });
    assert.equal(
      committed?.partitions.reduce((sum, { offset }) => sum + Number(offset), 0),
      rows,
    );
  }
});

test('one topic twice in one group is refused when the plan is made', async () => {
  const params = { brokers: '127.0.0.1:1', left: 'orders', right: 'orders', group: 'g', what: 'union' };
  await assert.rejects(run(module, { workers: 1, params }), { code: 'ERR_MILLRACE_PIPELINE', message: /reads kafka orders in group g twice/ });
});

test('a partition that is added while the job runs is read, and its windows close', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  const params = { brokers: stage.brokers.join(','), left: topic, right: '', group: topic, what: 'windows' };
  const job = await run(module, { workers: 2, trigger: '20ms', params });
  await stage.producer.send({ topic, messages: [row('a', 0, 100), row('a', 1, 2_500)] });
  // The room for more partitions holds no window back.
  await until('the first window', () => results.rows.length >= 1, 60);
  assert.deepEqual(
    job.progress().partitions.map(({ partition }) => partition),
    [0],
  );
  await stage.admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
  await until('the partitions', () => job.progress().partitions.length === 3);
  const producer = stage.plain.producer();
  await producer.connect();
  t.after(() => producer.disconnect());
  for (const partition of [1, 2])
    await producer.send({ topic, messages: [row('b', 2, 2_600), row('b', 3, 9_000)].map((message) => ({ ...message, partition })) });
  await producer.send({ topic, messages: [{ ...row('a', 4, 9_000), partition: 0 }] });
  await until('the second windows', () => results.rows.length >= 3, 60);
  await job.stop({ drain: true });
  const found = results.rows.map(({ id, windowStart, rows }) => `${id} ${windowStart} ${rows}`).sort();
  assert.deepEqual(
    found.slice(0, 3).map((line) => line.slice(0, -2)),
    ['a 0', 'a 2000', 'b 2000'],
  );
});

test('a second job of the same group takes over: the first one ends and says why, and no window is written in part', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(4);
  const rows = 400;
  const params = { brokers: stage.brokers.join(','), left: topic, right: '', group: topic, what: 'windows' };
  const send = async (from: number, to: number) => {
    for (let n = from; n < to; n += 20) {
      await stage.producer.send({
        topic,
        messages: Array.from({ length: 20 }, (_, i) => ({ ...row(`k${i % 5}`, n + i, (n + i) * 50), partition: (n + i) % 4 })),
      });
    }
  };
  await send(0, rows / 2);
  const first = await run(module, { workers: 1, trigger: '20ms', params });
  const ended = assert.rejects(first.done, { code: 'ERR_MILLRACE_FENCED', message: /another process has begun to read as group/ });
  await until('windows', () => results.rows.length > 0);
  const second = await run(module, { workers: 1, trigger: '20ms', params });
  await send(rows / 2, rows);
  await ended;
  await until('the last windows', () => results.rows.some(({ windowStart }) => windowStart === ((rows * 50) / 1000) * 1000 - 2_000));
  await second.stop({ drain: true });
  // Of what is in the log: a plain producer that tries again may have written rows twice.
  const log = await stage.open({ topic, group: `${topic}-log` }, { drain: true });
  await until('the log', () => log.ended.size === log.reader.partitionCount);
  const expected = new Map<string, number>();
  for (const { id, at } of log.values().map((value) => JSON.parse(value) as { id: string; at: number })) {
    const key = `${id} ${Math.floor(at / 1_000) * 1_000}`;
    expected.set(key, (expected.get(key) ?? 0) + 1);
  }
  for (const { id, windowStart, rows: count } of results.rows) assert.equal(count, expected.get(`${id} ${windowStart}`), `${id} ${windowStart} in part`);
});
