/** A running aggregate over many keys, each of which comes again and again, from a generator. Nothing is emitted. */

import { collect, count, f64, generator, pipeline, sum, u32 } from 'millrace';

export default ({ keys, first, rows }: { keys: number; first: number; rows: number }) =>
  pipeline('many-keys')
    .from(generator({ rows: first + rows, seed: 1, schema: { key: u32, n: f64 }, row: (i) => ({ key: i % keys, n: i & 7 }) }))
    .keyBy('key')
    .aggregate({ rows: count(), n: sum('n') })
    .filter((r) => r.rows < 0)
    .to(collect());
