/** The results of the main job: as rows, as a plain loop computes them, and what differs between two lists of them. */

import type { PageMinute } from '../../runtime/demo/result.ts';
import { expectedResult } from '../../runtime/demo/result.ts';

/** How long visitors stayed on a page, on average, of the clicks of one minute. */
export interface Average {
  readonly page: string;
  /** The minute, ms since 1970. */
  readonly windowStart: number;
  readonly averageMs: number;
}

/** A Map, without batches, threads or windows. */
export async function plainLoop(rows: number, seed: number): Promise<Average[]> {
  return (await expectedResult(rows, seed)).map(({ page, windowStart, meanMs }: PageMinute) => ({ page, windowStart, averageMs: meanMs }));
}

/** In words; undefined: each expected row was found once, bit by bit, and no other. */
export function firstDifference(found: readonly Average[], expected: readonly Average[]): string | undefined {
  const key = ({ page, windowStart }: Average): string => `${page} at ${new Date(windowStart).toISOString()}`;
  const left = new Map(expected.map((row) => [key(row), row.averageMs]));
  const seen = new Set<string>();
  for (const row of found) {
    const name = key(row);
    if (seen.has(name)) return `${name} is there twice`;
    seen.add(name);
    const averageMs = left.get(name);
    if (averageMs === undefined) return `${name} should not be there`;
    if (averageMs !== row.averageMs) return `${name} is ${row.averageMs}, and should be ${averageMs}`;
    left.delete(name);
  }
  const [missing] = left.keys();
  return missing === undefined ? undefined : `${left.size} are missing, such as ${missing}`;
}
