/** Keyed operators in whole pipelines, through the test driver: behind one another, behind windows, and in front of them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Gaussian } from '../../core/index.ts';
import {
  collect,
  count,
  cumulative,
  describePlan,
  f64,
  max,
  memory,
  mermaidPlan,
  pipeline,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { graphOf } from '../../runtime/plan/graph.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';

const clicks = { user: utf8, page: utf8, ms: f64, at: timestamp };
const source = () =>
  pipeline('keyed')
    .from(memory([], { schema: clicks }))
    .withWatermark('at', 0);
const click = (user: string, page: string, ms: number, at: number) => ({ user, page, ms, at });

test('a computed key: beside the other columns, or in place of one; nothing is decoded that is not read', () => {
  const wide = pipeline('computed').from(memory([], { schema: { url: utf8, ms: f64, user: utf8, agent: utf8 } }));
  const keyed = wide
    .keyBy({ url: utf8, big: f64 }, (r) => ({ url: r.url.split('/')[0] ?? '', big: r.ms > 10 ? 1 : 0 }))
    .aggregate({ rows: count(), ms: sum('ms') });
  const stream = keyed.to(collect());
  const driver = testDriver(stream);
  driver.send([
    { url: 'a.org/x', ms: 1, user: 'u', agent: '' },
    { url: 'a.org/y', ms: 2, user: 'v', agent: '' },
    { url: 'b.org', ms: 20, user: 'u', agent: '' },
  ]);
  driver.endEpoch();
  assert.deepEqual(
    [...driver.output()].sort((a, b) => (String(a.url) < String(b.url) ? -1 : 1)),
    [
      { url: 'a.org', big: 0, rows: 2, ms: 3 },
      { url: 'b.org', big: 1, rows: 1, ms: 20 },
    ],
  );
  const plan = describePlan(makePlan(graphOf(stream) as NonNullable<ReturnType<typeof graphOf>>));
  assert.match(plan, /decodes url, ms\n/);
  assert.match(plan, /keyBy: closure reading url, ms/);
  assert.throws(() => wide.keyBy({}, () => ({})), { code: 'ERR_MILLRACE_PIPELINE', message: /schema without columns/ });
});

test('event time is said once, where rows come from the source; the clock may be asked anywhere', () => {
  const windows = source().keyBy('user').window(tumbling('1s')).count();
  const refused = (message: RegExp) => ({ code: 'ERR_MILLRACE_PIPELINE', message });
  assert.throws(() => windows.withWatermark('windowEnd', 0), refused(/event time here is "windowEnd" already/));
  assert.throws(() => windows.filter((r) => r.count > 1).withWatermark('windowStart', 0), refused(/leave withWatermark\(\) out/));
  const running = source()
    .keyBy('user')
    .aggregate({ newest: max('at') });
  // @ts-expect-error a table has no watermark of its own
  assert.throws(() => running.withWatermark('newest', 0), refused(/Call it on the stream that comes from the source/));
  // @ts-expect-error likewise
  assert.throws(() => source().keyBy('user').top(1, { by: 'ms' }).withWatermark('at', 0), refused(/behind an operator by key/));
  // To count updates is to say what they mean.
  const changes = running
    .keyBy('user')
    .process({ schema: { user: utf8, newest: f64 }, onRow: (row, ctx) => ctx.emit({ user: row.user, newest: Number(row.newest) }) });
  const updates = changes.withProcessingTime('sentAt').keyBy('user').window(tumbling('1s')).count();
  const driver = testDriver(updates.to(collect()), { partitions: 1, now: 10_200 });
  for (let n = 0; n < 4; n++) {
    driver.send([click('a', '/', 1, n * 1_000)]);
    driver.advanceTime(400);
    driver.endEpoch();
  }
  driver.close();
  // Four updates, in epochs that began at 10.2, 10.6, 11.0 and 11.4 s.
  assert.deepEqual(
    driver.output().map((row) => [row.windowStart, row.count]),
    [
      [10_000, 2],
      [11_000, 2],
    ],
  );
});

describe('keyed operators in a pipeline', () => {
  test('process emits by timer, and a window behind it takes the rows by the same event time', () => {
    const visits = source()
      .keyBy('user')
      .process({
        schema: { user: utf8, pages: f64, at: timestamp },
        state: () => ({ pages: 0 }),
        onRow(row, ctx) {
          if (ctx.state.pages++ === 0) ctx.timer(row.at + 1_000);
        },
        onTimer(time, ctx) {
          ctx.emit({ user: ctx.key.user, pages: ctx.state.pages, at: time });
          ctx.clear();
        },
      });
    const driver = testDriver(
      visits
        .keyBy('user')
        .window(tumbling('10s'))
        .aggregate({ visits: count(), pages: sum('pages') })
        .to(collect()),
      { partitions: 1 },
    );
    driver.send([click('a', '/', 1, 0), click('a', '/b', 1, 500), click('__proto__', '/', 1, 700)]);
    driver.endEpoch();
    driver.send([click('a', '/', 1, 3_000), click('b', '/', 1, 9_500)]);
    driver.endEpoch();
    assert.deepEqual(driver.output(), []);
    driver.close();
    const byUser = new Map(driver.output().map((row) => [`${row.user} ${row.windowStart}`, [row.visits, row.pages]]));
    assert.deepEqual(
      byUser,
      new Map([
        ['a 0', [1, 3]],
        ['__proto__ 0', [1, 1]],
        ['b 10000', [1, 1]],
      ]),
    );
  });

  test('processing-time timers go by the clock of the epoch', () => {
    const driver = testDriver(
      source()
        .keyBy('user')
        .process({
          schema: { user: utf8, now: f64 },
          onRow(_, ctx) {
            ctx.processingTimer(ctx.now + 500);
          },
          onTimer(time, ctx) {
            assert.equal(ctx.timeDomain, 'processing');
            ctx.emit({ user: ctx.key.user, now: time });
          },
        })
        .to(collect()),
      { partitions: 1, now: 10_000 },
    );
    driver.send([click('a', '/', 1, 0)]);
    driver.endEpoch();
    driver.advanceTime(499);
    driver.endEpoch();
    assert.deepEqual(driver.output(), []);
    driver.advanceTime(1);
    driver.endEpoch();
    assert.deepEqual(driver.output(), [{ user: 'a', now: 10_500 }]);
  });

  test('a function that fails ends the job with the row and the reason', () => {
    const driver = testDriver(
      source()
        .keyBy('user')
        .process({
          schema: { user: utf8 },
          onRow(row) {
            if (row.page === '/bad') throw new RangeError('no such page');
          },
        })
        .to(collect()),
    );
    driver.send([click('a', '/bad', 1, 0)]);
    assert.throws(
      () => driver.endEpoch(),
      (error: { code?: string; message: string }) =>
        error.code === 'ERR_MILLRACE_USER_FUNCTION' && /onRow failed on .*\/bad.*RangeError: no such page/.test(error.message),
    );
  });

  test('reduce, top and dropDuplicates one behind the other', () => {
    const stream = source().keyBy('user', 'page', 'at').dropDuplicates({ within: '1s' });
    const spent = stream.keyBy('user').reduce((a, b) => ({ user: a.user, page: b.page, ms: a.ms + b.ms, at: b.at }));
    spent.to(collect());
    const best = stream.keyBy('page').window(sliding('2s', '1s')).top(1, { by: 'ms' }).to(collect());
    const driver = testDriver(best, { partitions: 1 });
    driver.send([click('a', '/', 5, 100), click('a', '/', 5, 100), click('a', '/b', 7, 200), click('b', '/', 6, 300)]);
    driver.endEpoch();
    assert.deepEqual(
      [...driver.output(0)].sort((a, b) => String(a.user).localeCompare(String(b.user))).map((row) => [row.user, row.ms, row.page]),
      [
        ['a', 12, '/b'],
        ['b', 6, '/'],
      ],
    );
    driver.close();
    assert.deepEqual(
      driver
        .output(1)
        .map((row) => [row.page, row.windowStart, row.rank, row.user, row.ms])
        .sort(),
      [
        ['/', -1_000, 1, 'b', 6],
        ['/', 0, 1, 'b', 6],
        ['/b', -1_000, 1, 'a', 7],
        ['/b', 0, 1, 'a', 7],
      ].sort(),
    );
  });

  test('cumulative windows grow by a step', () => {
    const driver = testDriver(source().keyBy('user').window(cumulative('3s', '1s')).count().to(collect()), { partitions: 1 });
    driver.send([click('a', '/', 1, 0), click('a', '/', 1, 1_500), click('a', '/', 1, 2_000), click('a', '/', 1, 3_999)]);
    driver.close();
    assert.deepEqual(
      driver.output().map((row) => [row.windowStart, row.windowEnd, row.count]),
      [
        [0, 1_000, 1],
        [0, 2_000, 2],
        [0, 3_000, 3],
        [3_000, 4_000, 1],
        [3_000, 5_000, 1],
        [3_000, 6_000, 1],
      ],
    );
  });

  test('the top of windows: in place of the bounds of a window before it come those of its own', () => {
    const perPage = source().keyBy('page').window(tumbling('1s')).aggregate({ clicks: count() });
    // What most were clicked on in each second, and how many clicks the best second of each page had in ten seconds.
    perPage.windowAll(tumbling('1s')).top(1, { by: 'clicks' }).to(collect());
    const best = perPage
      .keyBy('page')
      .window(tumbling('10s'))
      .reduce((a, b) => (a.clicks >= b.clicks ? a : b));
    const driver = testDriver(best.to(collect()), { partitions: 1 });
    driver.send([click('u', '/a', 1, 100), click('u', '/b', 1, 200), click('u', '/b', 1, 300), click('u', '/a', 1, 1_000), click('u', '/b', 1, 9_999)]);
    driver.close();
    assert.deepEqual(driver.output(0), [
      { windowStart: 0, windowEnd: 1_000, rank: 1, page: '/b', clicks: 2 },
      { windowStart: 1_000, windowEnd: 2_000, rank: 1, page: '/a', clicks: 1 },
      { windowStart: 9_000, windowEnd: 10_000, rank: 1, page: '/b', clicks: 1 },
    ]);
    assert.deepEqual(
      [...driver.output(1)].sort((a, b) => (String(a.page) < String(b.page) ? -1 : 1)),
      [
        { page: '/a', windowStart: 0, windowEnd: 10_000, clicks: 1 },
        { page: '/b', windowStart: 0, windowEnd: 10_000, clicks: 2 },
      ],
    );
    const named = pipeline('named')
      .from(memory([], { schema: { windowStart: utf8, at: timestamp } }))
      .withWatermark('at', 0);
    assert.throws(() => named.windowAll(tumbling('1s')).top(1, { by: 'windowStart' }), /would be named "windowStart"/);
  });

  test('the state of process is data: an instance, whose methods would not outlive it, is refused at the first row', () => {
    class Counter {
      rows = 0;
    }
    const states: readonly [state: () => unknown, isTaken: boolean][] = [
      [() => new Counter(), false],
      [() => ({ counter: new Counter() }), false],
      [() => new Map([['a', new Gaussian()]]), false],
      [() => [new Counter()], false],
      [() => new Gaussian().state, true],
      [() => ({ map: new Map(), bytes: new Uint8Array(4), buffer: Buffer.alloc(1), at: new Date(0), nothing: null, bare: Object.create(null) }), true],
      [() => 1, true],
      [() => undefined, true],
    ];
    for (const [state, isTaken] of states) {
      const stream = source()
        .keyBy('user')
        .process({ schema: { user: utf8 }, state, onRow: (row, ctx) => ctx.emit({ user: row.user }) });
      const driver = testDriver(stream.to(collect()));
      driver.send([click('u', '/', 1, 0)]);
      if (isTaken) driver.close();
      else
        assert.throws(() => driver.close(), { code: 'ERR_MILLRACE_USER_FUNCTION', message: /an instance of (Counter|Gaussian), whose methods would be lost/ });
    }
  });

  test('explain says what travels and what is kept', () => {
    const stream = source()
      .keyBy('user')
      .window(sliding('10s', '1s'))
      .reduce((a) => a, { inverse: (a) => a })
      .to(collect());
    const plan: Plan = makePlan(graphOf(stream) as NonNullable<ReturnType<typeof graphOf>>);
    assert.match(
      describePlan(plan),
      /rows travel whole by key to 64 shards: your function takes rows.*\n {2}reduce with an inverse by user\n.*sliding\(10000 ms every 1000 ms\).*\n.*running: add the pane that enters/,
    );
    assert.match(mermaidPlan(plan), /x0\[\["reduce with an inverse by user/);
  });

  test('what does not fit does not compile', () => {
    const stream = source();
    const keyed = stream.keyBy('user');
    // Never called: the compiler is the test.
    void (() => {
      // @ts-expect-error no such column
      keyed.top(3, { by: 'size' });
      // @ts-expect-error the reduced row lacks a column
      keyed.reduce((a, b) => ({ user: a.user, ms: a.ms + b.ms }));
      // @ts-expect-error no duration
      keyed.dropDuplicates({ within: '5x' });
      keyed.process({
        schema: { user: utf8, n: f64 },
        state: () => ({ n: 0 }),
        onRow(row, ctx) {
          // @ts-expect-error no such column
          row.size;
          // @ts-expect-error state has no such field
          ctx.state.m++;
          // @ts-expect-error not a key column
          ctx.key.page;
          // @ts-expect-error a text where a number belongs
          ctx.emit({ user: row.user, n: row.page });
          // @ts-expect-error the key is not to be written
          ctx.key.user = '';
          ctx.emit({ user: ctx.key.user, n: ctx.state.n });
        },
        // @ts-expect-error a timer has a time, not a text
        onTimer(time: string) {
          void time;
        },
      });
      const renamed = keyed.process({ schema: { who: utf8 }, onRow: (row, ctx) => ctx.emit({ who: row.user }) });
      // @ts-expect-error the rows have the columns of the schema only
      renamed.filter((row) => row.user);
      const ranked = keyed.window(tumbling('1m')).top(3, { by: 'ms' });
      ranked.filter((row) => row.rank === 1 && row.windowStart > 0 && row.page === '/');
      keyed
        .window(tumbling('1m'))
        .reduce((a) => a)
        .filter((row) => row.windowEnd > 0 && row.ms > 0);
    });
  });
});

test('what is no window, no stream and no aggregate is refused by name, where there are no types to do so', () => {
  const keyed = source().keyBy('user');
  for (const none of [undefined, null, 5, '1m', {}, tumbling]) {
    assert.throws(() => keyed.window(none as never), { code: 'ERR_MILLRACE_PIPELINE', message: /^A window is given as / });
    assert.throws(() => source().windowAll(none as never), { code: 'ERR_MILLRACE_PIPELINE', message: /^A window is given as / });
    assert.throws(() => source().union(none as never), { code: 'ERR_MILLRACE_PIPELINE', message: /^union\(\) got / });
  }
  for (const none of [undefined, null, 5, {}])
    assert.throws(() => keyed.aggregate(none as never), { code: 'ERR_MILLRACE_PIPELINE', message: /^aggregate\(\) is given / });
});
