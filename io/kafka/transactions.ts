/**
 * The transactions of a job in a Kafka cluster: rows of its sinks, positions of its sources, and the number
 * of the checkpoint, all in one. client/transaction.ts speaks with the brokers.
 *
 * The number is itself a committed offset, of the group `millrace.<id>`: partition 0 of each topic that is
 * written to, with the text {"checkpoint":n,"by":"<transactional id>"}. That a topic is added or removed
 * changes nothing, because `recover` reads all that the group has, and takes the highest. Only when all of
 * these topics are deleted is the number lost, with the rows. So it is when the job was stopped for longer
 * than the brokers keep offsets (offsets.retention.minutes, seven days by default).
 */

import { assert, MillraceError, shown } from '../../core/index.ts';
import type { Transaction, TransactionContext, TransactionDomain } from '../sink.ts';
import { Cluster, type GroupOffsets, Held, Patience, ProducerTransaction } from './client/index.ts';
import { Connection } from './kafkajs/index.ts';
import {
  BROKER_TIMEOUT_MS,
  DELIVERY_TIMEOUT_MS,
  domainOf,
  type KafkaConnectionOptions,
  type KafkaSinkOptions,
  REQUEST_TIMEOUT_MS,
  TRANSACTION_TIMEOUT_MS,
} from './options.ts';
import { NO_MEMBER, type ProducerIdentity } from './protocol/index.ts';

// What a source, a sink and a job give each other may be of two copies of this package.
const POSITIONS: unique symbol = Symbol.for('millrace.kafka-positions');
const TRANSACTION: unique symbol = Symbol.for('millrace.kafka-transaction');

/** Whether positions come from a Kafka source. */
function isKafkaPositions(of: unknown): of is KafkaPositions {
  return typeof of === 'object' && of !== null && POSITIONS in of;
}

/** Whether a transaction of a job is one of Kafka. */
export function isKafkaTransaction(of: unknown): of is KafkaTransaction {
  return typeof of === 'object' && of !== null && TRANSACTION in of;
}

/** What a Kafka source hands over for the transaction (SourceReader.transactional). */
export class KafkaPositions {
  readonly [POSITIONS] = true;
  readonly offsets: GroupOffsets;

  constructor(offsets: GroupOffsets) {
    this.offsets = offsets;
  }
}

/** What a transaction needs to know. The topic's partition 0 gets the number of the checkpoint. */
export type KafkaTransactionOptions = KafkaConnectionOptions & Pick<KafkaSinkOptions, 'topic' | 'transactionalId' | 'transactionTimeout' | 'deliveryTimeout'>;

export function transactionsOf(options: KafkaTransactionOptions): TransactionDomain {
  return { domain: domainOf(options), open: async (context) => new KafkaTransaction(options, context) };
}

export class KafkaTransaction implements Transaction {
  readonly [TRANSACTION] = true;
  readonly transactionalId: string;
  readonly timeoutMs: number;
  readonly domain: string;
  readonly #name: string;
  readonly #group: string;
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #transaction: ProducerTransaction;
  /** Topics whose partition 0 gets the number of the checkpoint. */
  readonly #topics = new Set<string>();
  #isRecovered = false;

  constructor(options: KafkaTransactionOptions, { id, signal, isTaken, holdings, waiting, report }: TransactionContext) {
    this.transactionalId = options.transactionalId ?? `millrace.${id}`;
    this.timeoutMs = options.transactionTimeout ?? TRANSACTION_TIMEOUT_MS;
    this.domain = domainOf(options);
    this.#name = `kafka transaction ${this.transactionalId}`;
    this.#group = `millrace.${options.transactionalId ?? id}`;
    this.#topics.add(options.topic);
    const brokerTimeoutMs = options.brokerTimeout ?? BROKER_TIMEOUT_MS;
    this.#cluster = new Cluster(new Connection(options, report));
    this.#patience = new Patience(this.#cluster.connection, { name: this.#name, timeoutMs: brokerTimeoutMs, signal, waiting });
    this.#transaction = new ProducerTransaction(this.#cluster, this.#patience, {
      name: this.#name,
      transactionalId: this.transactionalId,
      timeoutMs: this.timeoutMs,
      ...(isTaken === undefined ? {} : { isTaken }),
      ...(holdings === undefined ? {} : { held: new Held<ProducerIdentity>(holdings, `transactions of ${this.domain} ${this.transactionalId}`) }),
      brokerTimeoutMs,
      requestTimeoutMs: options.requestTimeout ?? REQUEST_TIMEOUT_MS,
      deliveryTimeoutMs: options.deliveryTimeout ?? DELIVERY_TIMEOUT_MS,
    });
  }

  async recover(): Promise<number | undefined> {
    await this.#transaction.begin();
    const committed = await this.#transaction.committed(this.#group);
    this.#isRecovered = true;
    return committed.reduce<number | undefined>((newest, { topic, offset, metadata }) => {
      const checkpoint = this.#checkpointOf(topic, offset, metadata);
      return newest === undefined || checkpoint > newest ? checkpoint : newest;
    }, undefined);
  }

  /** A sink writes to this topic. */
  enter(topic: string): void {
    this.#topics.add(topic);
  }

  /** Writes record batches as part of the transaction (ProducerTransaction.send). */
  write(topic: string, partition: number, bytes: Uint8Array): Promise<void> {
    return this.#transaction.send(topic, partition, bytes);
  }

  async commit(checkpoint: number, positions: readonly unknown[]): Promise<void> {
    assert(this.#isRecovered, 'a transaction is recovered before it commits');
    assert(Number.isSafeInteger(checkpoint) && checkpoint >= 0, `a checkpoint is numbered from 0 on, not ${checkpoint}`);
    const metadata = JSON.stringify({ checkpoint, by: this.transactionalId });
    const topics = [...this.#topics].map((topic) => ({ topic, offsets: [{ partition: 0, offset: checkpoint, metadata }] }));
    await this.#transaction.commit([
      { group: this.#group, committer: NO_MEMBER, topics },
      ...positions.flatMap((each) => {
        assert(isKafkaPositions(each), 'positions in a Kafka transaction come from a Kafka source');
        return each.offsets.topics.every(({ offsets }) => offsets.length === 0) ? [] : [each.offsets];
      }),
    ]);
  }

  async close(): Promise<void> {
    await this.#transaction.abort();
    this.#patience.end();
    this.#cluster.close();
  }

  #checkpointOf(topic: string, offset: number, metadata: string): number {
    const { checkpoint, by } = parsed(metadata);
    if (checkpoint === offset && by === this.transactionalId) return offset;
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `${this.#name}: group ${this.#group} should hold the number of the last checkpoint, and for topic ${topic} it holds offset ${offset} with the text ${shown(metadata)}, which this job has not committed. Which checkpoint was the last cannot be told. If somebody has reset the group by a tool, delete it, together with the job's checkpoints, to begin anew.`,
    );
  }
}

function parsed(metadata: string): { readonly checkpoint?: unknown; readonly by?: unknown } {
  try {
    const value: unknown = JSON.parse(metadata);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
