// The aggregates as a pipeline module writes them, from the front door: inferred rows, both meanings of collect, results of a window and of a running aggregation.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  approxCountDistinct,
  collect,
  count,
  countDistinct,
  ewma,
  f64,
  first,
  last,
  linearCount,
  max,
  memory,
  pipeline,
  quantile,
  rate,
  sliding,
  stddev,
  timestamp,
  topK,
  utf8,
  variance,
  zScore,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const fields = { at: timestamp, user: utf8, page: utf8, ms: f64 };
const rows = [
  { at: 1_000, user: 'ann', page: '/', ms: 10 },
  { at: 3_000, user: 'bob', page: '/', ms: 30 },
  { at: 2_000, user: 'ann', page: '/', ms: 20 },
  { at: 2_000, user: 'cy', page: '/b', ms: 5 },
];

describe('aggregates in a pipeline', () => {
  test('over windows, with rows that the compiler knows', () => {
    const stream = pipeline('statistics')
      .from(memory([], { schema: fields }))
      .withWatermark('at', '1s')
      .keyBy('page')
      .window(sliding('4s', '2s'))
      .aggregate({
        n: count(),
        users: countDistinct('user'),
        about: approxCountDistinct('user'),
        linear: linearCount('user'),
        v: variance('ms'),
        sd: stddev('ms', { population: true }),
        opened: first('user'),
        closed: last('ms'),
        all: collect('ms'),
        median: quantile('ms', 0.5),
        top: topK('user', 1),
        smooth: ewma('ms', { halfLife: '1s' }),
        perSecond: rate(),
        lastUser: max('user'),
      })
      .filter((row) => row.windowStart === 0 && row.opened.length > 0)
      .map(
        {
          page: utf8,
          n: f64,
          users: f64,
          about: f64,
          linear: f64,
          v: f64,
          sd: f64,
          opened: utf8,
          closed: f64,
          all: utf8,
          z: f64,
          top: utf8,
          smooth: f64,
          perSecond: f64,
          lastUser: utf8,
        },
        (row) => ({
          ...row,
          v: row.v ?? -1,
          sd: row.sd ?? -1,
          z: zScore(row.closed, row.median, 10),
        }),
      );
    const keyed = pipeline('wrong')
      .from(memory([], { schema: fields }))
      .keyBy('page');
    // @ts-expect-error there is no variance of a text, not in a pipeline either
    assert.throws(() => keyed.aggregate({ m: variance('user') }));
    const driver = testDriver(stream.to(collect()));
    driver.send(rows.slice(0, 2));
    driver.endEpoch();
    driver.send(rows.slice(2), { partition: 1 });
    driver.endEpoch();
    driver.close();
    const output = driver.output();
    assert.equal(output.length, 2);
    const { z, ...rest } = output.find((row) => row.page === '/') as Record<string, unknown>;
    // The median is 20 within 1 %.
    assert.ok(Math.abs((z as number) - 1) <= 0.021, String(z));
    assert.deepEqual(rest, {
      page: '/',
      n: 3,
      users: 2,
      about: 2,
      linear: 2,
      v: 100,
      sd: Math.sqrt(200 / 3),
      opened: 'ann',
      closed: 30,
      all: '[10,20,30]',
      top: '[{"value":"ann","count":2,"error":0}]',
      smooth: (30 + 20 / 2 + 10 / 4) / 1.75,
      perSecond: 0.75,
      lastUser: 'bob',
    });
  });

  test('over all rows so far, by event time where there is one', () => {
    const stream = pipeline('running')
      .from(memory([], { schema: fields }))
      .withWatermark('at', '1s')
      .keyBy('page')
      .aggregate({ opened: first('ms'), closed: last('user'), all: collect('user', { max: 2 }), users: countDistinct('user') })
      .to(collect());
    const driver = testDriver(stream);
    driver.send(rows.slice(1, 2));
    driver.endEpoch();
    driver.send([rows[0] as object as Record<string, unknown>, ...rows.slice(2)], { partition: 1 });
    driver.endEpoch();
    assert.deepEqual(
      driver.output().filter((row) => row.page === '/'),
      [
        { page: '/', opened: 30, closed: 'bob', all: '["bob"]', users: 1 },
        { page: '/', opened: 10, closed: 'bob', all: '["ann","ann"]', users: 2 },
      ],
    );
  });
});
