/** What the ports share: streams of made-up rows, and what a test is told of each program. */

import { type CollectSink, generator, type Rng, type RowOf, type SchemaFields, type Source, seededRng } from 'millrace';

export const START_MS = Date.UTC(2026, 0, 1);
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

/** A source of made-up rows, and the rows themselves. */
export interface Made<R> {
  readonly source: Source<R>;
  readonly rows: readonly R[];
  /** A table, that is read before the streams. */
  readonly isTable: boolean;
  /** Row `i` is of partition `i` % partitions. 1 where the order of all rows counts. */
  readonly partitions: number;
}

/** `count` rows, made of their number by `row`. */
export function made<const S extends SchemaFields>(
  schema: S,
  count: number,
  row: (i: number, rng: Rng) => RowOf<S>,
  { isTable = false, partitions = 1 }: { isTable?: boolean; partitions?: number } = {},
): Made<RowOf<S>> {
  let rows: readonly RowOf<S>[] | undefined;
  return {
    source: generator({ rows: count, seed: 1, schema, row, partitions }),
    isTable,
    partitions,
    get rows() {
      const rng = seededRng(1);
      rows ??= Array.from({ length: count }, (_, i) => {
        rng.seek(i);
        return row(i, rng);
      });
      return rows;
    },
  };
}

/** What a test compares. */
export interface Outcome {
  readonly sink: CollectSink<Readonly<Record<string, unknown>>>;
  /** What a plain loop over the same rows comes to, in any order. */
  readonly expected: () => readonly object[];
  /** Of a result that goes on changing: the columns whose last row counts, unless it was taken back. */
  readonly latestBy?: readonly string[];
}

export interface Port {
  /** In the order in which the pipeline names their sources. Rows of streams have their time in `at`. */
  readonly inputs: readonly Made<unknown>[];
  readonly outcomes: readonly Outcome[];
}

/** Rows by key, in their order. */
export function grouped<R>(rows: readonly R[], keyOf: (row: R) => string | number): Map<string, R[]> {
  const groups = new Map<string, R[]>();
  for (const row of rows) {
    const key = String(keyOf(row));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return groups;
}

export const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** The first `n` of `rows` by a number, the greatest first, with their rank. It throws where two could change places. */
export function ranked<R extends object>(rows: readonly R[], n: number, by: (row: R) => number): (R & { rank: number })[] {
  const sorted = [...rows].sort((a, b) => by(b) - by(a));
  for (let i = 0; i < Math.min(n, sorted.length - 1); i++) {
    if (by(sorted[i] as R) === by(sorted[i + 1] as R)) throw new Error(`rank ${i + 1} is a tie: make other rows`);
  }
  return sorted.slice(0, n).map((row, i) => ({ ...row, rank: i + 1 }));
}
