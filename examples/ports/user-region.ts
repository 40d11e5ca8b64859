// Confluent's UserRegion: how many users there are in each region now, of regions with at least two. Users move.

import { collect, f64, pipeline, sum, timestamp, utf8 } from 'millrace';
import { grouped, made, type Port, START_MS } from './port.ts';

const moves = made({ user: utf8, region: utf8, at: timestamp }, 1_000, moveAt);
const regions = collect();

export default pipeline('user-region')
  .from(moves.source)
  .keyBy('user')
  .process({
    schema: { region: utf8, change: f64 },
    state: () => ({ region: '' }),
    onRow({ region }, ctx) {
      if (ctx.state.region !== '') ctx.emit({ region: ctx.state.region, change: -1 });
      ctx.emit({ region, change: 1 });
      ctx.state.region = region;
    },
  })
  .keyBy('region')
  .aggregate({ users: sum('change') })
  .map({ region: utf8, users: f64 }, (r) => ({ region: r.region, users: r.users >= 2 ? r.users : 0 }))
  .to(regions);

// The data, and a plain loop.

function moveAt(i: number, rng: { int(below: number): number }) {
  return { user: `user-${rng.int(60)}`, region: `region-${Math.min(rng.int(40), rng.int(40))}`, at: START_MS + i * 1_000 };
}

export const port: Port = {
  inputs: [moves],
  outcomes: [
    {
      sink: regions,
      latestBy: ['region'],
      expected() {
        const now = new Map(moves.rows.map(({ user, region }) => [user, region]));
        const users = grouped([...now.values()], (region) => region);
        const ever = new Set(moves.rows.map(({ region }) => region));
        return [...ever].map((region) => {
          const here = users.get(region)?.length ?? 0;
          return { region, users: here >= 2 ? here : 0 };
        });
      },
    },
  ],
};
