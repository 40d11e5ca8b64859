// Apache Flink's training, RidesAndFares: each ride with its fare, whichever comes first.

import { bool, collect, f64, pipeline, timestamp, utf8 } from 'millrace';
import { made, type Port, START_MS } from './port.ts';

const rides = made({ rideId: f64, isStart: bool, at: timestamp, taxiId: f64 }, 2_048, rideAt);
const fares = made({ rideId: f64, at: timestamp, paidBy: utf8, fare: f64 }, 1_024, fareAt);
const paid = collect();

const p = pipeline('rides-and-fares');
const starts = p
  .from(rides.source)
  .withWatermark('at', '1m')
  .filter((r) => r.isStart)
  .keyBy('rideId');
const payments = p.from(fares.source).withWatermark('at', '1m').keyBy('rideId');
export default starts.join(payments, { within: ['10m', '10m'] }).to(paid);

// The data, and a plain loop.

function rideAt(i: number) {
  return { rideId: i >> 1, isStart: i % 2 === 0, at: START_MS + (i >> 1) * 10_000 + (i % 2) * 5_000, taxiId: i % 97 };
}

/** Fares come in another order than rides, and some after a while. */
function fareAt(i: number, rng: { int(below: number): number }) {
  const rideId = i ^ 3;
  return { rideId, at: START_MS + rideId * 10_000 + (rideId % 5 === 0 ? 20_000 : 0), paidBy: rideId % 3 === 0 ? 'cash' : 'card', fare: rng.int(4_000) / 64 };
}

export const port: Port = {
  inputs: [rides, fares],
  outcomes: [
    {
      sink: paid,
      expected() {
        const byRide = new Map(fares.rows.map((fare) => [fare.rideId, fare]));
        return rides.rows.flatMap((ride) => {
          const fare = byRide.get(ride.rideId);
          if (!ride.isStart || fare === undefined) return [];
          return [{ ...ride, joinTime: Math.max(ride.at, fare.at), at_right: fare.at, paidBy: fare.paidBy, fare: fare.fare }];
        });
      },
    },
  ],
};
