// Interval joins against pairs of arrays: any disorder, delay, cut into epochs, number of partitioners; restored between epochs.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { planIntervalJoin } from '../../operators/index.ts';
import { fc } from '../seed.ts';
import {
  type Arrived,
  arrivals,
  assertSpreadMakesNoDifference,
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

const intervals = fc.constantFrom([0, 0], [5, 10], [0, 30], [30, 0], [-3, 20], [20, -3], [1_000, 1_000]) as fc.Arbitrary<[number, number]>;
const types = fc.constantFrom('inner', 'left', 'right', 'full') as fc.Arbitrary<'inner' | 'left' | 'right' | 'full'>;

function model(all: readonly KeyedEpoch[], [before, after]: [number, number], type: string, delayMs: number) {
  const marks = watermarks(all, delayMs);
  const start = (epoch: number) => (epoch === 0 ? Number.NEGATIVE_INFINITY : (marks[epoch - 1] as number));
  const ahead = [after, before];
  const hold = ahead.map((of) => Math.max(before + after, of));
  const rows = arrivals(all).filter(({ time, epoch, input }) => time >= start(epoch) - (hold[input] as number));
  const lateCount = arrivals(all).length - rows.length;
  const results: { epoch: number; row: Record<string, unknown> }[] = [];
  /** The epoch of the first pair of each row. */
  const met = new Map<Arrived, number>();
  rows.forEach((second, i) => {
    for (const first of rows.slice(0, i)) {
      if (first.input === second.input) continue;
      const [l, r] = first.input === 0 ? [first, second] : [second, first];
      if (!isSameKey(l.row, r.row) || r.time < l.time - before || r.time > l.time + after) continue;
      // Forgotten before the second came?
      if (first.epoch < second.epoch && first.time + (hold[first.input] as number) < start(second.epoch)) continue;
      results.push({ epoch: second.epoch, row: { ...resultOf(l.row, r.row, { joinTime: Math.max(l.time, r.time) }) } });
      for (const row of [l, r]) if (!met.has(row)) met.set(row, second.epoch);
    }
  });
  for (const row of rows) {
    if (type !== 'full' && type !== (row.input === 0 ? 'left' : 'right')) continue;
    const last = row.time + (ahead[row.input] as number);
    if (last < start(row.epoch)) continue;
    const decided = marks.findIndex((mark, epoch) => epoch >= row.epoch && last < mark);
    if ((met.get(row) ?? Number.POSITIVE_INFINITY) <= decided) continue;
    results.push({
      epoch: decided,
      row: { ...resultOf(row.input === 0 ? row.row : undefined, row.input === 1 ? row.row : undefined, { joinTime: row.time }) },
    });
  }
  return { results, lateCount };
}

describe('interval join', () => {
  test('gives what pairs of arrays give', () => {
    fc.assert(
      fc.property(epochs, options, intervals, types, (all, { workers, batchRows, delayMs, restoreAfter }, [beforeMs, afterMs], type) => {
        const plan = planIntervalJoin({ left, right, type, suffix: '_right', beforeMs, afterMs });
        const columns = plan.output.fields.map((field) => field.name);
        const run = runKeyed(plan, all, {
          workers,
          spread: (chunk) => chunk,
          batchRows,
          partitions: PARTITIONS,
          delayMs,
          ...(restoreAfter === undefined ? {} : { restoreAfter }),
        });
        const expected = model(all, [beforeMs, afterMs], type, delayMs);
        assert.deepEqual(normalized(run.results, columns), normalized(expected.results, columns));
        assert.equal(run.late.length, expected.lateCount);
        assert.equal(run.leakedBytes, 0);
      }),
      { numRuns: RUNS },
    );
  });

  test('gives the same rows in the same order however chunks are spread, and whether or not it was restored', () => {
    fc.assert(
      fc.property(epochs, options, (all, how) => {
        const plan = planIntervalJoin({ left, right, type: 'full', suffix: '_right', beforeMs: 5, afterMs: 10 });
        assertSpreadMakesNoDifference(plan, all, how);
      }),
      { numRuns: Math.ceil(RUNS / 5) },
    );
  });

  test('comes to the same results after a crash, from the rows that were held back', () => {
    const DELAY = 80;
    fc.assert(
      fc.property(epochs, intervals, types, fc.integer({ min: 0, max: 5 }), (random, [beforeMs, afterMs], type, crashAfter) => {
        // Time goes on from epoch to epoch, and no row is behind the watermark.
        const all = random.map((epoch, e) => ({
          ...epoch,
          chunks: epoch.chunks.map((chunk) => ({ ...chunk, rows: chunk.rows.map((row) => ({ ...row, at: e * 50 + ((row.at as number) % 40) })) })),
        }));
        const plan = planIntervalJoin({ left, right, type, suffix: '_right', beforeMs, afterMs });
        const columns = plan.output.fields.map((field) => field.name);
        const run = (part: readonly KeyedEpoch[], more: object) => {
          const { results } = runKeyed(plan, part, { workers: 1, spread: () => 0, batchRows: 8, partitions: PARTITIONS, delayMs: DELAY, ...more });
          return normalized(
            results.map(({ row }) => ({ epoch: 0, row })),
            columns,
          );
        };
        const crash = Math.min(crashAfter, all.length - 1);
        const watermark = watermarks(all, DELAY)[crash] as number;
        let held = Number.NEGATIVE_INFINITY;
        let from = 0;
        all.slice(0, crash + 1).forEach((epoch, e) => {
          for (const chunk of epoch.chunks) for (const row of chunk.rows) held = Math.max(held, plan.heldUntil(row.at as number, chunk.input ?? 0));
          if (held <= watermark) from = e + 1;
        });
        const before = run(all.slice(0, crash + 1), { closes: false });
        const after = run(all.slice(from), { watermark });
        const expected = normalized(
          model(all, [beforeMs, afterMs], type, DELAY).results.map(({ row }) => ({ epoch: 0, row })),
          columns,
        );
        assert.deepEqual([...new Set([...before, ...after])].sort(), [...new Set(expected)].sort());
      }),
      { numRuns: RUNS },
    );
  });

  test('holds no more than the interval: state does not grow with the stream', () => {
    const bytes = (epochCount: number) => {
      const all = Array.from(
        { length: epochCount },
        (_, e): KeyedEpoch => ({
          nowMs: 0,
          chunks: [0, 1].map((input) => ({
            partition: 0,
            input,
            first: e,
            rows: Array.from({ length: 300 }, (_, i) =>
              input === 0
                ? { user: `u${i}`, at: e * 100, size: 1, name: 'n', note: null, on: true }
                : { big: 1n, id: `u${i}`, name: null, at: e * 100, amount: 1 },
            ),
          })),
        }),
      );
      const plan = planIntervalJoin({ left, right, type: 'full', suffix: '_right', beforeMs: 150, afterMs: 150 });
      const run = runKeyed(plan, all, { workers: 1, spread: () => 0, batchRows: 4_096, partitions: 1, delayMs: 0, closes: false });
      assert.ok(run.results.length > 0);
      return run.stateBytes;
    };
    const [few, many] = [bytes(20), bytes(100)];
    assert.ok(many < few * 1.5, `${few} bytes after 20 epochs, ${many} after 100`);
  });
});
