/** What is committed beside the positions: for each partition a JSON list with one text a watermark (core's Watermark.snapshot). */

import { MillraceError, type Watermark } from '../core/index.ts';
import type { CommittedPosition } from '../io/index.ts';

/** The text for one partition; `concerns` says which watermarks its source feeds. */
export function watermarkMetadata(watermarks: readonly Watermark[], global: number, concerns: (watermark: number) => boolean): string {
  return JSON.stringify(watermarks.map((watermark, w) => (concerns(w) ? watermark.snapshot(global) : '')));
}

/**
 * Takes back what was committed. Coordinator and workers do the same.
 *
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the text was written by another pipeline
 */
export function restoreWatermarks(watermarks: readonly Watermark[], committed: readonly (readonly CommittedPosition[])[], partitionCounts: readonly number[]): void {
  let firstGlobal = 0;
  committed.forEach((positions, source) => {
    for (const { partition, metadata } of positions) {
      if (metadata === '') continue;
      const texts = parse(metadata);
      if (texts === undefined || texts.length !== watermarks.length) {
        throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `What was committed with partition ${partition} was written by another pipeline: ${metadata.slice(0, 80)}. Take another group, or reset this group's offsets.`);
      }
      watermarks.forEach((watermark, w) => {
        if (texts[w] !== '') watermark.restore(firstGlobal + partition, texts[w] as string);
      });
    }
    firstGlobal += partitionCounts[source] as number;
  });
}

function parse(metadata: string): string[] | undefined {
  try {
    const texts: unknown = JSON.parse(metadata);
    return Array.isArray(texts) && texts.every((text) => typeof text === 'string') ? texts : undefined;
  } catch {
    return undefined;
  }
}
