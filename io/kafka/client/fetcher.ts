/**
 * The fetch loop. It asks the leader of each partition for records, with one request at a time per node for
 * all partitions that want some. For every request it asks its handlers which partitions want rows, and from
 * where. The answer goes to the handlers. A node that does not answer is asked again, after a new look-up of
 * the leaders, until the patience ends.
 */

import type { MillraceError } from '../../../core/index.ts';
import { answered } from '../kafkajs/index.ts';
import { CODE, type Request, type WireReader, WireWriter } from '../protocol/index.ts';
import { type Cluster, offered } from './cluster.ts';
import type { Patience } from './patience.ts';

const FETCH = 1;
/**
 * Fetches by topic id, so that rows of another topic with the same name never arrive; and what brokers older
 * than 3.1 take.
 */
const VERSION_BY_ID = 13;
const VERSION_BY_NAME = 11;
const REPLICA_MS = 300_000;
const FAILED_MS = 50;

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

/** One partition's share of a fetch. */
export interface Fetched {
  readonly partition: number;
  /** Where the fetch was asked to begin. The first record batch can begin below it. */
  readonly fetchedOffset: number;
  readonly highWatermark: number;
  /** Aborted transactions with records in this range, by producer, with the offset of their first record. */
  readonly abortedTransactions: readonly AbortedTransaction[];
  /** Record batches back to back, a view of the answer; the last may be cut off. */
  readonly records: Uint8Array;
}

interface PartitionAnswer extends Omit<Fetched, 'fetchedOffset'> {
  readonly code: number;
  readonly replica: number;
}

export interface FetchTarget {
  readonly id: number;
  readonly position: number;
}

export interface FetcherOptions {
  readonly topic: string;
  readonly isolationLevel: number;
  readonly maxBytes: number;
  readonly maxBytesPerPartition: number;
  readonly maxWaitMs: number;
  readonly rackId: string;
}

export interface FetcherHandlers {
  /** The partitions to fetch, and from where. */
  wanted(): readonly FetchTarget[];
  /** Never throws. */
  fetched(fetched: Fetched): void;
  /** The requested offset is not in the log. */
  outOfRange(target: FetchTarget): Promise<void>;
  /** The broker does not know the topic, or not by this id: check whether it still exists. */
  unknownTopic(): void;
  failed(error: MillraceError): void;
}

export class Fetcher {
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #options: FetcherOptions;
  readonly #handlers: FetcherHandlers;
  #topicId: string | undefined;
  #leaders = new Map<number, number>();
  /** Replicas that the leader has named for this rack, and until when they are valid. */
  readonly #replicas = new Map<number, { readonly nodeId: number; readonly untilMs: number }>();
  readonly #inFlight = new Set<number>();
  /** Partitions that failed, and the time of their next attempt. */
  readonly #notBefore = new Map<number, number>();
  #looking: Promise<void> | undefined;
  #isPlanned = false;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(cluster: Cluster, patience: Patience, options: FetcherOptions, handlers: FetcherHandlers) {
    this.#cluster = cluster;
    this.#patience = patience;
    this.#options = options;
    this.#handlers = handlers;
  }

  /** The leader of each partition, as just found out. */
  lead(topicId: string | undefined, leaders: ReadonlyMap<number, number>): void {
    this.#topicId = topicId;
    this.#leaders = new Map(leaders);
    this.poke();
  }

  /** Something has changed: a partition wants rows that did not want any before. */
  poke(): void {
    if (this.#isPlanned || this.#isStopped) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      this.#dispatch();
    });
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #dispatch(): void {
    if (this.#isStopped) return;
    const now = performance.now();
    const byNode = new Map<number, FetchTarget[]>();
    let wakeAt = Number.POSITIVE_INFINITY;
    let isLeaderless = false;
    for (const target of this.#handlers.wanted()) {
      const notBefore = this.#notBefore.get(target.id) ?? 0;
      if (notBefore > now) {
        wakeAt = Math.min(wakeAt, notBefore);
        continue;
      }
      const node = this.#nodeOf(target.id, now);
      if (node < 0) isLeaderless = true;
      else if (!this.#inFlight.has(node)) {
        const targets = byNode.get(node);
        if (targets === undefined) byNode.set(node, [target]);
        else targets.push(target);
      }
    }
    if (isLeaderless) this.#lookForLeaders();
    clearTimeout(this.#timer);
    if (wakeAt < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.poke(), wakeAt - now);
    for (const [node, targets] of byNode) void this.#fetch(node, targets);
  }

  #nodeOf(partition: number, now: number): number {
    const replica = this.#replicas.get(partition);
    if (replica !== undefined && replica.untilMs > now) return replica.nodeId;
    return this.#leaders.get(partition) ?? -1;
  }

  /** One Fetch request and the handling of its answer. Never rejects. */
  async #fetch(node: number, targets: readonly FetchTarget[]): Promise<void> {
    this.#inFlight.add(node);
    const key = `fetch from ${node}`;
    try {
      const answers = await this.#cluster.ask(node, (broker) => this.#request(shuffled(targets), offered(broker, FETCH)));
      this.#patience.passed(key);
      if (!this.#isStopped) await this.#take(targets, answers);
    } catch (error) {
      if (this.#isStopped) return;
      for (const { id } of targets) this.#replicas.delete(id);
      try {
        await this.#patience.sleep(this.#patience.failed(key, 'rows cannot be read', error));
        this.#lookForLeaders();
      } catch (failure) {
        this.#handlers.failed(failure as MillraceError);
        return;
      }
    } finally {
      this.#inFlight.delete(node);
      this.poke();
    }
  }

  async #take(targets: readonly FetchTarget[], answers: readonly PartitionAnswer[]): Promise<void> {
    const asked = new Map(targets.map((target) => [target.id, target]));
    for (const answer of answers) {
      const target = asked.get(answer.partition);
      if (target === undefined) continue;
      if (answer.replica >= 0) {
        this.#replicas.set(target.id, { nodeId: answer.replica, untilMs: performance.now() + REPLICA_MS });
        continue;
      }
      if (answer.code === 0) this.#handlers.fetched({ ...answer, fetchedOffset: target.position });
      else await this.#refused(target, answer.code);
    }
  }

  async #refused(target: FetchTarget, code: number): Promise<void> {
    this.#notBefore.set(target.id, performance.now() + FAILED_MS);
    const wasReplica = this.#replicas.delete(target.id);
    const key = `partition ${target.id}`;
    if (code === CODE.offsetOutOfRange) {
      // A replica may lag behind, so only the leader's answer counts.
      if (!wasReplica) await this.#handlers.outOfRange(target);
    } else if (code === CODE.unknownTopic || code === CODE.unknownTopicId || code === CODE.inconsistentTopicId) {
      this.#handlers.unknownTopic();
      this.#lookForLeaders();
    } else {
      const pauseMs = this.#patience.failed(key, `rows of partition ${target.id} cannot be read`, answered(code));
      this.#notBefore.set(target.id, performance.now() + pauseMs);
      this.#lookForLeaders();
      return;
    }
    this.#patience.passed(key);
  }

  /**
   * Looks up the leaders. Only the next answers tell whether a failed node works again; asking costs little.
   */
  #lookForLeaders(): void {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      this.poke();
    });
  }

  async #look(): Promise<void> {
    const key = 'leaders';
    try {
      const { partitions } = await this.#cluster.topic(this.#options.topic);
      this.#leaders = new Map(partitions.map(({ partition, leader }) => [partition, leader]));
      if ([...this.#leaders.values()].some((leader) => leader < 0)) throw answered(CODE.leaderNotAvailable);
      this.#patience.passed(key);
    } catch (error) {
      if (this.#isStopped) return;
      if ((error as { code?: number }).code === CODE.unknownTopic) {
        this.#handlers.unknownTopic();
        await this.#patience.sleep(FAILED_MS);
        return;
      }
      try {
        await this.#patience.sleep(this.#patience.failed(key, 'the leaders of the partitions cannot be found', error));
      } catch (failure) {
        this.#handlers.failed(failure as MillraceError);
      }
    }
  }

  #request(targets: readonly FetchTarget[], newest: number): Request<PartitionAnswer[]> {
    const { topic, isolationLevel, maxBytes, maxBytesPerPartition, maxWaitMs, rackId } = this.#options;
    const topicId = newest >= VERSION_BY_ID ? this.#topicId : undefined;
    const isById = topicId !== undefined;
    const to = new WireWriter(isById);
    to.i32(-1).i32(maxWaitMs).i32(1).i32(maxBytes).i8(isolationLevel).i32(0).i32(-1);
    to.list([topic], () => {
      if (isById) to.uuid(topicId);
      else to.string(topic);
      to.list(targets, ({ id, position }) => {
        to.i32(id).i32(-1).i64(position);
        if (isById) to.i32(-1);
        to.i64(-1).i32(maxBytesPerPartition).end();
      }).end();
    });
    to.list([], () => {})
      .string(rackId)
      .end();
    return {
      apiKey: FETCH,
      apiName: 'Fetch',
      version: isById ? VERSION_BY_ID : VERSION_BY_NAME,
      isFlexible: isById,
      body: to.bytes,
      waitMs: maxWaitMs,
      read: (from) => readAnswer(from, isById),
    };
  }
}

function readAnswer(from: WireReader, isById: boolean): PartitionAnswer[] {
  from.i32();
  const code = from.i16();
  if (code !== 0) throw answered(code);
  from.i32();
  return from
    .list(() => {
      if (isById) from.uuid();
      else from.string();
      const partitions = from.list(() => readPartition(from));
      from.end();
      return partitions;
    })
    .flat();
}

function readPartition(from: WireReader): PartitionAnswer {
  const partition = from.i32();
  const code = from.i16();
  const highWatermark = from.i64();
  from.bigint();
  from.bigint();
  const abortedTransactions = from.list(() => {
    const transaction = { producerId: from.bigint(), firstOffset: from.i64() };
    from.end();
    return transaction;
  });
  const replica = from.i32();
  const records = from.blob();
  from.end();
  return { partition, code, highWatermark, abortedTransactions, replica, records };
}

/** The broker fills an answer in the order of the request. Shuffled, no partition is always the last. */
function shuffled<T>(items: readonly T[]): T[] {
  const order = [...items];
  const first = rotation++ % Math.max(1, order.length);
  return [...order.slice(first), ...order.slice(0, first)];
}

let rotation = 0;
