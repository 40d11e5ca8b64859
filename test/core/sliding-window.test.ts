// SlidingWindow against rows in an array.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMemory, MillraceError, SlabAllocator, SlidingWindow, type SlidingWindowOptions, type SlidingWindowResult } from '../../core/index.ts';
import { caseCount, fc } from '../seed.ts';

describe('SlidingWindow', () => {
  test('does what its example says', () => {
    const window = new SlidingWindow({ size: '1m', slide: '10s', aggregates: ['count', 'mean'] });
    window.add(Float64Array.of(1_000, 12_000), Uint32Array.of(7, 7), Float64Array.of(1.5, 2.5));
    const lines: unknown[] = [];
    window.advance(20_000, ({ windowEnd, keys, mean }) => lines.push([windowEnd, keys[0], mean?.[0]]));
    assert.deepEqual(lines, [
      [10_000, 7, 1.5],
      [20_000, 7, 2],
    ]);
  });

  test('gives for each window what the rows in it give', () => {
    const slabs = new SlabAllocator(createMemory(64 << 20));
    const rowOf = fc.tuple(
      fc.integer({ min: -200, max: 400 }),
      fc.integer({ min: -2, max: 3 }),
      fc.oneof(
        { weight: 20, arbitrary: fc.integer({ min: -100, max: 100 }).map((n) => n / 4) },
        { weight: 1, arbitrary: fc.constantFrom(Infinity, Number.NaN) },
      ),
    );
    const options = fc.constantFrom<SlidingWindowOptions>(
      { size: 100, slide: 10 },
      { size: 100, slide: 10, aggregates: ['sum', 'mean'] },
      { size: 50 },
      { size: 70, slide: 30, aggregates: ['count', 'sum'], lateness: 20 },
      { size: 30, slide: 20, aggregates: ['max'] },
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.array(rowOf, { maxLength: 30 }), fc.nat(120)), { maxLength: 8 }),
        options,
        fc.constantFrom('i32', 'f64' as const),
        (steps, option, key) => {
          const window = new SlidingWindow({ ...option, key: key as 'i32', slabs });
          const size = option.size as number;
          const slide = (option.slide ?? size) as number;
          const lateness = (option.lateness ?? 0) as number;
          const open = new Map<number, [number, number][]>();
          let watermark = -Infinity;
          const check = (to: number) => {
            watermark = to;
            const results: SlidingWindowResult[] = [];
            window.advance(to, (result) => results.push(result));
            const due = [...open].filter(([start]) => start + size + lateness <= to).sort((a, b) => a[0] - b[0]);
            for (const [start] of due) open.delete(start);
            assert.deepEqual(
              results.map((r) => [r.windowStart, r.windowEnd]),
              due.map(([start]) => [start, start + size]),
            );
            results.forEach((result, i) => {
              const rows = (due[i] as [number, [number, number][]])[1];
              const keys = [...new Set(rows.map(([k]) => k))].sort((a, b) => a - b);
              const order = [...result.keys.keys()].sort((a, b) => (result.keys[a] as number) - (result.keys[b] as number));
              assert.deepEqual(
                order.map((at) => result.keys[at]),
                keys,
              );
              keys.forEach((k, g) => {
                const values = rows.filter(([of]) => of === k).map(([, v]) => v);
                const sum = values.reduce((a, b) => a + b, 0);
                const real = values.filter((v) => !Number.isNaN(v));
                const expected = {
                  count: values.length,
                  sum,
                  mean: sum / values.length,
                  min: real.length > 0 ? Math.min(...real) : Number.NaN,
                  max: Math.max(...values),
                };
                for (const name of ['count', 'sum', 'mean', 'min', 'max'] as const) {
                  if (option.aggregates?.includes(name) ?? true) assert.equal(result[name]?.[order[g] as number], expected[name], name);
                  else assert.equal(result[name], undefined);
                }
              });
            });
          };
          let late = 0;
          let time = 0;
          let lateCount = 0;
          for (const [rows, step] of steps) {
            for (const [at, k, v] of rows) {
              let isLate = true;
              for (let start = Math.floor(at / slide) * slide; start > at - size; start -= slide) {
                if (start + size + lateness <= watermark) continue;
                isLate = false;
                open.set(start, [...(open.get(start) ?? []), [k, v]]);
              }
              if (isLate) late++;
            }
            const keys = key === 'f64' ? Float64Array.from(rows, (r) => r[1]) : Int32Array.from(rows, (r) => r[1]);
            lateCount += window.add(
              Float64Array.from(rows, (r) => r[0]),
              keys,
              Float64Array.from(rows, (r) => r[2]),
            );
            check((time += step));
          }
          assert.equal(lateCount, late);
          check(Infinity);
          window.release();
        },
      ),
      { numRuns: caseCount(250) },
    );
  });

  test('leaves out times that are no times, and says so', () => {
    const window = new SlidingWindow({ size: 10, slabs: new SlabAllocator(createMemory(8 << 20)) });
    assert.equal(window.add(Float64Array.of(Number.NaN, Infinity, -1e300, 5), new Uint32Array(4), new Float64Array(4)), 3);
    assert.ok(window.bytes > 0);
  });

  test('refuses options that cannot be', () => {
    for (const options of [
      { size: 0 },
      { size: 10, slide: 20 },
      { size: 10, key: 'utf8' },
      { size: 10, aggregates: ['median'] },
      { size: 10, aggregates: [] },
    ]) {
      assert.throws(
        () => new SlidingWindow(options as unknown as SlidingWindowOptions),
        (error: unknown) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION',
      );
    }
  });
});
