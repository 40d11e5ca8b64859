// PaneGrid against windows enumerated one by one; PaneRing against a sorted Map.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EVENT_TIME_MAX, PaneGrid, PaneRing } from '../../core/index.ts';
import { caseCount, fc } from '../seed.ts';

describe('PaneGrid', () => {
  const grid = fc
    .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), fc.integer({ min: -100, max: 100 }))
    .map(([a, b, offset]) => new PaneGrid(Math.max(a, b), Math.min(a, b), offset));

  test('puts a time into the panes of exactly the windows that hold it', () => {
    fc.assert(
      fc.property(grid, fc.integer({ min: -500, max: 500 }), (g, time) => {
        const pane = g.paneOf(time);
        assert.ok(g.paneStart(pane) <= time && time < g.paneEnd(pane));
        const holding: number[] = [];
        for (let window = -700; window <= 700; window++) if (g.windowStart(window) <= time && time < g.windowStart(window) + g.sizeMs) holding.push(window);
        const byPane = [];
        for (let window = -700; window <= 700; window++) if (g.firstPane(window) <= pane && pane <= g.lastPane(window)) byPane.push(window);
        assert.deepEqual(byPane, holding);
        assert.deepEqual([g.firstWindowOf(pane), g.lastWindowOf(pane)], [holding[0], holding.at(-1)]);
        assert.equal(g.paneExpiry(pane), g.windowStart(holding.at(-1) as number) + g.sizeMs);
      }),
    );
  });

  test('cuts panes at window starts and ends only', () => {
    fc.assert(
      fc.property(grid, (g) => {
        const cuts = new Set<number>();
        for (let window = -200; window <= 200; window++) cuts.add(g.windowStart(window)).add(g.windowEnd(window));
        for (let pane = g.firstPane(-10); pane <= g.firstPane(10); pane++) assert.ok(cuts.has(g.paneStart(pane)));
        assert.equal(g.paneStart(g.firstPane(3)), g.windowStart(3));
        assert.equal(g.paneEnd(g.lastPane(3)), g.windowEnd(3));
      }),
    );
  });

  test('finds the last window that has ended', () => {
    fc.assert(
      fc.property(grid, fc.integer({ min: -500, max: 500 }), (g, time) => {
        const window = g.lastWindowEndedBy(time);
        assert.ok(g.windowEnd(window) <= time && g.windowEnd(window + 1) > time);
      }),
    );
  });

  test('is exact at the ends of the calendar', () => {
    for (const g of [new PaneGrid(1, 1), new PaneGrid(7, 3, 2), new PaneGrid(86_400_000, 3_600_000, -1)]) {
      for (const time of [-EVENT_TIME_MAX, EVENT_TIME_MAX, -1, 0]) {
        const pane = g.paneOf(time);
        assert.ok(Number.isSafeInteger(pane) && g.paneStart(pane) <= time && time < g.paneEnd(pane), `${time}`);
      }
    }
  });
});

describe('PaneRing', () => {
  test('does what a sorted Map does', () => {
    const number = fc.oneof(fc.integer({ min: -20, max: 60 }), fc.constantFrom(-(2 ** 50), 2 ** 50, 1_000));
    const step = fc.oneof(
      fc.tuple(fc.constant('open' as const), number),
      fc.tuple(fc.constant('close' as const), number),
      fc.tuple(fc.constant('find' as const), number),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        let made = 0;
        let dropped = 0;
        const ring = new PaneRing<{ rows: number }>({
          make: () => (made++, { rows: 0 }),
          recycle: (state) => {
            state.rows = 0;
          },
          drop: () => dropped++,
        });
        const model = new Map<number, number>();
        for (const [what, pane] of steps) {
          if (what === 'open') {
            ring.open(pane).rows++;
            model.set(pane, (model.get(pane) ?? 0) + 1);
          } else if (what === 'close') {
            ring.closeBelow(pane);
            for (const known of [...model.keys()]) if (known < pane) model.delete(known);
          } else {
            assert.equal(ring.get(pane)?.rows, model.get(pane));
            const above = [...model.keys()].filter((known) => known >= pane).sort((a, b) => a - b)[0];
            const index = ring.indexFrom(pane);
            assert.equal(index < ring.size ? ring.number(index) : undefined, above);
          }
          const sorted = [...model].sort((a, b) => a[0] - b[0]);
          assert.deepEqual(
            Array.from({ length: ring.size }, (_, i) => [ring.number(i), ring.state(i).rows]),
            sorted,
          );
          assert.deepEqual([ring.first, ring.last], [sorted[0]?.[0] ?? Number.POSITIVE_INFINITY, sorted.at(-1)?.[0] ?? Number.NEGATIVE_INFINITY]);
        }
        ring.release();
        assert.equal(dropped, made);
      }),
      { numRuns: caseCount(300) },
    );
  });

  test('recycles: a stream of panes makes as many states as are open at a time', () => {
    let made = 0;
    const ring = new PaneRing<object>({ make: () => (made++, {}), recycle: () => {} });
    for (let pane = 0; pane < 1_000; pane++) {
      ring.open(pane);
      ring.closeBelow(pane - 3);
    }
    assert.equal(made, 5);
  });
});
