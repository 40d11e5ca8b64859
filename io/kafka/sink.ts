/**
 * The Kafka sink. Workers encode result rows into record batches (io/record-batch); this end sends them to
 * the broker as they are. `commit` resolves when the broker has acknowledged everything: each row is there at
 * least once.
 */

import { MillraceError } from '../../core/index.ts';
import { recordSinkEncoder } from '../record-batch/index.ts';
import type { Sink, SinkBlock, SinkContext, SinkEncoder, SinkEncoderContext, SinkInfo, SinkWriter } from '../sink.ts';
import { BatchProducer, Cluster, createTopic, findTopic, Patience } from './client/index.ts';
import { Connection } from './kafkajs/index.ts';
import { BROKER_TIMEOUT_MS, checkSinkOptions, type KafkaSinkOptions } from './options.ts';

const DELIVERY_TIMEOUT_MS = 120_000;
/** Longest wait until all nodes know a new topic. */
const CREATED_TIMEOUT_MS = 10_000;
const CREATED_PAUSE_MS = 50;

/**
 * Writes to a topic.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function sink<R>(options: KafkaSinkOptions<R>): Sink<R> {
  const name = `kafka ${options?.topic}`;
  checkSinkOptions(name, options);
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

async function openWriter(name: string, options: KafkaSinkOptions, { signal, waiting }: SinkContext): Promise<SinkWriter> {
  const cluster = new Cluster(new Connection(options));
  const patience = new Patience(cluster.connection, { name, timeoutMs: options.brokerTimeout ?? BROKER_TIMEOUT_MS, signal, waiting });
  try {
    const count = await findOrCreate(name, options, cluster, patience);
    signal.throwIfAborted();
    return new KafkaWriter(name, options, cluster, patience, { partitionCount: count });
  } catch (error) {
    cluster.close();
    throw error instanceof MillraceError ? error : cluster.connection.error(`${name}: topic ${options.topic} cannot be opened`, error);
  }
}

async function findOrCreate(name: string, { topic, createTopic: wanted }: KafkaSinkOptions, cluster: Cluster, patience: Patience): Promise<number> {
  let createdAtMs: number | undefined;
  for (;;) {
    try {
      return (await findTopic(cluster, patience, name, topic)).partitions.length;
    } catch (error) {
      if (wanted === undefined || !(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_TOPIC') throw error;
      if (createdAtMs === undefined) {
        await createTopic(cluster.connection, name, topic, wanted.partitions ?? 1, wanted.replicationFactor ?? 1);
        createdAtMs = performance.now();
      } else if (performance.now() - createdAtMs > CREATED_TIMEOUT_MS) throw error;
      else await patience.sleep(CREATED_PAUSE_MS);
    }
  }
}

class KafkaWriter implements SinkWriter {
  readonly info: SinkInfo;
  readonly #name: string;
  readonly #cluster: Cluster;
  readonly #producer: BatchProducer;
  readonly #unsettled = new Set<Promise<void>>();
  #failure: unknown;

  constructor(name: string, options: KafkaSinkOptions, cluster: Cluster, patience: Patience, info: SinkInfo) {
    this.info = info;
    this.#name = name;
    this.#cluster = cluster;
    this.#producer = new BatchProducer(cluster, patience, {
      topic: options.topic,
      acks: options.acks ?? -1,
      requestTimeoutMs: options.requestTimeout ?? 30_000,
      deliveryTimeoutMs: options.deliveryTimeout ?? DELIVERY_TIMEOUT_MS,
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
    this.#cluster.close();
  }
}
