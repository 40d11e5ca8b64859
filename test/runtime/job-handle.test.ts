/** The handle of a job: pause and resume, an AbortSignal, and the end of a block that is `await using`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, type RunOptions, run } from '../../runtime/index.ts';
import type { Params } from './pipelines/observed.ts';
import { results as oneKey } from './pipelines/one-key.ts';
import { until } from './until.ts';

const observed = new URL('./pipelines/observed.ts', import.meta.url);
const start = (params: Params, options: RunOptions = {}) => run(observed, { workers: 1, trigger: 10, ...options, params: { ...params } });
const endless: Params = { rows: 100_000_000, rowsPerSecond: 5_000 };
const counting = (rows: number, options: RunOptions = {}) =>
  run(new URL('./pipelines/one-key.ts', import.meta.url), { workers: 1, trigger: 10, epochBytes: '64KiB', ...options, params: { rows, partitions: 2 } });

/** What was on its way is in: nothing comes any more. */
async function atRest(job: Job): Promise<number> {
  let before = -1;
  await until(async () => {
    const { rowsIn, epochsUnderWay } = job.progress();
    const isSame = rowsIn === before && epochsUnderWay === 0;
    before = rowsIn;
    await sleep(50);
    return isSame;
  }, 'the rest');
  return before;
}

test('pause takes in nothing more, and finishes what was read; resume goes on, and nothing is lost', async () => {
  const rows = 400_000;
  const job = await counting(rows);
  await until(() => job.progress().rowsOut > 0, 'output');
  job.pause();
  job.pause();
  assert.equal(job.state, 'paused');
  const paused = await atRest(job);
  assert.ok(paused < rows, `${paused} rows came before the pause`);
  await until(() => oneKey.rows.at(-1)?.['count'] === paused, 'what was read');
  await sleep(100);
  assert.equal(job.progress().rowsIn, paused);
  // Those who asked for it are no back-pressure.
  const { output } = job.progress().backPressure;
  assert.equal(output, 0);
  job.resume();
  assert.notEqual(job.state, 'paused');
  const { rowsIn } = await job.done;
  assert.deepEqual([rowsIn, oneKey.rows.at(-1)?.['count']], [rows, rows]);
});

test('a job that is paused can be stopped', async () => {
  const job = await start(endless);
  await until(() => job.progress().rowsIn > 0, 'rows');
  job.pause();
  const { rowsIn } = await job.stop();
  assert.ok(rowsIn > 0);
  assert.equal(job.state, 'stopped');
  // Nothing happens any more.
  job.pause();
  job.resume();
  assert.equal(job.state, 'stopped');
});

test('a signal stops the job as stop does; one that is aborted already does not start it', async () => {
  const controller = new AbortController();
  const job = await start(endless, { signal: controller.signal });
  await until(() => job.progress().rowsOut > 0, 'output');
  controller.abort();
  const summary = await job.done;
  assert.ok(summary.rowsIn > 0);
  assert.equal(job.state, 'stopped');

  const early = start(endless, { signal: AbortSignal.abort(new Error('not today')) });
  await assert.rejects(early, /not today/);
  const meanwhile = new AbortController();
  const starting = start(endless, { signal: meanwhile.signal });
  meanwhile.abort();
  // Too late to reject: it starts, and stops.
  await starting.then(
    (job) => job.done,
    (error) => assert.equal(error, meanwhile.signal.reason),
  );
});

/** As `await using` does, which not every Node can parse. */
async function using(job: Job, block: () => Promise<void>): Promise<void> {
  try {
    await block();
  } finally {
    await job[Symbol.asyncDispose]();
  }
}

test('await using stops the job at the end of the block', async () => {
  const job = await start(endless);
  await using(job, () => until(() => job.progress().rowsIn > 0, 'rows'));
  assert.equal(job.state, 'stopped');
  assert.ok(job.progress().rowsIn > 0);
});

test('await using throws what ends the job, unless somebody was told', async () => {
  const disposed = async (isTold: boolean): Promise<void> => {
    const job = await start(endless, { sinkDelay: '2s', drainTimeout: 1 });
    let failure: unknown;
    if (isTold) job.done.catch((error: unknown) => (failure = error));
    await using(job, () => until(() => job.progress().rowsIn > 0, 'rows'));
    assert.match(String(failure), /could not finish within 1 ms/);
  };
  await assert.rejects(disposed(false), { code: 'ERR_MILLRACE_WORKER', message: /could not finish within 1 ms/ });
  await disposed(true);
});
