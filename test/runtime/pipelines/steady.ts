// Windows over generated clicks of a fixed set of pages, for as long as one likes: state that does not grow.

import { collect, count, generator, mean, pipeline, timestamp, tumbling, u32 } from 'millrace';

export const results = collect();

export default ({ rows }: { rows: number }) =>
  pipeline('steady')
    .from(generator({ rows, seed: 1, partitions: 4, schema: { page: u32, at: timestamp }, row: (i, rng) => ({ page: rng.int(1_000), at: i }) }))
    .withWatermark('at', '1s')
    .keyBy('page')
    .window(tumbling('20s'))
    .aggregate({ clicks: count(), mean: mean('page') })
    // So that what is kept on the main thread does not grow either: one row a window.
    .filter((r) => r.page === 7)
    .to(results);
