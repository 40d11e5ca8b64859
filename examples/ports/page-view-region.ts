// Confluent's PageViewRegion: page views by the region of the user, over five minutes, each minute.

import { collect, pipeline, sliding, timestamp, utf8 } from 'millrace';
import { grouped, MINUTE_MS, made, type Port, START_MS } from './port.ts';

const views = made({ user: utf8, page: utf8, at: timestamp }, 3_000, viewAt, { partitions: 2 });
const profiles = made({ user: utf8, region: utf8 }, 40, profileAt, { isTable: true });
const regions = collect();

const p = pipeline('page-view-region');
export default p
  .from(views.source)
  .withWatermark('at', '5s')
  .keyBy('user')
  .join(p.from(profiles.source).keyBy('user'), { type: 'left' })
  .withColumns({ region: [utf8, (r) => r.region ?? 'UNKNOWN'] })
  .keyBy('region')
  .window(sliding('5m', '1m'))
  .count()
  .to(regions);

// The data, and a plain loop.

function viewAt(i: number, rng: { int(below: number): number }) {
  return { user: `user-${rng.int(45)}`, page: `page-${rng.int(9)}`, at: START_MS + i * 400 + rng.int(4_000) };
}

function profileAt(i: number) {
  return { user: `user-${i}`, region: ['asia', 'europe', 'africa'][i % 3] as string };
}

export const port: Port = {
  inputs: [views, profiles],
  outcomes: [
    {
      sink: regions,
      expected() {
        const regionOf = new Map(profiles.rows.map(({ user, region }) => [user, region]));
        const inWindows = views.rows.flatMap(({ user, at }) => {
          const first = Math.floor(at / MINUTE_MS) - 4;
          return Array.from({ length: 5 }, (_, i) => ({ region: regionOf.get(user) ?? 'UNKNOWN', windowStart: (first + i) * MINUTE_MS }));
        });
        return [...grouped(inWindows, (r) => `${r.region} ${r.windowStart}`).values()].map((rows) => ({
          ...(rows[0] as (typeof rows)[0]),
          windowEnd: (rows[0] as (typeof rows)[0]).windowStart + 5 * MINUTE_MS,
          count: rows.length,
        }));
      },
    },
  ],
};
