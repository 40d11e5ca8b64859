// Views through the test driver, against a Map of plain numbers; what can be viewed, and what is refused.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  binary,
  bool,
  collect,
  count,
  explain,
  f64,
  i64,
  last,
  MillraceError,
  max,
  mean,
  memory,
  min,
  nullable,
  type PipelineLike,
  pipeline,
  sum,
  timestamp,
  tumbling,
  u32,
  utf8,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(100);
const LONG = 'k'.repeat(10_000);

const texts = fc.constantFrom(null, '', 'a', 'é', '__proto__', 'constructor', LONG, `${LONG}l`);
const row = fc.record({
  text: texts,
  number: fc.constantFrom(0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, -3e200),
  long: fc.bigInt({ min: -2n, max: 2n }),
  flag: fc.boolean(),
  bytes: fc.constantFrom(...['', '00', 'ff'.repeat(40)].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')))),
  at: fc.constantFrom(-1, 0, 1_700_000_000_000),
  value: fc.option(fc.integer({ min: -100, max: 100 }), { nil: null }),
});
type Input = typeof row extends fc.Arbitrary<infer T> ? T : never;
const KEYS = ['text', 'number', 'long', 'flag', 'bytes', 'at'] as const;
type Key = (typeof KEYS)[number];

function keyText(keys: readonly Key[], of: Input): string {
  return keys.map((key) => (of[key] instanceof Uint8Array ? Buffer.from(of[key]).toString('hex') : `${String(of[key])}`)).join('|');
}

/** What the rows of one key come to. */
function totals(rows: readonly Input[]) {
  const values = rows.map((of) => of.value).filter((value) => value !== null);
  const total = values.reduce((a, b) => a + b, 0);
  return {
    rows: rows.length,
    total: values.length === 0 ? null : total,
    mean: values.length === 0 ? null : total / values.length,
    least: values.length === 0 ? null : Math.min(...values),
    longest: rows.map((of) => of.text).reduce((a, b) => (b === null || (a !== null && Buffer.compare(Buffer.from(a), Buffer.from(b)) >= 0) ? a : b)),
  };
}

const source = () =>
  pipeline('views').from(
    memory([], { schema: { text: nullable(utf8), number: f64, long: i64, flag: bool, bytes: binary, at: timestamp, value: nullable(f64) } }),
  );

describe('views of running aggregates', () => {
  test('give what a Map gives, for any keys and any cuts', () => {
    fc.assert(
      fc.property(fc.subarray([...KEYS], { minLength: 1 }), fc.array(fc.array(row, { maxLength: 30 }), { minLength: 1, maxLength: 5 }), (keys, epochs) => {
        const stream = source()
          .keyBy(...keys)
          .aggregate({ rows: count(), total: sum('value'), mean: mean('value'), least: min('value'), longest: max('text') })
          .as('totals');
        const driver = testDriver(stream, { partitions: 2, memoryBytes: 16 << 20 });
        const view = driver.view<Record<string, unknown>>('totals');
        const model = new Map<string, Input[]>();
        epochs.forEach((rows, epoch) => {
          driver.send(rows.slice(0, rows.length >> 1), { partition: 1 });
          driver.send(rows.slice(rows.length >> 1));
          assert.equal(view.size, model.size, 'nothing of an epoch that has not ended');
          assert.equal(view.epoch, epoch - 1);
          for (const one of rows) {
            const text = keyText(keys, one);
            model.set(text, [...(model.get(text) ?? []), one]);
          }
          driver.endEpoch();
          for (const group of model.values()) {
            const [first] = group as [Input];
            const key = keys.map((name) => first[name]);
            const expected = totals(group);
            for (const asked of [key, Object.fromEntries(keys.map((name) => [name, first[name]])), ...(key.length === 1 ? key : [])]) {
              const { rows, total, mean, least, longest, ...rest } = view.get(asked) as Record<string, unknown>;
              assert.deepEqual({ rows, total, mean, least, longest }, expected);
              assert.equal(keyText(keys, rest as unknown as Input), keyText(keys, first));
              assert.equal(view.epoch, epoch);
            }
          }
          assert.equal(view.size, model.size);
          assert.equal(view.epoch, epoch);
          assert.deepEqual(
            view
              .rows()
              .map((of) => keyText(keys, of as unknown as Input))
              .sort(),
            [...model.keys()].sort(),
          );
          for (const order of ['desc', 'asc'] as const) {
            const sign = order === 'desc' ? -1 : 1;
            const all = [...model.values()].map((of) => totals(of).total);
            const numbers = all.filter((total) => total !== null).sort((a, b) => sign * (a - b));
            const ranked = [...numbers, ...all.filter((total) => total === null)];
            for (const n of [1, 3, 1_000]) {
              const top = view.top(n, { by: 'total', order });
              assert.deepEqual(
                top.map((of) => of.total),
                ranked.slice(0, n),
              );
            }
          }
        });
      }),
      { numRuns: RUNS },
    );
  });

  test('hold more groups than a tile, through growth', () => {
    const stream = pipeline('grow')
      .from(memory([], { schema: { user: u32 } }))
      .keyBy('user')
      .count()
      .as('users');
    const driver = testDriver(stream, { partitions: 1 });
    for (let epoch = 0; epoch < 5; epoch++) {
      driver.send(Array.from({ length: 40_000 }, (_, i) => ({ user: i % (8_000 * (epoch + 1)) })));
      driver.endEpoch();
    }
    const view = driver.view<{ user: number; count: number }>('users');
    const counts = new Map<number, number>();
    for (let epoch = 0; epoch < 5; epoch++)
      for (let i = 0; i < 40_000; i++) counts.set(i % (8_000 * (epoch + 1)), (counts.get(i % (8_000 * (epoch + 1))) ?? 0) + 1);
    assert.deepEqual(new Map(view.rows().map((of) => [of.user, of.count])), counts);
    assert.equal(view.size, 40_000);
    const ranked = [...counts.values()].sort((a, b) => b - a);
    assert.deepEqual(
      view.top(20_000).map((of) => of.count),
      ranked.slice(0, 20_000),
    );
  });

  test('are empty before the first epoch, and know no key that never came', () => {
    const driver = testDriver(source().keyBy('text').count().as('texts'));
    const view = driver.view('texts');
    assert.deepEqual(
      [view.get('a'), view.get(null), view.top(3), view.rows(), view.size, view.epoch, view.name],
      [undefined, undefined, [], [], 0, -1, 'texts'],
    );
    driver.endEpoch();
    assert.deepEqual([view.get('a'), view.epoch], [undefined, 0]);
  });

  test('need no sink, and stand beside one', async () => {
    const counts = source().keyBy('text').count().as('texts');
    assert.deepEqual(testDriver(counts).output.length, 0);
    const driver = testDriver(counts.to(collect()));
    driver.send([{ text: 'a', number: 1, long: 1n, flag: true, bytes: new Uint8Array(), at: 0, value: null }]);
    driver.close();
    assert.deepEqual(driver.output(), [driver.view('texts').get('a')]);
    const { views } = await explain(new URL('./pipelines/live.ts', import.meta.url), { rows: 1 });
    assert.deepEqual(
      views.map(({ name, exchange }) => [name, exchange]),
      [
        ['pages', 0],
        ['pairs', 1],
      ],
    );
  });

  test('show what a restored driver went on from, also where the snapshot was of a pipeline without them', () => {
    const counts = () =>
      pipeline('restored')
        .from(memory([], { schema: { key: utf8 } }))
        .keyBy('key')
        .count()
        .to(collect());
    const driver = testDriver(counts(), { partitions: 1 });
    for (const keys of ['aab', 'ac']) {
      driver.send([...keys].map((key) => ({ key })));
      driver.endEpoch();
    }
    const viewed = pipeline('restored')
      .from(memory([], { schema: { key: utf8 } }))
      .keyBy('key')
      .count()
      .as('keys')
      .to(collect());
    const restored = testDriver(viewed, { from: driver.snapshot(), shards: 3 });
    const view = restored.view<{ count: number }>('keys');
    assert.deepEqual([view.get('a')?.count, view.get('b')?.count, view.get('d')?.count, view.epoch], [3, 1, undefined, 1]);
    restored.send([{ key: 'a' }]);
    restored.endEpoch();
    assert.deepEqual([view.top(1).map((row) => row.count), view.size, view.epoch], [[4], 3, 2]);
  });

  test('windows are viewed through the latest result of each key', () => {
    const stream = source()
      .withWatermark('at', '10s')
      .keyBy('text')
      .window(tumbling('1m').emit('update'))
      .aggregate({ rows: count() })
      .keyBy('text')
      .aggregate({ windowStart: last('windowStart'), rows: last('rows') })
      .as('latest');
    const driver = testDriver(stream, { partitions: 1 });
    const view = driver.view('latest');
    const rest = { number: 0, long: 0n, flag: true, bytes: new Uint8Array(), value: null };
    const send = (...rows: [text: string, at: number][]) => {
      driver.send(rows.map(([text, at]) => ({ ...rest, text, at })));
      driver.endEpoch();
    };
    send(['a', 1_000], ['a', 2_000], ['b', 3_000]);
    assert.deepEqual(view.get('a'), { text: 'a', windowStart: 0, rows: 2 });
    send(['a', 61_000], ['a', 59_000]);
    assert.deepEqual(view.get('a'), { text: 'a', windowStart: 60_000, rows: 1 });
    send(['a', 62_000], ['b', 58_000]);
    assert.deepEqual(view.get('a'), { text: 'a', windowStart: 60_000, rows: 2 });
    assert.deepEqual(view.get('b'), { text: 'b', windowStart: 0, rows: 2 });
  });

  test('a value that cannot be shown harms no other', () => {
    const stream = pipeline('sums')
      .from(memory([], { schema: { key: utf8, long: i64 } }))
      .keyBy('key')
      .aggregate({ total: sum('long') })
      .as('sums');
    const driver = testDriver(stream, { partitions: 1 });
    driver.send([
      { key: 'good', long: 7n },
      { key: 'bad', long: 2n ** 63n - 1n },
      { key: 'bad', long: 1n },
    ]);
    assert.throws(() => driver.endEpoch(), /does not fit 64 bits/);
    const view = driver.view('sums');
    for (let i = 0; i < 3; i++) {
      assert.throws(() => view.get('bad'), /does not fit 64 bits/);
      assert.deepEqual(view.get('good'), { key: 'good', total: 7n });
    }
  });
});

describe('what a view refuses', () => {
  const refuses = (what: () => unknown, code: string, message: RegExp) =>
    assert.throws(what, (error) => error instanceof MillraceError && error.code === code && message.test(error.message));

  test('a stream without such a state, a name that is taken or none', () => {
    const stream = source();
    const PIPELINE = 'ERR_MILLRACE_PIPELINE';
    refuses(() => stream.as('x'), PIPELINE, /as\("x"\).*stream of facts.*keyBy/);
    refuses(() => stream.keyBy('text').count().as(''), PIPELINE, /not empty/);
    refuses(
      () =>
        stream
          .keyBy('text')
          .count()
          .as(3 as never),
      PIPELINE,
      /name 3/,
    );
    const counts = stream.keyBy('text').count().as('x');
    refuses(() => counts.as('y'), PIPELINE, /is "x"\. One name/);
    refuses(() => stream.keyBy('flag').count().as('x'), PIPELINE, /Two streams.*"x"/);
    refuses(() => testDriver(source() as unknown as PipelineLike), PIPELINE, /writes nothing/);
  });

  test('keys, ranks and names that are none', () => {
    const driver = testDriver(
      source()
        .keyBy('text', 'flag')
        .aggregate({ rows: count(), total: sum('value'), longest: max('text') })
        .as('x'),
    );
    const view = driver.view<{ rows: number; total: number; longest: string }>('x');
    for (const key of ['a', 3, null, undefined, {}, { text: 'a' }, ['a'], ['a', true, 1], new Uint8Array(2)])
      refuses(() => view.get(key), 'ERR_MILLRACE_SCHEMA', /the key is text, flag/);
    refuses(() => view.get({ text: 3, flag: true }), 'ERR_MILLRACE_SCHEMA', /"text" holds utf8 or null/);
    assert.equal(view.get(['a', true]), undefined);
    refuses(() => view.top(1), 'ERR_MILLRACE_OPTION', /rows, total\. Name one/);
    refuses(() => view.top(1, { by: 'longest' }), 'ERR_MILLRACE_OPTION', /"longest"/);
    refuses(() => view.top(1, { by: '__proto__' as never }), 'ERR_MILLRACE_OPTION', /"__proto__"/);
    for (const n of [0, -1, 1.5, Number.NaN, '3' as never]) refuses(() => view.top(n, { by: 'rows' }), 'ERR_MILLRACE_OPTION', /whole number/);
    refuses(() => view.top(1, { by: 'rows', order: 'up' as never }), 'ERR_MILLRACE_OPTION', /'desc' or 'asc'/);
    refuses(() => view.top(1, { byy: 'rows' } as never), 'ERR_MILLRACE_OPTION', /"byy"\. Did you mean by\?/);
    refuses(() => view.rows({ mixt: true } as never), 'ERR_MILLRACE_OPTION', /"mixt"\. Did you mean mixed\?/);
    // @ts-expect-error no such column
    refuses(() => view.top(1, { by: 'row' }), 'ERR_MILLRACE_OPTION', /"row"/);
    // @ts-expect-error a row has its columns only
    assert.equal(view.get(['a', true])?.clicks, undefined);
    refuses(() => driver.view('y'), 'ERR_MILLRACE_OPTION', /"y"; there are "x"/);
    refuses(() => testDriver(source().to(collect())).view('y'), 'ERR_MILLRACE_OPTION', /has no views/);
  });
});
