/** The clicks job of examples/ as a plain loop, and its result as text: what whole jobs are compared with. */

import { clickAt } from '../../examples/clicks-data.ts';
import { type AnyRow, seededRng } from '../../runtime/index.ts';

const MINUTE_MS = 60_000;

/** Result rows of `rows` clicks, one line each, sorted. Knows nothing of batches, windows or threads. */
export function expectedClicks(rows: number, seed: number): string[] {
  const rng = seededRng(seed);
  const groups = new Map<string, { clicks: number; sumMs: number }>();
  for (let i = 0; i < rows; i++) {
    rng.seek(i);
    const { page, ms, at } = clickAt(i, rng);
    if (ms <= 0) continue;
    const key = `${page} ${at - (at % MINUTE_MS)}`;
    const group = groups.get(key) ?? { clicks: 0, sumMs: 0 };
    groups.set(key, group);
    group.clicks++;
    group.sumMs += ms;
  }
  return [...groups].map(([key, { clicks, sumMs }]) => `${key} ${clicks} ${sumMs / clicks}`).sort();
}

/** Result rows as `expectedClicks` writes them. */
export function clickLines(rows: readonly AnyRow[]): string[] {
  return rows.map((row) => `${row['page']} ${row['windowStart']} ${row['clicks']} ${row['meanMs']}`).sort();
}
