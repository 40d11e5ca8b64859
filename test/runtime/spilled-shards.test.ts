// Shards that are put away after their turns, and read back when there is something for them: for every operator and window
// (snapshot-cases.ts) what comes out is, row by row and epoch by epoch, what comes out of a run that keeps all state in memory. That this
// one is right is shown elsewhere, against models.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { createMemory, SHARD_COUNT, SlabAllocator } from '../../core/index.ts';
import type { ShardContext } from '../../operators/index.ts';
import type { AnyRow } from '../../runtime/index.ts';
import { graphOf, makePlan, type PipelineLike } from '../../runtime/plan/index.ts';
import { type DriverSnapshot, type TestDriver, testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';
import { CASES, runsOf, type Step, sourceCountOf } from './snapshot-cases.ts';

const RUNS = caseCount(100);
const PARTITIONS = 2;
const MEMORY_BYTES = 24 << 20;
const names = Object.keys(CASES);
const runsEach = Math.max(2, Math.ceil(RUNS / names.length));

/** All rows so far, sink by sink. */
function rowsOf(driver: TestDriver): (readonly AnyRow[])[] {
  const rows: (readonly AnyRow[])[] = [];
  for (;;) {
    try {
      rows.push([...driver.output(rows.length)]);
    } catch {
      return rows;
    }
  }
}

/** Plays steps; after each epoch, how many rows each sink has. */
function play(driver: TestDriver, steps: readonly Step[]): number[][] {
  return steps.map(({ sends, passMs }) => {
    for (const [source, partition, rows] of sends) driver.send(source, rows, partition === undefined ? {} : { partition });
    driver.advanceTime(passMs);
    driver.endEpoch();
    return rowsOf(driver).map((rows) => rows.length);
  });
}

const carried = (snapshot: DriverSnapshot): DriverSnapshot => deserialize(serialize(snapshot)) as DriverSnapshot;
/** Nothing stays; a few shards do; about half of them do. */
const limit = fc.constantFrom(0, 1_000, 20_000, 300_000);
const shards = fc.integer({ min: 1, max: 4 });

describe('a run whose shards are put away', () => {
  for (const name of names) {
    const make = CASES[name] as () => PipelineLike;
    test(name, () => {
      fc.assert(
        fc.property(
          runsOf(sourceCountOf(name), PARTITIONS),
          fc.nat(8),
          fc.tuple(limit, limit),
          fc.tuple(shards, shards, shards),
          fc.integer(),
          (steps, cutAt, limits, [a, b, c], seed) => {
            const options = { partitions: PARTITIONS, seed, memoryBytes: MEMORY_BYTES };
            const plain = testDriver(make(), { ...options, shards: a });
            const spilling = testDriver(make(), { ...options, shards: b, stateBytesMax: limits[0] });
            const cut = cutAt % steps.length;
            const sizes = play(plain, steps);
            const spilled = play(spilling, steps.slice(0, cut));
            // A snapshot of shards that are put away is one of the state, and whoever was asked for one goes on.
            const before = rowsOf(spilling);
            const resumed = testDriver(make(), { from: carried(spilling.snapshot()), shards: c, memoryBytes: MEMORY_BYTES, stateBytesMax: limits[1] });
            spilled.push(...play(spilling, steps.slice(cut)));
            play(resumed, steps.slice(cut));
            for (const driver of [plain, spilling, resumed]) driver.close();
            assert.deepEqual(spilled, sizes);
            assert.deepEqual(rowsOf(spilling), rowsOf(plain));
            assert.deepEqual(spilling.counts, plain.counts);
            assert.deepEqual(
              rowsOf(resumed).map((rows, sink) => [...(before[sink] as readonly AnyRow[]), ...rows]),
              rowsOf(plain),
            );
          },
        ),
        { numRuns: runsEach },
      );
    });
  }
});

describe('a shard that is closed gives all of its memory back', () => {
  for (const name of names) {
    const make = CASES[name] as () => PipelineLike;
    test(name, () => {
      fc.assert(
        fc.property(runsOf(sourceCountOf(name), PARTITIONS), fc.integer(), (steps, seed) => {
          const driver = testDriver(make(), { partitions: PARTITIONS, seed, memoryBytes: MEMORY_BYTES });
          play(driver, steps);
          const { state } = carried(driver.snapshot());
          const graph = graphOf(make());
          assert.ok(graph);
          makePlan(graph).exchanges.forEach(({ operator }, exchange) => {
            const slabs = new SlabAllocator(createMemory(MEMORY_BYTES));
            const clock = { epoch: state.epoch, nowMs: state.nowMs, watermark: Number.NEGATIVE_INFINITY };
            const context: ShardContext = {
              slabs,
              clock,
              emit: () => {},
              failures: { areSkipped: false, skip: (error) => assert.fail(error as Error) },
              located: (error) => error,
              carriesOrder: false,
            };
            const open = operator.openShards(context);
            const stateOf = (shard: number) => state.exchanges[exchange]?.find((one) => one.shard === shard)?.state;
            const cycle = (): void => {
              const opened = Array.from({ length: SHARD_COUNT }, (_, shard) => open(shard, structuredClone(stateOf(shard))));
              // With what the end of the input leaves behind.
              clock.watermark = Number.POSITIVE_INFINITY;
              for (const shard of opened) {
                shard.merge([]);
                shard.advance(Number.POSITIVE_INFINITY);
              }
              for (const shard of opened) shard.close();
              clock.watermark = Number.NEGATIVE_INFINITY;
            };
            // What is kept for the next one is of the thread, not of shards.
            cycle();
            const before = slabs.usage().usedBytes;
            cycle();
            assert.equal(slabs.usage().usedBytes, before, operator.name);
          });
        }),
        { numRuns: Math.ceil(runsEach / 4) },
      );
    });
  }
});
