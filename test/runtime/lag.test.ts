/** `millrace lag`: what it says of groups on the embedded log and on Kafka, against what was written and committed. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { commandLine } from '../../runtime/command-line.ts';
import { run } from '../../runtime/index.ts';
import { openStage } from '../io/kafka-fixture.ts';
import { writeTopic } from './topics.ts';

interface Said {
  readonly source: string;
  readonly lag: number;
  readonly partitions: readonly {
    readonly partition: number;
    readonly first: number;
    readonly committed: number | null;
    readonly end: number;
    readonly lag: number;
  }[];
}

async function called(t: TestContext, ...args: string[]): Promise<{ code: number; out: string }> {
  let out = '';
  const keep = (text: string) => void (out += `${text}\n`);
  const mocks = [t.mock.method(console, 'log', keep), t.mock.method(console, 'error', keep)];
  const code = await commandLine(['lag', ...args]);
  for (const one of mocks) one.mock.restore();
  return { code, out };
}

async function lagOf(t: TestContext, ...args: string[]): Promise<Said[]> {
  const { code, out } = await called(t, ...args, '--json');
  assert.equal(code, 0, out);
  return JSON.parse(out) as Said[];
}

const clicks = 'test/runtime/pipelines/clicks.ts';
const values = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => JSON.stringify({ page: '/a', ms: 1, at: (from + n) * 10_000 }));

test('of the embedded log: before, between and behind runs', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-lag-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeTopic(dir, 'in', 2, values(0, 3_000));
  const place = ['--dir', dir, '--topic', 'in', '--group', 'g'];
  const [before] = await lagOf(t, ...place);
  assert.equal(before?.lag, 3_000);
  assert.deepEqual(
    before.partitions.map(({ partition, first, committed }) => ({ partition, first, committed })),
    [0, 1].map((partition) => ({ partition, first: 0, committed: null })),
  );
  assert.equal(
    before.partitions.reduce((sum, { end }) => sum + end, 0),
    3_000,
  );
  // Many epochs: those whose windows are closed are committed.
  await (await run(clicks, { workers: 1, trigger: 'availableNow', drain: 'emit', epochBytes: '8KiB', params: { dir, group: 'g' } })).done;
  await writeTopic(dir, 'in', 2, values(3_000, 3_050), 1);
  const ofModule = ['--param', `dir=${dir}`, '--param', 'group=g'];
  const [behind] = await lagOf(t, clicks, ...ofModule);
  const [alike] = await lagOf(t, ...place);
  assert.deepEqual(behind, alike);
  assert.equal(behind?.source, 'log in');
  const committed = behind?.partitions.reduce((sum, one) => sum + (one.committed ?? 0), 0) as number;
  assert.ok(committed > 0 && committed <= 3_000, String(committed));
  assert.equal(behind?.lag, 3_050 - committed);
  const { out } = await called(t, clicks, ...ofModule);
  assert.match(out, /^log in: lag [\d,]+\npartition +committed +end +lag\n +0 +[\d,]+ +[\d,]+ +[\d,]+\n +1 +[\d,]+ +[\d,]+ +[\d,]+\n$/);
});

test('of Kafka: what a group has committed', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(2);
  await stage.producer.send({ topic, messages: Array.from({ length: 30 }, (_, i) => ({ partition: i % 2, value: `${i}` })) });
  const group = `${topic}-lag`;
  await stage.admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 1, offset: '4' }] });
  const [found] = await lagOf(t, '--brokers', stage.brokers.join(','), '--topic', topic, '--group', group);
  assert.deepEqual(found, {
    source: `kafka ${topic}`,
    lag: 26,
    partitions: [
      { partition: 0, first: 0, committed: null, end: 15, lag: 15 },
      { partition: 1, first: 0, committed: 4, end: 15, lag: 11 },
    ],
  });
});

test('what cannot be asked is said', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-lag-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const cases: [args: string[], code: number, message: RegExp][] = [
    [['--dir', dir, '--topic', 'in', '--group', 'g'], 1, /ERR_MILLRACE_TOPIC: There is no topic "in"/],
    [[clicks, '--param', `dir=${dir}`], 2, /ERR_MILLRACE_OPTION: log in: the source has no group/],
    [['test/runtime/pipelines/faulty.ts', '--param', 'how=throws'], 1, /ERR_MILLRACE_PIPELINE: No source of this pipeline has a group: generator/],
    [['--topic', 'in'], 2, /--topic and --group go with/],
    [['--dir', dir, '--topic', 'in'], 2, /are missing/],
    [['--dir', dir, '--brokers', 'a:1', '--topic', 'in', '--group', 'g'], 2, /not both/],
    [[clicks, '--dir', dir], 2, /give a module, or/],
    [[], 2, /give one module/],
  ];
  for (const [args, code, message] of cases) {
    const said = await called(t, ...args);
    assert.equal(said.code, code, said.out);
    assert.match(said.out, message);
  }
});
