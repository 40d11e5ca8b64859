// Every aggregate in every kind of window that is not sliding (aggregates-model.test.ts has those) against arrays: sessions, cumulative, count and global windows, with
// aggregators beside, restores and cuts; and reduce and top in sessions.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, createMemory, SlabAllocator } from '../../core/index.ts';
import {
  type AnyAggregate,
  countWindow,
  cumulative,
  type Emission,
  globalWindow,
  planAggregate,
  planMixed,
  planRowWindow,
  planSession,
  planSessionFold,
  type RowFold,
  type RowWindowShape,
  rate,
  reduceFold,
  session,
  topFold,
  type WindowSpec,
} from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { CASES, type Case, close, compareResults, epochs, exact, input, PARTITIONS } from './aggregate-cases.ts';
import { type Epoch, type ModelAggregate, modelEpochs, runEpochs } from './aggregate-harness.ts';
import { type KeyedEpoch, normalized, runKeyed } from './keyed-harness.ts';
import { UNORDERED } from './user-aggregate-cases.ts';
import { modelRowWindows, modelSessions, type Outcome } from './window-models.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(80);

const RATES: Readonly<Record<string, Case>> = {
  perSecond: [rate(), (rows, { start, end }) => rows.length / ((end - start) / 1_000), exact],
  msPerSecond: [
    rate('maybe'),
    (rows, { start, end }) => {
      const values = rows.map((row) => row.maybe as number | null).filter((value) => value !== null);
      return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / ((end - start) / 1_000);
    },
    close(1e-15),
  ],
};
const BUILT_IN = { ...CASES, ...RATES };
const ALL: Readonly<Record<string, readonly [AnyAggregate, ModelAggregate, Case[2]]>> = { ...BUILT_IN, ...UNORDERED };
const builtIns = fc.subarray(Object.keys(BUILT_IN), { minLength: 1, maxLength: 14 });
const mixed = fc
  .tuple(fc.subarray(Object.keys(BUILT_IN), { maxLength: 8 }), fc.subarray(Object.keys(UNORDERED), { minLength: 1, maxLength: 3 }))
  .map(([a, b]) => [...a, ...b]);
const names = fc.oneof(builtIns, mixed);

const isMixed = (chosen: readonly string[]) => chosen.some((name) => name in UNORDERED);
const aggregatesOf = <A>(cases: Readonly<Record<string, readonly [A, ...unknown[]]>>, chosen: readonly string[]): Record<string, A> =>
  Object.fromEntries(chosen.map((name) => [name, (cases[name] as readonly [A])[0]]));
const outcomeOf =
  (chosen: readonly string[]): Outcome =>
  (rows, bounds) => [Object.fromEntries(chosen.map((name) => [name, (ALL[name] as Case)[1](rows, bounds)]))];
const keyed = (stream: readonly Epoch[], stepMs = 0): KeyedEpoch[] => stream.map((chunks, e) => ({ nowMs: 1_000 + e * stepMs, chunks }));
const how = fc.record({ workers: fc.integer({ min: 1, max: 3 }), batchRows: fc.constantFrom(8, 64), restoreAfter: fc.integer({ min: 0, max: 6 }) });

describe('every aggregate against arrays', () => {
  test('in sessions', () => {
    fc.assert(
      fc.property(
        epochs,
        fc.constantFrom<string[]>(['page'], ['page', 'ok'], ['note', 'page']),
        names,
        fc.constantFrom(1, 100, 700),
        fc.constantFrom(0, 200),
        fc.constantFrom<Emission>('final', 'update', 'revise'),
        fc.constantFrom(0, 300),
        how,
        (stream, keys, chosen, gap, latenessMs, emission, delayMs, run) => {
          const plan = planSession({
            input,
            keys,
            aggregates: aggregatesOf(ALL, chosen),
            window: session(gap).lateness(latenessMs).emit(emission),
            eventTime: 'at',
          });
          const all = keyed(stream);
          const got = runKeyed(plan, all, { ...run, spread: (chunk) => chunk * 3, partitions: PARTITIONS, delayMs });
          const expected = modelSessions(all, { keys, gap, latenessMs, emission, delayMs, partitions: PARTITIONS, outcome: outcomeOf(chosen) });
          compareResults(got.results, expected.results, chosen, keys, ALL);
          assert.equal(got.late.length, expected.lateCount);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('in cumulative windows', () => {
    fc.assert(
      fc.property(
        epochs,
        builtIns,
        fc.constantFrom<[number, number]>([1_000, 250], [600, 100], [3_000, 1_000]),
        fc.constantFrom(0, 50, 1_500),
        fc.constantFrom<Emission>('final', 'update', 'revise'),
        fc.option(fc.nat(5), { nil: undefined }),
        fc.constantFrom(undefined, 1, 8, 64),
        (stream, chosen, [sizeMs, stepMs], lateness, emission, restoreAfter, parts) => {
          const spec: WindowSpec = cumulative(sizeMs, stepMs).lateness(lateness).emit(emission);
          const plan = planAggregate({ input, keys: ['page'], aggregates: aggregatesOf(BUILT_IN, chosen), window: spec, eventTime: 'at' });
          const options = {
            combiners: 2,
            spread: (chunk: number) => chunk,
            batchRows: 8,
            delayMs: 100,
            partitions: PARTITIONS,
            ...(parts !== undefined && { parts }),
          };
          const slabs = new SlabAllocator(createMemory(32 << 20));
          const got = runEpochs(plan, stream, { ...options, ...(restoreAfter === undefined ? {} : { restoreAfter, slabs }) });
          const model = modelEpochs(stream, {
            keys: ['page'],
            aggregates: Object.fromEntries(chosen.map((name) => [name, (ALL[name] as Case)[1]])),
            window: { sizeMs, slideMs: sizeMs, offsetMs: 0, stepMs, spec },
            delayMs: 100,
            partitions: PARTITIONS,
          });
          compareResults(got.results, model.results, chosen, ['page'], ALL);
        },
      ),
      { numRuns: Math.ceil(RUNS / 2) },
    );
  });

  test('in windows of rows, counted and global', () => {
    const windows = fc.oneof(
      fc.constantFrom([1, 1], [3, 3], [3, 1], [5, 2]).map(([n, slide]) => countWindow(n as number, { slide: slide as number })),
      fc
        .record({ count: fc.constantFrom(undefined, 1, 3, 50), time: fc.constantFrom(undefined, 1, 400), purge: fc.boolean() })
        .map(({ count: rows, time, purge }) =>
          globalWindow({ ...(rows === undefined ? {} : { count: rows }), ...(time === undefined ? {} : { time }), purge }),
        ),
    );
    fc.assert(
      fc.property(
        epochs,
        fc.constantFrom<string[]>(['page'], ['page', 'ok'], ['note', 'page']),
        names,
        windows,
        fc.constantFrom(0, 300),
        how,
        (stream, keys, chosen, spec, delayMs, run) => {
          const shape = spec.shape as RowWindowShape;
          const request = { input, keys, eventTime: 'at', hasBounds: true };
          const evaluation = isMixed(chosen)
            ? planMixed({ ...request, aggregates: aggregatesOf(ALL, chosen) }, false)
            : planAggregate({ ...request, aggregates: aggregatesOf(BUILT_IN, chosen) });
          const plan = planRowWindow({ input, keys, shape, evaluation, eventTime: 'at', timeShiftMs: 0, title: String(spec) });
          const all = keyed(stream);
          const got = runKeyed(plan, all, { ...run, spread: (chunk) => chunk * 3, partitions: PARTITIONS, delayMs });
          const expected = modelRowWindows(all, { shape, keys, delayMs, partitions: PARTITIONS, outcome: outcomeOf(chosen) });
          // A key may have several windows in an epoch, of the same bounds, too.
          assert.equal(got.results.length, expected.length);
          compareInTurn(got.results, expected, chosen, keys);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

type Results = readonly { readonly epoch: number; readonly row: AnyRow }[];
/** Key by key, each key's windows in the order in which they came. */
function compareInTurn(got: Results, expected: Results, chosen: readonly string[], keys: readonly string[]): void {
  const numbered = (results: Results): Results => {
    const turns = new Map<string, number>();
    return results.map(({ epoch, row }) => {
      const key = JSON.stringify(keys.map((name) => row[name]));
      const turn = turns.get(key) ?? 0;
      turns.set(key, turn + 1);
      return { epoch, row: { ...row, turn } };
    });
  };
  compareResults(numbered(got), numbered(expected), chosen, [...keys, 'turn'], ALL);
}

describe('folds in sessions', () => {
  test('give what arrays give', () => {
    const add = (a: AnyRow, b: AnyRow) => ({ ...b, id: (a.id as number) | (b.id as number), ms: (a.ms as number) + (b.ms as number) });
    fc.assert(
      fc.property(
        epochs,
        fc.constantFrom<string[]>(['page'], ['page', 'ok'], ['note']),
        fc.constantFrom('reduce', 'top'),
        fc.constantFrom(1, 100, 700),
        fc.constantFrom(0, 200),
        fc.constantFrom<Emission>('final', 'update', 'revise'),
        how,
        (stream, keys, kind, gap, latenessMs, emission, run) => {
          const fold = (kind === 'reduce' ? reduceFold(input, keys, add, undefined) : topFold({ input, keys, n: 2, by: 'ms', order: 'desc' })) as RowFold;
          const outcome: Outcome = (rows) =>
            kind === 'reduce'
              ? [rows.reduce(add)]
              : [...rows]
                  .sort((a, b) => (b.ms as number) - (a.ms as number))
                  .slice(0, 2)
                  .map((row, place) => ({ ...row, rank: place + 1 }));
          const window = session(gap).lateness(latenessMs).emit(emission);
          const plan = planSessionFold({ input, keys, fold, window, eventTime: 'at', timeShiftMs: 0 });
          const all = keyed(stream);
          const got = runKeyed(plan, all, { ...run, spread: (chunk) => chunk * 3, partitions: PARTITIONS, delayMs: 100 });
          const expected = modelSessions(all, { keys, gap, latenessMs, emission, delayMs: 100, partitions: PARTITIONS, outcome });
          const columns = plan.output.fields.map((field) => field.name);
          assert.deepEqual(normalized(got.results, columns), normalized(expected.results, columns));
          assert.equal(got.late.length, expected.lateCount);
        },
      ),
      { numRuns: RUNS },
    );
  });
});
