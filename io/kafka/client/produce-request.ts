/**
 * The Produce request. Record batches are copied once, out of shared memory, into one buffer of exactly the
 * right size. Their producer is written there, so the caller's bytes are not changed.
 */

import { assert } from '../../../core/index.ts';
import { setProducer, writeI16, writeI32 } from '../../record-batch/index.ts';
import type { ProducerIdentity, Request, WireReader } from '../protocol/index.ts';
import { type Cluster, offered } from './cluster.ts';

const PRODUCE = 0;
const VERSION_MIN = 3;
const VERSION_MAX = 7;

/** One record batch of a request. Only one per partition is allowed. */
export interface NumberedBatch {
  readonly partition: number;
  readonly bytes: Uint8Array;
  /** Who writes it; undefined: nobody in particular. */
  readonly identity: ProducerIdentity | undefined;
  /** The number of its first record. */
  readonly sequence: number;
}

export interface ProduceOptions {
  readonly topic: string;
  readonly acks: -1 | 1;
  readonly requestTimeoutMs: number;
  readonly transactionalId: string | null;
}

/** By partition: the code, and the offset of the batch. */
export type ProduceAnswer = ReadonlyMap<number, { readonly code: number; readonly baseOffset: number }>;

/**
 * Sends batches to the leader of their partitions.
 *
 * @param check called before their bytes are read; throws when they must not be any more
 */
export function produce(
  cluster: Cluster,
  leader: number,
  options: ProduceOptions,
  batches: readonly NumberedBatch[],
  check: () => void,
): Promise<ProduceAnswer> {
  let version = VERSION_MAX;
  return cluster.ask(
    leader,
    (broker): Request<ProduceAnswer> => {
      version = Math.min(VERSION_MAX, offered(broker, PRODUCE));
      assert(version >= VERSION_MIN, `the broker takes Produce requests up to version ${version} only; record batches need ${VERSION_MIN} (Kafka 0.11)`);
      const layout = { apiKey: PRODUCE, apiName: 'Produce', version, isFlexible: false, body: new Uint8Array(0), waitMs: options.requestTimeoutMs };
      return { ...layout, read: (answer) => readAnswer(answer, version) };
    },
    () => (correlationId, clientId) => {
      check();
      return frameOf(version, correlationId, clientId, options, batches);
    },
  );
}

/** Versions 3 to 7. */
function readAnswer(from: WireReader, version: number): ProduceAnswer {
  const answers = new Map<number, { code: number; baseOffset: number }>();
  from.list(() => {
    from.string();
    from.list(() => {
      answers.set(from.i32(), { code: from.i16(), baseOffset: from.i64() });
      for (let field = version >= 5 ? 2 : 1; field > 0; field--) from.bigint();
    });
  });
  return answers;
}

/**
 * Versions 3 to 7, ready for the socket:
 *
 *   size | api key | version | correlation id | client id | transactional id | acks | timeout |
 *   1 topic: name | n partitions: index, size, record batch
 */
function frameOf(
  version: number,
  correlationId: number,
  clientId: string,
  { topic, acks, requestTimeoutMs, transactionalId }: ProduceOptions,
  batches: readonly NumberedBatch[],
): Buffer {
  const client = Buffer.from(clientId, 'utf8');
  const id = Buffer.from(transactionalId ?? '', 'utf8');
  const name = Buffer.from(topic, 'utf8');
  let length = 4 + 2 + 2 + 4 + (2 + client.length) + (2 + id.length) + 2 + 4 + 4 + (2 + name.length) + 4;
  for (const { bytes } of batches) length += 8 + bytes.length;
  const frame = Buffer.allocUnsafe(length);
  writeI32(frame, 0, length - 4);
  writeI16(frame, 4, PRODUCE);
  writeI16(frame, 6, version);
  writeI32(frame, 8, correlationId);
  writeI16(frame, 12, client.length);
  let at = 14 + client.copy(frame, 14);
  writeI16(frame, at, transactionalId === null ? -1 : id.length);
  at += 2 + id.copy(frame, at + 2);
  writeI16(frame, at, acks);
  writeI32(frame, at + 2, requestTimeoutMs);
  writeI32(frame, at + 6, 1);
  writeI16(frame, at + 10, name.length);
  at += 12 + name.copy(frame, at + 12);
  writeI32(frame, at, batches.length);
  at += 4;
  for (const { partition, bytes, identity, sequence } of batches) {
    writeI32(frame, at, partition);
    writeI32(frame, at + 4, bytes.length);
    frame.set(bytes, at + 8);
    if (identity !== undefined) setProducer(frame, identity.producerId, identity.epoch, sequence, transactionalId !== null, at + 8);
    at += 8 + bytes.length;
  }
  return frame;
}
