// Windows that depend on when a row was read, or on when nobody had anything to say: two sizes, so that the long ones hold back the
// commit of the short ones.

import { collect, count, f64, files, json, log, pipeline, type Sink, sum, timestamp, tumbling, utf8 } from 'millrace';

const row = { id: f64, key: utf8, x: f64, at: timestamp };
const window = { key: utf8, windowStart: timestamp, windowEnd: timestamp, ids: utf8, n: f64, x: f64 };
export const results = collect();

export interface Params {
  readonly dir: string;
  readonly what: 'processing' | 'idle' | 'read';
  readonly group?: string;
  readonly name?: string;
}

export default ({ dir, what, group = 'g', name = 'repeated' }: Params) => {
  if (what === 'read') {
    return pipeline('read')
      .from(log.source({ dir, topic: 'out', value: json(window) }))
      .to(results as Sink);
  }
  const rows = pipeline(name).from(log.source({ dir, topic: 'in', group, value: json(row) }));
  // Without a column `at` of its own, so that both are streams of the same rows.
  const plain = rows.select('id', 'key', 'x');
  const timed = what === 'processing' ? plain.withProcessingTime('at') : rows.withWatermark('at', 20, { idle: 150 }).select('id', 'key', 'x', 'at');
  // A sink that replaces what an epoch gave when it is given again.
  timed.to(files.sink({ dir: `${dir}/rows`, value: json() }) as Sink);
  const out = log.sink({ dir, topic: 'out', value: json(), partitions: 1 }) as Sink;
  const windows = (sizeMs: number) =>
    timed
      .keyBy('key')
      .window(tumbling(sizeMs))
      .aggregate({ ids: collect('id', { max: 1_000_000 }), n: count(), x: sum('x') })
      .map({ key: utf8, windowStart: timestamp, windowEnd: timestamp, ids: utf8, n: f64, x: f64 }, (r) => r);
  return windows(40).union(windows(900)).to(out);
};
