/** enrich(): rows that wait for an asynchronous function; and peek, sample, limit, describe. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { f64, i64, type SchemaFields, timestamp, utf8 } from '../../core/index.ts';
import { collect, count, memory, pipeline, run, type Stream, tumbling } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { type EnrichedParams, failures, means, plain } from './pipelines/enriched.ts';

const ENRICHED = new URL('./pipelines/enriched.ts', import.meta.url);
const ROWS = 3_000;

async function job(params: Partial<EnrichedParams>, options: object = {}) {
  const running = await run(ENRICHED, { workers: 2, trigger: 20, epochBytes: '16KiB', params: { rows: String(ROWS), how: 'late', ...params }, ...options });
  await running.done;
  return running.progress();
}

/** The rows that pass, without those of users left out. */
function passing(without?: number) {
  return Array.from({ length: ROWS }, (_, id) => ({ id, user: id % 7, at: 1_000_000 + id })).filter(({ id, user }) => id % 10 !== 9 && user !== without);
}

function expectedMeans(without?: number) {
  const found = new Map<string, { team: string; windowStart: number; rows: number; ids: number }>();
  for (const { id, user, at } of passing(without)) {
    const windowStart = Math.floor(at / 100) * 100;
    const team = `team ${user % 3}`;
    const known = found.get(`${team} ${windowStart}`) ?? { team, windowStart, rows: 0, ids: 0 };
    found.set(`${team} ${windowStart}`, { ...known, rows: known.rows + 1, ids: known.ids + id });
  }
  return [...found.values()].map((row) => ({
    ...row,
    windowEnd: row.windowStart + 100,
    name: `${row.team} at ${row.windowStart}`,
    half: row.rows % 2 === 0 ? row.rows / 2 : null,
  }));
}

const sorted = (rows: readonly object[]) => rows.map((row) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))).sort();

function inOrder(rows: readonly Record<string, unknown>[], without?: number): void {
  assert.deepEqual(
    rows.map(({ id, user, at, team }) => ({ id, user, at, team })),
    passing(without).map((row) => ({ ...row, team: `team ${row.user % 3}` })),
    'in the order in which they were read',
  );
}

test('answers that come late and out of order: each row has its own, in its place; before a key and behind one', async () => {
  await job({});
  inOrder(plain.rows);
  assert.deepEqual(sorted(means.rows), sorted(expectedMeans()));
  const most = Math.max(...plain.rows.map(({ most }) => most as number));
  assert.ok(most > 10 && most <= 50, `${most} calls at a time`);
});

test('calls that fail are made again', async () => {
  await job({ how: 'flaky' });
  inOrder(plain.rows);
  assert.deepEqual(sorted(means.rows), sorted(expectedMeans()));
});

for (const [how, words] of [
  ['failing', /^The function of enrich\(\) failed: nobody knows user 3$/],
  ['hanging', /^The function of enrich\(\) failed: .*(100 ms \(timeout\)|aborted)/],
] as const) {
  test(`rows whose calls keep ${how} go to the errors, with their places; the others go on`, async () => {
    const { ledger } = await job({ how });
    inOrder(plain.rows, 3);
    assert.deepEqual(sorted(means.rows), sorted(expectedMeans(3)));
    const failed = passing().filter(({ user }) => user === 3);
    assert.deepEqual(
      failures.rows.map(({ offset }) => offset),
      failed.map(({ id }) => id),
    );
    for (const { message, operator, row } of failures.rows) {
      assert.match(String(message), words);
      assert.equal(operator, 'enrich');
      assert.equal(JSON.parse(String(row)).user, 3);
    }
    assert.equal(ledger.failed, failed.length);
  });
}

test('without errors taken a row that fails ends the job, or is left out', async () => {
  const module = (how: string) => `
    import { collect, f64, generator, pipeline } from 'millrace';
    export default pipeline('p').from(generator({ rows: 20, seed: 1, schema: { id: f64 }, row: (i) => ({ id: i }) }))
      .enrich({ more: f64 }, async (r) => { if (r.id === 7) throw new Error('not seven'); return ${how}; }, { retries: 0 }).to(collect());`;
  const start = async (how: string, options: object) =>
    (await run(new URL(`data:text/javascript,${encodeURIComponent(module(how))}`), { workers: 1, ...options })).done;
  await assert.rejects(start('{ more: 1 }', {}), { code: 'ERR_MILLRACE_USER_FUNCTION', message: /enrich\(\) failed: not seven/ });
  await start('{ more: 1 }', { failedRows: 'skip' });
  await assert.rejects(start('7', { failedRows: 'fail' }), { message: /it gave 7 in place of an object with more/ });
  await assert.rejects(start("{ more: 'text' }", {}), { message: /enrich: .*more/ });
  await assert.rejects(start('null', {}), { message: /more/ });
});

test('kept answers: one call for all rows with the same values, as long as there is room', async () => {
  await job({ cache: '100', concurrency: '10' }, { workers: 1 });
  inOrder(plain.rows);
  // All rows of a user have the answer of the first one.
  assert.ok(Math.max(...plain.rows.map(({ most }) => most as number)) <= 7);
  assert.deepEqual(sorted(means.rows), sorted(expectedMeans()));
  await job({ cache: '2', concurrency: '10' }, { workers: 1 });
  inOrder(plain.rows);
});

test('the answers of a checkpoint stay with its rows', async () => {
  const { mkdtemp, rm } = await import('node:fs/promises');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  try {
    await job({}, { checkpoint: { dir, interval: 20 }, drain: 'emit' });
    assert.deepEqual(sorted(means.rows), sorted(expectedMeans()));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

function driven(schema: SchemaFields, build: (stream: Stream<never>) => unknown) {
  return testDriver((build(source(schema)) as Stream<unknown>).to(collect()));
}

function source(schema: SchemaFields): Stream<never> {
  return pipeline('p').from(memory([] as never[], { schema })) as unknown as Stream<never>;
}

test('a test driver runs functions that answer at once, and says so of others', () => {
  const fields = { n: f64 };
  const driver = driven(fields, (rows) => rows.enrich({ twice: f64 }, (r) => ({ twice: 2 * (r as { n: number }).n })) as never);
  driver.send(0, [{ n: 1 }, { n: 2 }]);
  driver.endEpoch();
  assert.deepEqual(driver.output(), [
    { n: 1, twice: 2 },
    { n: 2, twice: 4 },
  ]);
  const waiting = driven(fields, (rows) => rows.enrich({ twice: f64 }, async () => ({ twice: 1 })) as never);
  assert.throws(
    () => {
      waiting.send(0, [{ n: 1 }]);
      waiting.endEpoch();
    },
    { code: 'ERR_MILLRACE_PIPELINE', message: /this driver does not wait/ },
  );
});

test('enrich: what it refuses', () => {
  const p = source({ user: utf8 });
  const bad = (options: object, message: RegExp) => assert.throws(() => p.enrich({ a: f64 }, async () => ({ a: 1 }), options as never), { message });
  bad({ concurency: 3 }, /there is no option "concurency". Did you mean concurrency\?/);
  bad({ concurrency: 0 }, /concurrency is 0; it must be a whole number from 1 to 10000/);
  bad({ timeout: 'soon' }, /enrich\(\): timeout/);
  bad({ retries: -1 }, /retries is -1/);
  bad({ ordered: 'no' }, /ordered is "no"; it must be true or false/);
  bad({ cache: {} }, /cache has no by/);
  bad({ cache: { by: 'usr' } }, /usr/);
  assert.throws(() => p.enrich((async () => {}) as never, {} as never), { message: /enrich\(\) takes the columns of the new rows first/ });
  const table = p.keyBy('user').count();
  assert.throws(
    () =>
      (table as unknown as typeof p)
        .enrich({ a: f64 }, async () => ({ a: 1 }))
        .keyBy('a')
        .aggregate({ n: count() }),
    {
      code: 'ERR_MILLRACE_PIPELINE',
    },
  );
});

test('peek sees each row and changes none; limit takes the first; describe tells the columns', () => {
  const seen: number[] = [];
  const fields = { n: f64, name: utf8 };
  const driver = driven(fields, (rows) => rows.peek((r) => void seen.push((r as { n: number }).n)).limit(3) as never);
  const rows = Array.from({ length: 5 }, (_, n) => ({ n, name: `r${n}` }));
  driver.send(0, rows);
  driver.endEpoch();
  driver.send(0, rows);
  driver.endEpoch();
  assert.deepEqual(driver.output(), rows.slice(0, 3));
  assert.equal(seen.length, 10);
  assert.deepEqual(source({ a: utf8, b: i64 }).describe(), [
    { name: 'a', type: 'utf8', nullable: false },
    { name: 'b', type: 'i64', nullable: false },
  ]);
  assert.throws(() => source(fields).limit(1.5), { code: 'ERR_MILLRACE_OPTION' });
});

test('limit keeps the event time', () => {
  const driver = testDriver(
    pipeline('p')
      .from(memory([] as never[], { schema: { at: timestamp } }))
      .withWatermark('at', 0)
      .limit(3)
      .windowAll(tumbling(10))
      .count()
      .to(collect()) as never,
    { partitions: 1 },
  );
  driver.send(0, [{ at: 1 }, { at: 2 }, { at: 11 }, { at: 12 }, { at: 100 }]);
  driver.endEpoch();
  assert.deepEqual(driver.output(), [
    { windowStart: 0, windowEnd: 10, count: 2 },
    { windowStart: 10, windowEnd: 20, count: 1 },
  ]);
});

test('sample: about the share, the same in each run, whole users where it goes by them', () => {
  const fields = { user: utf8, n: f64 };
  const rows = Array.from({ length: 20_000 }, (_, n) => ({ user: `u${n % 500}`, n }));
  const taken = (share: number, options?: object) => {
    const driver = driven(fields, (stream) => stream.sample(share, options as never) as never);
    driver.send(0, rows);
    driver.endEpoch();
    return driver.output() as unknown as typeof rows;
  };
  const tenth = taken(0.1);
  assert.ok(Math.abs(tenth.length - 2_000) < 250, `${tenth.length} of 20,000`);
  assert.deepEqual(taken(0.1), tenth);
  assert.notDeepEqual(taken(0.1, { seed: 1 }), tenth);
  assert.deepEqual([taken(0).length, taken(1).length], [0, 20_000]);
  const users = taken(0.2, { by: 'user' });
  const names = new Set(users.map(({ user }) => user));
  assert.ok(Math.abs(names.size - 100) < 40, `${names.size} of 500 users`);
  assert.equal(users.length, names.size * 40, 'all rows of each');
  assert.throws(() => source(fields).sample(2), { code: 'ERR_MILLRACE_OPTION' });
  assert.throws(() => source(fields).sample(0.5, { by: 'name' as never }));
});
