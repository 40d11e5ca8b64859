/**
 * What bounds a job's memory: an epoch's output, where rows become many, and state, where it is at its limit. Real jobs with
 * the least memory there is.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readLog, run } from '../../runtime/index.ts';
import { kafkaDecode } from '../io/record-batch-harness.ts';
import { FACTOR, results } from './pipelines/bounds.ts';
import { writeTopic } from './topics.ts';

const pipeline = new URL('./pipelines/bounds.ts', import.meta.url);
const dir = await mkdtemp(join(tmpdir(), 'millrace-bounds-'));
after(() => rm(dir, { recursive: true, force: true }));

test('rows that become a thousand each come out whole, though all of them are more than the memory', async () => {
  const rows = 800;
  await writeTopic(
    dir,
    'in',
    1,
    Array.from({ length: rows }, (_, n) => JSON.stringify({ n })),
  );
  const job = await run(pipeline, { workers: 1, memory: '32MiB', trigger: 'availableNow', params: { dir, kind: 'many' } });
  let memoryMax = 0;
  job.on('progress', ({ memory }) => {
    memoryMax = Math.max(memoryMax, memory.usedBytes);
  });
  const { rowsOut } = await job.done;
  assert.equal(rowsOut, rows * FACTOR);
  let bytes = 0;
  let next = 0;
  let batches = 0;
  for await (const batch of readLog(dir, 'out')) {
    bytes += batch.bytes.length;
    if (batches++ % 10 === 0) {
      const [first] = (await kafkaDecode(batch.bytes)).records;
      const { n, i } = JSON.parse(String(first?.value)) as { n: number; i: number };
      assert.equal(n * FACTOR + i, next, `the rows before row ${n}/${i}`);
    }
    next += Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length).readInt32BE(57);
  }
  assert.equal(next, rows * FACTOR);
  assert.ok(bytes > 32 << 20, `${bytes} bytes of output are no more than the memory`);
  assert.ok(memoryMax <= 32 << 20);
});

test('state at its limit: the job waits, state by the clock is freed, and all rows come out', async () => {
  const rows = 120_000;
  const warnings: string[] = [];
  const states: string[] = [];
  const job = await run(pipeline, { workers: 1, memory: { limit: '32MiB', atLimit: 'pause' }, epochBytes: '64KiB', params: { dir, kind: 'clock', rows } });
  job.on('warning', (message) => {
    warnings.push(message);
    states.push(job.state);
  });
  await job.done;
  assert.equal(new Set(results.rows.map(({ k }) => k)).size, rows);
  assert.equal(results.rows.length, rows);
  assert.equal(states[0], 'waiting');
  assert.match(warnings[0] as string, /^The state of the job takes about \d+ MiB, more than 24 MiB: no rows are taken in/);
});

test('state at its limit that nothing can free ends the job, and says so', async () => {
  const job = await run(pipeline, {
    workers: 1,
    memory: { limit: '32MiB', atLimit: 'pause' },
    epochBytes: '64KiB',
    params: { dir, kind: 'never', rows: 60_000 },
  });
  job.on('warning', () => {});
  await assert.rejects(job.done, { code: 'ERR_MILLRACE_MEMORY', message: /has waited, and nothing can free it: event time does not move without rows/ });
});

test('state at its limit ends the job by default', async () => {
  const job = await run(pipeline, { workers: 1, memory: '32MiB', epochBytes: '64KiB', params: { dir, kind: 'never', rows: 60_000 } });
  await assert.rejects(job.done, { code: 'ERR_MILLRACE_MEMORY', message: /^The state of the job takes about \d+ MiB, more than the 32 MiB that/ });
});
