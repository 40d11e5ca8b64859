/** The checkpoint directory of a job: options, who may use it, what stands in it; and processing time on real threads. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { JOURNAL_FILE } from '../../runtime/epoch/journal.ts';
import { type AnyRow, type Job, type RunOptions, run } from '../../runtime/index.ts';
import { resolveOptions } from '../../runtime/job/options.ts';
import { NOTHING_ALLOWED } from '../../runtime/plan/index.ts';
import { runCli } from './cli-process.ts';
import { results } from './pipelines/repeated.ts';
import { writeTopic } from './topics.ts';
import { until } from './until.ts';

const module = new URL('./pipelines/repeated.ts', import.meta.url);

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const rows = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => JSON.stringify({ id: from + n, key: 'k', x: 1, at: from + n }));
const start = (dir: string, options: RunOptions = {}, params: object = {}) =>
  run(module, { workers: 1, trigger: 10, checkpoint: { dir: join(dir, 'state') }, ...options, params: { dir, what: 'processing', ...params } });

/** Until so many rows have come, and every window of them has closed. */
async function allClosed(job: Job, rowsIn: number): Promise<void> {
  while (!job.progress().balance.exchanges.every(({ rows: of, held }) => of === rowsIn && held === 0)) await sleep(10);
}

async function windows(dir: string): Promise<readonly AnyRow[]> {
  const job = await run(module, { workers: 1, trigger: 'availableNow', params: { dir, what: 'read' } });
  await job.done;
  return [...results.rows];
}

test('the option: a folder by path or URL, a topic, or both', () => {
  const kafka = { brokers: ['127.0.0.1:9092'], topic: 'state' };
  assert.deepEqual(resolveOptions({ checkpoint: { dir: pathToFileURL('/a/b') } }).checkpoint, {
    dir: '/a/b',
    kafka: undefined,
    intervalMs: 1_000,
    allowed: NOTHING_ALLOWED,
  });
  assert.deepEqual(resolveOptions({ checkpoint: { dir: '/a/b', interval: '50ms' } }).checkpoint, {
    dir: '/a/b',
    kafka: undefined,
    intervalMs: 50,
    allowed: NOTHING_ALLOWED,
  });
  assert.deepEqual(resolveOptions({ checkpoint: { kafka } }).checkpoint, { dir: undefined, kafka, intervalMs: 1_000, allowed: NOTHING_ALLOWED });
  assert.deepEqual(resolveOptions({ checkpoint: { kafka, dir: '/a' } }).checkpoint, { dir: '/a', kafka, intervalMs: 1_000, allowed: NOTHING_ALLOWED });
  assert.equal(resolveOptions({}).checkpoint, undefined);
  const allow = { dropped: ['reduce 1'], new: true } as const;
  assert.deepEqual(resolveOptions({ checkpoint: { dir: '/a/b', allow } }).checkpoint?.allowed, { dropped: ['reduce 1'], changed: [], added: true });
  for (const checkpoint of [
    {},
    { dir: '' },
    { dir: 7 },
    null,
    { dir: 'a', interval: 0 },
    { dir: 'a', every: '1s' },
    { kafka: 'state' },
    { kafka: null },
    { dir: 'a', allow: { old: true } },
    { dir: 'a', allow: { dropped: 'all' } },
  ]) {
    assert.throws(() => resolveOptions({ checkpoint } as never), { code: 'ERR_MILLRACE_OPTION', message: /checkpoint/ }, JSON.stringify(checkpoint));
  }
});

test('windows of processing time close when time passes, though no rows come; then the job rests', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 2, rows(0, 500));
  const job = await start(dir);
  await allClosed(job, 500);
  // Nothing is open any more: no epoch is cut for nothing.
  await until(async () => {
    const { epoch } = job.progress();
    await sleep(300);
    return job.progress().epoch === epoch;
  }, 'an end of the epochs');
  // The rows of later are not stamped with the time at which the epoch before ended.
  const later = Date.now();
  await writeTopic(dir, 'in', 2, rows(500, 600));
  await allClosed(job, 600);
  await job.stop();
  const out = await windows(dir);
  for (const sizeMs of [40, 900]) {
    const of = out.filter((row) => (row['windowEnd'] as number) - (row['windowStart'] as number) === sizeMs);
    assert.equal(
      of.reduce((sum, row) => sum + (row['n'] as number), 0),
      600,
    );
    for (const row of of) if ((row['ids'] as string).includes('599')) assert.ok((row['windowEnd'] as number) > later);
  }
});

test('one job a directory, of one pipeline, that reads what it read', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 1, rows(0, 100));
  const job = await start(dir);
  await assert.rejects(start(dir, {}, { what: 'read' }), {
    code: 'ERR_MILLRACE_CHECKPOINT',
    message: new RegExp(`state is in use by this process \\(${process.pid}\\), for the pipeline "repeated"`),
  });
  await allClosed(job, 100);
  await job.stop();
  await assert.rejects(start(dir, {}, { name: 'another' }), {
    code: 'ERR_MILLRACE_CHECKPOINT',
    message: /are of the pipeline "repeated", not of "another"/,
  });
  const { code, stderr } = await runCli([
    'run',
    'test/runtime/pipelines/repeated.ts',
    '--checkpoint',
    join(dir, 'state'),
    '--param',
    `dir=${dir}`,
    '--param',
    'what=processing',
    '--param',
    'name=x',
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /ERR_MILLRACE_CHECKPOINT: The checkpoints in .* are of the pipeline "repeated", not of "x"/);
  // And the first may go on.
  const again = await start(dir, { bounded: true, drain: 'emit' });
  await again.done;
});

test('what stands in the journal: positions, states and the clock of each epoch behind the oldest checkpoint, in order', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 2, rows(0, 300));
  const before = Date.now();
  const job = await start(dir, { bounded: true, drain: 'emit', epochBytes: '4KiB' });
  await job.done;
  const lines = (await readFile(join(dir, 'state', JOURNAL_FILE), 'utf8')).trimEnd().split('\n');
  const [head, ...records] = lines
    .slice(1)
    .map(
      (line) =>
        JSON.parse(line.slice(9)) as { epoch: number; startMs: number; nowMs: number; positions: number[][]; pipeline: string; base: { epoch: number } },
    );
  assert.equal(head?.pipeline, 'repeated');
  let clock = before;
  let positions = [0, 0];
  records.forEach((record, i) => {
    assert.equal(record.epoch, (head?.base.epoch as number) + 1 + i);
    assert.ok(clock <= record.startMs && record.startMs <= record.nowMs);
    clock = record.nowMs;
    const now = record.positions[0] ?? [];
    now.forEach((position, p) => void assert.ok(position >= (positions[p] as number)));
    positions = now;
  });
  assert.equal((positions[0] as number) + (positions[1] as number), 300);
  assert.ok(records.length > 0);
});

test('a journal whose last line was changed, or lost, is not cut anew: what went out would be lost, or doubled', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 2, rows(0, 1_000));
  const job = await start(dir, { epochBytes: '8KiB' });
  await allClosed(job, 1_000);
  await job.stop({ drain: false });
  const path = join(dir, 'state', JOURNAL_FILE);
  const whole = await readFile(path);
  const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
  const flipped = Buffer.from(whole);
  flipped[lastLine + 40] = (flipped[lastLine + 40] as number) ^ 1;
  for (const bytes of [flipped, whole.subarray(0, whole.length - 1), whole.subarray(0, lastLine)]) {
    await writeFile(path, bytes);
    await assert.rejects(start(dir), { code: 'ERR_MILLRACE_CORRUPT', message: /is damaged: it ends with epoch \d+, but .* Restore the file.*delete it/ });
  }
  await writeFile(path, whole);
  await (await start(dir, { bounded: true })).done;
  const ids = (await windows(dir)).filter((row) => (row['windowEnd'] as number) - (row['windowStart'] as number) === 40).map((row) => row['ids'] as string);
  assert.deepEqual([...new Set(ids.flatMap((text) => JSON.parse(text) as number[]))].length, 1_000);
});

test('a journal whose rows are gone is not made up for', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 1, rows(0, 1_000));
  const job = await start(dir, { sinkDelay: 50 });
  while (job.progress().rowsIn < 1_000) await sleep(5);
  await job.stop({ drain: false });
  await rm(join(dir, 'in', 'partition-0'), { recursive: true });
  await rm(join(dir, 'in', 'groups'), { recursive: true, force: true });
  await writeTopic(dir, 'in', 1, rows(0, 150));
  const again = await start(dir);
  await assert.rejects(again.done, {
    code: 'ERR_MILLRACE_CHECKPOINT',
    message: /cannot be repeated as the journal has it: partition 0 was cut at \d+, but it ends at 150/,
  });
});
