// The job of clicks.ts on Kafka: another source, another sink, nothing else.
//
//   npx millrace run examples/clicks-kafka.ts --param brokers=127.0.0.1:9092

import { arrow, json } from 'millrace';
import { kafka } from 'millrace/io/kafka';
import { click, clicksPerPage } from './clicks.ts';

export interface Params {
  readonly brokers: string;
  readonly format?: 'json' | 'arrow';
  readonly input?: string;
  readonly output?: string;
  readonly group?: string;
}

export default ({ brokers, format, input = 'clicks', output = 'clicks-per-page', group = 'clicks-per-page' }: Params) =>
  clicksPerPage(
    kafka.source({ brokers: brokers.split(','), topic: input, group, value: format === 'arrow' ? arrow(click) : json(click) }),
    kafka.sink({ brokers: brokers.split(','), topic: output, key: 'page', value: json(), createTopic: { partitions: 4 } }),
  );
