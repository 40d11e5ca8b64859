/** hbase.sink against a real HBase with its REST server. */

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type AnyRow, binary, bool, crc32cBytes, f64, i32, i64, nullable, type SchemaFields, SIGN, schema, timestamp, utf8 } from '../../core/index.ts';
import { type HBaseSinkOptions, hbase } from '../../io/hbase/index.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import { throughOutages } from '../runtime/server-outage.ts';
import { openServer } from '../servers.ts';
import { EVERY_TYPE, oddRows, writeRefused, writeRows } from './sink-rows.ts';

let tables = 0;
const nextTable = () => `test-${process.pid}-${tables++}`;

interface StoredCell {
  readonly value: Buffer;
  readonly version: number;
}

/** All rows of a table: by key, as latin1, their cells by column. */
async function rowsOf(url: string, table: string): Promise<Map<string, Record<string, StoredCell>>> {
  const answer = await fetch(`${url}/${table}/*`, { headers: { accept: 'application/json' } });
  if (answer.status === 404) return new Map();
  assert.equal(answer.status, 200);
  const { Row } = (await answer.json()) as { Row: { key: string; Cell: { column: string; timestamp: number; $: string }[] }[] };
  const text = (base64: string) => Buffer.from(base64, 'base64').toString('latin1');
  return new Map(
    Row.map(({ key, Cell }) => [
      text(key),
      Object.fromEntries(Cell.map((cell) => [text(cell.column), { value: Buffer.from(cell.$, 'base64'), version: cell.timestamp }])),
    ]),
  );
}

/** As `rowsOf`, the values as text. */
async function textsOf(url: string, table: string): Promise<Record<string, Record<string, string>>> {
  const rows = await rowsOf(url, table);
  return Object.fromEntries(
    [...rows].map(([key, cells]) => [key, Object.fromEntries(Object.entries(cells).map(([column, { value }]) => [column, value.toString()]))]),
  );
}

const open = async (t: TestContext) => (await openServer(t, 'hbase'))?.url;

const write = <F extends SchemaFields>(options: HBaseSinkOptions, fields: F, rows: readonly AnyRow[], units = 1) =>
  writeRefused(hbase.sink(options), fields, rows, units);

const ROWS = oddRows({ id: 'high "\\/?*&%2F\n\u0000 🐟', double: Number.NaN });

/** What `Bytes.toBytes` of HBase gives. */
function javaBytes(name: string, value: unknown): Buffer {
  const bytes = Buffer.alloc(8);
  switch (name) {
    case 'flag':
      return Buffer.from([value === true ? 0xff : 0]);
    case 'tiny':
      return Buffer.from([(value as number) & 0xff]);
    case 'small':
      bytes.writeInt16BE(value as number);
      return bytes.subarray(0, 2);
    case 'int':
      bytes.writeInt32BE(value as number);
      return bytes.subarray(0, 4);
    case 'single':
      bytes.writeFloatBE(value as number);
      return bytes.subarray(0, 4);
    case 'double':
      bytes.writeDoubleBE(value as number);
      return bytes;
    case 'text':
      return Buffer.from(value as string);
    case 'bytes':
      return Buffer.from(value as Uint8Array);
    default:
      bytes.writeBigInt64BE(BigInt(value as number | bigint));
      return bytes;
  }
}

describe('hbase', () => {
  test('all types, extremes, nulls and odd text, as text and as bytes of Java', async (t) => {
    const url = await open(t);
    if (url === undefined) return;
    for (const valueEncoding of ['text', 'binary'] as const) {
      for (const nulls of ['empty', 'skip'] as const) {
        const table = nextTable();
        const rows = nulls === 'skip' ? ROWS.slice(1) : ROWS;
        assert.deepEqual(await write({ url, table, key: 'id', family: 'f', valueEncoding, nulls, createTable: true }, EVERY_TYPE, rows, 3), []);
        const stored = await rowsOf(url, table);
        assert.equal(stored.size, rows.length);
        for (const { id, ...values } of rows) {
          const cells = stored.get(Buffer.from(id).toString('latin1'));
          assert.ok(cells, id);
          for (const [name, value] of Object.entries(values)) {
            const text = value instanceof Uint8Array || typeof value === 'string' ? value : String(value);
            const expected = value === null ? Buffer.alloc(0) : valueEncoding === 'text' ? Buffer.from(text as string) : javaBytes(name, value);
            assert.deepEqual(cells[`f:${name}`]?.value, expected, `${id} ${name}`);
          }
        }
      }
    }
  });

  test('keys of several columns, salted and not, as text and as bytes; cells in other families', async (t) => {
    const url = await open(t);
    if (url === undefined) return;
    const fields = { page: utf8, at: timestamp, n: i32 };
    const rows = [
      { page: '/a', at: 60_000, n: 1 },
      { page: '', at: -1, n: -2 },
    ];
    const keysWith = async (options: Partial<HBaseSinkOptions>) => {
      const table = nextTable();
      assert.deepEqual(await write({ url, table, key: ['page', 'at'], family: 'f', createTable: { VERSIONS: 2 }, ...options }, fields, rows), []);
      return [...(await rowsOf(url, table)).keys()].sort();
    };
    assert.deepEqual(await keysWith({}), ['/a|60000', '|-1'].sort());
    assert.deepEqual(await keysWith({ separator: '#' }), ['#-1', '/a#60000']);
    const salted = (key: string, salt: number) => crc32cBytes(Buffer.from(key, 'latin1')) % salt;
    assert.deepEqual(await keysWith({ salt: 16 }), ['/a|60000', '|-1'].map((key) => `${String(salted(key, 16)).padStart(2, '0')}|${key}`).sort());
    const bytes = ['/a\0\0\0\0\0\0\0\xea\x60', '\0\xff\xff\xff\xff\xff\xff\xff\xff'];
    assert.deepEqual(await keysWith({ keyEncoding: 'binary' }), [...bytes].sort());
    assert.deepEqual(await keysWith({ keyEncoding: 'binary', salt: 256 }), bytes.map((key) => String.fromCharCode(salted(key, 256)) + key).sort());
    const table = nextTable();
    await write({ url, table, key: 'page', family: 'f', columns: { n: 'g:count', at: 'when' }, createTable: true }, fields, rows.slice(0, 1));
    assert.deepEqual(await textsOf(url, table), { '/a': { 'g:count': '1', 'f:when': '60000' } });
  });

  test('rows that come again replace themselves; a version is not undercut; rows of a table go, whatever their keys', async (t) => {
    const url = await open(t);
    if (url === undefined) return;
    const table = nextTable();
    const options = { url, table, key: 'id', family: 'f', createTable: true } as const;
    for (const n of [1, 2]) await write(options, { id: utf8, n: i32 }, [{ id: 'a', n }]);
    assert.deepEqual(await textsOf(url, table), { a: { 'f:n': '2' } });
    const versions = nextTable();
    for (const v of [5n, 3n, 5n, 6n, 4n]) await write({ ...options, table: versions, version: 'v' }, { id: utf8, v: i64 }, [{ id: 'a', v }]);
    assert.deepEqual((await rowsOf(url, versions)).get('a'), { 'f:v': { value: Buffer.from('6'), version: 6 } });

    const changes = nextTable();
    const fields = { id: binary, n: i32 };
    const ids = [
      Buffer.from([0, 255, 47, 42]),
      Buffer.from('/a/b?c=1&d#x'),
      Buffer.from('a b+c%2F*;'),
      Buffer.from('..'),
      Buffer.from('ä🐟'),
      Buffer.alloc(3_000, 0xfe),
    ];
    const stay = { id: Buffer.from('stays'), n: 9 };
    const own = { ...options, table: changes };
    await write(own, fields, [...ids.map((id) => ({ id, n: 1 })), stay]);
    assert.equal((await rowsOf(url, changes)).size, ids.length + 1);
    const signed = [...schema(fields).fields, { name: SIGN, type: bool }];
    const signedFields = Object.fromEntries(signed.map(({ name, type }) => [name, type]));
    const change = (row: AnyRow, retracted: boolean) => ({ ...row, [SIGN]: retracted });
    await write(
      own,
      signedFields,
      ids.map((id) => change({ id, n: 1 }, true)),
    );
    assert.deepEqual([...(await rowsOf(url, changes)).keys()], ['stays']);
    // Replaced, gone, gone and there again, there and gone: in one request.
    const [one, two, three, four] = ids as [Buffer, Buffer, Buffer, Buffer];
    await write(own, signedFields, [
      change(stay, true),
      change({ ...stay, n: 10 }, false),
      change({ id: one, n: 1 }, false),
      change({ id: two, n: 1 }, false),
      change({ id: two, n: 1 }, true),
      change({ id: three, n: 1 }, false),
      change({ id: three, n: 1 }, true),
      change({ id: four, n: 2 }, false),
      change({ id: three, n: 3 }, false),
    ]);
    const after = await textsOf(url, changes);
    const latin = (id: Buffer) => id.toString('latin1');
    assert.deepEqual(after, { stays: { 'f:n': '10' }, [latin(one)]: { 'f:n': '1' }, [latin(three)]: { 'f:n': '3' }, [latin(four)]: { 'f:n': '2' } });
    await assert.rejects(write({ ...own, version: 'n' }, signedFields, []), { code: 'ERR_MILLRACE_PIPELINE', message: /version is for facts/ });
  });

  test('rows that cannot be stored are in the ledger, and their neighbours are stored', async (t) => {
    const url = await open(t);
    if (url === undefined) return;
    const table = nextTable();
    const fields = { a: nullable(utf8), b: utf8, n: nullable(i64) };
    const options: HBaseSinkOptions = { url, table, key: ['a', 'b'], family: 'f', columns: ['b', 'n'], version: 'n', createTable: true };
    const refused = await write(options, fields, [
      { a: 'x', b: '1', n: 1n },
      { a: null, b: '2', n: 1n },
      { a: 'x|y', b: '3', n: 1n },
      { a: 'x', b: '4|4', n: 1n },
      { a: 'x'.repeat(40_000), b: '5', n: 1n },
      { a: 'x', b: '6', n: -1n },
      { a: 'x', b: '7', n: null },
      { a: 'x', b: '8'.repeat(32_000), n: 1n },
    ]);
    assert.deepEqual(
      Object.keys(await textsOf(url, table))
        .map((key) => key.slice(0, 5))
        .sort(),
      ['x|1', 'x|4|4', 'x|888'],
    );
    const words = [
      '"a" is null. The row: {"a":null,"b":"2","n":"1"}',
      'has the separator "|" in it',
      'the key has 40002 bytes',
      'the version is -1',
      'the version is null',
    ];
    assert.equal(refused.length, words.length, refused.join('\n'));
    words.forEach((expected, i) => assert.ok(refused[i]?.includes(expected), refused[i]));

    // The client in the REST server refuses the whole request for one cell.
    const large = nextTable();
    const rows = Array.from({ length: 50 }, (_, i) => ({ id: `r${i}`, v: i === 20 ? 'x'.repeat(11 << 20) : `v${i}` }));
    const words2 = await write({ url, table: large, key: 'id', family: 'f', createTable: true }, { id: utf8, v: utf8 }, rows);
    assert.equal((await rowsOf(url, large)).size, 49);
    assert.equal(words2.length, 1);
    assert.match(words2[0] as string, /KeyValue size too large. The row: \{"key":"r20","f:v":"xxx/);
    await assert.rejects(write({ url, table: large, key: 'id', family: 'f', refused: 'fail' }, { id: utf8, v: utf8 }, rows), { code: 'ERR_MILLRACE_SINK' });
  });

  test('a place that cannot be written to ends the job with what the server says', async (t) => {
    const url = await open(t);
    if (url === undefined) return;
    const table = nextTable();
    const rejects = (options: object, message: RegExp) =>
      assert.rejects(write({ url, table, key: 'id', family: 'f', ...options }, { id: utf8, n: i32 }, [{ id: 'a', n: 1 }]), {
        code: 'ERR_MILLRACE_SINK',
        message,
      });
    await rejects({}, /has no table "test-\d+-\d+". Make it \(create 'test-.*', 'f'\), or let the sink do so: createTable: true/);
    await write({ url, table, key: 'id', family: 'f', createTable: true }, { id: utf8, n: i32 }, [{ id: 'a', n: 1 }]);
    await rejects({ family: 'g' }, /has no column family "g". It has "f"; alter 'test-.*', 'g' adds one/);
    await rejects({ url: 'http://127.0.0.1:9', deliveryTimeout: 300 }, /hbase test.* at http:\/\/127.0.0.1:9: .*ECONNREFUSED.*It was tried for 300 ms/);
    // Gone while the job runs.
    const sink = hbase.sink({ url, table, key: 'id', family: 'f' });
    const dropping = {
      ...sink,
      async open(context: Parameters<typeof sink.open>[0]) {
        const writer = await sink.open(context);
        assert.equal((await fetch(`${url}/${table}/schema`, { method: 'DELETE' })).status, 200);
        return writer;
      },
    };
    await assert.rejects(writeRows(dropping, { id: utf8, n: i32 }, [{ id: 'a', n: 1 }]), {
      code: 'ERR_MILLRACE_SINK',
      message: /is not written to: .*status 404/,
    });
  });

  test('holds what an idempotent sink promises', async (t) => {
    const url = await open(t);
    if (url === undefined) return;
    const base = nextTable();
    const sinkAt = (place: string) =>
      hbase.sink({ url, table: `${base}-${place}`, key: ['unit', 'seq'], family: 'f', columns: ['unit', 'seq', 'attempt', 'text'], createTable: true });
    const report = await sinkConformance(sinkAt, {
      read: async (place) =>
        Object.values(await textsOf(url, `${base}-${place}`)).map((cells): ConformanceRow => {
          const number = (name: string) => Number(cells[`f:${name}`]);
          return { unit: number('unit'), seq: number('seq'), attempt: number('attempt'), text: cells['f:text'] as string };
        }),
      isOrdered: false,
      schedules: 2,
    });
    assert.equal(report.delivery, 'idempotent');
  });

  test('the server is killed in the middle and comes back: nothing lost, nothing doubled', { timeout: 600_000 }, async (t) => {
    const server = await openServer(t, 'hbase');
    if (server === undefined) return;
    const { url } = server;
    const table = nextTable();
    await throughOutages(t, {
      sink: 'hbase',
      options: {
        url,
        table,
        key: ['key', 'windowStart'],
        family: 'f',
        version: 'windowEnd',
        columns: ['key', 'windowStart', 'windowEnd', 'rows', 'n'],
        createTable: true,
      },
      server,
      guarantee: 'exactly-once',
      kills: 1,
      read: async () =>
        Object.values(await textsOf(url, table)).map((cells) => {
          const number = (name: string) => Number(cells[`f:${name}`]);
          return { key: cells['f:key'] as string, windowStart: number('windowStart'), windowEnd: number('windowEnd'), rows: number('rows'), n: number('n') };
        }),
    });
  });
});

test('hbase.sink: options that cannot be', () => {
  const bad = (options: object, message: RegExp) =>
    assert.throws(() => hbase.sink({ url: 'http://127.0.0.1:8080', table: 'clicks', key: 'page', family: 'f', ...options } as never), {
      code: 'ERR_MILLRACE_OPTION',
      message,
    });
  bad({ table: 'a/b' }, /table is "a\/b"; it must be the name of a table/);
  bad({ key: [] }, /key is .* it must be a column, or a list of columns/);
  bad({ keyEncoding: 'json' }, /keyEncoding is "json"; it must be 'text' or 'binary'/);
  bad({ separator: '--' }, /separator is "--"; it must be one printable ASCII character/);
  bad({ separator: '|', keyEncoding: 'binary' }, /separator is for text keys/);
  bad({ salt: 1 }, /salt is 1; it must be a whole number from 2 to 256/);
  bad({ family: 'f:' }, /family is "f:"; it must be the name of a column family/);
  bad({ columns: [] }, /columns is .* it must be a list of columns, or an object/);
  bad({ nulls: 'no' }, /nulls is "no"; it must be 'empty' or 'skip'/);
  bad({ famly: 'g' }, /there is no option "famly". Did you mean family\?/);
  const check = (options: object, message: RegExp) =>
    assert.throws(
      () => hbase.sink({ url: 'http://127.0.0.1:8080', table: 't', key: 'page', family: 'f', ...options } as never).check(schema({ page: utf8, n: f64 })),
      { code: /ERR_MILLRACE_(PIPELINE|SCHEMA)/, message },
    );
  check({ key: 'pag' }, /pag/);
  check({ columns: ['m'] }, /The columns of hbase t/);
  check({ version: 'n' }, /version names the column "n", which is f64; it has to be timestamp, i64, i32, u32/);
  check({ key: ['page', 'n'] }, /all columns are in the key/);
});
