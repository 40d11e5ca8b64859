/**
 * What a start takes back of what was committed: plain data, the same for the coordinator and all workers. It is read from the texts that
 * were committed beside the positions in epoch/commit-metadata.ts.
 */

import type { Watermark } from '../../core/index.ts';
import type { Offset } from '../../io/index.ts';

export interface Restored {
  /** The last epoch that had been written when positions were committed; -1 when none ever was. */
  readonly writtenEpoch: number;
  /** By global partition: rows before this offset had been read by then. */
  readonly readUntil: readonly Offset[];
  /** By watermark, by global partition: what Watermark.snapshot gave; empty where nothing was committed. */
  readonly watermarks: readonly (readonly string[])[];
}

/** The same, where nothing was ever committed. */
export function nothingRestored(partitions: number): Restored {
  return { writtenEpoch: -1, readUntil: Array(partitions).fill(0), watermarks: [] };
}

/** Takes watermarks back to where they were. */
export function restoreWatermarks(watermarks: readonly Watermark[], restored: Restored): void {
  restored.watermarks.forEach((texts, w) => {
    texts.forEach((text, global) => {
      if (text !== '') (watermarks[w] as Watermark).restore(global, text);
    });
  });
}
