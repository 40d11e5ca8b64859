/**
 * Sources, sinks, functions and modules of the user's that fail while a job runs: the job ends with an error that says
 * whose fault it is, everything that was open is closed, and neither the process nor another job notices.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Job, MillraceError, type RunOptions, run } from '../../runtime/index.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { startProcess } from './cli-process.ts';
import { results as oneKey } from './pipelines/one-key.ts';
import { calls, results } from './pipelines/trouble.ts';
import { until } from './until.ts';

const trouble = new URL('./pipelines/trouble.ts', import.meta.url);

/** One worker, where the number of them is not the point: to start one takes longer than all that it then does. */
function start(how: string, options: RunOptions = {}, params: Record<string, unknown> = {}): Promise<Job> {
  calls.length = 0;
  return run(trouble, { workers: 1, trigger: 'availableNow', drain: 'emit', ...options, params: { how, ...params } });
}

async function failureOf(how: string, options: RunOptions = {}, params: Record<string, unknown> = {}): Promise<MillraceError> {
  try {
    const job = await start(how, options, params);
    await job.done;
  } catch (error) {
    assert.ok(error instanceof MillraceError, `${how}: ${error}`);
    return error;
  }
  return assert.fail(`${how}: the job did not fail`);
}

/** Everything that was opened was closed. */
function assertClosed(how: string): void {
  const named = (verb: string) =>
    calls
      .filter((call) => call.startsWith(verb))
      .map((call) => call.slice(verb.length))
      .sort();
  assert.deepEqual(named('close '), named('open '), how);
}

test('sinks that fail', async () => {
  const cases: [string, RegExp][] = [
    ['third write', /sink troubled failed: disk full/],
    ['write throws', /sink troubled failed: disk full/],
    ['sink commit', /sink troubled failed: no commit/],
    ['sink commit throws', /sink troubled failed: no commit/],
  ];
  for (const [at, [how, message]] of cases.entries()) {
    const error = await failureOf(how, { workers: at === 0 ? 2 : 1 });
    assert.equal(error.code, 'ERR_MILLRACE_SINK', how);
    assert.match(error.message, message);
    assert.ok(error.cause instanceof RangeError, `${how}: the cause is kept`);
    assertClosed(how);
    assert.equal(results.rows.length, 0, `${how}: nothing was committed`);
  }
});

test('a sink that cannot be opened: the others are closed again', async () => {
  const error = await failureOf('sink open');
  assert.equal(error.code, 'ERR_MILLRACE_SINK');
  const second = await failureOf('second sink open');
  assert.match(second.message, /sink second cannot be opened: no such table/);
  assert.deepEqual(calls, ['open first', 'open second', 'close first']);
});

test('a sink that cannot be closed does not undo what is committed', async () => {
  const job = await start('sink close');
  assert.equal((await job.done).rowsOut, 20_000);
  assert.equal(results.rows.length, 20_000);
});

test('sources that fail', async () => {
  const cases: [string, RegExp][] = [
    ['source open', /source generator cannot be opened: no such host/],
    ['source positions', /source generator failed: no positions/],
    ['source start', /source generator failed: cannot start/],
    ['source commit', /source generator failed to commit its positions: position lost/],
    ['source breaks', /iterator failed behind row 5000: connection reset/],
  ];
  for (const [how, message] of cases) {
    const error = await failureOf(how, { workers: how === 'source breaks' ? 2 : 1 });
    assert.equal(error.code, 'ERR_MILLRACE_SOURCE', how);
    assert.match(error.message, message);
    if (how === 'source open') assert.deepEqual(calls, ['open troubled', 'close troubled'], 'the sink, which was open already');
    else if (how !== 'source breaks') assertClosed(how);
  }
  const row = await failureOf('source row');
  assert.equal(row.code, 'ERR_MILLRACE_SCHEMA');
  assert.match(row.message, /row 700 .*"n" holds u32.*"many"/);
});

test('functions that throw, behind any operation: which one, on which row, why', async () => {
  const cases: [string, RegExp][] = [
    ['map behind aggregate', /map #1 failed on row \d+ \{"n": 777\}: RangeError: no map/],
    ['mapBatches throws', /mapBatches #1 failed.*no batch/],
    ['forEachBatch throws', /forEachBatch failed in epoch 0, shard \d+: no batch for me/],
    ['key throws', /\{"n": 4321\}: RangeError: no key \(generator, partition 1, in the rows from offset 0 to 10000\)/],
    ['map gives nothing', /\{"n": 99\}: TypeError: the function gave undefined/],
    ['map gives a text', /\{"n": 99\}: Column "n" holds u32, but the value is "ninety-nine"/],
    ['map gives no time', /Column "at" holds timestamp, but the value is NaN/],
    ['throws null', /filter #1 failed on row \d+ \{"n": 5, "at": 5\}: null/],
  ];
  for (const [how, message] of cases) {
    // Where a row fails in one worker, the other is to end, too.
    const error = await failureOf(how, { workers: how === 'map behind aggregate' || how === 'key throws' ? 2 : 1 });
    assert.equal(error.code, 'ERR_MILLRACE_USER_FUNCTION', how);
    assert.match(error.message, message);
  }
  const interpreted = await failureOf('throws null', { codeGeneration: false });
  assert.match(interpreted.message, /filter #1 failed on row \d+ \{"n": 5, "at": 5\}: null/);
});

test('what a function leaves behind ends the job when it fails, though nobody waits for it', async () => {
  for (const [how, message] of [
    ['floating rejection', /nobody looks/],
    ['timer throws', /from a timer/],
  ] as const) {
    const error = await failureOf(how, { workers: 2 });
    assert.equal(error.code, 'ERR_MILLRACE_USER_FUNCTION', how);
    assert.match(error.message, message);
  }
});

test('a row that becomes a thousand', async () => {
  await (await start('flatMap 1000', { workers: 2 })).done;
  const sumOf = (20_000 * 19_999) / 2;
  // Epochs are small where rows become many: a key may have several updates.
  const last = new Map(results.rows.map((row) => [row['k'], row]));
  assert.equal(last.size, 1_000);
  for (const row of last.values()) assert.deepEqual({ rows: row['rows'], sum: row['sum'] }, { rows: 20_000, sum: sumOf });
  assert.equal((await (await start('flatMap 1000 out', {}, { rows: 500 })).done).rowsOut, 500_000);
});

test('a module that is another one in the worker', async () => {
  assert.match(
    (await failureOf('another in the worker', { workers: 2 })).message,
    /another pipeline in a worker than on the main thread: .*sink 1 changed \(schema was "\\"n\\":u32", is "\\"n\\":f64"\)/,
  );
  const error = await failureOf('throws in the worker');
  assert.equal(error.code, 'ERR_MILLRACE_MODULE');
  assert.match(error.message, /I do not like threads/);
});

test('more state, or more output, than fits into the memory', async () => {
  const cases: [string, RunOptions, number][] = [
    ['many keys', {}, 2_000_000],
    ['many keys', { trigger: 20, bounded: true, drain: 'emit' }, 2_000_000],
    ['many windows', {}, 2_000_000],
    ['long keys', {}, 200_000],
    ['flatMap 1000 out', {}, 200_000],
    ['large rows', {}, 200],
  ];
  for (const [how, options, rows] of cases) {
    const error = await failureOf(how, { workers: how === 'many keys' || how === 'many windows' ? 2 : 1, memory: '32MiB', ...options }, { rows });
    assert.equal(error.code, 'ERR_MILLRACE_MEMORY', how);
    assert.match(error.message, /memory budget is used up: \d+ bytes asked for, \d+ of \d+ in use\. Raise the memory option/);
  }
});

test('a worker that runs out of heap ends its job; the process goes on', async () => {
  const program = `
    import { run } from './runtime/index.ts';
    const start = (how) => run(new URL('./test/runtime/pipelines/trouble.ts', ${JSON.stringify(new URL('../../', import.meta.url).href)}), { workers: 2, trigger: 'availableNow', drain: 'emit', params: { how } });
    const failed = await (await start('heap')).done.catch((error) => error);
    const { rowsIn } = await (await start('flatMap 1000')).done;
    console.log(JSON.stringify({ code: failed.code, message: failed.message, rowsIn }));`;
  const { code, stdout, stderr } = await startProcess(['--max-old-space-size=80', ...TYPESCRIPT, '--input-type=module', '--eval', program]).ended;
  assert.equal(code, 0, stderr);
  const said = JSON.parse(stdout) as { code: string; message: string; rowsIn: number };
  assert.equal(said.code, 'ERR_MILLRACE_MEMORY');
  assert.match(said.message, /heap/);
  assert.equal(said.rowsIn, 20_000);
});

test('endless input is stopped: with what was read counted, or at once', async () => {
  for (const how of ['endless', 'endless iterable']) {
    const drained = await start(how, { workers: 2, trigger: 10 });
    await until(() => drained.progress().rowsIn > 0, `rows of ${how}`);
    const { rowsIn } = await drained.stop();
    const last = new Map(results.rows.map((row) => [row['n'], row['count'] as number]));
    assert.equal(
      [...last.values()].reduce((sum, n) => sum + n, 0),
      rowsIn,
      `${how}: what was read was counted`,
    );
    await drained.done;

    const dropped = await start(how, { trigger: 10 });
    await until(() => dropped.progress().rowsIn > 0, `rows of ${how}`);
    await dropped.stop({ drain: false });
    await dropped.done;
  }
});

test('stop: twice, at once, from a progress handler, after the end', async () => {
  const twice = await start('endless', { workers: 2, trigger: 10 });
  await until(() => twice.progress().rowsIn > 0, 'rows');
  const [first, second] = await Promise.all([twice.stop(), twice.stop()]);
  assert.deepEqual(first, second);
  assert.deepEqual(await twice.stop(), first);

  const impatient = await start('endless', { trigger: 10 });
  const draining = impatient.stop();
  await impatient.stop({ drain: false });
  await draining;

  const atOnce = await start('endless', { trigger: 10 });
  await atOnce.stop();
  await (await start('endless', { workers: 2, trigger: 10 })).stop({ drain: false });

  const handled = await start('endless', { trigger: 10 });
  let stopped: Promise<unknown> | undefined;
  handled.on('progress', () => {
    stopped ??= handled.stop();
  });
  await handled.done;
  await stopped;

  const over = await start('no rows');
  await over.done;
  assert.equal((await over.stop()).rowsIn, 0);
  await over.stop({ drain: false });
});

test('stop of a job that has failed, or fails meanwhile', async () => {
  const job = await start('third write', { workers: 2, trigger: 10, bounded: true, drain: 'emit' });
  await assert.rejects(job.done, { code: 'ERR_MILLRACE_SINK' });
  await job.stop();
  await job.stop({ drain: false });
  const other = await start('third write', { trigger: 'availableNow', drain: 'emit' });
  await assert.rejects(other.stop({ drain: true }), { code: 'ERR_MILLRACE_SINK' });
});

test('a function that never returns, a module that never loads, a write that never ends: a stop without drain ends them', async () => {
  for (const how of ['spins', 'waits in the worker', 'write hangs']) {
    const stuck = new Int32Array(new SharedArrayBuffer(4));
    const job = await start(how, { workers: 2, trigger: 10 }, { stuck });
    await until(() => Atomics.load(stuck, 0) > 0, how);
    await job.stop({ drain: false });
    await job.done;
  }
});

test('failures are told by event too; who listens to any of them has looked', async () => {
  const job = await start('key throws');
  const told: unknown[] = [];
  job.on('error', (error) => told.push(error));
  job.on('stopped', (summary) => told.push(summary));
  const error = await job.done.catch((reason) => reason);
  assert.equal(told[0], error);
  assert.equal(told.length, 2);
  // Nobody awaits it, but somebody hears that it stopped: an unhandled rejection would fail this test.
  const heard = await start('key throws');
  await new Promise<void>((resolve) => heard.on('stopped', () => resolve()));
  await new Promise((resolve) => setImmediate(resolve));
});

test('two jobs at once, of one module with different params, do not see each other', async () => {
  const one = run(new URL('./pipelines/one-key.ts', import.meta.url), {
    workers: 2,
    trigger: 20,
    bounded: true,
    drain: 'emit',
    params: { rows: 300_000, partitions: 3 },
  });
  const other = start('flatMap 1000', { trigger: 20, bounded: true, drain: 'emit' }, { rows: 2_000 });
  const failing = failureOf('key throws');
  await Promise.all([(await one).done, (await other).done, failing]);
  assert.equal((oneKey.rows.at(-1) as { count: number }).count, 300_000);
  assert.equal((await (await other).done).rowsIn, 2_000);
});

test('ten jobs one after the other, some of which fail: no thread and no handle stays, and the process ends by itself', async () => {
  const program = `
    import { run } from './runtime/index.ts';
    import { readdirSync } from 'node:fs';
    const base = ${JSON.stringify(new URL('../../', import.meta.url).href)};
    const threads = () => readdirSync('/proc/self/task').length;
    const counts = [];
    for (let i = 0; i < 10; i++) {
      const how = ['flatMap 1000', 'third write', 'key throws', 'endless', 'source breaks'][i % 5];
      const job = await run(new URL('./test/runtime/pipelines/trouble.ts', base), { workers: 2, trigger: how === 'endless' ? 10 : 'availableNow', params: { how, rows: 2_000 } }).catch(() => undefined);
      if (how === 'endless') await job.stop({ drain: i < 5 });
      await job?.done.catch(() => {});
      if (process.platform === 'linux') counts.push(threads());
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    const handles = process.getActiveResourcesInfo().filter((kind) => /Worker|MessagePort|Timeout|TCP/.test(kind));
    console.log(JSON.stringify({ counts, handles }));`;
  const { code, signal, stdout, stderr } = await startProcess([...TYPESCRIPT, '--input-type=module', '--eval', program]).ended;
  assert.equal(signal, null, `it did not end by itself: ${stderr}`);
  assert.equal(code, 0, stderr);
  const { counts, handles } = JSON.parse(stdout) as { counts: number[]; handles: string[] };
  assert.ok(counts.length === 0 || (counts.at(-1) as number) <= (counts[0] as number) + 1, `threads: ${counts}`);
  assert.deepEqual(handles, []);
});
