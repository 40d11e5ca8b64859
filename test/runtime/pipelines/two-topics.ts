// Two topics in one consumer group, as one stream or joined; or one topic twice, which is refused.

import { collect, count, f64, json, pipeline, type Sink, timestamp, tumbling, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

export const results = collect();

export interface Params {
  readonly brokers: string;
  readonly left: string;
  readonly right: string;
  readonly group: string;
  readonly what: 'union' | 'join' | 'windows';
}

export default ({ brokers, left, right, group, what }: Params) => {
  const servers = brokers.split(',');
  const p = pipeline('two-topics');
  const columns = { id: utf8, n: f64, at: timestamp };
  const read = (topic: string) => p.from(kafka.source({ brokers: servers, topic, group, heartbeatInterval: 100, value: json(columns) }));
  const sink = results as Sink;
  if (what === 'windows') return read(left).withWatermark('at', '0s').keyBy('id').window(tumbling('1s')).aggregate({ rows: count() }).to(sink);
  if (what === 'union') return read(left).union(read(right)).to(sink);
  return read(left)
    .keyBy('id')
    .join(
      read(right)
        .map({ key: utf8, right: f64 }, ({ id, n }) => ({ key: id, right: n }))
        .keyBy('key'),
      { type: 'left' },
    )
    .to(sink);
};
