/** Which segments a checkpoint consists of, and which of their epochs count. */

import { segmentNamed } from './frames.ts';
import type { SegmentRange } from './state-reader.ts';

/**
 * Segments that have the newest base of a shard, or frames behind the oldest of these.
 *
 * @param names of the segments that there are
 * @param run whose segments are open
 * @param carried segments of the checkpoint that this run has resumed from
 * @param checkpoint the last epoch that counts
 * @param oldestBase the epoch of the oldest of the newest bases; -Infinity: this run has written nothing yet
 */
export function segmentRanges(names: readonly string[], run: number, carried: readonly SegmentRange[], checkpoint: number, oldestBase: number): SegmentRange[] {
  if (oldestBase === Number.NEGATIVE_INFINITY) return [...carried];
  const own = names.flatMap((name) => {
    const of = segmentNamed(name);
    return of !== undefined && of.run === run && of.from <= checkpoint ? [{ name, ...of }] : [];
  });
  const ranges = own.map(({ name, worker, from }) => {
    const next = Math.min(...own.filter((other) => other.worker === worker && other.from > from).map((other) => other.from));
    return { name, from, to: Math.min(checkpoint, next - 1) };
  });
  return [...carried, ...ranges].filter(({ to }) => to >= oldestBase);
}
