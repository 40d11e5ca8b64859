// An aggregation of an aggregation, a fork, and a stream that goes to a sink without any key.

import { collect, count, f64, generator, max, mean, pipeline, sum, timestamp, tumbling, utf8 } from 'millrace';

export const minutes = collect();
export const hours = collect();
export const slow = collect();

export function rowAt(i: number, random: () => number) {
  return { page: `/p${Math.floor(random() * 7)}`, ms: Math.floor(random() * 8_000) / 8, at: i * 250 };
}

export default ({ rows }: { rows: number }) => {
  const clicks = pipeline('windows-of-windows')
    .from(generator({ rows, seed: 5, partitions: 3, schema: { page: utf8, ms: f64, at: timestamp }, row: (i, rng) => rowAt(i, rng) }))
    .withWatermark('at', '2s');
  clicks.filter((r) => r.ms > 990).to(slow);
  const perMinute = clicks
    .keyBy('page')
    .window(tumbling('1m'))
    .aggregate({ clicks: count(), meanMs: mean('ms') });
  perMinute.to(minutes);
  return perMinute
    .keyBy('page')
    .window(tumbling('1h'))
    .aggregate({ clicks: sum('clicks'), busiest: max('clicks') })
    .to(hours);
};
