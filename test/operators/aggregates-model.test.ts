// Every aggregate but the plain ones (windows-model.test.ts has those) against arrays: random streams through combiners and shards, with windows, lateness,
// restores, chunk cuts and many combiners. MILLRACE_TEST_RUNS sets the number of cases.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, createMemory, SlabAllocator } from '../../core/index.ts';
import { type Emission, planAggregate, rate, sliding, tumbling, type WindowSpec } from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { CASES, type Case, compareResults, epochs, INVERTIBLE, input, LONG, PARTITIONS } from './aggregate-cases.ts';
import { type Epoch, modelEpochs, runEpochs } from './aggregate-harness.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(150);

const names = fc.oneof(fc.subarray(INVERTIBLE, { minLength: 1 }), fc.subarray(Object.keys(CASES), { minLength: 1, maxLength: 12 }));
const window = fc
  .tuple(
    fc.constantFrom<[number, number]>([1_000, 1_000], [1_000, 100], [1_000, 500], [700, 300], [3_000, 1_000], [250, 7]),
    fc.constantFrom(0, 0, 50, 1_500),
    fc.constantFrom<Emission>('final', 'final', 'update', 'revise'),
  )
  .map(([[sizeMs, slideMs], lateness, emission]) => {
    const bare = sizeMs === slideMs ? tumbling(sizeMs) : sliding(sizeMs, slideMs);
    return { sizeMs, slideMs, offsetMs: 0, spec: bare.lateness(lateness).emit(emission) };
  });

function planOf(chosen: readonly string[], keys: readonly string[], spec: WindowSpec | undefined) {
  const aggregates = Object.fromEntries(chosen.map((name) => [name, (CASES[name] as Case)[0]]));
  return planAggregate({ input, keys, aggregates, eventTime: 'at', ...(spec === undefined ? {} : { window: spec }) });
}

describe('statistics, sketches, texts and lists against arrays', () => {
  test('emits what the model emits, with windows and without, and the same for any number of combiners', () => {
    const strategies = new Set<string>();
    fc.assert(
      fc.property(
        epochs,
        fc.constantFrom<string[]>([], ['page'], ['page', 'ok']),
        fc.option(window, { nil: undefined, freq: 5 }),
        names,
        fc.constantFrom(0, 100, 700),
        fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
        (stream, keys, of, chosen, delayMs, spread) => {
          const plan = planOf(chosen, keys, of?.spec);
          strategies.add(plan.strategy);
          const model = modelEpochs(stream, {
            keys,
            aggregates: Object.fromEntries(chosen.map((name) => [name, (CASES[name] as Case)[1]])),
            ...(of === undefined ? {} : { window: of }),
            delayMs,
            partitions: PARTITIONS,
          });
          const options = { batchRows: 8, delayMs, partitions: PARTITIONS };
          const one = runEpochs(plan, stream, { ...options, combiners: 1, spread: () => 0 });
          compareResults(one.results, model.results, chosen, keys);
          const many = runEpochs(plan, stream, { ...options, combiners: spread.length, spread: (chunk) => spread[chunk % spread.length] as number });
          assert.deepEqual(many.results, one.results);
        },
      ),
      { numRuns: RUNS },
    );
    if (RUNS >= 100) assert.deepEqual([...strategies].sort(), ['merge', 'none', 'running', 'tumbling', 'two-stack']);
  });

  test('goes on from a snapshot as if nothing had happened', () => {
    fc.assert(
      fc.property(epochs, window, names, fc.nat(5), (stream, of, chosen, at) => {
        const plan = planOf(chosen, ['page'], of.spec);
        const options = { batchRows: 8, delayMs: 100, partitions: PARTITIONS, combiners: 1, spread: () => 0 };
        const restored = runEpochs(plan, stream, { ...options, restoreAfter: at, parts: 16 });
        const model = modelEpochs(stream, {
          keys: ['page'],
          aggregates: Object.fromEntries(chosen.map((name) => [name, (CASES[name] as Case)[1]])),
          window: of,
          delayMs: 100,
          partitions: PARTITIONS,
        });
        compareResults(restored.results, model.results, chosen, ['page']);
        assert.deepEqual(restored.results, runEpochs(plan, stream, options).results);
      }),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  });

  test('gives all memory back', () => {
    const rows = Array.from(
      { length: 3_000 },
      (_, i): AnyRow => ({
        at: (i * 7_919) % 5_000,
        page: `/${i % 7}`,
        text: `text ${i % 1_000}`,
        note: i % 3 === 0 ? null : LONG.repeat(1 + (i % 5)) + i,
        blob: new Uint8Array(i % 40),
        ok: i % 2 === 0,
        id: i,
        ms: i / 4,
        maybe: i % 5 === 0 ? null : i,
        amount: BigInt(i),
        ratio: i,
        wild: i,
        seq: i % 100,
      }),
    );
    const plan = planOf(Object.keys(CASES).slice(0, 24), ['page'], sliding(1_000, 100));
    const other = planOf(Object.keys(CASES).slice(24), ['page'], undefined);
    const slabs = new SlabAllocator(createMemory(64 << 20));
    const options = { combiners: 2, spread: (chunk: number) => chunk % 2, batchRows: 512, delayMs: 6_000, partitions: 1, slabs };
    const stream: Epoch[] = [0, 1, 2].map((e) => [{ partition: 0, first: e * 1_000, rows: rows.slice(e * 1_000, e * 1_000 + 1_000) }]);
    for (const one of [plan, other]) {
      runEpochs(one, stream, options);
      assert.equal(runEpochs(one, stream, options).leakedBytes, 0);
    }
  });

  test('gives rates by the length of the window', () => {
    const rows = [1, 2, 3, 4].map((n) => ({
      at: n * 100,
      page: '/',
      text: '',
      note: null,
      blob: new Uint8Array(),
      ok: true,
      id: n,
      ms: n,
      maybe: n === 1 ? 3 : null,
      amount: BigInt(n),
      ratio: 0,
      wild: 0,
      seq: 0,
    }));
    const plan = planAggregate({
      input,
      keys: ['page'],
      aggregates: { rows: rate(), ms: rate('ms'), maybe: rate('maybe'), amount: rate('amount') },
      window: tumbling(2_000),
      eventTime: 'at',
    });
    const { results } = runEpochs(plan, [[{ partition: 0, first: 0, rows }]], { combiners: 1, spread: () => 0, batchRows: 8, delayMs: 0, partitions: 1 });
    assert.deepEqual(
      results.map(({ row: of }) => of),
      [{ page: '/', windowStart: 0, windowEnd: 2_000, rows: 2, ms: 5, maybe: 1.5, amount: 5 }],
    );
  });
});
