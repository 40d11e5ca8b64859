// What a plan decides, what it refuses, and what the compiler refuses before it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { f32, f64, i64, MillraceError, nullable, type RowOf, schema, timestamp, utf8 } from '../../core/index.ts';
import {
  type AggregatesOf,
  approxCountDistinct,
  collect,
  count,
  countDistinct,
  ewma,
  first,
  last,
  linearCount,
  max,
  mean,
  median,
  min,
  planAggregate,
  quantile,
  type ResultsOf,
  rate,
  sliding,
  stddev,
  sum,
  topK,
  tumbling,
  variance,
} from '../../operators/index.ts';

const fields = { at: timestamp, page: utf8, ms: f64, maybe: nullable(f64), amount: i64, price: f32 };
const input = schema(fields);
type Row = RowOf<typeof fields>;

const refuses = (code: string, pattern: RegExp) => (error: unknown) => error instanceof MillraceError && error.code === code && pattern.test(error.message);

describe('plan of an aggregation', () => {
  test('names the result columns: keys, window, aggregates; nullable where the input is', () => {
    const plan = planAggregate({
      input,
      keys: ['page'],
      aggregates: { n: count(), total: sum('amount'), m: mean('maybe'), top: max('price'), from: min('at') },
      window: tumbling('1m'),
      eventTime: 'at',
    });
    assert.equal(
      plan.output.toString(),
      '"page":utf8, "windowStart":timestamp, "windowEnd":timestamp, "n":f64, "total":i64, "m":f64?, "top":f32, "from":timestamp',
    );
    assert.deepEqual(plan.columnsRead, ['at', 'page', 'maybe', 'amount', 'price']);
    assert.equal(planAggregate({ input, keys: [], aggregates: { n: count() } }).output.toString(), '"n":f64');
  });

  test('shares accumulators', () => {
    const plan = planAggregate({ input, keys: ['page'], aggregates: { n: count(), a: mean('ms'), b: sum('ms'), c: mean('ms'), d: count('ms') } });
    assert.deepEqual(
      plan.layout.accumulators.map(({ accumulator }) => accumulator.name),
      ['count', 'sum'],
    );
  });

  test('chooses how windows are combined, and says why', () => {
    const strategy = (aggregates: Parameters<typeof planAggregate>[0]['aggregates'], window?: ReturnType<typeof tumbling>) => {
      const plan = planAggregate({ input, keys: ['page'], aggregates, ...(window ? { window, eventTime: 'at' } : {}) });
      assert.match(plan.describe(), new RegExp(`strategy  ${plan.strategy}: `));
      return plan.strategy;
    };
    assert.equal(strategy({ n: count() }), 'none');
    assert.equal(strategy({ n: count(), top: max('ms') }, tumbling('1m')), 'tumbling');
    assert.equal(strategy({ n: count(), m: mean('ms') }, sliding('1m', '10s')), 'running');
    assert.equal(strategy({ n: count(), top: max('ms') }, sliding('1m', '10s')), 'two-stack');
    assert.equal(strategy({ n: count(), top: max('ms') }, sliding('1m', '30s')), 'merge');
    assert.match(
      planAggregate({ input, keys: [], aggregates: { n: count(), top: max('ms') }, window: sliding('1m', '10s'), eventTime: 'at' }).describe(),
      /top cannot be subtracted/,
    );
  });

  test('refuses what cannot be', () => {
    const plan = (request: object) => () => planAggregate({ input, keys: ['page'], aggregates: { n: count() }, ...request });
    const pipeline = (pattern: RegExp) => refuses('ERR_MILLRACE_PIPELINE', pattern);
    assert.throws(plan({ keys: ['pgae'] }), pipeline(/keyBy names the column "pgae"/));
    assert.throws(plan({ aggregates: { m: mean('page') } }), pipeline(/mean\("page"\) of a utf8 column/));
    assert.throws(plan({ aggregates: { m: sum('at') } }), pipeline(/sum\("at"\) of a timestamp column/));
    assert.throws(plan({ aggregates: { m: sum('typo') } }), pipeline(/sum\(\) names the column "typo"/));
    assert.throws(plan({ aggregates: {} }), pipeline(/no aggregates/));
    assert.throws(plan({ aggregates: { n: 'count' } }), pipeline(/"count" for "n"/));
    assert.throws(plan({ aggregates: { page: count() } }), pipeline(/Two result columns are named "page"/));
    assert.throws(plan({ aggregates: { windowEnd: count() }, window: tumbling(5), eventTime: 'at' }), pipeline(/Two result columns are named "windowEnd"/));
    assert.throws(plan({ window: tumbling(5) }), pipeline(/no?.*withWatermark/));
    assert.throws(plan({ window: tumbling(5), eventTime: 'ms' }), pipeline(/must be a timestamp/));
    assert.throws(() => (sum as () => unknown)(), pipeline(/sum\(\) names no column/));
    assert.throws(() => (count as (column: unknown) => unknown)(7), pipeline(/count\(\) is given 7/));
  });

  test('names the types of statistics, sketches and lists, and says how they are computed', () => {
    const plan = planAggregate({
      input,
      keys: [],
      aggregates: {
        v: variance('ms'),
        d: stddev('maybe', { population: true }),
        f: first('page'),
        l: last('maybe', { by: 'amount' }),
        c: collect('ms'),
        n: countDistinct('page'),
        a: approxCountDistinct('page', { error: 0.01 }),
        b: linearCount('page', { bits: 1_000 }),
        p50: quantile('ms', 0.5),
        p99: quantile('ms', 0.99),
        t: topK('page', 3),
        e: ewma('maybe', { halfLife: '1m' }),
        r: rate('ms'),
        low: min('page'),
      },
      window: sliding('1m', '10s'),
      eventTime: 'at',
    });
    assert.equal(
      plan.output.fields
        .slice(2)
        .map(({ name, type }) => `${name}:${type.name}${type.nullable ? '?' : ''}`)
        .join(' '),
      'v:f64? d:f64? f:utf8 l:f64? c:utf8 n:f64 a:f64 b:f64 p50:f64 p99:f64 t:utf8 e:f64? r:f64 low:utf8',
    );
    const text = plan.describe();
    for (const said of [
      /v = variance\(ms\): f64\?, of a sample, cannot be subtracted/,
      /f = first\(page\): utf8, by at, cannot/,
      /l = last\(maybe\): f64\?, by amount/,
      /c = collect\(ms\): utf8, at most 1000, by at/,
      /a = approxCountDistinct\(page\): f64, HyperLogLog of 16384 registers, standard error 0\.81 %/,
      /b = linearCount\(page\): f64, linear counting in 1024 bits/,
      /p50 = quantile\(ms, 0\.5\): f64, DDSketch, relative error 0\.01$/m,
      /t = topK\(page\): utf8, Misra-Gries, error at most rows \/ 101/,
      /strategy {2}two-stack: v, d, f, l, c, n, a, b, t, e, low cannot be subtracted/,
    ]) {
      assert.match(text, said);
    }
    // Both quantiles read one sketch; the rate and the variance one sum.
    assert.deepEqual(
      plan.layout.accumulators.map(({ accumulator }) => accumulator.name).filter((name) => name === 'quantiles' || name === 'sum'),
      ['sum', 'sum', 'quantiles'],
    );
  });

  test('slides quantiles by adding and subtracting, and says so', () => {
    const plan = planAggregate({
      input,
      keys: ['page'],
      aggregates: { p99: quantile('ms', 0.99), m: mean('ms') },
      window: sliding('1m', '10s'),
      eventTime: 'at',
    });
    assert.equal(plan.strategy, 'running');
  });

  test('refuses aggregates that a column, a stream or a number cannot have', () => {
    const plan =
      (aggregates: object, more: object = {}) =>
      () =>
        planAggregate({ input, keys: ['page'], aggregates: aggregates as Record<string, never>, ...more });
    const pipeline = (pattern: RegExp) => refuses('ERR_MILLRACE_PIPELINE', pattern);
    assert.throws(plan({ v: variance('page') }), pipeline(/variance\("page"\) of a utf8 column/));
    assert.throws(plan({ q: quantile('page', 0.5) }), pipeline(/quantile\("page"\) of a utf8 column/));
    assert.throws(plan({ f: first('ms', { by: 'page' }) }, { eventTime: 'at' }), pipeline(/first\(\) goes by "page", a utf8 column/));
    assert.throws(plan({ f: first('ms', { by: 'typo' }) }), pipeline(/first\(\) names the column "typo"/));
    assert.throws(plan({ e: ewma('ms', { halfLife: 5 }) }), pipeline(/ewma\(\) needs event time/));
    assert.throws(plan({ r: rate() }), pipeline(/rate\(\) is by the length of a window/));
    const option = (pattern: RegExp) => refuses('ERR_MILLRACE_OPTION', pattern);
    assert.throws(() => quantile('ms', 50), option(/quantile\(\) has a q of 50/));
    assert.throws(() => quantile('ms', 0.5, { error: 0 }), option(/an error of 0/));
    assert.throws(() => topK('page', 0), option(/a k of 0/));
    assert.throws(() => collect('page', { max: 1.5 }), option(/a max of 1.5/));
    assert.throws(() => approxCountDistinct('page', { error: 1e-6 }), option(/an error of 0.000001/));
    assert.throws(() => ewma('ms', { halfLife: 0 }), option(/halfLife of ewma/));
    assert.throws(() => (ewma as (column: string) => unknown)('ms'), option(/halfLife of ewma/));
  });

  test('takes a result column with any name', () => {
    const aggregates = Object.fromEntries([['__proto__', count()]]);
    assert.equal(planAggregate({ input, keys: ['page'], aggregates }).output.field(1).name, '__proto__');
  });
});

describe('types of aggregates', () => {
  test('infers result rows, and refuses columns that are not there', () => {
    const aggregates = { n: count(), total: sum('amount'), sumMs: sum('ms'), m: mean('ms'), maybe: mean('maybe'), low: min('maybe'), top: max('amount') };
    const accept = <A extends AggregatesOf<Row>>(of: A): A => of;
    accept(aggregates);
    // @ts-expect-error there is no column typo
    accept({ m: mean('typo') });
    const result = { n: 1, total: 2n, sumMs: 3, m: 4, maybe: null, low: null, top: 5n } satisfies ResultsOf<typeof aggregates, Row>;
    const numbers: number[] = [result.n, result.sumMs, result.m];
    assert.equal(numbers.length, 3);
    // @ts-expect-error a sum of i64 is a bigint
    ({ ...result, total: 2 }) satisfies ResultsOf<typeof aggregates, Row>;
    // @ts-expect-error a mean of a column without nulls is never null
    ({ ...result, m: null }) satisfies ResultsOf<typeof aggregates, Row>;
  });

  test('infers statistics, sketches and lists, and refuses columns of the wrong type', () => {
    const aggregates = {
      v: variance('ms'),
      f: first('page'),
      l: last('maybe', { by: 'amount' }),
      c: collect('page'),
      n: countDistinct('page'),
      a: approxCountDistinct('maybe'),
      q: quantile('ms', 0.5),
      qMaybe: quantile('maybe', 0.5),
      m: median('ms'),
      mMaybe: median('maybe'),
      t: topK('page', 3),
      e: ewma('ms', { halfLife: '1m' }),
      r: rate(),
      low: min('page'),
    };
    const accept = <A extends AggregatesOf<Row>>(of: A): A => of;
    accept(aggregates);
    const result = { v: null, f: '/', l: null, c: '[]', n: 1, a: 1, q: 1, qMaybe: null, m: 1, mMaybe: null, t: '[]', e: 1, r: 1, low: '/' } satisfies ResultsOf<
      typeof aggregates,
      Row
    >;
    ({ ...result, v: 1, l: 1, qMaybe: 1 }) satisfies ResultsOf<typeof aggregates, Row>;
    // @ts-expect-error the first of a text column is a string
    ({ ...result, f: 1 }) satisfies ResultsOf<typeof aggregates, Row>;
    // @ts-expect-error a quantile of a column without nulls is never null
    ({ ...result, q: null }) satisfies ResultsOf<typeof aggregates, Row>;
    // @ts-expect-error there is no mean of texts
    accept({ m: mean('page') });
    // @ts-expect-error there is no variance of texts
    accept({ v: variance('page') });
    // @ts-expect-error there is no median of texts
    accept({ m: median('page') });
    // @ts-expect-error there is no quantile of texts
    accept({ q: quantile('page', 0.5) });
    // @ts-expect-error texts do not order values
    accept({ f: first('ms', { by: 'page' }) });
    // @ts-expect-error there is no column typo to go by
    accept({ f: first('ms', { by: 'typo' }) });
    // @ts-expect-error there is no column typo
    accept({ t: topK('typo', 3) });
    // @ts-expect-error no duration
    assert.throws(() => ewma('ms', { halfLife: '5x' }));
  });
});

describe('windows', () => {
  test('reads durations', () => {
    assert.deepEqual(tumbling('1m', { offset: '15s' }).shape, { kind: 'tumbling', sizeMs: 60_000, offsetMs: 15_000 });
    assert.deepEqual(tumbling('1d', { offset: '-2h' }).shape, { kind: 'tumbling', sizeMs: 86_400_000, offsetMs: -7_200_000 });
    assert.deepEqual(sliding('1m', 10_000).shape, { kind: 'sliding', sizeMs: 60_000, slideMs: 10_000, offsetMs: 0 });
  });

  test('shifts windows back as well as forth', () => {
    assert.deepEqual(tumbling(10, { offset: -3 }).shape, { kind: 'tumbling', sizeMs: 10, offsetMs: -3 });
  });

  test('is immutable: lateness and emit give new ones', () => {
    const plain = sliding('1m', '10s');
    const late = plain.lateness('5s').emit('update');
    assert.deepEqual([plain.latenessMs, plain.emission, late.latenessMs, late.emission], [0, 'final', 5_000, 'update']);
    assert.equal(String(late), 'sliding(60000 ms every 10000 ms), lateness 5000 ms, emit update');
  });

  test('refuses what is no window', () => {
    const option = (pattern: RegExp) => refuses('ERR_MILLRACE_OPTION', pattern);
    assert.throws(() => tumbling(0), option(/size of tumbling\(\) is 0/));
    assert.throws(() => tumbling('5x' as '5s'), option(/"5x"/));
    assert.throws(() => tumbling(1.5), option(/1\.5/));
    assert.throws(() => tumbling(10, { offset: Number.NaN }), option(/offset/));
    assert.throws(() => sliding('10s', '1m'), option(/longer than its size/));
    assert.throws(() => sliding('10s', 0), option(/slide/));
    assert.throws(() => sliding('365d', 1), option(/Make the slide at least/));
    assert.throws(() => tumbling(5).lateness(-1), option(/lateness/));
    assert.throws(() => tumbling(5).emit('often' as 'final'), option(/"often"/));
  });
});
