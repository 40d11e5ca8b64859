// Counts per key and window from an embedded log to the sink of a system; and the rows as they are to the same place, where it is asked for.

import { type ChangelogSink, count, f64, json, log, pipeline, sum, timestamp, tumbling, utf8 } from 'millrace';
import { cassandra } from 'millrace/io/cassandra';
import { elasticsearch } from 'millrace/io/elasticsearch';
import { hbase } from 'millrace/io/hbase';
import { type HdfsSinkOptions, hdfs } from 'millrace/io/hdfs';
import { type S3SinkOptions, s3 } from 'millrace/io/s3';

const SINKS: Readonly<Record<string, (options: never) => unknown>> = {
  cassandra: cassandra.sink,
  elasticsearch: elasticsearch.sink,
  hbase: hbase.sink,
  hdfs: (options: Omit<HdfsSinkOptions, 'value' | 'changelog'>) => hdfs.sink({ ...options, value: json() }),
  s3: (options: Omit<S3SinkOptions, 'value' | 'changelog'>) => s3.sink({ ...options, value: json() }),
};

export interface ToServerParams {
  readonly dir: string;
  /** Which sink, and its options as JSON. */
  readonly sink: string;
  readonly options: string;
}

/** Rows of the result: { key, windowStart, windowEnd, rows, n }. */
export default ({ dir, sink, options }: ToServerParams) =>
  pipeline('to-server')
    .from(log.source({ dir, topic: 'in', group: 'to-server', value: json({ id: f64, key: utf8, n: f64, at: timestamp }) }))
    .withWatermark('at', 0)
    .keyBy('key')
    .window(tumbling(100))
    .aggregate({ rows: count(), n: sum('n') })
    .to(SINKS[sink]?.(JSON.parse(options) as never) as ChangelogSink);
