// Apache Flink's TopSpeedWindowing: whenever a car has gone 50 metres more, its greatest speed in the last ten
// seconds.

import { collect, f64, pipeline, timestamp } from 'millrace';
import { made, type Port, START_MS } from './port.ts';

const TRIGGER_METRES = 50;
const EVICT_MS = 10_000;
const positions = made({ car: f64, speed: f64, distance: f64, at: timestamp }, 3_000, positionAt);
const topSpeeds = collect();

export default pipeline('top-speed')
  .from(positions.source)
  .withWatermark('at', '1s')
  .keyBy('car')
  .process({
    schema: { car: f64, speed: f64, distance: f64, at: timestamp },
    state: () => ({ recent: [] as Position[], fired: Number.NaN }),
    onRow(row, ctx) {
      const state = ctx.state;
      state.recent = [...state.recent.filter((r) => r.at > row.at - EVICT_MS), row];
      if (Number.isNaN(state.fired)) state.fired = row.distance;
      if (row.distance - state.fired <= TRIGGER_METRES) return;
      state.fired = row.distance;
      ctx.emit(state.recent.reduce((a, b) => (b.speed > a.speed ? b : a)));
    },
  })
  .to(topSpeeds);

interface Position {
  readonly car: number;
  readonly speed: number;
  readonly distance: number;
  readonly at: number;
}

// The data, and a plain loop.

function positionAt(i: number, rng: { int(below: number): number }): Position {
  const [car, turn] = [i % 3, Math.floor(i / 3)];
  const distance = turn * (5 + car) + Math.round(20 * Math.sin(turn / 10));
  return { car, speed: rng.int(100), distance, at: START_MS + turn * 700 };
}

export const port: Port = {
  inputs: [positions],
  outcomes: [
    {
      sink: topSpeeds,
      expected() {
        const found: Position[] = [];
        for (const car of [0, 1, 2]) {
          const own = positions.rows.filter((r) => r.car === car);
          let fired = own[0]?.distance as number;
          for (const row of own) {
            if (row.distance - fired <= TRIGGER_METRES) continue;
            fired = row.distance;
            const recent = own.filter((r) => r.at <= row.at && r.at > row.at - EVICT_MS);
            found.push(recent.find((r) => r.speed === Math.max(...recent.map(({ speed }) => speed))) as Position);
          }
        }
        return found;
      },
    },
  ],
};
