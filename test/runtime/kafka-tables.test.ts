/** Tables on a real broker (kafka-broker.ts): records without a value, read from a compacted topic and written to one. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../runtime/index.ts';
import { openStage, until } from '../io/kafka-fixture.ts';
import { back } from './pipelines/kafka-tables.ts';

const module = new URL('./pipelines/kafka-tables.ts', import.meta.url);

test('tombstones take rows out of a table, and leave it as tombstones, over a stop and a start', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const dir = await mkdtemp(join(tmpdir(), 'millrace-kafka-tables-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const compacted = { 'cleanup.policy': 'compact' };
  const users = await stage.topic(3, compacted);
  const counts = await stage.topic(2, compacted);

  // What a plain loop makes of the same records.
  const now = new Map<string, string>();
  const send = async (messages: readonly { readonly key: string; readonly region: string | null }[]): Promise<void> => {
    for (const { key, region } of messages) region === null ? now.delete(key) : now.set(key, region);
    await stage.producer.send({
      topic: users,
      messages: messages.map(({ key, region }) => ({ key, value: region === null ? null : JSON.stringify({ region }) })),
    });
  };
  const expected = (): Record<string, number> => {
    const byRegion: Record<string, number> = {};
    for (const region of now.values()) byRegion[region] = (byRegion[region] ?? 0) + 1;
    return byRegion;
  };
  const params = { brokers: stage.brokers.join(','), users, counts, group: `tables-${users}` };
  const drain = async (): Promise<void> => {
    const checkpoint = { dir: join(dir, 'state') };
    await (await run(module, { workers: 2, trigger: 'availableNow', guarantee: 'exactly-once', checkpoint, params })).done;
  };
  const records: { readonly key: string; readonly count: number | undefined }[] = [];
  const consumer = stage.plain.consumer({ groupId: `read-${counts}`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  t.after(() => consumer.disconnect());
  await consumer.subscribe({ topic: counts, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message: { key, value } }) =>
      void records.push({ key: String(key), count: value === null ? undefined : JSON.parse(String(value)).count }),
  });
  const latest = (): Record<string, number> => {
    const found = new Map(records.map(({ key, count }) => [key, count]));
    return Object.fromEntries([...found].flatMap(([key, count]) => (count === undefined ? [] : [[key, count]])));
  };
  const agrees = (): boolean => {
    const [found, wanted] = [latest(), expected()];
    return Object.keys(found).length === Object.keys(wanted).length && Object.entries(wanted).every(([region, n]) => found[region] === n);
  };

  await send(Array.from({ length: 60 }, (_, i) => ({ key: `u${i}`, region: `r${i % 6}` })));
  await send(Array.from({ length: 20 }, (_, i) => ({ key: `u${i}`, region: i % 4 === 0 ? null : 'r0' })));
  await drain();
  await until('the counts of the first run', agrees);

  // Regions 4 and 5 lose everyone: some leave, the others move. One user comes back.
  const rest = [...now].filter(([, region]) => region === 'r4' || region === 'r5').map(([key]) => key);
  assert.ok(rest.length > 4);
  await send(rest.map((key, i) => ({ key, region: i % 2 === 0 ? null : 'r1' })));
  await send([
    { key: 'u0', region: 'r2' },
    { key: 'nobody', region: null },
  ]);
  await drain();
  await until('the counts of the second run', agrees);
  assert.deepEqual(Object.keys(expected()).sort(), ['r0', 'r1', 'r2', 'r3']);
  const gone = records.filter(({ count }) => count === undefined).map(({ key }) => key);
  assert.deepEqual([...new Set(gone)].sort(), ['r4', 'r5']);

  // The topic of counts is itself a table, without what its tombstones took out.
  await (await run(module, { workers: 1, trigger: 'availableNow', params: { ...params, group: `${params.group}-back`, isBack: true } })).done;
  const rows = back.rows as readonly { readonly id: string; readonly text: string; readonly retracted?: boolean }[];
  const there = new Map<string, number>();
  for (const { id, text, retracted } of rows) retracted === true ? there.delete(id) : there.set(id, JSON.parse(text).count);
  assert.deepEqual(Object.fromEntries([...there].sort()), expected());
});
