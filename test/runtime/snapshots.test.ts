// The driver's snapshots and shards. A run that is cut after any epoch, carried as bytes, and goes on in another driver with other shards
// gives what the same run gives uncut, row by row, for every operator and window (snapshot-cases.ts); that the uncut run is right is shown
// elsewhere, against models. Shards make no difference either.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { seededRng } from '../../core/index.ts';
import { type AnyRow, collect, count, f64, max, memory, min, pipeline, sliding, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import type { PipelineLike } from '../../runtime/plan/graph.ts';
import { type DriverSnapshot, type TestDriver, testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';
import { CASES, type InputRow, runsOf, type Step, sourceCountOf } from './snapshot-cases.ts';

/** Cases of all the properties of this file together, roughly. */
const RUNS = caseCount(100);
const PARTITIONS = 2;
const MEMORY_BYTES = 24 << 20;
const names = Object.keys(CASES);
const runsEach = Math.max(4, Math.ceil(RUNS / names.length));

/** All rows that a driver has put out, sink by sink; and its counts. */
function outcomeOf(driver: TestDriver): { readonly rows: readonly (readonly AnyRow[])[]; readonly counts: ReadonlyMap<string, number> } {
  const rows: (readonly AnyRow[])[] = [];
  for (;;) {
    try {
      rows.push([...driver.output(rows.length)]);
    } catch {
      return { rows, counts: driver.counts };
    }
  }
}

/** Plays steps; after each epoch, how many rows each sink has. The last step is the end of the input. */
function play(driver: TestDriver, steps: readonly Step[]): number[][] {
  return steps.map(({ sends, passMs }) => {
    for (const [source, partition, rows] of sends) driver.send(source, rows, partition === undefined ? {} : { partition });
    driver.advanceTime(passMs);
    driver.endEpoch();
    return outcomeOf(driver).rows.map((rows) => rows.length);
  });
}

const carried = (snapshot: DriverSnapshot): DriverSnapshot => deserialize(serialize(snapshot)) as DriverSnapshot;

describe('a run that is cut by a snapshot', () => {
  for (const name of names) {
    const make = CASES[name] as () => PipelineLike;
    test(name, () => {
      const shards = fc.integer({ min: 1, max: 4 });
      fc.assert(
        fc.property(runsOf(sourceCountOf(name), PARTITIONS), fc.nat(8), fc.tuple(shards, shards, shards), fc.integer(), (steps, cutAt, [a, b, c], seed) => {
          const cut = cutAt % steps.length;
          const options = { partitions: PARTITIONS, seed, memoryBytes: MEMORY_BYTES };
          const uncut = testDriver(make(), { ...options, shards: a });
          const first = testDriver(make(), { ...options, shards: b });
          const sizes = play(uncut, steps);
          play(first, steps.slice(0, cut));
          const snapshot = carried(first.snapshot());
          const before = outcomeOf(first);
          const second = testDriver(make(), { from: snapshot, shards: c, memoryBytes: MEMORY_BYTES });
          assert.deepEqual(carried(second.snapshot()), snapshot, 'taken again at once, it is the same');
          const restored = play(second, steps.slice(cut));
          // Who was asked for a snapshot goes on as if nobody had asked.
          play(first, steps.slice(cut));
          for (const driver of [uncut, first, second]) driver.close();
          const { rows, counts } = outcomeOf(uncut);
          assert.deepEqual(outcomeOf(first), { rows, counts });
          const rest = outcomeOf(second);
          assert.deepEqual(
            rest.rows.map((after, sink) => [...(before.rows[sink] as readonly AnyRow[]), ...after]),
            rows,
          );
          assert.deepEqual(rest.counts, counts);
          // In the same epochs, too.
          assert.deepEqual(
            restored,
            sizes.slice(cut).map((lengths) => lengths.map((length, sink) => length - (before.rows[sink] as readonly AnyRow[]).length)),
          );
        }),
        { numRuns: runsEach },
      );
    });
  }
});

describe('shards', () => {
  test('make no difference, 1 to 4 and 8, with rows spread by a seed', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...names).chain((name) => fc.tuple(fc.constant(name), runsOf(sourceCountOf(name), PARTITIONS))),
        fc.integer(),
        ([name, steps], seed) => {
          const outcomes = [1, 2, 3, 4, 8].map((shards) => {
            const driver = testDriver((CASES[name] as () => PipelineLike)(), { partitions: PARTITIONS, seed, shards, memoryBytes: 48 << 20 });
            const sizes = play(driver, steps);
            driver.close();
            return { ...outcomeOf(driver), sizes };
          });
          for (const outcome of outcomes) assert.deepEqual(outcome, outcomes[0]);
        },
      ),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  });
});

describe('state of many keys', () => {
  for (const name of [
    'running aggregates',
    'sliding, running',
    'sliding, two stacks',
    'sliding, update',
    'sessions',
    'global window, by time, purging',
    'interval join, full',
  ]) {
    test(`${name}: tables that have grown, and shrunk again, come back with each group in its place`, () => {
      const rng = seededRng(11);
      const make = CASES[name] as () => PipelineLike;
      const steps = Array.from({ length: 6 }, (_, epoch): Step => {
        // Many keys first, few later, many again.
        const keys = [4_000, 4_000, 40, 40, 3_000, 40][epoch] as number;
        const rows = Array.from({ length: keys }, (): InputRow => {
          const key = `key ${rng.int(keys)}`;
          return { key, text: rng.chance(0.2) ? null : `text ${rng.int(50)}`, value: rng.normal(0, 1e6), at: epoch * 60 + rng.int(90), ok: rng.chance(0.5) };
        });
        return {
          sends: [
            [0, undefined, rows],
            [1, undefined, rows.slice(0, 1_000)],
          ],
          passMs: 10,
        };
      });
      const options = { partitions: PARTITIONS, seed: 3, memoryBytes: 256 << 20 };
      const uncut = testDriver(make(), options);
      play(uncut, steps);
      for (const cut of [2, 4]) {
        const first = testDriver(make(), { ...options, shards: 2 });
        play(first, steps.slice(0, cut));
        const before = outcomeOf(first).rows;
        const second = testDriver(make(), { from: carried(first.snapshot()), shards: 3, memoryBytes: 256 << 20 });
        play(second, steps.slice(cut));
        const { rows, counts } = outcomeOf(second);
        assert.deepEqual(
          rows.map((after, sink) => [...(before[sink] as readonly AnyRow[]), ...after]),
          outcomeOf(uncut).rows,
        );
        assert.deepEqual(counts, uncut.counts);
      }
    });
  }
});

const clicks = { page: utf8, ms: f64, at: timestamp };
const perMinute = (of: (stream: ReturnType<typeof clicksOf>) => PipelineLike) => of(clicksOf());
function clicksOf() {
  return pipeline('clicks')
    .from(memory([], { schema: clicks }))
    .withWatermark('at', 0, { idle: '10s' });
}
const tumblingClicks = () =>
  perMinute((stream) =>
    stream
      .keyBy('page')
      .window(tumbling('1m'))
      .aggregate({ n: count(), ms: sum('ms') })
      .to(collect()),
  );

describe('a snapshot', () => {
  test('holds open windows, positions, watermarks, clock, counts and who is idle', () => {
    const driver = testDriver(tumblingClicks(), { partitions: 2, now: 5_000 });
    driver.send(
      [
        { page: '/', ms: 1, at: 10_000 },
        { page: '/', ms: 2, at: 61_000 },
      ],
      { partition: 0 },
    );
    driver.send([{ page: '/', ms: 4, at: 20_000 }], { partition: 1 });
    driver.endEpoch();
    driver.advanceTime(9_000);
    driver.send([{ page: '/b', ms: 8, at: 62_000 }], { partition: 0 });
    driver.endEpoch();
    const snapshot = driver.snapshot();
    assert.equal(snapshot.plan.pipeline, 'clicks');
    assert.equal(snapshot.clockMs, 14_000);
    for (const from of [structuredClone(snapshot), snapshot, carried(snapshot)]) {
      const restored = testDriver(tumblingClicks(), { from });
      assert.deepEqual(restored.output(), []);
      assert.equal(restored.counts.get('rowsIn'), 4);
      // Partition 1 has been quiet for 9 s, and goes on being so.
      restored.advanceTime(999);
      restored.endEpoch();
      assert.deepEqual(restored.output(), []);
      restored.advanceTime(1);
      restored.endEpoch();
      assert.deepEqual(restored.output(), [{ page: '/', windowStart: 0, windowEnd: 60_000, n: 2, ms: 5 }]);
      // Too late now.
      restored.send([{ page: '/', ms: 16, at: 30_000 }], { partition: 1 });
      restored.endEpoch();
      assert.equal(restored.counts.get('late'), 1);
    }
    // The first driver goes on as well.
    driver.close();
    assert.equal(driver.output().length, 3);
  });

  test('is the same with and without generated code', () => {
    const make = () =>
      perMinute((stream) =>
        stream
          .filter((row) => row.ms > 2)
          .keyBy('page')
          .count()
          .to(collect()),
      );
    const driver = testDriver(make());
    driver.send([{ page: '/', ms: 3, at: 0 }]);
    driver.endEpoch();
    const restored = testDriver(make(), { from: driver.snapshot(), codeGeneration: false });
    restored.send([{ page: '/', ms: 4, at: 0 }]);
    restored.endEpoch();
    assert.deepEqual(restored.output(), [{ page: '/', count: 2 }]);
  });

  test('counts offsets on, so that coordinates stay true', () => {
    const make = () => perMinute((stream) => stream.keyBy('page').window(tumbling('1s')).aggregate({ n: count() }).late.to(collect()));
    const driver = testDriver(make(), { partitions: 1 });
    driver.send([
      { page: '/', ms: 0, at: 5_000 },
      { page: '/', ms: 0, at: 9_000 },
    ]);
    driver.endEpoch();
    const restored = testDriver(make(), { from: driver.snapshot() });
    restored.send([{ page: '/late', ms: 0, at: 100 }]);
    assert.deepEqual(restored.output(), [{ page: '/late', ms: 0, at: 100, source: 'memory', partition: 0, offset: 2 }]);
  });

  test('goes on with the draws of its seed, or with those of another', () => {
    const make = () => perMinute((stream) => stream.map({ partition: f64 }, () => ({ partition: 0 })).to(collect()));
    const positions = (driver: TestDriver) => {
      driver.endEpoch();
      return driver.snapshot().inputs.map((input) => input.position);
    };
    const rows = Array.from({ length: 40 }, (_, i) => ({ page: '/', ms: i, at: i }));
    const uncut = testDriver(make(), { seed: 5 });
    uncut.send(rows);
    const first = positions(uncut);
    assert.ok(
      first.every((position) => position > 0),
      `each of 4 partitions gets some of 40 rows: ${first}`,
    );
    const restored = testDriver(make(), { from: uncut.snapshot() });
    const other = testDriver(make(), { from: uncut.snapshot(), seed: 6 });
    for (const driver of [uncut, restored, other]) driver.send(rows);
    const second = positions(uncut);
    assert.deepEqual(positions(restored), second);
    assert.notDeepEqual(positions(other), second);
    // Without a seed, rows go where they always went.
    const plain = testDriver(make());
    plain.send(rows);
    assert.deepEqual(positions(plain), [40, 0, 0, 0]);
  });

  test('is refused where there is no whole state', () => {
    const code = 'ERR_MILLRACE_OPTION';
    const driver = testDriver(tumblingClicks());
    driver.snapshot();
    driver.send([{ page: '/', ms: 1, at: 0 }]);
    assert.throws(() => driver.snapshot(), { code, message: /endEpoch\(\) first/ });
    driver.endEpoch();
    driver.snapshot();
    driver.close();
    assert.throws(() => driver.snapshot(), { code, message: /closed/ });
    const failing = testDriver(
      perMinute((stream) =>
        stream
          .filter((row) => {
            if (row.ms < 0) throw new RangeError('less than nothing');
            return true;
          })
          .to(collect()),
      ),
    );
    assert.throws(() => failing.send([{ page: '/', ms: -1, at: 0 }]), { code: 'ERR_MILLRACE_USER_FUNCTION' });
    assert.throws(() => failing.snapshot(), { code, message: /after a failure/ });
    const uncopied = testDriver(
      perMinute((stream) =>
        stream
          .keyBy('page')
          .process({ schema: { page: utf8 }, state: () => () => 1, onRow: () => {} })
          .to(collect()),
      ),
    );
    uncopied.send([{ page: '/p', ms: 1, at: 0 }]);
    uncopied.endEpoch();
    assert.throws(() => uncopied.snapshot(), { code: 'ERR_MILLRACE_USER_FUNCTION', message: /"\/p".*cannot be copied/ });
  });

  test('is refused by another plan, another name, another format, another version, and what is none', () => {
    const code = 'ERR_MILLRACE_CHECKPOINT';
    const snapshot = testDriver(tumblingClicks()).snapshot();
    const hourly = perMinute((stream) =>
      stream
        .keyBy('page')
        .window(tumbling('1h'))
        .aggregate({ n: count(), ms: sum('ms') })
        .to(collect()),
    );
    assert.throws(() => testDriver(hourly, { from: snapshot }), {
      code,
      message: /aggregate 1 changed \(window\.shape\.sizeMs was 60000, is 3600000\); kept: source 1, watermark 1, sink 1/,
    });
    const more = perMinute((stream) =>
      stream
        .keyBy('page')
        .window(sliding('1m', '30s'))
        .aggregate({ n: count(), least: min('ms'), most: max('ms') })
        .to(collect()),
    );
    assert.throws(() => testDriver(more, { from: snapshot }), {
      code,
      message: /aggregate 1 changed .*aggregates.*; and \d+ more\); sink 1 changed \(schema was .*least.*kept: source 1, watermark 1\./,
    });
    const named = pipeline('others')
      .from(memory([], { schema: clicks }))
      .to(collect());
    assert.throws(() => testDriver(named, { from: snapshot }), { code, message: /"clicks".*"others"/ });
    assert.throws(() => testDriver(tumblingClicks(), { from: { ...snapshot, format: 1 } }), { code, message: /format 1.*reads 3/ });
    assert.throws(() => testDriver(tumblingClicks(), { from: 'snapshot' as unknown as DriverSnapshot }), { code, message: /is no snapshot/ });
    const cut = structuredClone(snapshot) as unknown as { state: { exchanges: { shard: number }[][] } };
    cut.state.exchanges[0]?.pop();
    assert.throws(() => testDriver(tumblingClicks(), { from: cut as unknown as DriverSnapshot }), { code, message: /shard 63/ });
  });

  test('options that do not fit', () => {
    const code = 'ERR_MILLRACE_OPTION';
    for (const shards of [0, 9, 1.5, '2' as unknown as number])
      assert.throws(() => testDriver(tumblingClicks(), { shards }), { code, message: /shards.*1 to 8/ });
    assert.throws(() => testDriver(tumblingClicks(), { seed: Number.NaN }), { code, message: /seed/ });
    assert.throws(() => testDriver(tumblingClicks(), { partitions: 0 }), { code, message: /partitions/ });
    const snapshot = testDriver(tumblingClicks(), { now: 1_000, partitions: 3 }).snapshot();
    assert.throws(() => testDriver(tumblingClicks(), { from: snapshot, partitions: 4 }), { code, message: /4.*3/ });
    assert.throws(() => testDriver(tumblingClicks(), { from: snapshot, now: 999 }), { code, message: /999.*1000/ });
    testDriver(tumblingClicks(), { from: snapshot, partitions: 3, now: 2_000 });
  });
});

test('the first epoch, too, goes by the clock of the driver', () => {
  const make = () =>
    pipeline('skew')
      .from(memory([], { schema: clicks }))
      .withWatermark('at', 0, { maxSkew: '1m' })
      .keyBy('page')
      .window(tumbling('1s'))
      .aggregate({ n: count() })
      .to(collect());
  const rows = [
    { page: '/', ms: 0, at: 500 },
    { page: '/wild', ms: 0, at: 3_600_000 },
  ];
  for (const [now, windows] of [
    [0, 0],
    [3_600_000, 1],
  ] as const) {
    const driver = testDriver(make(), { partitions: 1, now });
    driver.send(rows);
    driver.endEpoch();
    assert.equal(driver.output().length, windows);
    // The bound of the epoch to come is that of the clock when the last one ended.
    const restored = testDriver(make(), { from: driver.snapshot() });
    for (const one of [driver, restored]) {
      one.advanceTime(3_600_000);
      one.send([{ page: '/next', ms: 0, at: 7_000_000 }]);
      one.endEpoch();
      assert.equal(one.output().length, one === driver ? windows : 0);
      one.send([{ page: '/next', ms: 0, at: 7_100_000 }]);
      one.endEpoch();
    }
    assert.deepEqual(restored.output(), driver.output().slice(windows));
    assert.equal(restored.output().length, now === 0 ? 0 : 2);
  }
});
