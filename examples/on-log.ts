// What the programs in this folder share: they run a pipeline over a topic of the embedded log, and show what
// it found.

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type Summary } from 'millrace';

/**
 * Runs a pipeline module on the embedded log: first with `step: 'make'`, which writes the input, then with
 * `step: 'run'`. The log is in the folder that the command line names, and stays there for the next run.
 * Without one it is in a temporary folder.
 */
export async function runOnLog(module: string): Promise<Summary> {
  const given = process.argv[2];
  const dir = given ?? (await mkdtemp(join(tmpdir(), 'millrace-')));
  // The log has no end, so its last windows would wait for more. Here all rows are there, so the last windows
  // are emitted too.
  const start = (step: 'make' | 'run') => run(module, { workers: 2, trigger: 'availableNow', drain: 'emit', params: { dir, step } });
  try {
    if (given === undefined || !existsSync(given)) await (await start('make')).done;
    return await (await start('run')).done;
  } finally {
    if (given === undefined) await rm(dir, { recursive: true, force: true });
  }
}

/** Prints how it ended. The program fails when the pipeline did not find what the data was made to show. */
export function conclude(isFound: boolean, finding: string): void {
  console.log(isFound ? `\n${finding}\n` : '\nThe results are not what the data was made to show.\n');
  if (!isFound) process.exitCode = 1;
}

/** Rows of texts as a table; columns of numbers are right-aligned. */
export function table(rows: readonly Readonly<Record<string, string>>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const columns = names.map((name) => {
    const cells = rows.map((row) => row[name] ?? '');
    const isNumbers = cells.every((cell) => /^[-+]?\d[\d,.]*( %| ms)?$|^$/.test(cell));
    const width = Math.max(name.length, ...cells.map((cell) => cell.length));
    const place = (text: string) => (isNumbers ? text.padStart(width) : text.padEnd(width));
    return [place(name), '-'.repeat(width), ...cells.map(place)];
  });
  return (columns[0] ?? [])
    .map((_, line) =>
      columns
        .map((column) => column[line])
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Values as a line of bars; `most` is a full one. */
export function bars(values: readonly number[], most: number): string {
  return values.map((value) => '▁▂▃▄▅▆▇█'[Math.min(7, Math.floor((8 * value) / most))]).join('');
}

/** Hours and minutes of a time. */
export function clock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 16);
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
export const grouped = (n: number): string => n.toLocaleString('en-US');
