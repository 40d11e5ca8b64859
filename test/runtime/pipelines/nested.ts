// Nested orders through a log, as JSON and as Arrow, and into files.

import { arrow, collect, count, csv, f64, files, generator, json, jsonText, list, log, nullable, pipeline, sum, timestamp, tumbling, utf8 } from 'millrace';

export const order = {
  user: { id: utf8, tags: list(utf8), home: nullable({ city: utf8 }) },
  items: list({ sku: utf8, n: f64 }),
  payload: jsonText,
  at: timestamp,
} as const;

export const orderOf = (i: number) => ({
  user: { id: `u${i % 7}`, tags: i % 3 === 0 ? [] : ['paying', `t${i % 2}`], home: { city: i % 5 === 0 ? null : `c${i % 4}` } },
  items: Array.from({ length: i % 4 }, (_, k) => ({ sku: `s${k}`, n: i % 10 })),
  payload: JSON.stringify({ i, list: [null, 'x y'] }),
  at: i * 10,
});

export const spent = collect();
export const rows = collect();

export default ({ dir, step, count: total = 0 }: { dir: string; step: string; count?: number }) => {
  if (step === 'make') {
    return pipeline('make')
      .from(generator({ rows: total, seed: 1, partitions: 3, schema: order, row: orderOf }))
      .to(log.sink({ dir, topic: 'json', partitions: 3, key: 'user.id', value: json() }));
  }
  const orders = pipeline('orders').from(log.source({ dir, topic: step, value: step === 'json' ? json(order) : arrow(order) }));
  if (step === 'json') {
    orders.to(log.sink({ dir, topic: 'arrow', partitions: 1, value: arrow() }));
    orders.to(files.sink({ dir: `${dir}/files`, value: csv() }));
  }
  orders.to(rows);
  return orders
    .withWatermark('at', '1m')
    .filter((r) => r.user.tags.includes('paying') && r.user.home.city !== 'c1')
    .explode('items')
    .keyBy('user.id', 'items.sku')
    .window(tumbling('1h'))
    .aggregate({ orders: count(), n: sum('items.n') })
    .to(spent);
};
