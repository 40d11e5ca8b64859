/**
 * Sends whole record batches to Kafka. The bytes of a batch go into a Produce request as they are, with one
 * copy and no object per record.
 *
 * Each partition is a lane. Its batches are sent in the order of the calls, one in flight at a time, so that
 * none can overtake one that has to be retried. Lanes with the same leader share requests. With a numbering
 * (idempotence.ts, transaction.ts) each batch carries who wrote it and its number in the partition. The
 * broker then knows a batch that comes twice, because its first answer got lost. Without one it is written
 * twice.
 */

import { assert, MillraceError } from '../../../core/index.ts';
import { BATCH_BYTES_MAX, batchBytesAt, RECORD_BATCH, recordCountAt } from '../../record-batch/index.ts';
import { answered, describe, isConnectionError, isPassing } from '../kafkajs/index.ts';
import { BrokerAnswer, CODE, codeOf, type ProducerIdentity } from '../protocol/index.ts';
import type { Cluster } from './cluster.ts';
import type { Patience } from './patience.ts';
import { type NumberedBatch, produce } from './produce-request.ts';

/** Most bytes of batches that share a request. */
const REQUEST_BYTES = 4 << 20;
/** Requests in flight to one broker: the next is filled while the last one is answered. */
const REQUESTS_PER_BROKER = 2;
const BACKOFF_MS_MIN = 50;
/** The topic counts as deleted after this many looks in a row, each after a pause, that did not find it. */
const MISSES_MAX = 4;
/** Sequence numbers go on at 0 after 2^31 - 1. */
const SEQUENCES = 2 ** 31;
/** Longest time that a broker may be back before it is noticed. */
const BACKOFF_MS_MAX = 500;

/** One record batch in flight. */
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
  /** Who wrote the lane's batches so far, and the number of the next record. */
  identity: ProducerIdentity | undefined;
  sequence: number;
  /** Offset after the last acknowledged record. */
  end: number;
  /** Failures in a row, and the time of the next attempt. */
  failures: number;
  notBefore: number;
}

/** Who writes, and when. */
export interface BatchNumbering {
  readonly transactionalId: string | null;
  /** Goes into every batch, with numbers from 0 on. Undefined: the broker gave none. */
  readonly identity: ProducerIdentity | undefined;
  /** Those of the partitions that may be written to now. `again` is called when there are more. */
  admitted(topic: string, partitions: readonly number[], again: () => void): readonly number[];
  /**
   * A request got no answer, or a batch was not taken. The result says what follows: another attempt, an
   * error that ends it, or (undefined) what is usual without numbers.
   */
  judge(cause: unknown): Promise<'again' | MillraceError | undefined>;
}

export interface BatchProducerOptions {
  readonly topic: string;
  readonly acks: -1 | 1;
  readonly requestTimeoutMs: number;
  readonly deliveryTimeoutMs: number;
  readonly numbering?: BatchNumbering;
  /** Receives the first error, after which nothing is written any more. */
  failed?(error: MillraceError): void;
}

export class BatchProducer {
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #options: BatchProducerOptions;
  readonly #lanes = new Map<number, Lane>();
  readonly #requests = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  #isPlanned = false;
  #leaders: ReadonlyMap<number, number> = new Map();
  #looking: Promise<void> | undefined;
  /** Looks in a row that did not find the topic. */
  #misses = 0;
  #failure: MillraceError | undefined;

  constructor(cluster: Cluster, patience: Patience, options: BatchProducerOptions) {
    this.#cluster = cluster;
    this.#patience = patience;
    this.#options = options;
  }

  /**
   * Sends the record batches that lie back to back in `bytes`. Resolves when the broker has acknowledged the
   * last of them; `bytes` must not change until then.
   *
   * @throws MillraceError ERR_MILLRACE_SINK when the broker refuses, or does not take them in time; every
   * later call throws it too
   */
  async send(partition: number, bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const lane = this.#lanes.get(partition) ?? { queue: [], isInFlight: false, identity: undefined, sequence: 0, end: 0, failures: 0, notBefore: 0 };
    this.#lanes.set(partition, lane);
    const deadline = performance.now() + this.#options.deliveryTimeoutMs;
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
    this.fail(new MillraceError('ERR_MILLRACE_SINK', `kafka ${this.#options.topic}: the sink was closed before the broker had acknowledged everything.`));
  }

  /** Ends it: what is not acknowledged yet, and every later call, fails with this error. */
  fail(error: MillraceError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearTimeout(this.#timer);
    for (const lane of this.#lanes.values()) {
      for (const delivery of lane.queue.splice(0)) delivery.reject(error);
    }
    this.#options.failed?.(error);
  }

  /** Looks for work after the current calls, so that batches written together share a request. */
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
    const now = performance.now();
    let wakeAt = Number.POSITIVE_INFINITY;
    const ready: number[] = [];
    for (const [partition, lane] of this.#lanes) {
      if (lane.isInFlight || lane.queue.length === 0) continue;
      if (lane.notBefore > now) wakeAt = Math.min(wakeAt, lane.notBefore);
      else ready.push(partition);
    }
    clearTimeout(this.#timer);
    if (wakeAt < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#dispatch(), wakeAt - now);
    const { topic, numbering } = this.#options;
    const admitted = numbering?.admitted(topic, ready, () => this.#plan()) ?? ready;
    for (const [leader, partitions] of this.#byLeader(admitted)) this.#fill(leader, partitions);
  }

  #byLeader(partitions: readonly number[]): Map<number, number[]> {
    const groups = new Map<number, number[]>();
    for (const partition of partitions) {
      const leader = this.#leaders.get(partition) ?? -1;
      if (leader < 0) this.#lookForLeaders();
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

  /** One Produce request and the handling of its answer. Never rejects. */
  async #request(leader: number, deliveries: readonly Delivery[]): Promise<void> {
    const key = `produce to ${leader}`;
    const batches = deliveries.map((delivery) => this.#numbered(delivery));
    try {
      const { numbering, ...options } = this.#options;
      const answers = await produce(this.#cluster, leader, { ...options, transactionalId: numbering?.transactionalId ?? null }, batches, () => {
        // After a failure the caller has its bytes back, so they must not be read any more.
        if (this.#failure !== undefined) throw this.#failure;
      });
      this.#patience.passed(key);
      const refused: Promise<void>[] = [];
      for (const delivery of deliveries) {
        const { code, baseOffset } = answers.get(delivery.partition) ?? { code: -1, baseOffset: -1 };
        const lane = this.#lanes.get(delivery.partition) as Lane;
        // A number that was used before is acknowledged and dropped: the offset is that of other rows.
        const isDropped = code === 0 && lane.identity !== undefined && baseOffset < lane.end;
        if (code === 0 && !isDropped) this.#acknowledge(delivery, baseOffset);
        else refused.push(this.#judge([delivery], answered(isDropped ? CODE.duplicateSequence : code)));
      }
      await Promise.all(refused);
    } catch (error) {
      await this.#judge(deliveries, error, key);
    }
  }

  /** A retried batch gets the same number again, unless the identity has changed. */
  #numbered({ partition, bytes }: Delivery): NumberedBatch {
    const lane = this.#lanes.get(partition) as Lane;
    const identity = this.#options.numbering?.identity;
    if (lane.identity !== identity) {
      lane.identity = identity;
      lane.sequence = 0;
      lane.end = 0;
    }
    return { partition, bytes, identity, sequence: lane.sequence };
  }

  #acknowledge(delivery: Delivery, baseOffset: number): void {
    const lane = this.#lanes.get(delivery.partition) as Lane;
    // Empty when the producer has failed meanwhile.
    if (lane.queue.shift() === undefined) return;
    const count = recordCountAt(delivery.bytes, 0);
    lane.isInFlight = false;
    lane.failures = 0;
    lane.sequence = (lane.sequence + count) % SEQUENCES;
    lane.end = baseOffset + count;
    delivery.resolve();
  }

  async #judge(deliveries: readonly Delivery[], cause: unknown, key?: string): Promise<void> {
    if (this.#failure !== undefined) return;
    const verdict = await this.#options.numbering?.judge(cause).catch((error: MillraceError) => error);
    if (verdict instanceof Error) this.fail(verdict);
    else this.#retry(deliveries, cause, key, verdict === 'again');
  }

  /**
   * Puts lanes back after a passing failure. Fails the producer for one that is not passing, or that lasts
   * too long.
   *
   * @param key of the patience, where a broker does not answer
   * @param isAgain it is passing, whatever it looks like
   */
  #retry(deliveries: readonly Delivery[], error: unknown, key: string | undefined, isAgain: boolean): void {
    if (this.#failure !== undefined) return;
    const now = performance.now();
    // The next look at a deleted topic finds out that it is gone.
    const mayPass = isAgain || isPassing(error) || codeOf(error) === CODE.unknownTopic;
    for (const delivery of deliveries) {
      const lane = this.#lanes.get(delivery.partition) as Lane;
      if (!mayPass || now >= delivery.deadline) {
        this.fail(this.#refusal(delivery, error, mayPass));
        return;
      }
      lane.isInFlight = false;
      lane.notBefore = now + Math.min(BACKOFF_MS_MIN * 2 ** Math.min(lane.failures++, 10), BACKOFF_MS_MAX, Math.max(1, delivery.deadline - now));
    }
    if (key !== undefined && isConnectionError(error)) this.#wait(key, error, deliveries);
    else this.#cluster.connection.report?.retried(`kafka ${this.#options.topic}: rows cannot be written`, describe(error).message);
    this.#lookForLeaders();
  }

  /** Reports what is waited for, if it lasts. The deadline of the deliveries limits the wait. */
  #wait(key: string, error: unknown, deliveries: readonly Delivery[]): void {
    try {
      const deadline = Math.max(...deliveries.map((delivery) => delivery.deadline));
      this.#patience.failed(key, 'rows cannot be written', error, Math.max(1, deadline - performance.now()));
    } catch (failure) {
      this.fail(failure as MillraceError);
    }
  }

  /** The new leaders are known before the next attempt; otherwise that attempt fails and waits longer. */
  #lookForLeaders(): void {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      this.#plan();
    });
  }

  async #look(): Promise<void> {
    try {
      const { partitions } = await this.#cluster.topic(this.#options.topic);
      this.#leaders = new Map(partitions.map(({ partition, leader }) => [partition, leader]));
      this.#misses = 0;
    } catch (error) {
      if (codeOf(error) === CODE.unknownTopic && ++this.#misses >= MISSES_MAX) {
        const message = `kafka ${this.#options.topic}: the topic was deleted while it was written to. Create it again, or write to another one.`;
        this.fail(new MillraceError('ERR_MILLRACE_SINK', message, { cause: error }));
      }
    }
    // Lanes whose partition has no leader wait here; lanes that failed wait by themselves.
    const now = performance.now();
    for (const [partition, lane] of this.#lanes) {
      if (lane.isInFlight || lane.queue.length === 0 || (this.#leaders.get(partition) ?? -1) >= 0) continue;
      this.#retryLeaderless(lane, now);
    }
  }

  #retryLeaderless(lane: Lane, now: number): void {
    const head = lane.queue[0] as Delivery;
    if (now >= head.deadline) this.fail(this.#refusal(head, answered(CODE.leaderNotAvailable), true));
    else lane.notBefore = Math.max(lane.notBefore, now + BACKOFF_MS_MIN);
  }

  #refusal(delivery: Delivery, cause: unknown, mayPass: boolean): MillraceError {
    const { topic, deliveryTimeoutMs } = this.#options;
    const { type, message } = describe(cause);
    const what = `kafka ${topic}: a record batch of ${recordCountAt(delivery.bytes, 0)} records (${delivery.bytes.length} bytes) for partition ${delivery.partition} was not written`;
    if (codeOf(cause) === CODE.messageTooLarge)
      return new MillraceError('ERR_MILLRACE_SINK', `${what}: it is larger than the topic's max.message.bytes. Raise that setting of the topic.`, { cause });
    if (type.endsWith('AUTHORIZATION_FAILED')) return this.#cluster.connection.error(what, cause);
    if (mayPass) {
      return new MillraceError(
        'ERR_MILLRACE_SINK',
        `${what} within ${deliveryTimeoutMs / 1000} s: ${message || this.#cluster.connection.lastError}. Look at the brokers, or raise deliveryTimeout.`,
        { cause },
      );
    }
    if (cause instanceof BrokerAnswer) return new MillraceError('ERR_MILLRACE_SINK', `${what}: the broker refuses it: ${message}`, { cause });
    return this.#cluster.connection.error(what, cause);
  }
}
