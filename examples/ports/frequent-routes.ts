// DEBS Grand Challenge 2015, query 1: the ten routes that were driven most in the last 30 minutes, each minute. Among
// equals, the one that was driven last.

import { collect, count, f64, max, pipeline, sliding, tumbling } from 'millrace';
import { grouped, MINUTE_MS, made, type Port, ranked } from './port.ts';
import { trip, tripAt } from './taxi-trips.ts';

const trips = made(trip, 4_000, tripAt);
const routes = collect();

export default pipeline('frequent-routes')
  .from(trips.source)
  .withWatermark('at', '1s')
  .keyBy('from', 'to')
  .window(sliding('30m', '1m'))
  .aggregate({ trips: count(), latest: max('at') })
  .withColumns({ score: [f64, (r) => r.trips * 1e8 + (r.latest - r.windowStart)] })
  .windowAll(tumbling('1m'))
  .top(10, { by: 'score' })
  .to(routes);

// A plain loop.

export const port: Port = {
  inputs: [trips],
  outcomes: [
    {
      sink: routes,
      expected() {
        const first = Math.floor((trips.rows[0]?.at as number) / MINUTE_MS) + 1;
        const last = Math.floor((trips.rows.at(-1)?.at as number) / MINUTE_MS) + 30;
        return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * MINUTE_MS).flatMap((end) => {
          const rows = trips.rows.filter((r) => r.at >= end - 30 * MINUTE_MS && r.at < end);
          const all = [...grouped(rows, (r) => `${r.from} ${r.to}`)].map(([route, own]) => {
            const [from, to] = route.split(' ');
            const latest = Math.max(...own.map((r) => r.at));
            return { from, to, trips: own.length, latest, score: own.length * 1e8 + (latest - (end - 30 * MINUTE_MS)) };
          });
          return ranked(all, 10, (r) => r.score).map((r) => ({ ...r, windowStart: end - MINUTE_MS, windowEnd: end }));
        });
      },
    },
  ],
};
