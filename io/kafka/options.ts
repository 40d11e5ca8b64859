/**
 * The options of the Kafka source and sink, and their check. Names are those of kafkajs where it has them.
 */

import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import { type Codec, mustNotBeHeaded } from '../codec.ts';
import { checkCompression, type SinkCompression } from '../record-batch/index.ts';
import type { Changelog } from '../sink.ts';
import type { KafkaConnectionOptions } from './connection/index.ts';
import { checkSecurity } from './security.ts';

export type { KafkaConnectionOptions, KafkaSaslMechanism, KafkaSaslOptions, KafkaTlsOptions } from './connection/index.ts';

export interface KafkaSourceOptions<R = unknown> extends KafkaConnectionOptions {
  readonly topic: string;
  /** Consumer group: positions are committed under this name. */
  readonly group: string;
  readonly value: Codec<R>;
  /**
   * Where a group without committed positions starts: at the oldest record (default), or at the end.
   * Partitions added later are read from their oldest record in either case.
   */
  readonly fromBeginning?: boolean;
  /** `read_committed` (default): rows of aborted transactions are skipped, and rows of open ones wait. */
  readonly isolation?: 'read_committed' | 'read_uncommitted';
  /**
   * What to do when the next offset is no longer in the log (retention, a topic recreated before the start):
   * stop with an error (default), or continue at the oldest record. Skipped rows are in the ledger, as
   * `lost`. A topic that is deleted or recreated while it is read ends the job in either case.
   */
  readonly failOnDataLoss?: boolean;
  /**
   * Most bytes of one partition in one fetch. A record batch always comes whole, whatever its size. Default 1
   * MiB.
   */
  readonly maxBytesPerPartition?: number;
  /** Most bytes of one fetch. Default 10 MiB. */
  readonly maxBytes?: number;
  /**
   * Most bytes that one record batch may decompress to. A larger one is `corrupt` in the ledger, with its
   * size. Default: a quarter of a worker's share of the memory, rounded down to a power of two, from 1 to 64
   * MiB. All workers together may take half of the memory.
   */
  readonly decompressedBytesMax?: number;
  /**
   * How long the broker waits for data before it answers an empty fetch, and so the longest wait of a resumed
   * partition. Default 100.
   */
  readonly maxWaitTimeInMs?: number;
  /**
   * Milliseconds without a heartbeat after which the group drops this member. A new process need not wait for
   * it. Default 30000.
   */
  readonly sessionTimeout?: number;
  /** Default 3000, or a third of a shorter sessionTimeout. */
  readonly heartbeatInterval?: number;
  /** Default 60000. */
  readonly rebalanceTimeout?: number;
  /** Rack of this process, to read from a replica nearby. */
  readonly rackId?: string;
}

export interface KafkaSinkOptions<R = unknown> extends KafkaConnectionOptions {
  readonly topic: string;
  readonly value: Codec<R>;
  /**
   * Column, or columns, whose text is the record's key and decides its partition. Without it the value
   * decides.
   */
  readonly key?: string | readonly string[];
  /** The record's timestamp: `now` (default), or a timestamp column. */
  readonly timestamp?: 'now' | (string & {});
  /**
   * How rows of a table are written: see {@link Changelog}. Default: `upsert` where the key is the table's, so
   * that a row that goes becomes a record without a value (a tombstone); else as fits the table.
   */
  readonly changelog?: Changelog;
  /**
   * -1 (default): all in-sync replicas have it, and a record batch that is sent again is stored once. 1: the
   * leader has it; a batch whose answer gets lost may be there twice, and the job cannot be exactly-once.
   */
  readonly acks?: -1 | 1;
  /**
   * Exactly-once: milliseconds after which the broker aborts a transaction that is still open, and the job
   * ends. It has to be well above the time between two checkpoints. Default 60000. Brokers refuse more than
   * their transaction.max.timeout.ms (15 minutes by default).
   */
  readonly transactionTimeout?: number;
  /**
   * Exactly-once: the transactional id, where rights ask for a certain one. Whoever starts with the same id
   * ends this job. Default: `millrace.` and the id of the job. The Kafka sinks of a job share their
   * transactions, so they need the same value.
   */
  readonly transactionalId?: string;
  /**
   * How record batches are compressed, in the workers: `none` (default), `lz4`, `gzip`, or `zstd`, which
   * needs Node 22.15 (23.8). A batch that would not become smaller is written as it is.
   */
  readonly compression?: SinkCompression;
  /** Create the topic if it does not exist. Without it a missing topic is an error. */
  readonly createTopic?: { readonly partitions?: number; readonly replicationFactor?: number };
  /**
   * The largest record batch to write, at most the topic's max.message.bytes. Default 1,048,588, the broker's
   * default.
   */
  readonly batchBytesMax?: number;
  /** Milliseconds for which a record batch is retried before the sink fails. Default 120000. */
  readonly deliveryTimeout?: number;
}

/** A topic that holds the checkpoints of a job. See `checkpoint` in the options of `run`. */
export interface KafkaCheckpointOptions extends KafkaConnectionOptions {
  /** One for each job. It is created where it does not exist: compacted, with the cluster's replication. */
  readonly topic: string;
  /** As those of kafka.sink, for a job whose sinks have no transactions in this cluster. */
  readonly transactionalId?: string;
  readonly transactionTimeout?: number;
  readonly deliveryTimeout?: number;
}

const CONNECTION_OPTIONS = {
  brokers: true,
  clientId: true,
  ssl: true,
  sasl: true,
  allowInsecure: true,
  connectionTimeout: true,
  requestTimeout: true,
  brokerTimeout: true,
} as const;

const SOURCE_OPTIONS = {
  ...CONNECTION_OPTIONS,
  topic: true,
  group: true,
  value: true,
  fromBeginning: true,
  isolation: true,
  failOnDataLoss: true,
  maxBytesPerPartition: true,
  maxBytes: true,
  decompressedBytesMax: true,
  maxWaitTimeInMs: true,
  sessionTimeout: true,
  heartbeatInterval: true,
  rebalanceTimeout: true,
  rackId: true,
} as const;

const SINK_OPTIONS = {
  ...CONNECTION_OPTIONS,
  topic: true,
  value: true,
  key: true,
  timestamp: true,
  changelog: true,
  acks: true,
  compression: true,
  transactionTimeout: true,
  transactionalId: true,
  createTopic: true,
  batchBytesMax: true,
  deliveryTimeout: true,
} as const;

const CHECKPOINT_OPTIONS = { ...CONNECTION_OPTIONS, topic: true, transactionalId: true, transactionTimeout: true, deliveryTimeout: true } as const;

const INT32_MAX = 2 ** 31 - 1;
export const BROKER_TIMEOUT_MS = 120_000;
export const DELIVERY_TIMEOUT_MS = 120_000;
export const REQUEST_TIMEOUT_MS = 30_000;
export const TRANSACTION_TIMEOUT_MS = 60_000;

/** @throws MillraceError ERR_MILLRACE_OPTION; ERR_MILLRACE_PIPELINE when the codec has no schema */
export function checkSourceOptions(name: string, options: KafkaSourceOptions): void {
  checkOptionNames(name, options, SOURCE_OPTIONS);
  checkConnection(name, options);
  if (typeof options.group !== 'string' || options.group.length === 0) {
    throw refused(name, `group is ${shown(options.group)}; it has to be the name of a consumer group, under which positions are committed.`);
  }
  checkChoice(name, 'isolation', options.isolation, ['read_committed', 'read_uncommitted']);
  checkChoice(name, 'fromBeginning', options.fromBeginning, [true, false]);
  checkChoice(name, 'failOnDataLoss', options.failOnDataLoss, [true, false]);
  for (const field of [
    'maxBytesPerPartition',
    'maxBytes',
    'decompressedBytesMax',
    'maxWaitTimeInMs',
    'sessionTimeout',
    'heartbeatInterval',
    'rebalanceTimeout',
  ] as const) {
    checkNumber(name, field, options[field], 1, INT32_MAX);
  }
  if (options.rackId !== undefined && typeof options.rackId !== 'string') throw refused(name, `rackId is ${shown(options.rackId)}; it has to be a text.`);
  checkCodec(name, options.value);
  mustNotBeHeaded(name, options.value);
  const { schema, name: codec } = options.value;
  if (schema !== undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `${name}: the codec ${codec} was given no schema, so there is nothing to decode to. Name the columns: ${codec}({ page: utf8, ms: f64 }).`,
  );
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkSinkOptions(name: string, options: KafkaSinkOptions): void {
  checkOptionNames(name, options, SINK_OPTIONS);
  checkConnection(name, options);
  checkCodec(name, options.value);
  checkChoice(name, 'acks', options.acks, [-1, 1]);
  if (options.compression !== undefined) checkCompression(name, options.compression);
  checkNumber(name, 'batchBytesMax', options.batchBytesMax, 1 << 10, 1 << 30);
  checkTransactions(name, options);
  const { createTopic } = options;
  if (createTopic === undefined) return;
  checkOptionNames(`${name}, createTopic`, createTopic, { partitions: true, replicationFactor: true });
  checkNumber(`${name}, createTopic`, 'partitions', createTopic.partitions, 1, 1_000_000);
  checkNumber(`${name}, createTopic`, 'replicationFactor', createTopic.replicationFactor, 1, 32_767);
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkCheckpointOptions(name: string, options: KafkaCheckpointOptions): void {
  checkOptionNames(name, options, CHECKPOINT_OPTIONS);
  checkConnection(name, options);
  checkTransactions(name, options);
}

/** As the protocol numbers them: only what precedes the oldest open transaction, or everything. */
export function isolationOf({ isolation }: KafkaSourceOptions): number {
  return isolation === 'read_uncommitted' ? 0 : 1;
}

/** Where transactions can be one: the cluster, by its bootstrap addresses. */
export function domainOf({ brokers }: KafkaConnectionOptions): string {
  return `kafka ${[...new Set(brokers)].sort().join(',')}`;
}

function checkTransactions(name: string, options: Pick<KafkaSinkOptions, 'deliveryTimeout' | 'transactionTimeout' | 'transactionalId'>): void {
  checkNumber(name, 'deliveryTimeout', options.deliveryTimeout, 1, INT32_MAX);
  checkNumber(name, 'transactionTimeout', options.transactionTimeout, 1, INT32_MAX);
  const { transactionalId } = options;
  if (transactionalId !== undefined && (typeof transactionalId !== 'string' || transactionalId === '')) {
    throw refused(name, `transactionalId is ${shown(transactionalId)}; it has to be a text.`);
  }
}

/** Legal topic names: Kafka, Topic.validate. */
const TOPIC_NAME = /^[a-zA-Z0-9._-]{1,249}$/;

function checkConnection(what: string, options: KafkaConnectionOptions & { readonly topic: string }): void {
  const { brokers, topic, clientId } = options;
  if (!Array.isArray(brokers) || brokers.length === 0) {
    throw refused(what, `brokers is ${withoutSecrets(shown(brokers))}; it has to be a list of addresses such as ['127.0.0.1:9092'].`);
  }
  for (const broker of brokers) checkAddress(what, broker);
  if (typeof topic !== 'string' || !TOPIC_NAME.test(topic) || topic === '.' || topic === '..') {
    throw refused(what, `${shown(topic)} cannot be a Kafka topic's name: 1 to 249 letters, digits, dots, dashes and underscores.`);
  }
  if (clientId !== undefined && (typeof clientId !== 'string' || clientId === '')) throw refused(what, `clientId is ${shown(clientId)}; it has to be a text.`);
  for (const field of ['connectionTimeout', 'requestTimeout', 'brokerTimeout'] as const) checkNumber(what, field, options[field], 1, INT32_MAX);
  checkSecurity(what, options);
}

function checkAddress(what: string, broker: unknown): void {
  const port = typeof broker === 'string' ? Number(/^[^@/?#]+:(\d{1,5})$/.exec(broker)?.[1] ?? 0) : 0;
  if (port > 0 && port < 65_536) return;
  const hint = typeof broker === 'string' && broker.includes('@') ? ' A login goes into the sasl option, not into the address.' : '';
  throw refused(what, `the broker address ${withoutSecrets(shown(broker))} is not host:port, such as '127.0.0.1:9092'.${hint}`);
}

/** Text before an @ is a login, and no message shows it. */
function withoutSecrets(text: string): string {
  return text.includes('@') ? `"***@${text.slice(text.lastIndexOf('@') + 1).replace(/^"|"$/g, '')}"` : text;
}

function checkCodec(what: string, codec: unknown): void {
  if (typeof codec === 'object' && codec !== null && 'name' in codec && ('decoder' in codec || 'encoder' in codec)) return;
  throw refused(what, `value is ${shown(codec)}; it has to be a codec, such as json({ page: utf8 }) or text().`);
}

/** @throws MillraceError ERR_MILLRACE_OPTION when `value` is given and is not a whole number in the range */
function checkNumber(what: string, name: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw refused(what, `${name} is ${shown(value)}; it has to be a whole number from ${min} to ${max}.`);
}

/** @throws MillraceError ERR_MILLRACE_OPTION when `value` is given and is not in the list */
function checkChoice(what: string, name: string, value: unknown, choices: readonly unknown[]): void {
  if (value === undefined || choices.includes(value)) return;
  throw refused(what, `${name} is ${shown(value)}; it can be ${choices.map(shown).join(' or ')}.`);
}

function refused(what: string, message: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${message}`);
}
