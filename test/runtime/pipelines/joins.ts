// Joins and sessions over two made-up streams whose rows SQL can make, too: `i` and `j` number them.

import { collect, count, f64, generator, max, mean, min, nullable, pipeline, session, sliding, sum, timestamp, tumbling } from 'millrace';

export const pairs = { inner: collect(), left: collect(), right: collect(), full: collect() };
export const windowed = { inner: collect(), left: collect(), right: collect(), full: collect(), sliding: collect() };
export const windows = collect();
export const sessions = collect();

/** Rows a second of either stream are about 100 and 83; disorder is up to a second. */
export const KEYS = 50_021;
export const orderAt = (i: number) => ({ user: i % 997 === 0 ? null : (i * 7_919) % KEYS, i, at: i * 10 + ((i * 104_729) % 997) });
export const paymentAt = (j: number) => ({ payer: j % 991 === 0 ? null : (j * 15_485) % KEYS, j, at: j * 12 + ((j * 1_299) % 1_009) });

interface Params {
  readonly orders: number;
  readonly payments: number;
  /** Joins by nearness in time, and sessions; or joins in windows. */
  readonly by: 'interval' | 'window';
}

export default ({ orders: orderCount, payments: paymentCount, by }: Params) => {
  const p = pipeline(`joins by ${by}`);
  const orders = p
    .from(generator({ rows: orderCount, seed: 1, partitions: 3, schema: { user: nullable(f64), i: f64, at: timestamp }, row: (i) => orderAt(i) }))
    .withWatermark('at', '2s')
    .keyBy('user');
  const payments = p
    .from(generator({ rows: paymentCount, seed: 1, partitions: 2, schema: { payer: nullable(f64), j: f64, at: timestamp }, row: (j) => paymentAt(j) }))
    .withWatermark('at', '2s')
    .keyBy('payer');
  const types = ['inner', 'left', 'right', 'full'] as const;
  if (by === 'window') {
    for (const type of types) orders.window(tumbling('5m')).join(payments, { type }).select('windowStart', 'i', 'j').to(windowed[type]);
    return orders.window(sliding('10m', '4m')).join(payments).select('windowStart', 'i', 'j').to(windowed.sliding);
  }
  for (const type of types) {
    const joined = orders.join(payments, { within: ['1m', '4m'], type });
    joined.select('i', 'j').to(pairs[type]);
    if (type === 'left')
      joined
        .keyBy('user')
        .window(tumbling('10m'))
        .aggregate({ rows: count(), paid: count('j') })
        .to(windows);
  }
  return orders
    .window(session('5m'))
    .aggregate({ rows: count(), total: sum('i'), least: min('i'), most: max('i'), average: mean('i') })
    .to(sessions);
};
