// The pipeline: clicks per page, every ten seconds of event time. Worker threads import this module, too, so it holds the
// pipeline and nothing that runs by itself.

import { count, f64, json, log, mean, pipeline, type RowOf, type Sink, type Source, stdout, timestamp, tumbling, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

/** A record of the topic `clicks`. */
export const click = { page: utf8, ms: f64, at: timestamp };

/** What src/main.ts hands over: where topics are. With `brokers`, on Kafka; else on the embedded log, in files below `dir`. */
export interface Params {
  readonly dir: string;
  readonly brokers?: string;
}

export function clicksPerPage(source: Source<RowOf<typeof click>>, ...sinks: Sink[]) {
  const results = pipeline('clicks-per-page')
    .from(source)
    .withWatermark('at', '2s', { idle: '10s' })
    .filter((r) => r.ms > 0)
    .keyBy('page')
    .window(tumbling('10s'))
    .aggregate({ clicks: count(), meanMs: mean('ms') });
  for (const sink of sinks) results.to(sink);
  return results;
}

export default function clicks({ dir, brokers }: Params) {
  if (brokers === undefined) {
    return clicksPerPage(
      log.source({ dir, topic: 'clicks', value: json(click) }),
      log.sink({ dir, topic: 'clicks-per-page', key: 'page', value: json() }),
      stdout(),
    );
  }
  const list = brokers.split(',');
  return clicksPerPage(
    kafka.source({ brokers: list, topic: 'clicks', group: 'clicks-per-page', value: json(click) }),
    kafka.sink({ brokers: list, topic: 'clicks-per-page', createTopic: { partitions: 2 }, key: 'page', value: json() }),
    stdout(),
  );
}
