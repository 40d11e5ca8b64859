/**
 * Whole record batches into Kafka: the bytes of a batch go into a Produce request as they are, no object a record and
 * one copy. Connections, metadata and the rest of the protocol stay kafkajs's (private-client.ts).
 *
 * Each partition is a lane: its batches are sent in the order of the calls, one in flight at a time, because without
 * sequence numbers a second one could overtake a first that has to be tried again. Lanes that have the same leader share
 * requests. A batch that was written although its answer got lost is written twice: at least once, not exactly once.
 */

import { assert, MillraceError } from '../../../core/index.ts';
import { BATCH_BYTES_MAX, batchBytesAt, RECORD_BATCH, recordCountAt, writeI16, writeI32 } from '../../record-batch/index.ts';
import { type Connection, describe } from './admin.ts';
import { type Broker, type Cluster, privateClient } from './private-client.ts';

const PRODUCE = 0;
const PRODUCE_VERSION_MIN = 3;
const PRODUCE_VERSION_MAX = 7;
/** Most bytes of batches that share one request. */
const REQUEST_BYTES = 4 << 20;
/** Requests on their way to one broker: the next is filled while the last one is answered. */
const REQUESTS_PER_BROKER = 2;
const BACKOFF_MS_MIN = 50;
const BACKOFF_MS_MAX = 1000;

/** A request that writes its own frame. */
interface FramedRequest {
  frame(correlationId: number, clientId: string): Buffer;
}

type Encode = (call: { correlationId: number; clientId: string; request: object }) => Promise<{ buffer: Uint8Array }>;

/** Replaces kafkajs's encoder of requests: lets requests through that bring a frame of their own. */
export function encodeRequest(theirs: (call: never) => Promise<{ buffer: Uint8Array }>): Encode {
  return async (call) => {
    const framed = call.request as Partial<FramedRequest>;
    return framed.frame === undefined ? theirs(call as never) : { buffer: framed.frame(call.correlationId, call.clientId) };
  };
}

/** One record batch on its way. */
interface Delivery {
  readonly partition: number;
  readonly bytes: Uint8Array;
  readonly deadline: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Lane {
  readonly queue: Delivery[];
  isInFlight: boolean;
  /** Failures in a row, and the time before which it is not tried again. */
  failures: number;
  notBefore: number;
}

export interface BatchProducerOptions {
  readonly topic: string;
  readonly acks: -1 | 1;
  readonly requestTimeoutMs: number;
  readonly deliveryTimeoutMs: number;
}

interface ProduceAnswer {
  topics: { partitions: { partition: number; errorCode: number }[] }[];
}

export class BatchProducer {
  readonly #connection: Connection;
  readonly #cluster: Cluster;
  readonly #options: BatchProducerOptions;
  readonly #lanes = new Map<number, Lane>();
  readonly #requests = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  #isPlanned = false;
  #refreshing: Promise<void> | undefined;
  #failure: MillraceError | undefined;

  constructor(connection: Connection, cluster: Cluster, options: BatchProducerOptions) {
    this.#connection = connection;
    this.#cluster = cluster;
    this.#options = options;
  }

  /**
   * Sends the record batches that lie one behind the other in `bytes`. Resolves when the broker has acknowledged the
   * last of them; `bytes` must not change until then.
   *
   * @throws MillraceError ERR_MILLRACE_SINK when the broker refuses, or does not take them in time; from then on for every call
   */
  async send(partition: number, bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const lane = this.#lanes.get(partition) ?? { queue: [], isInFlight: false, failures: 0, notBefore: 0 };
    this.#lanes.set(partition, lane);
    const deadline = Date.now() + this.#options.deliveryTimeoutMs;
    const deliveries: Promise<void>[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = bytes.length - at >= RECORD_BATCH.headerBytes ? batchBytesAt(bytes, at) : 0;
      assert(
        length >= RECORD_BATCH.headerBytes && length <= BATCH_BYTES_MAX && at + length <= bytes.length,
        `a block of the Kafka sink holds whole record batches; at ${at} of ${bytes.length} bytes stands a length of ${length}`,
      );
      const batch = bytes.subarray(at, at + length);
      deliveries.push(new Promise((resolve, reject) => lane.queue.push({ partition, bytes: batch, deadline, resolve, reject })));
      at += length;
    }
    this.#plan();
    await Promise.all(deliveries);
  }

  /** Gives up what is not acknowledged yet. */
  close(): void {
    this.#fail(new MillraceError('ERR_MILLRACE_SINK', `kafka ${this.#options.topic}: the sink was closed before the broker had acknowledged everything.`));
  }

  /** Looks for work once the current calls are through, so that batches written together share a request. */
  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    if (this.#failure !== undefined) return;
    const now = Date.now();
    let wakeAt = Number.POSITIVE_INFINITY;
    const ready: number[] = [];
    for (const [partition, lane] of this.#lanes) {
      if (lane.isInFlight || lane.queue.length === 0) continue;
      if (lane.notBefore > now) wakeAt = Math.min(wakeAt, lane.notBefore);
      else ready.push(partition);
    }
    clearTimeout(this.#timer);
    if (wakeAt < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#dispatch(), wakeAt - now);
    for (const [leader, partitions] of this.#byLeader(ready)) this.#fill(leader, partitions);
  }

  #byLeader(partitions: readonly number[]): Map<number, number[]> {
    const groups = new Map<number, number[]>();
    if (partitions.length === 0) return groups;
    let leaders = new Map<number, number | null>();
    try {
      leaders = new Map(this.#cluster.findTopicPartitionMetadata(this.#options.topic).map((entry) => [entry.partitionId, entry.leader]));
    } catch {
      // No metadata at the moment: every lane waits for it below.
    }
    for (const partition of partitions) {
      const leader = leaders.get(partition) ?? -1;
      if (leader < 0) this.#retry([(this.#lanes.get(partition) as Lane).queue[0] as Delivery], new Error(`partition ${partition} has no leader`));
      else groups.set(leader, [...(groups.get(leader) ?? []), partition]);
    }
    return groups;
  }

  #fill(leader: number, partitions: readonly number[]): void {
    let next = 0;
    while (this.#failure === undefined && next < partitions.length && (this.#requests.get(leader) ?? 0) < REQUESTS_PER_BROKER) {
      const deliveries: Delivery[] = [];
      for (let bytes = 0; next < partitions.length; next++) {
        const lane = this.#lanes.get(partitions[next] as number) as Lane;
        const head = lane.queue[0] as Delivery;
        if (deliveries.length > 0 && bytes + head.bytes.length > REQUEST_BYTES) break;
        bytes += head.bytes.length;
        lane.isInFlight = true;
        deliveries.push(head);
      }
      this.#requests.set(leader, (this.#requests.get(leader) ?? 0) + 1);
      void this.#request(leader, deliveries).finally(() => {
        this.#requests.set(leader, (this.#requests.get(leader) ?? 1) - 1);
        this.#plan();
      });
    }
  }

  /** One Produce request, and what follows from its answer. Never rejects. */
  async #request(leader: number, deliveries: readonly Delivery[]): Promise<void> {
    try {
      const broker = await this.#cluster.findBroker({ nodeId: leader });
      const answer = await this.#produce(broker, deliveries);
      const codes = new Map(answer.topics.flatMap((topic) => topic.partitions).map((entry) => [entry.partition, entry.errorCode]));
      for (const delivery of deliveries) {
        const code = codes.get(delivery.partition) ?? -1;
        if (code === 0) this.#acknowledge(delivery);
        else this.#retry([delivery], privateClient().createErrorFromCode(code));
      }
    } catch (error) {
      const { host, port, name } = error as { host?: string; port?: number; name?: string };
      if (name === 'KafkaJSConnectionClosedError' && host !== undefined && port !== undefined) this.#cluster.removeBroker({ host, port });
      this.#retry(deliveries, error);
    }
  }

  async #produce(broker: Broker, deliveries: readonly Delivery[]): Promise<ProduceAnswer> {
    const versions = broker.versions[PRODUCE];
    const apiVersion = Math.min(PRODUCE_VERSION_MAX, versions?.maxVersion ?? PRODUCE_VERSION_MAX);
    assert(
      apiVersion >= PRODUCE_VERSION_MIN,
      `the broker takes Produce requests up to version ${apiVersion} only; record batches need ${PRODUCE_VERSION_MIN} (Kafka 0.11)`,
    );
    const { topic, acks, requestTimeoutMs } = this.#options;
    const request = {
      apiKey: PRODUCE,
      apiVersion,
      apiName: 'Produce',
      frame: (correlationId: number, clientId: string) => {
        // After a failure the caller has its bytes back: they are not ours to read any more.
        if (this.#failure !== undefined) throw this.#failure;
        return produceFrame(apiVersion, correlationId, clientId, acks, requestTimeoutMs, topic, deliveries);
      },
    };
    const response = { decode: privateClient().produceResponse(apiVersion).decode, parse: async (answer: unknown) => answer };
    return (await broker.connectionPool.send({ request, response, requestTimeout: requestTimeoutMs })) as ProduceAnswer;
  }

  #acknowledge(delivery: Delivery): void {
    const lane = this.#lanes.get(delivery.partition) as Lane;
    lane.queue.shift();
    lane.isInFlight = false;
    lane.failures = 0;
    delivery.resolve();
  }

  /** Puts lanes back after a failure that can pass; fails the producer for one that cannot, or that lasts too long. */
  #retry(deliveries: readonly Delivery[], error: unknown): void {
    if (this.#failure !== undefined) return;
    const isRetriable = (error as { retriable?: boolean }).retriable !== false && !(error instanceof TypeError || error instanceof RangeError);
    const now = Date.now();
    for (const delivery of deliveries) {
      const lane = this.#lanes.get(delivery.partition) as Lane;
      if (!isRetriable || now >= delivery.deadline) {
        this.#fail(this.#refusal(delivery, error));
        return;
      }
      lane.isInFlight = false;
      lane.notBefore = now + Math.min(BACKOFF_MS_MIN * 2 ** lane.failures++, BACKOFF_MS_MAX);
    }
    // New metadata is there before the first of them is tried again, or they fail once more and wait longer.
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
      this.#plan();
    });
  }

  async #refresh(): Promise<void> {
    try {
      if (!this.#cluster.isConnected()) await this.#cluster.connect();
      await this.#cluster.refreshMetadata();
    } catch {
      // The next attempt tells.
    }
  }

  #refusal(delivery: Delivery, cause: unknown): MillraceError {
    const { topic, deliveryTimeoutMs } = this.#options;
    const { type, message } = describe(cause);
    const what = `kafka ${topic}: a record batch of ${recordCountAt(delivery.bytes, 0)} records (${delivery.bytes.length} bytes) for partition ${delivery.partition} was not written`;
    if (type === 'MESSAGE_TOO_LARGE')
      return new MillraceError('ERR_MILLRACE_SINK', `${what}: it is larger than the topic's max.message.bytes. Raise that setting of the topic.`, { cause });
    if (type.endsWith('AUTHORIZATION_FAILED')) return this.#connection.error(what, cause);
    if ((cause as { retriable?: boolean }).retriable === false)
      return new MillraceError('ERR_MILLRACE_SINK', `${what}: the broker refuses it: ${message}`, { cause });
    return new MillraceError(
      'ERR_MILLRACE_SINK',
      `${what} within ${deliveryTimeoutMs / 1000} s: ${message || this.#connection.lastError}. Look at the brokers, or raise deliveryTimeout.`,
      { cause },
    );
  }

  #fail(error: MillraceError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearTimeout(this.#timer);
    for (const lane of this.#lanes.values()) {
      for (const delivery of lane.queue.splice(0)) delivery.reject(error);
    }
  }
}

/**
 * A Produce request, versions 3 to 7, ready for the socket:
 *
 *   size | api key | version | correlation id | client id | transactional id (null) | acks | timeout | 1 topic: name | n partitions: index, size, record batch
 *
 * The record batches are copied once, here: out of shared memory, into one buffer of exactly the right size.
 */
function produceFrame(
  version: number,
  correlationId: number,
  clientId: string,
  acks: number,
  timeoutMs: number,
  topic: string,
  deliveries: readonly Delivery[],
): Buffer {
  const client = Buffer.from(clientId, 'utf8');
  const name = Buffer.from(topic, 'utf8');
  let length = 4 + 2 + 2 + 4 + (2 + client.length) + 2 + 2 + 4 + 4 + (2 + name.length) + 4;
  for (const { bytes } of deliveries) length += 8 + bytes.length;
  const frame = Buffer.allocUnsafe(length);
  writeI32(frame, 0, length - 4);
  writeI16(frame, 4, PRODUCE);
  writeI16(frame, 6, version);
  writeI32(frame, 8, correlationId);
  writeI16(frame, 12, client.length);
  let at = 14 + client.copy(frame, 14);
  writeI16(frame, at, -1);
  writeI16(frame, at + 2, acks);
  writeI32(frame, at + 4, timeoutMs);
  writeI32(frame, at + 8, 1);
  writeI16(frame, at + 12, name.length);
  at += 14 + name.copy(frame, at + 14);
  writeI32(frame, at, deliveries.length);
  at += 4;
  for (const { partition, bytes } of deliveries) {
    writeI32(frame, at, partition);
    writeI32(frame, at + 4, bytes.length);
    frame.set(bytes, at + 8);
    at += 8 + bytes.length;
  }
  return frame;
}
