// Random streams through combiners and shards, against the naive model: disorder, lateness, epoch cuts, chunk orders, key
// types, window shapes. MILLRACE_TEST_RUNS sets the number of cases.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, f32, f64, i32, i64, nullable, schema, timestamp, u32, utf8 } from '../../core/index.ts';
import {
  type Aggregate,
  count,
  cumulative,
  type Emission,
  max,
  mean,
  min,
  planAggregate,
  sliding,
  sum,
  tumbling,
  type WindowSpec,
} from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { type Chunk, type Epoch, type ModelAggregate, modelEpochs, normal, runEpochs } from './aggregate-harness.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(300);

const input = schema({
  at: nullable(timestamp),
  page: utf8,
  note: nullable(utf8),
  id: i32,
  big: i64,
  ms: f64,
  maybe: nullable(f64),
  amount: i64,
  small: nullable(u32),
  ratio: f32,
  wild: f64,
});

const LONG = 'a key of more bytes than fit into a slot, so that they lie in the arena: ';
const time = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -3_000, max: 6_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(-86_400_000, 4_102_444_800_000, null) },
);
// Quarters: sums of them are exact in any order.
const quarter = fc.integer({ min: -4_000, max: 4_000 }).map((n) => n / 4);
const row = fc.record({
  at: time,
  page: fc.constantFrom('', '/', '/a', '/b', '__proto__', 'constructor', 'é', `${LONG}1`, `${LONG}2`),
  note: fc.constantFrom(null, '', 'x', `${LONG}1`),
  id: fc.constantFrom(0, 1, -1, 7, 2_147_483_647, -2_147_483_648),
  big: fc.constantFrom(0n, 1n, -1n, 9_223_372_036_854_775_807n),
  ms: quarter,
  maybe: fc.option(quarter, { nil: null }),
  amount: fc.bigInt({ min: -1_000_000n, max: 1_000_000n }),
  small: fc.option(fc.integer({ min: 0, max: 4_294_967_295 }), { nil: null }),
  ratio: quarter,
  wild: fc.oneof({ weight: 9, arbitrary: quarter }, { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY) }),
});

const keySets = fc.constantFrom<string[]>([], ['page'], ['id'], ['note'], ['big'], ['page', 'id'], ['id', 'big', 'note']);
const window = fc
  .tuple(
    fc.constantFrom<[number, number]>([1_000, 1_000], [100, 100], [1_000, 100], [1_000, 500], [700, 300], [1_000, 999], [3_000, 1_000], [250, 7]),
    fc.constantFrom(0, 0, 130, -70),
    fc.constantFrom(undefined, undefined, undefined, 1, 2, 5, 100),
    fc.constantFrom(0, 0, 50, 1_500),
    fc.constantFrom<Emission>('final', 'final', 'update', 'revise'),
  )
  .map(([[sizeMs, slideMs], offset, steps, lateness, emission]) => {
    if (steps !== undefined && sizeMs % steps === 0) {
      const stepMs = sizeMs / steps;
      return {
        sizeMs,
        slideMs: sizeMs,
        stepMs,
        offsetMs: 0,
        spec: cumulative(sizeMs, stepMs).lateness(lateness).emit(emission),
      };
    }
    const isTumbling = sizeMs === slideMs;
    const offsetMs = offset % slideMs;
    const bare = isTumbling ? tumbling(sizeMs, { offset: offsetMs }) : sliding(sizeMs, slideMs, { offset: offsetMs });
    const spec: WindowSpec = bare.lateness(lateness).emit(emission);
    return { sizeMs, slideMs, offsetMs, spec };
  });

type Both = readonly [Aggregate, ModelAggregate];
const numbers = (rows: readonly AnyRow[], column: string) => rows.map((r) => r[column]).filter((v): v is number => v !== null);
const orNull = (values: readonly number[], of: (values: readonly number[]) => number) => (values.length === 0 ? null : of(values));
const add = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const AGGREGATES: Readonly<Record<string, Both>> = {
  rows: [count(), (rows) => rows.length],
  notes: [count('note'), (rows) => rows.filter((r) => r.note !== null).length],
  total: [sum('ms'), (rows) => add(numbers(rows, 'ms'))],
  average: [mean('ms'), (rows) => add(numbers(rows, 'ms')) / rows.length],
  maybeTotal: [sum('maybe'), (rows) => orNull(numbers(rows, 'maybe'), add)],
  maybeMean: [mean('maybe'), (rows) => orNull(numbers(rows, 'maybe'), (v) => add(v) / v.length)],
  amount: [sum('amount'), (rows) => rows.reduce((a, r) => a + (r.amount as bigint), 0n)],
  ratio: [sum('ratio'), (rows) => add(numbers(rows, 'ratio'))],
  wildTotal: [sum('wild'), (rows) => add(numbers(rows, 'wild'))],
  wildMean: [mean('wild'), (rows) => add(numbers(rows, 'wild')) / rows.length],
  // NaN is the greatest value.
  wildLeast: [min('wild'), (rows) => numbers(rows, 'wild').reduce((a, b) => (Number.isNaN(a) || b < a ? b : a), Number.NaN)],
  wildMost: [max('wild'), (rows) => Math.max(...numbers(rows, 'wild'))],
  least: [min('ms'), (rows) => Math.min(...numbers(rows, 'ms'))],
  most: [max('small'), (rows) => orNull(numbers(rows, 'small'), (v) => Math.max(...v))],
  lastId: [max('id'), (rows) => Math.max(...numbers(rows, 'id'))],
  first: [min('at'), (rows) => orNull(numbers(rows, 'at'), (v) => Math.min(...v))],
  leastAmount: [min('amount'), (rows) => rows.map((r) => r.amount as bigint).sort((a, b) => (a < b ? -1 : 1))[0]],
  leastRatio: [min('ratio'), (rows) => Math.min(...numbers(rows, 'ratio'))],
};
const INVERTIBLE = ['rows', 'notes', 'total', 'average', 'maybeTotal', 'maybeMean', 'amount', 'ratio', 'wildTotal', 'wildMean'];
const aggregateNames = fc.oneof(fc.subarray(INVERTIBLE, { minLength: 1 }), fc.subarray(Object.keys(AGGREGATES), { minLength: 1 }));

const PARTITIONS = 3;
const epochs = fc
  .array(fc.array(fc.tuple(fc.integer({ min: 0, max: PARTITIONS - 1 }), fc.array(row, { maxLength: 12 })), { maxLength: 4 }), { maxLength: 6 })
  .map((cuts) => {
    const next = new Array<number>(PARTITIONS).fill(0);
    return cuts.map(
      (chunks): Epoch =>
        chunks.map(([partition, rows]): Chunk => {
          const first = next[partition] as number;
          next[partition] = first + rows.length + 1;
          return { partition, first, rows };
        }),
    );
  });

function planOf(names: readonly string[], keys: readonly string[], spec: WindowSpec | undefined) {
  const aggregates = Object.fromEntries(names.map((name) => [name, (AGGREGATES[name] as Both)[0]]));
  return planAggregate({ input, keys, aggregates, ...(spec === undefined ? {} : { window: spec, eventTime: 'at' }) });
}

describe('windowed and running aggregation against the naive model', () => {
  test('emits what the model emits, epoch by epoch, and the same bytes for any number of combiners', () => {
    const strategies = new Set<string>();
    fc.assert(
      fc.property(
        epochs,
        keySets,
        fc.option(window, { nil: undefined, freq: 6 }),
        aggregateNames,
        fc.constantFrom(0, 100, 700),
        fc.array(fc.nat(3), { minLength: 1 }),
        (stream, keys, of, names, delayMs, spread) => {
          const plan = planOf(names, keys, of?.spec);
          strategies.add(plan.strategy);
          const model = modelEpochs(stream, {
            keys,
            aggregates: Object.fromEntries(names.map((name) => [name, (AGGREGATES[name] as Both)[1]])),
            ...(of === undefined ? {} : { window: of }),
            delayMs,
            partitions: PARTITIONS,
          });
          const options = { batchRows: 8, delayMs, partitions: PARTITIONS };
          const one = runEpochs(plan, stream, { ...options, combiners: 1, spread: () => 0 });
          assert.deepEqual(normal(one.results, plan.output), normal(model.results, plan.output));
          assert.deepEqual(one.late.map(String).length, model.late.length);
          assert.deepEqual(
            normal(
              one.late.map((late) => ({ epoch: 0, row: late })),
              input,
            ),
            normal(
              model.late.map((late) => ({ epoch: 0, row: late })),
              input,
            ),
          );
          assertAscending(one.results);
          const combiners = 1 + (spread.length % 4);
          const many = runEpochs(
            plan,
            stream.map((epoch, e) => shuffled(epoch, spread, e)),
            { ...options, combiners, spread: (chunk) => spread[chunk % spread.length] as number },
          );
          assert.deepEqual(many.results, one.results);
        },
      ),
      { numRuns: RUNS },
    );
    if (RUNS >= 100) assert.deepEqual([...strategies].sort(), ['merge', 'none', 'running', 'tumbling', 'two-stack']);
  });

  test('gives the same bytes at any trigger and with any cut of the chunks, as long as no row is late', () => {
    // Cents and odd fractions, of mixed size: plain sums of these differ with the order.
    const odd = fc.oneof(
      fc.integer({ min: 0, max: 1_000_000 }).map((n) => n / 100),
      fc.integer({ min: 1, max: 1_000 }).map((n) => n / 7),
      fc.integer({ min: -9, max: 9 }).map((n) => n * 1e9 + 0.1),
    );
    const rows = fc.array(fc.record({ at: fc.integer({ min: 0, max: 3_000 }), page: fc.constantFrom('/a', '/b'), ms: odd }), { maxLength: 200 });
    const given = { note: null, id: 0, big: 0n, maybe: null, amount: 0n, small: null, ratio: 0, wild: 0 };
    const of = fc.constantFrom<WindowSpec>(tumbling(1_000), sliding(1_000, 100), sliding(700, 300));
    fc.assert(
      fc.property(
        rows,
        of,
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        (plain, spec, cutA, cutB, perEpoch) => {
          const stream = plain.map((row) => ({ ...given, ...row })).sort((a, b) => a.at - b.at);
          const plan = planOf(['rows', 'total', 'average'], ['page'], spec);
          const chunksOf = (size: number): Chunk[] =>
            Array.from({ length: Math.ceil(stream.length / size) }, (_, i) => ({
              partition: 0,
              first: i * size,
              rows: stream.slice(i * size, (i + 1) * size),
            }));
          const epochsOf = (chunks: Chunk[], size: number): Epoch[] =>
            Array.from({ length: Math.ceil(chunks.length / size) }, (_, i) => chunks.slice(i * size, (i + 1) * size));
          const options = { batchRows: 16, delayMs: 0, partitions: 1, combiners: 1, spread: () => 0 };
          const [one, other] = [epochsOf(chunksOf(cutA), 1_000), epochsOf(chunksOf(cutB), perEpoch)].map((cut) => {
            const outcome = runEpochs(plan, cut, options);
            assert.equal(outcome.late.length, 0);
            return normal(
              outcome.results.map(({ row }) => ({ epoch: 0, row })),
              plan.output,
            );
          });
          assert.deepEqual(other, one);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('goes on from a snapshot as if nothing had happened', () => {
    fc.assert(
      fc.property(epochs, window, aggregateNames, fc.nat(5), (stream, of, names, at) => {
        const plan = planOf(names, ['page'], of.spec);
        const options = { batchRows: 8, delayMs: 100, partitions: PARTITIONS, combiners: 1, spread: () => 0 };
        const plain = runEpochs(plan, stream, options);
        const restored = runEpochs(plan, stream, { ...options, restoreAfter: at });
        assert.deepEqual(restored.results, plain.results);
        assert.equal(restored.leakedBytes, plain.leakedBytes);
      }),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  });
});

function assertAscending(results: readonly { epoch: number; shard: number; row: AnyRow }[]): void {
  for (let i = 1; i < results.length; i++) {
    const a = results[i - 1] as (typeof results)[number];
    const b = results[i] as (typeof results)[number];
    if (a.epoch === b.epoch && a.shard === b.shard && a.row.windowStart !== undefined) {
      assert.ok((a.row.windowStart as number) <= (b.row.windowStart as number), 'windows of a shard ascend');
    }
  }
}

/** The chunks of an epoch in another order of arrival, without swapping those of one partition: the blocks are ordered by their coordinates. */
function shuffled(epoch: Epoch, seeds: readonly number[], salt: number): Epoch {
  return epoch
    .map((chunk, i) => ({ chunk, at: ((seeds[(i + salt) % seeds.length] as number) * 7 + i * 3) % 11 }))
    .sort((a, b) => a.at - b.at)
    .map(({ chunk }) => chunk);
}
