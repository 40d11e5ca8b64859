// A running count of one key, and nothing else.

import { collect, generator, pipeline, u32, utf8 } from 'millrace';

export const results = collect();

export default ({ rows, partitions }: { rows: number; partitions: number }) =>
  pipeline('one-key')
    .from(generator({ rows, seed: 1, partitions, schema: { key: utf8, n: u32 }, row: (i) => ({ key: 'only', n: i }) }))
    .keyBy('key')
    .count()
    .to(results);
