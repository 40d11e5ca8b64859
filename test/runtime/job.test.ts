/** Whole jobs on real threads: the same results however the work is cut and spread, and nothing lost on the way. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Job, type RunOptions, run, seededRng } from '../../runtime/index.ts';
import { results as oneKey } from './pipelines/one-key.ts';
import * as nested from './pipelines/windows-of-windows.ts';
import { until } from './until.ts';

const module = (name: string) => new URL(`./pipelines/${name}.ts`, import.meta.url);

async function finish(name: string, options: RunOptions): Promise<Job> {
  const job = await run(module(name), { trigger: 'availableNow', ...options });
  await job.done;
  return job;
}

const text = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).sort();

test('20,000 rows of one key, in 4 partitions at once, count to 20,000', async () => {
  for (const workers of [1, 2, 3]) {
    await finish('one-key', { workers, params: { rows: 20_000, partitions: 4 } });
    const last = oneKey.rows.at(-1);
    assert.deepEqual({ ...last }, { key: 'only', count: 20_000 }, `${workers} workers`);
  }
});

test('an aggregation of an aggregation, a fork and a plain stream agree with a loop', async () => {
  const rows = 60_000;
  const rng = seededRng(5);
  const minutes = new Map<string, { page: string; windowStart: number; windowEnd: number; clicks: number; sumMs: number }>();
  const slow: object[] = [];
  for (let i = 0; i < rows; i++) {
    rng.seek(i);
    const row = nested.rowAt(i, rng);
    if (row.ms > 990) slow.push(row);
    const windowStart = Math.floor(row.at / 60_000) * 60_000;
    const key = `${row.page} ${windowStart}`;
    const of = minutes.get(key) ?? { page: row.page, windowStart, windowEnd: windowStart + 60_000, clicks: 0, sumMs: 0 };
    of.clicks++;
    of.sumMs += row.ms;
    minutes.set(key, of);
  }
  const hours = new Map<string, { page: string; windowStart: number; windowEnd: number; clicks: number; busiest: number }>();
  for (const { page, windowStart, clicks } of minutes.values()) {
    const start = Math.floor(windowStart / 3_600_000) * 3_600_000;
    const of = hours.get(`${page} ${start}`) ?? { page, windowStart: start, windowEnd: start + 3_600_000, clicks: 0, busiest: 0 };
    of.clicks += clicks;
    of.busiest = Math.max(of.busiest, clicks);
    hours.set(`${page} ${start}`, of);
  }
  const expectedMinutes = [...minutes.values()].map(({ sumMs, ...rest }) => ({ ...rest, meanMs: sumMs / rest.clicks }));

  for (const options of [{ workers: 1 }, { workers: 2, batchRows: 64 }, { workers: 2, trigger: 20, bounded: true, drain: 'emit' }] as RunOptions[]) {
    const job = await finish('windows-of-windows', { ...options, params: { rows } });
    assert.deepEqual(text(nested.minutes.rows), text(expectedMinutes));
    assert.deepEqual(text(nested.hours.rows), text([...hours.values()]));
    assert.deepEqual(text(nested.slow.rows), text(slow));
    const { rowsIn, ledger } = job.progress();
    assert.equal(rowsIn, rows);
    assert.deepEqual(
      Object.values(ledger).filter((count) => count > 0),
      [],
    );
  }
});

test('progress tells rows, watermark and partitions while the job runs, and stays readable after', async () => {
  const job = await run(module('windows-of-windows'), { workers: 1, trigger: 50, bounded: true, drain: 'emit', params: { rows: 200_000 } });
  const seen: number[] = [];
  job.on('progress', (progress) => seen.push(progress.rowsIn));
  const summary = await job.done;
  const progress = job.progress();
  assert.equal(summary.rowsIn, 200_000);
  assert.equal(progress.rowsIn, 200_000);
  assert.equal(progress.partitions.length, 3);
  assert.equal(
    progress.partitions.reduce((sum, { rowsIn }) => sum + rowsIn, 0),
    200_000,
  );
  assert.ok(seen.every((rows, i) => i === 0 || rows >= (seen[i - 1] as number)));
});

test('a job that is stopped finishes what it has read', async () => {
  const job = await run(module('one-key'), { workers: 2, trigger: 10, params: { rows: 50_000_000, partitions: 2 } });
  await until(() => job.progress().rowsIn > 0, 'the first rows');
  const summary = await job.stop({ drain: true });
  assert.ok(summary.rowsIn > 0 && summary.rowsIn < 50_000_000, `${summary.rowsIn} rows`);
  assert.equal((oneKey.rows.at(-1) as { count: number }).count, summary.rowsIn);
});

test('one collect takes the rows of several streams, also when the job is run again', async (t) => {
  const { all } = await import('./pipelines/both.ts');
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const exactly: RunOptions = { guarantee: 'exactly-once', checkpoint: { dir } };
  for (const [upTo, options] of [
    [6, {}],
    [3, {}],
    [4, exactly],
    // It goes on behind the rows that it has collected, as long as the process lives.
    [9, exactly],
  ] as const) {
    await (await run(new URL('./pipelines/both.ts', import.meta.url), { workers: 2, ...options, params: { upTo } })).done;
    const one = Array.from({ length: upTo }, (_, at) => at + 1);
    const expected = [...one.map((n) => -n), ...one.filter((n) => n % 2 === 0)];
    assert.deepEqual([...all.rows].map(({ n }) => n).sort(byNumber), expected.sort(byNumber));
  }
});

const byNumber = (a: number, b: number) => a - b;
