/** `over`: each row with aggregates over the rows of its key up to itself, beside a plain loop over the rows. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { schema } from '../../core/index.ts';
import { planOver, rangesApart } from '../../operators/index.ts';
import {
  type AnyRow,
  aggregator,
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
  median,
  memory,
  min,
  nullable,
  pipeline,
  quantile,
  stddev,
  sum,
  timestamp,
  tumbling,
  utf8,
  variance,
} from '../../runtime/index.ts';
import { type DriverSnapshot, testDriver } from '../../runtime/testing.ts';
import { runKeyed } from '../operators/keyed-harness.ts';
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
  median60: median('value', '60ms'),
  medianMaybe: median('maybe', { rows: 6 }),
  medianBig: [median('big'), { rows: 4 }],
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
const greatest = (values: readonly bigint[]) => [...values].sort((a, b) => (a < b ? -1 : 1)).at(-1);
function spread(values: readonly number[], divisor: number): number | null {
  if (divisor <= 0) return null;
  const m = total(values) / values.length;
  return total(values.map((x) => (x - m) ** 2)) / divisor;
}
function middle(values: readonly number[]): number {
  const sorted = [...values].sort(bySize);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] as number) + (sorted[Math.ceil((sorted.length - 1) / 2)] as number)) / 2;
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
  median60: [range(60), (w) => middle(given(w, 'value'))],
  medianMaybe: [range(Number.POSITIVE_INFINITY, 6), (w) => orNull(given(w, 'maybe'), middle)],
  medianBig: [range(Number.POSITIVE_INFINITY, 4), (w) => middle(given(w, 'big').map(Number))],
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
  rows
    .map((row, i) => ({ row, i }))
    .sort((a, b) => (String(a.row.key) < String(b.row.key) ? -1 : String(a.row.key) > String(b.row.key) ? 1 : a.i - b.i))
    .map(({ row }) => row);

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

  test('in the order of arrival: within an epoch by partition, and an older row counts as of the newest', () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 3 }), fc.integer(), (sent, shards, seed) => {
        const stream = timed().keyBy('key').over(FEATURES, { order: 'arrival' }).to(collect());
        const driver = testDriver(stream, { partitions: PARTITIONS, shards, seed });
        const arrived: Row[] = [];
        let epoch: Sent[] = [];
        const end = () => {
          arrived.push(...epoch.sort((a, b) => a.partition - b.partition).map(({ row }) => row));
          epoch = [];
        };
        for (const one of sent) {
          driver.send([one.row], { partition: one.partition });
          epoch.push(one);
          if (!one.endsEpoch) continue;
          driver.endEpoch();
          end();
          // Nobody waits.
          assert.equal(driver.output().length, arrived.length);
        }
        driver.close();
        end();
        assertClose(byKey(driver.output()), byKey(expected(arrived, (row, before) => Math.max(row.at, ...before))));
      }),
      { numRuns: caseCount(30) },
    );
  });

  test('without event time: ranges of rows, in the order of arrival', () => {
    const features = { n5: FEATURES.n5, sumMaybe: FEATURES.sumMaybe, most: FEATURES.most, all: FEATURES.all };
    fc.assert(
      fc.property(runs, fc.integer(), (sent, seed) => {
        const driver = testDriver(source().keyBy('key').over(features).to(collect()), { partitions: 1, seed });
        for (const { row, endsEpoch } of sent) {
          driver.send([row]);
          if (endsEpoch) driver.endEpoch();
        }
        driver.close();
        const wanted = expected(
          sent.map(({ row }) => row),
          () => 0,
        );
        const kept = [...Object.keys(SCHEMA), ...Object.keys(features)];
        assertClose(byKey(driver.output()), byKey(wanted.map((row) => Object.fromEntries(kept.map((name) => [name, row[name]])))));
      }),
      { numRuns: caseCount(20) },
    );
  });
});

describe('over, with aggregators of the user', () => {
  const total = { init: () => 0, merge: (a: number, b: number) => a + b, result: (sum: number) => sum };
  const added = aggregator({ ...total, add: (sum, row: { value: number }) => sum + row.value });
  const removed = aggregator({ ...total, add: (sum, row: { value: number }) => sum + row.value, remove: (sum, row) => sum - row.value });
  const texts = aggregator({
    type: utf8,
    init: () => [] as (string | null)[],
    add: (list, row: { text: string | null }) => void list.push(row.text),
    merge: (a, b) => [...a, ...b],
    remove: (list) => void list.shift(),
    result: (list) => JSON.stringify(list),
  });
  const features = {
    n: count('60ms'),
    running: added,
    again: [added, '60ms'],
    removing: [removed, '60ms'],
    few: [removed, { rows: 3 }],
    texts: [texts, { rows: 4, within: '40ms' }],
  } as const;
  const textsOf = (seen: readonly Row[]) => json(seen.map(({ text }) => text));
  /** Each row with what it sees, where it is none of those that fail. */
  const wantedOf = (rows: readonly Row[], fails: (row: Row) => boolean, time: (row: Row, before: readonly number[]) => number): AnyRow[] => {
    const passed = rows.filter((row) => !fails(row));
    return passed.map((row, i) => {
      const ofKey = passed.slice(0, i + 1).filter(({ key }) => key === row.key);
      const times = ofKey.map(() => 0);
      ofKey.forEach((one, j) => {
        times[j] = time(one, times.slice(0, j));
      });
      const now = times.at(-1) as number;
      const seen = (withinMs: number, most = Number.POSITIVE_INFINITY) =>
        ofKey.filter((_, j) => (times[j] as number) > now - withinMs && j >= ofKey.length - most);
      const sumOf = (some: readonly Row[]) => sumUp(some.map(({ value }) => value));
      return {
        ...row,
        n: seen(60).length,
        running: sumOf(ofKey),
        again: sumOf(seen(60)),
        removing: sumOf(seen(60)),
        few: sumOf(seen(Number.POSITIVE_INFINITY, 3)),
        texts: textsOf(seen(40, 4)),
      };
    });
  };
  const sumUp = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

  test('beside a plain loop, over epochs, shards and cuts', () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 3 }), fc.integer(), fc.nat(6), fc.boolean(), (sent, shards, seed, cut, arrives) => {
        const stream = timed()
          .keyBy('key')
          .over(features, { order: arrives ? 'arrival' : 'eventTime' })
          .to(collect());
        let driver = testDriver(stream, { partitions: 1, shards, seed });
        let epochs = 0;
        const rows: AnyRow[] = [];
        for (const { row, endsEpoch } of sent) {
          driver.send([row]);
          if (!endsEpoch) continue;
          driver.endEpoch();
          if (epochs++ !== cut) continue;
          rows.push(...driver.output());
          const from = carried(driver.snapshot());
          driver.close();
          driver = testDriver(stream, { from, shards: 4 - shards });
          assert.deepEqual(carried(driver.snapshot()), from);
        }
        driver.close();
        rows.push(...driver.output());
        const inOrder = arrives ? sent.map(({ row }) => row) : inTime(sent.map((one) => ({ ...one, partition: 0 })));
        assertClose(
          byKey(rows),
          byKey(
            wantedOf(
              inOrder,
              () => false,
              (row, before) => Math.max(row.at, ...before),
            ),
          ),
        );
      }),
      { numRuns: caseCount(30) },
    );
  });

  test('a row on which one fails is left out, and no other row sees it', () => {
    const fails = ({ value }: Row) => value === 3 || value === 0.25;
    const failing = aggregator({
      init: () => ({ sum: 0 }),
      add(state, row: { value: number }) {
        state.sum += row.value;
        if (row.value === 3) throw new RangeError('three');
      },
      merge: (a, b) => ({ sum: a.sum + b.sum }),
      result(state) {
        if (state.sum % 1 === 0.25) throw new RangeError('a quarter');
        return state.sum;
      },
    });
    fc.assert(
      fc.property(runs, fc.boolean(), (sent, arrives) => {
        // A quarter is alone in what it adds: no sum of others has it.
        const rows = sent.map((one) => ({ ...one, partition: 0, row: { ...one.row, value: one.row.value === 0.1 ? 1 : one.row.value } }));
        const results = timed()
          .keyBy('key')
          .over({ ...features, failing, failing2: [failing, { rows: 1 }] }, { order: arrives ? 'arrival' : 'eventTime' });
        const stream = results.drop('failing', 'failing2').to(collect());
        results.errors.to(collect());
        const driver = testDriver(stream, { partitions: 1 });
        for (const { row, endsEpoch } of rows) {
          driver.send([row]);
          if (endsEpoch) driver.endEpoch();
        }
        driver.close();
        const inOrder = arrives ? rows.map(({ row }) => row) : inTime(rows);
        assertClose(byKey(driver.output()), byKey(wantedOf(inOrder, fails, (row, before) => Math.max(row.at, ...before))));
        assert.equal(driver.output(1).length, inOrder.filter(fails).length);
      }),
      { numRuns: caseCount(20) },
    );
    const strict = testDriver(timed().keyBy('key').over({ failing }).to(collect()), { partitions: 1 });
    strict.send([{ key: 'a', text: null, value: 3, maybe: null, big: 1n, ok: true, at: 1 }]);
    assert.throws(() => strict.close(), { code: 'ERR_MILLRACE_USER_FUNCTION', message: /aggregator "failing": add failed.*three/ });
  });
});

const small = (ms = 0) =>
  pipeline('small')
    .from(memory([], { schema: { key: utf8, value: f64, at: timestamp } }))
    .withWatermark('at', ms);
const payment = (key: string, value: number, at: number) => ({ key, value, at });

describe('over', () => {
  test('late rows are in no result, and come out of late', () => {
    for (const order of ['eventTime', 'arrival'] as const) {
      const rows = small()
        .keyBy('key')
        .over({ sum: [sum((r: { value: number }) => r.value), '10ms'] }, { order });
      const stream = rows.to(collect());
      rows.late.to(collect());
      const driver = testDriver(stream, { partitions: 1 });
      driver.send([payment('a', 1, 100)]);
      driver.endEpoch();
      driver.send([payment('a', 2, 99), payment('a', 4, 100), payment('a', 8, 109), payment('a', 16, 110)]);
      driver.close();
      assert.deepEqual(
        driver.output().map(({ value, sum: total }) => [value, total]),
        [
          [1, 1],
          [4, 5],
          [8, 13],
          [16, 24],
        ],
        order,
      );
      assert.deepEqual(driver.output(1), [{ ...payment('a', 2, 99), source: 'memory', partition: 0, offset: 1 }]);
    }
  });

  test('a sum has nothing of the values that are gone: large ones, infinities, NaN', () => {
    const driver = testDriver(
      small()
        .keyBy('key')
        .over({ sum: sum('value', { rows: 2 }), mean: mean('value', { rows: 2 }), dev: stddev('value', { rows: 2 }) })
        .to(collect()),
      { partitions: 1 },
    );
    const values = [1e300, 0.1, 0.2, Number.POSITIVE_INFINITY, 0.3, Number.NaN, 0.1, 0.2, 1.7e308, 1.7e308, 3, 0.5, -1e17, 1, 0.25, 1e-9, 3e-9];
    driver.send(values.map((value, i) => payment('a', value, i)));
    driver.close();
    const rows = driver.output();
    values.forEach((value, i) => {
      const before = i === 0 ? undefined : (values[i - 1] as number);
      const total = before === undefined ? value : before + value;
      assert.equal(rows[i]?.sum, total, `${i}: ${before} + ${value}`);
      assert.equal(rows[i]?.mean, before === undefined ? value : total / 2);
    });
    assert.ok(Math.abs((rows.at(-1)?.dev as number) - 2e-9 / Math.SQRT2) < 1e-20);
    assert.ok(Number.isNaN(rows[5]?.dev) && Math.abs((rows[7]?.dev as number) - 0.1 / Math.SQRT2) < 1e-15);
  });

  test('keys that went quiet are forgotten, and their memory comes back', () => {
    const input = schema({ key: utf8, at: timestamp, value: f64 });
    const features = { n: count('1s'), keys: countDistinct('key', '1s'), last: last('key', { rows: 3, within: '2s' }) };
    for (const order of ['eventTime', 'arrival'] as const) {
      const plan = planOver({ input, keys: ['key'], ...rangesApart(features, input), hidden: [], eventTime: 'at', timeShiftMs: 0, order });
      const bytesAfter = (rounds: number): number => {
        const epochs = Array.from({ length: rounds }, (_, round) => {
          const rows = Array.from({ length: 500 }, (_, i) => ({ key: `key ${round}-${i % 250}`, value: i, at: round * 1_000 + i }));
          return { nowMs: 0, chunks: [{ partition: 0, first: round * 500, rows }] };
        });
        const run = runKeyed(plan, epochs, { workers: 1, spread: () => 0, batchRows: 500, partitions: 1, delayMs: 0, closes: false });
        assert.equal(run.leakedBytes, 0);
        assert.ok(run.results.every(({ row: { n, keys } }) => (n as number) <= 2 && keys === 1));
        return run.stateBytes;
      };
      const [few, many] = [bytesAfter(8), bytesAfter(40)];
      assert.ok(many <= few * 1.2, `${many} bytes of state after 40 rounds of other keys, ${few} after 8`);
    }
  });

  test('a restart reads rows of the ranges again: they are seen, and do not come out again', () => {
    const plan = planOver({
      input: schema({ key: utf8, at: timestamp, value: f64 }),
      keys: ['key'],
      ...rangesApart({ sum: sum('value', 50) }, schema({ key: utf8, at: timestamp, value: f64 })),
      hidden: [],
      eventTime: 'at',
      timeShiftMs: 0,
      order: undefined,
    });
    const chunk = (first: number, rows: readonly number[]) => ({ partition: 0, first, rows: rows.map((at) => ({ key: 'k', at, value: at })) });
    const run = runKeyed(
      plan,
      [
        { nowMs: 0, chunks: [chunk(0, [40, 60, 70, 99])] },
        { nowMs: 0, chunks: [chunk(4, [100, 120])] },
      ],
      { workers: 1, spread: () => 0, batchRows: 16, partitions: 1, delayMs: 10, watermark: 100, replayedEpochs: 1 },
    );
    // 40 is of no use any more.
    assert.deepEqual(
      run.results.map(({ row }) => [row.at, row.sum]),
      [
        [100, 60 + 70 + 99 + 100],
        [120, 99 + 100 + 120],
      ],
    );
    assert.equal(run.leakedBytes, 0);
  });

  test('what comes out has its event time: windows behind it, over behind it', () => {
    const first = small()
      .keyBy('key')
      .over({ n: count({ rows: 10 }) });
    const second = first
      .filter((r) => r.n > 1)
      .keyBy('n')
      .over({ keys: countDistinct('key', '1s') });
    const stream = second
      .keyBy('keys')
      .window(tumbling('10ms'))
      .aggregate({ rows: count(), most: max('n') })
      .to(collect());
    const driver = testDriver(stream, { partitions: 1 });
    for (let at = 0; at < 30; at++) {
      driver.send([payment(at % 3 === 0 ? 'b' : 'a', 1, at)]);
      if (at % 4 === 3) driver.endEpoch();
    }
    driver.close();
    assert.equal(driver.counts.get('late') ?? 0, 0);
    assert.equal(total(driver.output().map(({ rows }) => rows as number)), 28);
  });

  test('what is wrong is said where it is written', () => {
    const keyed = small().keyBy('key');
    const untimed = pipeline('untimed')
      .from(memory([], { schema: { key: utf8, value: f64 } }))
      .keyBy('key');
    const refused = (build: () => unknown, message: RegExp, code = 'ERR_MILLRACE_PIPELINE') => assert.throws(build, { code, message });
    refused(() => keyed.over({}), /at least one aggregate/);
    refused(() => keyed.over(undefined as never), /at least one aggregate/);
    // @ts-expect-error no aggregate
    refused(() => keyed.over({ n: 5 }), /given 5 for "n"/);
    // @ts-expect-error no such column
    refused(() => keyed.over({ n: sum('vlaue', '1m') }), /names the column "vlaue"/);
    refused(() => keyed.over({ value: count('1m') }), /"value", which is a column here, too/);
    refused(() => keyed.over({ n: quantile('value', 0.5) }), /quantile\(\) for "n": it takes count, sum/);
    refused(() => keyed.over({ n: collect('value') }), /no range/);
    refused(() => keyed.over({ n: median('value') }), /median\(\) of "n" has no range/);
    refused(() => keyed.over({ n: first('value', { by: 'at' }) }), /goes by "at"/);
    refused(() => keyed.over({ n: [sum('value', '1m'), '1h'] }), /two ranges/);
    refused(() => untimed.over({ n: count('1m') }), /no event time/);
    refused(() => untimed.over({ n: count({ rows: 3 }) }, { order: 'eventTime' }), /no event time/);
    refused(() => keyed.over({ n: count() }, { order: 'time' as never }), /the order "time"/, 'ERR_MILLRACE_OPTION');
    refused(() => keyed.over({ n: count() }, { ordre: 'arrival' } as never), /ordre/, 'ERR_MILLRACE_OPTION');
    refused(() => sum('value', { rows: 0 }), /rows: 0/, 'ERR_MILLRACE_OPTION');
    refused(() => sum('value', 0), /no duration of at least 1 ms/, 'ERR_MILLRACE_OPTION');
    refused(() => [sum('value', '5x' as '5m')], /"5x"/, 'ERR_MILLRACE_OPTION');
    // @ts-expect-error a range is for over
    refused(() => keyed.aggregate({ n: sum('value', '1m') }), /ranges are for over/);
    // @ts-expect-error a range is for over
    refused(() => keyed.window(tumbling('1m')).aggregate({ n: count({ rows: 3 }) }), /ranges are for over/);
    // @ts-expect-error a plain stream has no keys
    refused(() => small().over({ n: count() }), /without keys/);
    // @ts-expect-error a table is no stream of facts
    refused(() => keyed.count().keyBy('key').over({ n: count() }), /updates/);
  });

  test('the types of the results', () => {
    const keyed = timed().keyBy('key');
    const features = { n: count('1m'), total: sum('big', '1m'), newest: last('text', { rows: 2 }), mean: mean('maybe', 5) } as const;
    const rows = keyed.over({ ...features, some: [sum('value', { where: (r) => r.ok }), '1m'] });
    rows.filter((r) => r.n > 0 && r.total > 0n && (r.newest ?? '').length > 0 && (r.mean ?? 0) > 0 && (r.some ?? 0) > 0 && r.value > 0);
    // @ts-expect-error it may be null
    rows.filter((r) => r.newest.length > 0);
    // @ts-expect-error it may be null, where no row is one of those
    rows.filter((r) => r.some.toFixed() === '');
    // @ts-expect-error there is no sum of texts
    assert.throws(() => keyed.over({ n: sum('text', '1m') }), /of a utf8 column/);
  });
});
