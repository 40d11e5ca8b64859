// Aggregators of many kinds over the rows of aggregate-cases.ts, each with what it is of an array of rows. Not a test.

import type { AnyRow } from '../../core/index.ts';
import { f64, i64, nullable, timestamp, utf8 } from '../../core/index.ts';
import { aggregator, type UserAggregate } from '../../operators/index.ts';
import { exact, type Same } from './aggregate-cases.ts';
import type { ModelAggregate } from './aggregate-harness.ts';

export type UserCase = readonly [UserAggregate, ModelAggregate, Same];

const SHARED: string[] = [];
const NESTED = { seen: new Map<string, number>() };
const sortedText = (counts: ReadonlyMap<string | null, number>) => JSON.stringify([...counts].sort(([a], [b]) => String(a).localeCompare(String(b))));
const countsOf = (rows: readonly AnyRow[], column: string) => {
  const counts = new Map<string | null, number>();
  for (const row of rows) counts.set(row[column] as string | null, (counts.get(row[column] as string | null) ?? 0) + 1);
  return counts;
};

/** Those whose results do not depend on the order of rows. */
export const UNORDERED: Readonly<Record<string, UserCase>> = {
  spread: [
    aggregator({
      init: () => ({ least: Number.POSITIVE_INFINITY, most: Number.NEGATIVE_INFINITY }),
      add(state, row: { ms: number }) {
        state.least = Math.min(state.least, row.ms);
        state.most = Math.max(state.most, row.ms);
      },
      merge: (a, b) => ({ least: Math.min(a.least, b.least), most: Math.max(a.most, b.most) }),
      result: (state) => state.most - state.least,
    }),
    (rows) => Math.max(...rows.map((row) => row.ms as number)) - Math.min(...rows.map((row) => row.ms as number)),
    exact,
  ],
  // Quarters, infinities and NaN: a sum that is not finite must not stay.
  wildSum: [
    aggregator({
      init: () => 0,
      add: (sum, row: { wild: number }) => sum + row.wild,
      merge: (a, b) => a + b,
      remove: (sum, row) => sum - row.wild,
      result: (sum) => sum,
    }),
    (rows) => rows.reduce((sum, row) => sum + (row.wild as number), 0),
    exact,
  ],
  // A merge that gives its second argument must not make two windows share it.
  longest: [
    aggregator({
      type: nullable(f64),
      init: (): { length: number; notes: number } | null => null,
      add(state, row: { note: string | null; text: string }) {
        const of = state ?? { length: 0, notes: 0 };
        of.length = Math.max(of.length, row.text.length);
        of.notes += row.note === null ? 0 : 1;
        return of;
      },
      merge(a, b) {
        if (a === null) return b;
        if (b === null) return a;
        a.length = Math.max(a.length, b.length);
        a.notes += b.notes;
        return a;
      },
      result: (state) => (state === null || state.notes === 0 ? null : state.length * 1_000 + state.notes),
    }),
    (rows) => {
      const notes = rows.filter((row) => row.note !== null).length;
      return notes === 0 ? null : Math.max(...rows.map((row) => (row.text as string).length)) * 1_000 + notes;
    },
    exact,
  ],
  histogram: [
    aggregator({
      type: utf8,
      init: () => new Map<string | null, number>(),
      add(counts, row: { note: string | null }) {
        counts.set(row.note, (counts.get(row.note) ?? 0) + 1);
      },
      merge(a, b) {
        for (const [note, n] of b) a.set(note, (a.get(note) ?? 0) + n);
      },
      remove(counts, row) {
        const left = (counts.get(row.note) as number) - 1;
        if (left === 0) counts.delete(row.note);
        else counts.set(row.note, left);
      },
      result: (counts) => sortedText(counts),
    }),
    (rows) => sortedText(countsOf(rows, 'note')),
    exact,
  ],
  wrapped: [
    aggregator({
      type: i64,
      init: () => 0n,
      add: (sum, row: { amount: bigint }) => BigInt.asIntN(64, sum + row.amount),
      merge: (a, b) => BigInt.asIntN(64, a + b),
      result: (sum) => sum,
    }),
    (rows) =>
      BigInt.asIntN(
        64,
        rows.reduce((sum, row) => sum + (row.amount as bigint), 0n),
      ),
    exact,
  ],
  newest: [
    aggregator({
      type: timestamp,
      init: () => ({ at: Number.NEGATIVE_INFINITY }),
      add: (state, row: { at: number }) => ({ at: Math.max(state.at, row.at) }),
      merge: (a, b) => (a.at > b.at ? a : b),
      result: (state) => state.at,
    }),
    (rows) => Math.max(...rows.map((row) => row.at as number)),
    exact,
  ],
  // One object for all keys, and one within each state: neither may be shared.
  shared: [
    aggregator({
      init: () => SHARED,
      add(list, row: { text: string }) {
        list.push(row.text);
      },
      merge: (a, b) => [...a, ...b],
      result: (list) => list.length,
    }),
    (rows) => rows.length,
    exact,
  ],
  nested: [
    aggregator({
      type: utf8,
      init: () => ({ rows: 0, of: NESTED }),
      add(state, row: { page: string }) {
        state.rows++;
        state.of.seen.set(row.page, state.rows);
      },
      merge(a, b) {
        a.rows += b.rows;
        for (const page of b.of.seen.keys()) a.of.seen.set(page, a.rows);
      },
      result: (state) => JSON.stringify([...state.of.seen]),
    }),
    (rows) => {
      const last = new Map<string, number>();
      for (const row of rows) last.set(row.page as string, rows.length);
      // By one page a group: how often the last of its rows was counted.
      return JSON.stringify([...last]);
    },
    exact,
  ],
};

/** Those whose results are the rows in the order of panes, then of coming. */
export const ORDERED: Readonly<Record<string, UserCase>> = {
  inOrder: [
    aggregator({
      type: utf8,
      init: (): string[] => [],
      add(list, row: { id: number; at: number }) {
        list.push(`${row.id}@${row.at}`);
      },
      merge(a, b) {
        a.push(...b);
      },
      result: (list) => list.join(),
    }),
    (rows) => rows.map((row) => `${row.id}@${row.at}`).join(),
    exact,
  ],
  // The oldest row goes first.
  queue: [
    aggregator({
      type: utf8,
      init: (): { id: number; at: number }[] => [],
      add(list, row: { id: number; at: number }) {
        list.push(row);
      },
      merge: (a, b) => [...a, ...b],
      remove(list, row) {
        const gone = list.shift();
        if (gone?.at !== row.at || gone.id !== row.id) throw new Error(`${JSON.stringify(row)} is taken out before ${JSON.stringify(gone)}`);
      },
      result: (list) => list.map((row) => `${row.id}@${row.at}`).join(),
    }),
    (rows) => rows.map((row) => `${row.id}@${row.at}`).join(),
    exact,
  ],
};
