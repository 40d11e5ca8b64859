/**
 * A topic between the tasks of a job (io/shared-source.ts): a partition for each task. Its records are written in the
 * transactions of the tasks that write them, and are read once, so the topic is cleaned by time. Whoever stands still for
 * longer than that has lost rows, and its source says so.
 */

import { MillraceError } from '../../core/index.ts';
import { raw } from '../raw.ts';
import { recordSinkEncoder } from '../record-batch/index.ts';
import { EXCHANGE_ROWS, type Task } from '../shared-source.ts';
import type { Sink, SinkEncoderContext } from '../sink.ts';
import type { Source } from '../source.ts';
import type { NewTopic } from './client/index.ts';
import type { KafkaConnectionOptions, KafkaSinkOptions, KafkaSourceOptions } from './options.ts';
import { partOf } from './partitions.ts';
import { openWriter } from './topic-writer.ts';
import { transactionsOf } from './transactions.ts';

/** A block goes into one record, whatever its size. */
const TOPIC_CHARS_MAX = 249;
const RECORD_BYTES_MAX = 64 << 20;
const SETTINGS = {
  'cleanup.policy': 'delete',
  'compression.type': 'producer',
  'max.message.bytes': String(RECORD_BYTES_MAX),
  'message.timestamp.type': 'LogAppendTime',
  'retention.ms': String(7 * 86_400_000),
};
/** As the cluster has it by default. */
const REPLICATION = -1;

export function exchangeTopic({ group, ...options }: KafkaSourceOptions, pipeline: string, task: Task): { source: Source; sink: Sink } {
  const topic = exchangeTopicOf(group, pipeline);
  const connection = connectionOf(options);
  const source = partOf({ ...connection, topic, group, value: raw(), failOnDataLoss: true, maxBytesPerPartition: RECORD_BYTES_MAX }, task);
  const written: KafkaSinkOptions = { ...connection, topic, value: raw(), batchBytesMax: RECORD_BYTES_MAX };
  const name = `kafka ${topic}`;
  const sink: Sink = {
    name,
    delivery: 'transactional',
    transactions: transactionsOf(written),
    check: () => {},
    async open(context) {
      const writer = await openWriter(name, written, context, newExchangeTopic(task.count));
      const { partitionCount } = writer.info;
      if (partitionCount === task.count) return writer;
      await writer.close();
      throw new MillraceError(
        'ERR_MILLRACE_TOPIC',
        `${name} was made for a job of ${partitionCount} tasks, and this one has ${task.count}. Give tasks: ${partitionCount}, or begin anew: with another group and another checkpoint, when the topic is deleted.`,
      );
    },
    encoder: (context: SinkEncoderContext) =>
      recordSinkEncoder(context, { codec: raw(), partition: EXCHANGE_ROWS.indexOf('partition'), batchBytesMax: RECORD_BYTES_MAX }),
  };
  return { source, sink };
}

/** Whoever begins anew, with another group, gets another topic. */
export function exchangeTopicOf(group: string, pipeline: string): string {
  return `${group}.${pipeline}.exchange`.replace(/[^a-zA-Z0-9._-]/g, '-').slice(-TOPIC_CHARS_MAX);
}

/** @param tasks a partition for each */
export function newExchangeTopic(tasks: number): NewTopic {
  return { partitions: tasks, replicationFactor: REPLICATION, settings: SETTINGS };
}

function connectionOf(options: KafkaConnectionOptions): KafkaConnectionOptions {
  const { brokers, clientId, ssl, sasl, allowInsecure, connectionTimeout, requestTimeout, brokerTimeout } = options;
  const all = { brokers, clientId, ssl, sasl, allowInsecure, connectionTimeout, requestTimeout, brokerTimeout };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as KafkaConnectionOptions;
}
