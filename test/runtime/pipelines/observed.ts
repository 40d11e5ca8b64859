// What the tests of metrics and logs watch: counts per page and window, at a pace, for as long as one likes; some rows are late.

import { collect, count, generator, pipeline, timestamp, tumbling, utf8 } from 'millrace';

export const results = collect();

export interface Params {
  readonly rows: number;
  readonly rowsPerSecond?: number;
}

const START = Date.UTC(2026, 0, 1);

export default ({ rows, rowsPerSecond }: Params) =>
  pipeline('observed "pipeline"')
    .from(
      generator({
        // From the command line they are texts.
        rows: Number(rows),
        seed: 1,
        partitions: 2,
        ...(rowsPerSecond === undefined ? {} : { rowsPerSecond: Number(rowsPerSecond) }),
        schema: { page: utf8, at: timestamp },
        row: (i) => ({ page: `/p${i % 3}`, at: START + (i % 1_000 === 999 ? 0 : i * 100) }),
      }),
    )
    .withWatermark('at', '1s')
    .keyBy('page')
    .window(tumbling('10s'))
    .aggregate({ clicks: count() })
    .to(results);
