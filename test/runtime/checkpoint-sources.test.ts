/**
 * What a checkpoint goes on with: the same files and topics that it was made of, in whatever order they come now,
 * grown or not. Others in their place are refused, since positions in them mean nothing.
 */

import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run } from '../../runtime/index.ts';
import { openStage, type Stage } from '../io/kafka-fixture.ts';
import { type Params, type Row, rowOf } from './pipelines/sums.ts';
import { writeTopic } from './topics.ts';
import { until } from './until.ts';

const SUMS = new URL('./pipelines/sums.ts', import.meta.url);

const rows = (from: number, to: number): Row[] => Array.from({ length: to - from }, (_, i) => rowOf(from + i));
const text = (of: readonly Row[]): string => of.map((row) => `${JSON.stringify(row)}\n`).join('');

/** By key: how many rows, and their sum. */
function totals(of: readonly Row[]): Map<string, [number, number]> {
  const sums = new Map<string, [number, number]>();
  for (const { key, n } of of) {
    const [count, sum] = sums.get(key) ?? [0, 0];
    sums.set(key, [count + 1, sum + n]);
  }
  return sums;
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, 'in'));
  return dir;
}

async function done(dir: string, source: Partial<Params>): Promise<void> {
  const params = { ...source, output: join(dir, 'out') };
  const job = await run(SUMS, {
    workers: 1,
    trigger: 'availableNow',
    guarantee: 'exactly-once',
    checkpoint: { dir: join(dir, 'state') },
    params: { ...params },
  });
  await job.done;
}

/** The newest result of each key. */
async function results(dir: string): Promise<Map<string, [number, number]>> {
  const newest = new Map<string, [number, number]>();
  for (const name of (await readdir(join(dir, 'out'))).filter((file) => !file.startsWith('.')).sort()) {
    for (const line of (await readFile(join(dir, 'out', name), 'utf8')).split('\n').filter((one) => one !== '')) {
      const { key, rows: count, n } = JSON.parse(line) as { key: string; rows: number; n: number };
      newest.set(key, [count, n]);
    }
  }
  return newest;
}

test('files that are added before the others in order are read from their beginning, and no other twice', async (t) => {
  const dir = await folder(t);
  const input = join(dir, 'in');
  await writeFile(join(input, 'm.jsonl'), text(rows(0, 100)));
  await done(dir, { input });
  await writeFile(join(input, 'a.jsonl'), text(rows(100, 200)));
  await writeFile(join(input, 'z.jsonl'), text(rows(200, 300)));
  await done(dir, { input });
  assert.deepEqual(await results(dir), totals(rows(0, 300)));
  await writeFile(join(input, 'b.jsonl'), text(rows(300, 400)));
  await done(dir, { input });
  assert.deepEqual(await results(dir), totals(rows(0, 400)));
});

test('a file that has grown goes on behind what was read of it', async (t) => {
  const dir = await folder(t);
  const path = join(dir, 'in', 'm.jsonl');
  for (let turn = 0; turn < 4; turn++) {
    await appendFile(path, text(rows(100 * turn, 100 * (turn + 1))));
    await done(dir, { path });
    assert.deepEqual(await results(dir), totals(rows(0, 100 * (turn + 1))));
  }
});

for (const kind of ['inMemory', 'generated'] as const) {
  test(`more rows of the same (${kind}) go on behind those that were read`, async (t) => {
    const dir = await folder(t);
    for (const count of [100, 250, 9_000]) {
      await done(dir, { [kind]: count });
      assert.deepEqual(await results(dir), totals(rows(0, count)));
    }
  });
}

test('rows that come at a pace are cut again where they were, after a stop without a drain', async (t) => {
  const dir = await folder(t);
  const params = { generated: 1_000, rowsPerSecond: 1_000, output: join(dir, 'out') };
  const options = { workers: 1, trigger: 10, checkpoint: { dir: join(dir, 'state'), interval: '1h' }, params } as const;
  for (let turn = 1; turn <= 2; turn++) {
    const job = await run(SUMS, options);
    await until(() => job.progress().rowsIn > turn * 150, 'rows of several epochs');
    await job.stop({ drain: false });
  }
  await (await run(SUMS, options)).done;
  assert.deepEqual(await results(dir), totals(rows(0, 1_000)));
});

test('a file that is gone is refused by name', async (t) => {
  const dir = await folder(t);
  const input = join(dir, 'in');
  await writeFile(join(input, 'a.jsonl'), text(rows(0, 100)));
  await writeFile(join(input, 'b.jsonl'), text(rows(100, 200)));
  await done(dir, { input });
  await rm(join(input, 'a.jsonl'));
  await assert.rejects(done(dir, { input }), { code: 'ERR_MILLRACE_CHECKPOINT', message: /"a\.jsonl" .* is gone. Put it back/ });
});

test('a topic of the log that was removed and made anew is refused, whatever is in it', async (t) => {
  const dir = await folder(t);
  const logDir = join(dir, 'log');
  const write = (of: readonly Row[], epoch = 0) =>
    writeTopic(
      logDir,
      'in',
      1,
      of.map((row) => JSON.stringify(row)),
      epoch,
    );
  await write([]);
  await done(dir, { logDir });
  await write(rows(0, 100), 1);
  await done(dir, { logDir });
  await write(rows(100, 200), 2);
  await done(dir, { logDir });
  assert.deepEqual(await results(dir), totals(rows(0, 200)));
  await rm(join(logDir, 'in'), { recursive: true });
  await write(rows(0, 900));
  await assert.rejects(done(dir, { logDir }), { code: 'ERR_MILLRACE_CHECKPOINT', message: /was made anew since the checkpoint/ });
});

const send = ({ producer }: Stage, topic: string, of: readonly Row[]) => producer.send({ topic, messages: of.map((row) => ({ value: JSON.stringify(row) })) });

test('a topic that was deleted and made anew is refused, whatever is in it', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const dir = await folder(t);
  const topic = await stage.topic(1);
  const source = { brokers: stage.brokers, topic };
  await send(stage, topic, rows(0, 100));
  await done(dir, source);
  await stage.admin.deleteTopics({ topics: [topic] });
  await stage.admin.deleteGroups([topic]).catch(() => {});
  for (let isThere = false; !isThere; ) isThere = await stage.admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }).catch(() => false);
  const producer = stage.plain.producer();
  await producer.connect();
  t.after(() => producer.disconnect());
  await producer.send({ topic, messages: rows(0, 300).map((row) => ({ value: JSON.stringify(row) })) });
  await assert.rejects(done(dir, source), { code: 'ERR_MILLRACE_CHECKPOINT', message: /was made anew since/ });
});
