/**
 * The open end of a Kafka sink: what workers have encoded goes to the broker, or into the job's transaction. A file of its
 * own, so that the types of the public function need none of kafkajs.
 */

import { MillraceError, withoutSign } from '../../core/index.ts';
import type { SinkBlock, SinkContext, SinkInfo, SinkWriter } from '../sink.ts';
import { BatchProducer, Cluster, findOrCreateTopic, Idempotence, type NewTopic, Patience } from './client/index.ts';
import { Connection } from './kafkajs/index.ts';
import { BROKER_TIMEOUT_MS, DELIVERY_TIMEOUT_MS, domainOf, type KafkaSinkOptions, REQUEST_TIMEOUT_MS } from './options.ts';
import { isKafkaTransaction, type KafkaTransaction } from './transactions.ts';

/** @param made how the topic is made where it does not exist; undefined: it is not */
export async function openWriter(name: string, options: KafkaSinkOptions, context: SinkContext, made = newTopic(options)): Promise<TopicWriter> {
  const { signal, waiting, report } = context;
  const transaction = context.guarantee === 'exactly-once' ? transactionFor(name, options, context) : undefined;
  const cluster = new Cluster(new Connection(options, report));
  const patience = new Patience(cluster.connection, { name, timeoutMs: options.brokerTimeout ?? BROKER_TIMEOUT_MS, signal, waiting });
  try {
    const { topic } = options;
    const { partitions } = await findOrCreateTopic(cluster, patience, name, topic, made);
    const schemaId = await options.value.prepare?.({ topic, schema: withoutSign(context.schema), signal, ...(waiting && { waiting }) });
    const info = { partitionCount: partitions.length, ...(schemaId !== undefined && { schemaId }) };
    signal.throwIfAborted();
    if (transaction !== undefined) {
      cluster.close();
      return new TransactionalWriter(name, options.topic, transaction, info);
    }
    const numbering = options.acks === 1 ? undefined : await Idempotence.begin(cluster, patience, name);
    const producer = new BatchProducer(cluster, patience, {
      topic: options.topic,
      acks: options.acks ?? -1,
      requestTimeoutMs: options.requestTimeout ?? REQUEST_TIMEOUT_MS,
      deliveryTimeoutMs: options.deliveryTimeout ?? DELIVERY_TIMEOUT_MS,
      ...(numbering !== undefined && { numbering }),
    });
    return new KafkaWriter(name, cluster, producer, info);
  } catch (error) {
    cluster.close();
    throw error instanceof MillraceError ? error : cluster.connection.error(`${name}: topic ${options.topic} cannot be opened`, error);
  }
}

function newTopic({ createTopic: wanted }: KafkaSinkOptions): NewTopic | undefined {
  return wanted && { partitions: wanted.partitions ?? 1, replicationFactor: wanted.replicationFactor ?? 1 };
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when the sink cannot write in the job's transaction */
function transactionFor(name: string, options: KafkaSinkOptions, { transaction }: SinkContext): KafkaTransaction {
  const refused = (why: string): MillraceError => new MillraceError('ERR_MILLRACE_PIPELINE', `${name}: it cannot write exactly once: ${why}`);
  if (options.acks === 1) throw refused('acks is 1, and a row that only the leader has can be lost. Leave acks out.');
  if (!isKafkaTransaction(transaction)) throw refused('the job has no transaction of Kafka.');
  if (transaction.domain !== domainOf(options)) {
    throw refused(`it writes to ${domainOf(options)}, and the transactions of the job are in ${transaction.domain}. Name the same brokers for all sinks.`);
  }
  const { transactionalId = transaction.transactionalId, transactionTimeout = transaction.timeoutMs } = options;
  if (transactionalId !== transaction.transactionalId || transactionTimeout !== transaction.timeoutMs) {
    throw refused(
      `its transactionalId or transactionTimeout is not that of the job's other Kafka sinks (${transaction.transactionalId}, ${transaction.timeoutMs}), with which it shares the transactions. Give all of them the same.`,
    );
  }
  return transaction;
}

abstract class TopicWriter implements SinkWriter {
  readonly info: SinkInfo;
  readonly #name: string;
  readonly #unsettled = new Set<Promise<void>>();
  #failure: unknown;

  constructor(name: string, info: SinkInfo) {
    this.info = info;
    this.#name = name;
  }

  write({ partition, bytes }: SinkBlock): Promise<void> {
    if (partition >= this.info.partitionCount) {
      return Promise.reject(
        new MillraceError('ERR_MILLRACE_SINK', `${this.#name}: there is no partition ${partition}; the topic has ${this.info.partitionCount}.`),
      );
    }
    const written = this.send(partition, bytes);
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

  abstract commit(): Promise<void>;
  abstract close(): Promise<void>;
  protected abstract send(partition: number, bytes: Uint8Array): Promise<void>;

  /** Resolves when everything is acknowledged that was written before the call. */
  protected async settle(): Promise<void> {
    await Promise.all(this.#unsettled);
    if (this.#failure !== undefined) throw this.#failure;
  }
}

class KafkaWriter extends TopicWriter {
  readonly #cluster: Cluster;
  readonly #producer: BatchProducer;

  constructor(name: string, cluster: Cluster, producer: BatchProducer, info: SinkInfo) {
    super(name, info);
    this.#cluster = cluster;
    this.#producer = producer;
  }

  commit(): Promise<void> {
    return this.settle();
  }

  async close(): Promise<void> {
    this.#producer.close();
    this.#cluster.close();
  }

  protected send(partition: number, bytes: Uint8Array): Promise<void> {
    return this.#producer.send(partition, bytes);
  }
}

/** The transaction commits and is closed by the job: it is shared. */
class TransactionalWriter extends TopicWriter {
  readonly #topic: string;
  readonly #transaction: KafkaTransaction;

  constructor(name: string, topic: string, transaction: KafkaTransaction, info: SinkInfo) {
    super(name, info);
    this.#topic = topic;
    this.#transaction = transaction;
    transaction.enter(topic);
  }

  prepare(): Promise<void> {
    return this.settle();
  }

  async commit(): Promise<void> {}

  async close(): Promise<void> {}

  protected send(partition: number, bytes: Uint8Array): Promise<void> {
    return this.#transaction.write(this.#topic, partition, bytes);
  }
}
