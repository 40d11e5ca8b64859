// DEBS Grand Challenge 2015, query 2: the ten areas that pay best, each minute: the median of what was paid for trips
// from there in the last 15 minutes, for each taxi that has stood empty there since its last trip, of 30 minutes at
// most.

import { collect, count, f64, last, pipeline, sliding, timestamp, tumbling, utf8 } from 'millrace';
import { grouped, MINUTE_MS, made, type Port, ranked } from './port.ts';
import { trip, tripAt } from './taxi-trips.ts';

const done = made(trip, 3_000, tripAt);
const areas = collect();

const trips = pipeline('profitable-areas').from(done.source).withWatermark('at', '1s');
const profits = trips
  .keyBy('from')
  .window(sliding('15m', '1m'))
  .aggregate({ paid: collect('paid', { max: 100_000 }) })
  .map({ area: utf8, windowEnd: timestamp, median: f64 }, (r) => ({ area: r.from, windowEnd: r.windowEnd, median: medianOf(JSON.parse(r.paid)) }));
const empty = trips
  .keyBy('taxi')
  .window(sliding('30m', '1m'))
  .aggregate({ area: last('to') })
  .keyBy('area')
  .window(tumbling('1m'))
  .aggregate({ taxis: count() });
export default profits
  .keyBy('area')
  .window(tumbling('1m'))
  .join(empty.keyBy('area'))
  .withColumns({ profit: [f64, (r) => r.median / r.taxis] })
  .windowAll(tumbling('1m'))
  .top(10, { by: 'profit' })
  .select('area', 'median', 'taxis', 'profit', 'rank', 'windowEnd')
  .to(areas);

function medianOf(values: number[]): number {
  const sorted = values.sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

// A plain loop.

export const port: Port = {
  inputs: [done],
  outcomes: [
    {
      sink: areas,
      expected() {
        const first = Math.floor((done.rows[0]?.at as number) / MINUTE_MS) + 1;
        const end = Math.floor((done.rows.at(-1)?.at as number) / MINUTE_MS) + 30;
        return Array.from({ length: end - first + 1 }, (_, i) => (first + i) * MINUTE_MS).flatMap((windowEnd) => {
          const within = (minutes: number) => done.rows.filter((r) => r.at >= windowEnd - minutes * MINUTE_MS && r.at < windowEnd);
          const standing = new Map(within(30).map((r) => [r.taxi, r.to]));
          const all = [...grouped(within(15), (r) => r.from)].flatMap(([area, rows]) => {
            const taxis = [...standing.values()].filter((to) => to === area).length;
            const median = medianOf(rows.map((r) => r.paid));
            return taxis === 0 ? [] : [{ area, median, taxis, profit: median / taxis }];
          });
          return ranked(all, 10, (r) => r.profit).map((r) => ({ ...r, windowEnd }));
        });
      },
    },
  ],
};
