/**
 * Reads a part of one partition to its end, for a caller that waits for each piece: no more than one answer is
 * held at a time, and the next one is fetched meanwhile. Sources read otherwise (reader.ts).
 */

import { MillraceError } from '../../../core/index.ts';
import { isControlAt } from '../../record-batch/index.ts';
import type { TopicAnswer } from '../protocol/index.ts';
import type { Cluster } from './cluster.ts';
import { FetchedRecords } from './fetched.ts';
import { type Fetched, Fetcher } from './fetcher.ts';
import type { Patience } from './patience.ts';

const ANSWER_BYTES_MAX = 4 << 20;
const WAIT_MS = 100;

export interface PartitionReadOptions {
  readonly name: string;
  readonly isolationLevel: number;
  readonly partition: number;
  readonly from: number;
  /** An offset where committed records have ended. */
  readonly to: number;
}

/**
 * @param take gets record batches of committed records, and the offset behind them
 * @returns the offset to go on from
 * @throws MillraceError ERR_MILLRACE_BROKER, ERR_MILLRACE_TOPIC when the records are not there any more
 */
export async function readPartition(
  cluster: Cluster,
  patience: Patience,
  topic: TopicAnswer,
  { name, isolationLevel, partition, from, to }: PartitionReadOptions,
  take: (batches: readonly Uint8Array[], next: number) => Promise<void>,
): Promise<number> {
  const answers: Fetched[] = [];
  let position = from;
  let failure: unknown;
  let wake = (): void => {};
  const fail = (error: unknown): void => {
    failure ??= error;
    wake();
  };
  const gone = (what: string) => new MillraceError('ERR_MILLRACE_TOPIC', `${name}: ${what}`);
  const fetcher = new Fetcher(
    cluster,
    patience,
    { topic: topic.topic, isolationLevel, maxBytes: ANSWER_BYTES_MAX, maxBytesPerPartition: ANSWER_BYTES_MAX, maxWaitMs: WAIT_MS, rackId: '' },
    {
      wanted: () => (answers.length > 0 || failure !== undefined ? [] : [{ id: partition, position }]),
      fetched(answer) {
        if (answer.partition !== partition || answer.fetchedOffset !== position) return;
        answers.push(answer);
        wake();
      },
      async outOfRange() {
        fail(gone(`offset ${position} is not in the topic any more: it was made anew, or records of it were deleted.`));
      },
      unknownTopic: () => fail(gone('the topic was deleted, or made anew, while it was read.')),
      failed: fail,
    },
  );
  fetcher.lead(topic.id, new Map(topic.partitions.map(({ partition: id, leader }) => [id, leader])));
  try {
    while (position < to) {
      if (answers.length === 0 && failure === undefined) await new Promise<void>((resolve) => (wake = resolve));
      if (failure !== undefined) throw failure;
      const answer = answers.shift();
      if (answer === undefined) continue;
      // Compaction may have removed everything from here to the end.
      if (answer.records.length === 0 && answer.highWatermark >= to) return to;
      const batches: Uint8Array[] = [];
      const records = new FetchedRecords(answer);
      while (records.step()) {
        if (!records.isAborted && !isControlAt(records.bytes(), 0)) batches.push(records.bytes());
        position = records.next;
      }
      fetcher.poke();
      await take(batches, position);
    }
    return position;
  } catch (error) {
    throw error instanceof RangeError ? gone(`partition ${partition}: ${error.message}`) : error;
  } finally {
    fetcher.stop();
  }
}
