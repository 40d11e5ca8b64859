// Numbered rows into a server's sink, as fast as it takes them or at a pace: what is lost, and what is doubled, shows.

import { type ChangelogSink, count, f64, generator, i32, pipeline, type Sink, sum, utf8 } from 'millrace';
import { clickhouse } from 'millrace/io/clickhouse';
import { postgres } from 'millrace/io/postgres';
import { redis } from 'millrace/io/redis';

export interface Params {
  readonly to: 'clickhouse' | 'postgres' | 'redis';
  readonly options: never;
  readonly rows: number;
  readonly rowsPerSecond?: number;
  /** Sums by key as a table, in place of the rows. */
  readonly isTable?: boolean;
}

const SINKS: Record<Params['to'], (options: never) => Sink> = {
  clickhouse: (options) => clickhouse.sink(options),
  postgres: (options) => postgres.sink(options),
  redis: (options) => redis.sink(options),
};

export default ({ to, options, rows, rowsPerSecond, isTable = false }: Params) => {
  const numbered = pipeline('to-server').from(
    generator({
      rows,
      ...(rowsPerSecond === undefined ? {} : { rowsPerSecond }),
      seed: 1,
      partitions: 3,
      schema: { id: i32, page: utf8, n: f64 },
      row: (i) => ({ id: i, page: `p${i % 50}`, n: i % 7 }),
    }),
  );
  const sink = (SINKS[to] as (options: never) => ChangelogSink)(options);
  return isTable
    ? numbered
        .keyBy('page')
        .aggregate({ rows: count(), sum: sum('n') })
        .to(sink)
    : numbered.to(sink);
};
