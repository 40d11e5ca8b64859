/** Late rows and failed rows as streams of their own, with coordinates; and the balance: in = in results + in the ledger. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, collect, count, describePlan, f64, memory, pipeline, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { graphOf } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

const clicks = { user: utf8, ms: f64, at: timestamp };
const source = () => pipeline('sides').from(memory([], { schema: clicks }));

describe('late', () => {
  test('the rows that a window did not take, as they were, with where they were read', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            partition: fc.integer({ min: 0, max: 1 }),
            rows: fc.array(
              fc.record({ user: fc.constantFrom('a', '__proto__', ''), ms: fc.integer({ min: -5, max: 50 }), at: fc.integer({ min: 0, max: 500 }) }),
              { maxLength: 20 },
            ),
          }),
          { maxLength: 12 },
        ),
        fc.boolean(),
        fc.constantFrom('window', 'reduce', 'duplicates'),
        (sends, forks, kind) => {
          const base = source()
            .filter((r) => r.ms >= 0)
            .withWatermark('at', 10);
          // A fork between the filter and the window: row numbers have to be followed back through two programs.
          const rows = forks ? base.filter((r) => r.ms !== 7) : base;
          if (forks) base.to(collect());
          const keyed = rows.keyBy('user');
          const result =
            kind === 'window'
              ? keyed.window(tumbling(100)).aggregate({ clicks: count(), ms: sum('ms') })
              : kind === 'reduce'
                ? keyed.window(tumbling(100)).reduce((a) => a)
                : keyed.dropDuplicates({ within: 100 });
          result.to(collect());
          const late = result.late;
          const driver = testDriver(late.to(collect()), { partitions: 2 });
          const sink = forks ? 2 : 1;
          const offsets = [0, 0];
          const maxima = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
          const expected: AnyRow[] = [];
          let watermark = Number.NEGATIVE_INFINITY;
          for (const { partition, rows: sent } of sends) {
            driver.send(sent, { partition });
            for (const [i, row] of sent.entries()) {
              const offset = (offsets[partition] as number) + i;
              if (row.ms < 0) continue;
              // dropDuplicates goes by the row's own time, a window by its end.
              const isLate = kind === 'duplicates' ? row.at < watermark : Math.floor(row.at / 100) * 100 + 100 <= watermark;
              if (isLate && !(forks && row.ms === 7)) expected.push({ ...row, source: 'memory', partition, offset });
              maxima[partition] = Math.max(maxima[partition] as number, row.at);
            }
            offsets[partition] = (offsets[partition] as number) + sent.length;
            driver.endEpoch();
            watermark = Math.max(watermark, Math.min(...maxima) - 10);
          }
          driver.close();
          assert.deepEqual(driver.output(sink), expected);
          assert.equal(driver.counts.get('late'), expected.length);
        },
      ),
      { numRuns: caseCount(150) },
    );
  });

  test('thousands of them at once, behind mapBatches', () => {
    const doubled = source()
      .mapBatches(clicks, (batch, out) => {
        for (const row of batch.toRows()) out.appendRow(row);
      })
      .withWatermark('at', 0);
    const perMinute = doubled.keyBy('user').window(tumbling('1m')).count();
    const driver = testDriver(perMinute.late.keyBy('user').count().to(collect()), { partitions: 1 });
    driver.send([{ user: 'a', ms: 0, at: 200_000 }]);
    driver.endEpoch();
    driver.send(Array.from({ length: 9_000 }, (_, i) => ({ user: i % 3 === 0 ? 'a' : 'b', ms: i, at: i })));
    driver.endEpoch();
    assert.deepEqual(
      [...driver.output()].sort((a, b) => (String(a.user) < String(b.user) ? -1 : 1)),
      [
        { user: 'a', count: 3_000 },
        { user: 'b', count: 6_000 },
      ],
    );
  });

  test('of a join, of either side', () => {
    for (const kind of ['interval', 'windows'] as const) {
      const p = pipeline('join');
      const orders = p.from(memory([], { schema: { order: utf8, at: timestamp } })).withWatermark('at', 0);
      const payments = p.from(memory([], { schema: { paid: utf8, at: timestamp } })).withWatermark('at', 0);
      const [left, right] = [orders.keyBy('order'), payments.filter((r) => r.paid !== 'x').keyBy('paid')];
      const joined = kind === 'interval' ? left.join(right, { within: [0, 50] }) : left.window(tumbling(100)).join(right);
      joined.to(collect());
      joined.late.to(collect());
      const driver = testDriver(joined.lateRight.select('paid', 'partition', 'offset').to(collect()), { partitions: 1 });
      driver.send(0, [{ order: 'a', at: 1_000 }]);
      driver.send(1, [{ paid: 'a', at: 1_010 }]);
      driver.endEpoch();
      driver.send(0, [
        { order: 'b', at: 20 },
        { order: 'c', at: 1_020 },
      ]);
      driver.send(1, [
        { paid: 'x', at: 20 },
        { paid: 'b', at: 30 },
        { paid: 'c', at: 1_030 },
      ]);
      driver.endEpoch();
      driver.close();
      assert.deepEqual(
        driver
          .output(0)
          .map((of) => of.order)
          .sort(),
        ['a', 'c'],
        kind,
      );
      assert.deepEqual(driver.output(1), [{ order: 'b', at: 20, source: 'memory', partition: 0, offset: 1 }], kind);
      assert.deepEqual(driver.output(2), [{ paid: 'b', partition: 0, offset: 2 }], kind);
      const explained = describePlan(makePlan(graphOf(joined) as NonNullable<ReturnType<typeof graphOf>>));
      assert.match(explained, / {2}late rows, input 0:[\s\S]* {2}late rows, input 1:/);
    }
  });

  test('are typed, may be counted themselves, and are asked of a result only', () => {
    const perMinute = source().withWatermark('at', 0).keyBy('user').window(tumbling('1m')).count();
    const slowest = perMinute.late
      .filter((row) => row.ms > 1 && row.offset >= 0 && row.source !== '')
      .keyBy('user')
      .count();
    const driver = testDriver(slowest.to(collect()), { partitions: 1 });
    driver.send([{ user: 'a', ms: 5, at: 200_000 }]);
    driver.endEpoch();
    driver.send([
      { user: 'a', ms: 5, at: 1_000 },
      { user: 'a', ms: 0, at: 1_000 },
      { user: 'b', ms: 9, at: 2_000 },
    ]);
    driver.endEpoch();
    assert.deepEqual(
      [...driver.output()].sort((a, b) => (String(a.user) < String(b.user) ? -1 : 1)),
      [
        { user: 'a', count: 1 },
        { user: 'b', count: 1 },
      ],
    );
    assert.throws(() => perMinute.lateRight, /no join of two streams/);
    assert.throws(() => source().late, /has no late rows/);
    assert.throws(() => source().keyBy('user').count().late, /has no late rows/);
    assert.match(describePlan(makePlan(graphOf(slowest) as NonNullable<ReturnType<typeof graphOf>>)), / {2}late rows:\n {4}filter/);
    void (() => {
      // @ts-expect-error a count of rows is in the result, not in the late rows
      perMinute.late.filter((row) => row.count);
    });
  });
});

describe('errors', () => {
  const failing = (row: { user: string; ms: number }) => {
    if (row.ms === 13) throw new RangeError(`no ${row.ms} for ${row.user}`);
    return { user: row.user, half: row.ms / 2 };
  };

  test('the rows for which a function threw: coordinates, operator, message and the row itself; the others go on', () => {
    const halves = source()
      .filter((r) => r.ms > 0)
      .map({ user: utf8, half: f64 }, (r) => failing(r));
    halves.to(collect());
    const driver = testDriver(halves.errors.to(collect()), { partitions: 2 });
    driver.send(
      [
        { user: 'a', ms: 1, at: 0 },
        { user: 'b', ms: 13, at: 0 },
        { user: 'a', ms: -1, at: 0 },
      ],
      { partition: 1 },
    );
    driver.send(
      [
        { user: 'c', ms: 4, at: 0 },
        { user: 'd', ms: 13, at: 0 },
        { user: 'e', ms: 6, at: 0 },
      ],
      { partition: 1 },
    );
    driver.close();
    assert.deepEqual(driver.output(0), [
      { user: 'a', half: 0.5 },
      { user: 'c', half: 2 },
      { user: 'e', half: 3 },
    ]);
    const errors = driver.output(1);
    assert.deepEqual(
      errors.map(({ source: from, partition, offset, operator, row, bytes }) => ({ from, partition, offset, operator, row, bytes })),
      [
        { from: 'memory', partition: 1, offset: 1, operator: 'map #2', row: '{"user":"b","ms":13,"at":0}', bytes: null },
        { from: 'memory', partition: 1, offset: 4, operator: 'map #2', row: '{"user":"d","ms":13,"at":0}', bytes: null },
      ],
    );
    assert.match(String(errors[0]?.message), /^map #2 failed .*RangeError: no 13 for b/);
    assert.equal(driver.counts.get('failed'), 2);
    // The balance: every row is in a result, was filtered by the user, or is in the ledger.
    assert.equal(driver.counts.get('rowsIn'), 3 + 1 + 2);
  });

  test('without a taker a failure ends the job, also in a function behind the stream whose errors are taken', () => {
    const halves = source().map({ user: utf8, half: f64 }, (r) => failing(r));
    const plain = testDriver(halves.to(collect()));
    assert.throws(() => plain.send([{ user: 'b', ms: 13, at: 0 }]), /no 13 for b/);
    const all = source();
    all.errors.to(collect());
    const driver = testDriver(all.map({ user: utf8, half: f64 }, (r) => failing(r)).to(collect()));
    assert.throws(() => driver.send([{ user: 'b', ms: 13, at: 0 }]), /no 13 for b/);
  });

  test('failures behind a window, and over a fork', () => {
    const windows = source().withWatermark('at', 0).keyBy('user').window(tumbling(100)).count();
    const named = windows.map({ who: utf8 }, (r) => {
      if (r.count === 2) throw new Error('two');
      return { who: r.user };
    });
    named.to(collect());
    windows.to(collect());
    const driver = testDriver(named.errors.to(collect()), { partitions: 1 });
    driver.send([
      { user: 'a', ms: 1, at: 0 },
      { user: 'a', ms: 1, at: 1 },
      { user: 'b', ms: 1, at: 2 },
    ]);
    driver.close();
    assert.deepEqual(driver.output(0), [{ who: 'b' }]);
    assert.equal(driver.output(1).length, 2);
    assert.deepEqual(
      driver.output(2).map(({ source: from, offset, operator, row }) => [from, offset, operator, row]),
      [['exchange 0', -1, 'map #1', '{"user":"a","count":2}']],
    );
  });
});
