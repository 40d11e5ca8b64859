// Makes the clicks that clicks.ts counts: some hours of visits to a thousand pages, slightly out of order.
// Some pages are far more popular than others. The same seed gives the same clicks, so a plain loop over
// `clickAt` gives the right result.

import { arrow, generator, json, log, pipeline, type Rng, type RowOf, type Sink } from 'millrace';
import { click } from './clicks.ts';

const START_MS = Date.UTC(2026, 0, 1);
const PAGES = 1_000;
const CLICKS_PER_SECOND = 1_000;

/** Click number `i`. */
export function clickAt(i: number, rng: Rng): RowOf<typeof click> {
  // The square makes low numbers popular: one click in thirty goes to /page/0.
  const page = `/page/${Math.floor(PAGES * rng() ** 2)}`;
  const user = `user-${rng.int(100_000)}`;
  // Eighths of a millisecond: their sums are exact in any order. One click in a hundred was a slip (0).
  const ms = rng.int(100) === 0 ? 0 : rng.int(80_000) / 8;
  const at = START_MS + Math.floor((i * 1_000) / CLICKS_PER_SECOND) - rng.int(2_000);
  return { page, user, ms, at };
}

export function clicks(rows: number, seed: number, sink: Sink) {
  return pipeline('make-clicks')
    .from(generator({ rows, seed, schema: click, row: clickAt }))
    .to(sink);
}

export default ({ dir, rows, seed, format }: { dir: string; rows: number; seed: number; format?: 'json' | 'arrow' }) =>
  clicks(rows, seed, log.sink({ dir, topic: 'clicks', partitions: 4, ...(format === 'arrow' ? { value: arrow() } : { key: 'user', value: json() }) }));
