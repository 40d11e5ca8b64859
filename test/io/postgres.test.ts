/** postgres.sink against a real server: what it writes, what is refused, and what a reader sees of checkpoints. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import {
  type AnyRow,
  binary,
  bool,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  nullable,
  type SchemaFields,
  SIGN,
  schema,
  timestamp,
  u32,
  utf8,
  withSign,
} from '../../core/index.ts';
import { type PostgresSinkOptions, postgres } from '../../io/postgres/index.ts';
import type { RefusedRow, Sink } from '../../io/sink.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import { openServer } from '../servers.ts';
import { SinkRun } from './harness.ts';

interface Place {
  readonly connection: { readonly host: string; readonly port: number; readonly user: string; readonly database: string };
  readonly url: string;
  readonly sql: (text: string) => Promise<AnyRow[]>;
  readonly server: { kill(): Promise<void>; restart(): Promise<void> };
}

async function place(t: TestContext): Promise<Place | undefined> {
  const server = await openServer(t, 'postgres');
  if (server === undefined) return undefined;
  const client = new pg.Client(server.connect);
  await client.connect();
  t.after(() => client.end());
  return { connection: server.connect, url: server.url, server, sql: async (text) => (await client.query(text)).rows };
}

/** A sink with both ends open, and what it refuses. */
async function open(sink: Sink, fields: SchemaFields, { isChanges = false, guarantee = 'at-least-once' as 'at-least-once' | 'exactly-once' } = {}) {
  const refused: RefusedRow[] = [];
  const columns = isChanges ? withSign(schema(fields)) : schema(fields);
  const told: Sink = { ...sink, open: (context) => sink.open({ ...context, refused: (row) => void refused.push(row) }) };
  return { run: await SinkRun.open(told, columns, { guarantee }), refused };
}

const EVERY = {
  id: i32,
  yes: nullable(bool),
  tiny: nullable(i8),
  small: nullable(i16),
  whole: nullable(i32),
  natural: nullable(u32),
  long: nullable(i64),
  single: nullable(f32),
  double: nullable(f64),
  words: nullable(utf8),
  bytes: nullable(binary),
  at: nullable(timestamp),
};
const ODD = 'a\tb\nc\rd\\e\\N\\.\be\vf\fg"h\'i \u{1f600} é\\';
const ROWS: AnyRow[] = [
  {
    id: 1,
    yes: true,
    tiny: -128,
    small: -32_768,
    whole: -2_147_483_648,
    natural: 0,
    long: -(2n ** 63n),
    single: -0,
    double: -0,
    words: '',
    bytes: new Uint8Array(),
    at: 0,
  },
  {
    id: 2,
    yes: false,
    tiny: 127,
    small: 32_767,
    whole: 2_147_483_647,
    natural: 4_294_967_295,
    long: 2n ** 63n - 1n,
    single: 3.4028234663852886e38,
    double: 1.7976931348623157e308,
    words: ODD,
    bytes: new Uint8Array([0, 1, 9, 10, 92, 255]),
    at: 1_769_860_800_250,
  },
  { id: 3, yes: null, tiny: null, small: null, whole: null, natural: null, long: null, single: null, double: null, words: null, bytes: null, at: null },
  {
    id: 4,
    yes: true,
    tiny: 0,
    small: 1,
    whole: 2,
    natural: 3,
    long: 4n,
    single: Number.NaN,
    double: Number.NEGATIVE_INFINITY,
    words: '\\N',
    bytes: new Uint8Array([92, 120]),
    at: -1,
  },
  {
    id: 5,
    yes: true,
    tiny: 0,
    small: 1,
    whole: 2,
    natural: 3,
    long: 9_007_199_254_740_993n,
    single: 1.401298464324817e-45,
    double: 5e-324,
    words: '\\.',
    bytes: new Uint8Array([0]),
    at: -62_135_596_800_000,
  },
  {
    id: 6,
    yes: true,
    tiny: 0,
    small: 1,
    whole: 2,
    natural: 3,
    long: 5n,
    single: 0.10000000149011612,
    double: 0.1,
    words: 'x'.repeat(70_000),
    bytes: new Uint8Array([1]),
    at: 253_402_300_800_000,
  },
  // The Ides of March of 44 BC.
  {
    id: 7,
    yes: true,
    tiny: 0,
    small: 1,
    whole: 2,
    natural: 3,
    long: 5n,
    single: 1,
    double: 1e21,
    words: 'é',
    bytes: new Uint8Array([1]),
    at: Date.UTC(-43, 2, 15, 12),
  },
];

/** The rows of a table of EVERY, as they went in. */
async function every({ sql }: Place, table: string): Promise<AnyRow[]> {
  const rows = await sql(
    `SELECT id, yes, tiny, small, whole, "natural"::text AS natural, long::text AS long, single, double, words, bytes, (extract(epoch FROM at) * 1000)::text AS at FROM ${table} ORDER BY id`,
  );
  return rows.map((row) => ({
    ...row,
    natural: row['natural'] === null ? null : Number(row['natural']),
    long: row['long'] === null ? null : BigInt(row['long'] as string),
    single: row['single'] === null ? null : Math.fround(row['single'] as number),
    bytes: row['bytes'] === null ? null : new Uint8Array(row['bytes'] as Buffer),
    at: row['at'] === null ? null : Number(row['at']),
  }));
}

test('every type, with extremes, nulls and odd text: appended, staged, and by key', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  for (const [table, options, guarantee] of [
    ['every_appended', {}, 'at-least-once'],
    ['every_staged', {}, 'exactly-once'],
    ['every_keyed', { key: 'id' }, 'at-least-once'],
    ['every keyed.odd "name"', { key: ['id'] }, 'exactly-once'],
  ] as const) {
    if (table.includes('.')) await at.sql('CREATE SCHEMA IF NOT EXISTS "every keyed"');
    const { run, refused } = await open(postgres.sink({ connection: at.url, table, createTable: true, ...options }), EVERY, { guarantee });
    await run.writer.recover?.(-1);
    await run.write(ROWS);
    await run.writer.prepare?.(1);
    await run.commit(1);
    await run.close();
    assert.deepEqual(refused, []);
    const quoted = table
      .split('.')
      .map((name) => `"${name.replaceAll('"', '""')}"`)
      .join('.');
    assert.deepEqual(await every(at, quoted), ROWS, table);
  }
});

test('rows that the server refuses go to the ledger, each with its words, and the others are there', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const fields = { id: i32, name: nullable(utf8), n: i64 };
  const rows = Array.from({ length: 3_000 }, (_, id) => ({ id, name: `n${id}` as string | null, n: BigInt(id) }));
  const bad: Record<number, readonly [AnyRow, RegExp]> = {
    0: [{ id: 0, name: 'much too long for it', n: 0n }, /too long/],
    17: [{ id: 17, name: null, n: 0n }, /null value.*not-null/],
    18: [{ id: 18, name: 'nul \0', n: 0n }, /0x00/],
    1500: [{ id: 1_500, name: 'n', n: -1n }, /check constraint "positive"/],
    1501: [{ id: 1_501, name: 'n', n: 2n ** 40n }, /out of range/],
    2999: [{ id: 1, name: 'n', n: 0n }, /duplicate key.*\(id\)=\(1\)/],
  };
  const given = rows.map((row, id) => bad[id]?.[0] ?? row);
  const definition = '(id int PRIMARY KEY, name varchar(8) NOT NULL, n int CONSTRAINT positive CHECK (n >= 0))';
  for (const [table, guarantee] of [
    ['refused_appended', 'at-least-once'],
    ['refused_staged', 'exactly-once'],
  ] as const) {
    await at.sql(`CREATE TABLE ${table} ${definition}`);
    const { run, refused } = await open(postgres.sink({ connection: at.connection, table, requestRows: 700 }), fields, { guarantee });
    await run.writer.recover?.(-1);
    await run.write(given);
    await run.writer.prepare?.(1);
    await run.commit(1);
    assert.deepEqual(
      await at.sql(`SELECT id, name, n FROM ${table} ORDER BY id`),
      rows.filter(({ id }) => bad[id] === undefined).map((row) => ({ ...row, n: Number(row.n) })),
      table,
    );
    const messages = refused.map(({ message }) => message);
    for (const [, words] of Object.values(bad))
      assert.equal(messages.filter((message) => words.test(message)).length, 1, `${words} in\n${messages.join('\n')}`);
    assert.equal(refused.length, Object.keys(bad).length);
    const counts = run.writer.counts?.();
    assert.deepEqual([counts?.rows, counts?.refused], [3_000 - 6, 6]);
    await run.close();
  }
  // By key a second row of a key is no fault; a constraint that waits for the commit, and one on another column, are.
  await at.sql('CREATE TABLE refused_keyed (id int PRIMARY KEY, name varchar(8) NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED, n int)');
  const { run, refused } = await open(postgres.sink({ connection: at.connection, table: 'refused_keyed', key: 'id' }), fields);
  await run.write([
    { id: 1, name: 'a', n: 1n },
    { id: 2, name: 'b', n: 2n },
    { id: 3, name: 'a', n: 3n },
    { id: 1, name: 'c', n: 4n },
    { id: 4, name: 'a', n: 5n },
  ]);
  await run.commit(1);
  const kept = await at.sql('SELECT id, name, n FROM refused_keyed ORDER BY id');
  // Of three rows that want the name a, one has it.
  assert.equal(kept.filter(({ name }) => name === 'a').length, 1);
  assert.deepEqual(
    kept.filter(({ name }) => name !== 'a'),
    [
      { id: 1, name: 'c', n: '4' },
      { id: 2, name: 'b', n: '2' },
    ].map((row) => ({ ...row, n: Number(row.n) })),
  );
  assert.equal(refused.length, 1, refused.map(({ message }) => message).join('\n'));
  assert.match(refused[0]?.message ?? '', /duplicate key.*\(name\)=\(a\)/);
  await run.close();
});

test('changes of a table: the last row of a key stays, and rows that go are deleted', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const fields = { page: utf8, shop: i32, n: i32 };
  const sink = postgres.sink({ connection: at.connection, table: 'changes', key: ['shop', 'page'], createTable: true });
  const { run } = await open(sink, fields, { isChanges: true });
  const row = (page: string, shop: number, n: number, isGone = false) => ({ page, shop, n, [SIGN]: isGone });
  await run.write([row('a', 1, 1), row('b', 1, 1), row('a', 2, 1)]);
  await run.write([row('a', 1, 1, true), row('a', 1, 2), row('b', 1, 1, true), row('c', 1, 1), row('c', 1, 1, true), row('c', 1, 7)]);
  await run.commit(1);
  assert.deepEqual(await at.sql('SELECT page, shop, n FROM changes ORDER BY shop, page'), [
    { page: 'a', shop: 1, n: 2 },
    { page: 'c', shop: 1, n: 7 },
    { page: 'a', shop: 2, n: 1 },
  ]);
  await run.close();
  // All columns are the key: there is nothing to set.
  const set = await open(postgres.sink({ connection: at.connection, table: 'seen', key: 'page', createTable: true }), { page: utf8 });
  await set.run.write([{ page: 'a' }, { page: 'a' }]);
  await set.run.write([{ page: 'a' }, { page: 'b' }]);
  assert.deepEqual(await at.sql('SELECT page FROM seen ORDER BY page'), [{ page: 'a' }, { page: 'b' }]);
  await set.run.close();
});

test('options that cannot be are refused when the sink is made, without their secrets', () => {
  const connection = 'postgresql://app:s3cret@127.0.0.1/x';
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ connection, table: 'a', tabel: 'b' }, /no option "tabel"/],
    [{ connection: 'mysql://app:s3cret@h/x', table: 'a' }, /does not begin with postgresql:/],
    [{ connection, table: 'a.b.c' }, /table is "a\.b\.c"/],
    [{ connection, table: '' }, /table is ""/],
    [{ connection, table: 'a', key: [] }, /key is \[\]/],
    [{ connection, table: 'a', changelog: 'upsert' }, /Give the columns of a unique index/],
    [{ connection, table: 'a', key: 'x', changelog: 'retract' }, /one row of a key/],
    [{ connection, table: 'a', createTable: 'yes' }, /createTable is "yes"/],
    [{ connection, table: 'a', name: '' }, /name is ""/],
    [{ connection, table: 'a', concurrency: 0 }, /concurrency is 0/],
  ];
  for (const [options, message] of cases) {
    assert.throws(
      () => postgres.sink(options as PostgresSinkOptions),
      (error: Error & { code?: string }) => error.code === 'ERR_MILLRACE_OPTION' && message.test(error.message) && !/s3cret/.test(error.message),
      String(message),
    );
  }
  assert.throws(() => postgres.sink({ connection, table: 'a', key: 'id' }).check(schema({ n: i32 })), /"?id"?/);
});

test('a table, a column or a user that does not fit ends the job with what to do', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  await at.sql('CREATE TABLE fits (id int, name text, made int GENERATED ALWAYS AS (1) STORED, free int UNIQUE)');
  const fails = async (options: Partial<PostgresSinkOptions>, fields: SchemaFields, message: RegExp): Promise<void> => {
    const sink = postgres.sink({ connection: at.connection, table: 'fits', ...options });
    await assert.rejects(
      open(sink, fields),
      (error: Error & { code?: string }) => error.code === 'ERR_MILLRACE_SINK' && message.test(error.message) && !/s3cret/.test(error.message),
      String(message),
    );
  };
  await fails({ table: 'no_such' }, { id: i32 }, /no table "no_such".*createTable: true.*CREATE TABLE "no_such" \("id" integer NOT NULL\)/);
  await fails({}, { ID: i32 }, /no column "ID"; it has id, name/);
  await fails({}, { id: timestamp }, /"id" is int4 in the table and timestamp in the stream/);
  await fails({}, { made: i32 }, /generated by the server/);
  await fails({ key: 'id' }, { id: i32 }, /no unique index of just these columns.*CREATE UNIQUE INDEX ON "fits" \("id"\)/);
  await fails({ key: 'free' }, { free: nullable(i32) }, /nulls are never the same key/);
  await fails({ connection: { ...at.connection, user: 'nobody', password: 's3cret' } }, { id: i32 }, /role "nobody" does not exist.*user and password/);
  await fails({ connection: { ...at.connection, database: 'nowhere' } }, { id: i32 }, /database "nowhere" does not exist/);
  await fails({ connection: { ...at.connection, ssl: true } }, { id: i32 }, /does not support SSL/);
  await fails({ connection: { ...at.connection, port: 1 }, deliveryTimeout: 300 }, { id: i32 }, /does not answer.*deliveryTimeout/);
});

const parsed = (rows: AnyRow[]): ConformanceRow[] => rows.map(({ unit, seq, attempt, text }) => ({ unit, seq, attempt, text }) as ConformanceRow);

test('conformance: appended, replayed by epoch', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const report = await sinkConformance((table) => postgres.sink({ connection: at.connection, table, createTable: true }), {
    read: async (table) =>
      (await at.sql(`SELECT to_regclass('"${table}"') AS there`))[0]?.['there'] === null ? [] : parsed(await at.sql(`SELECT * FROM "${table}"`)),
    isOrdered: false,
    schedules: 6,
  });
  assert.equal(report.delivery, 'replayed by epoch');
  assert.ok(report.rows > 1_000, `${report.rows} rows`);
  assert.ok(report.overlaps.fenced > 0 && report.overlaps.refused === 0);
  for (const [point, count] of Object.entries(report.crashes)) assert.ok(count > 0, `no crash was ${point}`);
  const left = await at.sql("SELECT relname FROM pg_class WHERE relname LIKE 'millrace_staged%lanes'");
  assert.ok(left.length <= 12, `${left.length} staging tables are left`);
});

test('conformance: by key, idempotent', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const report = await sinkConformance(
    (table) => postgres.sink({ connection: at.connection, table: `keyed-${table}`, createTable: true, key: ['unit', 'seq'] }),
    {
      read: async (table) =>
        (await at.sql(`SELECT to_regclass('"keyed-${table}"') AS there`))[0]?.['there'] === null
          ? []
          : parsed(await at.sql(`SELECT * FROM "keyed-${table}" ORDER BY unit, seq`)),
      isOrdered: false,
      schedules: 6,
    },
  );
  assert.equal(report.delivery, 'idempotent');
  assert.ok(report.rows > 1_000, `${report.rows} rows`);
});
