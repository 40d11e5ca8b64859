// Aggregates of the user's own as a pipeline module writes them: in all windows, with all that goes with results; and in whole jobs on threads.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  aggregator,
  collect,
  count,
  countWindow,
  cumulative,
  describePlan,
  f64,
  globalWindow,
  last,
  MillraceError,
  memory,
  type PipelineLike,
  pipeline,
  rate,
  run,
  seededRng,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
  type WindowSpec,
} from '../../runtime/index.ts';
import { type Graph, graphOf } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';
import * as own from './pipelines/own-aggregates.ts';
import { writeTopic } from './topics.ts';

const fields = { at: timestamp, user: utf8, ms: f64 };
const total = aggregator({
  init: () => 0,
  add: (sum, row: { ms: number }) => sum + row.ms,
  merge: (a, b) => a + b,
  remove: (sum, row) => sum - row.ms,
  result: (sum) => sum,
});
const path = aggregator({
  type: utf8,
  init: (): string[] => [],
  add(list, row: { user: string; ms: number }) {
    list.push(`${row.user}${row.ms}`);
  },
  merge: (a, b) => [...a, ...b],
  result: (list) => list.join(' '),
});
const rows = [
  { at: 1_000, user: 'ann', ms: 1 },
  { at: 1_500, user: 'bob', ms: 2 },
  { at: 2_500, user: 'ann', ms: 4 },
  { at: 9_000, user: 'ann', ms: 8 },
  { at: 100, user: 'ann', ms: 16 },
];
const source = () =>
  pipeline('own')
    .from(memory([], { schema: fields }))
    .withWatermark('at', 0);

describe('aggregators in a pipeline', () => {
  const results = (window: WindowSpec | undefined): unknown[][] => {
    const keyed = source().keyBy('user');
    const aggregates = { rows: count(), total, ms: sum('ms'), path };
    const stream = window === undefined ? keyed.aggregate(aggregates).to(collect()) : keyed.window(window).aggregate(aggregates).to(collect());
    const driver = testDriver(stream, { partitions: 1 });
    driver.send(rows.slice(0, 4));
    driver.endEpoch();
    driver.send(rows.slice(4));
    driver.endEpoch();
    driver.close();
    return driver.output().map(({ user, windowStart, windowEnd, rows: n, total: t, ms, path: p }) => {
      assert.equal(t, ms);
      return window === undefined ? [user, n, t, p] : [user, windowStart, windowEnd, n, t, p];
    });
  };
  const sorted = (of: unknown[][]) => of.map((row) => JSON.stringify(row)).sort();

  test('running', () => {
    assert.deepEqual(
      sorted(results(undefined)),
      sorted([
        ['ann', 3, 13, 'ann1 ann4 ann8'],
        ['bob', 1, 2, 'bob2'],
        ['ann', 4, 29, 'ann1 ann4 ann8 ann16'],
      ]),
    );
  });

  test('in windows of every kind', () => {
    assert.deepEqual(
      sorted(results(tumbling('2s'))),
      sorted([
        ['ann', 0, 2_000, 1, 1, 'ann1'],
        ['bob', 0, 2_000, 1, 2, 'bob2'],
        ['ann', 2_000, 4_000, 1, 4, 'ann4'],
        ['ann', 8_000, 10_000, 1, 8, 'ann8'],
      ]),
    );
    assert.deepEqual(
      sorted(results(cumulative('4s', '2s')).filter((row) => row[0] === 'ann' && row[1] === 0)),
      sorted([
        ['ann', 0, 2_000, 1, 1, 'ann1'],
        ['ann', 0, 4_000, 2, 5, 'ann1 ann4'],
      ]),
    );
    const slid = results(sliding('3s', '1s')).filter(([user]) => user === 'ann');
    assert.deepEqual(
      slid.map(([, start, , , t]) => [start, t]),
      [
        [-1_000, 1],
        [0, 5],
        [1_000, 5],
        [2_000, 4],
        [7_000, 8],
        [8_000, 8],
        [9_000, 8],
      ],
    );
    assert.deepEqual(
      sorted(results(session('2s'))),
      sorted([
        ['bob', 1_500, 3_500, 1, 2, 'bob2'],
        ['ann', 1_000, 4_500, 2, 5, 'ann1 ann4'],
        ['ann', 9_000, 11_000, 1, 8, 'ann8'],
      ]),
    );
    assert.deepEqual(
      sorted(results(countWindow(2))),
      sorted([
        ['ann', 1_000, 2_500, 2, 5, 'ann1 ann4'],
        ['ann', 100, 9_000, 2, 24, 'ann8 ann16'],
      ]),
    );
    assert.deepEqual(
      sorted(results(globalWindow({ count: 3 }))),
      sorted([
        ['ann', 1_000, 9_000, 3, 13, 'ann1 ann4 ann8'],
        ['ann', 100, 9_000, 4, 29, 'ann1 ann4 ann8 ann16'],
        ['bob', 1_500, 1_500, 1, 2, 'bob2'],
      ]),
    );
  });

  test('over all rows of windowAll, alone, behind and before other steps, with the rows that are late', () => {
    const windows = source().windowAll(tumbling('5s')).aggregate({ path });
    const late = collect();
    windows.late.to(late);
    const stream = windows
      .keyBy('path')
      .window(tumbling('1m'))
      .aggregate({ n: count(), newest: last('windowEnd'), total: aggregator({ ...plain, add: (s, row: { path: string }) => s + row.path.length }) })
      .to(collect());
    const driver = testDriver(stream, { partitions: 1 });
    driver.send(rows.slice(0, 4));
    driver.endEpoch();
    driver.send(rows.slice(4));
    driver.endEpoch();
    driver.close();
    assert.deepEqual(
      driver
        .output(1)
        .map(({ path: p, n, newest, total: t }) => [p, n, newest, t])
        .sort(),
      [
        ['ann1 bob2 ann4', 1, 5_000, 14],
        ['ann8', 1, 10_000, 4],
      ],
    );
    assert.deepEqual(
      driver.output(0).map(({ user, ms, offset }) => [user, ms, offset]),
      [['ann', 16, 4]],
    );
  });

  test('in windows of windows, whose rows are of the last moment of theirs', () => {
    const stream = source()
      .keyBy('user')
      .window(tumbling('1s'))
      .aggregate({ total, rows: count() })
      .keyBy('user')
      .window(sliding('4s', '2s'))
      .aggregate({ ms: sum('total'), own: aggregator({ ...plain, add: (s, row) => s + row.total }), windows: count() })
      .to(collect());
    const driver = testDriver(stream, { partitions: 1 });
    driver.send(rows.slice(0, 4));
    driver.endEpoch();
    driver.close();
    assert.deepEqual(
      driver
        .output()
        .filter((row) => row.user === 'ann')
        .map((row) => [row.windowStart, row.ms, row.own, row.windows]),
      [
        [-2_000, 1, 1, 1],
        [0, 5, 5, 2],
        [2_000, 4, 4, 1],
        [6_000, 8, 8, 1],
        [8_000, 8, 8, 1],
      ],
    );
  });

  test('with names that objects have of their own', () => {
    const keyed = source().map({ at: timestamp, ['__proto__']: utf8, ms: f64 }, (row) => ({ at: row.at, ['__proto__']: row.user, ms: row.ms }) as never);
    const stream = keyed
      .keyBy('__proto__' as never)
      .aggregate({ constructor: aggregator({ ...plain, add: (s, row: { ms: number }) => s + row.ms }) } as never)
      .to(collect());
    const driver = testDriver(stream);
    driver.send(rows.slice(0, 2));
    driver.endEpoch();
    assert.deepEqual(
      driver
        .output()
        .map((row) => [Object.getOwnPropertyDescriptor(row, '__proto__')?.value, row.constructor])
        .sort(),
      [
        ['ann', 1],
        ['bob', 2],
      ],
    );
  });

  test('say in explain how they are computed, and why rows travel', () => {
    const explained = (stream: PipelineLike) => describePlan(makePlan(graphOf(stream) as Graph));
    const stream = source().keyBy('user').window(sliding('1m', '10s')).aggregate({ rows: count(), total, path }).to(collect());
    const text = explained(stream);
    assert.match(text, /rows travel whole by key to 64 shards: total, path are aggregators, whose functions take rows of a key in order/);
    assert.match(text, /total = aggregator: f64, remove: from window to window/);
    assert.match(text, /path = aggregator: utf8, merge: the states of 6 panes are merged for each window, as it has no remove/);
    assert.match(text, /strategy {2}running: all aggregates can be subtracted/);
    const alone = explained(source().keyBy('user').window(session('1m')).aggregate({ path }).to(collect()));
    assert.match(alone, /path = aggregator: utf8, one state a session/);
    assert.doesNotMatch(alone, /built-in/);
  });

  test('refuse two results of one name', () => {
    assert.throws(
      () => source().keyBy('user').window(tumbling('1m')).aggregate({ windowEnd: total }),
      (error: unknown) =>
        error instanceof MillraceError && error.code === 'ERR_MILLRACE_PIPELINE' && /Two result columns are named "windowEnd"/.test(error.message),
    );
  });
});

const plain = { init: () => 0, merge: (a: number, b: number) => a + b, result: (s: number) => s };

describe('folds in sessions, rates in windows of rows', () => {
  const outputOf = (stream: Parameters<typeof testDriver>[0]) => {
    const driver = testDriver(stream, { partitions: 1 });
    driver.send(rows.slice(0, 4));
    driver.endEpoch();
    driver.close();
    return driver.output().filter((row) => row.user === 'ann');
  };

  test('reduce and top by session', () => {
    const sessions = () => source().keyBy('user').window(session('2s'));
    assert.deepEqual(
      outputOf(
        sessions()
          .reduce((a, b) => ({ ...b, ms: a.ms + b.ms }))
          .to(collect()),
      ),
      [
        { user: 'ann', windowStart: 1_000, windowEnd: 4_500, at: 2_500, ms: 5 },
        { user: 'ann', windowStart: 9_000, windowEnd: 11_000, at: 9_000, ms: 8 },
      ],
    );
    assert.deepEqual(outputOf(sessions().top(1, { by: 'ms' }).to(collect())), [
      { user: 'ann', windowStart: 1_000, windowEnd: 4_500, rank: 1, at: 2_500, ms: 4 },
      { user: 'ann', windowStart: 9_000, windowEnd: 11_000, rank: 1, at: 9_000, ms: 8 },
    ]);
  });

  test('rate from the first row of a window to its last', () => {
    const rates = source()
      .keyBy('user')
      .window(countWindow(2))
      .aggregate({ perSecond: rate(), ms: rate('ms') });
    assert.deepEqual(outputOf(rates.to(collect())), [{ user: 'ann', windowStart: 1_000, windowEnd: 2_500, perSecond: 2 / 1.5, ms: 5 / 1.5 }]);
    const alone = source().keyBy('user').window(countWindow(1)).aggregate({ perSecond: rate() });
    assert.deepEqual(
      outputOf(alone.to(collect())).map((row) => row.perSecond),
      [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    );
  });
});

describe('aggregators in jobs on threads', () => {
  test('give the same for any number of workers, and what a loop gives; and end the job when they fail', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const rng = seededRng(5);
    const clicks = Array.from({ length: 3_000 }, (_, i) => ({
      user: ['__proto__', '', 'u1', 'u2'][rng.int(4)] as string,
      ms: rng.int(400),
      at: i * 100 + Math.floor(i / 600) * 60_000,
    }));
    await writeTopic(
      dir,
      'in',
      1,
      clicks.map((row) => JSON.stringify(row)),
    );
    const module = new URL('./pipelines/own-aggregates.ts', import.meta.url);
    const outcomes: string[] = [];
    for (const workers of [1, 2, 3]) {
      const job = await run(module, { workers, trigger: 'availableNow', drain: 'emit', params: { dir } });
      await job.done;
      outcomes.push(JSON.stringify([own.running.rows, own.sliding1m.rows, own.visits.rows, own.tens.rows]));
    }
    assert.equal(outcomes[1], outcomes[0]);
    assert.equal(outcomes[2], outcomes[0]);

    const lists = new Map<string, number[]>();
    const windows = new Map<string, number[]>();
    for (const { user, ms, at } of clicks) {
      lists.set(user, [...(lists.get(user) ?? []), ms]);
      for (let start = Math.floor(at / 10_000) * 10_000; start > at - 60_000; start -= 10_000)
        windows.set(`${start} ${user}`, [...(windows.get(`${start} ${user}`) ?? []), ms]);
    }
    const add = (of: readonly number[]) => of.reduce((a, b) => a + b, 0);
    const spreadOf = (of: readonly number[]) => Math.max(...of) - Math.min(...of);
    assert.deepEqual(
      new Map(own.sliding1m.rows.map((row) => [`${row.windowStart} ${row.user}`, [row.rows, row.total, row.meanMs, row.spread]])),
      new Map([...windows].map(([name, of]) => [name, [of.length, add(of), add(of) / of.length, spreadOf(of)]])),
    );
    for (const [user, all] of lists) {
      const ofUser = (results: readonly Record<string, unknown>[]) => results.filter((row) => row.user === user);
      assert.deepEqual(ofUser(own.running.rows).at(-1), { user, spread: spreadOf(all), rows: all.length });
      assert.equal(
        ofUser(own.visits.rows)
          .sort((a, b) => (a.windowStart as number) - (b.windowStart as number))
          .map((row) => row.path)
          .join(),
        all.join(),
      );
      assert.deepEqual(
        ofUser(own.tens.rows).map((row) => row.path),
        Array.from({ length: Math.floor(all.length / 10) }, (_, i) => all.slice(i * 10, i * 10 + 10).join()),
      );
    }

    const bad = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    t.after(() => rm(bad, { recursive: true, force: true }));
    await writeTopic(bad, 'in', 1, [JSON.stringify({ user: 'u1', ms: -1, at: 5 })]);
    const job = await run(module, { workers: 2, trigger: 'availableNow', drain: 'emit', params: { dir: bad } });
    await assert.rejects(
      job.done,
      (error: unknown) =>
        error instanceof MillraceError &&
        error.code === 'ERR_MILLRACE_USER_FUNCTION' &&
        /aggregator "path": add failed on \{"user":"u1","ms":-1,"at":5\}: RangeError: a negative time \(source 0, partition 0, offset 0\)/.test(error.message),
    );
  });
});
