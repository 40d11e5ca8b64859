// What the operators of a pipeline mean, written down with arrays: every row is kept, and every result is computed from all of
// its rows. For the test of random pipelines; slow, and plain on purpose. Not a test.

import type { AnyRow } from '../../core/index.ts';
import type { Emission } from '../../operators/index.ts';

/** A row as it came to a stage, in the order in which a shard sees it. */
export interface Arrival {
  readonly row: AnyRow;
  readonly epoch: number;
  /** 0, or 1 for the second stream of a join. */
  readonly input: number;
  /** Of rows that come from a source: its number, and theirs. */
  readonly source?: number;
  readonly partition?: number;
}

export interface Outcome {
  readonly results: { readonly epoch: number; readonly row: AnyRow }[];
  readonly late: number;
}

/** `marks`: the watermark at the end of each epoch, +Infinity behind the last. */
export type Model = (rows: readonly Arrival[], marks: readonly number[]) => Outcome;

/** A value as text in which all values that differ differ. -0 counts as 0. */
export function shownValue(value: unknown): string {
  if (typeof value === 'number') return `n${value === 0 ? 0 : value}`;
  return `${typeof value}${String(value)}`;
}

export const keyText = (row: AnyRow, keys: readonly string[]): string => JSON.stringify(keys.map((key) => shownValue(row[key])));
const keyColumns = (row: AnyRow, keys: readonly string[]): AnyRow => Object.fromEntries(keys.map((key) => [key, row[key]]));
const timeOf = (row: AnyRow) => row.at as number;
const before = (marks: readonly number[], epoch: number) => (epoch === 0 ? Number.NEGATIVE_INFINITY : (marks[epoch - 1] as number));

/** All the aggregates that the pipelines of the test ask for. */
export function aggregated(rows: readonly AnyRow[]): AnyRow {
  const values = rows.map((row) => row.ms as number | null).filter((value): value is number => value !== null);
  const inTime = [...rows].sort((a, b) => timeOf(a) - timeOf(b));
  const total = values.reduce((a, b) => a + b, 0);
  const isBad = values.some(Number.isNaN);
  return {
    rows: rows.length,
    total: values.length === 0 ? null : total,
    average: values.length === 0 ? null : total / values.length,
    least: values.length === 0 ? null : values.every(Number.isNaN) ? Number.NaN : Math.min(...values.filter((value) => !Number.isNaN(value))),
    most: values.length === 0 ? null : isBad ? Number.NaN : Math.max(...values),
    notes: new Set(rows.map((row) => row.note)).size,
    opened: (inTime[0] as AnyRow).note,
    closed: (inTime.at(-1) as AnyRow).note,
    letters: rows.reduce((letters, row) => letters + (row.note as string).length, 0),
    span: `${Math.min(...rows.map((row) => row.id as number))} to ${Math.max(...rows.map((row) => row.id as number))}`,
    ids: JSON.stringify(inTime.slice(0, 4).map((row) => row.id)),
  };
}

/** The rows of the result of one group, without key columns and bounds. */
export type Evaluate = (rows: readonly AnyRow[]) => AnyRow[];

export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Windows of time: each row into each window that it belongs to. */
export function timeWindows(keys: readonly string[], spansOf: (time: number) => Span[], latenessMs: number, emission: Emission, evaluate: Evaluate): Model {
  return (rows, marks) => {
    const results: { epoch: number; row: AnyRow }[] = [];
    const groups = new Map<string, { span: Span; rows: AnyRow[]; changed: boolean; isOut: boolean }>();
    let late = 0;
    marks.forEach((mark, epoch) => {
      for (const { row } of rows.filter((of) => of.epoch === epoch)) {
        const spans = spansOf(timeOf(row)).filter(({ end }) => end + latenessMs > before(marks, epoch));
        if (spans.length === 0) late++;
        for (const span of spans) {
          const name = `${span.start} ${span.end} ${keyText(row, keys)}`;
          const group = groups.get(name) ?? { span, rows: [], changed: false, isOut: false };
          groups.set(name, group);
          group.rows.push(row);
          group.changed = true;
        }
      }
      for (const [name, group] of groups) {
        const isClosed = group.span.end + latenessMs <= mark;
        const isOver = group.span.end <= mark;
        if ({ final: isClosed, update: group.changed, revise: isOver && (group.changed || !group.isOut) }[emission]) {
          for (const result of evaluate(group.rows))
            results.push({ epoch, row: { ...result, ...keyColumns(group.rows[0] as AnyRow, keys), windowStart: group.span.start, windowEnd: group.span.end } });
        }
        group.changed = false;
        group.isOut ||= isOver;
        if (isClosed) groups.delete(name);
      }
    });
    return { results, late };
  };
}

/** Windows of activity: rows that follow each other by at most `gapMs`. */
export function sessions(keys: readonly string[], gapMs: number, latenessMs: number, emission: Emission, evaluate: Evaluate): Model {
  return (rows, marks) => {
    const results: { epoch: number; row: AnyRow }[] = [];
    let open: { key: string; rows: AnyRow[]; changed: boolean; out: { windowStart: number; windowEnd: number; rows: AnyRow[] }[] }[] = [];
    let late = 0;
    const endOf = (of: { rows: AnyRow[] }) => Math.max(...of.rows.map(timeOf)) + gapMs;
    marks.forEach((mark, epoch) => {
      for (const { row } of rows.filter((of) => of.epoch === epoch)) {
        if (timeOf(row) + gapMs + latenessMs < before(marks, epoch)) {
          late++;
          continue;
        }
        const key = keyText(row, keys);
        const near = open.filter((of) => of.key === key && of.rows.some((other) => Math.abs(timeOf(other) - timeOf(row)) <= gapMs));
        open = open.filter((of) => !near.includes(of));
        open.push({ key, rows: [...near.flatMap((of) => of.rows), row], changed: true, out: near.flatMap((of) => of.out) });
      }
      const isDue = (of: { rows: AnyRow[] }) => endOf(of) + latenessMs < mark;
      for (const one of open) {
        const bounds = { windowStart: Math.min(...one.rows.map(timeOf)), windowEnd: endOf(one) };
        // As the rows came, not as the sessions were put together.
        const inOrder = rows.filter(({ row }) => one.rows.includes(row)).map(({ row }) => row);
        // Results whose bounds have gone are taken back as they were.
        const isSame = (was: { windowStart: number; windowEnd: number }) => was.windowStart === bounds.windowStart && was.windowEnd === bounds.windowEnd;
        for (const was of one.out) if (!isSame(was)) for (const row of was.rows) results.push({ epoch, row: { ...row, retracted: true } });
        one.out = one.out.filter(isSame);
        const isOver = bounds.windowEnd < mark || mark === Number.POSITIVE_INFINITY;
        const comesOut = { final: isDue(one), update: one.changed, revise: isOver && (one.changed || one.out.length === 0) }[emission];
        if (comesOut) {
          const flag = emission === 'final' ? {} : { retracted: false };
          const out = evaluate(inOrder).map((result) => ({ ...result, ...keyColumns(one.rows[0] as AnyRow, keys), ...bounds, ...flag }));
          results.push(...out.map((row) => ({ epoch, row })));
          one.out = [{ ...bounds, rows: out }];
        }
        one.changed = false;
      }
      open = open.filter((of) => !isDue(of));
    });
    return { results, late };
  };
}

/** Windows of `size` rows of a key, a new one every `slide` rows. */
export function countWindows(keys: readonly string[], size: number, slide: number, evaluate: Evaluate): Model {
  return (rows) => {
    const results: { epoch: number; row: AnyRow }[] = [];
    const groups = new Map<string, AnyRow[]>();
    for (const { row, epoch } of rows) {
      const name = keyText(row, keys);
      const group = groups.get(name) ?? [];
      groups.set(name, group);
      group.push(row);
      if (group.length < size || (group.length - size) % slide !== 0) continue;
      const last = group.slice(-size);
      const bounds = { windowStart: Math.min(...last.map(timeOf)), windowEnd: Math.max(...last.map(timeOf)) };
      for (const result of evaluate(last)) results.push({ epoch, row: { ...result, ...keyColumns(row, keys), ...bounds } });
    }
    return { results, late: 0 };
  };
}

/** All rows so far; the keys that changed come out at the end of each epoch. */
export function running(keys: readonly string[], evaluate: Evaluate): Model {
  return (rows, marks) => {
    const results: { epoch: number; row: AnyRow }[] = [];
    marks.forEach((_, epoch) => {
      const changed = new Map(rows.filter((of) => of.epoch === epoch).map(({ row }) => [keyText(row, keys), row]));
      for (const [name, one] of changed) {
        const all = rows.filter((of) => of.epoch <= epoch && keyText(of.row, keys) === name).map(({ row }) => row);
        for (const result of evaluate(all)) results.push({ epoch, row: { ...result, ...keyColumns(one, keys) } });
      }
    });
    return { results, late: 0 };
  };
}

/** The changes of a table by groups: of the last row of each key, until one that takes it out. */
export function groupsOfTable(keys: readonly string[], isGone: (row: AnyRow) => boolean, group: readonly string[], evaluate: Evaluate): Model {
  return (rows, marks) => {
    const results: { epoch: number; row: AnyRow }[] = [];
    const table = new Map<string, AnyRow>();
    let out = new Map<string, AnyRow>();
    marks.forEach((_, epoch) => {
      for (const { row } of rows.filter((of) => of.epoch === epoch)) {
        if (isGone(row)) table.delete(keyText(row, keys));
        else table.set(keyText(row, keys), row);
      }
      const groups = new Map<string, AnyRow[]>();
      for (const row of table.values()) groups.set(keyText(row, group), [...(groups.get(keyText(row, group)) ?? []), row]);
      const now = new Map([...groups].map(([name, of]) => [name, { ...keyColumns(of[0] as AnyRow, group), ...(evaluate(of)[0] as AnyRow) }]));
      for (const name of new Set([...out.keys(), ...now.keys()])) {
        const [was, is] = [out.get(name), now.get(name)];
        if (was !== undefined && is !== undefined && Object.keys(is).every((column) => shownValue(is[column]) === shownValue(was[column]))) continue;
        if (was !== undefined) results.push({ epoch, row: { ...was, retracted: true } });
        if (is !== undefined) results.push({ epoch, row: { ...is, retracted: false } });
      }
      out = now;
    });
    return { results, late: 0 };
  };
}

/** The first row of a key, and each that is at least `withinMs` away from all that passed. */
export function firstOfKey(keys: readonly string[], withinMs: number | undefined): Model {
  return (rows, marks) => {
    const results: { epoch: number; row: AnyRow }[] = [];
    const passed: AnyRow[] = [];
    let late = 0;
    for (const { row, epoch } of rows) {
      if (withinMs !== undefined && timeOf(row) < before(marks, epoch)) {
        late++;
        continue;
      }
      const isSame = (other: AnyRow) =>
        keyText(other, keys) === keyText(row, keys) && (withinMs === undefined || Math.abs(timeOf(other) - timeOf(row)) < withinMs);
      if (passed.some(isSame)) continue;
      passed.push(row);
      results.push({ epoch, row });
    }
    return { results, late };
  };
}

/**
 * Each row with what `of` makes of the rows that it sees: of its key, up to itself in the order of event time (of the same
 * time by partition), within so much time and of so many rows. It comes out once the watermark has passed it.
 */
export function over(keys: readonly string[], withinMs: number, most: number, of: Evaluate): Model {
  return (rows, marks) => {
    const onTime = rows.filter(({ row, epoch }) => timeOf(row) >= before(marks, epoch));
    const inOrder = onTime
      .map((one, place) => ({ ...one, place }))
      .sort((a, b) => timeOf(a.row) - timeOf(b.row) || (a.source ?? 0) - (b.source ?? 0) || (a.partition ?? 0) - (b.partition ?? 0) || a.place - b.place);
    const results = inOrder.map(({ row }, i) => {
      const isSeen = (other: AnyRow) => keyText(other, keys) === keyText(row, keys) && timeOf(other) > timeOf(row) - withinMs;
      const seen = inOrder.slice(0, i + 1).flatMap((one) => (isSeen(one.row) ? [one.row] : []));
      const epoch = marks.findIndex((mark) => mark > timeOf(row));
      return { epoch, row: { ...row, ...(of(seen.slice(-most))[0] as AnyRow) } };
    });
    return { results, late: rows.length - onTime.length };
  };
}

/** What is not late, and when it comes out, where rows wait until the watermark has passed them. */
function waited(rows: readonly Arrival[], marks: readonly number[]): { readonly rows: (Arrival & { readonly out: number })[]; readonly late: number } {
  const onTime = rows.filter(({ row, epoch }) => timeOf(row) >= before(marks, epoch));
  return {
    rows: onTime.map((of) => ({ ...of, out: marks.findIndex((mark, epoch) => epoch >= of.epoch && mark > timeOf(of.row)) })),
    late: rows.length - onTime.length,
  };
}

/** Rows by event time; the order of those of one epoch is tested elsewhere. */
export function sortedRows(): Model {
  return (all, marks) => {
    const { rows, late } = waited(all, marks);
    return { results: rows.map(({ row, out }) => ({ epoch: out, row })), late };
  };
}

/** The row of the right that was valid at the time of that of the left. */
export function asOfJoin(type: string): Model {
  return (all, marks) => {
    const { rows, late } = waited(all, marks);
    const results = rows.flatMap(({ row, input, out }) => {
      if (input === 1) return [];
      const [found] = rows
        .map((of, order) => ({ ...of, order }))
        .filter((of) => of.input === 1 && timeOf(of.row) <= timeOf(row) && isPair(row, of.row))
        .sort((a, b) => timeOf(b.row) - timeOf(a.row) || (b.partition ?? 0) - (a.partition ?? 0) || b.order - a.order);
      return found !== undefined || type === 'left' ? [{ epoch: out, row: joined(row, found?.row, {}) }] : [];
    });
    return { results, late };
  };
}

/** The n rows of greatest `ms`: null and NaN last, equals as they came. */
export function greatest(rows: readonly AnyRow[], n: number): AnyRow[] {
  const rank = (row: AnyRow) => (row.ms === null || Number.isNaN(row.ms) ? Number.NEGATIVE_INFINITY : (row.ms as number));
  const isBad = (row: AnyRow) => (row.ms === null || Number.isNaN(row.ms) ? 1 : 0);
  return [...rows]
    .sort((a, b) => isBad(a) - isBad(b) || (rank(a) === rank(b) ? 0 : rank(b) - rank(a)))
    .slice(0, n)
    .map((row, place) => ({ ...row, rank: place + 1 }));
}

/** Counts rows by key; `afterMs` behind the first one the count comes out and begins anew. */
export function countedUntil(afterMs: number): Model {
  return (rows, marks) => {
    const results: { epoch: number; row: AnyRow }[] = [];
    const open = new Map<string, { row: AnyRow; count: number; due: number }>();
    marks.forEach((mark, epoch) => {
      for (const { row } of rows.filter((of) => of.epoch === epoch)) {
        const name = keyText(row, ['k']);
        const state = open.get(name) ?? { row, count: 0, due: timeOf(row) + afterMs };
        open.set(name, state);
        state.count++;
      }
      for (const [name, { row, count, due }] of open) {
        if (due > mark) continue;
        results.push({ epoch, row: { k: row.k, count, at: due } });
        open.delete(name);
      }
    });
    return { results, late: 0 };
  };
}

/** A result row of a join of the test's rows by `k`. */
function joined(left: AnyRow | undefined, right: AnyRow | undefined, bounds: AnyRow): AnyRow {
  const of = (row: AnyRow | undefined, column: string) => (row === undefined ? null : row[column]);
  const columns = ['id', 'at', 'ms', 'note'];
  return {
    k: left === undefined ? of(right, 'k') : of(left, 'k'),
    ...bounds,
    ...Object.fromEntries(columns.map((column) => [column, of(left, column)])),
    ...Object.fromEntries(columns.map((column) => [`${column}_right`, of(right, column)])),
  };
}

const isPair = (l: AnyRow, r: AnyRow) => l.k !== null && l.k === r.k;

/** Rows of both streams in the same tumbling window. */
export function windowJoin(sizeMs: number, type: string): Model {
  return (all, marks) => {
    const startOf = (row: AnyRow) => Math.floor(timeOf(row) / sizeMs) * sizeMs;
    const rows = all.filter(({ row, epoch }) => startOf(row) + sizeMs > before(marks, epoch));
    const results: { epoch: number; row: AnyRow }[] = [];
    for (const start of new Set(rows.map(({ row }) => startOf(row)))) {
      const inside = rows.filter(({ row }) => startOf(row) === start);
      const [left, right] = [0, 1].map((input) => inside.filter((of) => of.input === input).map(({ row }) => row)) as [AnyRow[], AnyRow[]];
      const epoch = marks.findIndex((mark) => start + sizeMs <= mark);
      const bounds = { windowStart: start, windowEnd: start + sizeMs };
      const emit = (l: AnyRow | undefined, r: AnyRow | undefined) => results.push({ epoch, row: joined(l, r, bounds) });
      for (const l of left) for (const r of right) if (isPair(l, r)) emit(l, r);
      if (type === 'left' || type === 'full') for (const l of left) if (!right.some((r) => isPair(l, r))) emit(l, undefined);
      if (type === 'right' || type === 'full') for (const r of right) if (!left.some((l) => isPair(l, r))) emit(undefined, r);
    }
    return { results, late: all.length - rows.length };
  };
}

/** Pairs whose times lie near each other, where nothing is ever forgotten before the end. */
export function intervalJoin(beforeMs: number, afterMs: number, type: string): Model {
  return (all, marks) => {
    const last = marks.length - 1;
    const results: { epoch: number; row: AnyRow }[] = [];
    const isNear = (l: AnyRow, r: AnyRow) => isPair(l, r) && timeOf(r) >= timeOf(l) - beforeMs && timeOf(r) <= timeOf(l) + afterMs;
    const [left, right] = [0, 1].map((input) => all.filter((of) => of.input === input)) as [Arrival[], Arrival[]];
    for (const l of left)
      for (const r of right)
        if (isNear(l.row, r.row))
          results.push({ epoch: Math.max(l.epoch, r.epoch), row: joined(l.row, r.row, { joinTime: Math.max(timeOf(l.row), timeOf(r.row)) }) });
    if (type === 'left' || type === 'full')
      for (const l of left)
        if (!right.some((r) => isNear(l.row, r.row))) results.push({ epoch: last, row: joined(l.row, undefined, { joinTime: timeOf(l.row) }) });
    if (type === 'right' || type === 'full')
      for (const r of right)
        if (!left.some((l) => isNear(l.row, r.row))) results.push({ epoch: last, row: joined(undefined, r.row, { joinTime: timeOf(r.row) }) });
    return { results, late: 0 };
  };
}

/** Each row of the left with the latest row of its key on the right, as of the end of its epoch. */
export function tableJoin(type: string): Model {
  return (all) => ({
    results: all
      .filter(({ input }) => input === 0)
      .map(({ row, epoch }) => ({ row, epoch, found: all.filter((of) => of.input === 1 && of.epoch <= epoch && isPair(row, of.row)).at(-1) }))
      .filter(({ found }) => found !== undefined || type === 'left')
      .map(({ row, epoch, found }) => ({ epoch, row: joined(row, found?.row, {}) })),
    late: 0,
  });
}
