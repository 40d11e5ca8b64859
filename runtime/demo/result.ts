/**
 * What the demo compares and prints: the results of the clicks job, those of a plain loop, and their
 * checksum.
 */

import { createHash } from 'node:crypto';
import { type Rng, seededRng } from '../../core/index.ts';
import { example } from './place.ts';

export interface PageMinute {
  readonly page: string;
  readonly windowStart: number;
  readonly windowEnd: number;
  readonly clicks: number;
  readonly meanMs: number;
}

const MINUTE_MS = 60_000;
const WINDOWS_SHOWN = 3;
const PAGES_SHOWN = 5;

/** The job's result as a single loop computes it: a Map, without batches, threads or windows. */
export async function expectedResult(rows: number, seed: number): Promise<PageMinute[]> {
  const { clickAt } = (await import(example('clicks-data').href)) as { clickAt(i: number, rng: Rng): { page: string; ms: number; at: number } };
  const rng = seededRng(seed);
  const minutes = new Map<number, Map<string, { clicks: number; sumMs: number }>>();
  for (let i = 0; i < rows; i++) {
    rng.seek(i);
    const { page, ms, at } = clickAt(i, rng);
    if (!(ms > 0)) continue;
    const start = Math.floor(at / MINUTE_MS) * MINUTE_MS;
    let pages = minutes.get(start);
    if (pages === undefined) minutes.set(start, (pages = new Map()));
    const of = pages.get(page);
    if (of === undefined) pages.set(page, { clicks: 1, sumMs: ms });
    else {
      of.clicks++;
      of.sumMs += ms;
    }
  }
  const result: PageMinute[] = [];
  for (const [windowStart, pages] of minutes) {
    for (const [page, { clicks, sumMs }] of pages) result.push({ page, windowStart, windowEnd: windowStart + MINUTE_MS, clicks, meanMs: sumMs / clicks });
  }
  return result;
}

/**
 * The checksum of the result rows in a fixed order: the same for the same rows, in whatever order they came.
 */
export function checksum(rows: readonly PageMinute[]): string {
  const lines = rows.map((row) => `${row.windowStart} ${row.windowEnd} ${row.page} ${row.clicks} ${row.meanMs}`).sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
}

/** The top pages of the last windows, as a table. */
export function printTopPages(rows: readonly PageMinute[]): void {
  const starts = [...new Set(rows.map((row) => row.windowStart))]
    .sort((a, b) => b - a)
    .slice(0, WINDOWS_SHOWN)
    .reverse();
  const table = starts.flatMap((start) =>
    rows
      .filter((row) => row.windowStart === start)
      .sort((a, b) => b.clicks - a.clicks || (a.page < b.page ? -1 : 1))
      .slice(0, PAGES_SHOWN)
      .map((row) => [new Date(start).toISOString().slice(0, 16).replace('T', ' '), row.page, String(row.clicks), row.meanMs.toFixed(1)]),
  );
  const header = ['minute', 'page', 'clicks', 'mean ms'];
  const widths = header.map((name, c) => Math.max(name.length, ...table.map((cells) => (cells[c] as string).length)));
  const line = (cells: readonly string[]) => cells.map((cell, c) => (c < 2 ? cell.padEnd(widths[c] as number) : cell.padStart(widths[c] as number))).join('  ');
  console.log(`\n${line(header)}\n${widths.map((width) => '-'.repeat(width)).join('  ')}`);
  for (const cells of table) console.log(line(cells));
  console.log('');
}
