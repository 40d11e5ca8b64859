/**
 * A running aggregate over many keys, each of which comes once; then all of them again and again, or a few of
 * them. Nothing is emitted.
 */

import { collect, count, f64, generator, pipeline, sum, u32 } from 'millrace';

export default ({ keys, again, rows }: { keys: number; again: number; rows: number }) =>
  pipeline('spilled-keys')
    .from(generator({ rows: keys + rows, seed: 1, schema: { key: u32, n: f64 }, row: (i) => ({ key: i < keys ? i : i % again, n: i & 7 }) }))
    .keyBy('key')
    .aggregate({ rows: count(), n: sum('n') })
    .filter((r) => r.rows < 0)
    .to(collect());
