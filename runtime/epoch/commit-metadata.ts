/**
 * What is committed beside the positions: a JSON text per partition,
 * `{"epoch":12,"read":4711,"watermarks":["{...}"]}`, with one entry per watermark (core's Watermark.snapshot;
 * empty where the partition's source does not feed it).
 */

import { MillraceError, type Watermark } from '../../core/index.ts';
import type { CommittedPosition, Offset } from '../../io/index.ts';
import type { Restored } from '../shared/index.ts';

interface Metadata {
  /** The last epoch that was written. Numbers go on from it. */
  readonly epoch: number;
  /**
   * How far the partition had been read by then. Rows before this offset were counted, in a window or in the
   * ledger.
   */
  readonly read: Offset;
  readonly watermarks: readonly string[];
}

/** The text for one partition. `concerns` says which watermarks its source feeds. */
export function metadataOf(epoch: number, read: Offset, watermarks: readonly Watermark[], global: number, concerns: (watermark: number) => boolean): string {
  return JSON.stringify({ epoch, read, watermarks: watermarks.map((watermark, w) => (concerns(w) ? watermark.snapshot(global) : '')) } satisfies Metadata);
}

/**
 * What to commit beside the positions of one epoch when a later one has been written. How far the event time
 * of each partition was goes by its position: otherwise a replay of what lies behind it would come too late.
 * Which windows were closed goes by the later epoch.
 *
 * @param atPosition the metadata of the epoch whose positions are committed
 * @param atCommit that of the epoch that has been written
 */
export function metadataToCommit(atPosition: string, atCommit: string): string {
  const later = parse(atCommit) as Metadata;
  const merged = (parse(atPosition) as Metadata).watermarks.map((text, w) =>
    text === '' ? '' : JSON.stringify({ ...JSON.parse(text), watermark: JSON.parse(later.watermarks[w] as string).watermark }),
  );
  return JSON.stringify({ epoch: later.epoch, read: later.read, watermarks: merged } satisfies Metadata);
}

/**
 * What is committed beside positions whose state is in a checkpoint: a mark for people and tools, and for a
 * start without the checkpoint, which is refused. Nothing is read from it but that.
 */
export function checkpointMetadata(checkpoint: number): string {
  return JSON.stringify({ checkpoint });
}

/** The checkpoint that such a text names; undefined: it is another text. */
export function checkpointNamed(metadata: string): number | undefined {
  try {
    const { checkpoint } = JSON.parse(metadata) as { checkpoint?: unknown };
    return Number.isSafeInteger(checkpoint) ? (checkpoint as number) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads what was committed.
 *
 * @param watermarks how many the plan has
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when a text was written by another pipeline
 */
export function restoredFrom(committed: readonly (readonly CommittedPosition[])[], partitionCounts: readonly number[], watermarks: number): Restored {
  const partitions = partitionCounts.reduce((sum, count) => sum + count, 0);
  const readUntil: Offset[] = Array(partitions).fill(0);
  const texts = Array.from({ length: watermarks }, (): string[] => Array(partitions).fill(''));
  let firstGlobal = 0;
  let writtenEpoch = -1;
  committed.forEach((positions, source) => {
    for (const { partition, metadata } of positions) {
      if (metadata === '') continue;
      const named = checkpointNamed(metadata);
      if (named !== undefined) {
        throw new MillraceError(
          'ERR_MILLRACE_CHECKPOINT',
          `What was committed with partition ${partition} goes with checkpoint ${named}, which is not there: the state behind these positions would be lost. Give the checkpoint option the folder that has it; or, to begin with empty state, take another group, or reset this group's offsets.`,
        );
      }
      const known = parse(metadata);
      if (known === undefined || known.watermarks.length !== watermarks) {
        throw new MillraceError(
          'ERR_MILLRACE_CHECKPOINT',
          `What was committed with partition ${partition} was written by another pipeline: ${metadata.slice(0, 80)}. Take another group, or reset this group's offsets.`,
        );
      }
      writtenEpoch = Math.max(writtenEpoch, known.epoch);
      readUntil[firstGlobal + partition] = known.read;
      known.watermarks.forEach((text, w) => {
        (texts[w] as string[])[firstGlobal + partition] = text;
      });
    }
    firstGlobal += partitionCounts[source] as number;
  });
  return { writtenEpoch, readUntil, watermarks: texts };
}

function parse(metadata: string): Metadata | undefined {
  try {
    const known = JSON.parse(metadata) as Partial<Metadata> | null;
    const isOurs =
      Number.isSafeInteger(known?.epoch) &&
      typeof known?.read === 'number' &&
      Array.isArray(known?.watermarks) &&
      known.watermarks.every((text) => typeof text === 'string');
    return isOurs ? (known as Metadata) : undefined;
  } catch {
    return undefined;
  }
}
