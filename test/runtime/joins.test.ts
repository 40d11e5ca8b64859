/** Joins and session windows on threads, over a quarter of a million rows, as DuckDB has them; what compiles; what fails where it is written. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import {
  type AnyRow,
  bool,
  broadcast,
  collect,
  count,
  f64,
  i64,
  memory,
  nullable,
  pipeline,
  run,
  session,
  sliding,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { KEYS, pairs, sessions, windowed, windows } from './pipelines/joins.ts';

const ORDERS = 150_000;
const PAYMENTS = 125_000;

/** A row as one number, and a table as a sorted array of them. */
function sortedCodes(codes: Iterable<number>): Float64Array {
  return Float64Array.from(codes).sort();
}

async function codesOf(db: DuckDBConnection, sql: string): Promise<Float64Array> {
  const columns = await (await db.run(sql)).getColumnsJS();
  return sortedCodes(columns[0] as number[]);
}

/** The pipeline of pipelines/joins.ts, run to its end. */
async function runJoins(by: 'interval' | 'window'): Promise<void> {
  const job = await run(new URL('./pipelines/joins.ts', import.meta.url), { workers: 2, params: { orders: ORDERS, payments: PAYMENTS, by }, memory: '1GiB' });
  const { rowsIn } = await job.done;
  assert.equal(rowsIn, ORDERS + PAYMENTS);
  assert.deepEqual(
    Object.entries(job.progress().ledger).filter(([, rows]) => rows > 0),
    [],
  );
}

/** The same two streams as tables. */
async function openTables(): Promise<DuckDBConnection> {
  const db = await (await DuckDBInstance.create(':memory:')).connect();
  await db.run(`
    create table orders as select i, case when i % 997 = 0 then null else (i * 7919) % ${KEYS} end as usr, i * 10 + (i * 104729) % 997 as ms from range(${ORDERS}) t(i);
    create table payments as select j, case when j % 991 = 0 then null else (j * 15485) % ${KEYS} end as payer, j * 12 + (j * 1299) % 1009 as ms from range(${PAYMENTS}) t(j);
  `);
  return db;
}

test('a quarter of a million rows, on two threads: as DuckDB has them', { timeout: 300_000 }, async () => {
  await runJoins('interval');
  const db = await openTables();
  const on = 'on usr = payer and payments.ms between orders.ms - 60000 and orders.ms + 240000';
  for (const type of ['inner', 'left', 'right', 'full'] as const) {
    const expected = await codesOf(db, `select ((coalesce(i, -1) + 1) * 1048576 + coalesce(j, -1) + 1)::double from orders ${type} join payments ${on}`);
    const rows = pairs[type].rows as readonly { i: number | null; j: number | null }[];
    assert.ok(expected.length > 25_000, `${expected.length} rows of the ${type} join`);
    assert.deepEqual(sortedCodes(rows.map(({ i, j }) => ((i ?? -1) + 1) * 1_048_576 + (j ?? -1) + 1)), expected, type);
  }
  // The join's rows in windows: joinTime is the later of both times.
  await sameRows(
    db,
    `select usr, w * 600000.0, w * 600000.0 + 600000, count(*)::double, count(j)::double
     from (select usr, j, floor(greatest(orders.ms, coalesce(payments.ms, orders.ms)) / 600000) as w from orders left join payments ${on}) group by usr, w`,
    windows.rows,
    ['user', 'windowStart', 'windowEnd', 'rows', 'paid'],
  );
  await sameRows(
    db,
    `select usr, min(ms)::double, max(ms)::double + 300000, count(*)::double, sum(i)::double, min(i)::double, max(i)::double, avg(i)
     from (select *, sum(fresh) over (partition by usr order by ms, i) as s
       from (select *, case when ms - lag(ms) over (partition by usr order by ms, i) <= 300000 then 0 else 1 end as fresh from orders))
     group by usr, s`,
    sessions.rows,
    ['user', 'windowStart', 'windowEnd', 'rows', 'total', 'least', 'most', 'average'],
  );
});

test('a quarter of a million rows in windows: as DuckDB has them', { timeout: 300_000 }, async () => {
  await runJoins('window');
  const db = await openTables();
  const code = (i: string, j: string, start: string) => `(((coalesce(${i}, -1) + 1) * 1048576 + coalesce(${j}, -1) + 1) * 64 + ${start})`;
  const codes = (rows: readonly unknown[], slideMs: number) =>
    (rows as readonly { windowStart: number; i: number | null; j: number | null }[]).map(
      ({ windowStart, i, j }) => (((i ?? -1) + 1) * 1_048_576 + (j ?? -1) + 1) * 64 + windowStart / slideMs,
    );
  for (const type of ['inner', 'left', 'right', 'full'] as const) {
    const start = (table: string) => `(${table}.ms // 300000)`;
    const expected = await codesOf(
      db,
      `select ${code('i', 'j', `coalesce(${start('orders')}, ${start('payments')})`)}::double from orders ${type} join payments on usr = payer and ${start('orders')} = ${start('payments')}`,
    );
    assert.ok(expected.length > 25_000, `${expected.length} rows of the ${type} join`);
    assert.deepEqual(sortedCodes(codes(windowed[type].rows, 300_000)), expected, type);
  }
  // Windows of 10 minutes every 4: a pair is in each that both are in. Those that begin before 1970 have a number, too.
  const expected = await codesOf(
    db,
    `select (${code('i', 'j', 's')})::double from orders join payments on usr = payer, range(-2, 30) r(s)
     where orders.ms >= s * 240000 and orders.ms < s * 240000 + 600000 and payments.ms >= s * 240000 and payments.ms < s * 240000 + 600000`,
  );
  assert.ok(expected.length > 25_000, `${expected.length} rows of the join in sliding windows`);
  assert.deepEqual(sortedCodes(codes(windowed.sliding.rows, 240_000)), expected);
});

async function sameRows(db: DuckDBConnection, sql: string, rows: readonly AnyRow[], columns: readonly string[]): Promise<void> {
  const expected = (await (await db.run(sql)).getRowsJS()).map((row) => row.map((value) => (value === null ? 'null' : Number(value))).join('|'));
  assert.ok(expected.length > 2_500, `${expected.length} rows`);
  assert.deepEqual(rows.map((row) => columns.map((column) => String(row[column])).join('|')).sort(), expected.sort());
}

function streams() {
  const p = pipeline('shop');
  const orders = p.from(memory([], { schema: { order: utf8, amount: f64, at: timestamp } })).withWatermark('at', 0);
  const payments = p.from(memory([], { schema: { id: utf8, amount: f64, ok: nullable(bool), at: timestamp } })).withWatermark('at', 0);
  return { orders, payments };
}

test('the types of a join: names, nulls, suffixes; and what does not compile', () => {
  const { orders, payments } = streams();
  const all = orders.keyBy('order').join(payments.keyBy('id'), { within: ['1s', '-500ms'], type: 'left', suffix: '_paid' });
  assert.equal(String(all.schema), '"order":utf8, "joinTime":timestamp, "amount":f64, "at":timestamp, "amount_paid":f64?, "ok":bool?, "at_paid":timestamp?');
  all.filter((row) => {
    const text: string = row.order;
    const time: number = row.joinTime;
    const amount: number = row.amount;
    const paid: number | null = row.amount_paid;
    // @ts-expect-error what may be missing is nullable
    const sure: number = row.amount_paid;
    // @ts-expect-error the key is there once, under the left's name
    const id = row.id;
    return [text, time, amount, paid, sure, id].length > 0;
  });
  const inner = orders.keyBy('order').window(tumbling('1m')).join(payments.keyBy('id'));
  inner.filter((row) => {
    const numbers: number[] = [row.windowStart, row.windowEnd, row.amount, row.amount_right, row.at, row.at_right];
    // @ts-expect-error there is no joinTime in a window
    return numbers.includes(row.joinTime);
  });
  const outer = orders.keyBy('order').window(sliding('1m', '10s')).join(payments.keyBy('id'), { type: 'full' });
  outer.filter((row) => {
    // @ts-expect-error both sides may be missing
    const amount: number = row.amount;
    return amount;
  });
  const table = orders.keyBy('order').join(payments.keyBy('id'), { deleted: 'ok', type: 'left' });
  assert.equal(String(table.schema), '"order":utf8, "amount":f64, "at":timestamp, "amount_right":f64?, "ok":bool?, "at_right":timestamp?');
  const pipelineError = { code: 'ERR_MILLRACE_PIPELINE' };
  // @ts-expect-error keys of different types
  assert.throws(() => orders.keyBy('order').join(payments.keyBy('amount'), { within: [0, 0] }), { ...pipelineError, message: /order.*utf8.*amount.*f64/ });
  // @ts-expect-error a table waits for nobody
  assert.throws(() => orders.keyBy('order').join(payments.keyBy('id'), { type: 'full' }), { ...pipelineError, message: /within/ });
  // @ts-expect-error deleted is a bool column
  assert.throws(() => orders.keyBy('order').join(payments.keyBy('id'), { deleted: 'amount' }), { ...pipelineError, message: /bool/ });
  // @ts-expect-error no such duration
  assert.throws(() => orders.keyBy('order').join(payments.keyBy('id'), { within: ['1x', 0] }), { code: 'ERR_MILLRACE_OPTION' });
  assert.throws(() => orders.keyBy('order').join(payments.keyBy('id'), { within: ['1s', '-2s'] }), { code: 'ERR_MILLRACE_OPTION', message: /-2000|nothing/ });
  assert.throws(() => orders.keyBy('order').join(payments.keyBy('id'), { within: ['-10m', '10m'] }), {
    code: 'ERR_MILLRACE_OPTION',
    message: /one point in time, 600000 ms after.*give within: \["10m", "10m"\]/,
  });
  // @ts-expect-error there is no such type of join
  assert.throws(() => orders.keyBy('order').join(payments.keyBy('id'), { within: [0, 0], type: 'outer' }), { code: 'ERR_MILLRACE_OPTION', message: /'full'/ });
  // @ts-expect-error a stream without keys
  assert.throws(() => orders.keyBy('order').join(payments, { within: [0, 0] }), { ...pipelineError, message: /keyBy/ });
  assert.throws(() => orders.keyBy('order').join(streams().payments.keyBy('id'), { within: [0, 0] }), { ...pipelineError, message: /one pipeline/ });
  assert.throws(() => orders.keyBy('order').join(payments.select('id', 'ok').keyBy('id'), { within: [0, 0] }), { ...pipelineError, message: /event time/ });
  assert.throws(() => orders.select('order', 'at').keyBy('order').window(session('1m')).join(payments.keyBy('id')), { ...pipelineError, message: /tumbling/ });
  assert.throws(
    () =>
      orders
        .map({ order: utf8, at: timestamp, joinTime: f64 }, (r) => ({ ...r, joinTime: 1 }))
        .keyBy('order')
        .join(payments.keyBy('id'), { within: [0, 0] }),
    {
      ...pipelineError,
      message: /joinTime/,
    },
  );
});

test('an interval join in the test driver, and windows over its results: none is late', () => {
  const { orders, payments } = streams();
  const joined = orders
    .keyBy('order')
    .join(payments.keyBy('id'), { within: ['1s', '10s'], type: 'left' })
    .to(collect());
  const driver = testDriver(joined.keyBy('order').window(tumbling('5s')).count().to(collect()), { partitions: 1 });
  driver.send(0, [
    { order: 'a', amount: 1, at: 1_000 },
    { order: 'b', amount: 2, at: 2_000 },
  ]);
  driver.send(1, [{ id: 'a', amount: 1, ok: true, at: 9_000 }]);
  driver.endEpoch();
  const paid = { order: 'a', joinTime: 9_000, amount: 1, at: 1_000, amount_right: 1, ok: true, at_right: 9_000 };
  assert.deepEqual(driver.output(0), [paid]);
  driver.send(0, [{ order: 'c', amount: 3, at: 12_001 }]);
  driver.send(1, [{ id: 'x', amount: 1, ok: null, at: 12_001 }]);
  driver.endEpoch();
  const unpaid = { order: 'b', joinTime: 2_000, amount: 2, at: 2_000, amount_right: null, ok: null, at_right: null };
  assert.deepEqual(driver.output(0), [paid, unpaid]);
  driver.close();
  assert.deepEqual([...driver.output(1)].map((row) => [row.order, row.windowStart, row.count]).sort(), [
    ['a', 5_000, 1],
    ['b', 0, 1],
    ['c', 10_000, 1],
  ]);
  assert.equal(driver.counts.get('late'), 0);
});

test('a table in the test driver: the latest row of a key, until it is deleted', () => {
  const p = pipeline('users');
  const clicks = p.from(memory([], { schema: { user: i64, page: utf8 } }));
  const users = p.from(memory([], { schema: { id: i64, name: utf8, gone: bool } }));
  const driver = testDriver(clicks.keyBy('user').join(users.keyBy('id'), { type: 'left', deleted: 'gone' }).to(collect()), { partitions: 1 });
  driver.send(0, [{ user: 1n, page: '/a' }]);
  driver.send(1, [
    { id: 1n, name: 'Ann', gone: false },
    { id: 1n, name: 'Anna', gone: false },
  ]);
  driver.endEpoch();
  driver.send(1, [{ id: 1n, name: '', gone: true }]);
  driver.send(0, [{ user: 1n, page: '/b' }]);
  driver.endEpoch();
  assert.deepEqual(driver.output(), [
    { user: 1n, page: '/a', name: 'Anna', gone: false },
    { user: 1n, page: '/b', name: null, gone: null },
  ]);
});

test('a broadcast table in the test driver: as the same table by key, and no other join takes it', () => {
  const { orders, payments } = streams();
  const side = payments.keyBy('id');
  const joined = orders.keyBy('order').join(broadcast(side), { type: 'left', deleted: 'ok' });
  const driver = testDriver(joined.to(collect()), { partitions: 2 });
  const ids = Array.from({ length: 200 }, (_, i) => `o${i}`);
  driver.send(
    1,
    ids.filter((_, i) => i % 3 > 0).map((id, i) => ({ id, amount: i, ok: false, at: 0 })),
    { partition: 1 },
  );
  driver.send(
    0,
    [...ids, 'none'].map((order) => ({ order, amount: 1, at: 5 })),
  );
  driver.endEpoch();
  assert.deepEqual(
    Object.fromEntries(driver.output().map((row) => [row.order, row.amount_right])),
    Object.fromEntries([...ids.map((id, i) => [id, i % 3 > 0 ? i - Math.floor(i / 3) - 1 : null]), ['none', null]]),
  );
  // @ts-expect-error a table has no times
  assert.throws(() => orders.keyBy('order').join(broadcast(side), { within: [0, 0] }), { code: 'ERR_MILLRACE_PIPELINE', message: /broadcast/ });
  // @ts-expect-error keys of different types
  assert.throws(() => orders.keyBy('amount').join(broadcast(side)), { code: 'ERR_MILLRACE_PIPELINE', message: /amount.*f64/ });
});

test('sessions in the test driver: a late row puts two together', () => {
  const clicks = pipeline('sessions')
    .from(memory([], { schema: { user: utf8, ms: f64, at: timestamp } }))
    .withWatermark('at', '30s');
  const driver = testDriver(clicks.keyBy('user').window(session('10s')).aggregate({ clicks: count() }).to(collect()), { partitions: 1 });
  driver.send([
    { user: '__proto__', ms: 1, at: -5_000 },
    { user: '__proto__', ms: 2, at: 14_000 },
  ]);
  driver.endEpoch();
  driver.send([
    { user: '__proto__', ms: 3, at: 4_500 },
    { user: 'b', ms: 1, at: 100_000 },
  ]);
  driver.endEpoch();
  assert.deepEqual(driver.output(), [{ user: '__proto__', windowStart: -5_000, windowEnd: 24_000, clicks: 3 }]);
  driver.close();
  assert.deepEqual(driver.output()[1], { user: 'b', windowStart: 100_000, windowEnd: 110_000, clicks: 1 });
});
