// Interval joins against pairs of arrays: any disorder, delay, cut into epochs, number of partitioners; restored between epochs.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { planIntervalJoin } from '../../operators/index.ts';
import { fc } from '../seed.ts';
import {
  type Arrived,
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

const intervals = fc.constantFrom([0, 0], [5, 10], [0, 10], [0, 30], [30, 0], [-3, 20], [20, -3], [100, 100], [1_000, 1_000]) as fc.Arbitrary<[number, number]>;
const types = fc.constantFrom('inner', 'left', 'right', 'full') as fc.Arbitrary<'inner' | 'left' | 'right' | 'full'>;

/** A row, and what has become of it. */
interface Held extends Arrived {
  pairs: number;
  alone: number;
}

/** Epoch by epoch, over arrays that nothing is taken out of. */
function model(all: readonly KeyedEpoch[], [before, after]: [number, number], type: string, delayMs: number) {
  const marks = watermarks(all, delayMs);
  const arrived = arrivals(all);
  const ahead = [after, before];
  const hold = [after + Math.max(before, 0), before + Math.max(after, 0)];
  const isKept = (input: number) => type === 'full' || type === (input === 0 ? 'left' : 'right');
  // When nothing can come of a row any more: no match that is not late itself, or, where it would come out alone, the time for that.
  const useful = ahead.map((of, input) => (isKept(input) ? Math.max(of, 0) : (hold[input] as number)));
  const results: { epoch: number; row: Record<string, unknown> }[] = [];
  const rows: Held[] = [];
  const late: Arrived[] = [];
  marks.forEach((mark, epoch) => {
    const start = epoch === 0 ? Number.NEGATIVE_INFINITY : (marks[epoch - 1] as number);
    for (const arrival of arrived.filter((row) => row.epoch === epoch)) {
      const { input, time } = arrival;
      if (time < start - (useful[input] as number)) {
        late.push(arrival);
        continue;
      }
      const second: Held = { ...arrival, pairs: 0, alone: 0 };
      for (const first of rows) {
        if (first.input === input || first.alone > 0 || first.time + (hold[first.input] as number) < start) continue;
        const [l, r] = input === 0 ? [second, first] : [first, second];
        if (!isSameKey(l.row, r.row) || r.time < l.time - before || r.time > l.time + after) continue;
        first.pairs++;
        second.pairs++;
        results.push({ epoch, row: { ...resultOf(l.row, r.row, { joinTime: Math.max(l.time, r.time) }) } });
      }
      rows.push(second);
    }
    for (const row of rows) {
      if (!isKept(row.input) || row.pairs > 0 || row.alone > 0 || row.time + (ahead[row.input] as number) >= mark) continue;
      row.alone++;
      results.push({ epoch, row: { ...resultOf(row.input === 0 ? row.row : undefined, row.input === 1 ? row.row : undefined, { joinTime: row.time }) } });
    }
  });
  // What every outer join promises: each row of a kept side comes alone, once, or with its matches, or is late.
  for (const { input, pairs, alone } of rows) if (isKept(input)) assert.equal(alone, pairs === 0 ? 1 : 0);
  return { results, lateCount: late.length, late };
}

describe('interval join', () => {
  test('gives what pairs of arrays give', () => {
    fc.assert(
      fc.property(fc.oneof(epochs, behind), options, intervals, types, (all, { workers, batchRows, delayMs, restoreAfter }, [beforeMs, afterMs], type) => {
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
      fc.property(fc.oneof(epochs, behind), options, (all, how) => {
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
        const after = run(all.slice(from), { watermark, replayedEpochs: crash + 1 - from });
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
