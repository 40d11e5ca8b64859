/**
 * Planted bugs, one at a time, in a child process of the checker. Each is what a mistake in the package would do. The
 * checker has to find every one of them in every run, or the run is red: otherwise its zeros would say nothing.
 */

import { isMainThread } from 'node:worker_threads';
import { around, type Canary } from './wrapping.ts';

const FLUSH_LATE_MS = 150;

export async function plant(canary: Canary): Promise<void> {
  await PLANTED[canary]();
}

const PLANTED: Readonly<Record<Canary, () => Promise<void>>> = {
  /** Rows count as written before the brokers have them, so the transaction commits without them. */
  async 'commit-before-flush'() {
    if (!isMainThread) return;
    const { KafkaTransaction } = await import('../../io/kafka/transactions.ts');
    around(KafkaTransaction, 'write', (original, topic, partition, bytes) => {
      const copy = (bytes as Uint8Array).slice();
      setTimeout(() => void (original(topic, partition, copy) as Promise<void>).catch(() => {}), FLUSH_LATE_MS);
      return Promise.resolve();
    });
  },

  /** Frames reach the segment an epoch late, so the manifest names an epoch whose frames are not there yet. */
  async 'manifest-before-segments'() {
    if (isMainThread) return;
    const { SegmentFiles } = await import('../../runtime/state-log/index.ts');
    const held = new WeakMap<object, Uint8Array>();
    around(SegmentFiles, 'append', function (original, pieces) {
      const before = held.get(this);
      held.set(this, Buffer.concat(pieces as readonly Uint8Array[]));
      if (before !== undefined) original([before]);
    });
  },

  /**
   * A successor takes another transactional id, so that its predecessor is not fenced; and offsets are committed as by
   * no member of the group, which brokers accept from anybody. The checker gives these jobs a long heartbeat, too.
   */
  async 'fencing-off'() {
    if (!isMainThread) return;
    const { ProducerTransaction } = await import('../../io/kafka/client/index.ts');
    const { KafkaPositions, KafkaTransaction } = await import('../../io/kafka/transactions.ts');
    const { NO_MEMBER } = await import('../../io/kafka/protocol/index.ts');
    around(ProducerTransaction, 'begin', function (original) {
      const producer = this as { readonly transactionalId: string };
      Object.defineProperty(this, 'transactionalId', { value: `${producer.transactionalId}.${process.pid}` });
      return original();
    });
    around(KafkaTransaction, 'commit', (original, checkpoint, positions) => {
      const ofNobody = (positions as InstanceType<typeof KafkaPositions>[]).map(({ offsets }) => new KafkaPositions({ ...offsets, committer: NO_MEMBER }));
      return original(checkpoint, ofNobody);
    });
  },

  /** The first block of every exchange is missing in the log, in frames that look whole. */
  async 'dropped-block'() {
    if (isMainThread) return;
    const { StateWriter } = await import('../../runtime/state-log/index.ts');
    around(StateWriter, 'endEpoch', (original, head, blocks) => {
      const lists = blocks as readonly { readonly exchange: number; readonly blocks: readonly number[] }[];
      return original(
        head,
        lists.map((list) => ({ ...list, blocks: list.blocks.slice(1) })),
      );
    });
  },

  /** A checkpoint has positions that are as much further as the last epochs were long. */
  async 'positions-too-far'() {
    if (!isMainThread) return;
    const { Checkpoints } = await import('../../runtime/job/checkpoints.ts');
    let before: readonly number[] | undefined;
    around(Checkpoints, 'make', (original, cut, ...rest) => {
      const { positions } = cut as { readonly positions: readonly number[] };
      const far = positions.map((position, i) => position + Math.max(0, position - (before?.[i] ?? position)));
      before = positions;
      return original({ ...(cut as object), positions: far }, ...rest);
    });
  },
};
