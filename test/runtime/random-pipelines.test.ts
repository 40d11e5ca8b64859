// Whole pipelines, drawn at random, against what they mean: row functions, one or two sources, every operator and every type of
// window, a second stage behind the first; over random disorder, lateness, partitions, shards and cuts into epochs. Results are
// compared epoch by epoch, and so is the count of late rows. MILLRACE_TEST_RUNS sets the number of cases; fast-check prints the
// seed of one that fails.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AnyRow } from '../../core/index.ts';
import type { Emission } from '../../operators/index.ts';
import {
  aggregator,
  collect,
  count,
  countDistinct,
  countWindow,
  cumulative,
  f64,
  first,
  i32,
  last,
  max,
  mean,
  memory,
  min,
  nullable,
  pipeline,
  type Stream,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
  type WindowSpec,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';
import {
  type Arrival,
  aggregated,
  asOfJoin,
  countedUntil,
  countWindows,
  firstOfKey,
  greatest,
  groupsOfTable,
  intervalJoin,
  type Model,
  over,
  running,
  type Span,
  sessions,
  shownValue,
  sortedRows,
  tableJoin,
  timeWindows,
  windowJoin,
} from './naive-stages.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(800);
/** Long enough that nothing is decided, or forgotten, before the end. */
const LONG_DELAY_MS = 1e13;

const columns = { k: nullable(utf8), id: i32, at: timestamp, ms: nullable(f64), note: utf8 };
interface Row {
  readonly k: string | null;
  readonly id: number;
  readonly at: number;
  readonly ms: number | null;
  readonly note: string;
}
const LONG = 'k'.repeat(10_000);
const row: fc.Arbitrary<Row> = fc.record({
  k: fc.oneof({ weight: 30, arbitrary: fc.constantFrom(null, '', 'a', 'b', '__proto__', 'é🙂') }, { weight: 1, arbitrary: fc.constantFrom(LONG, `${LONG}2`) }),
  id: fc.integer({ min: 0, max: 3 }),
  at: fc.oneof(
    { weight: 30, arbitrary: fc.integer({ min: -300, max: 900 }) },
    { weight: 1, arbitrary: fc.constantFrom(-86_400_000, -1, 0, 4_102_444_800_000) },
  ),
  // Quarters: sums of them are exact in any order.
  ms: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: -400, max: 400 }).map((n) => n / 4) },
    { weight: 1, arbitrary: fc.constantFrom(null, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0) },
  ),
  note: fc.constantFrom('', 'x', 'constructor'),
});

/** Chunks of rows, by epoch. */
interface Chunk {
  readonly source: number;
  readonly partition: number;
  readonly rows: readonly Row[];
}
const epochs: fc.Arbitrary<readonly (readonly Chunk[])[]> = fc.array(
  fc.array(fc.record({ source: fc.integer({ min: 0, max: 1 }), partition: fc.integer({ min: 0, max: 2 }), rows: fc.array(row, { maxLength: 8 }) }), {
    maxLength: 5,
  }),
  { minLength: 1, maxLength: 5 },
);

/** Row functions in front of the operator, and the same over one row. */
const steps = fc.constantFrom<{ name: string; build(stream: Stream<Row>): Stream<Row>; of(row: Row): Row[] }>(
  { name: 'nothing', build: (stream) => stream, of: (r) => [r] },
  { name: 'filter', build: (stream) => stream.filter((r) => r.id !== 1), of: (r) => (r.id === 1 ? [] : [r]) },
  { name: 'map', build: (stream) => stream.map(columns, (r) => ({ ...r, note: `${r.note}!` })), of: (r) => [{ ...r, note: `${r.note}!` }] },
  {
    name: 'flatMap',
    build: (stream) =>
      stream.flatMap(columns, (r, emit) => {
        for (let i = 0; i < r.id; i++) emit({ ...r, id: i });
      }),
    of: (r) => Array.from({ length: r.id }, (_, id) => ({ ...r, id })),
  },
);

const AGGREGATES = {
  rows: count(),
  total: sum('ms'),
  average: mean('ms'),
  least: min('ms'),
  most: max('ms'),
  notes: countDistinct('note'),
  opened: first('note'),
  closed: last('note'),
  ids: collect('id', { max: 4 }),
};

/** The same, and two of the user's own. */
const WITH_OWN = {
  letters: aggregator({
    init: () => 0,
    add: (letters, r: { note: string }) => letters + r.note.length,
    merge: (a, b) => a + b,
    remove: (letters, r) => letters - r.note.length,
    result: (letters) => letters,
  }),
  ...AGGREGATES,
  span: aggregator({
    type: utf8,
    init: () => ({ least: Number.POSITIVE_INFINITY, most: Number.NEGATIVE_INFINITY }),
    add(span, r: { id: number }) {
      span.least = Math.min(span.least, r.id);
      span.most = Math.max(span.most, r.id);
    },
    merge: (a, b) => ({ least: Math.min(a.least, b.least), most: Math.max(a.most, b.most) }),
    result: ({ least, most }) => `${least} to ${most}`,
  }),
};

interface Stage {
  readonly name: string;
  /** How the second source comes in: not at all, as rows of the same stream, or as the right of a join. */
  readonly second: 'none' | 'union' | 'join';
  readonly delayMs?: number;
  build(left: Stream<Row>, right: Stream<Row>): Stream<never, unknown>;
  readonly model: Model;
  /** For a second stage: how long behind the watermark rows come out. */
  readonly windowDelayMs?: number;
}

const ownText = (of: typeof AGGREGATES) => (of === WITH_OWN ? ', own' : '');
const aggregateSets = fc.constantFrom<(typeof AGGREGATES)[]>(AGGREGATES, AGGREGATES, WITH_OWN);
const keySets = fc.constantFrom<(keyof Row)[][]>(['k'], ['k', 'id'], ['id']);
const second = fc.constantFrom<('none' | 'union')[]>('none', 'none', 'union');
const lateness = fc.constantFrom(0, 0, 60, 500);
const emission = fc.constantFrom<Emission[]>('final', 'final', 'update', 'revise');
const spans =
  (sizeMs: number, slideMs: number, offsetMs: number, stepMs = sizeMs) =>
  (time: number) => {
    const found: Span[] = [];
    for (let start = Math.floor((time - offsetMs) / slideMs) * slideMs + offsetMs; start > time - sizeMs; start -= slideMs)
      for (let end = start + stepMs; end <= start + sizeMs; end += stepMs) if (end > time) found.push({ start, end });
    return found;
  };
const shapes = fc.constantFrom<{ window: WindowSpec; spansOf(time: number): Span[] }>(
  { window: tumbling(100), spansOf: spans(100, 100, 0) },
  { window: tumbling(100, { offset: -30 }), spansOf: spans(100, 100, -30) },
  { window: sliding(300, 100), spansOf: spans(300, 100, 0) },
  { window: sliding(250, 100), spansOf: spans(250, 100, 0) },
  { window: sliding(1_000, 999), spansOf: spans(1_000, 999, 0) },
  { window: cumulative(300, 100), spansOf: spans(300, 300, 0, 100) },
);
const keyed = (stream: Stream<Row>, keys: (keyof Row)[]) => stream.keyBy(...keys);
const plus = (a: Row, b: Row): Row => ({ ...b, ms: (a.ms ?? 0) + (b.ms ?? 0) });
/** In whatever order rows come: that in which sessions are put together is no order of rows. */
const widest = (a: Row, b: Row): Row => ({
  k: a.k === b.k ? a.k : null,
  id: Math.max(a.id, b.id),
  at: Math.max(a.at, b.at),
  ms: Math.max(a.ms ?? 0, b.ms ?? 0),
  note: [a.note, b.note].sort()[1] as string,
});
const reduced = (rows: readonly AnyRow[]): AnyRow[] => [(rows as unknown as readonly Row[]).reduce(plus) as unknown as AnyRow];
const as = (stream: unknown) => stream as Stream<never, unknown>;

const stages: fc.Arbitrary<Stage> = fc.oneof(
  fc
    .record({ keys: keySets, shape: shapes, lateness, emission, second, of: aggregateSets })
    .map(({ keys, shape, lateness: late, emission: emits, second: by, of }) => ({
      name: `${shape.window} by ${keys}${ownText(of)}`,
      second: by,
      build: (left: Stream<Row>) => as(keyed(left, keys).window(shape.window.lateness(late).emit(emits)).aggregate(of)),
      model: timeWindows(keys, shape.spansOf, late, emits, (rows) => [aggregated(rows)]),
      ...(emits === 'final' ? { windowDelayMs: late } : {}),
    })),
  fc.record({ shape: shapes, lateness, of: aggregateSets }).map(({ shape, lateness: late, of }) => ({
    name: `${shape.window} of all${ownText(of)}`,
    second: 'none' as const,
    build: (left: Stream<Row>) => as(left.windowAll(shape.window.lateness(late)).aggregate(of)),
    model: timeWindows([], shape.spansOf, late, 'final', (rows) => [aggregated(rows)]),
    windowDelayMs: late,
  })),
  fc
    .record({ keys: keySets, gap: fc.constantFrom(1, 20, 150), lateness, emission, second, of: aggregateSets })
    .map(({ keys, gap, lateness: late, emission: emits, second: by, of }) => ({
      name: `session(${gap}) by ${keys}${ownText(of)}`,
      second: by,
      build: (left: Stream<Row>) => as(keyed(left, keys).window(session(gap).lateness(late).emit(emits)).aggregate(of)),
      model: sessions(keys, gap, late, emits, (rows) => [aggregated(rows)]),
    })),
  fc
    .record({ keys: keySets, size: fc.integer({ min: 1, max: 5 }), slide: fc.integer({ min: 1, max: 5 }), second, of: aggregateSets })
    .map(({ keys, size, slide, second: by, of }) => ({
      name: `countWindow(${size}, ${slide}) by ${keys}${ownText(of)}`,
      second: by,
      build: (left: Stream<Row>) =>
        as(
          keyed(left, keys)
            .window(countWindow(size, { slide: Math.min(size, slide) }))
            .aggregate(of),
        ),
      model: countWindows(keys, size, Math.min(size, slide), (rows) => [aggregated(rows)]),
    })),
  fc.record({ keys: keySets, second }).map(({ keys, second: by }) => ({
    name: `groups of a table by ${keys}`,
    second: by,
    build: (left: Stream<Row>) =>
      as(
        keyed(left, keys)
          .table({ delete: (r) => r.note === 'x' })
          .groupBy('note', 'id')
          .aggregate({ rows: count(), total: sum('ms'), least: min('ms'), most: max('ms') })
          .changes(),
      ),
    model: groupsOfTable(
      keys,
      (r) => r.note === 'x',
      ['note', 'id'],
      (rows) => [aggregated(rows)].map(({ rows: n, total, least, most }) => ({ rows: n, total, least, most })),
    ),
  })),
  fc.record({ keys: keySets, second, of: aggregateSets }).map(({ keys, second: by, of }) => ({
    name: `running by ${keys}${ownText(of)}`,
    second: by,
    build: (left: Stream<Row>) => as(keyed(left, keys).aggregate(of)),
    model: running(keys, (rows) => [aggregated(rows)]),
  })),
  fc.record({ keys: keySets, shape: shapes.filter(({ window }) => window.shape.kind === 'tumbling'), lateness }).map(({ keys, shape, lateness: late }) => ({
    name: `reduce in ${shape.window} by ${keys}`,
    second: 'union' as const,
    build: (left: Stream<Row>) =>
      as(
        keyed(left, keys)
          .window(shape.window.lateness(late))
          .reduce(plus as never),
      ),
    model: timeWindows(keys, shape.spansOf, late, 'final', reduced),
  })),
  fc.record({ keys: keySets, gap: fc.constantFrom(20, 150), lateness }).map(({ keys, gap, lateness: late }) => ({
    name: `reduce in session(${gap}) by ${keys}`,
    second: 'none' as const,
    build: (left: Stream<Row>) =>
      as(
        keyed(left, keys)
          .window(session(gap).lateness(late))
          .reduce(widest as never),
      ),
    model: sessions(keys, gap, late, 'final', (rows) => [(rows as unknown as readonly Row[]).reduce(widest) as unknown as AnyRow]),
  })),
  keySets.map((keys) => ({
    name: `reduce by ${keys}`,
    second: 'none' as const,
    build: (left: Stream<Row>) => as(keyed(left, keys).reduce(plus as never)),
    model: running(keys, reduced),
  })),
  fc
    .record({ n: fc.integer({ min: 1, max: 3 }), shape: shapes.filter(({ window }) => window.shape.kind === 'tumbling'), lateness })
    .map(({ n, shape, lateness: late }) => ({
      name: `top(${n}) in ${shape.window}`,
      second: 'none' as const,
      build: (left: Stream<Row>) => as(left.keyBy('k').window(shape.window.lateness(late)).top(n, { by: 'ms' })),
      model: timeWindows(['k'], shape.spansOf, late, 'final', (rows) => greatest(rows, n)),
    })),
  fc.record({ keys: keySets, within: fc.constantFrom(undefined, 1, 50, 400), second }).map(({ keys, within, second: by }) => ({
    name: `dropDuplicates(${within}) by ${keys}`,
    second: by,
    build: (left: Stream<Row>) => as(keyed(left, keys).dropDuplicates(within === undefined ? {} : { within })),
    model: firstOfKey(keys, within),
  })),
  fc.record({ keys: keySets, within: fc.constantFrom(1, 50, 400), rows: fc.constantFrom(1, 3, 1_000), second }).map(({ keys, within, rows, second: by }) => ({
    name: `over(${within}, ${rows}) by ${keys}`,
    second: by,
    build: (left: Stream<Row>) =>
      as(keyed(left, keys).over(Object.fromEntries(Object.entries(AGGREGATES).map(([name, of]) => [name, [of, { within, rows }] as const])) as never)),
    model: over(keys, within, rows, (seen) => [aggregated(seen)]),
  })),
  fc.constantFrom(0, 80, 400).map((afterMs) => ({
    name: `process with a timer after ${afterMs}`,
    second: 'none' as const,
    build: (left: Stream<Row>) =>
      as(
        left.keyBy('k').process({
          schema: { k: nullable(utf8), count: f64, at: timestamp },
          state: () => ({ count: 0 }),
          onRow(r, ctx) {
            if (ctx.state.count++ === 0) ctx.timer(r.at + afterMs);
          },
          onTimer(time, ctx) {
            ctx.emit({ k: ctx.key.k, count: ctx.state.count, at: time });
            ctx.clear();
          },
        }),
      ),
    model: countedUntil(afterMs),
  })),
  fc.constantFrom<('inner' | 'left' | 'right' | 'full')[]>('inner', 'left', 'right', 'full').map((type) => ({
    name: `${type} join in windows`,
    second: 'join' as const,
    build: (left: Stream<Row>, right: Stream<Row>) => as(left.keyBy('k').window(tumbling(200)).join(right.keyBy('k'), { type })),
    model: windowJoin(200, type),
  })),
  fc.constantFrom<('inner' | 'left' | 'right' | 'full')[]>('inner', 'left', 'right', 'full').map((type) => ({
    name: `${type} join by interval`,
    second: 'join' as const,
    delayMs: LONG_DELAY_MS,
    build: (left: Stream<Row>, right: Stream<Row>) => as(left.keyBy('k').join(right.keyBy('k'), { within: [20, 200], type })),
    model: intervalJoin(20, 200, type),
  })),
  fc.constantFrom<('inner' | 'left')[]>('inner', 'left').map((type) => ({
    name: `${type} join with a table`,
    second: 'join' as const,
    build: (left: Stream<Row>, right: Stream<Row>) => as(left.keyBy('k').join(right.keyBy('k'), { type })),
    model: tableJoin(type),
  })),
  fc.constantFrom<('inner' | 'left')[]>('inner', 'left').map((type) => ({
    name: `${type} join as of an event time`,
    second: 'join' as const,
    build: (left: Stream<Row>, right: Stream<Row>) => as(left.keyBy('k').join(right.keyBy('k'), { type, asOf: 'eventTime' })),
    model: asOfJoin(type),
  })),
  fc.record({ keys: keySets, second }).map(({ keys, second: by }) => ({
    name: `sorted by ${keys}`,
    second: by,
    build: (left: Stream<Row>) => as(keyed(left, keys).sorted()),
    model: sortedRows(),
  })),
);

/** Windows over the windows of the first stage. */
const OUTER = { window: tumbling(400), spansOf: spans(400, 400, 0) };

const cases = fc.record({
  epochs,
  stage: stages,
  step: steps,
  delayMs: fc.constantFrom(0, 0, 40, 300),
  partitions: fc.integer({ min: 1, max: 3 }),
  shards: fc.integer({ min: 1, max: 4 }),
  hasOuter: fc.boolean(),
});

describe('random pipelines', () => {
  test('give what naive arrays give, epoch by epoch', () => {
    const names = new Set<string>();
    fc.assert(
      fc.property(cases, ({ epochs: cuts, stage, step, delayMs: drawnDelay, partitions, shards, hasOuter }) => {
        names.add(stage.name.replace(/\d+/g, ''));
        const delayMs = stage.delayMs ?? drawnDelay;
        const outer = hasOuter && stage.windowDelayMs !== undefined;
        const chunks = cuts.map((epoch) =>
          epoch
            .map((chunk) => ({ ...chunk, source: stage.second === 'none' ? 0 : chunk.source, partition: chunk.partition % partitions }))
            .map((chunk, order) => ({ ...chunk, order })),
        );

        const p = pipeline('random');
        const [left, right] = [0, 1].map(() => step.build(p.from(memory<Row>([], { schema: columns } as never)).withWatermark('at', delayMs))) as [
          Stream<Row>,
          Stream<Row>,
        ];
        const built = stage.build(stage.second === 'union' ? left.union(right) : left, right);
        const stream = outer ? built.windowAll(OUTER.window).aggregate({ groups: count(), all: sum('rows' as never) }) : built;
        const driver = testDriver(stream.to(collect() as never), { partitions, shards });
        const got: string[] = [];
        const shown = (epoch: number, r: AnyRow) => `${epoch} ${stream.schema.fields.map(({ name }) => shownValue(r[name])).join(' | ')}`;
        chunks.forEach((epoch, e) => {
          for (const { source, partition, rows } of epoch) driver.send(source, rows as unknown as AnyRow[], { partition });
          const from = driver.output().length;
          driver.endEpoch();
          got.push(
            ...driver
              .output()
              .slice(from)
              .map((r) => shown(e, r)),
          );
        });
        const from = driver.output().length;
        driver.close();
        got.push(
          ...driver
            .output()
            .slice(from)
            .map((r) => shown(cuts.length, r)),
        );

        // The same by arrays.
        const sources = stage.second === 'none' ? 1 : 2;
        const newest = Array<number>(sources * partitions).fill(Number.NEGATIVE_INFINITY);
        let mark = Number.NEGATIVE_INFINITY;
        const arrivals: Arrival[] = [];
        const marks = chunks.map((epoch, e) => {
          for (const { source, partition, rows } of [...epoch].sort((a, b) => a.source - b.source || a.partition - b.partition || a.order - b.order)) {
            for (const r of rows) {
              newest[source * partitions + partition] = Math.max(newest[source * partitions + partition] as number, r.at);
              arrivals.push(
                ...step
                  .of(r)
                  .map((one): Arrival => ({ row: one as unknown as AnyRow, epoch: e, input: stage.second === 'join' ? source : 0, source, partition })),
              );
            }
          }
          mark = Math.max(mark, Math.min(...newest) - delayMs);
          return mark;
        });
        marks.push(Number.POSITIVE_INFINITY);
        let { results, late } = stage.model(arrivals, marks);
        if (outer) {
          const inner = results.map(({ row: r, epoch }): Arrival => ({ row: { ...r, at: (r.windowEnd as number) - 1 }, epoch, input: 0 }));
          const behind = marks.map((time) => time - (stage.windowDelayMs as number));
          const second = timeWindows([], OUTER.spansOf, 0, 'final', (rows) => [{ groups: rows.length, all: rows.reduce((s, r) => s + (r.rows as number), 0) }])(
            inner,
            behind,
          );
          results = second.results;
          late += second.late;
        }
        assert.deepEqual(got.sort(), results.map(({ epoch, row: r }) => shown(epoch, r)).sort(), stage.name);
        assert.equal(driver.counts.get('late') ?? 0, late, `late rows of ${stage.name}`);
      }),
      { numRuns: RUNS },
    );
    if (RUNS >= 500) assert.ok(names.size >= 13, `only ${[...names].join(', ')} were drawn`);
  });
});
