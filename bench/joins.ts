/**
 * Interval join and session windows on one thread, without the rest of a job: rows to blocks, blocks to the
 * shards, results counted. 100,000 keys, as text or numbers. The join's rows meet 0.5 or 2 others; the count
 * is checked.
 *
 *   npx tsx bench/joins.ts [rows]
 */

import { f64, schema, timestamp, u32, utf8 } from '../core/index.ts';
import { count, planIntervalJoin, planSession, session, sum } from '../operators/index.ts';
import { measure, say } from './keyed-run.ts';

const ROWS = Number(process.argv[2] ?? 1_000_000);
const KEYS = 100_000;

/**
 * One row per millisecond, so each key comes every KEYS ms. Counts pairs of rows with equal keys whose right
 * row is `behind` to `behind + span` rows later.
 */
function pairCount(spanMs: number): number {
  let pairs = 0;
  for (let gap = 0; gap <= spanMs; gap += KEYS) pairs += Math.max(0, ROWS - gap);
  return pairs;
}

for (const keyType of [u32, utf8]) {
  const keyOf = keyType === u32 ? (row: number) => (row * 7_919) % KEYS : (row: number) => `customer-${(row * 7_919) % KEYS}`;
  const side = { schema: schema({ key: keyType, at: timestamp, value: f64 }), keys: ['key'], eventTime: 'at', timeShiftMs: 0 } as const;
  const rows = { at: (row: number) => row, keyOf };
  for (const spanMs of [50_000, 150_000]) {
    const plan = planIntervalJoin({ left: side, right: side, type: 'inner', suffix: '_right', beforeMs: 0, afterMs: spanMs });
    const measured = measure(plan, [rows, rows], ROWS);
    if (measured.results !== pairCount(spanMs)) throw new Error(`${measured.results} results, ${pairCount(spanMs)} expected`);
    say(`interval join of ${spanMs / 1_000} s, ${keyType.name} keys`, measured);
  }
  const plan = planSession({
    input: side.schema,
    keys: ['key'],
    aggregates: { rows: count(), total: sum('value') },
    window: session(KEYS / 2),
    eventTime: 'at',
  });
  // Each key comes in runs of ten rows, then pauses.
  const runs = { at: (row: number) => row, keyOf: (row: number) => keyOf(Math.floor(row / 20_000) * 2_000 + (row % 2_000)) };
  say(`sessions, ${keyType.name} keys`, measure(plan, [runs], ROWS));
}
