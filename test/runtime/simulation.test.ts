/** `simulate` of millrace/testing: pipelines that are right pass, and bugs that are planted, in the job or in a user function, are found. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRng } from '../../core/index.ts';
import { TOLD } from '../../runtime/driver/crash-simulation.ts';
import { KeptState } from '../../runtime/driver/kept-state.ts';
import { type SimulationOptions, simulate, simulateWith } from '../../runtime/driver/simulation.ts';
import { broadcast, collect, count, f64, memory, pipeline, session, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import type { CheckpointCut } from '../../runtime/job/index.ts';
import { StateWriter } from '../../runtime/state-log/index.ts';
import { caseCount, seedOf } from '../seed.ts';
import { around } from '../soak/wrapping.ts';

const SCHEMA = { key: utf8, n: f64, at: timestamp };
const RUNS = caseCount(30);
/** A planted bug is looked for in so many schedules, whatever the effort: the first that shows it ends the search. */
const SEARCHED = 300;
const SEED = seedOf(1);

const stream = () =>
  pipeline('simulated')
    .from(memory([], { schema: SCHEMA }))
    .withWatermark('at', 30);
const windows = () =>
  stream()
    .keyBy('key')
    .window(tumbling(50))
    .aggregate({ rows: count(), n: sum('n') })
    .to(collect());
const sessions = () =>
  stream()
    .keyBy('key')
    .window(session(25))
    .aggregate({ rows: count(), n: sum('n') })
    .to(collect());

/** Out of order by less than the watermark's delay. */
function rows(count = 28) {
  const rng = seededRng(7);
  return Array.from({ length: count }, (_, i) => ({ key: 'abcdef'[rng.int(6)] as string, n: i, at: 1_000 + i * 12 + rng.int(20) }));
}

describe('a pipeline that is right passes', () => {
  for (const [name, make] of [
    ['windows', windows],
    ['sessions', sessions],
  ] as const) {
    for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
      test(`${name}, ${guarantee}`, (t) => {
        const report = simulate(make(), { input: rows(), runs: RUNS, seed: SEED, checkpoints: { guarantee } });
        assert.equal(report.failure, undefined);
        assert.equal(report.runs, RUNS);
        assert.ok(report.crashes >= RUNS);
        for (const kind of ['read', 'cut', 'scan', 'merge', 'write', 'checkpoint', ...(guarantee === 'exactly-once' ? ['publish'] : [])]) {
          assert.ok((report.steps[kind] ?? 0) > 0, `${kind} is a step`);
        }
        t.diagnostic(`${report.runs} schedules, ${report.crashes} crashes, ${Object.values(report.steps).reduce((sum, n) => sum + n, 0)} steps`);
      });
    }
  }

  test('two sources, and a check of its own', () => {
    const p = pipeline('simulated');
    const [left, right] = [0, 1].map(() =>
      p
        .from(memory<(typeof given)[number]>([], { schema: SCHEMA } as never))
        .withWatermark('at', 30)
        .keyBy('key'),
    );
    const given = rows(24);
    let looked = 0;
    const report = simulate((left as NonNullable<typeof left>).join(right as NonNullable<typeof right>, { within: [20, 20] }).to(collect()), {
      input: [given, given],
      runs: 5,
      seed: SEED,
      check([pairs = []]) {
        looked++;
        const wanted = given.flatMap((l) => given.filter((r) => l.key === r.key && Math.abs(l.at - r.at) <= 20));
        return pairs.length === wanted.length ? undefined : `${pairs.length} pairs, not ${wanted.length}`;
      },
    });
    assert.equal(report.failure, undefined);
    assert.equal(looked, 5);
  });

  test('tables that are loaded are read before the rows that meet them, by key and broadcast', () => {
    const names = Array.from({ length: 6 }, (_, i) => ({ key: 'abcdef'[i] as string, name: `name ${i}` }));
    for (const isBroadcast of [false, true]) {
      const p = pipeline('simulated');
      const clicks = p.from(memory([], { schema: SCHEMA })).keyBy('key');
      const table = p.from(memory([], { schema: { key: utf8, name: utf8 } })).keyBy('key');
      const joined = clicks.join(isBroadcast ? broadcast(table) : table).to(collect());
      const report = simulate(joined, {
        input: [rows(), names],
        runs: RUNS,
        seed: SEED,
        check: ([out = []]) => (out.length === 28 ? undefined : `${out.length} rows`),
      });
      assert.equal(report.failure, undefined);
    }
  });

  test('the same seed gives the same schedules, and a failure names the seed that repeats it', () => {
    const options: SimulationOptions = { input: rows(), runs: 10, seed: SEED, check: ([out = []]) => (out.length % 7 === 0 ? undefined : 'wrong') };
    assert.deepEqual(simulate(windows(), options), simulate(windows(), options));
    const counted: number[] = [];
    const first = simulate(windows(), {
      ...options,
      check([out = []]) {
        counted.push(out.length);
        return counted.length < 5 ? undefined : 'enough';
      },
    });
    assert.equal(first.failure?.seed, SEED + 4);
    assert.deepEqual(simulate(windows(), { ...options, runs: 1, seed: SEED + 4, check: () => 'enough' }).failure, { ...first.failure, seed: SEED + 4 });
  });
});

describe('what is wrong is found', () => {
  test('a user function that depends on what is not in its state', () => {
    let seen = 0;
    const counts = stream()
      .keyBy('key')
      .process({ schema: { number: f64 }, state: () => ({}), onRow: (_, ctx) => ctx.emit({ number: seen++ % 1_000 }) })
      .to(collect());
    assert.match(simulate(counts, { input: rows(), runs: SEARCHED, seed: SEED }).failure?.what ?? '', /has lost|wrong|times/);
  });

  const faults: readonly [what: string, plant: () => () => void][] = [
    [
      'a manifest before its segments are synced',
      () =>
        around(KeptState, 'write', function (original) {
          const { segments } = this as KeptState;
          const before = [...segments.values()].map((segment) => [segment, segment.synced] as const);
          original();
          for (const [segment, synced] of before) segment.synced = synced;
        }),
    ],
    [
      'a block that is dropped from the log',
      () =>
        around(StateWriter, 'endEpoch', (original, head, blocks) => {
          const lists = blocks as readonly { readonly blocks: readonly number[] }[];
          return original(
            head,
            lists.map((list) => ({ ...list, blocks: list.blocks.slice(1) })),
          );
        }),
    ],
    [
      'a piece of the log that gets lost',
      () => {
        let turn = 0;
        return around(KeptState, 'log', (original, worker) => {
          const log = original(worker) as ReturnType<KeptState['log']>;
          return { ...log, append: (pieces: readonly Uint8Array[]) => log.append(pieces.filter(() => ++turn % 50 !== 0)) };
        });
      },
    ],
    [
      'positions too far',
      () =>
        around(KeptState, 'write', (original, cut, carried) => {
          const { positions } = cut as CheckpointCut;
          return original({ ...(cut as CheckpointCut), positions: positions.map((position) => position + (position > 0 ? 1 : 0)) }, carried);
        }),
    ],
  ];
  for (const [what, plant] of faults) {
    test(what, (t) => {
      t.after(plant());
      const { failure } = simulate(windows(), { input: rows(), runs: SEARCHED, seed: SEED });
      assert.ok(failure !== undefined, 'nobody noticed');
      t.diagnostic(`seed ${failure.seed}: ${failure.what.slice(0, 150)}`);
    });
  }

  test('output that is visible before its checkpoint', (t) => {
    const { failure } = simulateWith(windows(), { input: rows(), runs: SEARCHED, seed: SEED }, (wish, job) => [
      ...(wish.kind === 'checkpoint' ? [{ kind: 'publish', run: () => job.outside.publish(wish.epoch) }] : []),
      { kind: wish.kind, run: wish.act },
      { kind: TOLD[wish.kind], run: wish.tell },
    ]);
    assert.match(failure?.what ?? '', /times/);
    t.diagnostic(`seed ${failure?.seed}: ${failure?.what}`);
  });

  test('options that are no options', () => {
    assert.throws(() => simulate({} as never, { input: [] }), /ERR_MILLRACE_PIPELINE|no pipeline/);
    assert.throws(() => simulate(windows(), { input: [[], []] }), /rows of 2 sources, and the pipeline has 1/);
    assert.throws(() => simulate(windows(), { input: [], runs: 0 }), /runs: 0/);
    assert.throws(() => simulate(windows(), { input: [], checkpoints: { guarantee: 'twice' as never } }), /guarantee/);
  });
});
