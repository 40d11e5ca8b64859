/**
 * The whole pipeline on one thread, beside a plain loop over objects: rows of a source's columns through
 * filter, key, window and aggregate to results, by the test driver's engine. Before timing, both results are
 * compared. The suite's `threads` case runs the real job on workers.
 *
 *   npx tsx bench/micro/pipeline.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import { bench, do_not_optimize, run } from 'mitata';
import { collect, count, f64, memory, pipeline, seededRng, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const isTiny = process.argv.includes('--tiny');
const ROWS = isTiny ? 2_000 : 100_000;
const rng = seededRng(5);
const rows = Array.from({ length: ROWS }, (_, i) => ({ page: `/p${rng.int(100)}`, ms: rng.int(1_000), at: i * 10 }));

function viaEngine() {
  const driver = testDriver(
    pipeline('bench')
      .from(memory([], { schema: { page: utf8, ms: f64, at: timestamp } }))
      .withWatermark('at', 0)
      .filter((r) => r.ms > 100)
      .keyBy('page')
      .window(tumbling('10s'))
      .aggregate({ clicks: count(), total: sum('ms') })
      .to(collect()),
    { partitions: 1 },
  );
  driver.send(rows);
  driver.close();
  return driver.output();
}

function viaLoop() {
  const windows = new Map<string, { page: string; windowStart: number; windowEnd: number; clicks: number; total: number }>();
  for (const { page, ms, at } of rows) {
    if (!(ms > 100)) continue;
    const windowStart = Math.floor(at / 10_000) * 10_000;
    const key = `${page} ${windowStart}`;
    const of = windows.get(key);
    if (of === undefined) windows.set(key, { page, windowStart, windowEnd: windowStart + 10_000, clicks: 1, total: ms });
    else {
      of.clicks++;
      of.total += ms;
    }
  }
  return [...windows.values()];
}

const text = (results: readonly object[]) => results.map((row) => JSON.stringify(row)).sort();
assert.deepEqual(text(viaEngine()), text(viaLoop()));
console.log('verified');

if (!isTiny) {
  bench('pipeline, objects in and out', () => do_not_optimize(viaEngine().length)).baseline(true);
  bench('plain loop over objects', () => do_not_optimize(viaLoop().length));
  await run(process.argv.includes('--json') ? { format: 'json' } : {});
}
