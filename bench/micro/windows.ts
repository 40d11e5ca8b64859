/**
 * Windows: the cost of a row, from columns to results, for tumbling windows and for ones that slide by a
 * 500th of their size; sums and counts (running totals), min and max (two stacks); beside Maps of plain
 * objects.
 *
 * Combiner, exchange blocks, 64 shards and emission run on one thread, with epochs of 100 ms of event time at
 * a million rows per second, and chunks of 12,288 rows. The windows of a case are not the same work (500
 * times as many are emitted). So two times are measured: `row` until all rows are in their panes, and the
 * whole. Verified before timing: every result against the Maps.
 *
 *   npx tsx bench/micro/windows.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import { bench, do_not_optimize, group, run, summary } from 'mitata';
import { Batch, createMemory, f64, SHARD_COUNT, SlabAllocator, schema, seededRng, timestamp, u32 } from '../../core/index.ts';
import {
  type Aggregate,
  Combiner,
  count,
  max,
  mean,
  min,
  orderExchangeBlocks,
  planAggregate,
  ResultWriter,
  shardAggregate,
  sliding,
  sum,
  type WindowSpec,
} from '../../operators/index.ts';

const isTiny = process.argv.includes('--tiny');
const rowCount = isTiny ? 40_000 : 2_000_000;
const KEYS = isTiny ? 50 : 1_000;
const ROWS_PER_MS = isTiny ? 10 : 1_000;
const JITTER_MS = 50;
const SIZE_MS = isTiny ? 1_000 : 1_000;
const BATCH_ROWS = 4_096;
const CHUNK_BATCHES = 3;
const EPOCH_MS = 100;
const START = 1_700_000_000_000;

const input = schema({ at: timestamp, key: u32, ms: f64 });
const slabs = new SlabAllocator(createMemory(1 << 30));
const { memory } = slabs;

const times = new Float64Array(rowCount);
const base = slabs.alloc(rowCount * 20);
const [timesAt, valuesAt, keysAt] = [base, base + rowCount * 8, base + rowCount * 16];
const rng = seededRng(7);
for (let row = 0; row < rowCount; row++) {
  const time = START + Math.floor(row / ROWS_PER_MS) - rng.int(JITTER_MS);
  times[row] = time;
  memory.i64[(timesAt >>> 3) + row] = BigInt(time);
  memory.f64[(valuesAt >>> 3) + row] = rng.int(1_000);
  memory.u32[(keysAt >>> 2) + row] = rng.int(KEYS);
}
const batches: Batch[] = [];
for (let from = 0; from < rowCount; from += BATCH_ROWS) {
  batches.push(
    new Batch(memory, input, Math.min(BATCH_ROWS, rowCount - from), [
      { type: timestamp, data: timesAt + from * 8, offsets: 0, validity: 0 },
      { type: u32, data: keysAt + from * 4, offsets: 0, validity: 0 },
      { type: f64, data: valuesAt + from * 8, offsets: 0, validity: 0 },
    ]),
  );
}

/** A sum over all results that changes with any wrong value, wrong window or missing row. */
class Checksum {
  rows = 0;
  total = 0;

  add(windowStart: number, key: number, values: readonly number[]): void {
    this.rows++;
    let mixed = (windowStart - START) * 31 + key;
    for (const value of values) mixed = mixed * 3 + value;
    // Whole numbers, so that the order of the results does not matter.
    this.total += Math.floor(mixed * 8) % 1_000_003;
  }
}

function ours(window: WindowSpec, aggregates: Record<string, Aggregate>, columns: readonly string[], emits = true) {
  const plan = planAggregate({ input, keys: ['key'], aggregates, window, eventTime: 'at' });
  return (check?: Checksum): number => {
    const combiner = new Combiner(slabs, plan);
    const writer = new ResultWriter(slabs, plan);
    const shards = Array.from({ length: SHARD_COUNT }, (_, shard) => shardAggregate(slabs, plan, shard, writer));
    let results = 0;
    const emit = (batch: Batch) => {
      results += batch.rowCount;
      if (check)
        for (const row of batch.toRows())
          check.add(
            row.windowStart as number,
            row.key as number,
            columns.map((name) => row[name] as number),
          );
    };
    let watermark = Number.NEGATIVE_INFINITY;
    for (let b = 0; b < batches.length; ) {
      combiner.beginEpoch({ watermark, timeBound: Number.POSITIVE_INFINITY });
      let maxTime = Number.NEGATIVE_INFINITY;
      for (let rows = 0; rows < EPOCH_MS * ROWS_PER_MS && b < batches.length; ) {
        combiner.beginChunk({ source: 0, partition: 0, first: b });
        for (let n = 0; n < CHUNK_BATCHES && b < batches.length; n++, b++) {
          combiner.add(batches[b] as Batch);
          rows += (batches[b] as Batch).rowCount;
        }
        maxTime = Math.max(maxTime, combiner.endChunk().maxTimeMs);
      }
      const blocks = orderExchangeBlocks(memory, combiner.takeBlocks());
      for (const shard of shards) for (const block of blocks) shard.merge(block);
      for (const block of blocks) slabs.free(block);
      watermark = maxTime - JITTER_MS;
      if (emits) for (const shard of shards) shard.advance(watermark, emit);
      else watermark = Number.NEGATIVE_INFINITY;
    }
    if (emits) for (const shard of shards) shard.close(emit);
    for (const shard of shards) shard.release();
    combiner.release();
    writer.release();
    return results;
  };
}

interface Totals {
  count: number;
  sum: number;
  min: number;
  max: number;
}

/** What one writes by hand: one Map per pane, merged window by window at the end. */
function maps(sizeMs: number, slideMs: number, read: (totals: Totals) => number[]) {
  return (check?: Checksum): number => {
    const panes = new Map<number, Map<number, Totals>>();
    const keys = memory.u32.subarray(keysAt >>> 2, (keysAt >>> 2) + rowCount);
    const values = memory.f64.subarray(valuesAt >>> 3, (valuesAt >>> 3) + rowCount);
    for (let row = 0; row < rowCount; row++) {
      const pane = Math.floor((times[row] as number) / slideMs);
      let groups = panes.get(pane);
      if (groups === undefined) panes.set(pane, (groups = new Map()));
      merge(groups, keys[row] as number, { count: 1, sum: values[row] as number, min: values[row] as number, max: values[row] as number });
    }
    let results = 0;
    const numbers = [...panes.keys()].sort((a, b) => a - b);
    const perWindow = sizeMs / slideMs;
    for (let window = (numbers[0] as number) - perWindow + 1; window <= (numbers.at(-1) as number); window++) {
      const groups = new Map<number, Totals>();
      for (let pane = window; pane < window + perWindow; pane++) for (const [key, totals] of panes.get(pane) ?? []) merge(groups, key, totals);
      for (const [key, totals] of groups) {
        results++;
        check?.add(window * slideMs, key, read(totals));
      }
    }
    return results;
  };
}

function merge(groups: Map<number, Totals>, key: number, by: Totals): void {
  const totals = groups.get(key);
  if (totals === undefined) {
    groups.set(key, { ...by });
    return;
  }
  totals.count += by.count;
  totals.sum += by.sum;
  if (by.min < totals.min) totals.min = by.min;
  if (by.max > totals.max) totals.max = by.max;
}

const SUMS = { n: count(), total: sum('ms'), avg: mean('ms') };
const EXTREMES = { n: count(), low: min('ms'), high: max('ms') };
const readSums = ({ count: n, sum: total }: Totals) => [n, total, total / n];
const readExtremes = ({ count: n, min: low, max: high }: Totals) => [n, low, high];

const cases = [
  { name: 'sliding-1', slideMs: SIZE_MS, aggregates: SUMS, read: readSums },
  { name: 'sliding-10', slideMs: SIZE_MS / 10, aggregates: SUMS, read: readSums },
  { name: 'sliding-500', slideMs: SIZE_MS / 500, aggregates: SUMS, read: readSums },
  { name: 'sliding-1 min max', slideMs: SIZE_MS, aggregates: EXTREMES, read: readExtremes },
  { name: 'sliding-10 min max', slideMs: SIZE_MS / 10, aggregates: EXTREMES, read: readExtremes },
];

for (const { name, slideMs, aggregates, read } of isTiny ? cases : cases.filter((c) => c.slideMs * 20 >= SIZE_MS)) {
  const [found, expected] = [new Checksum(), new Checksum()];
  ours(sliding(SIZE_MS, slideMs), aggregates, Object.keys(aggregates))(found);
  maps(SIZE_MS, slideMs, read)(expected);
  assert.deepEqual(found, expected, name);
  console.log(`verified: ${name}, ${found.rows} results of ${rowCount} rows`);
}

if (!isTiny) {
  for (const { name, slideMs, aggregates, read } of cases) {
    const window = sliding(SIZE_MS, slideMs);
    group(name, () => {
      summary(() => {
        const all = ours(window, aggregates, []);
        const rowsOnly = ours(window, aggregates, [], false);
        bench(`${name}: rows into panes`, () => do_not_optimize(rowsOnly()));
        bench(`${name}: rows to results`, () => do_not_optimize(all()));
        if (slideMs * 20 >= SIZE_MS) {
          const byMaps = maps(SIZE_MS, slideMs, read);
          bench(`${name}: Maps`, () => do_not_optimize(byMaps()));
        }
      });
    });
  }
  const { benchmarks } = await run(process.argv.includes('--json') ? { format: 'json' } : {});
  for (const { alias, runs } of benchmarks) console.log(`${alias}: ${((runs[0]?.stats?.p50 ?? Number.NaN) / rowCount).toFixed(1)} ns a row`);
}
