// Makes the clicks of clicks-data.ts on a Kafka topic.
//
//   npx millrace run examples/clicks-data-kafka.ts --param brokers=127.0.0.1:9092 --param rows=5000000

import { arrow, json } from 'millrace';
import { kafka } from 'millrace/io/kafka';
import { clicks } from './clicks-data.ts';

export interface Params {
  readonly brokers: string;
  /** As text from the command line. */
  readonly rows: number | string;
  readonly seed?: number | string;
  readonly format?: 'json' | 'arrow';
  readonly input?: string;
}

export default ({ brokers, rows, seed = 1, format, input = 'clicks' }: Params) => {
  const to = { brokers: brokers.split(','), topic: input, createTopic: { partitions: 4 } };
  return clicks(Number(rows), Number(seed), kafka.sink(format === 'arrow' ? { ...to, value: arrow() } : { ...to, key: 'user', value: json() }));
};
