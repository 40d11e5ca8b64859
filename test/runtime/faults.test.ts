/** What goes wrong ends with a clear error, or in the ledger: no hang, no crash of the process, no neighbour lost. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type RunOptions, run } from '../../runtime/index.ts';
import { results } from './pipelines/clicks.ts';
import { writeTopic } from './topics.ts';

const module = (name: string) => new URL(`./pipelines/${name}.ts`, import.meta.url);
const now: RunOptions = { workers: 2, trigger: 'availableNow', drain: 'emit' };

async function startOf(name: string, params: Record<string, unknown>): Promise<unknown> {
  const job = await run(module(name), { ...now, params });
  return job.done;
}

test('a module that is not there, exports nothing, or no pipeline', async () => {
  await assert.rejects(startOf('not-there', {}), { code: 'ERR_MILLRACE_MODULE', message: /not-there/ });
  await assert.rejects(startOf('empty', {}), { code: 'ERR_MILLRACE_MODULE', message: /no default export/ });
  await assert.rejects(startOf('faulty', { how: 'not a pipeline' }), { code: 'ERR_MILLRACE_MODULE', message: /is 42/ });
  await assert.rejects(startOf('faulty', { how: 'no sink' }), { code: 'ERR_MILLRACE_PIPELINE', message: /writes nothing/ });
});

test('a pipeline that names a missing column fails before a thread starts', async () => {
  await assert.rejects(run(module('faulty'), { ...now, params: { how: 'missing column' } }), { code: 'ERR_MILLRACE_PIPELINE', message: /"nope".*page, ms/ });
});

test('a user function that throws ends the job with its error, not the process', async () => {
  await assert.rejects(startOf('faulty', { how: 'throws' }), (error: Error & { code: string }) => {
    assert.equal(error.code, 'ERR_MILLRACE_USER_FUNCTION');
    assert.match(error.message, /no row like this/);
    assert.match(error.message, /filter/);
    assert.match(error.message, /77777/);
    return true;
  });
  await assert.rejects(startOf('faulty', { how: 'row throws' }), { code: 'ERR_MILLRACE_USER_FUNCTION', message: /row three/ });
});

test('a worker that dies ends the job', async () => {
  await assert.rejects(startOf('faulty', { how: 'exits' }), { code: /ERR_MILLRACE_(WORKER|USER_FUNCTION)/ });
});

test('wrong options name the option', async () => {
  await assert.rejects(run(module('one-key'), { workers: 0 }), { code: 'ERR_MILLRACE_OPTION', message: /workers is 0/ });
  await assert.rejects(run(module('one-key'), { trigger: '5x' as '5s' }), { code: 'ERR_MILLRACE_OPTION', message: /trigger.*5x/ });
  await assert.rejects(run(module('one-key'), { memory: '1TB' as '1GiB' }), { code: 'ERR_MILLRACE_OPTION', message: /memory/ });
});

test('an unknown topic is named, with those that exist', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeTopic(dir, 'other', 1, []);
  await assert.rejects(startOf('clicks', { dir }), { code: 'ERR_MILLRACE_TOPIC', message: /"in"/ });
});

test('values that are no clicks go to the ledger, and their neighbours are counted', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const good = Array.from({ length: 1_000 }, (_, i) => JSON.stringify({ page: `/p${i % 3}`, ms: i, at: i * 10 }));
  const bad = ['{"page":"/p0","ms":1,', 'nonsense', '', '{"page":7,"ms":1,"at":1}', '{"page":"/p1","ms":"fast","at":1}', '[1]', '{"page":"/p1","ms":1}'];
  const values = good.flatMap((value, i) => (i % 100 === 50 ? [value, bad[((i / 50) % bad.length) | 0] as string] : [value]));
  await writeTopic(dir, 'in', 2, values);
  const job = await run(module('clicks'), { ...now, params: { dir } });
  await job.done;
  const progress = job.progress();
  assert.equal(progress.ledger.undecodable, 10);
  assert.equal(progress.rowsIn, 1_010);
  assert.equal(
    results.rows.reduce((sum, row) => sum + (row['clicks'] as number), 0),
    1_000,
  );
  assert.equal(progress.samples.length, 10);
  for (const sample of progress.samples) {
    assert.equal(sample.reason, 'undecodable');
    assert.equal(sample.source, 'log in');
    assert.ok(sample.message.length > 10 && Number.isInteger(sample.offset));
  }
});
