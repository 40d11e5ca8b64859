/**
 * The embedded log: topics, partitions and offsets in a folder, with the same contracts as Kafka, so that
 * everything runs without a broker. The bytes are Kafka's own: record batches v2.
 */

import { MillraceError, shown } from '../../core/index.ts';
import { type RecordBatchHeader, readBatchHeader } from '../record-batch/index.ts';
import { PartitionCursor, visibleEnds } from './cursor.ts';
import { dirPath, listPartitions, listSegments, listTopics, partitionPath, segmentPath, topicPath } from './layout.ts';
import { logSink } from './sink.ts';
import { logSource } from './source.ts';
import { StableReader } from './stable-offsets.ts';

export type { LogSinkOptions } from './sink.ts';
export { LogWriter, type LogWriterOptions } from './sink.ts';
export type { LogSourceOptions } from './source.ts';

/** `log.source({ dir, topic, value })` and `log.sink({ dir, topic, value })`. */
export const log = { source: logSource, sink: logSink } as const;

/** The topics in a folder, sorted. */
export function logTopics(dir: string | URL): Promise<string[]> {
  return listTopics(dirPath(dir));
}

/** The segments of a partition, in order: their first offsets and files. */
export async function logSegments(dir: string, topic: string, partition: number): Promise<{ first: number; path: string }[]> {
  const folder = partitionPath(dir, topic, partition);
  return (await listSegments(folder)).map((first) => ({ first, path: segmentPath(folder, first) }));
}

export interface LogBatch {
  readonly partition: number;
  readonly header: RecordBatchHeader;
  /** A copy of the whole batch. */
  readonly bytes: Uint8Array;
}

/**
 * The record batches of a topic, partition by partition, up to the current end: of a topic that is written
 * exactly-once, those that are committed, of all partitions as of one checkpoint. For tests and tools.
 */
export async function* readLog(dir: string | URL, topic: string): AsyncGenerator<LogBatch> {
  const root = dirPath(dir);
  const partitionCount = await listPartitions(topicPath(root, topic));
  if (partitionCount === 0) throw new MillraceError('ERR_MILLRACE_TOPIC', `There is no topic ${shown(topic)} in ${root}.`);
  const stable = new StableReader(topicPath(root, topic));
  const ends = await visibleEnds(root, topic, partitionCount, stable).finally(() => stable.close());
  for (const [partition, end] of ends.entries()) {
    const cursor = new PartitionCursor(partitionPath(root, topic, partition), 0, end);
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
