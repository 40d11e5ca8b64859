// Orders joined with tables, by two other keys than that of the result; and a count of everything. Over Kafka, for several processes.

import { broadcast, count, f64, json, pipeline, sum, timestamp, tumbling, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

export interface Params {
  readonly brokers: string;
  /** Makes topics and group this run's own. */
  readonly name: string;
}

export const OUTPUTS = ['joined', 'regions', 'all'] as const;

export default ({ brokers, name }: Params) => {
  const at = { brokers: [brokers], group: name };
  const topic = (of: string) => `${name}-${of}`;
  const to = (of: string) => kafka.sink({ brokers: [brokers], topic: topic(of), value: json(), createTopic: { partitions: 2 } });
  const p = pipeline(name);
  const orders = p
    .from(kafka.source({ ...at, topic: topic('orders'), value: json({ id: f64, customer: utf8, product: utf8, n: f64, at: timestamp }) }))
    .withWatermark('at', 10, { idle: '1s' });
  const customers = p.from(kafka.source({ ...at, topic: topic('customers'), value: json({ customer: utf8, region: utf8 }) }));
  const products = p.from(kafka.source({ ...at, topic: topic('products'), value: json({ product: utf8, price: f64 }) }));
  const joined = orders
    .keyBy('customer')
    .join(customers.keyBy('customer'), { table: 'loaded' })
    .keyBy('product')
    .join(broadcast(products.keyBy('product')), { table: 'loaded' });
  joined.map({ id: f64, region: utf8, price: f64 }, ({ id, region, price }) => ({ id, region, price })).to(to('joined'));
  joined
    .keyBy('region')
    .window(tumbling(1_000))
    .aggregate({ orders: count(), n: sum('n') })
    .to(to('regions'));
  return orders
    .map({ key: utf8 }, () => ({ key: 'only' }))
    .keyBy('key')
    .count()
    .changes()
    .to(to('all'));
};
