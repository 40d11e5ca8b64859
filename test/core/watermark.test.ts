// The watermark against a plain restatement of its rule.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError, Watermark } from '../../core/index.ts';
import { fc } from '../seed.ts';

describe('Watermark', () => {
  test('is the minimum over the partitions that take part, less the delay, and never moves back', () => {
    const step = fc.tuple(fc.constantFrom('observe', 'observe', 'observe', 'idle', 'end', 'move'), fc.nat(2), fc.integer({ min: -1_000, max: 1_000 }));
    fc.assert(
      fc.property(fc.array(step), fc.nat(50), (steps, delayMs) => {
        let watermark = new Watermark({ delayMs }, 3);
        const max = [-Infinity, -Infinity, -Infinity];
        const state = ['active', 'active', 'active'];
        let expected = -Infinity;
        for (const [what, p, time] of steps) {
          if (what === 'observe') {
            watermark.observe(p, time);
            max[p] = Math.max(max[p] as number, time);
            if (state[p] === 'idle') state[p] = 'active';
          } else if (what === 'idle') {
            watermark.idle(p);
            if (state[p] === 'active') state[p] = 'idle';
          } else if (what === 'move') {
            // To another one, by way of all that it knows.
            const moved = new Watermark({ delayMs }, 3);
            moved.restoreAll(structuredClone(watermark.snapshotAll()));
            watermark = moved;
          } else {
            watermark.end(p);
            state[p] = 'ended';
          }
          const of = (wanted: string) => max.filter((_, i) => state[i] === wanted);
          const next = of('active').length > 0 ? Math.min(...of('active')) - delayMs : of('idle').length > 0 ? Math.max(...of('idle')) - delayMs : Infinity;
          expected = Math.max(expected, next);
          assert.equal(watermark.advance(), expected);
          assert.equal(watermark.current, expected);
        }
      }),
    );
  });

  test('is stored in each partition and comes back', () => {
    const before = new Watermark({ delayMs: 10 }, 3);
    before.observe(0, 500);
    before.observe(1, 300);
    before.observe(2, 900);
    before.advance();
    const after = new Watermark({ delayMs: 10 }, 3);
    after.restore(0, before.snapshot(0));
    after.restore(1, '');
    after.restore(2, before.snapshot(2));
    assert.equal(after.current, 290);
    assert.equal(after.advance(), 290);
    after.observe(1, 2_000);
    assert.equal(after.advance(), 490);
    for (const text of ['{', '7', '{"watermark":"x","max":1}', '{}']) {
      assert.throws(
        () => after.restore(0, text),
        (error: unknown) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_CHECKPOINT',
      );
    }
  });

  test('starts again from what it had when a bounded run has ended', () => {
    const before = new Watermark({ delayMs: 0 }, 1);
    before.observe(0, 500);
    before.advance();
    before.end(0);
    assert.equal(before.advance(), Infinity);
    const after = new Watermark({ delayMs: 0 }, 1);
    after.restore(0, before.snapshot(0));
    assert.equal(after.advance(), 500);
  });

  test('follows a rebalance', () => {
    const watermark = new Watermark({ delayMs: 0 }, [4, 7]);
    watermark.observe(4, 100);
    watermark.observe(7, 50);
    assert.equal(watermark.advance(), 50);
    watermark.assign([4, 9]);
    assert.equal(watermark.advance(), 50);
    watermark.observe(9, 80);
    assert.equal(watermark.advance(), 80);
    watermark.assign([]);
    assert.equal(watermark.advance(), 80);
    assert.equal(watermark.timeBound(1_000), Infinity);
    assert.equal(new Watermark({ delayMs: 0, maxSkewMs: 5 }, 1).timeBound(1_000), 1_005);
  });
});
