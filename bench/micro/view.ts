/**
 * A view: reading one key, and the first ten of all, beside a Map in which a program keeps the same results
 * itself. It runs on one thread, while nothing changes the state, so it measures the reading alone. Verified
 * before timing.
 *
 *   npx tsx bench/micro/view.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import { bench, do_not_optimize, group, run } from 'mitata';
import { count, memory, pipeline, sum, u32, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const isTiny = process.argv.includes('--tiny');

interface Row {
  readonly key: unknown;
  readonly rows: number;
  readonly ms: number;
}

for (const [name, type, keyOf] of [
  ['u32', u32, (i: number) => i],
  ['text', utf8, (i: number) => `/page/${i}`],
] as const) {
  for (const keys of isTiny ? [100] : [1_000, 100_000]) {
    const source = pipeline('view').from(memory<Row>([], { schema: { key: type, ms: u32 } } as never));
    const driver = testDriver(
      source
        .keyBy('key')
        .aggregate({ rows: count(), ms: sum('ms') })
        .as('totals'),
      { partitions: 1, memoryBytes: 256 << 20 },
    );
    const model = new Map<unknown, Row>();
    const rows: { key: unknown; ms: number }[] = [];
    for (let i = 0; i < keys; i++) {
      const key = keyOf(i);
      const ms = (i * 7_919) % keys;
      rows.push({ key, ms });
      model.set(key, { key, rows: 1, ms });
    }
    driver.send(rows);
    driver.endEpoch();
    const view = driver.view<Row>('totals');
    for (const [key, row] of model) assert.deepEqual(view.get(key), row);
    const topOf = () => [...model.values()].sort((a, b) => b.ms - a.ms).slice(0, 10);
    assert.deepEqual(view.top(10, { by: 'ms' }), topOf());
    const asked = Array.from({ length: 1_024 }, (_, i) => keyOf((i * 31) % keys));
    let at = 0;
    group(`${keys} keys, ${name}`, () => {
      bench('get', () => do_not_optimize(view.get(asked[at++ & 1_023])));
      bench('get of a Map', () => do_not_optimize(model.get(asked[at++ & 1_023])));
      bench('top 10', () => do_not_optimize(view.top(10, { by: 'ms' })));
      bench('top 10 of a Map', () => do_not_optimize(topOf()));
    });
  }
}
console.log('verified');
if (!isTiny) await run(process.argv.includes('--json') ? { format: 'json' } : {});
