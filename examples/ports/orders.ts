// Confluent's microservices of orders: each is checked for its details, for fraud, and against the stock; it is
// validated when it has passed all three, and failed at the first that it has not.

import { collect, f64, pipeline, timestamp, utf8 } from 'millrace';
import { grouped, HOUR_MS, made, type Port, START_MS } from './port.ts';

const FRAUD_LIMIT = 2_000;
const orders = made({ id: f64, customer: f64, product: f64, quantity: f64, price: f64, at: timestamp }, 2_000, orderAt);
const stock = made({ product: f64, units: f64 }, 8, (product) => ({ product, units: 150 + 10 * product }), { isTable: true });
const verdicts = collect();

const verdict = { id: f64, check: utf8, result: utf8 };
const p = pipeline('orders');
const placed = p.from(orders.source).withWatermark('at', '10s');
const details = placed.map(verdict, (r) => ({ id: r.id, check: 'details', result: r.quantity > 0 && r.price > 0 ? 'pass' : 'fail' }));
const fraud = placed.keyBy('customer').process({
  schema: verdict,
  state: () => ({ spent: 0, at: 0 }),
  onRow(r, ctx) {
    // What a customer has spent without a pause of an hour.
    if (r.at - ctx.state.at >= HOUR_MS) ctx.state.spent = 0;
    ctx.state = { spent: ctx.state.spent + r.quantity * r.price, at: r.at };
    ctx.emit({ id: r.id, check: 'fraud', result: ctx.state.spent > FRAUD_LIMIT ? 'fail' : 'pass' });
  },
});
const inventory = placed
  .keyBy('product')
  .join(p.from(stock.source).keyBy('product'))
  .keyBy('product')
  .process({
    schema: verdict,
    state: () => ({ reserved: 0 }),
    onRow(r, ctx) {
      const isThere = ctx.state.reserved + r.quantity <= r.units;
      if (isThere) ctx.state.reserved += r.quantity;
      ctx.emit({ id: r.id, check: 'inventory', result: isThere ? 'pass' : 'fail' });
    },
  });
export default details
  .union(fraud)
  .union(inventory)
  .keyBy('id')
  .process({
    schema: { id: f64, state: utf8 },
    state: () => ({ passed: 0, isFailed: false }),
    onRow(r, ctx) {
      if (r.result === 'pass') ctx.state.passed++;
      else if (!ctx.state.isFailed) ctx.emit({ id: r.id, state: 'FAILED' });
      ctx.state.isFailed ||= r.result === 'fail';
      if (ctx.state.passed === 3) ctx.emit({ id: r.id, state: 'VALIDATED' });
    },
  })
  .to(verdicts);

// The data, and a plain loop.

function orderAt(i: number, rng: { int(below: number): number }) {
  return {
    id: i,
    customer: rng.int(60),
    product: rng.int(8),
    quantity: rng.int(40) === 0 ? 0 : 1 + rng.int(3),
    price: (1 + rng.int(60)) * 4,
    at: START_MS + i * 30_000,
  };
}

export const port: Port = {
  inputs: [orders, stock],
  outcomes: [
    {
      sink: verdicts,
      expected() {
        const failed = new Set(orders.rows.filter((r) => !(r.quantity > 0 && r.price > 0)).map(({ id }) => id));
        for (const rows of grouped(orders.rows, (r) => r.customer).values()) {
          let [spent, last] = [0, 0];
          for (const r of rows) {
            spent = (r.at - last >= HOUR_MS ? 0 : spent) + r.quantity * r.price;
            last = r.at;
            if (spent > FRAUD_LIMIT) failed.add(r.id);
          }
        }
        for (const { product, units } of stock.rows) {
          let left = units;
          for (const r of orders.rows) {
            if (r.product !== product) continue;
            if (r.quantity > left) failed.add(r.id);
            else left -= r.quantity;
          }
        }
        return orders.rows.map(({ id }) => ({ id, state: failed.has(id) ? 'FAILED' : 'VALIDATED' }));
      },
    },
  ],
};
