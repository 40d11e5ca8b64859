/**
 * Whole record batches out of kafkajs: the replacements that our copy of it (private-client.ts) is loaded with.
 *
 * kafkajs takes a fetch apart into one object a record, on the network thread: half a million rows a second, and its
 * filter for aborted transactions both lets aborted rows through and breaks on record batches of more than 125,000
 * records. Here a partition's answer stays the bytes that came: `RawBatch` stands in for kafkajs's Batch and carries
 * them, with the list of aborted transactions, to the consumer's `eachBatch`. Group membership, heartbeats, metadata
 * and the fetch loop stay kafkajs's.
 */

import type { Cluster } from './private-client.ts';

const NO_RECORDS = new Uint8Array(0);

/** kafkajs's reader of a response, as far as we use it. */
interface Decoder {
  readInt32(): number;
  canReadBytes(length: number): boolean;
  readBytes(length: number): Uint8Array;
}

/** Replaces kafkajs's decodeMessages: the record section of one partition as it is, a view on the response. */
export async function decodeRawRecords(decoder: Decoder): Promise<Uint8Array> {
  const length = decoder.readInt32();
  return length > 0 && decoder.canReadBytes(length) ? decoder.readBytes(length) : NO_RECORDS;
}

export interface AbortedTransaction {
  readonly producerId: string;
  readonly firstOffset: string;
}

interface PartitionData {
  readonly partition: number;
  readonly highWatermark: string;
  readonly abortedTransactions?: readonly AbortedTransaction[];
  readonly messages: Uint8Array;
}

/**
 * Replaces kafkajs's Batch: what one fetch brought of one partition. It is never "empty", so that `eachBatch` is called
 * for an answer without records too: the end of a partition shows in it.
 */
export class RawBatch {
  readonly topic: string;
  readonly partition: number;
  /** Where the fetch asked to begin. The first record batch can begin below it. */
  readonly fetchedOffset: number;
  readonly highWatermark: number;
  /** Transactions with records in this range that were aborted, by producer, with the offset of their first record. */
  readonly abortedTransactions: readonly AbortedTransaction[];
  /** Record batches one behind the other; the last may be cut off. */
  readonly records: Uint8Array;
  /** For kafkajs's own events, which count messages. */
  readonly messages: readonly never[] = [];

  constructor(topic: string, fetchedOffset: string, data: PartitionData) {
    this.topic = topic;
    this.partition = data.partition;
    this.fetchedOffset = Number(fetchedOffset);
    this.highWatermark = Number(data.highWatermark);
    this.abortedTransactions = data.abortedTransactions ?? [];
    this.records = data.messages;
  }

  isEmpty(): boolean {
    return false;
  }

  isEmptyDueToFiltering(): boolean {
    return false;
  }

  firstOffset(): string {
    return String(this.fetchedOffset);
  }

  lastOffset(): string {
    return String(this.fetchedOffset);
  }

  offsetLag(): string {
    return String(Math.max(0, this.highWatermark - this.fetchedOffset));
  }

  offsetLagLow(): string {
    return this.offsetLag();
  }
}

const outOfRangeHandlers = new WeakMap<Cluster, (partition: number) => Promise<void>>();

/** Says what to do when the broker no longer has, or does not have yet, the offset that a consumer of this cluster asks for. */
export function onOutOfRange(cluster: Cluster, handler: (partition: number) => Promise<void>): void {
  outOfRangeHandlers.set(cluster, handler);
}

interface ConsumerGroup {
  readonly cluster: Cluster;
  readonly preferredReadReplicasPerTopicPartition: Record<string, Record<number, unknown> | undefined>;
  recoverFromOffsetOutOfRange(error: { topic: string; partition: number }): Promise<void>;
}

/**
 * kafkajs answers OFFSET_OUT_OF_RANGE by committing the default offset: rows are skipped, or read again, without a word.
 * Ours asks the leader first when a follower said so, and then the source.
 */
export function failOutOfRange(groupClass: { prototype: ConsumerGroup }): void {
  groupClass.prototype.recoverFromOffsetOutOfRange = async function (this: ConsumerGroup, { topic, partition }): Promise<void> {
    const replicas = this.preferredReadReplicasPerTopicPartition[topic];
    if (replicas?.[partition] !== undefined) delete replicas[partition];
    else await outOfRangeHandlers.get(this.cluster)?.(partition);
  };
}

const sleepers = new Set<() => void>();

/** Replaces kafkajs's sleep, with which its fetch loop waits while all partitions are paused: `wakeFetch` ends it early. */
export function sleepOrWake(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      sleepers.delete(wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    sleepers.add(wake);
  });
}

/** Makes the fetch loops look again now: a partition was resumed. */
export function wakeFetch(): void {
  for (const wake of sleepers) wake();
}
