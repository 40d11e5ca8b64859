/**
 * User-defined aggregators beside a built-in sum, on one thread: the cost of a row, running and in windows,
 * by strategy. 1,000 keys, one row per millisecond. Each result is compared with the built-in one beside it.
 *
 *   npx tsx bench/micro/aggregators.ts [--tiny]
 */

import { f64, schema, timestamp, utf8 } from '../../core/index.ts';
import { aggregator, planMixedAggregate, planSession, session, sliding, sum, tumbling, type WindowSpec } from '../../operators/index.ts';
import { measure, say } from '../keyed-run.ts';

const ROWS = process.argv.includes('--tiny') ? 20_000 : 500_000;
const KEYS = 1_000;
const input = schema({ key: utf8, at: timestamp, value: f64 });
const functions = {
  init: () => 0,
  add: (total: number, row: { value: number }) => total + row.value,
  merge: (a: number, b: number) => a + b,
  result: (total: number) => total,
};
const merging = aggregator(functions);
const removing = aggregator({ ...functions, remove: (total, row) => total - row.value });
const rows = { at: (row: number) => row, keyOf: (row: number) => `key-${(row * 7_919) % KEYS}` };

/** Twenty seconds with rows, then ten without. */
const paused = { ...rows, at: (row: number) => row + Math.floor(row / 20_000) * 10_000 };

function bench(name: string, own: typeof merging, window: WindowSpec | undefined, of = rows): void {
  const request = { input, keys: ['key'], aggregates: { total: sum('value'), own }, eventTime: 'at' };
  const plan =
    window?.shape.kind === 'session' ? planSession({ ...request, window }) : planMixedAggregate({ ...request, ...(window === undefined ? {} : { window }) });
  const [total, result] = [plan.output.indexOf('total'), plan.output.indexOf('own')];
  const measured = measure(plan, [of], ROWS, (batch) => {
    for (let row = 0; row < batch.rowCount; row++) {
      if (batch.value(total, row) !== batch.value(result, row)) throw new Error(`${name}: ${batch.value(result, row)}, not ${batch.value(total, row)}`);
    }
  });
  say(name, measured);
}

bench('running', merging, undefined);
bench('tumbling', merging, tumbling(10_000));
bench('sliding, 60 panes, merge', merging, sliding(60_000, 1_000));
bench('sliding, 60 panes, remove', removing, sliding(60_000, 1_000));
bench('sessions', merging, session(5_000), paused);
console.log('verified');
