/**
 * Batches that decompress to more than is taken, in whole jobs on the log: the ledger and the dead letter
 * have them, the job goes on, and a restart too.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MillraceError, type RunOptions, run } from '../../runtime/index.ts';
import { kafkaBatch } from '../io/record-batch-harness.ts';
import { errors, type Params, rows } from './pipelines/compressed-poison.ts';
import { writeBatches } from './topics.ts';

const pipeline = new URL('./pipelines/compressed-poison.ts', import.meta.url);
const MIB = 1 << 20;
const GOOD = 5;
const good = (n: number) =>
  kafkaBatch(Array.from({ length: GOOD }, (_, i) => ({ key: null, value: Buffer.from(`good ${n * GOOD + i}`), timestamp: 1_700_000_000_000 })));

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function read(dir: string, options: RunOptions, params: Partial<Params> = {}) {
  const job = await run(pipeline, { trigger: 'availableNow', memory: '64MiB', ...options, params: { dir, ...params } });
  await job.done;
  return job;
}

test('poison of each compression between good batches: every good row comes, at every start', async (t) => {
  const dir = await folder(t);
  // Two workers and 64 MiB: 8 MiB are taken.
  const bomb = Buffer.alloc(9 * MIB);
  const batches: { partition: number; bytes: Uint8Array }[] = [];
  let poisoned = 0;
  let n = 0;
  for (const compression of ['gzip', 'snappy', 'lz4']) {
    const poison = await kafkaBatch([{ key: null, value: bomb, timestamp: 1 }], { compression });
    assert.ok(poison.length < MIB);
    for (const partition of [0, 1]) {
      for (const bytes of [await good(n++), poison, await good(n++)]) batches.push({ partition, bytes });
      poisoned++;
    }
  }
  await writeBatches(dir, 'in', 2, batches);
  for (let start = 0; start < 2; start++) {
    const job = await read(dir, { workers: 2 });
    assert.deepEqual(
      rows.rows.map((row) => Number(String(row['value']).slice(5))).sort((a, b) => a - b),
      Array.from({ length: n * GOOD }, (_, i) => i),
    );
    assert.equal(job.progress().ledger.corrupt, poisoned);
    assert.equal(errors.rows.length, poisoned);
    for (const { message } of errors.rows) assert.match(String(message), /^corrupt: .*decompress.* (to|more).*\d{7,8}/);
  }
});

test('an option that the memory cannot hold for all workers is refused at the start', async (t) => {
  const dir = await folder(t);
  await writeBatches(dir, 'in', 1, [{ partition: 0, bytes: await good(0) }]);
  await assert.rejects(
    read(dir, { workers: 2 }, { decompressedBytesMax: 20 * MIB }),
    (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION' && /decompressedBytesMax 20971520: 2 workers/.test(error.message),
  );
});
