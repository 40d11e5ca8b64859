/** Outer joins by time with rows behind the watermark: each row comes alone, or with its matches, or is late. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, f64, memory, pipeline, timestamp, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

/** A join whose rows are all of one key; `send` takes times, and ends the epoch. Outputs: pairs of times, late ones of the left, of the right. */
function join(type: 'left' | 'right' | 'full', before: number, after: number) {
  const p = pipeline('outer');
  const left = p.from(memory([], { schema: { k: utf8, l: f64, at: timestamp } })).withWatermark('at', 0);
  const right = p.from(memory([], { schema: { k: utf8, r: f64, at: timestamp } })).withWatermark('at', 0);
  const joined = left.keyBy('k').join(right.keyBy('k'), { within: [before, after] as never, type });
  const [pairs, late, lateRight] = [collect(), collect(), collect()];
  joined.to(pairs);
  joined.late.to(late);
  joined.lateRight.to(lateRight);
  const driver = testDriver(joined, { partitions: 1 });
  return {
    driver,
    send(lefts: readonly number[], rights: readonly number[]) {
      driver.send(
        0,
        lefts.map((at) => ({ k: 'a', l: at, at })),
      );
      driver.send(
        1,
        rights.map((at) => ({ k: 'a', r: at, at })),
      );
      driver.endEpoch();
    },
    /** Moves the watermark, by rows of other keys. */
    mark(at: number) {
      driver.send(0, [{ k: 'left mark', l: at, at }]);
      driver.send(1, [{ k: 'right mark', r: at, at }]);
      driver.endEpoch();
    },
    get pairs() {
      return driver
        .output(0)
        .filter((row) => row.k === 'a')
        .map((row) => [row.l, row.r]);
    },
    get late() {
      return driver.output(1).map((row) => row.l);
    },
    get lateRight() {
      return driver.output(2).map((row) => row.r);
    },
  };
}

test('a row that may come out alone, and for which it is too late to, is late', () => {
  const full = join('full', 0, 10);
  full.mark(112);
  full.send([], [105]);
  assert.deepEqual([full.pairs, full.late, full.lateRight], [[], [], [105]]);
  const left = join('left', 100, 100);
  left.mark(1_050);
  left.send([940], []);
  assert.deepEqual([left.pairs, left.late, left.driver.counts.get('late')], [[], [940], 1]);
});

test('a row that came out alone is not joined afterwards, and what comes then waits for others', () => {
  const left = join('left', 5, 10);
  left.send([100], []);
  left.mark(112);
  assert.deepEqual(left.pairs, [[100, null]]);
  left.send([], [108]);
  assert.deepEqual([left.pairs, left.lateRight], [[[100, null]], []]);
  // 108 is in the state still: 110 may come yet, as 112 is within ten of it.
  left.send([110], []);
  assert.deepEqual(left.pairs, [
    [100, null],
    [110, 108],
  ]);
});

test('a row that is not behind the watermark comes out alone though its matches can only lie behind it', () => {
  for (const [type, lefts, rights, alone] of [
    ['right', [], [113], [null, 113]],
    ['left', [113], [], [113, null]],
  ] as const) {
    const outer = type === 'right' ? join('full', -3, 20) : join('full', 20, -3);
    outer.mark(112);
    outer.send(lefts, rights);
    assert.deepEqual([outer.pairs, outer.driver.counts.get('late')], [[alone], 0]);
  }
});

test('a row behind the watermark that is not decided yet finds its matches', () => {
  const full = join('full', 5, 10);
  full.send([100], []);
  full.mark(109);
  full.send([], [104]);
  assert.deepEqual(full.pairs, [[100, 104]]);
  full.mark(200);
  full.driver.close();
  assert.deepEqual(full.pairs, [[100, 104]]);
  assert.equal(full.driver.counts.get('late'), 0);
});
