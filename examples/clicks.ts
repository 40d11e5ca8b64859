// Page clicks: how often each page was clicked in each minute, and how long its visitors stayed on average.
//
//   npx millrace run examples/clicks.ts --param dir=./data
//
// reads the topic `clicks` of the embedded log in ./data and writes the topic `clicks-per-page`. clicks-kafka.ts is the
// same job on Kafka, and clicks-data.ts makes the clicks. `npm start` runs all of it and checks the result.

import { arrow, count, f64, json, log, mean, pipeline, type RowOf, type Sink, type Source, timestamp, tumbling, utf8 } from 'millrace';

export const click = { page: utf8, user: utf8, ms: f64, at: timestamp };
export const pageMinute = { page: utf8, windowStart: timestamp, windowEnd: timestamp, clicks: f64, meanMs: f64 };

export function clicksPerPage(source: Source<RowOf<typeof click>>, sink: Sink) {
  return pipeline('clicks-per-page')
    .from(source)
    .withWatermark('at', '5s')
    .filter((r) => r.ms > 0)
    .keyBy('page')
    .window(tumbling('1m'))
    .aggregate({ clicks: count(), meanMs: mean('ms') })
    .to(sink);
}

export default ({ dir, format }: { dir: string; format?: 'json' | 'arrow' }) =>
  clicksPerPage(
    log.source({ dir, topic: 'clicks', group: 'clicks-per-page', value: format === 'arrow' ? arrow(click) : json(click) }),
    log.sink({ dir, topic: 'clicks-per-page', key: 'page', value: json() }),
  );
