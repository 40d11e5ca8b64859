/** Jobs that write to PostgreSQL while the server, or the job's process, is killed: nothing lost, nothing doubled. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { i32, schema } from '../../core/index.ts';
import { postgres } from '../../io/postgres/index.ts';
import { run } from '../../runtime/index.ts';
import { effortCount } from '../seed.ts';
import { openServer } from '../servers.ts';
import { SinkRun } from './harness.ts';
import { killJobs, until } from './job-kills.ts';

const ROWS = 40_000;
const module = new URL('./pipelines/to-server.ts', import.meta.url);

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** As a reader sees it; the server may have been started anew. */
async function ask(connect: object, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(connect);
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

const COUNTS = 'SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids, min(id)::int AS first, max(id)::int AS last FROM';
const WHOLE = [{ rows: ROWS, ids: ROWS, first: 0, last: ROWS - 1 }];

for (const [table, key, guarantee] of [
  ['kept', undefined, 'exactly-once'],
  ['kept_by_key', 'id', 'at-least-once'],
] as const) {
  test(`the server is killed and comes back (${guarantee}${key === undefined ? '' : ', by key'})`, async (t) => {
    const server = await openServer(t, 'postgres');
    if (server === undefined) return;
    const options = { connection: server.connect, table, createTable: true, ...(key === undefined ? {} : { key }) };
    const job = await run(module, {
      workers: 2,
      trigger: 20,
      checkpoint: { dir: await folder(t), interval: 50 },
      guarantee,
      epochBytes: '64KiB',
      params: { to: 'postgres', options, rows: ROWS, rowsPerSecond: 20_000 },
    });
    job.on('warning', () => {});
    for (const rows of [10_000, 25_000]) {
      await until(() => job.progress().rowsOut > rows || job.progress().state === 'stopped');
      await server.kill();
      await until(() => job.progress().state === 'waiting' || job.progress().state === 'failed');
      const isWaiting = job.progress().sinks?.[0]?.isWaiting;
      await server.restart();
      assert.equal(isWaiting, true);
    }
    await job.done;
    assert.deepEqual(await ask(server.connect, `${COUNTS} ${table}`), WHOLE);
    assert.equal(job.progress().ledger.refused, 0);
  });
}

test('the job is killed, again and again, exactly-once: appended rows, and a table by key', async (t) => {
  const server = await openServer(t, 'postgres');
  if (server === undefined) return;
  const kills = effortCount(4);
  const appended = { to: 'postgres', options: { connection: server.connect, table: 'killed', createTable: true }, rows: ROWS, rowsPerSecond: 15_000 };
  await killJobs(await folder(t), appended, 'exactly-once', kills);
  assert.deepEqual(await ask(server.connect, `${COUNTS} killed`), WHOLE);
  const byKey = { ...appended, options: { connection: server.connect, table: 'killed_table', createTable: true, key: 'page' }, isTable: true };
  await killJobs(await folder(t), byKey, 'exactly-once', 2);
  assert.deepEqual(
    await ask(server.connect, 'SELECT page, rows::int AS rows, sum FROM killed_table ORDER BY page'),
    Array.from({ length: 50 }, (_, p) => {
      const ids = Array.from({ length: ROWS / 50 }, (_, k) => p + k * 50);
      return { page: `p${p}`, rows: ids.length, sum: ids.reduce((sum, id) => sum + (id % 7), 0) };
    }).sort((a, b) => (a.page < b.page ? -1 : 1)),
  );
});

test('a process that was stopped is shut out by its successor, and writes nothing more', async (t) => {
  const server = await openServer(t, 'postgres');
  if (server === undefined) return;
  const open = () =>
    SinkRun.open(postgres.sink({ connection: server.connect, table: 'fenced', createTable: true }), schema({ id: i32 }), { guarantee: 'exactly-once' });
  const first = await open();
  await first.writer.recover?.(-1);
  await first.write([{ id: 1 }]);
  await first.writer.prepare?.(1);
  const second = await open();
  await second.writer.recover?.(-1);
  await assert.rejects(first.commit(1), { code: 'ERR_MILLRACE_FENCED' });
  await assert.rejects(first.write([{ id: 2 }]), { code: 'ERR_MILLRACE_FENCED' });
  await second.write([{ id: 3 }]);
  await second.writer.prepare?.(2);
  await second.commit(2);
  assert.deepEqual(await ask(server.connect, 'SELECT id FROM fenced'), [{ id: 3 }]);
  await first.close();
  await second.close();
  // From nothing: what readers have seen would come twice.
  const third = await open();
  await assert.rejects(async () => third.writer.recover?.(-1), { code: 'ERR_MILLRACE_CHECKPOINT', message: /up to checkpoint 2.*resumes from nothing/ });
  await third.close();
});
