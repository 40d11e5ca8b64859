/** cassandra.sink against a real Cassandra. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import driver from 'cassandra-driver';
import { type AnyRow, binary, bool, f64, i32, i64, nullable, type SchemaFields, SIGN, schema, seededRng, timestamp, utf8 } from '../../core/index.ts';
import { type CassandraSinkOptions, cassandra } from '../../io/cassandra/index.ts';
import { tokenHigh } from '../../io/cassandra/token.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import { throughOutages, type WindowRow } from '../runtime/server-outage.ts';
import { seedOf } from '../seed.ts';
import { openServer } from '../servers.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { EVERY_TYPE, oddRows, writeRefused, writeRows } from './sink-rows.ts';

const KEYSPACE = 'test';
let tables = 0;
const nextTable = () => `t${tables++}`;
let client: driver.Client | undefined;
after(async () => {
  await client?.shutdown();
  // The driver leaves timers behind after an outage, which would keep this process for ever.
  setTimeout(() => process.exit(), 5_000).unref();
});

type Connect = Pick<CassandraSinkOptions, 'contactPoints' | 'localDataCenter' | 'keyspace'>;

/** How to connect, and a client of the test's own. */
async function open(t: TestContext): Promise<{ connect: Connect; client: driver.Client } | undefined> {
  const server = await openServer(t, 'cassandra');
  if (server === undefined) return undefined;
  if (client === undefined) {
    client = new driver.Client({ ...server.connect, policies: { reconnection: new driver.policies.reconnection.ConstantReconnectionPolicy(200) } });
    await client.connect();
    await client.execute(`CREATE KEYSPACE IF NOT EXISTS ${KEYSPACE} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`);
  }
  return { connect: { ...server.connect, keyspace: KEYSPACE }, client };
}

/** Makes a table of these columns, and returns its name. */
async function makeTable(own: driver.Client, columns: string): Promise<string> {
  const table = nextTable();
  await own.execute(`CREATE TABLE ${KEYSPACE}.${table} (${columns})`);
  return table;
}

/** The login that a new Cassandra has. It makes it some time after it takes connections, and refuses it until then. */
const LOGIN = { username: 'cassandra', password: 'cassandra' };

async function untilLoginsWork(options: driver.ClientOptions): Promise<void> {
  for (let left = 240; ; left--) {
    const tried = new driver.Client(options);
    const error = await tried.connect().catch((refused: Error) => refused);
    await tried.shutdown();
    if (error === undefined) return;
    if (left === 0) throw error;
    await sleep(500);
  }
}

async function rowsOf(own: driver.Client, table: string): Promise<driver.types.Row[]> {
  const rows: driver.types.Row[] = [];
  for await (const row of own.stream(`SELECT * FROM ${KEYSPACE}.${table}`, [], { prepare: true, autoPage: true }) as unknown as AsyncIterable<driver.types.Row>)
    rows.push(row);
  return rows;
}

const write = <F extends SchemaFields>(options: CassandraSinkOptions, fields: F, rows: readonly AnyRow[], units = 1) =>
  writeRefused(cassandra.sink(options), fields, rows, units);

const ROWS = oddRows({ id: 'high "\\ \n\u0000 🐟', double: Number.NaN, at: 8_640_000_000_000_000 });

/** A value as the driver reads it, and as we have it, in one form. */
function plain(value: unknown): unknown {
  if (value instanceof Date) return String(value.getTime());
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value === null || typeof value === 'boolean' ? value : String(value);
}

const plainRows = (rows: Iterable<object>) =>
  Object.fromEntries(
    [...rows].map((row) => [(row as { id: string }).id, Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]))]),
  );

describe('cassandra', () => {
  test('all types, extremes, nulls and odd text', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const tight = `id text PRIMARY KEY, flag boolean, tiny tinyint, small smallint, int int, unsigned bigint, long bigint, single float, double double,
      text text, bytes blob, at timestamp`;
    const wide = `id varchar PRIMARY KEY, flag boolean, tiny int, small varint, int bigint, unsigned varint, long varint, single double, double double,
      text text, bytes blob, at varint`;
    for (const columns of [tight, wide]) {
      const table = await makeTable(at.client, columns);
      assert.deepEqual(await write({ ...at.connect, table }, EVERY_TYPE, ROWS, 3), []);
      assert.deepEqual(plainRows(await rowsOf(at.client, table)), plainRows(ROWS));
    }
  });

  test('varints of every length, dates, uuids, and names of columns with capitals', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const table = await makeTable(at.client, 'id int PRIMARY KEY, v varint, day date, who uuid, "windowStart" timestamp, window_end bigint');
    const numbers = Array.from({ length: 63 }, (_, bit) => 1n << BigInt(bit)).flatMap((power) => [power, power - 1n, -power, -power - 1n]);
    const uuid = '123E4567-e89b-12d3-a456-42661417400f';
    const day = 86_400_000;
    const rows = numbers.map((v, id) => ({ id, v, day: (id - 50) * day - (id % 2), who: uuid, windowStart: id, windowEnd: 5 - id }));
    const columns = { id: 'id', v: 'v', day: 'day', who: 'who', windowStart: 'windowStart', windowEnd: 'window_end' };
    const fields = { id: i32, v: i64, day: timestamp, who: utf8, windowStart: timestamp, windowEnd: timestamp };
    assert.deepEqual(await write({ ...at.connect, table, columns }, fields, rows), []);
    const stored = new Map((await rowsOf(at.client, table)).map((row) => [row['id'] as number, row]));
    for (const row of rows) {
      const found = stored.get(row.id) as driver.types.Row;
      const expectedDay = new Date(row.day).toISOString().slice(0, 10);
      assert.deepEqual(
        [String(found['v']), String(found['day']), String(found['who']), found['windowStart'].getTime(), Number(found['window_end'])],
        [String(row.v), expectedDay, uuid.toLowerCase(), row.windowStart, row.windowEnd],
      );
    }
    const refused = await write({ ...at.connect, table, columns: ['id', 'who'] }, { id: i32, who: utf8 }, [{ id: 1_000, who: 'nobody' }]);
    assert.deepEqual(
      refused.map((words) => words.replace(/^.*refuses a row: /, '')),
      ['the column "who" is nobody, which is no uuid. The row: {"id":1000,"who":"nobody"}'],
    );
  });

  test('doubles as integers: counts and sums are doubles; one that is not whole is refused', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const table = await makeTable(at.client, 'id int PRIMARY KEY, i int, b bigint, v varint');
    const values = [
      0,
      1,
      -1,
      2 ** 31 - 1,
      -(2 ** 31),
      2 ** 31,
      -(2 ** 53),
      2 ** 53 + 2,
      2 ** 62,
      -(2 ** 63),
      2 ** 63,
      1.5,
      Number.NaN,
      Number.NEGATIVE_INFINITY,
    ];
    const fields = { id: i32, i: f64, b: f64, v: f64 };
    for (const [column, limit] of [
      ['i', 2 ** 31],
      ['b', 2 ** 63],
      ['v', 2 ** 63],
    ] as const) {
      const isTaken = (value: number) => Number.isInteger(value) && value >= -limit && value < limit;
      const refused: string[] = await write(
        { ...at.connect, table, columns: ['id', column] },
        fields,
        values.map((value, id) => ({ id, i: value, b: value, v: value })),
      );
      const stored: Map<number, string> = new Map((await rowsOf(at.client, table)).map((row) => [row['id'], String(row[column])]));
      const expected = values.flatMap((value, id) => (isTaken(value) ? [[id, String(BigInt(value))] as const] : []));
      assert.deepEqual(
        expected.map(([id]) => [id, stored.get(id)]),
        expected,
      );
      assert.equal(refused.length, values.length - expected.length);
      assert.match(refused.find((words) => words.includes('1.5')) as string, /is 1.5, which is no (int|bigint|varint)/);
      await at.client.execute(`TRUNCATE ${KEYSPACE}.${table}`);
    }
  });

  test('rows of one key in one request: the later one stays; nulls and ttl; rows of a table go', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const table = await makeTable(at.client, 'page text, id int, n int, m int, PRIMARY KEY ((page), id)');
    const fields = { page: utf8, id: i32, n: nullable(i32), m: i32 };
    const own: CassandraSinkOptions = { ...at.connect, table, key: ['page', 'id'] };
    // Descending: at one time Cassandra would keep the larger value.
    const rows = Array.from({ length: 500 }, (_, i) => ({ page: 'a', id: i % 5, n: 500 - i, m: 1 }));
    assert.deepEqual(await write(own, fields, rows), []);
    const stored = async () => Object.fromEntries((await rowsOf(at.client, table)).map((row) => [`${row['page']}${row['id']}`, row['n'] as number | null]));
    assert.deepEqual(await stored(), { a0: 5, a1: 4, a2: 3, a3: 2, a4: 1 });
    await write({ ...own, nulls: 'skip' }, fields, [{ page: 'a', id: 0, n: null, m: 2 }]);
    await write(own, fields, [{ page: 'a', id: 1, n: null, m: 2 }]);
    assert.deepEqual(await stored(), { a0: 5, a1: null, a2: 3, a3: 2, a4: 1 });
    await write({ ...own, ttl: '1h' }, fields, [{ page: 'b', id: 1, n: 7, m: 2 }]);
    const { rows: ttls } = await at.client.execute(`SELECT TTL(n) AS ttl FROM ${KEYSPACE}.${table} WHERE page = 'b' AND id = 1`);
    assert.ok(ttls[0]?.['ttl'] > 3_000 && ttls[0]?.['ttl'] <= 3_600);

    const signedFields = { ...fields, [SIGN]: bool };
    const change = (id: number, n: number, retracted: boolean) => ({ page: 'a', id, n, m: 1, [SIGN]: retracted });
    await write(own, signedFields, [
      change(0, 5, true),
      change(1, 0, true),
      change(1, 10, false),
      change(2, 3, true),
      change(6, 1, false),
      change(2, 1, false),
      change(7, 1, false),
      change(7, 1, true),
      change(8, 8, false),
    ]);
    assert.deepEqual(await stored(), { a1: 10, a2: 1, a3: 2, a4: 1, a6: 1, a8: 8, b1: 7 });
    await assert.rejects(write({ ...own, version: 'm' }, signedFields, []), { code: 'ERR_MILLRACE_PIPELINE', message: /version is for facts/ });
    await assert.rejects(write({ ...own, key: 'page' }, fields, []), {
      code: 'ERR_MILLRACE_SINK',
      message: /key is page, and the primary key of the table is page, id/,
    });
  });

  test('a version is not undercut: what a process that was replaced still sends changes nothing', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    for (const [type, unit] of [
      [i64, 1],
      [timestamp, 1_000],
    ] as const) {
      const table = await makeTable(at.client, 'id text PRIMARY KEY, v bigint');
      for (const v of [5, 3, 5, 6, 4])
        await write({ ...at.connect, table, version: 'v' }, { id: utf8, v: type }, [{ id: 'a', v: type === i64 ? BigInt(v) : v }]);
      const { rows }: driver.types.ResultSet = await at.client.execute(`SELECT v, WRITETIME(v) AS t FROM ${KEYSPACE}.${table}`);
      assert.deepEqual(
        rows.map((row) => [Number(row['v']), Number(row['t'])]),
        [[6, 6 * unit]],
      );
    }
  });

  test('batches of every size store the same', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const rows = Array.from({ length: 3_000 }, (_, i) => ({ page: `p${i % 700}`, id: i, text: 'x'.repeat(i % 50) }));
    for (const sizes of [{}, { batchPartitions: 1 }, { batchPartitions: 200, batchBytes: 40_000 }, { batchBytes: 1 }]) {
      const table = await makeTable(at.client, 'page text, id int, text text, PRIMARY KEY (page, id)');
      assert.deepEqual(await write({ ...at.connect, table, ...sizes }, { page: utf8, id: i32, text: utf8 }, rows, 4), []);
      const stored = (await rowsOf(at.client, table)).map((row) => [row['id'], row['page'], row['text']]).sort(([a], [b]) => a - b);
      assert.deepEqual(
        stored,
        rows.map(({ page, id, text }) => [id, page, text]),
      );
    }
  });

  test('rows that cannot be stored are in the ledger, and their neighbours are stored', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const table = await makeTable(at.client, 'a text, b int, name ascii, v blob, PRIMARY KEY (a, b)');
    const fields = { a: nullable(utf8), b: nullable(i32), name: utf8, v: binary };
    const v = new Uint8Array(1);
    const refused = await write({ ...at.connect, table }, fields, [
      { a: 'ok', b: 1, name: 'n', v },
      { a: null, b: 2, name: 'n', v },
      { a: 'x', b: null, name: 'n', v },
      { a: '', b: 4, name: 'n', v },
      { a: 'x'.repeat(70_000), b: 5, name: 'n', v },
      { a: 'ok', b: 6, name: 'no ascii: ü', v },
      ...Array.from({ length: 40 }, (_, i) => ({ a: 'ok', b: 10 + i, name: i === 20 ? 'ü' : 'n', v })),
      { a: 'ok', b: 7, name: 'large', v: new Uint8Array(17 << 20) },
      { a: 'ok', b: 8, name: 'n', v },
    ]);
    assert.deepEqual(
      (await rowsOf(at.client, table)).map((row) => row['b']),
      [1, 8, ...Array.from({ length: 40 }, (_, i) => 10 + i).filter((b) => b !== 30)],
    );
    const words = [
      /"a" is null. The row: \{"a":null,"b":2/,
      /"b" is null/,
      /the partition key is empty/,
      /the partition key has 70000 bytes/,
      /"b":6/,
      /"b":30/,
      /too big.*"b":7/,
    ];
    assert.equal(refused.length, words.length, refused.map((one) => one.slice(0, 200)).join('\n'));
    for (const expected of words)
      assert.ok(
        refused.some((one) => expected.test(one)),
        String(expected),
      );
    assert.match(
      refused.find((one) => one.includes('"b":6')) as string,
      /refuses a row: .*(ASCII|ascii|validate).* The row: \{"a":"ok","b":6,"name":"no ascii: ü","v":"AA=="\}/,
    );
    await assert.rejects(write({ ...at.connect, table, refused: 'fail' }, fields, [{ a: 'ok', b: 6, name: 'ü', v }]), { code: 'ERR_MILLRACE_SINK' });
  });

  test('a place that cannot be written to ends the job with what is wrong', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const table = await makeTable(at.client, 'page text, "windowStart" timestamp, n int, list list<int>, PRIMARY KEY (page, "windowStart")');
    const fields = { page: utf8, windowStart: timestamp, n: i32 };
    const rejects = (options: object, message: RegExp, more: SchemaFields = fields) =>
      assert.rejects(write({ ...at.connect, table, ...options }, more, []), { code: 'ERR_MILLRACE_SINK', message });
    await rejects({ keyspace: 'nowhere' }, /there is no keyspace "nowhere"/);
    await rejects(
      { table: 'Clicks', key: ['page', 'windowStart'] },
      /has no table "Clicks". This one would do: CREATE TABLE test."Clicks" \(page text, "windowStart" timestamp, n int, PRIMARY KEY \(page, "windowStart"\)\)/,
    );
    await rejects({}, /the column "n" is i64, and the table's "n" is int. It takes i64 as bigint, varint/, { ...fields, n: i64 });
    await rejects({}, /has no column "window_start". It has list, n, page, windowStart. Give its name there: columns: \{ "window_start": "windowStart"/, {
      page: utf8,
      window_start: timestamp,
    });
    await rejects({ columns: ['page', 'n'] }, /the table's key has the column "windowStart", and nothing is written to it/);
    await rejects({}, /"list" is list<int>. It takes i32 as int, bigint, varint/, { ...fields, list: i32 });
    const counter = await makeTable(at.client, 'page text PRIMARY KEY, n counter');
    await rejects({ table: counter }, /"n" is a counter/, { page: utf8, n: i64 });
    await rejects({ localDataCenter: 'elsewhere' }, /cannot be written to: .*'elsewhere'.* Check the option localDataCenter/);
    await rejects({ contactPoints: '127.0.0.1:9', deliveryTimeout: 300 }, /cassandra test.t\d+ at 127.0.0.1:9: .*ECONNREFUSED.*It was tried for 300 ms/);
    // Gone while the job runs.
    const sink = cassandra.sink({ ...at.connect, table });
    const dropping = {
      ...sink,
      async open(context: Parameters<typeof sink.open>[0]) {
        const writer = await sink.open(context);
        await at.client.execute(`DROP TABLE ${KEYSPACE}.${table}`);
        return writer;
      },
    };
    await assert.rejects(writeRows(dropping, fields, [{ page: 'a', windowStart: 1, n: 1 }]), { code: 'ERR_MILLRACE_SINK', message: /is not written to: / });
  });

  test('wrong credentials are refused, without the password in the message', { timeout: 300_000 }, async (t) => {
    const server = await openServer(t, 'cassandra', { settings: { authenticator: 'PasswordAuthenticator' } });
    if (server === undefined) return;
    const own = { ...server.connect, keyspace: 'system', table: 'nothing' };
    await untilLoginsWork({ ...server.connect, credentials: LOGIN });
    await assert.rejects(write({ ...own, auth: { username: 'cassandra', password: 'secret-word' } }, { id: utf8 }, []), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_MILLRACE_SINK');
      assert.match(error.message, /cannot be written to: .* Check the option auth/);
      return !error.message.includes('secret-word');
    });
    await assert.rejects(write(own, { id: utf8 }, []), { code: 'ERR_MILLRACE_SINK', message: /Check the option auth/ });
    await assert.rejects(write({ ...own, auth: LOGIN }, { id: utf8 }, []), { message: /has no table "nothing"/ });
    await server.stop();
  });

  test('holds what an idempotent sink promises', async (t) => {
    const at = await open(t);
    if (at === undefined) return;
    const made = new Set<string>();
    const base = nextTable();
    const tableOf = (place: string) => `${base}_${place.replace(/\W/g, '_')}`;
    const columns = '(unit int, seq int, attempt int, text text, PRIMARY KEY (unit, seq))';
    const report = await sinkConformance(
      (place) => {
        const sink = cassandra.sink({ ...at.connect, table: tableOf(place) });
        return {
          ...sink,
          async open(context) {
            await at.client.execute(`CREATE TABLE IF NOT EXISTS ${KEYSPACE}.${tableOf(place)} ${columns}`);
            made.add(place);
            return sink.open(context);
          },
        };
      },
      {
        read: async (place) => (made.has(place) ? (await rowsOf(at.client, tableOf(place))).map((row) => ({ ...row }) as unknown as ConformanceRow) : []),
        isOrdered: false,
        schedules: 2,
      },
    );
    assert.equal(report.delivery, 'idempotent');
  });

  test('the server is killed in the middle and comes back: nothing lost, nothing doubled', { timeout: 600_000 }, async (t) => {
    const at = await open(t);
    const server = await openServer(t, 'cassandra');
    if (at === undefined || server === undefined) return;
    const table = await makeTable(at.client, 'key text, "windowStart" timestamp, "windowEnd" timestamp, rows bigint, n int, PRIMARY KEY (key, "windowStart")');
    // The driver forgets pools of a node that comes back, and they connect again for ever: none of ours is open meanwhile.
    await at.client.shutdown();
    client = undefined;
    await throughOutages(t, {
      sink: 'cassandra',
      options: { ...at.connect, table, version: 'windowEnd' },
      server,
      guarantee: 'exactly-once',
      kills: 1,
      async read() {
        const { client: own } = (await open(t)) ?? at;
        const rows = await rowsOf(own, table);
        await own.shutdown();
        client = undefined;
        return rows.map((row): WindowRow => {
          const time = (name: string) => (row[name] as Date).getTime();
          return { key: row['key'], windowStart: time('windowStart'), windowEnd: time('windowEnd'), rows: Number(row['rows']), n: row['n'] };
        });
      },
    });
  });
});

test('tokens are those of the driver, in their upper half', () => {
  const rng = seededRng(seedOf(1));
  const { Murmur3Tokenizer } = createRequire(import.meta.url)('cassandra-driver/lib/tokenizer.js') as {
    Murmur3Tokenizer: new () => { hash(key: Buffer): { getValue(): { toString(): string } } };
  };
  const tokenizer = new Murmur3Tokenizer();
  for (let length = 0; length < 200; length++) {
    const key = Buffer.from(Array.from({ length }, () => rng.int(256)));
    const token = BigInt(tokenizer.hash(key).getValue().toString());
    assert.equal(tokenHigh(key, 0, length), Number(BigInt.asIntN(32, token >> 32n)), key.toString('hex'));
  }
});

test('without the driver the error says what to install', () => {
  const program = `
    import { register } from 'node:module';
    const hook = "export async function resolve(name, context, next) { if (name === 'cassandra-driver') throw Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' }); return next(name, context); }";
    register('data:text/javascript,' + encodeURIComponent(hook));
    const { cassandra } = await import('./io/cassandra/index.ts');
    const sink = cassandra.sink({ contactPoints: '127.0.0.1', localDataCenter: 'd', keyspace: 'k', table: 't' });
    const { schema, utf8 } = await import('./core/index.ts');
    await sink.open({ schema: schema({ a: utf8 }), pipeline: 'p', signal: new AbortController().signal }).catch((error) => console.log(error.code, error.message));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, [...TYPESCRIPT, '--input-type=module', '-e', program], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    encoding: 'utf8',
  });
  assert.match(stdout, /^ERR_MILLRACE_SINK cassandra k.t needs the driver of Cassandra, which is not installed: npm i cassandra-driver/, stderr);
});

test('cassandra.sink: options that cannot be', () => {
  const good = { contactPoints: '127.0.0.1', localDataCenter: 'd', keyspace: 'k', table: 't' };
  const bad = (options: object, message: RegExp) =>
    assert.throws(() => cassandra.sink({ ...good, ...options } as never), { code: 'ERR_MILLRACE_OPTION', message });
  bad({ contactPoints: [] }, /contactPoints is .* it must be a node/);
  bad({ localDataCenter: undefined }, /localDataCenter is undefined/);
  bad({ keyspace: '' }, /keyspace is ""/);
  bad({ consistency: 'most' }, /consistency is "most"; it must be one of any, one/);
  bad({ ttl: 5 }, /ttl/);
  bad({ ttl: '30000d' }, /Cassandra takes 20 years at most/);
  bad({ batchPartitions: 0 }, /batchPartitions is 0; it must be a whole number from 1/);
  bad({ auth: { username: 'a', pasword: 'b' } }, /auth: there is no option "pasword"/);
  bad({ tabel: 't' }, /there is no option "tabel". Did you mean table\?/);
  bad({ columns: {} }, /columns is .* it must be a list of columns/);
  const check = (options: object, message: RegExp) =>
    assert.throws(() => cassandra.sink({ ...good, ...options } as never).check(schema({ page: utf8, n: f64 })), {
      code: /ERR_MILLRACE_(PIPELINE|SCHEMA)/,
      message,
    });
  check({ key: 'pag' }, /pag/);
  check({ key: 'page', columns: ['n'] }, /key names the column "page", which is not among the columns that are written/);
  check({ version: 'n' }, /version names the column "n", which is f64/);
});
