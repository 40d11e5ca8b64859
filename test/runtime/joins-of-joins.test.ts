/** A join's result as one side of another join: by time, in windows, of windowed aggregates; as three arrays give it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, count, f64, memory, pipeline, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

const RUNS = caseCount(100);

function three() {
  const p = pipeline('three');
  const a = p.from(memory([], { schema: { k: f64, a: f64, at: timestamp } })).withWatermark('at', 0);
  const b = p.from(memory([], { schema: { k: f64, b: f64, at: timestamp } })).withWatermark('at', 0);
  const c = p.from(memory([], { schema: { k: f64, c: f64, at: timestamp } })).withWatermark('at', 0);
  return { a: a.keyBy('k'), b: b.keyBy('k'), c: c.keyBy('k') };
}

test('three streams by time, the first join on the left: what Spark gives for inputs (5, 10), (5, 15), (5, 25)', () => {
  const { a, b, c } = three();
  const ab = a.join(b, { within: [0, 5_000] });
  const abc = ab.keyBy('k').join(c, { within: [0, 10_000], suffix: '_c' });
  assert.equal(String(abc.schema), '"k":f64, "joinTime":timestamp, "a":f64, "at":timestamp, "b":f64, "at_right":timestamp, "c":f64, "at_c":timestamp');
  const driver = testDriver(abc.to(collect()), { partitions: 1 });
  driver.send(0, [{ k: 5, a: 10, at: 10_000 }]);
  driver.send(1, [{ k: 5, b: 15, at: 15_000 }]);
  driver.send(2, [{ k: 5, c: 25, at: 25_000 }]);
  driver.endEpoch();
  driver.close();
  assert.deepEqual(
    driver.output().map((row) => [row.k, row.a, row.k, row.b, row.k, row.c]),
    [[5, 10, 5, 15, 5, 25]],
  );
  assert.equal(driver.output()[0]?.joinTime, 25_000);
});

test('the first join on the right: its joinTime has the suffix', () => {
  const { a, b, c } = three();
  const bc = b.join(c, { within: [0, '10s'] });
  const driver = testDriver(a.join(bc.keyBy('k'), { within: [0, '20s'], type: 'left' }).to(collect()), { partitions: 1 });
  driver.send(0, [
    { k: 5, a: 10, at: 10_000 },
    { k: 6, a: 11, at: 11_000 },
  ]);
  driver.send(1, [{ k: 5, b: 15, at: 15_000 }]);
  driver.send(2, [{ k: 5, c: 25, at: 25_000 }]);
  driver.close();
  const rows = driver.output().map(({ k, a: of, b: right, c: third, joinTime, joinTime_right: first }) => [k, of, right, third, joinTime, first]);
  assert.deepEqual(rows, [
    [5, 10, 15, 25, 25_000, 25_000],
    [6, 11, null, null, 11_000, null],
  ]);
});

interface Row {
  readonly k: number;
  readonly at: number;
}

test('any three streams, left on left: as three arrays give them', () => {
  const rows = fc.array(fc.record({ k: fc.integer({ min: 0, max: 2 }), at: fc.integer({ min: 0, max: 60 }) }), { maxLength: 8 });
  const epochs = fc.array(fc.tuple(rows, rows, rows), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(epochs, fc.constantFrom('inner', 'left') as fc.Arbitrary<'inner' | 'left'>, fc.integer({ min: 1, max: 3 }), (all, type, shards) => {
      const { a, b, c } = three();
      const ab = a.join(b, { within: [5, 10], type });
      const driver = testDriver(
        ab
          .keyBy('k')
          .join(c, { within: [0, 20], type, suffix: '_c' })
          .to(collect()),
        { partitions: 1, shards },
      );
      // In the order of time within each stream, so that nothing is late.
      const sorted = [0, 1, 2].map((stream) =>
        all
          .flatMap((epoch) => epoch[stream] as Row[])
          .sort((x, y) => x.at - y.at)
          .map((row, i) => ({ ...row, i })),
      );
      const taken = [0, 0, 0];
      for (const epoch of all) {
        epoch.forEach((part, stream) => {
          const from = taken[stream] as number;
          taken[stream] = from + part.length;
          const name = 'abc'[stream] as string;
          driver.send(
            stream,
            (sorted[stream] as { k: number; at: number; i: number }[]).slice(from, from + part.length).map(({ k, at, i }) => ({ k, at, [name]: i })),
          );
        });
        driver.endEpoch();
      }
      driver.close();
      const [as, bs, cs] = sorted as [(Row & { i: number })[], (Row & { i: number })[], (Row & { i: number })[]];
      const pairs = as.flatMap((x) => {
        const found = bs
          .filter((y) => y.k === x.k && y.at >= x.at - 5 && y.at <= x.at + 10)
          .map((y) => ({ k: x.k, a: x.i, b: y.i as number | null, time: Math.max(x.at, y.at) }));
        return found.length > 0 || type === 'inner' ? found : [{ k: x.k, a: x.i, b: null, time: x.at }];
      });
      const expected = pairs.flatMap(({ k, a: x, b: y, time }) => {
        const found = cs.filter((z) => z.k === k && z.at >= time && z.at <= time + 20).map((z) => [k, x, y, z.i as number | null]);
        return found.length > 0 || type === 'inner' ? found : [[k, x, y, null]];
      });
      assert.deepEqual(
        driver
          .output()
          .map((row) => String([row.k, row.a, row.b, row.c]))
          .sort(),
        expected.map(String).sort(),
      );
      assert.equal(driver.counts.get('late'), 0);
    }),
    { numRuns: RUNS },
  );
});

test('joins in windows of joins in windows, and of windowed aggregates: the bounds are those of the last window', () => {
  const { a, b, c } = three();
  const ab = a.window(tumbling(10)).join(b, { type: 'full' });
  const abc = ab.keyBy('k').window(tumbling(20)).join(c, { suffix: '_c' });
  assert.deepEqual(
    abc.schema.fields.map((field) => field.name),
    ['k', 'windowStart', 'windowEnd', 'a', 'at', 'b', 'at_right', 'c', 'at_c'],
  );
  const driver = testDriver(abc.to(collect()), { partitions: 1 });
  driver.send(0, [{ k: 1, a: 1, at: 3 }]);
  driver.send(1, [{ k: 1, b: 2, at: 7 }]);
  driver.send(2, [{ k: 1, c: 3, at: 19 }]);
  driver.close();
  assert.deepEqual(driver.output(), [{ k: 1, windowStart: 0, windowEnd: 20, a: 1, at: 3, b: 2, at_right: 7, c: 3, at_c: 19 }]);

  const counts = three();
  const perTen = counts.a.window(tumbling(10)).aggregate({ rows: count() });
  const perTwenty = counts.b.window(tumbling(20)).aggregate({ others: count() });
  const both = perTen.keyBy('k').window(tumbling(20)).join(perTwenty.keyBy('k'));
  const counted = testDriver(both.to(collect()), { partitions: 1 });
  counted.send(
    0,
    [0, 5, 12].map((at) => ({ k: 1, a: 0, at })),
  );
  counted.send(
    1,
    [0, 19].map((at) => ({ k: 1, b: 0, at })),
  );
  counted.close();
  assert.deepEqual(
    counted.output().map((row) => [row.k, row.windowStart, row.windowEnd, row.rows, row.others, row.windowStart_right, row.windowEnd_right]),
    [
      [1, 0, 20, 2, 2, 0, 20],
      [1, 0, 20, 1, 2, 0, 20],
    ],
  );
});

test('a column of the user that has the name of a join time does not give way', () => {
  const p = pipeline('own');
  const own = p.from(memory([], { schema: { k: utf8, joinTime: timestamp } })).withWatermark('joinTime', 0);
  const other = p.from(memory([], { schema: { k: utf8, at: timestamp } })).withWatermark('at', 0);
  const clash = { code: 'ERR_MILLRACE_PIPELINE', message: /two columns named "joinTime"/ };
  assert.throws(() => own.keyBy('k').join(other.keyBy('k'), { within: [0, 0] }), clash);
  const joined = other.keyBy('k').join(own.keyBy('k'), { within: [0, 0] });
  assert.ok(joined.schema.indexOf('joinTime_right') > 0);
  // As a key it has to have another name.
  assert.throws(() => joined.keyBy('joinTime').join(other.keyBy('at'), { within: [0, 0] }), { code: 'ERR_MILLRACE_PIPELINE', message: /another name/ });
});
