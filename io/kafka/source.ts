/** The Kafka source: its public function, and how it opens. reader.ts does the reading. */

import type { CodedSource } from '../codec.ts';
import { recordBatchDecoder, recordFrameRows } from '../record-batch/index.ts';
import type { SourceContext, SourceReader } from '../source.ts';
import { Cluster, findTopic, Patience } from './client/index.ts';
import { Connection } from './kafkajs/index.ts';
import { BROKER_TIMEOUT_MS, checkSourceOptions, type KafkaSourceOptions } from './options.ts';
import { KafkaReader } from './reader.ts';

/**
 * Reads a topic, for a consumer group.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION; ERR_MILLRACE_PIPELINE when the codec has no schema
 */
export function source<R>(options: KafkaSourceOptions<R>): CodedSource<R> {
  const name = `kafka ${options?.topic}`;
  checkSourceOptions(name, options);
  const { schema } = options.value;
  return {
    name,
    schema: schema as NonNullable<typeof schema>,
    bounded: false,
    codec: options.value,
    alone: `${name} in group ${options.group}`,
    ...recordFrameRows(options.value),
    open: (context) => openReader(name, options, context),
    decoder: (context) => recordBatchDecoder(context, options.value, options),
  };
}

async function openReader(name: string, options: KafkaSourceOptions, context: SourceContext): Promise<SourceReader> {
  const cluster = new Cluster(new Connection(options, context.report));
  const patience = new Patience(cluster.connection, {
    name,
    timeoutMs: options.brokerTimeout ?? BROKER_TIMEOUT_MS,
    signal: context.signal,
    waiting: context.waiting,
  });
  try {
    return new KafkaReader(name, options, context, cluster, patience, await findTopic(cluster, patience, name, options.topic));
  } catch (error) {
    cluster.close();
    throw error;
  }
}
