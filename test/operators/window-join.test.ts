// Windowed joins against pairs of arrays: any disorder, delay, lateness, cut into epochs; restored between epochs.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { planWindowJoin, session, sliding, tumbling, type WindowSpec } from '../../operators/index.ts';
import { fc } from '../seed.ts';
import {
  arrivals,
  assertSpreadMakesNoDifference,
  behind,
  epochs,
  isSameKey,
  left,
  options,
  PARTITIONS,
  RUNS,
  resultOf,
  right,
  watermarks,
} from './join-rows.ts';
import { type KeyedEpoch, normalized, runKeyed } from './keyed-harness.ts';

const shapes = fc.constantFrom(
  { window: tumbling(10), size: 10, slide: 10, offset: 0 },
  { window: tumbling(10, { offset: -3 }), size: 10, slide: 10, offset: -3 },
  { window: sliding(20, 10), size: 20, slide: 10, offset: 0 },
  { window: sliding(7, 3), size: 7, slide: 3, offset: 0 },
);
const types = fc.constantFrom('inner', 'left', 'right', 'full') as fc.Arbitrary<'inner' | 'left' | 'right' | 'full'>;

interface Shape {
  readonly window: WindowSpec;
  readonly size: number;
  readonly slide: number;
  readonly offset: number;
}

function windowsOf(time: number, { size, slide, offset }: Shape): number[] {
  const starts: number[] = [];
  for (let start = Math.floor((time - offset) / slide) * slide + offset; start + size > time; start -= slide) starts.push(start);
  return starts;
}

function model(all: readonly KeyedEpoch[], shape: Shape, latenessMs: number, type: string, delayMs: number) {
  const marks = watermarks(all, delayMs);
  const start = (epoch: number) => (epoch === 0 ? Number.NEGATIVE_INFINITY : (marks[epoch - 1] as number));
  const closes = (windowStart: number) => windowStart + shape.size + latenessMs;
  const rows = arrivals(all).flatMap((row) =>
    windowsOf(row.time, shape)
      .filter((windowStart) => closes(windowStart) > start(row.epoch))
      .map((windowStart) => ({ ...row, windowStart })),
  );
  const taken = new Set(rows.map(({ row }) => row));
  const results: { epoch: number; row: Record<string, unknown> }[] = [];
  for (const windowStart of new Set(rows.map((row) => row.windowStart))) {
    const inside = rows.filter((row) => row.windowStart === windowStart);
    const extra = { windowStart: windowStart + 0, windowEnd: windowStart + shape.size };
    const epoch = marks.findIndex((mark) => closes(windowStart) <= mark);
    const matched = new Set<unknown>();
    for (const l of inside.filter(({ input }) => input === 0)) {
      for (const r of inside.filter(({ input }) => input === 1)) {
        if (!isSameKey(l.row, r.row)) continue;
        matched.add(l).add(r);
        results.push({ epoch, row: { ...resultOf(l.row, r.row, extra) } });
      }
    }
    for (const row of inside) {
      if (matched.has(row) || (type !== 'full' && type !== (row.input === 0 ? 'left' : 'right'))) continue;
      results.push({ epoch, row: { ...resultOf(row.input === 0 ? row.row : undefined, row.input === 1 ? row.row : undefined, extra) } });
    }
  }
  return { results, lateCount: arrivals(all).filter(({ row }) => !taken.has(row)).length };
}

describe('windowed join', () => {
  test('gives what pairs of arrays give', () => {
    fc.assert(
      fc.property(
        fc.oneof(epochs, behind),
        options,
        shapes,
        types,
        fc.constantFrom(0, 15),
        (all, { workers, batchRows, delayMs, restoreAfter }, shape, type, latenessMs) => {
          const plan = planWindowJoin({ left, right, type, suffix: '_right', window: shape.window.lateness(latenessMs) });
          const columns = plan.output.fields.map((field) => field.name);
          const run = runKeyed(plan, all, {
            workers,
            spread: (chunk) => chunk,
            batchRows,
            partitions: PARTITIONS,
            delayMs,
            ...(restoreAfter === undefined ? {} : { restoreAfter }),
          });
          const expected = model(all, shape, latenessMs, type, delayMs);
          assert.deepEqual(normalized(run.results, columns), normalized(expected.results, columns));
          assert.equal(run.late.length, expected.lateCount);
          assert.equal(run.leakedBytes, 0);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('gives the same rows in the same order however chunks are spread, and whether or not it was restored', () => {
    fc.assert(
      fc.property(fc.oneof(epochs, behind), options, (all, how) => {
        const plan = planWindowJoin({ left, right, type: 'full', suffix: '_right', window: sliding(20, 10) });
        assertSpreadMakesNoDifference(plan, all, how);
      }),
      { numRuns: Math.ceil(RUNS / 5) },
    );
  });

  test('refuses windows that it cannot join in', () => {
    for (const window of [session(10), tumbling(10).emit('update')]) {
      assert.throws(() => planWindowJoin({ left, right, type: 'inner', suffix: '_right', window }), {
        code: 'ERR_MILLRACE_PIPELINE',
        message: /tumbling or sliding/,
      });
    }
  });
});
