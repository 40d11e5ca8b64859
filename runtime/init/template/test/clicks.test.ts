// The pipeline's test: the same plan as in a job, on this thread, with rows by hand. It needs no broker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, memory } from 'millrace';
import { simulate, testDriver } from 'millrace/testing';
import { click, clicksPerPage } from '../src/clicks.ts';

const pipeline = () => clicksPerPage(memory([], { schema: click }), collect());

test('counts clicks per page and window, without slips', () => {
  const driver = testDriver(pipeline(), { partitions: 1 });
  driver.send([
    { page: '/a', ms: 10, at: 1_000 },
    { page: '/a', ms: 30, at: 2_000 },
    { page: '/a', ms: 0, at: 3_000 },
    { page: '/b', ms: 5, at: 4_000 },
  ]);
  driver.endEpoch();
  assert.deepEqual(driver.output(), []);
  driver.close();
  assert.deepEqual(
    [...driver.output()].sort((a, b) => String(a['page']).localeCompare(String(b['page']))),
    [
      { page: '/a', windowStart: 0, windowEnd: 10_000, clicks: 2, meanMs: 20 },
      { page: '/b', windowStart: 0, windowEnd: 10_000, clicks: 1, meanMs: 5 },
    ],
  );
});

test('crashes, wherever they come, lose no click', () => {
  const input = Array.from({ length: 30 }, (_, i) => ({ page: `/${i % 3}`, ms: 1, at: 4_000 * i }));
  assert.equal(simulate(pipeline(), { input, runs: 10 }).failure, undefined);
});
