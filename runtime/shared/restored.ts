/**
 * What a start restores of what was committed: plain data, the same for the coordinator and all workers.
 * epoch/commit-metadata.ts reads it from the texts that were committed beside the positions.
 */

import type { Watermark } from '../../core/index.ts';
import type { Offset } from '../../io/index.ts';

export interface Restored {
  /** The last epoch that had been written when positions were committed; -1 when none ever was. */
  readonly writtenEpoch: number;
  /** By global partition: rows before this offset had been read by then. */
  readonly readUntil: readonly Offset[];
  /**
   * By watermark, by global partition: the result of Watermark.snapshot; empty where nothing was committed.
   */
  readonly watermarks: readonly (readonly string[])[];
}

/** The same for a start where nothing was committed. */
export function nothingRestored(partitions: number): Restored {
  return { writtenEpoch: -1, readUntil: Array(partitions).fill(0), watermarks: [] };
}

/** Restores watermarks. */
export function restoreWatermarks(watermarks: readonly Watermark[], restored: Restored): void {
  restored.watermarks.forEach((texts, w) => {
    texts.forEach((text, global) => {
      if (text !== '') (watermarks[w] as Watermark).restore(global, text);
    });
  });
}
