/**
 * Small pipelines for crashes in memory, one for each kind of state, each with a plain model of its input that says whether what came
 * out is right.
 */

import type { AnyRow } from '../../core/index.ts';
import { broadcast, collect, count, f64, max, memory, pipeline, session, sliding, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import type { PipelineLike } from '../../runtime/plan/graph.ts';

/** Rows of a partition are out of order by less than this. */
export const DISORDER_MS = 30;

const SCHEMA = { key: utf8, n: f64, at: timestamp };
export type Row = { readonly key: string; readonly n: number; readonly at: number };

export interface CrashCase {
  /** The pipeline, with its sources in this order. */
  readonly make: () => PipelineLike;
  /** Rows of the sources: by default of one. */
  readonly sources?: number;
  readonly readFirst?: number;
  readonly keepsDecisions?: boolean;
  /** State never closes, so that nothing is committed while there is input. */
  readonly isNeverCommitted?: boolean;
  /** What comes out goes by where epochs are cut. */
  readonly dependsOnCuts?: boolean;
  /** Each row comes twice. */
  readonly twice?: boolean;
  /** Undefined: right. Else what is wrong. */
  readonly check: (written: readonly AnyRow[], inputs: readonly (readonly Row[])[]) => string | undefined;
}

const stream = (delay = DISORDER_MS) =>
  pipeline('crash')
    .from(memory([], { schema: SCHEMA }))
    .withWatermark('at', delay);
function two() {
  const p = pipeline('crash');
  const [left, right] = [0, 1].map(() => p.from(memory<Row>([], { schema: SCHEMA } as never)).withWatermark('at', DISORDER_MS));
  return { left: left as NonNullable<typeof left>, right: right as NonNullable<typeof right> };
}

/** A row as a text that is the same for equal rows. */
export const rowText = (row: AnyRow): string => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));

/** Each of these rows came, at least once, and no other. */
function exactly(written: readonly AnyRow[], expected: readonly AnyRow[]): string | undefined {
  const came = new Set(written.map(rowText));
  const wanted = new Set(expected.map(rowText));
  const lost = [...wanted].filter((row) => !came.has(row));
  const wrong = [...came].filter((row) => !wanted.has(row));
  return lost.length + wrong.length === 0 ? undefined : `lost ${lost.slice(0, 3).join(' ')}; wrong ${wrong.slice(0, 3).join(' ')}`;
}

/** How many rows each row sees; of rows of the same time one sees the other. */
function seenBy(rows: readonly Row[], withinMs: number): AnyRow[] {
  return rows.map((row, i) => {
    const ofKey = rows.filter(({ key, at }, j) => key === row.key && at > row.at - withinMs && (at < row.at || (at === row.at && j <= i)));
    return { key: row.key, at: row.at, rows: ofKey.length };
  });
}

/** Of each key the last row is this; what came before has no more rows in it. */
function atLast(written: readonly AnyRow[], expected: readonly AnyRow[], size: string): string | undefined {
  for (const row of expected) {
    const ofKey = written.filter(({ key }) => key === row['key']);
    if (ofKey.length === 0 || rowText(ofKey.at(-1) as AnyRow) !== rowText(row)) return `last ${rowText(ofKey.at(-1) ?? {})}, not ${rowText(row)}`;
    if (ofKey.some((one) => (one[size] as number) > (row[size] as number))) return `more than there is of ${row['key']}`;
  }
  return written.every(({ key }) => expected.some((row) => row['key'] === key)) ? undefined : 'a key that there is not';
}

function grouped<K extends string | number>(rows: readonly Row[], of: (row: Row) => readonly K[]): Map<K, Row[]> {
  const groups = new Map<K, Row[]>();
  for (const row of rows) for (const group of of(row)) groups.set(group, [...(groups.get(group) ?? []), row]);
  return groups;
}

const total = (rows: readonly Row[]): number => rows.reduce((sum, { n }) => sum + n, 0);

/** Windows by key: [key, start], their rows. */
function windows(rows: readonly Row[], sizeMs: number, slideMs: number): { key: string; start: number; rows: Row[] }[] {
  const starts = (at: number): number[] => {
    const found: number[] = [];
    for (let start = Math.floor(at / slideMs) * slideMs; start > at - sizeMs; start -= slideMs) found.push(start);
    return found;
  };
  return [...grouped(rows, ({ key, at }) => starts(at).map((start) => `${key}|${start}`))].map(([name, of]) => {
    const [key, start] = name.split('|') as [string, string];
    return { key, start: Number(start), rows: of };
  });
}

function sessions(rows: readonly Row[], gapMs: number): { key: string; rows: Row[] }[] {
  const found: { key: string; rows: Row[] }[] = [];
  for (const [key, of] of grouped(rows, (row) => [row.key])) {
    let open: Row[] = [];
    for (const row of of.toSorted((a, b) => a.at - b.at)) {
      if (open.length > 0 && row.at - (open.at(-1) as Row).at > gapMs) {
        found.push({ key, rows: open });
        open = [];
      }
      open.push(row);
    }
    found.push({ key, rows: open });
  }
  return found;
}

export const CRASH_CASES: Readonly<Record<string, CrashCase>> = {
  'tumbling windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(50))
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 50, 50).map(({ key, start, rows: of }) => ({ key, windowStart: start, windowEnd: start + 50, rows: of.length, n: total(of) })),
      ),
  },
  'sliding windows with lateness': {
    make: () =>
      stream(10)
        .keyBy('key')
        .window(sliding(100, 50).lateness(DISORDER_MS))
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 100, 50).map(({ key, start, rows: of }) => ({ key, windowStart: start, windowEnd: start + 100, rows: of.length, n: total(of) })),
      ),
  },
  'a running aggregate': {
    isNeverCommitted: true,
    dependsOnCuts: true,
    make: () =>
      stream()
        .keyBy('key')
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check: (written, [rows = []]) =>
      atLast(
        written,
        [...grouped(rows, (row) => [row.key])].map(([key, of]) => ({ key, rows: of.length, n: total(of) })),
        'rows',
      ),
  },
  sessions: {
    isNeverCommitted: true,
    make: () =>
      stream()
        .keyBy('key')
        .window(session(25))
        .aggregate({ rows: count(), n: sum('n'), last: max('at') })
        .map({ key: utf8, rows: f64, n: f64, last: f64 }, (row) => ({ key: row.key, rows: row.rows, n: row.n, last: row.last }))
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        sessions(rows, 25).map(({ key, rows: of }) => ({ key, rows: of.length, n: total(of), last: Math.max(...of.map(({ at }) => at)) })),
      ),
  },
  'windows of windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(50))
        .aggregate({ rows: count() })
        .windowAll(tumbling(100))
        .aggregate({ windows: count(), rows: sum('rows') })
        .to(collect()),
    check(written, [rows = []]) {
      const starts = new Map<number, { windows: number; rows: number }>();
      for (const { start, rows: of } of windows(rows, 50, 50)) {
        const outer = Math.floor(start / 100) * 100;
        const known = starts.get(outer) ?? { windows: 0, rows: 0 };
        starts.set(outer, { windows: known.windows + 1, rows: known.rows + of.length });
      }
      return exactly(
        written,
        [...starts].map(([start, of]) => ({ windowStart: start, windowEnd: start + 100, ...of })),
      );
    },
  },
  'a join by time': {
    sources: 2,
    make() {
      const { left, right } = two();
      return left
        .keyBy('key')
        .join(right.keyBy('key'), { within: [20, 20] })
        .to(collect());
    },
    check(written, [left = [], right = []]) {
      const pairs = left.flatMap((l) => right.filter((r) => r.key === l.key && Math.abs(r.at - l.at) <= 20).map((r) => [l, r] as const));
      // Rows are told apart by their `n`, and so are pairs.
      const named = new Set(written.map((row) => `${row['n']},${row['n_right']}`));
      const wanted = new Set(pairs.map(([l, r]) => `${l.n},${r.n}`));
      const lost = [...wanted].filter((pair) => !named.has(pair));
      const wrong = [...named].filter((pair) => !wanted.has(pair));
      return lost.length + wrong.length === 0 ? undefined : `lost ${lost.slice(0, 3)}; wrong ${wrong.slice(0, 3)} of ${JSON.stringify(written[0])}`;
    },
  },
  'process, with timers': {
    isNeverCommitted: true,
    make: () =>
      stream()
        .keyBy('key')
        .process({
          schema: { key: utf8, end: f64, rows: f64 },
          state: () => new Map<number, number>(),
          onRow(row, ctx) {
            const end = Math.floor(row.at / 50) * 50 + 50;
            ctx.state.set(end, (ctx.state.get(end) ?? 0) + 1);
            ctx.timer(end);
          },
          onTimer: (end, ctx) => ctx.emit({ key: ctx.key.key, end, rows: ctx.state.get(end) ?? 0 }),
        })
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 50, 50).map(({ key, start, rows: of }) => ({ key, end: start + 50, rows: of.length })),
      ),
  },
  'reduce in windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(100))
        .reduce((a, b) => ({ key: a.key, n: a.n + b.n, at: Math.max(a.at, b.at) }))
        .map({ key: utf8, n: f64 }, (row) => ({ key: row.key, n: row.n }))
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 100, 100).map(({ key, rows: of }) => ({ key, n: total(of) })),
      ),
  },
  'the top in windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(100))
        .top(2, { by: 'n' })
        .map({ key: utf8, n: f64 }, (row) => ({ key: row.key, n: row.n }))
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 100, 100).flatMap(({ key, rows: of }) =>
          of
            .toSorted((a, b) => b.n - a.n)
            .slice(0, 2)
            .map(({ n }) => ({ key, n })),
        ),
      ),
  },
  'errors of process': {
    isNeverCommitted: true,
    make() {
      const passed = stream()
        .keyBy('key')
        .process({
          schema: SCHEMA,
          state: () => ({ rows: 0 }),
          onRow(row, ctx) {
            ctx.state.rows++;
            if (row.n % 3 === 0) throw new Error(`no ${row.n}`);
            ctx.emit(row);
          },
        });
      return passed.union(passed.errors.map(SCHEMA, ({ row }) => JSON.parse(row) as Row)).to(collect());
    },
    check: (written, [rows = []]) => exactly(written, rows),
  },
  dropDuplicates: {
    isNeverCommitted: true,
    twice: true,
    make: () => stream().keyBy('n').dropDuplicates({ within: 200 }).to(collect()),
    check: (written, [rows = []]) => exactly(written, rows),
  },
  over: {
    isNeverCommitted: true,
    make: () =>
      stream()
        .keyBy('key')
        .over({ rows: count('200ms') })
        .select('key', 'at', 'rows')
        .to(collect()),
    check: (written, [rows = []]) => exactly(written, seenBy(rows, 200)),
  },
  'over, committed': {
    make: () =>
      stream()
        .keyBy('key')
        .over({ rows: count('20ms') })
        .select('key', 'at', 'rows')
        .to(collect()),
    check: (written, [rows = []]) => exactly(written, seenBy(rows, 20)),
  },
  'counts of a table': {
    isNeverCommitted: true,
    dependsOnCuts: true,
    make: () =>
      stream()
        .keyBy('key')
        .count()
        .aggregate({ keys: count(), rows: sum('count') })
        .to(collect({ changelog: 'append' })),
    check(written, [rows = []]) {
      const most = Math.max(0, ...written.map((row) => row['rows'] as number));
      return most === rows.length ? undefined : `${most} rows of ${rows.length}`;
    },
  },
  sorted: {
    make: () => stream().keyBy('key').sorted().to(collect()),
    check: (written, [rows = []]) => exactly(written, rows),
  },
  'a join as of an event time': {
    isNeverCommitted: true,
    sources: 2,
    make() {
      const { left, right } = two();
      return left.keyBy('key').join(right.keyBy('key'), { asOf: 'eventTime', type: 'left', table: 'growing' }).to(collect());
    },
    check(written, [left = [], right = []]) {
      const versionOf = (row: Row) => right.filter(({ key, at }) => key === row.key && at <= row.at).toSorted((a, b) => a.at - b.at);
      const wrong = written.filter((row) => {
        const latest = versionOf(row as unknown as Row).at(-1);
        return latest?.at !== (row['at_right'] ?? undefined);
      });
      if (wrong.length > 0) return `another version: ${JSON.stringify(wrong[0])}`;
      return exactly(
        written.map(({ key, n, at }) => ({ key, n, at })),
        left,
      );
    },
  },
  'a table': {
    isNeverCommitted: true,
    sources: 2,
    readFirst: 1,
    make() {
      const p = pipeline('crash');
      const clicks = p.from(memory<Row>([], { schema: SCHEMA } as never)).keyBy('key');
      const names = p.from(memory<Row>([], { schema: SCHEMA } as never)).select('key');
      return clicks.join(broadcast(names.keyBy('key'))).to(collect());
    },
    check: (written, [rows = [], names = []]) =>
      exactly(
        written.map(({ key, n, at }) => ({ key, n, at })),
        rows.filter(({ key }) => names.some((name) => name.key === key)),
      ),
  },
  'windows of the clock, with decisions kept': {
    keepsDecisions: true,
    dependsOnCuts: true,
    make: () =>
      pipeline('crash')
        .from(memory([], { schema: SCHEMA }))
        .withProcessingTime()
        .keyBy('key')
        .window(tumbling(100))
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check(written, [rows = []]) {
      const distinct = [...new Set(written.map(rowText))].map(
        (row) => Object.fromEntries(JSON.parse(row)) as { key: string; windowStart: number; rows: number; n: number },
      );
      if (new Set(distinct.map(({ key, windowStart }) => `${key}|${windowStart}`)).size < distinct.length)
        return `a window came with two contents: ${JSON.stringify(distinct)}`;
      const came = distinct.reduce((sum, row) => sum + row.n, 0);
      return came === total(rows) ? undefined : `rows of ${came} in all, not ${total(rows)}`;
    },
  },
};
