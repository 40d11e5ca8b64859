/** Keyed operators in whole jobs on threads: the same results for any number of workers, and those of a loop over the rows. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, seededRng } from '../../runtime/index.ts';
import * as keyed from './pipelines/keyed.ts';
import { writeTopic } from './topics.ts';

const ROWS = 6_000;
const BAD = ['{"user":', '[]', '{"user":"u1","ms":"much","at":1}'];

test('sessions, sliding sums, best rows and batches of ten, and the rows that failed, with one to three workers', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const rng = seededRng(11);
  const rows = Array.from({ length: ROWS }, (_, i) => ({
    user: ['__proto__', '', 'u1', 'u2'][Math.floor(rng() * 4)] as string,
    ms: i % 500 === 404 ? 404 : Math.floor(rng() * 400),
    at: i * 100 + Math.floor(i / 600) * 60_000,
  }));
  const values = rows.flatMap((row, i) => (i % 1_000 === 7 ? [JSON.stringify(row), BAD[((i / 1_000) % 3) | 0] as string] : [JSON.stringify(row)]));
  await writeTopic(dir, 'in', 1, values);

  const good = rows.filter((row) => row.ms !== 404);
  const failed = rows.filter((row) => row.ms === 404);
  const outcomes: string[] = [];
  for (const workers of [1, 2, 3]) {
    // In one epoch: where epochs are cut decides when timers fire.
    const job = await run(new URL('./pipelines/keyed.ts', import.meta.url), { workers, trigger: 'availableNow', drain: 'emit', params: { dir } });
    await job.done;
    outcomes.push(
      JSON.stringify([
        keyed.visits.rows,
        keyed.spent.rows,
        keyed.best.rows,
        keyed.tens.rows,
        keyed.errors.rows.map((row) => ({ ...row, bytes: String(row.bytes) })),
      ]),
    );
    assert.equal(job.progress().ledger.failed, failed.length);
    assert.equal(job.progress().ledger.undecodable, ROWS / 1_000);
  }
  assert.equal(outcomes[1], outcomes[0]);
  assert.equal(outcomes[2], outcomes[0]);

  const offsetOf = (row: (typeof rows)[number]) => values.indexOf(JSON.stringify(row));
  assert.deepEqual(
    keyed.errors.rows.filter((row) => row.operator !== 'decode').map(({ source, partition, offset, operator }) => ({ source, partition, offset, operator })),
    failed.map((row) => ({ source: 'log in', partition: 0, offset: offsetOf(row), operator: 'filter #1' })),
  );
  const decoding = keyed.errors.rows.filter((row) => row.operator === 'decode');
  assert.deepEqual(
    decoding.map((row) => [row.offset, Buffer.from(row.bytes as Uint8Array).toString()]),
    values.flatMap((value, i) => (BAD.includes(value) ? [[i, value]] : [])),
  );

  const sums = new Map<string, number>();
  const lists = new Map<string, number[]>();
  for (const { user, ms, at } of good) {
    for (let start = Math.floor(at / 10_000) * 10_000; start > at - 60_000; start -= 10_000)
      sums.set(`${start} ${user}`, (sums.get(`${start} ${user}`) ?? 0) + ms);
    lists.set(user, [...(lists.get(user) ?? []), ms]);
  }
  assert.deepEqual(new Map(keyed.spent.rows.map((row) => [`${row.windowStart} ${row.user}`, row.ms])), sums);
  assert.equal(keyed.late.rows.length, 0);
  const ranked = (of: readonly number[]) => [...of].sort((a, b) => b - a).slice(0, 3);
  for (const [user, all] of lists) {
    const tens = Array.from({ length: Math.floor(all.length / 10) }, (_, i) => Math.max(...all.slice(i * 10, i * 10 + 10)));
    assert.deepEqual(
      keyed.tens.rows.filter((row) => row.user === user).map((row) => row.most),
      tens,
    );
    assert.deepEqual(
      keyed.best.rows
        .filter((row) => row.user === user)
        .slice(-3)
        .map((row) => row.ms),
      ranked(all),
    );
    assert.equal(
      keyed.visits.rows.filter((row) => row.user === user).reduce((sum, row) => sum + (row.clicks as number), 0),
      all.length,
    );
  }
});
