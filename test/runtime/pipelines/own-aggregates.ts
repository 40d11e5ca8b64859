// Aggregates of the user's own on threads, beside built-in ones: running, in sliding windows, in sessions, in batches of rows.

import { aggregator, collect, count, countWindow, f64, json, log, mean, pipeline, session, sliding, timestamp, utf8 } from 'millrace';

export const running = collect();
export const sliding1m = collect();
export const visits = collect();
export const tens = collect();

const spread = aggregator({
  init: () => ({ least: Number.POSITIVE_INFINITY, most: Number.NEGATIVE_INFINITY }),
  add(state, row: { ms: number }) {
    state.least = Math.min(state.least, row.ms);
    state.most = Math.max(state.most, row.ms);
  },
  merge: (a, b) => ({ least: Math.min(a.least, b.least), most: Math.max(a.most, b.most) }),
  result: (state) => state.most - state.least,
});
const total = aggregator({
  init: () => 0,
  add: (sum, row: { ms: number }) => sum + row.ms,
  merge: (a, b) => a + b,
  remove: (sum, row) => sum - row.ms,
  result: (sum) => sum,
});
const path = aggregator({
  type: utf8,
  init: (): number[] => [],
  add(list, row: { ms: number }) {
    if (row.ms === -1) throw new RangeError('a negative time');
    list.push(row.ms);
  },
  merge: (a, b) => [...a, ...b],
  result: (list) => list.join(),
});

export default ({ dir }: { dir: string }) => {
  const byUser = pipeline('own-aggregates')
    .from(log.source({ dir, topic: 'in', group: 'own-aggregates', value: json({ user: utf8, ms: f64, at: timestamp }) }))
    .withWatermark('at', 0)
    .keyBy('user');
  byUser.aggregate({ spread, rows: count() }).to(running);
  byUser
    .window(sliding('1m', '10s'))
    .aggregate({ rows: count(), total, meanMs: mean('ms'), spread })
    .to(sliding1m);
  byUser.window(session('5s')).aggregate({ path }).to(visits);
  return byUser.window(countWindow(10)).aggregate({ path, rows: count() }).to(tens);
};
