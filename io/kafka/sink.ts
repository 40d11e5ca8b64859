/**
 * The Kafka sink. Workers encode result rows into record batches (io/record-batch); this end hands them to the broker as
 * they are. `commit` resolves when the broker has acknowledged everything: each row is there at least once.
 */

import { MillraceError } from '../../core/index.ts';
import { recordSinkEncoder } from '../record-batch/index.ts';
import type { Sink, SinkBlock, SinkContext, SinkEncoder, SinkEncoderContext, SinkInfo, SinkWriter } from '../sink.ts';
import { Connection, connect, createTopic, disconnect, partitionCount } from './kafkajs/admin.ts';
import type { Cluster } from './kafkajs/private-client.ts';
import { BatchProducer } from './kafkajs/raw-produce.ts';
import { checkChoice, checkConnection, checkNumber, type KafkaSinkOptions } from './options.ts';

/**
 * Writes to a topic.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function sink<R>(options: KafkaSinkOptions<R>): Sink<R> {
  const name = `kafka ${options.topic}`;
  checkConnection(name, options);
  checkChoice(name, 'acks', options.acks, [-1, 1]);
  checkNumber(name, 'batchBytesMax', options.batchBytesMax, 1 << 10, 1 << 30);
  checkNumber(name, 'deliveryTimeout', options.deliveryTimeout, 1, 2 ** 31 - 1);
  checkNumber(name, 'connectionTimeout', options.connectionTimeout, 1, 2 ** 31 - 1);
  checkNumber(name, 'requestTimeout', options.requestTimeout, 1, 2 ** 31 - 1);
  const { value: codec, key, timestamp, batchBytesMax } = options;
  return {
    name,
    check(schema) {
      for (const column of key === undefined ? [] : [key].flat()) schema.require(column, `The key of the sink ${name}`);
      if (timestamp !== undefined && timestamp !== 'now') schema.require(timestamp, `The timestamp of the sink ${name}`);
    },
    open: (context) => openWriter(name, options, context),
    encoder: (context: SinkEncoderContext): SinkEncoder =>
      recordSinkEncoder(context, {
        codec,
        ...(key !== undefined && { key }),
        ...(timestamp !== undefined && { timestamp }),
        ...(batchBytesMax !== undefined && { batchBytesMax }),
      }),
  };
}

async function openWriter(name: string, options: KafkaSinkOptions, context: SinkContext): Promise<SinkWriter> {
  const { topic } = options;
  const connection = new Connection(options);
  const cluster = await connect(connection, name);
  try {
    const count = await findOrCreate(name, options, connection, cluster);
    context.signal.throwIfAborted();
    return new KafkaWriter(name, options, connection, cluster, { partitionCount: count });
  } catch (error) {
    await disconnect(connection, cluster);
    throw error instanceof MillraceError ? error : connection.error(`${name}: topic ${topic} cannot be opened`, error);
  }
}

async function findOrCreate(name: string, { topic, createTopic: wanted }: KafkaSinkOptions, connection: Connection, cluster: Cluster): Promise<number> {
  try {
    return await partitionCount(connection, cluster, name, topic);
  } catch (error) {
    if (wanted === undefined || !(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_TOPIC') throw error;
    await createTopic(connection, name, topic, wanted.partitions ?? 1, wanted.replicationFactor ?? 1);
    return partitionCount(connection, cluster, name, topic);
  }
}

class KafkaWriter implements SinkWriter {
  readonly info: SinkInfo;
  readonly #name: string;
  readonly #connection: Connection;
  readonly #cluster: Cluster;
  readonly #producer: BatchProducer;
  readonly #unsettled = new Set<Promise<void>>();
  #failure: unknown;

  constructor(name: string, options: KafkaSinkOptions, connection: Connection, cluster: Cluster, info: SinkInfo) {
    this.info = info;
    this.#name = name;
    this.#connection = connection;
    this.#cluster = cluster;
    this.#producer = new BatchProducer(connection, cluster, {
      topic: options.topic,
      acks: options.acks ?? -1,
      requestTimeoutMs: options.requestTimeout ?? 30_000,
      deliveryTimeoutMs: options.deliveryTimeout ?? 120_000,
    });
  }

  write(block: SinkBlock): Promise<void> {
    const { partition, bytes } = block;
    if (partition >= this.info.partitionCount) {
      return Promise.reject(
        new MillraceError('ERR_MILLRACE_SINK', `${this.#name}: there is no partition ${partition}; the topic has ${this.info.partitionCount}.`),
      );
    }
    const written = this.#producer.send(partition, bytes);
    this.#unsettled.add(written);
    written.then(
      () => this.#unsettled.delete(written),
      (error) => {
        this.#unsettled.delete(written);
        this.#failure ??= error;
      },
    );
    return written;
  }

  async commit(): Promise<void> {
    await Promise.all(this.#unsettled);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async close(): Promise<void> {
    this.#producer.close();
    await disconnect(this.#connection, this.#cluster);
  }
}
