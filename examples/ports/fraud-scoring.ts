// Scoring of payments for fraud: twelve features of how a card, and its merchant, were used up to each payment, and a
// score of them.

import { bool, collect, count, countDistinct, f64, max, mean, pipeline, sum, timestamp, utf8 } from 'millrace';
import { MINUTE_MS, made, type Port, START_MS, total } from './port.ts';

const payment = { card: f64, merchant: utf8, country: utf8, amount: f64, isDeclined: bool, at: timestamp };
const payments = made(payment, 3_000, paymentAt, { partitions: 2 });
const scored = collect();

export default pipeline('fraud-scoring')
  .from(payments.source)
  .withWatermark('at', '10s')
  .keyBy('card')
  .over({
    n1m: count('1m'),
    n1h: count('1h'),
    n1d: count('1d'),
    sum1h: sum('amount', '1h'),
    sum1d: sum('amount', '1d'),
    mean1d: mean('amount', '1d'),
    max1d: max('amount', '1d'),
    last5: mean('amount', { rows: 5 }),
    merchants1h: countDistinct('merchant', '1h'),
    countries1h: countDistinct('country', '1h'),
    declined1h: [count({ where: (r) => r.isDeclined }), '1h'],
  })
  .keyBy('merchant')
  .over({ merchantDeclined10m: [count({ where: (r) => r.isDeclined }), '10m'] })
  .withColumns({ score: [f64, (r) => scoreOf(r)] })
  .filter((r) => r.score >= 3)
  .to(scored);

function scoreOf(r: Features): number {
  const isSudden = r.n1m >= 3 || r.n1h > r.n1d / 2 + 2;
  const isLarge = r.amount > 4 * (r.mean1d ?? 0) || r.sum1h > 0.9 * r.sum1d + 400;
  const isUnlike = r.amount === r.max1d && r.amount > 2 * (r.last5 ?? 0);
  return [isSudden, isLarge, isUnlike, r.merchants1h > 3, r.countries1h > 2, r.declined1h > 1, r.merchantDeclined10m > 4].filter((is) => is).length;
}

interface Features {
  readonly amount: number;
  readonly n1m: number;
  readonly n1h: number;
  readonly n1d: number;
  readonly sum1h: number;
  readonly sum1d: number;
  readonly mean1d: number | null;
  readonly max1d: number;
  readonly last5: number | null;
  readonly merchants1h: number;
  readonly countries1h: number;
  readonly declined1h: number;
  readonly merchantDeclined10m: number;
}

// The data, and a plain loop.

/** Now and then somebody tries a card at many places. No two payments are of the same time. */
function paymentAt(i: number, rng: { int(below: number): number; chance(probability: number): boolean }) {
  const isThief = i % 500 < 25;
  return {
    card: isThief ? Math.floor(i / 500) : rng.int(60),
    merchant: `shop-${rng.int(12)}`,
    country: isThief ? (['de', 'us', 'jp', 'br'][rng.int(4)] as string) : 'de',
    amount: (1 + rng.int(isThief ? 60_000 : 6_000)) / 64,
    isDeclined: rng.chance(isThief ? 0.3 : 0.02),
    at: START_MS + i * 20_000 + rng.int(9_000) * 2 + (i % 2),
  };
}

export const port: Port = {
  inputs: [payments],
  outcomes: [
    {
      sink: scored,
      expected() {
        const inOrder = [...payments.rows].sort((a, b) => a.at - b.at);
        return inOrder.flatMap((row, i) => {
          const own = inOrder.slice(0, i + 1).filter((r) => r.card === row.card);
          const within = (minutes: number) => own.filter((r) => r.at > row.at - minutes * MINUTE_MS);
          const [minute, hour, day] = [within(1), within(60), within(1_440)];
          const amounts = day.map((r) => r.amount);
          const features = {
            ...row,
            n1m: minute.length,
            n1h: hour.length,
            n1d: day.length,
            sum1h: total(hour.map((r) => r.amount)),
            sum1d: total(amounts),
            mean1d: total(amounts) / amounts.length,
            max1d: Math.max(...amounts),
            last5: total(own.slice(-5).map((r) => r.amount)) / Math.min(5, own.length),
            merchants1h: new Set(hour.map((r) => r.merchant)).size,
            countries1h: new Set(hour.map((r) => r.country)).size,
            declined1h: hour.filter((r) => r.isDeclined).length,
            merchantDeclined10m: inOrder.slice(0, i + 1).filter((r) => r.merchant === row.merchant && r.isDeclined && r.at > row.at - 10 * MINUTE_MS).length,
          };
          const score = scoreOf(features);
          return score >= 3 ? [{ ...features, score }] : [];
        });
      },
    },
  ],
};
