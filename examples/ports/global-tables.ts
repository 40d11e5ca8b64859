// Confluent's GlobalKTables: orders with their customers and their products, tables that every worker has whole.

import { broadcast, collect, f64, pipeline, timestamp, utf8 } from 'millrace';
import { made, type Port, START_MS } from './port.ts';

const orders = made({ orderId: f64, customerId: f64, productId: f64, at: timestamp }, 2_000, orderAt, { partitions: 2 });
const customers = made({ id: f64, name: utf8 }, 50, (i) => ({ id: i, name: `customer ${i}` }), { isTable: true });
const products = made({ id: f64, product: utf8, price: f64 }, 20, (i) => ({ id: i, product: `product ${i}`, price: i / 4 }), { isTable: true });
const enriched = collect();

const p = pipeline('global-tables');
export default p
  .from(orders.source)
  .keyBy('customerId')
  .join(broadcast(p.from(customers.source).keyBy('id')))
  .keyBy('productId')
  .join(broadcast(p.from(products.source).keyBy('id')))
  .to(enriched);

// The data, and a plain loop.

function orderAt(i: number, rng: { int(below: number): number }) {
  return { orderId: i, customerId: rng.int(52), productId: rng.int(20), at: START_MS + i * 1_000 };
}

export const port: Port = {
  inputs: [orders, customers, products],
  outcomes: [
    {
      sink: enriched,
      expected: () =>
        orders.rows.flatMap((order) => {
          const customer = customers.rows.find(({ id }) => id === order.customerId);
          const product = products.rows.find(({ id }) => id === order.productId);
          return customer && product ? [{ ...order, name: customer.name, product: product.product, price: product.price }] : [];
        }),
    },
  ],
};
