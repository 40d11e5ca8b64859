// What sessions and windows of rows are, written down with arrays: every row is kept, and each result is computed from all rows of its window. Not a test.

import type { AnyRow } from '../../core/index.ts';
import type { Emission, RowWindowShape } from '../../operators/index.ts';
import { inOrder, type KeyedEpoch, shownValue } from './keyed-harness.ts';

/** What comes of the rows of a group in a window: the columns behind the key and the bounds. */
export type Outcome = (rows: readonly AnyRow[], bounds: { readonly start: number; readonly end: number }) => readonly AnyRow[];

export interface Emitted {
  readonly epoch: number;
  readonly row: AnyRow;
}

const keyOf = (row: AnyRow, keys: readonly string[]) => JSON.stringify(keys.map((key) => shownValue(row[key])));
const headOf = (row: AnyRow, keys: readonly string[]) => Object.fromEntries(keys.map((key) => [key, row[key]]));

/** The watermark at the end of each epoch, and +Infinity behind the last. */
export function watermarks(all: readonly KeyedEpoch[], partitions: number, delayMs: number): number[] {
  const newest = Array(partitions).fill(Number.NEGATIVE_INFINITY) as number[];
  let current = Number.NEGATIVE_INFINITY;
  const ends = all.map((epoch) => {
    for (const { row, partition } of inOrder(epoch)) newest[partition] = Math.max(newest[partition] as number, row.at as number);
    current = Math.max(current, Math.min(...newest) - delayMs);
    return current;
  });
  return [...ends, Number.POSITIVE_INFINITY];
}

export interface SessionModel {
  readonly keys: readonly string[];
  /** Of all rows, or of each. */
  readonly gap: number | ((row: AnyRow) => number);
  readonly latenessMs: number;
  readonly emission: Emission;
  readonly delayMs: number;
  readonly partitions: number;
  /** The rows of a session are given piece by piece where sessions were put together, the earlier one's first; in each as they came. */
  readonly outcome: Outcome;
}

interface Session {
  readonly key: string;
  rows: AnyRow[];
  changed: boolean;
  /** Results that are out, of this session and of those that went into it. */
  out: { readonly start: number; readonly end: number; readonly rows: readonly AnyRow[] }[];
}

const timesOf = ({ rows }: Session) => rows.map((row) => row.at as number);

export function modelSessions(all: readonly KeyedEpoch[], { keys, gap, latenessMs, emission, delayMs, partitions, outcome }: SessionModel) {
  const marks = watermarks(all, partitions, delayMs);
  const endOf = (row: AnyRow) => (row.at as number) + (typeof gap === 'number' ? gap : gap(row));
  const endsOf = ({ rows }: Session) => Math.max(...rows.map(endOf));
  let open: Session[] = [];
  let lateCount = 0;
  let mergedMost = 0;
  const results: Emitted[] = [];
  marks.forEach((mark, epoch) => {
    const before = epoch === 0 ? Number.NEGATIVE_INFINITY : (marks[epoch - 1] as number);
    for (const { row } of epoch < all.length ? inOrder(all[epoch] as KeyedEpoch) : []) {
      const time = row.at as number;
      if (endOf(row) + latenessMs < before) {
        lateCount++;
        continue;
      }
      const key = keyOf(row, keys);
      const near = open.filter((of) => of.key === key && of.rows.some((other) => (other.at as number) <= endOf(row) && endOf(other) >= time));
      near.sort((a, b) => Math.min(...timesOf(a)) - Math.min(...timesOf(b)));
      mergedMost = Math.max(mergedMost, near.length);
      open = open.filter((of) => !near.includes(of));
      open.push({ key, rows: [...near.flatMap((of) => of.rows), row], changed: true, out: near.flatMap((of) => of.out) });
    }
    const isDue = (of: Session) => endsOf(of) + latenessMs < mark;
    for (const one of open) {
      const bounds = { start: Math.min(...timesOf(one)), end: endsOf(one) };
      const gone = one.out.filter(({ start, end }) => start !== bounds.start || end !== bounds.end);
      for (const { rows } of gone) for (const row of rows) results.push({ epoch, row: { ...row, retracted: true } });
      one.out = one.out.filter((result) => !gone.includes(result));
      const isOver = bounds.end < mark || mark === Number.POSITIVE_INFINITY;
      if (emission === 'final' ? isDue(one) : one.changed ? emission === 'update' || isOver : emission === 'revise' && isOver && one.out.length === 0) {
        const head = { ...headOf(one.rows[0] as AnyRow, keys), windowStart: bounds.start, windowEnd: bounds.end };
        const rows = outcome(one.rows, bounds).map((row) => ({ ...row, ...head, ...(emission === 'final' ? {} : { retracted: false }) }));
        results.push(...rows.map((row) => ({ epoch, row })));
        one.out = [{ ...bounds, rows }];
      }
      one.changed = false;
    }
    open = open.filter((of) => !isDue(of));
  });
  return { results, lateCount, mergedMost };
}

export interface RowWindowModel {
  readonly shape: RowWindowShape;
  readonly keys: readonly string[];
  /** Undefined: no event time; the epoch's clock counts. */
  readonly delayMs: number | undefined;
  readonly partitions: number;
  readonly outcome: Outcome;
}

interface ModelKey {
  readonly rows: { row: AnyRow; time: number }[];
  /** Rows that came since it fired. */
  news: number;
  deadline: number | undefined;
}

export function modelRowWindows(cuts: readonly KeyedEpoch[], { shape, keys, delayMs, partitions, outcome }: RowWindowModel): Emitted[] {
  const results: Emitted[] = [];
  const state = new Map<string, ModelKey>();
  const marks = watermarks(cuts, partitions, delayMs ?? 0);
  const fire = (epoch: number, key: ModelKey) => {
    const rows = shape.kind === 'count' ? key.rows.slice(-shape.rows) : shape.purges ? key.rows.slice(-key.news) : key.rows;
    const times = rows.map(({ time }) => time);
    const bounds = { start: Math.min(...times), end: Math.max(...times) };
    const rest = { ...headOf((rows[0] as { row: AnyRow }).row, keys), windowStart: bounds.start, windowEnd: bounds.end };
    for (const one of outcome(
      rows.map((r) => r.row),
      bounds,
    )) {
      results.push({ epoch, row: { ...one, ...rest } });
    }
    key.news = 0;
    key.deadline = undefined;
  };
  cuts.forEach((epoch, e) => {
    for (const { row } of inOrder(epoch)) {
      const time = delayMs === undefined ? epoch.nowMs : (row.at as number);
      const name = keyOf(row, keys);
      const key = state.get(name) ?? { rows: [], news: 0, deadline: undefined };
      state.set(name, key);
      key.rows.push({ row, time });
      key.news++;
      if (shape.kind === 'count') {
        if (key.rows.length >= shape.rows && (key.rows.length - shape.rows) % shape.slideRows === 0) fire(e, key);
      } else if (shape.countRows !== undefined && key.news >= shape.countRows) fire(e, key);
      else if (shape.timeMs !== undefined) key.deadline ??= time + shape.timeMs;
    }
    const passed = delayMs === undefined ? epoch.nowMs : (marks[e] as number);
    for (const key of state.values()) if (key.deadline !== undefined && key.deadline <= passed) fire(e, key);
  });
  if (shape.kind === 'global') for (const key of state.values()) if (key.news > 0) fire(cuts.length, key);
  return results;
}
