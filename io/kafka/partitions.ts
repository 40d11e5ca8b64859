/**
 * The Kafka source as it reads all partitions of a topic, or those of one task of a job: how it opens. reader.ts does the
 * reading.
 */

import type { CodedSource } from '../codec.ts';
import { recordBatchDecoder, recordFrameRows } from '../record-batch/index.ts';
import type { Task } from '../shared-source.ts';
import type { SourceContext, SourceReader } from '../source.ts';
import { Cluster, findTopic, Patience } from './client/index.ts';
import { Connection } from './kafkajs/index.ts';
import { BROKER_TIMEOUT_MS, type KafkaSourceOptions } from './options.ts';
import { KafkaReader } from './reader.ts';

/** The partitions of a task, for a group of its own: `clicks.2of8`. */
export function partOf<R>(options: KafkaSourceOptions<R>, { index, count }: Task): CodedSource<R> {
  return sourceOf(`kafka ${options.topic}`, { ...options, group: `${options.group}.${index + 1}of${count}` }, { index, count });
}

/** @param task undefined: all partitions */
export function sourceOf<R>(name: string, options: KafkaSourceOptions<R>, task: Task | undefined): CodedSource<R> {
  const { schema } = options.value;
  return {
    name,
    schema: schema as NonNullable<typeof schema>,
    bounded: false,
    codec: options.value,
    alone: `${name} in group ${options.group}`,
    ...recordFrameRows(options.value),
    open: (context) => openReader(name, options, context, task),
    decoder: (context) => recordBatchDecoder(context, options.value, options),
  };
}

async function openReader(name: string, options: KafkaSourceOptions, context: SourceContext, task: Task | undefined): Promise<SourceReader> {
  const cluster = new Cluster(new Connection(options, context.report));
  const patience = new Patience(cluster.connection, {
    name,
    timeoutMs: options.brokerTimeout ?? BROKER_TIMEOUT_MS,
    signal: context.signal,
    waiting: context.waiting,
  });
  try {
    return new KafkaReader(name, options, context, cluster, patience, await findTopic(cluster, patience, name, options.topic), task);
  } catch (error) {
    cluster.close();
    throw error;
  }
}
