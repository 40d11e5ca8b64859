/**
 * The topic of a job's checkpoints in Kafka. What is in it is up to the runtime; here it is made, read and
 * written.
 *
 *   partition 0   the records, in transactions; compacted: the newest of each key
 *   partition 1   who has the job, said again and again; outside of transactions, so that an open one does
 *                 not hold it back
 *
 * One partition for the records gives them one order, so a reader of a part has a state that was there once.
 */

import { MillraceError, shown } from '../../core/index.ts';
import type { CheckpointTopic, TopicHolder, TopicRecord } from '../checkpoint-topic.ts';
import { keyedBatch, keyedRecords } from '../record-batch/index.ts';
import type { Report } from '../report.ts';
import type { Transaction } from '../sink.ts';
import {
  BatchProducer,
  Cluster,
  findOrCreateTopic,
  logOffsets,
  Patience,
  READ_COMMITTED,
  READ_UNCOMMITTED,
  readPartition,
  topicSetting,
} from './client/index.ts';
import { Connection } from './kafkajs/index.ts';
import { BROKER_TIMEOUT_MS, checkCheckpointOptions, DELIVERY_TIMEOUT_MS, type KafkaCheckpointOptions, REQUEST_TIMEOUT_MS } from './options.ts';
import type { TopicAnswer } from './protocol/index.ts';
import { isKafkaTransaction, transactionsOf } from './transactions.ts';

const RECORDS = 0;
const HOLDERS = 1;
const PARTITIONS = 2;
/** As the cluster has it by default. */
const REPLICATION = -1;
/**
 * Small segments, and cleaned early: what a reader has to go through is not much more than what there is.
 */
const SETTINGS = {
  'cleanup.policy': 'compact',
  'compression.type': 'producer',
  'segment.bytes': String(64 << 20),
  'min.cleanable.dirty.ratio': '0.3',
};
/** Bytes of a record batch before compression; a larger record is alone in its batch. */
const BATCH_BYTES = 512 << 10;
const BATCH_BYTES_MAX = 16 << 20;
/** Batches that are compressed or under way at a time. */
const BATCHES_AT_A_TIME = 4;
const HOLDER_KEY = Buffer.from(new TextEncoder().encode('holder'));

/** What a topic is opened for. */
export interface CheckpointTopicContext {
  readonly signal: AbortSignal;
  waiting?(what: string | undefined): void;
  /** See report.ts. */
  readonly report?: Report;
}

/**
 * Opens the topic; creates it where it does not exist.
 *
 * @throws MillraceError ERR_MILLRACE_TOPIC when it is not compacted, or cannot be created; ERR_MILLRACE_BROKER
 */
export async function openCheckpointTopic(options: KafkaCheckpointOptions, { signal, waiting, report }: CheckpointTopicContext): Promise<CheckpointTopic> {
  const name = `kafka ${options?.topic}`;
  checkCheckpointOptions(`checkpoint, ${name}`, options);
  const cluster = new Cluster(new Connection(options, report));
  const patience = new Patience(cluster.connection, { name, timeoutMs: options.brokerTimeout ?? BROKER_TIMEOUT_MS, signal, waiting });
  try {
    const { topic } = options;
    const found = await findOrCreateTopic(cluster, patience, name, topic, { partitions: PARTITIONS, replicationFactor: REPLICATION, settings: SETTINGS });
    if (found.partitions.length < PARTITIONS) {
      throw new MillraceError(
        'ERR_MILLRACE_TOPIC',
        `${name}: a topic of checkpoints has two partitions, and this one has ${found.partitions.length}. Add one, or let the job create the topic.`,
      );
    }
    const policy = await topicSetting(cluster.connection, name, topic, 'cleanup.policy');
    if (policy !== undefined && policy !== 'compact') {
      throw new MillraceError(
        'ERR_MILLRACE_TOPIC',
        `${name}: its cleanup.policy is ${shown(policy)}, and a topic of checkpoints has to be compacted: otherwise Kafka deletes state that is old. Set cleanup.policy=compact, or give a topic of its own.`,
      );
    }
    return new KafkaCheckpointTopic(name, options, cluster, patience, found);
  } catch (error) {
    cluster.close();
    throw error;
  }
}

class KafkaCheckpointTopic implements CheckpointTopic {
  readonly name: string;
  readonly id: string;
  readonly transactions: CheckpointTopic['transactions'];
  readonly #topic: string;
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #found: TopicAnswer;
  readonly #holders: BatchProducer;

  constructor(name: string, options: KafkaCheckpointOptions, cluster: Cluster, patience: Patience, found: TopicAnswer) {
    this.name = name;
    this.id = found.id ?? '';
    this.transactions = transactionsOf(options);
    this.#topic = options.topic;
    this.#cluster = cluster;
    this.#patience = patience;
    this.#found = found;
    this.#holders = new BatchProducer(cluster, patience, {
      topic: options.topic,
      acks: -1,
      requestTimeoutMs: options.requestTimeout ?? REQUEST_TIMEOUT_MS,
      deliveryTimeoutMs: options.deliveryTimeout ?? DELIVERY_TIMEOUT_MS,
    });
  }

  end(): Promise<number> {
    return this.#end(RECORDS, READ_COMMITTED);
  }

  read(from: number, to: number, take: (records: readonly TopicRecord[], next: number) => Promise<void>): Promise<number> {
    return this.#read(RECORDS, READ_COMMITTED, from, to, take);
  }

  async write(transaction: Transaction, records: readonly TopicRecord[]): Promise<void> {
    if (!isKafkaTransaction(transaction)) throw new MillraceError('ERR_MILLRACE_TRANSACTION', `${this.name}: the transaction is not one of Kafka.`);
    transaction.enter(this.#topic);
    const nowMs = Date.now();
    let sent: Promise<void>[] = [];
    let order: Promise<unknown> = Promise.resolve();
    for (const batch of inBatches(records)) {
      if (sent.length === BATCHES_AT_A_TIME) {
        await sent[0];
        sent = sent.slice(1);
      }
      const packed = keyedBatch(
        batch.map(({ key, value }) => ({ key: Buffer.from(key), value })),
        nowMs,
      );
      // Compressed side by side, sent in order.
      const turn = order.then(async () => ({ written: transaction.write(this.#topic, RECORDS, await packed) }));
      order = turn;
      const done = turn.then(({ written }) => written);
      done.catch(() => {});
      packed.catch(() => {});
      sent.push(done);
    }
    await Promise.all(sent);
  }

  async announce(text: string): Promise<void> {
    await this.#holders.send(HOLDERS, await keyedBatch([{ key: HOLDER_KEY, value: Buffer.from(text) }], Date.now()));
  }

  async holder(): Promise<TopicHolder | undefined> {
    const end = await this.#end(HOLDERS, READ_UNCOMMITTED);
    let last: TopicHolder | undefined;
    await this.#read(HOLDERS, READ_UNCOMMITTED, Math.max(0, end - 1), end, async (records) => {
      for (const { key, value } of records) {
        if (key === HOLDER_KEY.toString()) last = { text: value === null ? '' : Buffer.from(value).toString('utf8'), heard: end };
      }
    });
    return last;
  }

  async close(): Promise<void> {
    this.#holders.close();
    this.#patience.end();
    this.#cluster.close();
  }

  async #end(partition: number, isolationLevel: number): Promise<number> {
    const ends = await this.#patience.through('where the topic ends cannot be read', () =>
      logOffsets(this.#cluster, this.#topic, [partition], 'end', isolationLevel),
    );
    return ends.get(partition) ?? 0;
  }

  #read(
    partition: number,
    isolationLevel: number,
    from: number,
    to: number,
    take: (records: readonly TopicRecord[], next: number) => Promise<void>,
  ): Promise<number> {
    return readPartition(this.#cluster, this.#patience, this.#found, { name: this.name, isolationLevel, partition, from, to }, async (batches, next) => {
      const records = batches.flatMap((batch) => keyedRecords(batch, BATCH_BYTES_MAX));
      await take(
        records.map(({ key, value }) => ({ key: Buffer.from(key).toString('utf8'), value })),
        next,
      );
    });
  }
}

function* inBatches(records: readonly TopicRecord[]): Generator<readonly TopicRecord[]> {
  let batch: TopicRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = record.key.length + (record.value?.length ?? 0);
    if (batch.length > 0 && bytes + size > BATCH_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(record);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
