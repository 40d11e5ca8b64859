// Linear Road: cars report where they are every 30 seconds. Two cars that have stopped at one place are an accident.
// A car that enters a segment is told of an accident ahead, or else what it has to pay: more where many cars were
// slow.

import { bool, collect, countDistinct, f64, mean, pipeline, sliding, timestamp, tumbling } from 'millrace';
import { grouped, MINUTE_MS, made, type Port, START_MS, total } from './port.ts';

const STOPPED_REPORTS = 4;
const AHEAD = 4;
const SLOW = 40;
const FEW = 10;
const report = { car: f64, speed: f64, segment: f64, position: f64, at: timestamp };
const reports = made(report, 9_600, reportAt);
const tolls = collect();

const positions = pipeline('linear-road').from(reports.source).withWatermark('at', '1s');

// The mean speed of the five minutes before, and the cars of the minute before.
const perCar = positions
  .keyBy('segment', 'car')
  .window(tumbling('1m'))
  .aggregate({ speed: mean('speed') });
const speeds = perCar
  .keyBy('segment')
  .window(sliding('5m', '1m'))
  .aggregate({ speed: mean('speed') });
const volumes = perCar
  .keyBy('segment')
  .window(tumbling('1m'))
  .aggregate({ cars: countDistinct('car') });
const statistics = speeds.keyBy('segment', 'windowEnd').join(volumes.keyBy('segment', 'windowEnd'), { within: [0, 0] });

const stops = positions
  .keyBy('car')
  .process({
    schema: report,
    state: () => ({ position: -1, times: 0 }),
    onRow(row, ctx) {
      ctx.state.times = row.position === ctx.state.position ? ctx.state.times + 1 : 1;
      ctx.state.position = row.position;
      if (ctx.state.times >= STOPPED_REPORTS) ctx.emit(row);
    },
  })
  .keyBy('position', 'segment')
  .window(tumbling('1m'))
  .aggregate({ cars: countDistinct('car') });
// An accident is of the minute after it, and of the segments from which cars run into it.
const accidents = stops
  .filter((r) => r.cars >= 2)
  .flatMap({ segment: f64, windowEnd: timestamp, position: f64 }, (r) =>
    Array.from({ length: AHEAD + 1 }, (_, i) => ({ segment: r.segment - i, windowEnd: r.windowEnd, position: r.position })),
  )
  .keyBy('segment', 'windowEnd')
  .dropDuplicates({ within: '1m' });

export default positions
  .keyBy('car')
  .process({
    schema: { car: f64, segment: f64, at: timestamp, minute: timestamp },
    state: () => ({ segment: -1 }),
    onRow({ car, segment, at }, ctx) {
      if (segment !== ctx.state.segment) ctx.emit({ car, segment, at, minute: at - (at % MINUTE_MS) });
      ctx.state.segment = segment;
    },
  })
  .keyBy('segment', 'minute')
  .join(statistics.keyBy('segment', 'windowEnd'), { within: ['1m', 0], type: 'left' })
  .keyBy('segment', 'minute')
  .join(accidents.keyBy('segment', 'windowEnd'), { within: ['1m', 0], type: 'left' })
  .map({ car: f64, segment: f64, at: timestamp, isAccident: bool, toll: f64 }, (r) => {
    const isAccident = r.position !== null;
    const isJam = (r.speed ?? SLOW) < SLOW && (r.cars ?? 0) > FEW;
    return { car: r.car, segment: r.segment, at: r.at, isAccident, toll: isJam && !isAccident ? 2 * ((r.cars ?? 0) - FEW) ** 2 : 0 };
  })
  .to(tolls);

// The data, and a plain loop.

interface Report {
  readonly car: number;
  readonly speed: number;
  readonly segment: number;
  readonly position: number;
  readonly at: number;
}

const CARS = 120;
const STOPS = [
  { cars: [5, 6], position: 720, from: 30, to: 42 },
  { cars: [11, 12], position: 250, from: 50, to: 58 },
];

/** Some cars stop at one place for a while; the others go round, and are slow in some segments. */
function reportAt(i: number, rng: { int(below: number): number }): Report {
  const [car, turn] = [i % CARS, Math.floor(i / CARS)];
  const stop = STOPS.find(({ cars, from, to }) => cars.includes(car) && turn >= from && turn < to);
  const position = stop?.position ?? (car * 13 + turn * (10 + (car % 7))) % 1_000;
  const segment = Math.floor(position / 100);
  return {
    car,
    speed: stop !== undefined ? 0 : segment % 3 === 0 ? 10 + rng.int(40) : 35 + rng.int(40),
    segment,
    position,
    at: START_MS + turn * 30_000 + car * 200,
  };
}

export const port: Port = {
  inputs: [reports],
  outcomes: [
    {
      sink: tolls,
      expected() {
        const rows = reports.rows;
        const minuteOf = (at: number): number => Math.floor(at / MINUTE_MS);
        const perCar = [...grouped(rows, (r) => `${r.segment} ${r.car} ${minuteOf(r.at)}`).values()].map((own) => {
          const { segment, at } = own[0] as Report;
          return { segment, minute: minuteOf(at), speed: total(own.map((r) => r.speed)) / own.length };
        });
        const stopped = new Map<string, Set<number>>();
        for (const own of grouped(rows, (r) => r.car).values()) {
          own.forEach(({ car, segment, position, at }, i) => {
            if (i + 1 < STOPPED_REPORTS || !own.slice(i + 1 - STOPPED_REPORTS, i).every((r) => r.position === position)) return;
            const place = `${segment} ${position} ${minuteOf(at)}`;
            stopped.set(place, (stopped.get(place) ?? new Set()).add(car));
          });
        }
        const crashes = [...stopped].filter(([, cars]) => cars.size >= 2).map(([place]) => place.split(' ').map(Number) as [number, number, number]);
        return [...grouped(rows, (r) => r.car).values()].flatMap((own) =>
          own
            .filter((r, i) => r.segment !== own[i - 1]?.segment)
            .map(({ car, segment, at }) => {
              const minute = minuteOf(at);
              const cars = perCar.filter((r) => r.segment === segment && r.minute === minute - 1).length;
              const before = perCar.filter((r) => r.segment === segment && r.minute < minute && r.minute >= minute - 5);
              const isAccident = crashes.some(([where, , when]) => when === minute - 1 && where >= segment && where <= segment + AHEAD);
              // Where there was no car in the minute before, nobody knows of a jam.
              const isJam = cars > FEW && total(before.map((r) => r.speed)) / before.length < SLOW;
              return { car, segment, at, isAccident, toll: isJam && !isAccident ? 2 * (cars - FEW) ** 2 : 0 };
            }),
        );
      },
    },
  ],
};
