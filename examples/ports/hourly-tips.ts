// Apache Flink's training, HourlyTips: the driver who earned most tips in each hour.

import { collect, f64, pipeline, sum, timestamp, tumbling } from 'millrace';
import { grouped, HOUR_MS, made, type Port, ranked, START_MS, total } from './port.ts';

const fares = made({ driverId: f64, at: timestamp, tip: f64 }, 4_000, fareAt, { partitions: 2 });
const winners = collect();

export default pipeline('hourly-tips')
  .from(fares.source)
  .withWatermark('at', '5s')
  .keyBy('driverId')
  .window(tumbling('1h'))
  .aggregate({ tips: sum('tip') })
  .windowAll(tumbling('1h'))
  .top(1, { by: 'tips' })
  .to(winners);

// The data, and a plain loop.

/** Tips are whole 1/64, so their sums are exact in any order. */
function fareAt(i: number, rng: { int(below: number): number }) {
  return { driverId: rng.int(40), at: START_MS + i * 6_000 + rng.int(4_000), tip: rng.int(1_000) / 64 };
}

export const port: Port = {
  inputs: [fares],
  outcomes: [
    {
      sink: winners,
      expected: () =>
        [...grouped(fares.rows, (r) => Math.floor(r.at / HOUR_MS))].flatMap(([hour, rows]) => {
          const drivers = [...grouped(rows, (r) => r.driverId)].map(([driver, own]) => ({ driverId: Number(driver), tips: total(own.map((r) => r.tip)) }));
          const windowStart = Number(hour) * HOUR_MS;
          return ranked(drivers, 1, (r) => r.tips).map((r) => ({ ...r, windowStart, windowEnd: windowStart + HOUR_MS }));
        }),
    },
  ],
};
