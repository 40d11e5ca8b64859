/**
 * The requests of producers that have an id, and of transactions. The versions are those of "transactions
 * version 1", which every broker from 2.8 on serves.
 */

import { type Layout, request } from './requests.ts';
import type { Request, WireReader, WireWriter } from './wire.ts';

export const INIT_PRODUCER_ID = 22;
export const INIT_PRODUCER_ID_VERSION = 4;
/** Takes ids without transactions, from Kafka 0.11 on. */
const INIT_PRODUCER_ID_OLD = 1;
const ADD_PARTITIONS = 24;
const ADD_OFFSETS = 25;
const END_TRANSACTION = 26;
const COMMIT_OFFSETS = 28;

/** Who writes: the broker knows a batch that comes twice by it, and refuses those of an older epoch. */
export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly epoch: number;
}

const NO_IDENTITY: ProducerIdentity = { producerId: -1n, epoch: -1 };

export interface ProducerIdAnswer extends ProducerIdentity {
  readonly code: number;
}

/**
 * Asks for an identity. With a transactional id it fences whoever had it before, and aborts what he left open.
 *
 * @param own the identity so far: the answer is an error if somebody else has the id now
 */
export function producerIdRequest(transactionalId: string | null, timeoutMs: number, own: ProducerIdentity = NO_IDENTITY): Request<ProducerIdAnswer> {
  const isPlain = transactionalId === null;
  return request(
    { apiKey: INIT_PRODUCER_ID, apiName: 'InitProducerId', version: isPlain ? INIT_PRODUCER_ID_OLD : INIT_PRODUCER_ID_VERSION, isFlexible: !isPlain },
    (to) => {
      to.string(transactionalId).i32(timeoutMs);
      return isPlain ? to : producer(to, own).end();
    },
    (from) => {
      from.i32();
      return { code: from.i16(), producerId: from.bigint(), epoch: from.i16() };
    },
  );
}

/** A producer with a transactional id. */
export interface TransactionalProducer extends ProducerIdentity {
  readonly transactionalId: string;
}

export interface TopicPartitions {
  readonly topic: string;
  readonly partitions: readonly number[];
}

export function addPartitionsRequest(who: TransactionalProducer, topics: readonly TopicPartitions[]): Request<{ code: number }> {
  return request(
    flexible(ADD_PARTITIONS, 'AddPartitionsToTxn'),
    (to) =>
      transaction(to, who)
        .list(topics, ({ topic, partitions }) =>
          to
            .string(topic)
            .list(partitions, (partition) => to.i32(partition))
            .end(),
        )
        .end(),
    codeOfPartitions,
  );
}

/** Announces that positions of the group will be in the transaction. */
export function addOffsetsRequest(who: TransactionalProducer, group: string): Request<{ code: number }> {
  return request(flexible(ADD_OFFSETS, 'AddOffsetsToTxn'), (to) => transaction(to, who).string(group).end(), codeAlone);
}

/** As whom positions are committed; generation -1 and no name for who is no member. */
export interface OffsetCommitter {
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string | null;
}

export const NO_MEMBER: OffsetCommitter = { generation: -1, memberId: '', instanceId: null };

export interface TopicOffsets {
  readonly topic: string;
  readonly offsets: readonly { readonly partition: number; readonly offset: number; readonly metadata: string }[];
}

export function commitOffsetsRequest(
  who: TransactionalProducer,
  group: string,
  { generation, memberId, instanceId }: OffsetCommitter,
  topics: readonly TopicOffsets[],
): Request<{ code: number }> {
  return request(
    flexible(COMMIT_OFFSETS, 'TxnOffsetCommit'),
    (to) =>
      producer(to.string(who.transactionalId).string(group), who)
        .i32(generation)
        .string(memberId)
        .string(instanceId)
        .list(topics, ({ topic, offsets }) =>
          to
            .string(topic)
            .list(offsets, ({ partition, offset, metadata }) => to.i32(partition).i64(offset).i32(-1).string(metadata).end())
            .end(),
        )
        .end(),
    codeOfPartitions,
  );
}

export function endTransactionRequest(who: TransactionalProducer, isCommit: boolean): Request<{ code: number }> {
  return request(flexible(END_TRANSACTION, 'EndTxn'), (to) => transaction(to, who).flag(isCommit).end(), codeAlone);
}

function flexible(apiKey: number, apiName: string): Layout {
  return { apiKey, apiName, version: 3, isFlexible: true };
}

function transaction(to: WireWriter, who: TransactionalProducer): WireWriter {
  return producer(to.string(who.transactionalId), who);
}

function producer(to: WireWriter, { producerId, epoch }: ProducerIdentity): WireWriter {
  return to.i64(producerId).i16(epoch);
}

function codeAlone(from: WireReader): { code: number } {
  from.i32();
  return { code: from.i16() };
}

/** Not attempted, because of another partition of the same request: that one's code says why. */
const NOT_ATTEMPTED = 55;

/** The codes of all partitions as one: 0 if all are, otherwise the first that says why. */
function codeOfPartitions(from: WireReader): { code: number } {
  from.i32();
  const codes = from
    .list(() => {
      from.string();
      const ofTopic = from.list(() => {
        from.i32();
        const code = from.i16();
        from.end();
        return code;
      });
      from.end();
      return ofTopic;
    })
    .flat()
    .filter((code) => code !== 0);
  return { code: codes.find((code) => code !== NOT_ATTEMPTED) ?? codes[0] ?? 0 };
}
