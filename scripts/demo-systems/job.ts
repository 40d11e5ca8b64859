// The main job: clicks from Kafka, how long visitors stay on each page on average, per minute, into a system. Only the sink
// differs between systems.

import { kafka } from '../../io/kafka/index.ts';
import { f64, json, mean, pipeline, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { systemOf } from './systems/index.ts';

const click = { page: utf8, user: utf8, ms: f64, at: timestamp };

export interface Params {
  readonly brokers: string;
  readonly input: string;
  readonly group: string;
  readonly system: string;
  /** What the server says of itself. */
  readonly connect: unknown;
}

export default async ({ brokers, input, group, system, connect }: Params) => {
  const { sink } = await systemOf(system);
  return pipeline('averaged-clicks')
    .from(kafka.source({ brokers: brokers.split(','), topic: input, group, value: json(click) }))
    .withWatermark('at', '5s')
    .filter((r) => r.ms > 0)
    .keyBy('page')
    .window(tumbling('1m'))
    .aggregate({ averageMs: mean('ms') })
    .select('page', 'windowStart', 'averageMs')
    .to(sink(connect));
};
