// Session windows against lists of arrays of rows: any disorder, delay, lateness, cut into epochs; restored between epochs.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { AnyRow } from '../../core/index.ts';
import { approxCountDistinct, collect, count, countDistinct, first, last, max, mean, min, planSession, rate, session, sum } from '../../operators/index.ts';
import { arrivals, epochs, left, options, PARTITIONS, RUNS, watermarks } from './join-rows.ts';
import { type KeyedEpoch, normalized, runKeyed, shownValue } from './keyed-harness.ts';

const aggregates = {
  rows: count(),
  notes: count('note'),
  total: sum('size'),
  least: min('at'),
  greatest: max('size'),
  average: mean('size'),
  each: countDistinct('note'),
  about: approxCountDistinct('name'),
  opened: first('name'),
  closed: last('name'),
  lowest: min('name'),
  times: collect('at'),
  perSecond: rate(),
};
const gaps = fc.constantFrom(1, 7, 20, 100);

interface Session {
  readonly key: string;
  rows: AnyRow[];
  changed: boolean;
}

const times = (of: Session) => of.rows.map((row) => row.at as number);

function resultOf(of: Session, gap: number): AnyRow {
  const sizes = of.rows.map((row) => row.size as number);
  // Stable: of the same time, as they came.
  const inTime = [...of.rows].sort((a, b) => (a.at as number) - (b.at as number));
  const names = of.rows.map((row) => row.name as string).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const total = sizes.reduce((a, b) => a + b, 0);
  return {
    user: (of.rows[0] as AnyRow).user,
    windowStart: Math.min(...times(of)),
    windowEnd: Math.max(...times(of)) + gap,
    rows: sizes.length,
    notes: of.rows.filter((row) => row.note !== null).length,
    total,
    least: Math.min(...times(of)),
    greatest: sizes.some(Number.isNaN) ? Number.NaN : Math.max(...sizes),
    average: total / sizes.length,
    each: new Set(of.rows.map((row) => row.note).filter((note) => note !== null)).size,
    about: new Set(of.rows.map((row) => row.name)).size,
    opened: (inTime[0] as AnyRow).name,
    closed: (inTime.at(-1) as AnyRow).name,
    lowest: names[0],
    times: JSON.stringify(inTime.map((row) => row.at)),
    perSecond: sizes.length / ((Math.max(...times(of)) + gap - Math.min(...times(of))) / 1_000),
  };
}

function model(all: readonly KeyedEpoch[], gap: number, latenessMs: number, emission: string, delayMs: number) {
  const marks = watermarks(all, delayMs);
  const rows = arrivals(all);
  let open: Session[] = [];
  let lateCount = 0;
  const results: { epoch: number; row: AnyRow }[] = [];
  marks.forEach((mark, epoch) => {
    const before = epoch === 0 ? Number.NEGATIVE_INFINITY : (marks[epoch - 1] as number);
    for (const { row, time } of rows.filter((of) => of.epoch === epoch)) {
      if (time + gap + latenessMs < before) {
        lateCount++;
        continue;
      }
      const key = shownValue(row.user);
      const near = open.filter((of) => of.key === key && times(of).some((other) => Math.abs(other - time) <= gap));
      open = open.filter((of) => !near.includes(of));
      open.push({ key, rows: [...near.flatMap((of) => of.rows), row], changed: true });
    }
    const isDue = (of: Session) => Math.max(...times(of)) + gap + latenessMs < mark;
    for (const of of open) {
      if (emission === 'update' ? of.changed : isDue(of)) results.push({ epoch, row: resultOf(of, gap) });
      of.changed = false;
    }
    open = open.filter((of) => !isDue(of));
  });
  return { results, lateCount };
}

const plan = (gap: number, latenessMs: number, emission: 'final' | 'update', keys = ['user']) =>
  planSession({ input: left.schema, keys, aggregates, window: session(gap).lateness(latenessMs).emit(emission), eventTime: 'at' });

describe('session windows', () => {
  it('give what lists of rows give', () => {
    let leaked = 0;
    fc.assert(
      fc.property(
        epochs,
        options,
        gaps,
        fc.constantFrom(0, 15),
        fc.constantFrom('final', 'update') as fc.Arbitrary<'final' | 'update'>,
        (random, { workers, batchRows, delayMs, restoreAfter }, gap, latenessMs, emission) => {
          const all = random.map((epoch) => ({ ...epoch, chunks: epoch.chunks.filter(({ input }) => input === 0) }));
          const operator = plan(gap, latenessMs, emission);
          const run = runKeyed(operator, all, {
            workers,
            spread: (chunk) => chunk,
            batchRows,
            partitions: PARTITIONS,
            delayMs,
            ...(restoreAfter === undefined ? {} : { restoreAfter }),
          });
          const expected = model(all, gap, latenessMs, emission, delayMs);
          const columns = operator.output.fields.map((field) => field.name);
          // Sums of small whole numbers are exact in any order.
          assert.deepEqual(normalized(run.results, columns), normalized(expected.results, columns));
          assert.equal(run.late.length, expected.lateCount);
          // All but the work space of a thread's group tables, which is there once.
          leaked = Math.max(leaked, run.leakedBytes);
          assert.ok(leaked < 1 << 20, `${leaked} bytes leaked`);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('give the same rows in the same order however chunks are spread, and whether or not they were restored', () => {
    fc.assert(
      fc.property(epochs, options, gaps, (random, { batchRows, delayMs }, gap) => {
        const all = random.map((epoch) => ({ ...epoch, chunks: epoch.chunks.filter(({ input }) => input === 0) }));
        const run = (workers: number, restore: number | undefined) =>
          runKeyed(plan(gap, 0, 'final', []), all, {
            workers,
            spread: (chunk) => chunk * 5,
            batchRows,
            partitions: PARTITIONS,
            delayMs,
            ...(restore === undefined ? {} : { restoreAfter: restore }),
          }).results;
        assert.deepEqual(run(3, 1), run(1, undefined));
      }),
      { numRuns: RUNS / 5 },
    );
  });

  it('give memory back: closed sessions leave the table', () => {
    const bytes = (epochCount: number) => {
      const all = Array.from(
        { length: epochCount },
        (_, e): KeyedEpoch => ({
          nowMs: 0,
          chunks: [
            {
              partition: 0,
              first: e,
              rows: Array.from({ length: 2_000 }, (_, i) => ({ user: `u${e}-${i}`, at: e * 100 + (i % 7), size: 1, name: 'n', note: null, on: true })),
            },
          ],
        }),
      );
      const run = runKeyed(plan(50, 0, 'final'), all, { workers: 1, spread: () => 0, batchRows: 4_096, partitions: 1, delayMs: 0, closes: false });
      assert.equal(run.results.length, (epochCount - 1) * 2_000);
      return run.stateBytes;
    };
    const [few, many] = [bytes(20), bytes(60)];
    assert.ok(many < few * 1.5, `${few} bytes after 20 epochs, ${many} after 60`);
  });
});
