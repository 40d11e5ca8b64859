/**
 * The embedded log: topics, partitions and offsets in a folder, with the same contracts as Kafka, so that
 * everything runs without a broker. The bytes are Kafka's own: record batches v2.
 */

import { MillraceError, shown } from '../../core/index.ts';
import { type RecordBatchHeader, readBatchHeader } from '../record-batch/index.ts';
import { dirPath, listPartitions, listTopics, partitionPath, topicPath } from './layout.ts';
import { logSink } from './sink.ts';
import { logSource, PartitionCursor, partitionEnd } from './source.ts';

export type { LogSinkOptions } from './sink.ts';
export { LogWriter } from './sink.ts';
export type { LogSourceOptions } from './source.ts';

/** `log.source({ dir, topic, value })` and `log.sink({ dir, topic, value })`. */
export const log = { source: logSource, sink: logSink } as const;

/** The topics in a folder, sorted. */
export function logTopics(dir: string | URL): Promise<string[]> {
  return listTopics(dirPath(dir));
}

export interface LogBatch {
  readonly partition: number;
  readonly header: RecordBatchHeader;
  /** A copy of the whole batch. */
  readonly bytes: Uint8Array;
}

/** The record batches of a topic, partition by partition, up to the current end. For tests and tools. */
export async function* readLog(dir: string | URL, topic: string): AsyncGenerator<LogBatch> {
  const root = dirPath(dir);
  const partitionCount = await listPartitions(topicPath(root, topic));
  if (partitionCount === 0) throw new MillraceError('ERR_MILLRACE_TOPIC', `There is no topic ${shown(topic)} in ${root}.`);
  for (let partition = 0; partition < partitionCount; partition++) {
    const path = partitionPath(root, topic, partition);
    const end = await partitionEnd(path);
    const cursor = new PartitionCursor(path, 0, undefined, end);
    try {
      while (cursor.next < end) {
        const isMore = await cursor.fill();
        for (let batch = cursor.take(); batch !== undefined; batch = cursor.take()) {
          yield { partition, header: readBatchHeader(batch), bytes: batch.slice() };
        }
        if (!isMore) await cursor.advance();
        if (cursor.isAtEnd) break;
      }
    } finally {
      await cursor.close();
    }
  }
}
