/**
 * The group table: count, sum, min and max of a column by an integer key, beside a Map of objects. Verified
 * group by group before timing. The suite (`npm run bench -- group-by`) has the other keys and the native
 * peers.
 *
 *   npx tsx bench/micro/group-table.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import { bench, do_not_optimize, group, run } from 'mitata';
import { f64, HashAggregator, seededRng, u32 } from '../../core/index.ts';

const isTiny = process.argv.includes('--tiny');
const ROWS = isTiny ? 20_000 : 1_000_000;
const rng = seededRng(3);

interface Totals {
  n: number;
  sum: number;
  least: number;
  greatest: number;
}

function viaMap(keys: Uint32Array, values: Float64Array): Map<number, Totals> {
  const groups = new Map<number, Totals>();
  for (let row = 0; row < keys.length; row++) {
    const key = keys[row] as number;
    const value = values[row] as number;
    const of = groups.get(key);
    if (of === undefined) groups.set(key, { n: 1, sum: value, least: value, greatest: value });
    else {
      of.n++;
      of.sum += value;
      if (value < of.least) of.least = value;
      if (value > of.greatest) of.greatest = value;
    }
  }
  return groups;
}

for (const keyCount of isTiny ? [10, 1_000] : [100, 10_000, 200_000]) {
  const keys = Uint32Array.from({ length: ROWS }, () => rng.int(keyCount));
  // Whole numbers: their sums are exact in any order.
  const values = Float64Array.from({ length: ROWS }, () => rng.int(1_000));
  const aggregator = new HashAggregator({
    columns: { key: u32, value: f64 },
    keyBy: ['key'],
    aggregates: { n: ['count'], sum: ['sum', 'value'], least: ['min', 'value'], greatest: ['max', 'value'] },
  });
  const viaTable = () => {
    aggregator.clear();
    aggregator.add({ key: keys, value: values });
    return aggregator.size;
  };
  const expected = viaMap(keys, values);
  assert.equal(viaTable(), expected.size);
  for (const [key, totals] of expected) assert.deepEqual({ ...aggregator.get(key) }, { key, ...totals });
  group(`${ROWS} rows, ${keyCount} keys`, () => {
    bench('HashAggregator', () => do_not_optimize(viaTable())).baseline(true);
    bench('Map of objects', () => do_not_optimize(viaMap(keys, values)));
  });
}
console.log('verified');
if (!isTiny) await run(process.argv.includes('--json') ? { format: 'json' } : {});
