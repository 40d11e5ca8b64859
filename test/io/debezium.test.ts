/** debezium(): envelopes of changes to rows, of JSON and of Avro; and the table that they make. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { f64, i64, list, MillraceError, nullable, timestamp, utf8 } from '../../core/index.ts';
import { avro } from '../../io/avro.ts';
import { debezium } from '../../io/debezium.ts';
import { json } from '../../io/json.ts';
import { collect, log, pipeline } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { modelType } from './avro-model.ts';
import { decode } from './codec-harness.ts';

const USER = { id: i64, name: nullable(utf8), city: utf8, at: timestamp, geo: { lat: nullable(f64) }, tags: list(utf8) };
const ann = { id: 1, name: 'Ann', city: 'Rome', at: 5_000, geo: { lat: 1.5 }, tags: ['a'] };
const row = { ...ann, id: 1n };
const bytes = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)));
const source = { connector: 'postgresql', ts_ms: 1, table: 'users' };

test('rows are those after a change; of a deleted row, what is known before it', () => {
  const { rows, records, rejections } = decode(debezium(USER), [
    bytes({ before: null, after: ann, source, op: 'r', ts_ms: 1 }),
    bytes({ before: null, after: { ...ann, id: 2, name: null }, source, op: 'c', ts_ms: 2 }),
    bytes({ before: ann, after: { ...ann, city: 'Oslo' }, source, op: 'u', ts_ms: 3 }),
    bytes({ before: ann, after: null, source, op: 'd', ts_ms: 4 }),
    null,
    // Of PostgreSQL with the default replica identity, only the key is there.
    bytes({ before: { id: 7, name: null, city: null, at: null, geo: null, tags: null }, after: null, source, op: 'd' }),
    null,
  ]);
  assert.deepEqual(rows, [
    { ...row, op: 'r', deleted: false },
    { ...row, id: 2n, name: null, op: 'c', deleted: false },
    { ...row, city: 'Oslo', op: 'u', deleted: false },
    { ...row, op: 'd', deleted: true },
    { id: 7n, name: null, city: '', at: 0, geo: { lat: null }, tags: [], op: 'd', deleted: true },
  ]);
  assert.deepEqual(records, [0, 1, 2, 3, 5]);
  assert.deepEqual(
    rejections.map(({ reason, offset }) => [reason, offset]),
    [
      ['control', 1004],
      ['control', 1006],
    ],
  );
});

test('what is no change of a row is refused, or is no row', () => {
  const { rows, rejections } = decode(debezium(USER), [
    bytes({ before: null, after: null, op: 't' }),
    bytes({ before: null, after: null, op: 'm', message: { prefix: 'x' } }),
    bytes({ before: ann, after: null, op: 'u' }),
    bytes({ before: null, after: ann, op: 'd' }),
    bytes({ before: null, after: { ...ann, city: null }, op: 'c' }),
    bytes({ before: null, after: ann, op: 'x' }),
    bytes({ before: null, after: ann }),
    bytes({ before: null, after: { ...ann, id: 'x' }, op: 'c' }),
    new Uint8Array([0x7b]),
  ]);
  assert.deepEqual(rows, []);
  const sorted = [...rejections].sort((a, b) => a.offset - b.offset);
  const patterns = [
    /the table was truncated \(op "t"\)/,
    /A message of Debezium/,
    /its op is u, but after has no row/,
    /its op is d, but before has no row/,
    /column "city" holds utf8, but after has none/,
    /its op is none of c, u, r, d/,
    /column "op" holds utf8, but the key is missing/,
    /column "after.id" holds i64 or null, but byte/,
    /The json codec refuses/,
  ];
  for (const [i, pattern] of patterns.entries()) assert.match(sorted[i]?.message ?? '', pattern);
  assert.deepEqual(
    sorted.map(({ reason }) => reason),
    patterns.map((_, i) => (i === 1 ? 'control' : 'undecodable')),
  );
});

test('with schema and payload; with instants of microseconds; some columns only', () => {
  const codec = debezium({ id: i64, at: timestamp }, { schemas: true, unit: 'us' });
  const value = bytes({ schema: { type: 'struct', fields: [] }, payload: { before: null, after: { id: 3, at: 1_500_000 }, op: 'c' } });
  assert.deepEqual(decode(codec, [value]).rows, [{ id: 3n, at: 1_500, op: 'c', deleted: false }]);
  const some = decode(debezium(USER), [bytes({ before: ann, after: null, op: 'd' }), bytes({ before: null, after: ann, op: 'c' })], { columns: [0, 5, 7] });
  assert.deepEqual(
    some.rows.map(({ id, deleted }) => [id, deleted]),
    [
      [1n, true],
      [1n, false],
    ],
  );
  // A column that is null tells nothing of the row.
  const nulls = debezium({ id: i64, name: nullable(utf8) });
  assert.deepEqual(
    decode(nulls, [bytes({ before: null, after: { id: 1, name: null }, op: 'c' })], { columns: [1] }).rows.map(({ name }) => name),
    [null],
  );
});

test('envelopes of Avro, and other columns of the envelope', () => {
  const value = {
    type: 'record',
    name: 'Value',
    fields: [
      { name: 'id', type: 'int' },
      { name: 'name', type: ['null', 'string'], default: null },
    ],
  };
  const envelope = {
    type: 'record',
    name: 'Envelope',
    fields: [
      { name: 'before', type: ['null', value], default: null },
      { name: 'after', type: ['null', 'Value'], default: null },
      {
        name: 'source',
        type: {
          type: 'record',
          name: 'Source',
          fields: [
            { name: 'table', type: 'string' },
            { name: 'lsn', type: ['null', 'long'] },
          ],
        },
      },
      { name: 'op', type: 'string' },
      { name: 'ts_ms', type: ['null', 'long'], default: null },
    ],
  };
  const codec = debezium(avro(envelope));
  assert.equal(codec.schema?.toString(), '"id":i32?, "name":utf8?, "source.table":utf8, "source.lsn":i64?, "ts_ms":i64?, "op":utf8, "deleted":bool');
  const type = modelType(envelope);
  const own = { table: 'users', lsn: null };
  const records = [
    { before: null, after: { Value: { id: 1, name: { string: 'Ann' } } }, source: own, op: 'c', ts_ms: { long: 5n } },
    { before: { Value: { id: 1, name: null } }, after: null, source: own, op: 'd', ts_ms: null },
  ].map((one) => new Uint8Array(type.toBuffer(one)));
  assert.deepEqual(decode(codec, records).rows, [
    { id: 1, name: 'Ann', source: own, ts_ms: 5n, op: 'c', deleted: false },
    { id: 1, name: null, source: own, ts_ms: null, op: 'd', deleted: true },
  ]);
});

test('a table is kept up by changes: rows that move, and rows that go', () => {
  const users = log.source({ dir: 'nowhere', topic: 'users', value: debezium({ id: i64, city: utf8 }) });
  const p = pipeline('users');
  const cities = p
    .from(users)
    .keyBy('id')
    .table({ delete: (r) => r.deleted })
    .groupBy('city')
    .count()
    .to(collect());
  const driver = testDriver(cities, { partitions: 1 });
  const send = (op: string, before: object | null, after: object | null): void => driver.sendRaw(users, bytes({ before, after, op, source }), { partition: 0 });
  const counts = new Map<string, number>();
  const now = (): Record<string, number> => {
    driver.endEpoch();
    for (const { city, count, retracted } of driver.output() as unknown as { city: string; count: number; retracted?: boolean }[]) {
      if (retracted !== true) counts.set(city, count);
      else if (counts.get(city) === count) counts.delete(city);
    }
    return Object.fromEntries([...counts].sort());
  };
  for (const id of [1, 2, 3]) send('c', null, { id, city: 'Rome' });
  assert.deepEqual(now(), { Rome: 3 });
  send('u', { id: 2, city: 'Rome' }, { id: 2, city: 'Oslo' });
  send('d', { id: 3, city: null }, null);
  driver.sendRaw(users, null, { partition: 0 });
  assert.deepEqual(now(), { Oslo: 1, Rome: 1 });
});

test('codecs that read no envelope, and names that are taken, are refused', () => {
  const fails = (make: () => unknown, code: string, pattern: RegExp): void =>
    assert.throws(make, (error) => error instanceof MillraceError && error.code === code && pattern.test(error.message));
  fails(() => debezium(json({ id: i64 })), 'ERR_MILLRACE_SCHEMA', /the envelope has no text op/);
  fails(() => debezium(json({ id: i64, op: utf8 })), 'ERR_MILLRACE_SCHEMA', /the envelope has no struct after/);
  fails(() => debezium(json()), 'ERR_MILLRACE_SCHEMA', /the codec json has no columns to read/);
  fails(() => debezium({ id: i64, deleted: utf8 }), 'ERR_MILLRACE_SCHEMA', /a column is named "deleted"/);
  fails(() => debezium({ id: i64 }, { schema: true } as never), 'ERR_MILLRACE_OPTION', /schema/);
});
