// Apache Flink's training, RideCleansing: the taxi rides that start and end in New York.

import { bool, collect, f64, pipeline, timestamp } from 'millrace';
import { made, type Port, START_MS } from './port.ts';

const rides = made({ rideId: f64, isStart: bool, at: timestamp, startLon: f64, startLat: f64, endLon: f64, endLat: f64 }, 3_000, rideAt, { partitions: 2 });
const cleansed = collect();

export default pipeline('ride-cleansing')
  .from(rides.source)
  .filter((r) => isInNewYork(r.startLon, r.startLat) && isInNewYork(r.endLon, r.endLat))
  .to(cleansed);

function isInNewYork(lon: number, lat: number): boolean {
  return lon > -74.05 && lon < -73.7 && lat > 40.5 && lat < 41;
}

// The data, and a plain loop.

function rideAt(i: number, rng: () => number) {
  const [lon, lat] = [() => -74.1 + rng() * 0.5, () => 40.4 + rng() * 0.7];
  return { rideId: i >> 1, isStart: i % 2 === 0, at: START_MS + i * 1_000, startLon: lon(), startLat: lat(), endLon: lon(), endLat: lat() };
}

export const port: Port = {
  inputs: [rides],
  outcomes: [{ sink: cleansed, expected: () => rides.rows.filter((r) => isInNewYork(r.startLon, r.startLat) && isInNewYork(r.endLon, r.endLat)) }],
};
