/**
 * Worker threads that die, hang or leave something running that fails, and state that is damaged on disk: the job goes on from its last
 * checkpoint in the same process, and what comes out is as if nothing had been. At most so often, then it ends with the cause.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunOptions, run } from '../../runtime/index.ts';
import { frameBytes, readFrameHead } from '../../runtime/state-log/frames.ts';
import { shareOf } from '../seed.ts';
import type { Params } from './pipelines/dying.ts';
import { writeTopic } from './topics.ts';
import { until } from './until.ts';

const module = new URL('./pipelines/dying.ts', import.meta.url);
const ROWS = 2_000;
const KEYS = 5;

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const rows = Array.from({ length: ROWS }, (_, id) => JSON.stringify({ id, key: `k${id % KEYS}`, n: 1, at: id }));
  await writeTopic(dir, 'in', 1, rows);
  return dir;
}

const start = (dir: string, params: Partial<Params>, options: RunOptions = {}) =>
  run(module, {
    workers: 2,
    trigger: 10,
    bounded: true,
    drain: 'emit',
    guarantee: 'exactly-once',
    checkpoint: { dir: join(dir, 'state'), interval: 20 },
    epochBytes: '16KiB',
    ...options,
    params: { dir, fault: 'none', at: 1_234, ...params },
  });

async function lines(dir: string, name: string): Promise<Record<string, number | string>[]> {
  const names = (await readdir(join(dir, name)).catch(() => [])).filter((file) => !file.startsWith('.'));
  const texts = await Promise.all(names.map((file) => readFile(join(dir, name, file), 'utf8')));
  return texts.flatMap((text) => text.trimEnd().split('\n')).map((line) => JSON.parse(line) as Record<string, number | string>);
}

/** Every window once and whole, and the rows of each key numbered without a gap. */
async function isExact(dir: string): Promise<void> {
  const windows = await lines(dir, 'windows');
  assert.equal(windows.length, (ROWS / 100) * KEYS);
  for (const { rows, n } of windows) assert.deepEqual([rows, n], [100 / KEYS, 100 / KEYS]);
  const numbers = await lines(dir, 'numbers');
  for (let key = 0; key < KEYS; key++) {
    const of = numbers.filter((row) => row['key'] === `k${key}`).map((row) => row['number'] as number);
    assert.deepEqual(
      of.sort((a, b) => a - b),
      Array.from({ length: ROWS / KEYS }, (_, i) => i + 1),
    );
  }
}

for (const [fault, message] of shareOf([
  ['exit', /died|left/],
  ['rejection', /A promise was rejected that nobody handles.*nobody waits for this/],
  ['throw', /A callback threw.*a timer that throws/],
  ['loop', /Worker \d has been at the row at offset \d+ of partition 0 of log in, in map for \d+ s. It does not return/],
  ['heap', /ran out of heap/],
] as const)) {
  test(`${fault}, once: the job goes on, and nothing is lost or doubled`, async (t) => {
    const dir = await folder(t);
    const job = await start(dir, { fault }, fault === 'loop' ? { restarts: { hangs: '1s' } } : { memory: '32MiB', restarts: { hangs: '10m' } });
    const warnings: string[] = [];
    job.on('warning', (warning) => warnings.push(warning));
    await job.done;
    assert.equal(job.progress().restarts, 1);
    assert.equal(job.state, 'stopped');
    assert.match(warnings.join('\n'), message);
    assert.match(warnings.join('\n'), /The job goes on from its last checkpoint/);
    await isExact(dir);
  });
}

test('a failure that comes each time ends the job, with the cause and how often it was tried', async (t) => {
  const dir = await folder(t);
  const job = await start(dir, { fault: 'exit', isOnce: false }, { restarts: { times: 2 } });
  job.on('warning', () => {});
  await assert.rejects(job.done, { code: 'ERR_MILLRACE_WORKER', message: /started again 2 times, and has failed 3 times within 600 s/ });
  assert.equal(job.state, 'failed');
  // And a start without the fault goes on from where it was.
  await (await start(dir, {})).done;
  await isExact(dir);
});

test('without a checkpoint the first failure ends the job; with times: 0, too', async (t) => {
  const dir = await folder(t);
  const { checkpoint: _, ...plain } = { checkpoint: undefined, guarantee: 'at-least-once' } as const;
  const job = await run(module, { workers: 1, bounded: true, ...plain, params: { dir, fault: 'exit', at: 10 } });
  await assert.rejects(job.done, { code: 'ERR_MILLRACE_WORKER' });
  const other = await start(dir, { fault: 'exit', at: 20, isOnce: false }, { restarts: { times: 0 } });
  await assert.rejects(other.done, { code: 'ERR_MILLRACE_WORKER' });
});

test('state that is damaged on disk: the checkpoint before falls in, with a warning, and nothing is lost or doubled', async (t) => {
  const dir = await folder(t);
  const job = await start(dir, { fault: 'exit', isOnce: false }, { restarts: { times: 0 } });
  await assert.rejects(job.done);
  const state = join(dir, 'state');
  // The newest, and the one before; older ones go once the newest is durable.
  const manifests = (await readdir(state))
    .filter((name) => name.endsWith('.manifest'))
    .sort()
    .slice(-2);
  assert.equal(manifests.length, 2);
  const of = async (name: string) => {
    const text = await readFile(join(state, name), 'utf8');
    return JSON.parse(text.slice(text.indexOf('\n'))) as { checkpoint: number; segments: { name: string; to: number }[] };
  };
  const [before, newest] = [await of(manifests[0] as string), await of(manifests[1] as string)];
  assert.ok(newest.checkpoint > before.checkpoint);
  // A bit of the last frame that counts for the newest one, and for no other.
  const segment = join(state, newest.segments.at(-1)?.name as string);
  const bytes = await readFile(segment);
  let last = -1;
  for (let at = 0, head = readFrameHead(bytes, bytes.length); head !== undefined; head = readFrameHead(bytes.subarray(at), bytes.length - at)) {
    if (head.epoch === newest.checkpoint) last = at;
    at += frameBytes(head.bodyBytes);
  }
  bytes[last + 6] = (bytes[last + 6] as number) ^ 1;
  await writeFile(segment, bytes);
  const again = await start(dir, {});
  const warnings: string[] = [];
  again.on('warning', (warning) => warnings.push(warning));
  await again.done;
  assert.match(warnings.join('\n'), /The segment .* is damaged: .* The job goes on from the checkpoint before that one/);
  await isExact(dir);
});

test('a manifest that is damaged: the one before falls in, and what was final is not written again', async (t) => {
  const dir = await folder(t);
  const job = await start(dir, { fault: 'exit', isOnce: false }, { restarts: { times: 0 } });
  await assert.rejects(job.done);
  const state = join(dir, 'state');
  const newest = join(
    state,
    (await readdir(state))
      .filter((name) => name.endsWith('.manifest'))
      .sort()
      .at(-1) as string,
  );
  const bytes = await readFile(newest);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  await writeFile(newest, bytes);
  const warnings: string[] = [];
  const warn = (warning: Error) => warnings.push(warning.message);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  await (await start(dir, {})).done;
  assert.match(warnings.join('\n'), /is damaged/);
  await isExact(dir);
});

test('a run that is started again behind its end, with no more rows, puts nothing out again', async (t) => {
  // As after a kill between the last commit and the end of the process: what was open has come out.
  const dir = await folder(t);
  for (let run = 0; run < 3; run++) await (await start(dir, {})).done;
  await isExact(dir);
});

test('results become visible at the interval, though no more rows come', async (t) => {
  const dir = await folder(t);
  // The one window that is open waits for rows; the numbers do not.
  const job = await start(dir, {}, { bounded: false, checkpoint: { dir: join(dir, 'state'), interval: 300 } });
  await until(async () => (await lines(dir, 'numbers')).length === ROWS, 'the numbers of all rows');
  assert.equal(job.state, 'running');
  await job.stop({ drain: 'emit' });
  await isExact(dir);
});

test('a stop while the job is being started again ends it', async (t) => {
  const dir = await folder(t);
  const job = await start(dir, { fault: 'exit' }, { bounded: false });
  job.on('warning', () => {});
  while (job.state !== 'restoring' && job.progress().restarts === 0) await sleep(1);
  await job.stop();
  assert.equal(job.state, 'stopped');
});
