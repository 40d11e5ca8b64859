/** The Kafka source: what the user writes, and the opening of it. The reading is in reader.ts. */

import { MillraceError, shown } from '../../core/index.ts';
import type { CodedSource } from '../codec.ts';
import { recordBatchDecoder, recordFrameRows } from '../record-batch/index.ts';
import type { SourceContext, SourceReader } from '../source.ts';
import { Connection, connect, disconnect, partitionCount } from './kafkajs/admin.ts';
import { checkChoice, checkConnection, checkNumber, type KafkaSourceOptions } from './options.ts';
import { KafkaReader } from './reader.ts';

const INT32_MAX = 2 ** 31 - 1;

/**
 * Reads a topic as a member of a consumer group.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION; ERR_MILLRACE_PIPELINE when the codec has no schema
 */
export function source<R>(options: KafkaSourceOptions<R>): CodedSource<R> {
  const name = `kafka ${options.topic}`;
  checkConnection(name, options);
  if (typeof options.group !== 'string' || options.group.length === 0) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `${name}: group is ${shown(options.group)}; it has to be the name of a consumer group, under which positions are committed.`,
    );
  }
  checkChoice(name, 'isolation', options.isolation, ['read_committed', 'read_uncommitted']);
  for (const field of [
    'maxBytesPerPartition',
    'maxBytes',
    'decompressedBytesMax',
    'maxWaitTimeInMs',
    'sessionTimeout',
    'heartbeatInterval',
    'rebalanceTimeout',
    'connectionTimeout',
    'requestTimeout',
  ] as const) {
    checkNumber(name, field, options[field], 1, INT32_MAX);
  }
  const { schema } = options.value;
  if (schema === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${name}: the codec ${options.value.name} was given no schema, so there is nothing to decode to. Name the columns: ${options.value.name}({ page: utf8, ms: f64 }).`,
    );
  }
  return {
    name,
    schema,
    bounded: false,
    codec: options.value,
    ...recordFrameRows(options.value),
    open: (context) => openReader(name, options, context),
    decoder: (context) => recordBatchDecoder(context, options.value, options),
  };
}

async function openReader(name: string, options: KafkaSourceOptions, context: SourceContext): Promise<SourceReader> {
  const connection = new Connection(options);
  const cluster = await connect(connection, name);
  try {
    return new KafkaReader(name, options, context, connection, cluster, await partitionCount(connection, cluster, name, options.topic));
  } catch (error) {
    await disconnect(connection, cluster);
    throw error;
  }
}
