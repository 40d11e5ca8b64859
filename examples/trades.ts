// Trade monitoring: the volume-weighted price (VWAP) of each symbol by minute, and the minutes that leave the
// band in which the symbol was traded during the ten minutes before.
//
//   npx tsx examples/trades.ts          makes 90 minutes of trades on the embedded log, and watches them
//   npx tsx examples/trades.ts ./data   the same, and keeps the log in ./data
//
// Two spikes are hidden in the trades. The program ends with code 1 unless it finds exactly these.

import {
  collect,
  count,
  f64,
  generator,
  json,
  log,
  main,
  max,
  mean,
  min,
  pipeline,
  type Rng,
  sliding,
  stddev,
  sum,
  timestamp,
  tumbling,
  utf8,
  zScore,
} from 'millrace';
import { bars, clock, conclude, grouped, runOnLog, table } from './on-log.ts';

export const BAND_DEVIATIONS = 4;

const trade = { symbol: utf8, price: f64, size: f64, at: timestamp };
export const minutes = collect<Minute>();
export const spikes = collect<Minute>();

function watch(dir: string) {
  const trades = pipeline('trades')
    .from(log.source({ dir, topic: 'trades', value: json(trade) }))
    .withWatermark('at', '2s')
    .map({ ...trade, paid: f64 }, (r) => ({ ...r, paid: r.price * r.size }))
    .keyBy('symbol');

  const perMinute = trades.window(tumbling('1m')).aggregate({ paid: sum('paid'), volume: sum('size'), low: min('price'), high: max('price') });
  const bands = trades.window(sliding('10m', '1m')).aggregate({ trades: count(), mean: mean('price'), deviation: stddev('price') });

  // The event time of a window's result is its end. Each minute meets the band that ended one minute before
  // it, so that a spike does not widen the band it is measured against.
  const measured = perMinute
    .keyBy('symbol')
    .join(bands.keyBy('symbol'), { within: ['1m', '-1m'] })
    .map({ symbol: utf8, end: timestamp, vwap: f64, low: f64, high: f64, volume: f64, mean: f64, deviation: f64, z: f64 }, (r) => {
      const vwap = r.paid / r.volume;
      const deviation = r.deviation ?? 0;
      const { symbol, low, high, volume, mean } = r;
      return { symbol, end: r.windowEnd, vwap, low, high, volume, mean, deviation, z: zScore(vwap, mean, deviation) };
    });
  measured.to(minutes);
  return measured.filter((r) => Math.abs(r.z) > BAND_DEVIATIONS).to(spikes);
}

export interface Minute {
  readonly symbol: string;
  /** The end of the minute. */
  readonly end: number;
  readonly vwap: number;
  readonly low: number;
  readonly high: number;
  readonly volume: number;
  readonly mean: number;
  readonly deviation: number;
  readonly z: number;
}

// An hour and a half of trades, with their spikes.

export const TRADES = 200_000;
export const START_MS = Date.UTC(2026, 0, 1, 14, 30);
const MINUTES = 90;
export const SYMBOLS = ['FLUX', 'GATE', 'MILL', 'RACE', 'WEIR'];
/** For a minute, most trades of a symbol are at another price. */
export const SPIKES = [
  { symbol: 'MILL', minute: 37, factor: 1.08 },
  { symbol: 'RACE', minute: 71, factor: 0.93 },
];

/** Trade number `i`: prices go up and down by a percent in 40 minutes; single trades deviate by 0.3 %. */
export function tradeAt(i: number, rng: Rng) {
  const s = rng.int(SYMBOLS.length);
  const symbol = SYMBOLS[s] as string;
  const sinceMs = Math.floor((i * (MINUTES * 60_000 - 1_000)) / TRADES) + rng.int(1_000);
  const fair = (50 + 25 * s) * (1 + 0.01 * Math.sin((2 * Math.PI * sinceMs) / 2_400_000 + s) + rng.normal(0, 0.003));
  const spike = SPIKES.find((one) => one.symbol === symbol && one.minute === Math.floor(sinceMs / 60_000));
  const price = fair * (spike !== undefined && rng.chance(0.6) ? spike.factor : 1);
  // Sixty-fourths and whole sizes: their sums are exact in any order.
  return { symbol, price: Math.round(price * 64) / 64, size: 1 + rng.int(500), at: START_MS + sinceMs };
}

function make(dir: string) {
  return pipeline('make-trades')
    .from(generator({ rows: TRADES, seed: 1, schema: trade, row: tradeAt }))
    .to(log.sink({ dir, topic: 'trades', key: 'symbol', value: json() }));
}

export default ({ dir, step = 'run' }: { dir: string; step?: 'make' | 'run' }) => (step === 'make' ? make(dir) : watch(dir));

main(import.meta.url, async () => {
  const { rowsIn, seconds } = await runOnLog(import.meta.url);
  console.log(`${grouped(rowsIn)} trades in ${seconds.toFixed(1)} s. The price of each symbol, minute by minute:\n`);
  const history = SYMBOLS.map((symbol) => {
    const prices = minutes.rows.filter((row) => row.symbol === symbol).map((row) => row.vwap);
    const [least, most] = [Math.min(...prices), Math.max(...prices)];
    const line = bars(
      prices.map((price) => price - least),
      most - least,
    );
    return { symbol, from: least.toFixed(2), to: most.toFixed(2), vwap: line };
  });
  console.log(table(history));

  console.log(`\nMinutes whose VWAP lies more than ${BAND_DEVIATIONS} deviations beside the mean of the ten minutes before:\n`);
  const inOrder = [...spikes.rows].sort((a, b) => a.end - b.end);
  console.log(
    table(
      inOrder.map(({ symbol, end, vwap, low, high, mean, deviation, z }) => {
        const reach = BAND_DEVIATIONS * deviation;
        const band = `${(mean - reach).toFixed(2)} to ${(mean + reach).toFixed(2)}`;
        return { minute: clock(end - 60_000), symbol, vwap: vwap.toFixed(2), band, low: low.toFixed(2), high: high.toFixed(2), deviations: z.toFixed(1) };
      }),
    ),
  );

  const planted = SPIKES.map(({ symbol, minute }) => `${symbol} at ${clock(START_MS + minute * 60_000)}`);
  const found = inOrder.map(({ symbol, end }) => `${symbol} at ${clock(end - 60_000)}`);
  conclude(found.join() === planted.join(), `Found: ${planted.join(' and ')}. These are the spikes that were hidden, and there is no other.`);
});
