// Aggregates of the user's beside built-in ones, against arrays: running and in all windows of time, with lateness, restores, chunk cuts and many
// partitioners; and the built-in ones beside against what they give alone. Sessions and windows of rows: every-aggregate.test.ts.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, MillraceError } from '../../core/index.ts';
import {
  type AnyAggregate,
  aggregator,
  count,
  cumulative,
  type Emission,
  type KeyedOperatorPlan,
  planAggregate,
  planMixedAggregate,
  sliding,
  sum,
  tumbling,
  type WindowSpec,
} from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { CASES, compareResults, epochs, exact, input, PARTITIONS } from './aggregate-cases.ts';
import { type Epoch, type ModelAggregate, type ModelOptions, modelEpochs, runEpochs } from './aggregate-harness.ts';
import { type KeyedEpoch, type KeyedRunOptions, runKeyed } from './keyed-harness.ts';
import { ORDERED, UNORDERED } from './user-aggregate-cases.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(100);
const ALL = { ...CASES, ...UNORDERED, ...ORDERED };
type Name = keyof typeof ALL;
const OWN = Object.keys({ ...UNORDERED, ...ORDERED });
const names = fc
  .tuple(fc.subarray(Object.keys(CASES), { maxLength: 6 }), fc.subarray(OWN, { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([builtIn, own, isFirst]) => (isFirst ? [...own, ...builtIn] : [...builtIn, ...own]));

type ModelWindow = NonNullable<ModelOptions['window']>;
const window: fc.Arbitrary<ModelWindow> = fc
  .tuple(
    fc.constantFrom<[number, number, number?]>(
      [1_000, 1_000],
      [1_000, 100],
      [1_000, 500],
      [700, 300],
      [3_000, 1_000],
      [250, 7],
      [1_000, 1_000, 250],
      [600, 600, 100],
    ),
    fc.constantFrom(0, 0, 50, 1_500),
    fc.constantFrom<Emission>('final', 'final', 'update', 'revise'),
  )
  .map(([[sizeMs, slideMs, stepMs], lateness, emission]) => {
    const bare = stepMs !== undefined ? cumulative(sizeMs, stepMs) : sizeMs === slideMs ? tumbling(sizeMs) : sliding(sizeMs, slideMs);
    return { sizeMs, slideMs, offsetMs: 0, ...(stepMs === undefined ? {} : { stepMs }), spec: bare.lateness(lateness).emit(emission) };
  });

/** Rows in the order of panes, then of coming. A pane: a run of times at which no window begins or ends. */
const byPane =
  (of: ModelWindow | undefined, model: ModelAggregate): ModelAggregate =>
  (rows, bounds) => {
    if (of === undefined) return model(rows, bounds);
    const slide = of.stepMs ?? of.slideMs;
    const paneOf = (at: number) => Math.floor(at / slide) * 2 + (of.sizeMs % slide > 0 && at - Math.floor(at / slide) * slide >= of.sizeMs % slide ? 1 : 0);
    const placed = rows.map((row, n) => ({ row, n, pane: paneOf(row.at as number) })).sort((a, b) => a.pane - b.pane || a.n - b.n);
    return model(
      placed.map(({ row }) => row),
      bounds,
    );
  };

const keyed = (stream: readonly Epoch[]): KeyedEpoch[] => stream.map((chunks) => ({ nowMs: 0, chunks }));
const aggregatesOf = (chosen: readonly string[]) => Object.fromEntries(chosen.map((name) => [name, ALL[name as Name]?.[0] as AnyAggregate]));
const planOf = (chosen: readonly string[], keys: readonly string[], spec: WindowSpec | undefined): KeyedOperatorPlan =>
  planMixedAggregate({ input, keys, aggregates: aggregatesOf(chosen), eventTime: 'at', ...(spec === undefined ? {} : { window: spec }) });
const modelOf = (stream: readonly Epoch[], chosen: readonly string[], keys: readonly string[], of: ModelWindow | undefined, delayMs: number) =>
  modelEpochs(stream, {
    keys,
    aggregates: Object.fromEntries(
      chosen.map((name) => [name, name in ORDERED ? byPane(of, ALL[name]?.[1] as ModelAggregate) : (ALL[name]?.[1] as ModelAggregate)]),
    ),
    ...(of === undefined ? {} : { window: of }),
    delayMs,
    partitions: PARTITIONS,
  });
/** The shared page of a group is one only where the key has it. */
const keySets = fc.constantFrom<string[][]>(['page'], ['page', 'ok'], ['note', 'page']);

describe('aggregators', () => {
  test('give what arrays give, running and in windows of time, and late is what is late elsewhere', () => {
    const strategies = new Set<string>();
    fc.assert(
      fc.property(
        epochs,
        keySets,
        fc.option(window, { nil: undefined, freq: 5 }),
        names,
        fc.constantFrom(0, 100, 700),
        fc.record({
          workers: fc.integer({ min: 1, max: 3 }),
          batchRows: fc.constantFrom(8, 64),
          restoreAfter: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
        }),
        (stream, keys, of, chosen, delayMs, { restoreAfter, ...how }) => {
          const plan = planOf(chosen, keys, of?.spec);
          for (const [, strategy] of plan.describe().matchAll(/ = aggregator: [a-z0-9]+\??, ([a-z]+): /g)) strategies.add(strategy as string);
          const options: KeyedRunOptions = { ...how, spread: (chunk) => chunk * 5, partitions: PARTITIONS, delayMs };
          const run = runKeyed(plan, keyed(stream), { ...options, ...(restoreAfter === undefined ? {} : { restoreAfter }) });
          const model = modelOf(stream, chosen, keys, of, delayMs);
          compareResults(run.results, model.results, chosen, keys, ALL);
          assert.equal(run.late.length, model.late.length);
          assert.deepEqual(
            plan.output.fields.slice(keys.length + (of === undefined ? 0 : 2)).map((field) => field.name),
            chosen,
          );
        },
      ),
      { numRuns: RUNS },
    );
    if (RUNS >= 100) assert.deepEqual([...strategies].sort(), ['grow', 'merge', 'pane', 'remove', 'running']);
  });

  test('leave the built-in aggregates beside them what they are alone', () => {
    // Rounding of weights depends on where chunks are cut (README of operators).
    const builtIns = fc.subarray(
      Object.keys(CASES).filter((name) => !name.startsWith('smooth')),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(epochs, keySets, fc.option(window, { nil: undefined, freq: 5 }), builtIns, (stream, keys, of, chosen) => {
        const alone = planAggregate({
          input,
          keys,
          aggregates: Object.fromEntries(chosen.map((name) => [name, (CASES[name] as (typeof CASES)[string])[0]])),
          eventTime: 'at',
          ...(of === undefined ? {} : { window: of.spec }),
        });
        const options = { batchRows: 64, delayMs: 100, partitions: PARTITIONS, spread: () => 0 };
        const expected = runEpochs(alone, stream, { ...options, combiners: 1 });
        const got = runKeyed(planOf([...chosen, 'spread'], keys, of?.spec), keyed(stream), { ...options, workers: 2 });
        compareResults(got.results, expected.results, chosen, keys, Object.fromEntries(chosen.map((name) => [name, { 2: exact }])));
        assert.equal(got.late.length, expected.late.length);
      }),
      { numRuns: Math.ceil(RUNS / 2) },
    );
  });

  test('give the same rows in the same order for any number of partitioners, restored in another memory or not', () => {
    fc.assert(
      fc.property(epochs, fc.option(window, { nil: undefined, freq: 5 }), names, fc.nat(4), (stream, of, chosen, restoreAfter) => {
        const run = (workers: number, more: Partial<KeyedRunOptions> = {}) => {
          const options = { workers, spread: (chunk: number) => chunk * 5, batchRows: 8, partitions: PARTITIONS, delayMs: 100, ...more };
          return runKeyed(planOf(chosen, ['page'], of?.spec), keyed(stream), options).results;
        };
        assert.deepEqual(run(3, { restoreAfter }), run(1));
      }),
      { numRuns: Math.ceil(RUNS / 3) },
    );
  });

  test('may be objects whose functions go by this', () => {
    class Weighed {
      readonly weight: number;
      constructor(weight: number) {
        this.weight = weight;
      }
      init() {
        return 0;
      }
      add(total: number, row: { id: number }) {
        return total + row.id * this.weight;
      }
      merge(a: number, b: number) {
        return a + b;
      }
      remove(total: number, row: { id: number }) {
        return total - row.id * this.weight;
      }
      result(total: number) {
        return total;
      }
    }
    const aggregates = { twice: aggregator(new Weighed(2)), thrice: aggregator(new Weighed(3)) };
    const plan = planMixedAggregate({ input, keys: [], aggregates, window: sliding(1_000, 250), eventTime: 'at' });
    const rows = [0, 300, 900].map((at) => ({ ...someRow(at), id: 5 }));
    const { results } = runKeyed(plan, [{ nowMs: 0, chunks: [{ partition: 0, first: 0, rows }] }], {
      workers: 1,
      spread: () => 0,
      batchRows: 8,
      partitions: 1,
      delayMs: 0,
    });
    assert.deepEqual(
      results.map(({ row }) => [row.windowStart, row.twice, row.thrice]),
      [
        [-750, 10, 15],
        [-500, 20, 30],
        [-250, 20, 30],
        [0, 30, 45],
        [250, 20, 30],
        [500, 10, 15],
        [750, 10, 15],
      ],
    );
  });

  test('let go of the keys whose windows are over', () => {
    const stream = (count: number): KeyedEpoch[] =>
      Array.from({ length: count }, (_, e) => ({
        nowMs: 0,
        chunks: [{ partition: 0, first: e * 60, rows: Array.from({ length: 60 }, (_, i) => ({ ...someRow(e * 100), page: `/${e}-${i}` })) }],
      }));
    const bytes = (count: number) =>
      runKeyed(planOf(['queue', 'histogram'], ['page'], sliding(1_000, 100)), stream(count), {
        workers: 1,
        spread: () => 0,
        batchRows: 512,
        partitions: 1,
        delayMs: 0,
        closes: false,
      }).stateBytes;
    const [few, many] = [bytes(20), bytes(50)];
    assert.ok(many < few * 1.2, `${few} bytes after 20 epochs, ${many} after 50`);
  });

  test('that remove add a row once and remove it once, but for what begins anew', () => {
    const calls = { add: 0, remove: 0, merge: 0 };
    const counting = aggregator({
      init: () => 0,
      add(sum, row: { id: number }) {
        calls.add++;
        return sum + row.id;
      },
      merge(a, b) {
        calls.merge++;
        return a + b;
      },
      remove(sum, row) {
        calls.remove++;
        return sum - row.id;
      },
      result: (sum) => sum,
    });
    const plan = planMixedAggregate({
      input,
      keys: ['page'],
      aggregates: { rows: count(), ids: sum('id'), counting },
      window: sliding(10_000, 100),
      eventTime: 'at',
    });
    assert.match(plan.describe(), /counting = aggregator: f64, remove: from window to window rows that leave are removed/);
    const rows = Array.from({ length: 2_000 }, (_, i) => ({ ...someRow(i * 20), id: i % 17, page: '/' }));
    const stream = [{ nowMs: 0, chunks: [{ partition: 0, first: 0, rows }] }];
    const { results } = runKeyed(plan, stream, { workers: 1, spread: () => 0, batchRows: 4_096, partitions: 1, delayMs: 0 });
    for (const { row } of results) assert.equal(row.counting, row.ids);
    assert.ok(results.length > 400, `${results.length} windows`);
    // 100 panes a window: merged each time it would be 80 calls a row; each hundred windows the rows of one are added anew.
    assert.ok(calls.add <= 2_000 * 3 && calls.remove <= 2_000 && calls.merge === 0, JSON.stringify(calls));
  });
});

function someRow(at: number): AnyRow {
  return { at, page: '', text: 'x', note: null, blob: new Uint8Array(), ok: true, id: 1, ms: 1, maybe: null, amount: 1n, ratio: 1, wild: 1, seq: null };
}

describe('functions of aggregators that fail', () => {
  const one = (over: object, options: Partial<KeyedRunOptions> = {}) => {
    const own = aggregator({
      init: () => 0,
      add: (sum: number, row: { ms: number }) => sum + row.ms,
      merge: (a: number, b: number) => a + b,
      result: (sum: number) => sum,
      ...(over as object),
    } as never) as AnyAggregate;
    const plan = planMixedAggregate({ input, keys: ['page'], aggregates: { rows: count(), own }, window: sliding(1_000, 250), eventTime: 'at' });
    const rows = [0, 300, 900, 2_000].map((at) => ({ ...someRow(at), page: '/a' }));
    return () =>
      runKeyed(
        plan,
        rows.map((row, e) => ({ nowMs: 0, chunks: [{ partition: 0, first: e, rows: [row] }] })),
        {
          workers: 1,
          spread: () => 0,
          batchRows: 8,
          partitions: 1,
          delayMs: 0,
          ...options,
        },
      );
  };
  const fails = (over: object, pattern: RegExp, options?: Partial<KeyedRunOptions>) =>
    assert.throws(
      one(over, options),
      (error: unknown) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_USER_FUNCTION' && pattern.test(error.message),
    );
  const boom = () => {
    throw new RangeError('no');
  };

  test('name the aggregate, the function and what it was called with', () => {
    one({})();
    fails({ init: boom }, /^aggregator "own": init failed: RangeError: no$/);
    fails({ add: boom }, /^aggregator "own": add failed on \{"at":0,"page":"\/a".*: RangeError: no$/);
    fails({ merge: boom }, /^aggregator "own": merge failed on 0 and 1: RangeError: no$/);
    fails({ remove: boom }, /^aggregator "own": remove failed on \{"at":0,.*: RangeError: no$/);
    fails({ result: boom }, /^aggregator "own": result failed on 1 of the key "\/a": RangeError: no$/);
    const writing = (sum: number, row: { ms: number }) => {
      row.ms = 0;
      return sum;
    };
    fails({ add: writing }, /add failed on \{"at":0,.*: TypeError: Cannot assign to read only property 'ms'/);
    fails({ add: async () => 1 }, /add failed on .* promise/);
    fails({ result: () => 'text' }, /result failed on 1 of the key "\/a": Column "own" holds f64, but the value is "text"/);
  });

  test('are refused when a state cannot be copied for a snapshot', () => {
    class Stats {
      n = 0;
      more() {
        this.n++;
      }
    }
    const ofClass = {
      init: () => new Stats(),
      add: (stats: Stats) => stats.more(),
      merge: (a: Stats, b: Stats) => {
        a.n += b.n;
      },
      result: (stats: Stats) => stats.n,
    };
    // At the first row already; what becomes so later, at the snapshot.
    fails(ofClass, /^The state of the aggregator "own" cannot be copied: it has an instance of Stats, which a copy would not be/);
    fails({ ...ofClass, init: () => ({ of: [new Stats()] }) }, /it has an instance of Stats/);
    fails({ ...ofClass, init: () => ({ fn: () => 1 }) }, /^The state of the aggregator "own" cannot be copied: .*could not be cloned/);
    const later = { init: () => undefined, add: () => new Stats(), merge: (_: unknown, b: Stats) => b, result: (stats: Stats) => stats.n };
    fails(later, /state of the aggregator "own" of the key "\/a" cannot be copied: it has an instance of Stats/, { restoreAfter: 1 });
  });

  test('are refused where they are missing', () => {
    const refused = (given: unknown, pattern: RegExp) =>
      assert.throws(
        () => aggregator(given as never),
        (error: unknown) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_PIPELINE' && pattern.test(error.message),
      );
    refused(undefined, /has no init/);
    refused({ init: () => 0, add: () => 0, result: () => 0 }, /has no merge/);
    refused({ init: () => 0, add: () => 0, merge: 3, result: () => 0 }, /has 3 for merge/);
    refused({ init: () => 0, add: () => 0, merge: () => 0, result: () => 0, remove: 'x' }, /has "x" for remove/);
    assert.throws(
      () => aggregator({ init: () => 0, add: () => 0, merge: () => 0, result: () => 0, type: 'f64' } as never),
      (error: unknown) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_SCHEMA',
    );
  });
});
