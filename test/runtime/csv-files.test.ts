/** CSV by the names in the header of each file, in whole jobs: any worker knows the columns, and so does a job that goes on in the middle. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run } from '../../runtime/index.ts';
import { rows } from './pipelines/csv-files.ts';
import { until } from './until.ts';

const pipeline = new URL('./pipelines/csv-files.ts', import.meta.url);
const ORDERS = [
  ['id', 'page', 'at'],
  ['other', 'at', 'id', 'page'],
  ['page', 'id'],
];
const ROWS = 30_000;

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Files of rows with numbers of their own, and the rows as they should come, by number. */
async function written(dir: string): Promise<{ readonly paths: readonly string[]; readonly expected: readonly object[] }> {
  const expected: object[] = [];
  const paths = await Promise.all(
    ORDERS.map(async (names, file) => {
      const lines = Array.from({ length: ROWS }, (_, i) => {
        const [id, page, day] = [file * ROWS + i, i % 4 === 0 ? 'NA' : `"/page/${i % 100}, ""x"""`, String(1 + (i % 28)).padStart(2, '0')];
        const values: Readonly<Record<string, string>> = { id: String(id), page, at: `2026/01/${day} 00:30`, other: 'not, a number'.slice(0, 3) };
        const at = names.includes('at') ? Date.UTC(2026, 0, i % 28, 23, 30) : null;
        expected.push({ id, page: i % 4 === 0 ? null : `/page/${i % 100}, "x"`, at });
        return names.map((name) => values[name]).join(',');
      });
      const path = join(dir, `${file}.csv`);
      await writeFile(path, `${names.join(',')}\n${lines.join('\n')}\n`);
      return path;
    }),
  );
  return { paths, expected: expected.sort(byId) };
}

const byId = (a: object, b: object): number => (a as { id: number }).id - (b as { id: number }).id;

test('any number of workers reads the same rows', async (t) => {
  const { paths, expected } = await written(await folder(t));
  for (const workers of [1, 3]) {
    const job = await run(pipeline, { workers, trigger: '1ms', epochBytes: '64KiB', params: { paths } });
    await job.done;
    assert.deepEqual([...rows.rows].sort(byId), expected);
    const { ledger } = job.progress();
    assert.deepEqual([ledger.control, ledger.undecodable], [3, 0]);
  }
});

test('a job that goes on in the middle of its files knows their headers', async (t) => {
  const dir = await folder(t);
  const { paths, expected } = await written(dir);
  const options = {
    workers: 2,
    trigger: '1ms',
    guarantee: 'exactly-once',
    checkpoint: { dir: join(dir, 'state'), interval: '1ms' },
    params: { paths },
  } as const;
  const first = await run(pipeline, { ...options, epochBytes: '64KiB', sinkDelay: '30ms' });
  await until(() => rows.rows.length > 0, 'rows of a first checkpoint');
  await first.stop({ drain: false });
  const before = [...rows.rows];
  assert.ok(before.length > 0 && before.length < expected.length, `${before.length} rows`);
  const second = await run(pipeline, options);
  await second.done;
  assert.deepEqual([...rows.rows].sort(byId), expected);
});

test('a file without a column ends the job, with the names of both', async (t) => {
  const dir = await folder(t);
  const path = join(dir, 'short.csv');
  await writeFile(path, 'page,at\n/,2026/01/01 00:00\n');
  const job = await run(pipeline, { workers: 1, params: { paths: [path] } });
  await assert.rejects(job.done, { code: 'ERR_MILLRACE_FILE', message: /short\.csv" cannot be read: its header has no column "id": it names \["page","at"\]/ });
});

test('a bad value is in the ledger with its line and its column', async (t) => {
  const dir = await folder(t);
  const path = join(dir, 'bad.csv');
  await writeFile(path, 'at,id\n2026/01/01 00:00,1\n2026/01/32 00:00,2\n');
  const job = await run(pipeline, { workers: 1, params: { paths: [path] } });
  await job.done;
  const sample = job.progress().samples.find(({ reason }) => reason === 'undecodable');
  assert.match(
    sample?.message ?? '',
    /offset 25: column "at" holds timestamp, but byte 0 has "2026\/01\/32 00:00", which is no time like "yyyy\/MM\/dd HH:mm"/,
  );
  assert.equal(rows.rows.length, 1);
});
