import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BatchBuilder,
  createMemory,
  f64,
  HashAggregator,
  i64,
  MillraceError,
  nullable,
  SlabAllocator,
  schema,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';

const slabs = new SlabAllocator(createMemory(64 << 20));

test('the example of the documentation', () => {
  const totals = new HashAggregator({ columns: { page: utf8, ms: f64 }, keyBy: ['page'], aggregates: { clicks: ['count'], meanMs: ['mean', 'ms'] } });
  totals.add({ page: ['/', '/about', '/'], ms: Float64Array.of(10, 20, 30) });
  assert.deepEqual(totals.get('/'), { page: '/', clicks: 2, meanMs: 20 });
  assert.equal(totals.get('/none'), undefined);
  totals.release();
});

test('typed arrays, plain arrays and batches give what a Map gives', () => {
  const columns = { key: u32, value: f64, big: i64, at: timestamp };
  const totals = new HashAggregator({
    columns,
    keyBy: ['key'],
    slabs,
    groupsMin: 4,
    aggregates: {
      rows: ['count'],
      sum: ['sum', 'value'],
      least: ['min', 'value'],
      greatest: ['max', 'big'],
      bigSum: ['sum', 'big'],
      last: ['max', 'at'],
      mean: ['mean', 'value'],
    },
  });
  const rows = Array.from({ length: 10_001 }, (_, i) => ({
    key: (i * 7_919) % 700,
    value: (i % 97) / 4 - 10,
    big: BigInt(i % 101) * 10_000_000_000n,
    at: 1_700_000_000_000 + i,
  }));
  const model = new Map<number, typeof rows>();
  for (const row of [...rows, ...rows, ...rows, ...rows]) model.set(row.key, [...(model.get(row.key) ?? []), row]);
  totals.add({
    key: Uint32Array.from(rows, (r) => r.key),
    value: Float64Array.from(rows, (r) => r.value),
    big: BigInt64Array.from(rows, (r) => r.big),
    at: BigInt64Array.from(rows, (r) => BigInt(r.at)),
  });
  totals.add({ key: rows.map((r) => r.key), value: rows.map((r) => r.value), big: rows.map((r) => r.big), at: rows.map((r) => r.at) });
  const builder = new BatchBuilder(slabs, schema({ at: timestamp, big: i64, key: u32, value: f64 }), rows.length);
  for (const row of rows) builder.appendRow(row);
  totals.addBatch(builder.finish());
  // Over the aggregator's own memory: read in place.
  const [at, big, key, value] = builder.columns.map(({ data }) => data) as [number, number, number, number];
  const { buffer } = slabs.memory;
  totals.add({
    at: new BigInt64Array(buffer, at, rows.length),
    big: new BigInt64Array(buffer, big, rows.length),
    key: new Uint32Array(buffer, key, rows.length),
    value: new Float64Array(buffer, value, rows.length),
  });
  assert.equal(totals.size, model.size);
  const actual = totals.rows();
  const expected = [...model].map(([k, group]) => {
    const sum = group.reduce((s, r) => s + r.value, 0);
    const bigs = group.map((r) => r.big);
    return {
      key: k,
      rows: group.length,
      sum,
      least: Math.min(...group.map((r) => r.value)),
      greatest: [...bigs].sort((a, b) => Number(a - b)).at(-1),
      bigSum: bigs.reduce((a, b) => a + b),
      last: Math.max(...group.map((r) => r.at)),
      mean: sum / group.length,
    };
  });
  const byKey = (a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>) => (a.key as number) - (b.key as number);
  assert.deepEqual([...actual].sort(byKey), expected.sort(byKey));
  assert.deepEqual(
    totals.get(7),
    expected.find((row) => row.key === 7),
  );
  totals.clear();
  assert.deepEqual(totals.rows(), []);
  totals.release();
  builder.release();
});

test('nulls are a group of their own as keys, and left out of aggregates', () => {
  const totals = new HashAggregator({
    columns: { page: nullable(utf8), ms: nullable(f64) },
    keyBy: ['page'],
    slabs,
    aggregates: { rows: ['count'], values: ['count', 'ms'], sum: ['sum', 'ms'], mean: ['mean', 'ms'], max: ['max', 'ms'] },
  });
  totals.add({ page: ['a', null, 'a', null, '__proto__'], ms: [1, null, null, null, 5] });
  assert.deepEqual(totals.get('a'), { page: 'a', rows: 2, values: 1, sum: 1, mean: 1, max: 1 });
  assert.deepEqual(totals.get(null), { page: null, rows: 2, values: 0, sum: null, mean: null, max: null });
  assert.deepEqual(totals.get('__proto__'), { page: '__proto__', rows: 1, values: 1, sum: 5, mean: 5, max: 5 });
  totals.release();
});

test('without keys all rows are one group', () => {
  const totals = new HashAggregator({ columns: { ms: f64 }, keyBy: [], slabs, aggregates: { rows: ['count'], sum: ['sum', 'ms'] } });
  assert.deepEqual(totals.rows(), []);
  totals.add({ ms: Float64Array.of(1, 2, 3) });
  assert.deepEqual(totals.rows(), [{ rows: 3, sum: 6 }]);
  totals.release();
});

test('says what is wrong with its input', () => {
  const make = () => new HashAggregator({ columns: { page: utf8, ms: f64 }, keyBy: ['page'], slabs, aggregates: { sum: ['sum', 'ms'] } });
  const totals = make();
  const code = (wanted: string, pattern: RegExp) => (error: unknown) => error instanceof MillraceError && error.code === wanted && pattern.test(error.message);
  assert.throws(() => totals.add({ page: ['a'] }), code('ERR_MILLRACE_SCHEMA', /lacks the column "ms"/));
  assert.throws(() => totals.add({ page: ['a'], ms: Float64Array.of(1, 2) }), code('ERR_MILLRACE_SCHEMA', /has 2 values/));
  assert.throws(() => totals.add({ page: ['a'], ms: ['1'] }), code('ERR_MILLRACE_SCHEMA', /holds f64/));
  assert.throws(
    () => new HashAggregator({ columns: { page: utf8 }, keyBy: ['page'], slabs, aggregates: { sum: ['sum', 'page'] } }),
    code('ERR_MILLRACE_PIPELINE', /sum of a utf8 column/),
  );
  // @ts-expect-error no such column
  assert.throws(() => new HashAggregator({ columns: { page: utf8 }, keyBy: ['pag'], slabs, aggregates: {} }), code('ERR_MILLRACE_PIPELINE', /"pag"/));
  totals.release();
});
