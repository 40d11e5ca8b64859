/** A job that fails, stands still or loses something says so: what used to end with exit code 0, or with no word at all. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Job, type JobState, MillraceError, type RunOptions, run } from '../../runtime/index.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { type Ended, startCli, startProcess } from './cli-process.ts';
import { begins, results, waits } from './pipelines/silence.ts';
import { until } from './until.ts';

const silence = new URL('./pipelines/silence.ts', import.meta.url);

function start(how: string, options: RunOptions = {}, params: Record<string, unknown> = {}): Promise<Job> {
  return run(silence, { workers: 1, trigger: '20ms', ...options, params: { how, ...params } });
}

async function failureOf(job: Job): Promise<MillraceError> {
  const error = await job.done.then(
    () => assert.fail('the job did not fail'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof MillraceError, String(error));
  return error;
}

/** A program that starts a job of this pipeline and then does what `then` says. */
function program(how: string, then: string): Promise<Ended> {
  const text = `
    import { run } from './runtime/index.ts';
    const job = await run(new URL('./test/runtime/pipelines/silence.ts', 'file://${process.cwd()}/'), { workers: 1, trigger: '20ms', params: { how: '${how}' } });
    ${then}
  `;
  return startProcess([...TYPESCRIPT, '--input-type=module', '--eval', text]).ended;
}

test('a job that fails while nobody looks is an unhandled rejection', async () => {
  const unseen = await program('throws', '');
  assert.equal(unseen.code, 1, unseen.stderr);
  assert.match(unseen.stderr, /row fifty/);
  // Whoever looks deals with it: three jobs, each looked at in another way.
  const looks = ['job.done.catch(() => {});', "job.on('error', () => {});", "job.on('stopped', () => {});"];
  const again =
    "run(new URL('./test/runtime/pipelines/silence.ts', 'file://' + process.cwd() + '/'), { workers: 1, trigger: '20ms', params: { how: 'throws' } })";
  const seen = await program('throws', looks.map((look, at) => (at === 0 ? look : `{ const job = await ${again}; ${look} }`)).join('\n'));
  assert.deepEqual([seen.code, seen.stderr], [0, '']);
});

test('what row functions print comes out, whole and in order, however short the job', async () => {
  const { code, stdout, stderr } = await program('prints', 'await job.done;');
  assert.equal(code, 0, stderr);
  assert.equal(stdout, Array.from({ length: 100 }, (_, i) => `row ${i}\n`).join(''));
  assert.equal(stderr, 'an error line, ünïcödé\n');
});

test('what row functions print comes out while the job runs', async () => {
  const text = `
    import { run } from './runtime/index.ts';
    const job = await run(new URL('./test/runtime/pipelines/silence.ts', 'file://${process.cwd()}/'), { workers: 1, params: { how: 'prints while it runs' } });
    process.on('SIGTERM', () => job.stop());
    await job.done;
  `;
  const running = startProcess([...TYPESCRIPT, '--input-type=module', '--eval', text]);
  await until(() => running.stdout().includes('row 4\n'), 'the rows to be printed');
  running.child.kill('SIGTERM');
  assert.equal((await running.ended).stdout, 'row 0\nrow 1\nrow 2\nrow 3\nrow 4\n');
});

test('what a function left running and what then fails ends the job', async () => {
  for (const how of ['rejects', 'async throws', 'timer throws', 'tick throws', 'timer throws later']) {
    const error = await failureOf(await start(how, { workers: how === 'rejects' ? 2 : 1 }));
    assert.equal(error.code, 'ERR_MILLRACE_USER_FUNCTION', how);
    assert.match(error.message, /in worker \d: left alone\. A function of the pipeline left it running/, how);
    assert.match(String(error.cause), /silence\.ts/, `${how}: the place is told`);
  }
});

test('a function that never returns is named, and a stop does not wait for it for ever', async () => {
  const job = await start('never returns', { workers: 1, drainTimeout: '20ms' });
  const [warning] = await once(job, 'warning');
  const stopped = job.stop();
  assert.equal(job.state, 'draining');
  const named = /Worker 0 has been at the row at offset 10003 of partition 0 of generator, in filter, map for \d+ s/;
  assert.match(warning, named);
  await assert.rejects(stopped, (error: MillraceError) => {
    assert.equal(error.code, 'ERR_MILLRACE_WORKER');
    assert.match(error.message, /could not finish within 20 ms/);
    assert.match(error.message, named);
    return true;
  });
  assert.equal(job.state, 'failed');
});

test('the command line says what a signal does, and a second one ends at once', async () => {
  const cli = startCli(['run', 'test/runtime/pipelines/silence.ts', '--param', 'how=never returns', '--workers', '1']);
  await until(() => /rows in/.test(cli.stderr()), 'progress');
  cli.child.kill('SIGTERM');
  await until(() => /a second signal ends at once/.test(cli.stderr()), 'the answer to the signal');
  cli.child.kill('SIGTERM');
  const { code, signal, stderr } = await cli.ended;
  assert.deepEqual([code, signal], [143, null], stderr);
  assert.match(stderr, /ends at once\. What was not committed is read again/);
});

test('state in the heap counts against memory', async () => {
  const error = await failureOf(await start('state grows', { workers: 2, memory: '64MiB' }));
  assert.equal(error.code, 'ERR_MILLRACE_MEMORY');
  assert.match(error.message, /The state of the job takes about \d+ MiB, more than the 64 MiB that the option memory allows/);
});

test('a heap that is full is an error of the job, not the end of the process', async () => {
  const error = await failureOf(await start('heap grows', { memory: '32MiB', workers: 1 }));
  assert.equal(error.code, 'ERR_MILLRACE_MEMORY');
  assert.match(error.message, /Worker 0 ran out of heap, of which it may have 1120 MiB/);
});

test('a source that cannot be opened says why, and leaves the checkpoint to the next start', async (t) => {
  const dir = await folder(t);
  const options: RunOptions = { checkpoint: { dir: join(dir, 'state') } };
  const path = join(dir, 'missing.json');
  await assert.rejects(start('file', options, { path }), { code: 'ERR_MILLRACE_FILE' });
  await writeFile(path, '{"i":1}\n');
  const job = await start('file', options, { path });
  assert.equal((await job.done).rowsIn, 1);
});

test('rows that cannot be decoded: a warning when none can, and an end where a policy says so', async (t) => {
  const dir = await folder(t);
  const write = async (name: string, rows: number, isGood: (i: number) => boolean) => {
    const path = join(dir, name);
    await writeFile(path, Array.from({ length: rows }, (_, i) => (isGood(i) ? `{"i":${i}}\n` : `not json ${i}\n`)).join(''));
    return path;
  };
  const none = await write('none', 3, () => false);
  const some = await write('some', 5_000, (i) => i % 50 !== 0);
  const warnings = async (path: string, options: RunOptions = {}) => {
    const job = await start('file', options, { path });
    const told: string[] = [];
    job.on('warning', (message) => told.push(message));
    await job.done;
    return told;
  };
  const [warning, ...more] = await warnings(none);
  assert.match(warning ?? '', /Not one of the 3 rows of files .* could be decoded\. The first: offset \d+: /);
  assert.deepEqual(more, []);
  assert.deepEqual(await warnings(some), []);
  assert.deepEqual(await warnings(some, { badRows: { fail: { above: 0.02 } } }), [], 'just not more than 2 %');
  for (const badRows of ['fail', { fail: { above: 0.019 } }] as const) {
    const error = await failureOf(await start('file', { workers: 2, badRows }, { path: some }));
    assert.equal(error.code, 'ERR_MILLRACE_CODEC');
    // How many of them were counted by then, and whether a sample had come, is a matter of threads.
    assert.match(error.message, /^[1-9]\d* of [1-9]\d* rows were bad, which badRows: .* does not allow/);
    assert.deepEqual(results.rows, [], 'nothing of the epoch was written');
  }
});

test('the lag is unknown and the state says so until a source has its partitions', async () => {
  const job = await start('late group');
  const states: JobState[] = [job.state];
  assert.equal(job.progress().lag, undefined);
  assert.equal(job.progress().partitions[0]?.lag, undefined);
  const warned = once(job, 'warning');
  waits('127.0.0.1:9 does not answer');
  assert.match((await warned)[0], /The source memory waits: 127\.0\.0\.1:9 does not answer/);
  states.push(job.state);
  waits(undefined);
  begins();
  await until(() => job.progress().rowsIn === 1, 'the row');
  states.push(job.state);
  assert.equal(job.progress().lag, 0);
  assert.equal(job.progress().state, job.state);
  await assert.rejects(job.stop({ drian: true } as never), /there is no option "drian"\. Did you mean drain\?/);
  await job.stop();
  states.push(job.state);
  assert.deepEqual(states, ['joining', 'waiting', 'running', 'stopped']);
});

test('a partition without rows that holds all windows open is named, with what to do', async () => {
  const job = await start('silent partition');
  const [message] = await once(job, 'warning');
  assert.match(message, /^No window closes: partition 0 of iterable holds the watermark back: no row of it has come yet, while others are at 1970-/);
  assert.match(message, /withWatermark\("at", delay, \{ idle: '30s' \}\)/);
  await job.stop();
});

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-silence-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}
