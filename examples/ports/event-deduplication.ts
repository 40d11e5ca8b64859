// Confluent's EventDeduplication: an event that comes again within ten minutes is dropped, and the time begins anew.

import { collect, f64, pipeline, timestamp, utf8 } from 'millrace';
import { made, type Port, START_MS } from './port.ts';

const events = made({ id: utf8, value: f64, at: timestamp }, 3_000, eventAt);
const distinct = collect();

export default pipeline('event-deduplication')
  .from(events.source)
  .withWatermark('at', '1m')
  .keyBy('id')
  .dropDuplicates({ within: '10m', extend: true })
  .to(distinct);

// The data, and a plain loop.

function eventAt(i: number, rng: { int(below: number): number }) {
  return { id: `event-${rng.int(200)}`, value: i, at: START_MS + i * 2_000 };
}

export const port: Port = {
  inputs: [events],
  outcomes: [
    {
      sink: distinct,
      expected() {
        const seen = new Map<string, number>();
        return events.rows.filter(({ id, at }) => {
          const isNew = at - (seen.get(id) ?? Number.NEGATIVE_INFINITY) >= 600_000;
          seen.set(id, at);
          return isNew;
        });
      },
    },
  ],
};
