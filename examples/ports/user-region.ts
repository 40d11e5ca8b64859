// Confluent's UserRegion: how many users there are in each region now, of regions with at least two. Users move.

import { collect, pipeline, timestamp, utf8 } from 'millrace';
import { grouped, made, type Port, START_MS } from './port.ts';

const moves = made({ user: utf8, region: utf8, at: timestamp }, 1_000, moveAt);
const regions = collect();

export default pipeline('user-region')
  .from(moves.source)
  .keyBy('user')
  .table()
  .groupBy('region')
  .count()
  .filter((r) => r.count >= 2)
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
        return [...users].flatMap(([region, here]) => (here.length >= 2 ? [{ region, count: here.length }] : []));
      },
    },
  ],
};
