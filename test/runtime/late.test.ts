/** Rows that come too late: counted in no window, in the ledger, and on the late stream with their coordinates. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, count, f64, memory, pipeline, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const input = { page: utf8, ms: f64, at: timestamp };

function late() {
  const windows = pipeline('late')
    .from(memory([], { schema: input }))
    .filter((r) => r.page !== '/skip')
    .withWatermark('at', '1s')
    .filter((r) => r.ms >= 0)
    .keyBy('page')
    .window(tumbling('10s'))
    .aggregate({ clicks: count() });
  windows.to(collect());
  return windows.late
    .map({ page: utf8, at: timestamp, offset: f64, partition: f64 }, (r) => ({
      page: r.page,
      at: r.at,
      offset: Number(r.lateOffset),
      partition: r.latePartition,
    }))
    .to(collect());
}

test('late rows leave by the side with their offsets, and change no result', () => {
  const driver = testDriver(late(), { partitions: 2 });
  driver.send(
    [
      { page: '/a', ms: 1, at: 1_000 },
      { page: '/a', ms: 1, at: 25_000 },
    ],
    { partition: 0 },
  );
  driver.send([{ page: '/a', ms: 1, at: 26_000 }], { partition: 1 });
  driver.endEpoch();
  assert.deepEqual(driver.output(0), [{ page: '/a', windowStart: 0, windowEnd: 10_000, clicks: 1 }]);
  driver.send(
    [
      { page: '/skip', ms: 1, at: 2_000 },
      { page: '/b', ms: 1, at: 2_000 },
      { page: '/b', ms: -1, at: 2_000 },
      { page: '/b', ms: 1, at: 27_000 },
      { page: '/c', ms: 1, at: 19_999 },
    ],
    { partition: 1 },
  );
  driver.endEpoch();
  assert.deepEqual(driver.output(1), [
    { page: '/b', at: 2_000, offset: 2, partition: 1 },
    { page: '/c', at: 19_999, offset: 5, partition: 1 },
  ]);
  assert.equal(driver.counts.get('late'), 2);
  driver.close();
  assert.equal(
    driver.output(0).reduce((sum, row) => sum + (row['clicks'] as number), 0),
    4,
  );
});

test('a column that a late row needs for its coordinates is refused', () => {
  const windows = pipeline('late')
    .from(memory([], { schema: { lateOffset: utf8, at: timestamp } }))
    .withWatermark('at', 0)
    .windowAll(tumbling(1))
    .count();
  assert.throws(() => windows.late, { code: 'ERR_MILLRACE_PIPELINE', message: /lateOffset/ });
});
