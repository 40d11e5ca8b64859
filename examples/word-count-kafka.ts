// The job of word-count.ts on Kafka: lines from one topic, counts to another.
//
//   npx millrace run examples/word-count-kafka.ts --param brokers=127.0.0.1:9092

import { json, text } from 'millrace';
import { kafka } from 'millrace/io/kafka';
import { wordCount } from './word-count.ts';

export default ({ brokers, input = 'lines', output = 'word-counts' }: { brokers: string; input?: string; output?: string }) =>
  wordCount(
    kafka.source({ brokers: brokers.split(','), topic: input, group: 'word-count', value: text() }),
    kafka.sink({ brokers: brokers.split(','), topic: output, key: 'word', value: json() }),
  );
