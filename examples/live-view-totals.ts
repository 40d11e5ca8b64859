// Totals per page over a stream of clicks that does not end, under a name: live-view.ts asks for them.

import { count, f64, generator, mean, pipeline, quantile, utf8 } from 'millrace';

export default ({ rowsPerSecond = 20_000 }: { rowsPerSecond?: number }) =>
  pipeline('clicks-so-far')
    .from(
      generator({
        rowsPerSecond,
        seed: 1,
        schema: { page: utf8, ms: f64 },
        // Low numbers come often, high ones seldom.
        row: (_, rng) => ({ page: `/page/${Math.floor(1_000 * rng() ** 3)}`, ms: 1 + rng.int(900) }),
      }),
    )
    .keyBy('page')
    .aggregate({ clicks: count(), meanMs: mean('ms'), slowMs: quantile('ms', 0.99) })
    .as('pages');
