// Session windows against lists of arrays of rows: any disorder, delay, lateness, cut into epochs; restored between epochs.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, nullable, Schema, timestamp } from '../../core/index.ts';
import {
  approxCountDistinct,
  collect,
  count,
  countDistinct,
  type Emission,
  first,
  last,
  max,
  mean,
  min,
  planSession,
  rate,
  session,
  sum,
} from '../../operators/index.ts';
import { fc } from '../seed.ts';
import { assertSpreadMakesNoDifference, behind, epochs, left, options, PARTITIONS, RUNS } from './join-rows.ts';
import { type KeyedEpoch, normalized, runKeyed } from './keyed-harness.ts';
import { modelSessions, type Outcome } from './window-models.ts';

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

const outcome: Outcome = (rows, { start, end }) => {
  const sizes = rows.map((row) => row.size as number);
  const times = rows.map((row) => row.at as number);
  // Stable: of the same time, as they came.
  const inTime = [...rows].sort((a, b) => (a.at as number) - (b.at as number));
  const names = rows.map((row) => row.name as string).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const total = sizes.reduce((a, b) => a + b, 0);
  return [
    {
      rows: sizes.length,
      notes: rows.filter((row) => row.note !== null).length,
      total,
      least: Math.min(...times),
      greatest: sizes.some(Number.isNaN) ? Number.NaN : Math.max(...sizes),
      average: total / sizes.length,
      each: new Set(rows.map((row) => row.note).filter((note) => note !== null)).size,
      about: new Set(rows.map((row) => row.name)).size,
      opened: (inTime[0] as AnyRow).name,
      closed: (inTime.at(-1) as AnyRow).name,
      lowest: names[0],
      times: JSON.stringify(inTime.map((row) => row.at)),
      perSecond: sizes.length / ((end - start) / 1_000),
    },
  ];
};

const plan = (gap: number, latenessMs: number, emission: Emission, keys = ['user']) =>
  planSession({ input: left.schema, keys, aggregates, window: session(gap).lateness(latenessMs).emit(emission), eventTime: 'at' });

describe('session windows', () => {
  test('give what lists of rows give', () => {
    let leaked = 0;
    fc.assert(
      fc.property(
        fc.oneof(epochs, behind),
        options,
        gaps,
        fc.constantFrom(0, 15),
        fc.constantFrom('final', 'update', 'revise') as fc.Arbitrary<Emission>,
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
          const expected = modelSessions(all, { keys: ['user'], gap, latenessMs, emission, delayMs, partitions: PARTITIONS, outcome });
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

  test('with a gap for each row give what lists of rows give, also where one row joins many', () => {
    const input = new Schema([...left.schema.fields, { name: 'until', type: nullable(timestamp) }]);
    let leaked = 0;
    let most = 0;
    fc.assert(
      fc.property(
        fc.oneof(epochs, behind),
        options,
        fc.record({ short: fc.constantFrom(1, 3, 10), long: fc.constantFrom(10, 30, 120) }),
        fc.constantFrom(0, 15),
        fc.constantFrom('final', 'update', 'revise') as fc.Arbitrary<Emission>,
        (random, { workers, batchRows, delayMs, restoreAfter }, { short, long }, latenessMs, emission) => {
          const gapOf = (row: AnyRow) => (row.on === true && row.note !== null ? long : short);
          const all = random.map((epoch) => ({ ...epoch, chunks: epoch.chunks.filter(({ input }) => input === 0) }));
          const withEnds = all.map((epoch) => ({
            ...epoch,
            chunks: epoch.chunks.map((chunk) => ({ ...chunk, rows: chunk.rows.map((row) => ({ ...row, until: (row.at as number) + gapOf(row) })) })),
          }));
          const window = session(gapOf).lateness(latenessMs).emit(emission) as ReturnType<typeof session>;
          const operator = planSession({ input, keys: ['user'], aggregates, window, eventTime: 'at' }, 'until');
          const run = runKeyed(operator, withEnds, {
            workers,
            spread: (chunk) => chunk,
            batchRows,
            partitions: PARTITIONS,
            delayMs,
            ...(restoreAfter === undefined ? {} : { restoreAfter }),
          });
          const expected = modelSessions(all, { keys: ['user'], gap: gapOf, latenessMs, emission, delayMs, partitions: PARTITIONS, outcome });
          const columns = operator.output.fields.map((field) => field.name);
          assert.ok(!columns.includes('until'));
          assert.deepEqual(normalized(run.results, columns), normalized(expected.results, columns));
          assert.equal(run.late.length, expected.lateCount);
          most = Math.max(most, expected.mergedMost);
          leaked = Math.max(leaked, run.leakedBytes);
          assert.ok(leaked < 1 << 20, `${leaked} bytes leaked`);
        },
      ),
      // So many, however small the effort: a row that joins more than two sessions is rare.
      { numRuns: Math.max(RUNS, 100) },
    );
    assert.ok(most > 2, `no row joined more than ${most} sessions`);
  });

  test('give the same rows in the same order however chunks are spread, and whether or not they were restored', () => {
    fc.assert(
      fc.property(epochs, options, gaps, (random, how, gap) => {
        const all = random.map((epoch) => ({ ...epoch, chunks: epoch.chunks.filter(({ input }) => input === 0) }));
        assertSpreadMakesNoDifference(plan(gap, 0, 'final', []), all, how);
      }),
      { numRuns: Math.ceil(RUNS / 5) },
    );
  });

  test('give memory back: closed sessions leave the table', () => {
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
