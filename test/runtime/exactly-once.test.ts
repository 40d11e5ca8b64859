/**
 * Exactly once, over kill -9: a job in a process of its own is killed at random times, again and again, while rows come in. Every kind of
 * state has an output, and each output has exactly the rows that a plain model of the input gives: none lost, none twice.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { run, seededRng } from '../../runtime/index.ts';
import { openStage, until } from '../io/kafka-fixture.ts';
import { effortCount, seedOf } from '../seed.ts';
import { startCli } from './cli-process.ts';
import { EXACT, Feed, isExact, type Row } from './exact-model.ts';
import type { Params } from './pipelines/exact.ts';
import { writeTopic } from './topics.ts';

const KILLS = effortCount(4);
const PARTITIONS = 3;

const manifests = async (dir: string) => (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.manifest')).sort();

/** @param topic the state is in this topic as well, and the folder is gone at each start */
async function killed(
  t: TestContext,
  seed: number,
  state: string,
  params: Params,
  write: (rows: readonly Row[]) => Promise<void>,
  topic?: { readonly brokers: string[]; readonly topic: string },
): Promise<void> {
  const rng = seededRng(seed);
  const feed = new Feed(seed, write);
  const flags = Object.entries(params).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
  const args = ['run', fileURLToPath(EXACT), '--workers', '2', '--trigger', '20ms', '--checkpoint', state, '--checkpoint-interval', '60ms'];
  if (topic !== undefined) args.push('--checkpoint-topic', topic.topic, '--checkpoint-brokers', topic.brokers.join(','));
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      if (topic !== undefined) await rm(state, { recursive: true, force: true });
      const before = (await manifests(state)).at(-1);
      const job = startCli([...args, '--guarantee', 'exactly-once', ...flags]);
      t.after(() => job.child.kill('SIGKILL'));
      // From when checkpoints are made, at any time.
      while (job.child.exitCode === null && (await manifests(state)).at(-1) === before) await sleep(5);
      rng.seek(kill);
      await sleep(rng.int(700));
      job.child.kill('SIGKILL');
      const { signal, stderr } = await job.ended;
      assert.equal(signal, 'SIGKILL', stderr);
    }
  } finally {
    await feed.stop();
  }
  // What closes all windows, of no key that counts.
  const job = await run(EXACT, {
    workers: 3,
    trigger: 20,
    bounded: true,
    drain: 'emit',
    guarantee: 'exactly-once',
    checkpoint: { dir: state, interval: 60, ...(topic === undefined ? {} : { kafka: topic }) },
    params: { ...params },
  });
  await job.done;
  t.diagnostic(`seed ${seed}: ${feed.rows.length} rows, ${KILLS} kills, ${job.progress().epoch} epochs`);
  await isExact(feed.rows, params);
}

test('embedded log to embedded log', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeTopic(dir, 'exact-in', PARTITIONS, []);
  let epoch = 0;
  await killed(t, seedOf(5), join(dir, 'state'), { dir }, (rows) =>
    writeTopic(
      dir,
      'exact-in',
      PARTITIONS,
      rows.map((row) => JSON.stringify(row)),
      epoch++,
    ),
  );
});

for (const where of ['in a folder', 'in a topic'])
  test(`Kafka to Kafka, with the state ${where}`, async (t) => {
    const stage = await openStage(t);
    if (stage === undefined) return;
    const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const name = `exact-${process.pid}-${Date.now()}`;
    await stage.admin.createTopics({ topics: [{ topic: `${name}-in`, numPartitions: PARTITIONS }], waitForLeaders: false });
    await until('the topic', async () => (await stage.admin.fetchTopicOffsets(`${name}-in`).catch(() => [])).length === PARTITIONS);
    const topic = where === 'in a topic' ? { brokers: stage.brokers, topic: `${name}-state` } : undefined;
    const write = async (rows: readonly Row[]): Promise<void> => {
      await stage.producer.send({
        topic: `${name}-in`,
        messages: rows.map((row) => ({ value: JSON.stringify(row), partition: Math.floor(row.id / 60) % PARTITIONS })),
      });
    };
    await killed(t, seedOf(6), join(dir, 'state'), { dir, brokers: stage.brokers[0] as string, name }, write, topic);
  });
