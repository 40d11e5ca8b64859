// Count windows and global windows with a trigger, against a model that keeps all rows of a key in an array.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, f64, i32, nullable, schema, timestamp, utf8 } from '../../core/index.ts';
import {
  count,
  countWindow,
  globalWindow,
  isRowWindow,
  max,
  mean,
  planAggregate,
  planRowWindow,
  type RowFold,
  reduceFold,
  sum,
  topFold,
  type WindowSpec,
} from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { normalized, runKeyed } from './keyed-harness.ts';
import { PARTITIONS, randomEpochs } from './random-epochs.ts';
import { modelRowWindows } from './window-models.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(300);

const input = schema({ key: nullable(utf8), id: i32, at: timestamp, ms: f64, note: utf8 });
const LONG = 'k'.repeat(10_000);
const row = fc.record({
  key: fc.constantFrom(null, '', 'a', 'b', '__proto__', LONG, `${LONG}2`),
  id: fc.integer({ min: 0, max: 1 }),
  at: fc.integer({ min: -300, max: 900 }),
  ms: fc.integer({ min: -50, max: 50 }),
  note: fc.constantFrom('', 'x'),
});
const epochs = randomEpochs(row, 20);

const windows = fc.oneof(
  fc.constantFrom([1, 1], [3, 3], [3, 1], [5, 2], [100, 1]).map(([n, slide]) => countWindow(n as number, { slide: slide as number })),
  fc
    .record({ count: fc.constantFrom(undefined, 1, 3, 50), time: fc.constantFrom(undefined, 1, 80, 500), purge: fc.boolean() })
    .map(({ count: rows, time, purge }) => globalWindow({ ...(rows === undefined ? {} : { count: rows }), ...(time === undefined ? {} : { time }), purge })),
);

describe('windows of rows', () => {
  test('give what the model gives, by aggregates and by folds', () => {
    const add = (a: AnyRow, b: AnyRow) => ({ ...b, ms: (a.ms as number) + (b.ms as number) });
    const total = (rows: readonly AnyRow[]) => rows.reduce((s, r) => s + (r.ms as number), 0);
    let leaked = 0;
    fc.assert(
      fc.property(
        epochs,
        windows,
        fc.constantFrom<string[][]>(['key'], ['key', 'id'], []),
        fc.option(fc.constantFrom(0, 60), { nil: undefined }),
        fc.constantFrom('aggregate', 'reduce', 'top'),
        fc.record({ workers: fc.integer({ min: 1, max: 3 }), batchRows: fc.constantFrom(8, 64), restoreAfter: fc.integer({ min: 0, max: 6 }), salt: fc.nat() }),
        (cuts, spec: WindowSpec, keys, delayMs, kind, { salt, ...run }) => {
          const { shape } = spec;
          assert.ok(isRowWindow(shape));
          const evaluation =
            kind === 'aggregate'
              ? planAggregate({ input, keys, aggregates: { rows: count(), total: sum('ms'), average: mean('ms'), most: max('at') } })
              : kind === 'reduce'
                ? (reduceFold(input, keys, add, undefined) as RowFold)
                : (topFold({ input, keys, n: 2, by: 'ms', order: 'desc' }) as RowFold);
          const outcome = (rows: readonly AnyRow[]): AnyRow[] => {
            if (kind === 'aggregate')
              return [{ rows: rows.length, total: total(rows), average: total(rows) / rows.length, most: Math.max(...rows.map((r) => r.at as number)) }];
            if (kind === 'reduce') return [{ ...rows.at(-1), ms: total(rows) }];
            return [...rows]
              .sort((a, b) => (b.ms as number) - (a.ms as number))
              .slice(0, 2)
              .map((r, place) => ({ ...r, rank: place + 1 }));
          };
          const plan = planRowWindow({
            input,
            keys,
            shape,
            evaluation,
            eventTime: delayMs === undefined ? undefined : 'at',
            timeShiftMs: 0,
            title: String(spec),
          });
          const result = runKeyed(plan, cuts, {
            ...run,
            spread: (chunk) => (chunk + salt) * 3,
            partitions: PARTITIONS,
            ...(delayMs === undefined ? {} : { delayMs }),
          });
          // Over all cases: but for the work space of a thread's group tables, which is there once.
          leaked += result.leakedBytes;
          assert.ok(leaked < 1 << 20, `${leaked} bytes leaked`);
          const columns = plan.output.fields.map((field) => field.name);
          assert.deepEqual(
            normalized(result.results, columns),
            normalized(modelRowWindows(cuts, { shape, keys, delayMs, partitions: PARTITIONS, outcome }), columns),
          );
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('come out in order, key by key', () => {
    const rows = Array.from({ length: 3_000 }, (_, i) => ({ key: i % 3 === 0 ? 'a' : 'b', id: 0, at: i, ms: i, note: '' }));
    const plan = planRowWindow({
      input,
      keys: ['key'],
      shape: { kind: 'count', rows: 10, slideRows: 5 },
      evaluation: planAggregate({ input, keys: ['key'], aggregates: { most: max('ms') } }),
      eventTime: 'at',
      timeShiftMs: 0,
      title: '',
    });
    const run = runKeyed(plan, [{ nowMs: 0, chunks: [{ partition: 0, first: 0, rows }] }], {
      workers: 1,
      spread: () => 0,
      batchRows: 512,
      partitions: 1,
      delayMs: 0,
    });
    const of = (key: string) => run.results.filter(({ row: r }) => r.key === key).map(({ row: r }) => r.most);
    const expected = (key: string) => {
      const values = rows.filter((r) => r.key === key).map((r) => r.ms);
      return values.filter((_, i) => i >= 9 && (i - 9) % 5 === 0);
    };
    assert.deepEqual([of('a'), of('b')], [expected('a'), expected('b')]);
  });

  test('refuse what they cannot have', () => {
    const refused = (make: () => unknown, message: RegExp) =>
      assert.throws(make, (error: { code: string; message: string }) => error.code === 'ERR_MILLRACE_OPTION' && message.test(error.message));
    refused(() => countWindow(0), /window of 0 rows/);
    refused(() => countWindow(2.5), /window of 2.5 rows/);
    refused(() => countWindow(2, { slide: 3 }), /slide of 3 rows, which is more than its window of 2/);
    refused(() => globalWindow({ count: -1 }), /count of -1 rows/);
    refused(() => globalWindow({ time: 0 }), /time of globalWindow\(\) is 0/);
    refused(() => countWindow(5).lateness('1s'), /lateness\(\) of count\(5 rows\)/);
    refused(() => globalWindow().emit('update'), /emit\(\) of global\(at the end\)/);
  });
});
