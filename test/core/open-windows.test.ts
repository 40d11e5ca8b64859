// OpenWindows against windows enumerated one by one, infinities among the watermarks and times.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CumulativeGrid, OpenWindows, PaneGrid } from '../../core/index.ts';
import { fc } from '../seed.ts';

const LIMIT = 700;
const sliding = fc
  .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), fc.integer({ min: -100, max: 100 }))
  .map(([a, b, offset]): PaneGrid => new PaneGrid(Math.max(a, b), Math.min(a, b), offset));
const cumulative = fc
  .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 20 }))
  .map(([steps, step]): PaneGrid => new CumulativeGrid(steps * step, step));
const windows = fc.tuple(fc.oneof(sliding, cumulative), fc.integer({ min: 0, max: 90 })).map(([grid, lateness]) => new OpenWindows(grid, lateness));
const time = fc.integer({ min: -250, max: 250 });
const anyTime = fc.oneof({ weight: 8, arbitrary: time }, { weight: 1, arbitrary: fc.constantFrom(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY) });

/** Every window near the times, as start and end: by what windows are, not by the grid's divisions. */
function enumerated({ grid }: OpenWindows): { readonly window: number; readonly start: number; readonly end: number }[] {
  const all = [];
  for (let window = -LIMIT; window <= LIMIT; window++) {
    let start = window * grid.slideMs + grid.offsetMs;
    let end = start + grid.sizeMs;
    if (grid instanceof CumulativeGrid) {
      const place = ((window % grid.panesPerWindow) + grid.panesPerWindow) % grid.panesPerWindow;
      start = (window - place) * grid.slideMs;
      end = (window + 1) * grid.slideMs;
    }
    all.push({ window, start, end });
  }
  return all;
}

test('the first open window is the first whose end and lateness the watermark has not reached', () => {
  fc.assert(
    fc.property(windows, anyTime, (w, watermark) => {
      const open = enumerated(w).filter(({ end }) => end + w.latenessMs > watermark);
      if (Number.isFinite(watermark)) {
        assert.equal(w.firstOpen(watermark), open[0]?.window);
        assert.equal(w.firstNotEnded(watermark), enumerated(w).find(({ end }) => end > watermark)?.window);
        assert.equal(w.lateBefore(watermark), open[0]?.start);
        assert.equal(w.firstOpenPane(watermark), w.grid.paneOf(open[0]?.start as number));
      } else {
        // All of them, or none.
        assert.equal(open.length, watermark < 0 ? 2 * LIMIT + 1 : 0);
        for (const found of [w.firstOpen(watermark), w.firstNotEnded(watermark), w.lateBefore(watermark), w.firstOpenPane(watermark)])
          assert.equal(found, watermark);
      }
    }),
  );
});

test('a row is late where none of its windows is open, and held until the last of them closes', () => {
  fc.assert(
    fc.property(windows, time, anyTime, (w, at, watermark) => {
      const closes = enumerated(w)
        .filter(({ start, end }) => start <= at && at < end)
        .map(({ end }) => end + w.latenessMs);
      assert.equal(w.heldUntil(at), Math.max(...closes));
      assert.equal(w.paneHeldUntil(w.grid.paneOf(at)), Math.max(...closes));
      assert.equal(at < w.lateBefore(watermark), Math.max(...closes) <= watermark);
    }),
  );
});

test('no row is held by nothing, a row without a time for ever', () => {
  fc.assert(
    fc.property(windows, fc.constantFrom(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY), (w, at) => {
      assert.equal(w.heldUntil(at), at);
      assert.equal(w.paneHeldUntil(at), at);
      assert.equal(w.grid.paneOf(at), at);
      assert.equal(w.grid.paneStart(at), at);
    }),
  );
});

test('the windows that close are those with rows, each once, in their order', () => {
  fc.assert(
    fc.property(windows, fc.array(time, { maxLength: 12 }), anyTime, anyTime, (w, rows, a, b) => {
      const [before, after] = [Math.min(a, b), Math.max(a, b)];
      const held = rows.filter((at) => at >= w.lateBefore(before));
      const expected = enumerated(w)
        .filter(({ start, end }) => end + w.latenessMs > before && end + w.latenessMs <= after && held.some((at) => start <= at && at < end))
        .map(({ window }) => window);
      let panes = held.map((at) => w.grid.paneOf(at));
      const closed: number[] = [];
      w.eachClosed(
        w.firstOpen(before),
        w.firstOpen(after),
        () => Math.min(...panes),
        (window) => {
          closed.push(window);
          panes = panes.filter((pane) => pane >= w.grid.firstPane(window + 1));
        },
      );
      assert.deepEqual(closed, expected);
    }),
  );
});
