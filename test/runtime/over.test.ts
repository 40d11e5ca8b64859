/** `over`: each row with aggregates over the rows of its key up to itself, beside a plain loop over the rows. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import {
  type AnyRow,
  bool,
  collect,
  count,
  countDistinct,
  f64,
  first,
  i32,
  i64,
  last,
  max,
  mean,
  memory,
  min,
  nullable,
  pipeline,
  stddev,
  sum,
  timestamp,
  utf8,
  variance,
} from '../../runtime/index.ts';
import { type DriverSnapshot, testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

const SCHEMA = { key: nullable(utf8), text: nullable(utf8), value: f64, maybe: nullable(i32), big: i64, ok: bool, at: timestamp };

interface Row {
  readonly key: string | null;
  readonly text: string | null;
  readonly value: number;
  readonly maybe: number | null;
  readonly big: bigint;
  readonly ok: boolean;
  readonly at: number;
}

const DELAY = 100;
const PARTITIONS = 2;
const source = () => pipeline('over').from(memory([] as Row[], { schema: SCHEMA }));
const timed = () => source().withWatermark('at', DELAY);

const FEATURES = {
  all: count(),
  n60: count('60ms'),
  n5: count({ rows: 5 }),
  n3of40: count({ rows: 3, within: '40ms' }),
  given: count('maybe'),
  positive: [count({ where: (r: Row) => r.value > 0 }), '60ms'],
  sum60: sum('value', 60),
  sumAll: sum('value'),
  sumMaybe: sum('maybe', { rows: 4 }),
  sumBig: sum('big', '25ms'),
  meanBig: mean('big', { rows: 3 }),
  double: sum((r: Row) => r.value * 2, '60ms'),
  mean5: mean('value', { rows: 5 }),
  meanMaybe: mean('maybe', '30ms'),
  var60: variance('value', '60ms'),
  dev3: [stddev('value', { population: true }), { rows: 3 }],
  varBig: variance('big', { rows: 6 }),
  least: min('value', '60ms'),
  leastAll: min('text'),
  most: max('value', { rows: 5 }),
  mostText: max('text', '60ms'),
  mostBig: max('big', '200ms'),
  mostMaybe: max('maybe', '20ms'),
  leastOk: min('ok', { rows: 2 }),
  firstText: first('text', '60ms'),
  firstAll: first('maybe'),
  lastText: last('text', { rows: 3 }),
  lastAll: last('text'),
  firstAt: first('at', '40ms'),
  texts60: countDistinct('text', '60ms'),
  textsAll: countDistinct('text'),
  values: countDistinct('value', { rows: 5 }),
  list: collect('text', '60ms'),
  list2: [collect('value', { max: 2 }), { rows: 4 }],
} as const;

type Feature = (window: readonly Row[]) => unknown;
const range = (withinMs: number, rows = Number.POSITIVE_INFINITY) => ({ withinMs, rows });
const given = <C extends keyof Row>(rows: readonly Row[], column: C): NonNullable<Row[C]>[] =>
  rows.flatMap((row) => (row[column] === null ? [] : [row[column] as NonNullable<Row[C]>]));
const orNull = <T>(values: readonly T[], of: (values: readonly T[]) => unknown) => (values.length === 0 ? null : of(values));
const total = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const bySize = (a: number, b: number) => (Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : a - b);
const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const nth = <T>(values: readonly T[], at: number): unknown => values.at(at) ?? null;
const greatest = (values: readonly bigint[]) => values.reduce((a, b) => (a > b ? a : b));
function spread(values: readonly number[], divisor: number): number | null {
  if (divisor <= 0) return null;
  const m = total(values) / values.length;
  return total(values.map((x) => (x - m) ** 2)) / divisor;
}
const json = (values: readonly unknown[]) => JSON.stringify(values);

/** By feature: its range, and what it is of the rows of that. */
const MODEL: Readonly<Record<keyof typeof FEATURES, readonly [{ withinMs: number; rows: number }, Feature]>> = {
  all: [range(Number.POSITIVE_INFINITY), (w) => w.length],
  n60: [range(60), (w) => w.length],
  n5: [range(Number.POSITIVE_INFINITY, 5), (w) => w.length],
  n3of40: [range(40, 3), (w) => w.length],
  given: [range(Number.POSITIVE_INFINITY), (w) => given(w, 'maybe').length],
  positive: [range(60), (w) => w.filter(({ value }) => value > 0).length],
  sum60: [range(60), (w) => total(given(w, 'value'))],
  sumAll: [range(Number.POSITIVE_INFINITY), (w) => total(given(w, 'value'))],
  sumMaybe: [range(Number.POSITIVE_INFINITY, 4), (w) => orNull(given(w, 'maybe'), total)],
  sumBig: [range(25), (w) => given(w, 'big').reduce((a, b) => a + b)],
  meanBig: [range(Number.POSITIVE_INFINITY, 3), (w) => Number(given(w, 'big').reduce((a, b) => a + b)) / w.length],
  double: [range(60), (w) => total(given(w, 'value')) * 2],
  mean5: [range(Number.POSITIVE_INFINITY, 5), (w) => total(given(w, 'value')) / w.length],
  meanMaybe: [range(30), (w) => orNull(given(w, 'maybe'), (values) => total(values) / values.length)],
  var60: [range(60), (w) => spread(given(w, 'value'), w.length - 1)],
  dev3: [range(Number.POSITIVE_INFINITY, 3), (w) => Math.sqrt(spread(given(w, 'value'), w.length) as number)],
  varBig: [range(Number.POSITIVE_INFINITY, 6), (w) => spread(given(w, 'big').map(Number), w.length - 1)],
  least: [range(60), (w) => nth([...given(w, 'value')].sort(bySize), 0)],
  leastAll: [range(Number.POSITIVE_INFINITY), (w) => nth([...given(w, 'text')].sort(byBytes), 0)],
  most: [range(Number.POSITIVE_INFINITY, 5), (w) => nth([...given(w, 'value')].sort(bySize), -1)],
  mostText: [range(60), (w) => nth([...given(w, 'text')].sort(byBytes), -1)],
  mostBig: [range(200), (w) => greatest(given(w, 'big'))],
  mostMaybe: [range(20), (w) => nth([...given(w, 'maybe')].sort(bySize), -1)],
  leastOk: [range(Number.POSITIVE_INFINITY, 2), (w) => given(w, 'ok').every((ok) => ok)],
  firstText: [range(60), (w) => nth(given(w, 'text'), 0)],
  firstAll: [range(Number.POSITIVE_INFINITY), (w) => nth(given(w, 'maybe'), 0)],
  lastText: [range(Number.POSITIVE_INFINITY, 3), (w) => nth(given(w, 'text'), -1)],
  lastAll: [range(Number.POSITIVE_INFINITY), (w) => nth(given(w, 'text'), -1)],
  firstAt: [range(40), (w) => nth(given(w, 'at'), 0)],
  texts60: [range(60), (w) => new Set(given(w, 'text')).size],
  textsAll: [range(Number.POSITIVE_INFINITY), (w) => new Set(given(w, 'text')).size],
  values: [range(Number.POSITIVE_INFINITY, 5), (w) => new Set(given(w, 'value')).size],
  list: [range(60), (w) => json(given(w, 'text'))],
  list2: [range(Number.POSITIVE_INFINITY, 4), (w) => json(given(w, 'value').slice(0, 2))],
};

/** Rows in their order, each with its features: `time` says as of when a row counts. */
function expected(rows: readonly Row[], time: (row: Row, before: readonly number[]) => number): AnyRow[] {
  const byKey = new Map<string | null, { rows: Row[]; times: number[] }>();
  return rows.map((row) => {
    const of = byKey.get(row.key) ?? { rows: [], times: [] };
    byKey.set(row.key, of);
    const now = time(row, of.times);
    of.rows.push(row);
    of.times.push(now);
    const features = Object.entries(MODEL).map(([name, [{ withinMs, rows: most }, feature]]) => {
      const window = of.rows.filter((_, i) => (of.times[i] as number) > now - withinMs && i >= of.rows.length - most);
      return [name, feature(window)];
    });
    return { ...row, ...Object.fromEntries(features) };
  });
}

/** Equal, but for the last digits of numbers that are not whole. */
function assertClose(actual: readonly AnyRow[], wanted: readonly AnyRow[]): void {
  assert.equal(actual.length, wanted.length);
  actual.forEach((row, i) => {
    const other = wanted[i] as AnyRow;
    assert.deepEqual(Object.keys(row), Object.keys(other));
    for (const [name, value] of Object.entries(row)) {
      const model = other[name];
      const isNear = typeof value === 'number' && typeof model === 'number' && Math.abs(value - model) <= 1e-9 * Math.max(1, Math.abs(model));
      if (!isNear) assert.deepEqual(value, model, `row ${i}: ${name} of ${JSON.stringify(row, (_, v) => (typeof v === 'bigint' ? `${v}n` : v))}`);
    }
  });
}

const rowAt = (atMs: fc.Arbitrary<number>): fc.Arbitrary<Row> =>
  fc.record({
    key: fc.constantFrom('a', 'b', null, 'another key'),
    text: fc.option(fc.constantFrom('', 'x', 'y', 'é', 'a text that is longer than a short one'), { freq: 4 }),
    value: fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom(0.1, 1e6, -1e6, 0.25)),
    maybe: fc.option(fc.integer({ min: -3, max: 3 }), { freq: 2 }),
    big: fc.oneof(fc.bigInt({ min: -9n, max: 9n }), fc.constantFrom(2n ** 40n, -(2n ** 33n), 4_294_967_295n, -1n)),
    ok: fc.boolean(),
    at: atMs,
  });
/** Epochs of rows by partition. No row is further behind than the watermark's delay. */
const runs = fc
  .array(fc.tuple(fc.nat(PARTITIONS - 1), rowAt(fc.nat(DELAY - 1)), fc.integer({ min: 0, max: 12 }), fc.boolean()), { maxLength: 120 })
  .map((drawn) => {
    let clock = 1_000;
    return drawn.map(([partition, row, step, endsEpoch]) => {
      clock += step;
      return { partition, row: { ...row, at: clock + Math.floor(row.at / 2) * (row.at % 2) }, endsEpoch: endsEpoch && step % 4 === 0 };
    });
  });
type Sent = { readonly partition: number; readonly row: Row; readonly endsEpoch: boolean };

/** By event time, then partition, then offset. */
const inTime = (sent: readonly Sent[]): Row[] =>
  sent
    .map((of, offset) => ({ ...of, offset }))
    .sort((a, b) => a.row.at - b.row.at || a.partition - b.partition || a.offset - b.offset)
    .map(({ row }) => row);

const carried = (snapshot: DriverSnapshot): DriverSnapshot => deserialize(serialize(snapshot)) as DriverSnapshot;
/** Output comes by shard: within a key its order counts. */
const byKey = (rows: readonly AnyRow[]): AnyRow[] =>
  rows.map((row, i) => ({ row, i })).sort((a, b) => (String(a.row.key) < String(b.row.key) ? -1 : String(a.row.key) > String(b.row.key) ? 1 : a.i - b.i)).map(({ row }) => row);

describe('over, beside a plain loop', () => {
  test('in the order of event time: the same for any epochs, shards and cuts', () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 3 }), fc.integer(), fc.nat(10), (sent, shards, seed, cut) => {
        const stream = timed().keyBy('key').over(FEATURES).to(collect());
        let driver = testDriver(stream, { partitions: PARTITIONS, shards, seed });
        let epochs = 0;
        const rows: AnyRow[] = [];
        for (const { partition, row, endsEpoch } of sent) {
          driver.send([row], { partition });
          if (!endsEpoch) continue;
          driver.endEpoch();
          if (epochs++ !== cut) continue;
          rows.push(...driver.output());
          const from = carried(driver.snapshot());
          driver.close();
          driver = testDriver(stream, { from, shards: 4 - shards });
          assert.deepEqual(carried(driver.snapshot()), from);
        }
        // The end of the input: all rows come out.
        driver.close();
        rows.push(...driver.output());
        assertClose(byKey(rows), byKey(expected(inTime(sent), (row) => row.at)));
      }),
      { numRuns: caseCount(60) },
    );
  });
});
