// Makes the clicks of clicks-data.ts on a Kafka topic.

import { arrow, json } from 'millrace';
import { kafka } from 'millrace/io/kafka';
import { clicks } from './clicks-data.ts';

export default ({
  brokers,
  rows,
  seed,
  format,
  input = 'clicks',
}: {
  brokers: string;
  rows: number;
  seed: number;
  format?: 'json' | 'arrow';
  input?: string;
}) =>
  clicks(rows, seed, kafka.sink({ brokers: brokers.split(','), topic: input, ...(format === 'arrow' ? { value: arrow() } : { key: 'user', value: json() }) }));
