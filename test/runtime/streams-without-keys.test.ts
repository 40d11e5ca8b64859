/** What a stream without keys has of its own: aggregates over everything; and keys that are in part there, in part computed. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { collect, count, f64, last, max, memory, pipeline, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

const SCHEMA = { key: utf8, value: f64, at: timestamp };
const source = () => pipeline('all').from(memory([], { schema: SCHEMA }));
const rowOf = (key: string, value: number, at = 0) => ({ key, value, at });

describe('aggregates over everything', () => {
  test('one row per epoch with rows, the same for any shards, cuts and snapshots', () => {
    const values = fc.array(fc.array(fc.integer({ min: -100, max: 100 }), { maxLength: 8 }), { maxLength: 6 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 4 }), fc.nat(5), fc.integer(), (epochs, shards, cut, seed) => {
        const stream = source()
          .aggregate({ rows: count(), total: sum('value'), most: max('value') })
          .to(collect());
        let driver = testDriver(stream, { shards, seed });
        const got: unknown[] = [];
        const wanted: unknown[] = [];
        const all: number[] = [];
        epochs.forEach((epoch, e) => {
          for (const value of epoch) driver.send([rowOf(`k${value}`, value)]);
          all.push(...epoch);
          if (epoch.length > 0) wanted.push({ rows: all.length, total: all.reduce((a, b) => a + b, 0), most: Math.max(...all) });
          const from = driver.output().length;
          driver.endEpoch();
          got.push(...driver.output().slice(from));
          if (e === cut) driver = testDriver(stream, { from: driver.snapshot(), shards: 5 - shards });
        });
        assert.deepEqual(got, wanted);
      }),
      { numRuns: caseCount(30) },
    );
  });

  test('count(), the late rows of a window, a view; what comes out is updates', () => {
    const rows = source().withWatermark('at', 0);
    const windows = rows.keyBy('key').window(tumbling(10)).count();
    const late = windows.late.count().as('late');
    const stream = windows.to(collect());
    late.to(collect());
    const driver = testDriver(stream, { partitions: 1 });
    driver.send([rowOf('a', 1, 5), rowOf('a', 1, 25)]);
    driver.endEpoch();
    driver.send([rowOf('a', 1, 6), rowOf('b', 1, 7)]);
    driver.endEpoch();
    assert.deepEqual(driver.output(1), [{ count: 2 }]);
    assert.deepEqual([...driver.view('late').rows()], [{ count: 2 }]);
    assert.deepEqual(driver.view('late').get({}), { count: 2 });
    const updates = source().aggregate({ total: sum('value') });
    const one = testDriver(updates.aggregate({ rows: count() }).to(collect()), { partitions: 1 });
    for (const value of [1, 2]) {
      one.send([rowOf('a', value)]);
      one.endEpoch();
    }
    // One row, which is replaced.
    assert.deepEqual(one.output(), [{ rows: 1, retracted: false }]);
    assert.throws(() => (updates as never as typeof rows).windowAll(tumbling(10)).count(), /stands behind a running aggregate/);
    updates.aggregate({ total: last('total') });
    // @ts-expect-error no such column
    assert.throws(() => source().aggregate({ total: sum('valeu') }), /"valeu"/);
    // @ts-expect-error there is no key
    updates.filter((row) => row.key);
  });
});

test('keys that are there, and computed ones behind them', () => {
  const keyed = source().keyBy('key', { sign: utf8 }, (r) => ({ sign: r.value < 0 ? '-' : '+' }));
  const stream = keyed.aggregate({ total: sum('value') });
  const driver = testDriver(stream.to(collect()));
  driver.send([rowOf('a', 1), rowOf('a', -2), rowOf('a', 3), rowOf('b', -1)]);
  driver.endEpoch();
  assert.deepEqual(
    [...driver.output()].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    [
      { key: 'a', sign: '+', total: 4 },
      { key: 'a', sign: '-', total: -2 },
      { key: 'b', sign: '-', total: -1 },
    ],
  );
  stream.filter((row) => row.sign.length > 0 && row.key.length > 0);
  source()
    .keyBy('key', 'at', { sign: utf8 }, (r) => ({ sign: r.key }))
    .count();
  // @ts-expect-error no such column
  assert.throws(() => source().keyBy('kye', { sign: utf8 }, () => ({ sign: '' })), /"kye"/);
  // @ts-expect-error the function lacks a column of the schema
  source().keyBy('key', { sign: utf8 }, (r) => ({ host: r.key }));
});
