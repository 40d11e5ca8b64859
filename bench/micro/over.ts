/**
 * `over` on one thread: four features, over a time and over rows, of 10,000 keys; in the order of event time and of
 * arrival. One row per millisecond. The sums of some rows are compared with what they must be.
 *
 *   npx tsx bench/micro/over.ts [--tiny]
 */

import { f64, type Schema, schema, timestamp, u32, utf8 } from '../../core/index.ts';
import { count, mean, min, type OverOrder, planOver, rangesApart, sum } from '../../operators/index.ts';
import { measure, say } from '../keyed-run.ts';

const ROWS = process.argv.includes('--tiny') ? 40_000 : 1_000_000;
const KEYS = process.argv.includes('--tiny') ? 400 : 10_000;
const orders: readonly OverOrder[] = ['eventTime', 'arrival'];

for (const keyType of [u32, utf8]) {
  const input: Schema = schema({ key: keyType, at: timestamp, value: f64 });
  for (const order of orders) {
    // Each key comes once per KEYS ms: 6 and 60 rows of it are in the two ranges of time.
    const features = { n: count({ within: 6 * KEYS }), sum: sum('value', 60 * KEYS), mean: mean('value', { rows: 5 }), least: min('value', 60 * KEYS) };
    const plan = planOver({ input, keys: ['key'], ...rangesApart(features, input), hidden: [], eventTime: 'at', timeShiftMs: 0, order });
    const [value, n, total] = ['value', 'n', 'sum'].map((name) => plan.output.indexOf(name)) as [number, number, number];
    const keyOf = keyType === u32 ? (row: number) => (row * 7_919) % KEYS : (row: number) => `customer-${(row * 7_919) % KEYS}`;
    let rows = 0;
    const measured = measure(plan, [{ at: (row) => row, keyOf }], ROWS, (batch) => {
      if (rows++ % 64 > 0) return;
      const row = batch.value(value, 0) as number;
      const before = Math.floor(row / KEYS);
      const kept = Math.min(before, 59) + 1;
      if (batch.value(n, 0) !== Math.min(before, 5) + 1) throw new Error(`row ${row}: ${batch.value(n, 0)} rows`);
      if (batch.value(total, 0) !== kept * row - (KEYS * kept * (kept - 1)) / 2) throw new Error(`row ${row}: a sum of ${batch.value(total, 0)}`);
    });
    say(`four features, ${keyType.name} keys, by ${order}`, measured);
  }
}
console.log('verified');
