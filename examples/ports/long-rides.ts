// Apache Flink's training, LongRides: rides that have lasted more than two hours, as soon as that is known. The end of
// a ride may come before its start.

import { bool, collect, f64, pipeline, timestamp } from 'millrace';
import { HOUR_MS, MINUTE_MS, made, type Port, START_MS } from './port.ts';

const LONG_MS = 2 * HOUR_MS;
const RIDES = 1_000;
const events = made({ rideId: f64, isStart: bool, at: timestamp }, RIDES * 2, eventAt);
const long = collect();

export default pipeline('long-rides')
  .from(events.source)
  .withWatermark('at', '1m')
  .keyBy('rideId')
  .process({
    schema: { rideId: f64 },
    state: () => ({ start: 0, end: 0 }),
    onRow(row, ctx) {
      ctx.state[row.isStart ? 'start' : 'end'] = row.at;
      const { start, end } = ctx.state;
      if (start > 0 && end === 0) ctx.timer(start + LONG_MS);
      if (start === 0 || end === 0) return;
      if (end - start > LONG_MS) ctx.emit({ rideId: row.rideId });
      ctx.clear();
    },
    onTimer(_, ctx) {
      ctx.emit({ rideId: ctx.key.rideId });
      ctx.clear();
    },
    // The end of a ride whose start was announced and forgotten.
    ttl: '1d',
  })
  .to(long);

// The data, and a plain loop. Event `i` is at second `i`, give or take what the watermark waits for: half of them
// start a ride, the others end the one that started some time ago.

function minutesOf(ride: number): number {
  return ride % 7 === 0 ? 121 + (ride % 60) : ride % 110;
}

/** All starts and ends in the order of their times, but those of a minute in any. */
const inOrder = Array.from({ length: RIDES }, (_, ride) => {
  const start = START_MS + ride * 40_000;
  const events = [
    { rideId: ride, isStart: true, at: start },
    { rideId: ride, isStart: false, at: start + minutesOf(ride) * MINUTE_MS + 1_000 },
  ];
  return ride % 13 === 0 ? [{ ...(events[0] as Event) }, { ...(events[0] as Event), rideId: ride + RIDES }] : events;
})
  .flat()
  .sort((a, b) => Math.floor(a.at / 30_000) - Math.floor(b.at / 30_000) || b.rideId - a.rideId || Number(a.isStart) - Number(b.isStart));

interface Event {
  readonly rideId: number;
  readonly isStart: boolean;
  readonly at: number;
}

function eventAt(i: number): Event {
  return inOrder[i] as Event;
}

export const port: Port = {
  inputs: [events],
  outcomes: [
    {
      sink: long,
      expected() {
        const ends = new Map(events.rows.filter((r) => !r.isStart).map((r) => [r.rideId, r.at]));
        // A ride without an end is long, as the end of all events is after all timers.
        return events.rows.filter((r) => r.isStart && !((ends.get(r.rideId) ?? Number.POSITIVE_INFINITY) - r.at <= LONG_MS)).map(({ rideId }) => ({ rideId }));
      },
    },
  ],
};
