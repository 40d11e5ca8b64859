// A feature store: what a model is trained with has to be what was known at the time. Each loan with the features of
// its user as they were when it was asked for.

import { bool, collect, count, f64, max, mean, pipeline, timestamp, tumbling } from 'millrace';
import { grouped, MINUTE_MS, made, type Port, START_MS, total } from './port.ts';

const purchases = made({ user: f64, amount: f64, at: timestamp }, 4_000, purchaseAt, { partitions: 2 });
const loans = made({ user: f64, isRepaid: bool, at: timestamp }, 1_000, loanAt, { partitions: 2 });
const training = collect();

const p = pipeline('feature-store');
const features = p
  .from(purchases.source)
  .withWatermark('at', '10s')
  .keyBy('user')
  .window(tumbling('10m'))
  .aggregate({ purchases: count(), meanAmount: mean('amount'), maxAmount: max('amount') });
export default p
  .from(loans.source)
  .withWatermark('at', '10s')
  .keyBy('user')
  .join(features.keyBy('user'), { asOf: 'eventTime', table: 'growing', type: 'left' })
  .to(training);

// The data, and a plain loop.

function purchaseAt(i: number, rng: { int(below: number): number }) {
  return { user: rng.int(30), amount: rng.int(10_000) / 64, at: START_MS + i * 2_000 + rng.int(5_000) };
}

function loanAt(i: number, rng: { int(below: number): number }) {
  return { user: rng.int(32), isRepaid: rng.int(10) > 0, at: START_MS + i * 8_000 + rng.int(8_000) };
}

export const port: Port = {
  inputs: [loans, purchases],
  outcomes: [
    {
      sink: training,
      expected() {
        const windows = [...grouped(purchases.rows, (r) => `${r.user} ${Math.floor(r.at / (10 * MINUTE_MS))}`)].map(([key, rows]) => {
          const [user, window] = key.split(' ').map(Number) as [number, number];
          const amounts = rows.map((r) => r.amount);
          const windowStart = window * 10 * MINUTE_MS;
          return {
            user,
            windowStart,
            windowEnd: windowStart + 10 * MINUTE_MS,
            purchases: rows.length,
            meanAmount: total(amounts) / rows.length,
            maxAmount: Math.max(...amounts),
          };
        });
        const none = { windowStart: null, windowEnd: null, purchases: null, meanAmount: null, maxAmount: null };
        // A window is known with its last millisecond.
        return loans.rows.map((loan) => {
          const known = windows.filter((w) => w.user === loan.user && w.windowEnd - 1 <= loan.at).sort((a, b) => b.windowEnd - a.windowEnd)[0];
          return { ...none, ...known, ...loan };
        });
      },
    },
  ],
};
