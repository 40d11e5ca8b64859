/** Windows with options of their own: offsets, time zones, windows without rows; and which stream says what the time is. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aggregator,
  collect,
  count,
  cumulative,
  f64,
  memory,
  pipeline,
  type Sink,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const option = (message: RegExp) => ({ code: 'ERR_MILLRACE_OPTION', message });
const HOUR = 3_600_000;

function stream() {
  return pipeline('windows')
    .from(memory([], { schema: { k: utf8, v: f64, at: timestamp } }))
    .withWatermark('at', 0);
}

test('sliding windows with an offset', () => {
  const driver = testDriver(
    stream()
      .keyBy('k')
      .window(sliding(10, 5, { offset: 2 }))
      .count()
      .to(collect()),
    { partitions: 1 },
  );
  driver.send([6, 7, 12].map((at) => ({ k: 'a', v: 1, at })));
  driver.close();
  assert.deepEqual(
    driver.output().map((row) => [row.windowStart, row.windowEnd, row.count]),
    [
      [-3, 7, 1],
      [2, 12, 2],
      [7, 17, 2],
      [12, 22, 1],
    ],
  );
});

test('offsets that are no shorter than what they shift, zones where there are none, and options that do not exist, are refused', () => {
  assert.throws(() => tumbling(10, { offset: 10 }), option(/offset of 10 ms, which is not shorter than its size of 10 ms.*offset 0 ms/));
  assert.throws(() => tumbling('1h', { offset: '-90m' }), option(/offset of -5400000 ms.*offset -1800000 ms/));
  assert.throws(() => sliding(10, 5, { offset: 5 }), option(/not shorter than its slide of 5 ms/));
  assert.equal(String(tumbling(10, { offset: -9 })), 'tumbling(10 ms, offset -9 ms)');
  // @ts-expect-error no such option
  assert.throws(() => tumbling('1d', { timezone: 'Europe/Berlin' }), option(/tumbling\(\): there is no option "timezone".*zone/));
  // @ts-expect-error sliding windows have no zone
  assert.throws(() => sliding('1d', '1h', { zone: 'Europe/Berlin' }), option(/sliding\(\) goes by no time zone.*tumbling/));
  // @ts-expect-error nor have cumulative ones
  assert.throws(() => cumulative('1d', '1h', { zone: 'Europe/Berlin' }), option(/cumulative\(\) goes by no time zone/));
  // @ts-expect-error nor sessions
  assert.throws(() => session('1h', { zone: 'Europe/Berlin' }), option(/session\(\) goes by no time zone/));
  assert.throws(() => tumbling('1d', { zone: 'Berlin' }), option(/"Berlin" is no time zone/));
  assert.throws(() => tumbling('90m', { zone: 'Europe/Berlin' }), option(/whole hours/));
});

test('days in a time zone, of 23 and 25 hours: for aggregates, folds, functions of the user, and joins', () => {
  const zone = 'Europe/Berlin';
  const days = () => tumbling('1d', { zone });
  const from = Date.parse('2024-03-29T23:30:00Z');
  // A row an hour for four days around each change of the clocks, out of order within a batch.
  const rows = [from, Date.parse('2024-10-25T22:30:00Z')].flatMap((start) =>
    Array.from({ length: 96 }, (_, i) => ({ k: 'a', v: 1, at: start + ((i * 7) % 96) * HOUR })),
  );
  const date = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short' });
  const expected = new Map<string, number>();
  for (const { at } of rows) expected.set(date.format(at), (expected.get(date.format(at)) ?? 0) + 1);
  const input = pipeline('days')
    .from(memory([], { schema: { k: utf8, v: f64, at: timestamp } }))
    .withWatermark('at', '4d');
  const keyed = input.keyBy('k');
  const plus = aggregator({ type: f64, init: () => 0, add: (s: number, r: { v: number }) => s + r.v, merge: (a, b) => a + b, result: (s) => s });
  const sinks: Sink[] = [];
  const kept = () => {
    const sink = collect();
    sinks.push(sink);
    return sink;
  };
  keyed.window(days()).count().to(kept());
  keyed.window(days()).aggregate({ count: plus }).to(kept());
  keyed
    .window(days())
    .reduce((a, b) => ({ k: a.k, v: a.v + b.v, at: a.at }))
    .to(kept());
  const last = keyed
    .window(days())
    .join(input.filter((row) => row.at % 2 === 0).keyBy('k'), { type: 'left' })
    .to(kept());
  const driver = testDriver(last, { partitions: 1 });
  for (let part = 0; part < rows.length; part += 50) {
    driver.send(rows.slice(part, part + 50));
    driver.endEpoch();
  }
  driver.close();
  for (const [index, column] of ['count', 'count', 'v'].entries()) {
    assert.deepEqual(
      driver
        .output(index)
        .map((row) => [date.format(row.windowStart as number), row[column]])
        .sort(),
      [...expected].sort(),
    );
  }
  const hours = new Map(
    driver.output(0).map((row) => [date.format(row.windowStart as number), ((row.windowEnd as number) - (row.windowStart as number)) / HOUR]),
  );
  assert.deepEqual([hours.get('2024-03-31'), hours.get('2024-10-27'), hours.get('2024-10-26')], [23, 25, 24]);
  assert.deepEqual(new Set(driver.output(3).map((row) => date.format(row.windowStart as number))), new Set(expected.keys()));
  assert.equal(driver.counts.get('late'), 0);
});

test('windows without rows: counts of 0, other aggregates null, between the first row and the watermark', () => {
  const results = stream()
    .windowAll(tumbling(10).emptyWindows())
    .aggregate({ rows: count(), total: sum('v') });
  assert.equal(String(results.schema), '"windowStart":timestamp, "windowEnd":timestamp, "rows":f64, "total":f64?');
  results.filter((row) => {
    // @ts-expect-error null where a window has no rows
    const total: number = row.total;
    return total;
  });
  // What comes behind goes by the ends of these windows, and none of them is late for it.
  const behind = results.to(collect()).windowAll(tumbling(20)).aggregate({ windows: count() }).to(collect());
  const driver = testDriver(behind, { partitions: 1, shards: 3 });
  driver.send([{ k: 'a', v: 2, at: 25 }]);
  driver.endEpoch();
  driver.send([{ k: 'a', v: 3, at: 72 }]);
  driver.endEpoch();
  const bounds = () => driver.output(0).map((row) => [row.windowStart, row.windowEnd, row.rows, row.total]);
  const expected = [[20, 30, 1, 2], ...[30, 40, 50, 60].map((start) => [start, start + 10, 0, null])];
  assert.deepEqual(bounds(), expected);
  const restored = testDriver(behind, { from: structuredClone(driver.snapshot()) });
  for (const one of [driver, restored]) {
    one.send([{ k: 'b', v: 1, at: 95 }]);
    one.close();
  }
  const rest = [
    [70, 80, 1, 3],
    [80, 90, 0, null],
    [90, 100, 1, 1],
  ];
  assert.deepEqual(bounds(), [...expected, ...rest]);
  assert.deepEqual(
    restored.output(0).map((row) => [row.windowStart, row.windowEnd, row.rows, row.total]),
    rest,
  );
  assert.deepEqual(
    driver.output(1).map((row) => [row.windowStart, row.windows]),
    [20, 40, 60, 80].map((start) => [start, 2]),
  );
  assert.equal(driver.counts.get('late'), 0);
});

test('windows without rows as Spark counts them by window: sliding ones, and late rows', () => {
  const counts = stream().windowAll(sliding(20, 10).emptyWindows()).count();
  counts.late.to(collect());
  const driver = testDriver(counts.to(collect()), { partitions: 1 });
  driver.send([5, 52].map((at) => ({ k: 'a', v: 1, at })));
  driver.endEpoch();
  driver.send([{ k: 'a', v: 1, at: 3 }]);
  driver.close();
  assert.deepEqual(
    driver.output(1).map((row) => [row.windowStart, row.count]),
    [
      [-10, 1],
      [0, 1],
      [10, 0],
      [20, 0],
      [30, 0],
      [40, 1],
      [50, 1],
    ],
  );
  assert.deepEqual(
    driver.output(0).map((row) => row.at),
    [3],
  );
});

test('emptyWindows() is refused where windows have keys, come out more than once, or are made by rows', () => {
  const wrong = { code: 'ERR_MILLRACE_PIPELINE', message: /windowAll|once|no row to give/ };
  assert.throws(() => stream().keyBy('k').window(tumbling(10).emptyWindows()).count(), wrong);
  assert.throws(() => stream().windowAll(tumbling(10).emptyWindows().emit('update')).count(), wrong);
  assert.throws(
    () =>
      stream()
        .windowAll(tumbling(10).emptyWindows())
        .reduce((a) => a),
    wrong,
  );
  assert.throws(() => session(10).emptyWindows(), option(/rows make/));
});

test('the policy of a watermark: the partition that is behind, or the one that is ahead; and of streams that meet', () => {
  const late = (policy: 'min' | 'max') => {
    const of = pipeline('policy')
      .from(memory([], { schema: { k: utf8, at: timestamp } }))
      .withWatermark('at', 10, { policy });
    const driver = testDriver(of.keyBy('k').window(tumbling(10)).count().to(collect()), { partitions: 2 });
    driver.send([{ k: 'a', at: 100 }], { partition: 0 });
    driver.endEpoch();
    driver.send([{ k: 'a', at: 55 }], { partition: 1 });
    driver.send([{ k: 'a', at: 91 }], { partition: 1 });
    driver.endEpoch();
    driver.close();
    return [driver.counts.get('late'), driver.output().map((row) => row.windowStart)];
  };
  assert.deepEqual(late('min'), [0, [50, 90, 100]]);
  assert.deepEqual(late('max'), [1, [90, 100]]);

  // Spark's multipleWatermarkPolicy: inputs at 10, 20, 30 and 5 with a delay of 0 and policy max.
  const meet = (first: 'min' | 'max', second: 'min' | 'max') => {
    const p = pipeline('meet');
    const left = p.from(memory([], { schema: { k: utf8, at: timestamp } })).withWatermark('at', 0, { policy: first });
    const right = p.from(memory([], { schema: { k: utf8, at: timestamp } })).withWatermark('at', 0, { policy: second });
    const driver = testDriver(left.union(right).keyBy('k').window(tumbling(10)).count().to(collect()), { partitions: 1 });
    driver.send(0, [{ k: 'a', at: 30 }]);
    driver.endEpoch();
    driver.send(1, [{ k: 'a', at: 5 }]);
    driver.endEpoch();
    return driver.counts.get('late');
  };
  assert.deepEqual([meet('max', 'max'), meet('max', 'min'), meet('min', 'min')], [1, 0, 0]);
  // @ts-expect-error no such policy
  assert.throws(() => stream().withWatermark('at', 0, { policy: 'mean' }), option(/"mean".*'min'/));
  // @ts-expect-error no such option
  assert.throws(() => stream().withWatermark('at', 0, { idel: '1s' }), option(/"idel".*idle/));
});
