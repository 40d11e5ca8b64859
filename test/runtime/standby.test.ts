/**
 * Two processes with the same pipeline and the same checkpoint: one works, the other stands by. It goes on when the first is killed, stopped by
 * SIGSTOP, or ended by SIGTERM; and the first, when it wakes up, writes nothing more and says why. What comes out has every row once.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../runtime/index.ts';
import { openStage, until as untilSoon } from '../io/kafka-fixture.ts';
import { effortCount, seedOf } from '../seed.ts';
import { type CliProcess, startCli } from './cli-process.ts';
import { EXACT, Feed, isExact, type Row } from './exact-model.ts';
import type { Params } from './pipelines/exact.ts';
import { writeTopic } from './topics.ts';
import { until } from './until.ts';

const PARTITIONS = 2;

interface Scene {
  readonly params: Params;
  readonly write: (rows: readonly Row[]) => Promise<void>;
  /** Where each process keeps its state: one folder for both, or a topic and a folder of its own. */
  readonly folders: readonly [string, string];
  readonly topic?: { readonly brokers: string[]; readonly topic: string };
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function onLog(t: TestContext, files: boolean): Promise<Scene> {
  const dir = await folder(t);
  await writeTopic(dir, 'exact-in', PARTITIONS, []);
  let epoch = 0;
  const write = (rows: readonly Row[]) =>
    writeTopic(
      dir,
      'exact-in',
      PARTITIONS,
      rows.map((row) => JSON.stringify(row)),
      epoch++,
    );
  return { params: { dir, ...(files ? { files: 'true' } : {}) }, write, folders: [join(dir, 'state'), join(dir, 'state')] };
}

async function onKafka(t: TestContext, hasTopic: boolean): Promise<Scene | undefined> {
  const stage = await openStage(t);
  if (stage === undefined) return undefined;
  const dir = await folder(t);
  const name = `standby-${process.pid}-${Date.now()}`;
  await stage.admin.createTopics({ topics: [{ topic: `${name}-in`, numPartitions: PARTITIONS }], waitForLeaders: false });
  await untilSoon('the topic', async () => (await stage.admin.fetchTopicOffsets(`${name}-in`).catch(() => [])).length === PARTITIONS);
  const write = async (rows: readonly Row[]): Promise<void> => {
    await stage.producer.send({
      topic: `${name}-in`,
      messages: rows.map((row) => ({ value: JSON.stringify(row), partition: Math.floor(row.id / 60) % PARTITIONS })),
    });
  };
  return {
    params: { dir, brokers: stage.brokers[0] as string, name },
    write,
    folders: hasTopic ? [join(dir, 'state-1'), join(dir, 'state-2')] : [join(dir, 'state'), join(dir, 'state')],
    ...(hasTopic ? { topic: { brokers: stage.brokers, topic: `${name}-state` } } : {}),
  };
}

const newest = async (dir: string) =>
  (await readdir(dir).catch(() => []))
    .filter((name) => name.endsWith('.manifest'))
    .sort()
    .at(-1);

function start(t: TestContext, { params, folders, topic }: Scene, which: 0 | 1, ...more: string[]): CliProcess {
  const flags = Object.entries(params).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
  const args = ['run', fileURLToPath(EXACT), '--workers', '1', '--trigger', '20ms', '--checkpoint', folders[which], '--checkpoint-interval', '60ms'];
  if (topic !== undefined) args.push('--checkpoint-topic', topic.topic, '--checkpoint-brokers', topic.brokers.join(','));
  const job = startCli([...args, '--guarantee', 'exactly-once', '--session-timeout', '2s', ...more, ...flags]);
  t.after(() => job.child.kill('SIGKILL'));
  return job;
}

/** Waits for checkpoints of a run that is not this one. */
async function worksOn(dir: string, job: CliProcess, run: string | undefined): Promise<string> {
  const ofRun = (name: string | undefined) => name?.split('-')[1];
  await until(async () => job.child.exitCode !== null || (ofRun(await newest(dir)) ?? '0') > (run ?? '0'), 'checkpoints of the next run');
  assert.equal(job.child.exitCode, null, job.stderr());
  return ofRun(await newest(dir)) as string;
}

async function standsBy(job: CliProcess): Promise<void> {
  await until(() => job.child.exitCode !== null || job.stderr().includes('This process stands by'), 'a process that stands by');
  assert.equal(job.child.exitCode, null, job.stderr());
}

/** The last run reads to the end, and what came out is compared with the model. */
async function checked(t: TestContext, { params, folders, topic }: Scene, feed: Feed): Promise<void> {
  const job = await run(EXACT, {
    workers: 2,
    trigger: 20,
    bounded: true,
    drain: 'emit',
    guarantee: 'exactly-once',
    checkpoint: { dir: folders[1], interval: 60, ...(topic === undefined ? {} : { kafka: topic }) },
    params: { ...params },
  });
  await job.done;
  t.diagnostic(`${feed.rows.length} rows`);
  await isExact(feed.rows, params);
}

type Fault = 'SIGKILL' | 'SIGSTOP' | 'SIGTERM';

/** Each take-over takes half a minute: all of them with MILLRACE_TEST_EFFORT=2, else one, and SIGSTOP where it matters most. */
const FAULTS: readonly Fault[] = effortCount(1) > 1 ? ['SIGKILL', 'SIGTERM', 'SIGSTOP'] : ['SIGKILL'];

async function takesOver(t: TestContext, scene: Scene, fault: Fault): Promise<void> {
  const feed = new Feed(seedOf(9), scene.write);
  try {
    const first = start(t, scene, 0);
    const run = await worksOn(scene.folders[0], first, undefined);
    const second = start(t, scene, 1, '--standby');
    await standsBy(second);
    first.child.kill(fault);
    const next = await worksOn(scene.folders[1], second, run);
    if (fault === 'SIGSTOP') {
      first.child.kill('SIGCONT');
      const { code, stderr } = await first.ended;
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`ERR_MILLRACE_FENCED: The pipeline .* was taken over by process ${second.child.pid}\\b.*sessionTimeout`));
    } else await first.ended;
    // It goes on, whatever the first one did when it woke up.
    const before = await newest(scene.folders[1]);
    await until(async () => second.child.exitCode !== null || (await newest(scene.folders[1])) !== before, 'further checkpoints');
    assert.ok((await newest(scene.folders[1]))?.includes(next), 'of the same run');
    await feed.stop();
    second.child.kill('SIGTERM');
    assert.equal((await second.ended).code, 0, second.stderr());
  } finally {
    await feed.stop();
  }
  await checked(t, scene, feed);
}

for (const fault of FAULTS) test(`log sinks, ${fault}`, async (t) => takesOver(t, await onLog(t, false), fault));
test('files sinks, SIGSTOP', async (t) => takesOver(t, await onLog(t, true), 'SIGSTOP'));
test('Kafka sinks, SIGSTOP', async (t) => {
  const scene = await onKafka(t, false);
  if (scene !== undefined) await takesOver(t, scene, 'SIGSTOP');
});
for (const fault of FAULTS) {
  test(`Kafka sinks, the state in a topic, each process with a folder of its own, ${fault}`, async (t) => {
    const scene = await onKafka(t, true);
    if (scene !== undefined) await takesOver(t, scene, fault);
  });
}

test('without standby a second process is refused, and told who works', async (t) => {
  const scene = await onLog(t, false);
  await scene.write([]);
  const feed = new Feed(1, scene.write);
  try {
    const first = start(t, scene, 0);
    await worksOn(scene.folders[0], first, undefined);
    const { code, stderr } = await start(t, scene, 1).ended;
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`ERR_MILLRACE_CHECKPOINT: The checkpoint directory .* is in use by process ${first.child.pid}, for the pipeline "exact"`));
    first.child.kill('SIGTERM');
    await first.ended;
  } finally {
    await feed.stop();
  }
});

test('a stop that comes just as the process takes over ends it when it has taken over', async (t) => {
  for (const drain of [true, false]) {
    const dir = await folder(t);
    await writeTopic(dir, 'exact-in', PARTITIONS, []);
    const checkpoint = { dir: join(dir, 'state') };
    const first = await run(EXACT, { workers: 1, checkpoint, params: { dir } });
    const second = await run(EXACT, { workers: 1, checkpoint, standby: true, params: { dir } });
    const waits = new Promise<void>((resolve) => second.once('warning', () => resolve()));
    await waits;
    // Within the take-over: nothing is open yet.
    const stopped = new Promise((resolve, reject) => {
      second.on('warning', (warning) => warning.includes('takes over') && second.stop({ drain }).then(resolve, reject));
    });
    await first.stop();
    await stopped;
    await second.done;
    assert.equal(second.state, 'stopped');
    const third = await run(EXACT, { workers: 1, checkpoint, params: { dir } });
    await third.stop();
  }
});

test('a process that stands by can be stopped; standby asks for a checkpoint', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'exact-in', PARTITIONS, []);
  const checkpoint = { dir: join(dir, 'state') };
  const first = await run(EXACT, { workers: 1, checkpoint, params: { dir } });
  const second = await run(EXACT, { workers: 1, checkpoint, standby: true, params: { dir } });
  const warnings: string[] = [];
  second.on('warning', (warning) => warnings.push(warning));
  await until(() => warnings.length > 0, 'a warning');
  assert.equal(second.state, 'standby');
  assert.equal(second.progress().state, 'standby');
  assert.match(warnings.join(), new RegExp(`is at work elsewhere: this process \\(${process.pid}\\), for the pipeline "exact"`));
  await second.stop();
  assert.equal(second.state, 'stopped');
  const third = await run(EXACT, { workers: 1, checkpoint, standby: true, params: { dir } });
  third.on('warning', () => {});
  await first.stop();
  await until(() => third.state === 'running' || third.state === 'joining', 'the one that stood by');
  await third.stop();
  await assert.rejects(run(EXACT, { standby: true, params: { dir } }), { code: 'ERR_MILLRACE_OPTION', message: /standby is true, and there is no checkpoint/ });
  await assert.rejects(run(EXACT, { checkpoint, sessionTimeout: 5, params: { dir } }), { code: 'ERR_MILLRACE_OPTION', message: /sessionTimeout/ });
});
