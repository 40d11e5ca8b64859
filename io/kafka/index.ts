/**
 * The door of `millrace/io/kafka`: `kafka.source` and `kafka.sink`. kafkajs is loaded when a source or a sink
 * opens, not by the import.
 */

import { sink } from './sink.ts';
import { source } from './source.ts';

export { openCheckpointTopic } from './checkpoint-topic.ts';
export { checkCheckpointOptions } from './options.ts';

export const kafka = { source, sink } as const;

export type {
  KafkaCheckpointOptions,
  KafkaConnectionOptions,
  KafkaSaslMechanism,
  KafkaSaslOptions,
  KafkaSinkOptions,
  KafkaSourceOptions,
  KafkaTlsOptions,
} from './options.ts';
