// Views of what is no running aggregate: tables, top, reduce, windows, process. Each through the test driver,
// against a plain model, at random cuts; and in a job with threads, beside a sink that gets the same rows.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  bool,
  count,
  countWindow,
  f64,
  i64,
  MillraceError,
  max,
  memory,
  nullable,
  pipeline,
  run,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';
import * as given from './pipelines/row-view.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(30);

const row = fc.record(
  {
    key: fc.constantFrom('a', 'b', 'c', 'é'.repeat(30)),
    group: fc.constantFrom(null, 'x', 'y'),
    n: fc.constantFrom(0, 1.5, -3, Number.NaN, Number.POSITIVE_INFINITY),
    long: fc.constantFrom(0n, 2n ** 60n),
    at: fc.integer({ min: 0, max: 20 }).map((s) => s * 1_000),
    gone: fc.boolean(),
  },
  { noNullPrototype: true },
);
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never;
const SCHEMA = { key: utf8, group: nullable(utf8), n: f64, long: i64, at: timestamp, gone: bool };
const epochs = fc.array(fc.array(row, { maxLength: 12 }), { minLength: 1, maxLength: 8 });
const source = () => pipeline('views').from(memory([] as Row[], { schema: SCHEMA }));

/** Sends the epochs, and compares the view with the model after each. */
function follows(
  viewed: Parameters<typeof testDriver>[0],
  given: readonly (readonly Row[])[],
  model: (rows: readonly Row[]) => ReadonlyMap<unknown, object>,
): void {
  let driver = testDriver(viewed, { partitions: 1, shards: 2, memoryBytes: 32 << 20 });
  const rows: Row[] = [];
  for (const [epoch, more] of given.entries()) {
    driver.send(more);
    rows.push(...more);
    driver.endEpoch();
    // Every other epoch in another driver, from a snapshot.
    if (epoch % 2 === 1) driver = testDriver(viewed, { partitions: 1, shards: 2, memoryBytes: 32 << 20, from: driver.snapshot() });
    const view = driver.view('v');
    const expected = model(rows);
    for (const [key, value] of expected) assert.deepEqual(view.get(key), value);
    assert.equal(view.size, expected.size);
    assert.deepEqual(sorted(view.rows()), sorted([...expected.values()]));
  }
}

const text = (value: object): string =>
  JSON.stringify(Array.isArray(value) ? value.map(text) : Object.entries(value).toSorted(), (_, v) =>
    typeof v === 'bigint' ? `${v}n` : typeof v === 'number' ? String(v) : v,
  );
const sorted = (rows: readonly object[]): readonly object[] => rows.toSorted((a, b) => (text(a) < text(b) ? -1 : 1));

function groupedBy<K>(rows: readonly Row[], keyOf: (row: Row) => K): Map<K, Row[]> {
  const groups = new Map<K, Row[]>();
  for (const one of rows) {
    const group = groups.get(keyOf(one)) ?? [];
    groups.set(keyOf(one), group);
    group.push(one);
  }
  return groups;
}

function latest(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((of) => [of.key, of]));
}

describe('views of rows', () => {
  test('a table: the last row of each key, without those that went', () => {
    fc.assert(
      fc.property(epochs, (given) => {
        const table = source()
          .keyBy('key')
          .table({ delete: (r) => r.gone })
          .as('v');
        follows(table, given, (rows) => new Map([...latest(rows)].filter(([, { gone }]) => !gone)));
      }),
      { numRuns: RUNS },
    );
  });

  test('a table behind a filter: a row that no longer passes is gone', () => {
    fc.assert(
      fc.property(epochs, (given) => {
        const counts = source()
          .keyBy('key')
          .count()
          .filter((r) => r.count % 2 === 1)
          .withColumns({ half: [f64, (r) => r.count / 2] })
          .as('v');
        follows(counts, given, (rows) => {
          const per = new Map<string, number>();
          for (const { key } of rows) per.set(key, (per.get(key) ?? 0) + 1);
          return new Map([...per].filter(([, n]) => n % 2 === 1).map(([key, n]) => [key, { key, count: n, half: n / 2 }]));
        });
      }),
      { numRuns: RUNS },
    );
  });

  test('top of a table: ranks that are no longer filled are gone', () => {
    fc.assert(
      fc.property(epochs, (given) => {
        const top = source()
          .keyBy('key')
          .table({ delete: (r) => r.gone })
          .groupBy('group')
          .top(2, { by: ['long desc', 'key'] })
          .as('v');
        follows(top, given, (rows) => {
          const groups = groupedBy(
            [...latest(rows).values()].filter(({ gone }) => !gone),
            ({ group }) => group,
          );
          const found = new Map<unknown, object>();
          for (const [group, of] of groups) {
            const first = of
              .toSorted((a, b) => (a.long === b.long ? Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) : a.long > b.long ? -1 : 1))
              .slice(0, 2);
            first.forEach((best, i) => void found.set([group, i + 1], { ...best, rank: i + 1 }));
          }
          return found;
        });
      }),
      { numRuns: RUNS },
    );
  });

  test('top and reduce of facts', () => {
    fc.assert(
      fc.property(epochs, (given) => {
        const top = source().keyBy('group').top(3, { by: 'at' }).as('v');
        follows(top, given, (rows) => {
          const found = new Map<unknown, object>();
          for (const [group, of] of groupedBy(rows, ({ group }) => group))
            of.toSorted((a, b) => b.at - a.at)
              .slice(0, 3)
              .forEach((best, i) => void found.set([group, i + 1], { ...best, rank: i + 1 }));
          return found;
        });
        const reduced = source()
          .keyBy('key')
          .reduce((a, b) => ({ ...b, at: Math.max(a.at, b.at) }))
          .as('v');
        follows(
          reduced,
          given,
          (rows) => new Map([...latest(rows)].map(([key, of]) => [key, { ...of, at: Math.max(...rows.filter((r) => r.key === key).map((r) => r.at)) }])),
        );
      }),
      { numRuns: RUNS },
    );
  });

  test('windows: the latest of each key, open with update', () => {
    fc.assert(
      fc.property(epochs, (given) => {
        const open = source()
          .withWatermark('at', '1h')
          .keyBy('key')
          .window(tumbling('5s').emit('update'))
          .aggregate({ rows: count(), n: sum('n') })
          .as('v');
        follows(open, given, (rows) => {
          const found = new Map<unknown, object>();
          for (const [key, of] of groupedBy(rows, ({ key }) => key)) {
            const windowStart = Math.max(...of.map(({ at }) => at - (at % 5_000)));
            const inside = of.filter(({ at }) => at >= windowStart);
            found.set(key, { key, windowStart, windowEnd: windowStart + 5_000, rows: inside.length, n: inside.reduce((total, { n }) => total + n, 0) });
          }
          return found;
        });
        const closed = source()
          .withWatermark('at', '1h')
          .keyBy('key')
          .window(countWindow(2))
          .aggregate({ most: max('at') })
          .as('v');
        follows(closed, given, (rows) => {
          const found = new Map<unknown, object>();
          for (const [key, of] of groupedBy(rows, ({ key }) => key)) {
            if (of.length < 2) continue;
            const until = of.length - (of.length % 2);
            const [first, second] = of.slice(until - 2, until).map(({ at }) => at) as [number, number];
            const most = Math.max(first, second);
            found.set(key, { key, windowStart: Math.min(first, second), windowEnd: most, most });
          }
          return found;
        });
      }),
      { numRuns: RUNS },
    );
  });

  test('sessions that merge: the one that is there', () => {
    const driver = testDriver(source().withWatermark('at', '1h').keyBy('key').window(session('5s').emit('update')).count().as('v'), { partitions: 1 });
    const send = (...times: number[]): void => {
      driver.send(times.map((at) => ({ key: 'a', group: null, n: 0, long: 0n, at, gone: false })));
      driver.endEpoch();
    };
    const view = driver.view<{ windowStart: number; windowEnd: number; count: number }>('v');
    const shows = (windowStart: number, windowEnd: number, rows: number): void =>
      assert.deepEqual(view.get('a'), { key: 'a', windowStart, windowEnd, count: rows, retracted: false });
    send(0);
    shows(0, 5_000, 1);
    send(10_000);
    shows(10_000, 15_000, 1);
    send(1_000);
    shows(10_000, 15_000, 1);
    // Ends where the later one ended.
    send(5_500);
    shows(0, 15_000, 4);
    assert.equal(view.size, 1);
  });

  test('windows that close: the last one that did; all rows in one', () => {
    const p = source().withWatermark('at', 0);
    p.windowAll(sliding('10s', '5s')).count().as('all');
    const driver = testDriver(p.keyBy('key').window(tumbling('5s')).count().as('v'), { partitions: 1 });
    const send = (key: string, at: number): void => {
      driver.send([{ key, group: null, n: 0, long: 0n, at, gone: false }]);
      driver.endEpoch();
    };
    const of = driver.view('v');
    send('a', 1_000);
    assert.equal(of.get('a'), undefined);
    send('a', 6_000);
    assert.deepEqual(of.get('a'), { key: 'a', windowStart: 0, windowEnd: 5_000, count: 1 });
    send('b', 11_000);
    assert.deepEqual(of.rows(), [{ key: 'a', windowStart: 5_000, windowEnd: 10_000, count: 1 }]);
    assert.deepEqual(driver.view('all').rows(), [{ windowStart: 0, windowEnd: 10_000, count: 2 }]);
  });

  test('process: the row of each key that came out last', () => {
    fc.assert(
      fc.property(epochs, (given) => {
        const process = source()
          .keyBy('key')
          .process({
            schema: { n: nullable(f64), key: utf8 },
            state: () => ({ rows: 0 }),
            onRow(of, ctx) {
              ctx.state.rows++;
              if (!of.gone) ctx.emit({ key: of.key, n: ctx.state.rows % 3 === 0 ? null : ctx.state.rows });
            },
          })
          .as('v');
        follows(process, given, (rows) => {
          const found = new Map<unknown, object>();
          for (const [key, of] of groupedBy(rows, ({ key }) => key))
            of.forEach(({ gone }, i) => {
              if (!gone) found.set(key, { n: (i + 1) % 3 === 0 ? null : i + 1, key });
            });
          return found;
        });
      }),
      { numRuns: RUNS },
    );
  });

  test('top by a column; by none that is there', () => {
    const driver = testDriver(
      source()
        .keyBy('key')
        .table({ delete: (r) => r.gone })
        .as('v'),
      { partitions: 1 },
    );
    const send = (...rows: Partial<Row>[]): void => {
      driver.send(rows.map((of) => ({ key: 'a', group: null, n: 0, long: 0n, at: 0, gone: false, ...of })));
      driver.endEpoch();
    };
    send(...Array.from({ length: 500 }, (_, i) => ({ key: `k${i}`, n: i % 2 === 0 ? Number.NaN : i, long: BigInt(i) })));
    send(...Array.from({ length: 250 }, (_, i) => ({ key: `k${i + 250}`, gone: true })));
    const view = driver.view<Row>('v');
    assert.deepEqual(
      view.top(2, { by: 'n' }).map(({ key }) => key),
      ['k249', 'k247'],
    );
    assert.deepEqual(
      view.top(2, { by: 'long', order: 'asc' }).map(({ key }) => key),
      ['k0', 'k1'],
    );
    assert.equal(view.top(1_000, { by: 'n' }).length, 250);
    assert.throws(() => view.top(1), /numbers or times are n, long, at\. Name one/);
    assert.throws(() => view.top(1, { by: 'key' }), /"key"/);
  });

  test('keys that come and go leave nothing behind', () => {
    const table = source()
      .keyBy('key')
      .table({ delete: (r) => r.gone })
      .as('v');
    // 120,000 keys, of which 2,000 are there at a time.
    const driver = testDriver(table, { partitions: 1, shards: 1, memoryBytes: 16 << 20 });
    for (let epoch = 0; epoch < 60; epoch++) {
      for (const gone of [false, true]) {
        driver.send(Array.from({ length: 2_000 }, (_, i) => ({ key: `${epoch}-${i}-${'long'.repeat(10)}`, group: null, n: 0, long: 0n, at: 0, gone })));
        driver.endEpoch();
      }
      assert.equal(driver.view('v').size, 0);
    }
  });

  test('in a job with threads: each answer is what a prefix of the rows gives', async () => {
    const job = await run(new URL('./pipelines/row-view.ts', import.meta.url), { workers: 2, trigger: '5ms' });
    const view = job.view<Row & { i: number }>('last');
    const answers: (Row & { i: number })[][] = [];
    let isOver = false;
    const done = job.done.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      try {
        const seen = view.epoch;
        const rows = view.rows();
        if (view.epoch !== seen) answers.push(rows);
      } catch (error) {
        if (!(error instanceof MillraceError && error.code === 'ERR_MILLRACE_VIEW')) throw error;
      }
      await nextTurn();
    }
    await done;
    answers.push(view.rows());
    const different = new Set<number>();
    // Some of them: what each is checked against takes long to make.
    const step = Math.ceil(answers.length / 60);
    for (const [at, answer] of answers.entries()) {
      if (answer.length === 0 || (at % step !== 0 && at < answers.length - 1)) continue;
      const newest = Math.max(...answer.map(({ i }) => i));
      different.add(newest);
      const state = new Map(given.lastOf(newest + 1));
      // The rows behind the newest that is there took theirs away.
      let until = newest + 1;
      while (text(sorted(answer)) !== text(sorted([...state.values()]))) {
        const next = given.rowAt(until++);
        assert.ok(next.gone && until <= given.ROWS, `no prefix of the rows gives what was seen at row ${newest}`);
        state.delete(next.key);
      }
    }
    assert.deepEqual(sorted(answers.at(-1) as object[]), sorted([...given.lastOf(given.ROWS).values()]));
    assert.ok(different.size > 1, `the view was seen to change: ${answers.length} answers`);
  });
});

describe('what is refused', () => {
  const refuses = (what: () => unknown, message: RegExp): void =>
    assert.throws(what, (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_PIPELINE' && message.test(error.message));

  test('facts, lists of windows, rows that go without a word, tables without their key', () => {
    const stream = source().withWatermark('at', 0);
    const keyed = stream.keyBy('key');
    refuses(() => stream.as('v'), /stream of facts.*table\(\)\.as\("v"\)/);
    refuses(() => keyed.dropDuplicates().as('v'), /stream of facts/);
    refuses(() => keyed.window(tumbling('5s')).top(3, { by: 'n' }).as('v'), /top\(\) in a window/);
    refuses(() => keyed.window(countWindow(5)).top(3, { by: 'n' }).as('v'), /top\(\) in a window/);
    refuses(
      () =>
        keyed
          .window(tumbling('5s'))
          .count()
          .filter((r) => r.count > 1)
          .as('v'),
      /stream of facts/,
    );
    refuses(() => keyed.reduce((a) => a, { ttl: '1h' }).as('v'), /ttl of reduce\(\)/);
    refuses(() => keyed.process({ schema: { n: f64 }, onRow: (r, ctx) => ctx.emit({ n: r.n }) }).as('v'), /stream of facts/);
    refuses(
      () =>
        keyed
          .count()
          .map({ n: f64 }, (r) => ({ n: r.count }))
          .as('v'),
      /no longer have its key/,
    );
    const table = keyed.table().as('v');
    refuses(() => table.as('w'), /is "v"\. One name/);
    refuses(() => keyed.table().as('v'), /Two streams/);
    assert.doesNotThrow(() => keyed.window(tumbling('5s')).top(3, { by: 'n' }).keyBy('key', 'windowStart', 'rank').table().as('lists'));
  });
});
