/** clickhouse.sink against a real server: what it writes, what is refused, and what kills leave. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type AnyRow, binary, bool, f32, f64, i8, i16, i32, i64, nullable, type SchemaFields, schema, timestamp, u32, utf8 } from '../../core/index.ts';
import { type ClickhouseSinkOptions, clickhouse } from '../../io/clickhouse/index.ts';
import type { RefusedRow, Sink } from '../../io/sink.ts';
import { run } from '../../runtime/index.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import { openServer } from '../servers.ts';
import { SinkRun } from './harness.ts';
import { killJobs, until } from './job-kills.ts';

async function place(t: TestContext) {
  const server = await openServer(t, 'clickhouse');
  if (server === undefined) return undefined;
  const { url } = server;
  const sql = async (query: string): Promise<string> => {
    const answer = await fetch(url, { method: 'POST', body: query });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text;
  };
  // 64-bit numbers come as texts.
  const rows = async (query: string): Promise<AnyRow[]> => (JSON.parse(await sql(`${query} FORMAT JSON`)) as { data: AnyRow[] }).data;
  return { server, url, sql, rows };
}

async function open(options: ClickhouseSinkOptions, fields: SchemaFields) {
  const refused: RefusedRow[] = [];
  const sink = clickhouse.sink(options);
  const told: Sink = { ...sink, open: (context) => sink.open({ ...context, refused: (row) => void refused.push(row) }) };
  return { run: await SinkRun.open(told, schema(fields)), refused };
}

test('every type, with extremes, nulls and odd text', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const fields = {
    id: i32,
    yes: nullable(bool),
    tiny: nullable(i8),
    small: nullable(i16),
    natural: nullable(u32),
    long: nullable(i64),
    single: nullable(f32),
    double: nullable(f64),
    'w`ö\\rds': nullable(utf8),
    bytes: nullable(binary),
    at: nullable(timestamp),
  };
  const odd = 'a\tb\nc\rd\\e\\N\be\vf\fg"h\'i \0 \u{1f600} é\\';
  const rows: AnyRow[] = [
    {
      id: -2_147_483_648,
      yes: true,
      tiny: -128,
      small: -32_768,
      natural: 0,
      long: -(2n ** 63n),
      single: 0.5,
      double: -1.7976931348623157e308,
      'w`ö\\rds': odd,
      bytes: new Uint8Array([0, 9, 10, 13, 92, 255]),
      at: 0,
    },
    {
      id: 2,
      yes: false,
      tiny: 127,
      small: 32_767,
      natural: 4_294_967_295,
      long: 2n ** 63n - 1n,
      single: 0.10000000149011612,
      double: 0.1,
      'w`ö\\rds': '',
      bytes: new Uint8Array(),
      at: 4_294_967_295_000,
    },
    { id: 3, yes: null, tiny: null, small: null, natural: null, long: null, single: null, double: null, 'w`ö\\rds': null, bytes: null, at: null },
    {
      id: 4,
      yes: true,
      tiny: 0,
      small: 0,
      natural: 0,
      long: 0n,
      single: Number.NaN,
      double: Number.NEGATIVE_INFINITY,
      'w`ö\\rds': '\\N',
      bytes: new Uint8Array([92, 78]),
      at: 1_769_860_800_000,
    },
  ];
  const { run: sink, refused } = await open({ url: at.url, table: 'every `type`', createTable: { orderBy: 'id' } }, fields);
  await sink.write(rows);
  await sink.commit(1);
  await sink.close();
  assert.deepEqual(refused, []);
  const seen = await at.rows(
    'SELECT id, yes, tiny, small, natural, toString(long) AS long, toString(single) AS single, toString(double) AS double, hex(`w`ö\\\\rds`) AS words, hex(bytes) AS bytes, toString(toUInt32(at)) AS at FROM `every \\`type\\`` ORDER BY id'.replace(
      '`w`ö\\\\rds`',
      '`w\\`ö\\\\rds`',
    ),
  );
  const hex = (value: unknown) =>
    value === null
      ? null
      : Buffer.from(value as string)
          .toString('hex')
          .toUpperCase();
  const floatOf = (value: unknown, isSingle: boolean) =>
    value === null ? null : isSingle ? Math.fround(Number(String(value).replace('inf', 'Infinity'))) : Number(String(value).replace('inf', 'Infinity'));
  assert.deepEqual(
    seen.map((row) => ({ ...row, single: floatOf(row['single'], true), double: floatOf(row['double'], false) })),
    rows.map((row) => ({
      ...Object.fromEntries(['id', 'tiny', 'small', 'natural'].map((name) => [name, row[name]])),
      yes: row['yes'] === null ? null : Number(row['yes']),
      long: row['long'] === null ? null : String(row['long']),
      single: row['single'],
      double: row['double'],
      words: hex(row['w`ö\\rds']),
      bytes:
        row['bytes'] === null
          ? null
          : Buffer.from(row['bytes'] as Uint8Array)
              .toString('hex')
              .toUpperCase(),
      at: row['at'] === null ? null : String((row['at'] as number) / 1_000),
    })),
  );
  await at.sql('CREATE TABLE ms (id Int32, at Int64) ENGINE = MergeTree ORDER BY id');
  const ms = await open({ url: at.url, table: 'ms' }, { id: i32, at: timestamp });
  await ms.run.write([{ id: 1, at: -8.64e15 }]);
  assert.deepEqual(await at.rows('SELECT toString(at) AS at FROM ms'), [{ at: '-8640000000000000' }]);
  await ms.run.close();
});

test('rows that the server refuses go to the ledger, and the others are there', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  await at.sql("CREATE TABLE refused (id Int32, code FixedString(3), kind Enum8('a' = 1, 'b' = 2), at DateTime) ENGINE = MergeTree ORDER BY id");
  const rows = Array.from({ length: 500 }, (_, id) => ({ id, code: 'abc', kind: id % 2 === 0 ? 'a' : 'b', at: id * 1_000 }));
  const bad: Record<number, AnyRow> = {
    0: { id: 0, code: 'abcd', kind: 'a', at: 0 },
    100: { id: 100, code: 'abc', kind: 'z', at: 0 },
    101: { id: 101, code: 'abc', kind: 'a', at: -1 },
    499: { id: 499, code: 'abc', kind: 'a', at: 2 ** 33 * 1_000 },
  };
  const { run: sink, refused } = await open({ url: at.url, table: 'refused' }, { id: i32, code: utf8, kind: utf8, at: timestamp });
  await sink.write(rows.map((row, id) => bad[id] ?? row));
  await sink.commit(1);
  assert.deepEqual(
    (await at.rows('SELECT id, toUInt32(at) AS at FROM refused ORDER BY id')).map((row) => [row['id'], row['at']]),
    rows.filter(({ id }) => bad[id] === undefined).map(({ id }) => [id, id]),
  );
  assert.equal(refused.length, 4, refused.map(({ message }) => message).join('\n'));
  for (const { message } of refused) assert.match(message, /Code: \d+/);
  assert.deepEqual([sink.writer.counts?.().rows, sink.writer.counts?.().refused], [496, 4]);
  await sink.close();
});

test('a table, a column, an option or a user that does not fit', async (t) => {
  const url = 'http://app:s3cret@127.0.0.1:1';
  for (const [options, message] of [
    [{ url, table: '' }, /table is ""/],
    [{ url, tabel: 'a' }, /Did you mean table/],
    [{ url, table: 'a', delivery: 'transactional' }, /delivery is/],
    [{ url, table: 'a', changelog: 'upsert' }, /not deleted by key/],
    [{ url, table: 'a', createTable: { orderby: 'x' } }, /Did you mean orderBy/],
    [{ url, table: 'a', settings: { a: true } }, /settings is/],
    [{ url: 'x', table: 'a' }, /url is/],
  ] as const)
    assert.throws(
      () => clickhouse.sink(options as unknown as ClickhouseSinkOptions),
      (error: Error & { code?: string }) => error.code === 'ERR_MILLRACE_OPTION' && message.test(error.message) && !/s3cret/.test(error.message),
      String(message),
    );
  const at = await place(t);
  if (at === undefined) return;
  await at.sql('CREATE TABLE fits (id Int32, n UInt8, d Date DEFAULT today(), m Int32 MATERIALIZED 1) ENGINE = MergeTree ORDER BY id');
  const fails = async (options: Partial<ClickhouseSinkOptions>, fields: SchemaFields, message: RegExp): Promise<void> => {
    const sink = clickhouse.sink({ url: at.url, table: 'fits', deliveryTimeout: 300, ...options });
    await assert.rejects(SinkRun.open(sink, schema(fields)), (error: Error) => message.test(error.message) && !/s3cret/.test(error.message), String(message));
  };
  await fails({ table: 'no_such' }, { id: i32 }, /no_such.*doesn't exist/i);
  await fails({}, { ID: i32 }, /no column "ID"; it has id, n/);
  await fails({}, { id: i64 }, /"id" is Int32 in the table and i64 in the stream, whose values all fit Int64/);
  await fails({}, { id: nullable(i32) }, /may be null in the stream/);
  await fails({}, { m: i32 }, /MATERIALIZED/);
  await fails({ database: 'nowhere' }, { id: i32 }, /nowhere.*doesn't exist/i);
  await fails({ auth: { username: 'nobody', password: 's3cret' } }, { id: i32 }, /refuses.*Check the option auth/);
  await fails({ delivery: 'idempotent' }, { id: i32 }, /engine of the table is MergeTree/);
  await fails({ url: 'http://127.0.0.1:1' }, { id: i32 }, /does not answer.*deliveryTimeout/);
});

const rowOf = ({ unit, seq, attempt, text }: AnyRow): ConformanceRow => ({ unit, seq, attempt, text }) as ConformanceRow;

test('conformance: at-least-once; idempotent with a ReplacingMergeTree', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  for (const delivery of ['at-least-once', 'idempotent'] as const) {
    const table = (name: string) => `${delivery}-${name}`;
    const engine = delivery === 'idempotent' ? 'ReplacingMergeTree' : 'MergeTree';
    const final = delivery === 'idempotent' ? 'FINAL' : '';
    const report = await sinkConformance(
      (name) => clickhouse.sink({ url: at.url, table: table(name), delivery, createTable: { orderBy: ['unit', 'seq'], engine } }),
      {
        async read(name) {
          const [there] = await at.rows(`SELECT count() AS n FROM system.tables WHERE name = '${table(name)}'`);
          return Number(there?.['n']) === 0 ? [] : (await at.rows(`SELECT * FROM \`${table(name)}\` ${final} ORDER BY unit, seq`)).map(rowOf);
        },
        isOrdered: false,
        schedules: 3,
      },
    );
    assert.equal(report.delivery, delivery);
    assert.ok(report.rows > 100, `${report.rows} rows`);
  }
});

test('the server, and then the job, is killed: every row is there', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const rows = 30_000;
  const options = (table: string) => ({ url: at.url, table, delivery: 'idempotent', createTable: { orderBy: 'id', engine: 'ReplacingMergeTree' } });
  const job = await run(new URL('./pipelines/to-server.ts', import.meta.url), {
    workers: 2,
    trigger: 20,
    checkpoint: { dir: join(dir, 'a'), interval: 50 },
    guarantee: 'exactly-once',
    epochBytes: '64KiB',
    params: { to: 'clickhouse', options: options('kept'), rows, rowsPerSecond: 15_000 },
  });
  job.on('warning', () => {});
  await until(() => job.progress().rowsOut > 5_000 || job.progress().state === 'stopped');
  await at.server.kill();
  await until(() => job.progress().state === 'waiting' || job.progress().state === 'failed');
  await at.server.restart();
  await job.done;
  const whole = async (table: string) =>
    assert.deepEqual(await at.rows(`SELECT toUInt32(count()) AS rows, toUInt32(uniqExact(id)) AS ids, max(id) AS last FROM ${table} FINAL`), [
      { rows, ids: rows, last: rows - 1 },
    ]);
  await whole('kept');
  await killJobs(join(dir, 'b'), { to: 'clickhouse', options: options('killed'), rows, rowsPerSecond: 15_000 }, 'exactly-once', 2);
  await whole('killed');
});
