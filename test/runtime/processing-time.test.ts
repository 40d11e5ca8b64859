/** Processing time: the clock at the start of a row's epoch as its event time, whatever follows. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMemory, SlabAllocator, schema as toSchema } from '../../core/index.ts';
import { StampColumn } from '../../runtime/engine/stamp-column.ts';
import {
  type AnyRow,
  BatchBuilder,
  collect,
  count,
  describePlan,
  f64,
  last,
  memory,
  mermaidPlan,
  pipeline,
  type Sink,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { graphOf } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

const RUNS = caseCount(200);
const schema = { user: utf8, ms: f64 };
const source = () => pipeline('clocked').from(memory([], { schema }));
const click = (user: string, ms = 1) => ({ user, ms });
const planOf = (stream: Parameters<typeof graphOf>[0]) => makePlan(graphOf(stream) as NonNullable<ReturnType<typeof graphOf>>);

test('every row of an epoch has the clock at its first rows, and so every partition', () => {
  const driver = testDriver(source().withProcessingTime().to(collect()), { partitions: 2, now: 1_000 });
  driver.send([click('a'), click('b')]);
  driver.advanceTime(50);
  driver.send([click('c')], { partition: 1 });
  driver.endEpoch();
  driver.advanceTime(7);
  driver.send([click('d')]);
  driver.endEpoch();
  assert.deepEqual(
    driver.output().map(({ user, processedAt }) => [user, processedAt]),
    [
      ['a', 1_000],
      ['b', 1_000],
      ['c', 1_000],
      ['d', 1_057],
    ],
  );
});

test('tumbling and sliding windows by a loop, over random sends, clocks and epochs; nothing is late', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ wait: fc.integer({ min: 0, max: 80 }), rows: fc.array(fc.constantFrom('a', 'b', '__proto__'), { maxLength: 12 }), ends: fc.boolean() }),
        { maxLength: 25 },
      ),
      fc.constantFrom(tumbling(100), sliding(100, 50), sliding(100, 30)),
      fc.boolean(),
      (steps, window, isAll) => {
        const rows = source().withProcessingTime('at');
        const windows = isAll ? rows.windowAll(window) : rows.keyBy('user').window(window);
        const driver = testDriver(windows.aggregate({ n: count(), ms: sum('ms') }).to(collect() as Sink), { partitions: 3 });
        const { size, slide } = window.shape as { size?: number; slide?: number };
        const sizeMs = size ?? 100;
        const slideMs = slide ?? (String(window).includes('30') ? 30 : String(window).includes('50') ? 50 : 100);
        const open = new Map<string, { user: string; windowStart: number; n: number }>();
        const expected: AnyRow[] = [];
        let now = 0;
        let start: number | undefined;
        for (const [i, { wait, rows: users, ends }] of steps.entries()) {
          now += wait;
          driver.advanceTime(wait);
          if (users.length > 0) {
            start ??= now;
            driver.send(
              users.map((user) => click(user)),
              { partition: i % 3 },
            );
            for (const user of users) {
              for (let at = Math.floor(start / slideMs) * slideMs; at > start - sizeMs; at -= slideMs) {
                const key = `${isAll ? '' : user} ${at}`;
                const of = open.get(key) ?? { user, windowStart: at, n: 0 };
                of.n++;
                open.set(key, of);
              }
            }
          }
          if (!ends) continue;
          driver.endEpoch();
          start = undefined;
          for (const [key, { user, windowStart, n }] of open) {
            if (windowStart + sizeMs > now) continue;
            open.delete(key);
            expected.push({ ...(isAll ? {} : { user }), windowStart, windowEnd: windowStart + sizeMs, n, ms: n });
          }
        }
        const sorted = (list: readonly AnyRow[]) => list.map((row) => JSON.stringify(row)).sort();
        assert.deepEqual(sorted(driver.output()), sorted(expected));
        assert.equal(driver.counts.get('late'), 0);
      },
    ),
    { numRuns: RUNS },
  );
});

describe('what goes by event time goes by it', () => {
  test('sessions, dropDuplicates and timers', () => {
    const at = source().withProcessingTime();
    at.keyBy('user').window(session(100)).aggregate({ n: count() }).to(collect());
    at.keyBy('user').dropDuplicates({ within: 100 }).to(collect());
    const timers = at.keyBy('user').process({
      schema: { user: utf8, fired: f64 },
      onRow: (row, ctx) => ctx.timer(row.processedAt + 30),
      onTimer: (time, ctx) => ctx.emit({ user: ctx.key.user, fired: time }),
    });
    const driver = testDriver(timers.to(collect()), { now: 1_000, partitions: 1 });
    for (const wait of [0, 40, 40, 200, 300]) {
      driver.advanceTime(wait);
      driver.send([click('a')]);
      driver.endEpoch();
    }
    driver.advanceTime(500);
    driver.endEpoch();
    assert.deepEqual(driver.output(0), [
      { user: 'a', windowStart: 1_000, windowEnd: 1_180, n: 3 },
      { user: 'a', windowStart: 1_280, windowEnd: 1_380, n: 1 },
      { user: 'a', windowStart: 1_580, windowEnd: 1_680, n: 1 },
    ]);
    assert.deepEqual(
      driver.output(1).map((row) => row['processedAt']),
      [1_000, 1_280, 1_580],
    );
    assert.deepEqual(
      driver.output(2).map((row) => row['fired']),
      [1_030, 1_070, 1_110, 1_310, 1_610],
    );
  });

  test('a join of two streams within a time', () => {
    const both = pipeline('both');
    const left = both.from(memory([], { schema })).withProcessingTime().keyBy('user');
    const right = both
      .from(memory([], { schema: { who: utf8, paid: f64 } }))
      .withProcessingTime()
      .keyBy('who');
    const driver = testDriver(left.join(right, { within: [0, 50], type: 'left' }).to(collect()), { partitions: 1 });
    driver.send(0, [click('a'), click('b')]);
    driver.endEpoch();
    driver.advanceTime(40);
    driver.send(1, [{ who: 'a', paid: 5 }]);
    driver.endEpoch();
    driver.advanceTime(40);
    driver.send(1, [{ who: 'b', paid: 6 }]);
    driver.endEpoch();
    assert.deepEqual(
      driver
        .output()
        .map(({ user, paid }) => [user, paid])
        .sort(),
      [
        ['a', 5],
        ['b', null],
      ],
    );
  });

  test('behind row functions, a fork and a window of event time; and the stamp itself in a row function', () => {
    const rows = pipeline('behind').from(memory([], { schema: { user: utf8, at: timestamp } }));
    const perSecond = rows.withWatermark('at', 0).keyBy('user').window(tumbling(100)).count();
    const stamped = perSecond.filter((r) => r.count > 1).withProcessingTime('sentAt');
    stamped.map({ user: utf8, age: f64 }, (r) => ({ user: r.user, age: r.sentAt - r.windowEnd })).to(collect());
    const driver = testDriver(
      stamped
        .windowAll(tumbling(1_000))
        .aggregate({ n: count(), user: last('user') })
        .to(collect()),
      { partitions: 1 },
    );
    driver.send([
      { user: 'a', at: 10 },
      { user: 'a', at: 20 },
      { user: 'b', at: 30 },
    ]);
    driver.advanceTime(500);
    driver.endEpoch();
    driver.send([{ user: 'a', at: 250 }]);
    driver.endEpoch();
    driver.advanceTime(600);
    driver.endEpoch();
    assert.deepEqual(driver.output(0), [{ user: 'a', age: 400 }]);
    assert.deepEqual(driver.output(1), [{ windowStart: 0, windowEnd: 1_000, n: 1, user: 'a' }]);
  });

  test('many batches of one epoch; a batch larger than any before', () => {
    const many = source().flatMap({ n: f64 }, (_, emit) => {
      for (let n = 0; n < 9_000; n++) emit({ n });
    });
    const driver = testDriver(
      many
        .withProcessingTime()
        .windowAll(tumbling(10))
        .aggregate({ rows: count(), sum: sum('n') })
        .to(collect()),
      { partitions: 1 },
    );
    driver.send([click('a')]);
    driver.advanceTime(10);
    driver.endEpoch();
    assert.deepEqual(driver.output(), [{ windowStart: 0, windowEnd: 10, rows: 9_000, sum: (8_999 * 9_000) / 2 }]);

    const slabs = new SlabAllocator(createMemory(1 << 20));
    const plain = new BatchBuilder(slabs, toSchema({ n: f64 }), 64);
    const stamps = new StampColumn(slabs, toSchema({ n: f64, at: timestamp }), 8);
    for (const [rows, stamp] of [
      [3, 7],
      [8, -1],
      [50, -1],
      [64, 1_700_000_000_123],
    ] as const) {
      plain.reset();
      for (let n = 0; n < rows; n++) plain.appendRow({ n });
      assert.deepEqual(
        stamps.added(plain.finish(), stamp).toRows(),
        Array.from({ length: rows }, (_, n) => ({ n, at: stamp })),
      );
    }
  });
});

test('the plan says so; a name that is taken is refused', () => {
  const stream = source().withProcessingTime().windowAll(tumbling('1m')).count().to(collect());
  assert.match(describePlan(planOf(stream)), /watermark 0: the clock; processedAt is the clock at the start of the row's epoch/);
  assert.match(mermaidPlan(planOf(stream)), /processing time as processedAt/);
  assert.throws(() => source().withProcessingTime('user'), {
    code: 'ERR_MILLRACE_PIPELINE',
    message: /which the rows already have.*withProcessingTime\('readAt'\)/,
  });
  assert.throws(() => source().withProcessingTime(7 as never), { code: 'ERR_MILLRACE_PIPELINE' });
  const renamed = source().withProcessingTime('readAt');
  void (() => {
    // @ts-expect-error the column is named readAt
    renamed.filter((r) => r.processedAt);
  });
});
