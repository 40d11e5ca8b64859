/**
 * Connections to a cluster, and the questions that a source or a sink asks before it starts: is the broker there, is the
 * topic there, where did the group stop. Every question has a bound in time: nothing here retries for ever.
 */

import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import type { KafkaConfig, SASLOptions } from 'kafkajs';
import { MillraceError, nearNames } from '../../../core/index.ts';
import type { KafkaConnectionOptions } from '../options.ts';
import { type Cluster, privateClient } from './private-client.ts';

const KEEP_ALIVE_MS = 60_000;
const LOG_LEVEL_ERROR = 1;
const OPEN_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 5_000;
const COORDINATOR_TIMEOUT_MS = 20_000;
/** Answers that mean: ask again in a moment. */
const TRANSIENT = new Set([
  'COORDINATOR_LOAD_IN_PROGRESS',
  'FENCED_LEADER_EPOCH',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
  'LEADER_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'NOT_LEADER_FOR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'UNKNOWN_LEADER_EPOCH',
]);

export const READ_UNCOMMITTED = 0;
export const READ_COMMITTED = 1;

/** What one source, or one sink, holds of a cluster: settings for kafkajs, its open sockets, and its last complaint. */
export class Connection {
  readonly options: KafkaConnectionOptions;
  readonly config: KafkaConfig;
  /** The last error that kafkajs logged. It goes into our own error's message; nothing is printed. */
  lastError = '';
  readonly #sockets = new Set<Socket>();

  constructor(options: KafkaConnectionOptions) {
    this.options = options;
    this.config = {
      clientId: options.clientId ?? 'millrace',
      brokers: [...options.brokers],
      connectionTimeout: options.connectionTimeout ?? 3000,
      requestTimeout: options.requestTimeout ?? 30_000,
      enforceRequestTimeout: true,
      logLevel: LOG_LEVEL_ERROR,
      logCreator: () => (entry) => {
        const cause = entry.log['error'];
        this.lastError = typeof cause === 'string' && !entry.log.message.includes(cause) ? `${entry.log.message}: ${cause}` : entry.log.message;
      },
      socketFactory: (socket) => this.#connect(socket),
      ...(options.ssl !== undefined && { ssl: options.ssl as boolean | tls.ConnectionOptions }),
      ...(options.sasl !== undefined && { sasl: options.sasl as SASLOptions }),
    };
  }

  /**
   * A cluster to ask, not connected yet. `retries` is per request.
   */
  cluster(retries: number, isolationLevel: number = READ_UNCOMMITTED): Cluster {
    const client = privateClient();
    return new client.Cluster({
      ...this.config,
      logger: client.createLogger({ level: LOG_LEVEL_ERROR, logCreator: this.config.logCreator as NonNullable<KafkaConfig['logCreator']> }),
      retry: { retries, initialRetryTime: 200, maxRetryTime: 1000 },
      metadataMaxAge: 300_000,
      allowAutoTopicCreation: false,
      maxInFlightRequests: null,
      isolationLevel,
    });
  }

  /** Ends what is left of the connections at once: the way out when a polite end takes too long. */
  destroySockets(): void {
    for (const socket of this.#sockets) socket.destroy(new Error('closed'));
    this.#sockets.clear();
  }

  /**
   * The error for a broker that does not answer, or refuses.
   *
   * @param what what could not be done: `kafka clicks: the topic cannot be looked up`
   */
  error(what: string, cause: unknown): MillraceError {
    if (cause instanceof MillraceError) return cause;
    const { brokers } = this.options;
    const { name, type, message } = describe(cause);
    const said = message || this.lastError;
    if (name.includes('SASL') || type.includes('SASL') || type.includes('AUTHENTICATION')) {
      return new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${what}: the Kafka broker at ${brokers.join(', ')} refuses the login (${this.options.sasl?.mechanism ?? 'no sasl option'}): ${said}. Correct the sasl option.`,
        { cause },
      );
    }
    if (type.endsWith('AUTHORIZATION_FAILED')) {
      return new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${what}: the Kafka broker at ${brokers.join(', ')} does not allow it (${type}). Ask for the rights, or use another user.`,
        { cause },
      );
    }
    if (name.includes('Connection') || name.includes('Timeout') || name.includes('NumberOfRetries') || name === 'Timeout') {
      return new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${what}: no Kafka broker answers at ${brokers.join(', ')} (${this.lastError || said}). Start it, or correct the brokers option${this.options.ssl === undefined ? '' : ' and the ssl option'}.`,
        { cause },
      );
    }
    return new MillraceError('ERR_MILLRACE_BROKER', `${what}: the Kafka cluster at ${brokers.join(', ')} says: ${said}`, { cause });
  }

  #connect({ host, port, ssl, onConnect }: { host: string; port: number; ssl?: tls.ConnectionOptions; onConnect: () => void }): Socket {
    const name = net.isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl ? tls.connect({ host, port, ...name, ...(typeof ssl === 'object' ? ssl : {}) }, onConnect) : net.connect({ host, port }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // A request is written whole; waiting for the acknowledgement of the one before it only costs time.
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }
}

/** kafkajs wraps errors in errors; the innermost says what happened. */
export function describe(error: unknown): { name: string; type: string; message: string } {
  let inner = error as { name?: string; type?: string; message?: string; cause?: unknown; originalError?: unknown };
  const seen = new Set<unknown>();
  while (!seen.has(inner) && (inner?.cause ?? inner?.originalError) instanceof Error) {
    seen.add(inner);
    inner = (inner.cause ?? inner.originalError) as typeof inner;
  }
  return { name: inner?.name ?? '', type: inner?.type ?? '', message: inner?.message ?? String(error) };
}

/** Rejects with an error named `Timeout` when the promise takes longer. What it does goes on; its result is dropped. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(`no answer within ${ms / 1000} s`), { name: 'Timeout' })), ms);
  });
  promise.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Connects, within seconds.
 *
 * @throws MillraceError ERR_MILLRACE_BROKER
 */
export async function connect(connection: Connection, what: string, isolationLevel?: number): Promise<Cluster> {
  const cluster = connection.cluster(Math.max(2, connection.options.brokers.length), isolationLevel);
  try {
    await within(OPEN_TIMEOUT_MS, cluster.connect());
    return cluster;
  } catch (cause) {
    connection.destroySockets();
    throw connection.error(what, cause);
  }
}

/** Ends a cluster's connections: politely, then by force. Never throws. */
export async function disconnect(connection: Connection, cluster: { disconnect(): Promise<unknown> }, ms: number = CLOSE_TIMEOUT_MS): Promise<void> {
  try {
    await within(ms, cluster.disconnect());
  } catch {
    connection.destroySockets();
  }
}

/**
 * The number of partitions of a topic.
 *
 * @throws MillraceError ERR_MILLRACE_TOPIC with the nearest names when it is not there, ERR_MILLRACE_BROKER
 */
export async function partitionCount(connection: Connection, cluster: Cluster, what: string, topic: string): Promise<number> {
  try {
    await within(OPEN_TIMEOUT_MS, cluster.addTargetTopic(topic));
  } catch (cause) {
    if (describe(cause).type !== 'UNKNOWN_TOPIC_OR_PARTITION') throw connection.error(`${what}: topic ${topic} cannot be looked up`, cause);
    const names = await topicNames(cluster);
    const near = nearNames(topic, names);
    const hint = near.length > 0 ? `Near it: ${near.join(', ')}.` : names.length > 0 ? `There are ${names.length} other topics.` : 'There are no topics.';
    throw new MillraceError(
      'ERR_MILLRACE_TOPIC',
      `${what}: there is no topic ${topic} on ${connection.options.brokers.join(', ')}. ${hint} Create it, or correct the name.`,
      { cause },
    );
  }
  return cluster.findTopicPartitionMetadata(topic).length;
}

async function topicNames(cluster: Cluster): Promise<string[]> {
  try {
    const answer = await within(OPEN_TIMEOUT_MS, cluster.metadata({ topics: [] }));
    return answer.topicMetadata.map((entry) => entry.topic).filter((name) => !name.startsWith('__'));
  } catch {
    return [];
  }
}

/** Makes a topic; not an error when somebody else was quicker. @throws MillraceError ERR_MILLRACE_TOPIC, ERR_MILLRACE_BROKER */
export async function createTopic(connection: Connection, what: string, topic: string, partitions: number, replicationFactor: number): Promise<void> {
  const admin = new (privateClient().Kafka)({ ...connection.config, retry: { retries: 3 } }).admin();
  try {
    await within(OPEN_TIMEOUT_MS, admin.connect());
    await within(3 * OPEN_TIMEOUT_MS, admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor }], waitForLeaders: true }));
  } catch (cause) {
    const refused = (cause as { errors?: unknown[] }).errors?.[0] ?? cause;
    const { name, message } = describe(refused);
    if (name.includes('Connection') || name === 'Timeout') throw connection.error(`${what}: topic ${topic} cannot be created`, cause);
    throw new MillraceError(
      'ERR_MILLRACE_TOPIC',
      `${what}: topic ${topic} cannot be created with ${partitions} partitions and ${replicationFactor} replicas: ${message}`,
      { cause },
    );
  } finally {
    await disconnect(connection, admin);
  }
}

/** Offsets by partition: `earliest` of the log, or its end; at isolation level read_committed the end is that of the oldest open transaction. */
export async function logOffsets(cluster: Cluster, topic: string, partitions: readonly number[], which: 'earliest' | 'end'): Promise<Map<number, number>> {
  const answer = await cluster.fetchTopicsOffset([{ topic, partitions: partitions.map((partition) => ({ partition })), fromBeginning: which === 'earliest' }]);
  return new Map(answer.flatMap((entry) => entry.partitions).map(({ partition, offset }) => [partition, Number(offset)]));
}

/** Tries again what fails for a passing reason: a fresh broker needs seconds until its groups have a coordinator. */
export async function persistently<T>(ms: number, attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + ms;
  for (let pauseMs = 50; ; pauseMs = Math.min(2 * pauseMs, 1000)) {
    try {
      return await attempt();
    } catch (error) {
      const { type, name } = describe(error);
      const passes =
        TRANSIENT.has(type) ||
        name.startsWith('KafkaJSConnection') ||
        name === 'KafkaJSRequestTimeoutError' ||
        name === 'KafkaJSLockTimeout' ||
        name === 'KafkaJSBrokerNotFound';
      if (!passes || Date.now() + pauseMs > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

export interface Committed {
  readonly offset: number;
  readonly metadata: string;
}

/** What a group has committed; partitions without a commit are not in the answer. */
export async function committedOffsets(cluster: Cluster, group: string, topic: string, partitions: readonly number[]): Promise<Map<number, Committed>> {
  const responses = await persistently(COORDINATOR_TIMEOUT_MS, async () => {
    const coordinator = await cluster.findGroupCoordinator({ groupId: group });
    const topics = [{ topic, partitions: partitions.map((partition) => ({ partition })) }];
    return (await coordinator.offsetFetch({ groupId: group, topics })).responses;
  });
  const committed = new Map<number, Committed>();
  for (const { partition, offset, metadata } of responses.flatMap((entry) => entry.partitions)) {
    if (Number(offset) >= 0) committed.set(partition, { offset: Number(offset), metadata: metadata ?? '' });
  }
  return committed;
}
