// Pipelines with every operator and kind of window, and random runs of them: what snapshots.test.ts cuts in two. Not a test.

import {
  aggregator,
  approxCountDistinct,
  bool,
  broadcast,
  collect,
  count,
  countDistinct,
  countWindow,
  cumulative,
  ewma,
  f64,
  first,
  globalWindow,
  last,
  linearCount,
  max,
  mean,
  median,
  memory,
  min,
  nullable,
  pipeline,
  quantile,
  rate,
  session,
  sliding,
  sum,
  timestamp,
  topK,
  tumbling,
  utf8,
  variance,
} from '../../runtime/index.ts';
import type { PipelineLike } from '../../runtime/plan/graph.ts';
import { fc } from '../seed.ts';

const SCHEMA = { key: utf8, text: nullable(utf8), value: f64, at: timestamp, ok: bool };
export type InputRow = {
  readonly key: string;
  readonly text: string | null;
  readonly value: number;
  readonly at: number;
  readonly ok: boolean;
};

/** Two sources of one schema. */
function sources() {
  const p = pipeline('snapshots');
  const left = p.from(memory([], { schema: SCHEMA })).withWatermark('at', 20, { idle: '1s' });
  const right = p.from(memory([], { schema: SCHEMA })).withWatermark('at', 40, { idle: '2s' });
  return { left, right, both: left.union(right) };
}

const one = () => sources().both.keyBy('key');
/** By the clock. Two sources have one each. */
function clocked() {
  const p = pipeline('snapshots');
  const [left, right] = [0, 1].map(() => p.from(memory<InputRow>([], { schema: SCHEMA } as never)).withProcessingTime());
  return (left as NonNullable<typeof left>).union(right as NonNullable<typeof right>).keyBy('key');
}
const sums = { n: count(), total: sum('value'), mean: mean('value') };
const texts = { n: count(), least: min('text'), greatest: max('text'), opened: first('text'), closed: last('value'), all: collect('text') };
const sketches = {
  distinct: countDistinct('text'),
  about: approxCountDistinct('text'),
  linear: linearCount('text'),
  spread: variance('value'),
  median: quantile('value', 0.5),
  middle: median('value'),
  often: topK('text', 2),
  smooth: ewma('value', { halfLife: 50 }),
};
const extremes = { least: min('value'), greatest: max('value'), total: sum('value') };
/** Of fixed size only. */
const fixed = { n: count(), total: sum('value'), least: min('value'), greatest: max('value'), last: last('value') };

/** Functions of the user's, with a state that goes on by what leaves and one that does not. */
const own = {
  taken: aggregator({
    init: () => 0,
    add: (total, row: { value: number }) => total + row.value,
    merge: (a, b) => a + b,
    remove: (total, row) => total - row.value,
    result: (total) => total,
  }),
  words: aggregator({
    type: utf8,
    init: () => new Map<string | null, number>(),
    add(words, row: { text: string | null }) {
      words.set(row.text, (words.get(row.text) ?? 0) + 1);
    },
    merge(a, b) {
      for (const [word, n] of b) a.set(word, (a.get(word) ?? 0) + n);
    },
    result: (words) => JSON.stringify([...words]),
  }),
};

const add = (a: InputRow, b: InputRow) => ({ ...a, value: a.value + b.value, text: b.text, at: b.at });
const take = (a: InputRow, b: InputRow) => ({ ...a, value: a.value - b.value });
const latest = (a: InputRow, b: InputRow) => (b.at >= a.at ? b : a);

/** By name. Sinks are `collect`, one after the other. */
export const CASES: Readonly<Record<string, () => PipelineLike>> = {
  'running aggregates': () =>
    one()
      .aggregate({ ...sums, ...texts, ...sketches })
      .to(collect()),
  'tumbling, offset, lateness': () =>
    one()
      .window(tumbling(100, { offset: 30 }).lateness(60))
      .aggregate({ ...sums, ...texts })
      .to(collect()),
  'tumbling, sketches, update': () =>
    one()
      .window(tumbling(150).lateness(100).emit('update'))
      .aggregate({ ...sketches, rate: rate() })
      .to(collect()),
  'sliding, running': () => one().window(sliding(200, 50)).aggregate(sums).to(collect()),
  'sliding, running, lateness, two cuts': () => one().window(sliding(175, 50).lateness(80)).aggregate(sums).to(collect()),
  'sliding, two stacks': () => one().window(sliding(300, 30)).aggregate(extremes).to(collect()),
  'sliding, two stacks of texts, lateness': () => one().window(sliding(160, 40).lateness(100)).aggregate(texts).to(collect()),
  'sliding, update': () =>
    one()
      .window(sliding(120, 40).lateness(50).emit('update'))
      .aggregate({ ...sums, ...extremes })
      .to(collect()),
  cumulative: () =>
    one()
      .window(cumulative(200, 50))
      .aggregate({ ...sums, ...texts })
      .to(collect()),
  'windows of the clock': () => clocked().window(tumbling(300)).aggregate(sums).to(collect()),
  'sessions and duplicates by the clock': () => {
    const keyed = clocked();
    keyed.dropDuplicates({ within: 500 }).to(collect());
    return keyed.window(session(200)).aggregate(texts).to(collect());
  },
  'windows of all rows': () => sources().both.windowAll(sliding(100, 50)).aggregate(sums).to(collect()),
  sessions: () => one().window(session(30)).aggregate(fixed).to(collect()),
  'sessions, update, lateness': () => one().window(session(25).lateness(50).emit('update')).aggregate(fixed).to(collect()),
  'sessions, revise, lateness': () => one().window(session(25).lateness(50).emit('revise')).aggregate(fixed).to(collect()),
  'windows, revise, lateness': () => one().window(sliding(120, 40).lateness(50).emit('revise')).aggregate(fixed).to(collect()),
  'windows without rows': () => sources().both.windowAll(tumbling(20).emptyWindows()).aggregate({ rows: count() }).to(collect()),
  'sessions of texts and sketches': () =>
    one()
      .window(session(30).lateness(20))
      .aggregate({ ...texts, ...sketches })
      .to(collect()),
  'sessions, reduce': () => one().window(session(30)).reduce(add).to(collect()),
  'sessions, top, update': () => one().window(session(25).emit('update')).top(2, { by: 'value' }).to(collect()),
  'aggregators, running': () =>
    one()
      .aggregate({ ...own, ...sums })
      .to(collect()),
  'aggregators, sliding, lateness': () =>
    one()
      .window(sliding(200, 50).lateness(40))
      .aggregate({ ...own, ...extremes, ...texts })
      .to(collect()),
  'aggregators, sliding, update': () => one().window(sliding(120, 40).lateness(50).emit('update')).aggregate(own).to(collect()),
  'aggregators, cumulative': () =>
    one()
      .window(cumulative(200, 50))
      .aggregate({ ...texts, ...own })
      .to(collect()),
  'aggregators, sessions': () =>
    one()
      .window(session(30))
      .aggregate({ ...own, ...texts })
      .to(collect()),
  'aggregators, global': () =>
    one()
      .window(globalWindow({ count: 3 }))
      .aggregate({ ...own, ...sketches })
      .to(collect()),
  'aggregators, sliding count windows': () =>
    one()
      .window(countWindow(5, { slide: 2 }))
      .aggregate({ ...own, rate: rate() })
      .to(collect()),
  'count windows': () => one().window(countWindow(4)).aggregate(sums).to(collect()),
  'sliding count windows': () =>
    one()
      .window(countWindow(5, { slide: 2 }))
      .aggregate(texts)
      .to(collect()),
  'count windows, reduce': () => one().window(countWindow(3)).reduce(add).to(collect()),
  'global window, by count': () =>
    one()
      .window(globalWindow({ count: 3 }))
      .aggregate({ ...sums, ...texts, ...sketches })
      .to(collect()),
  'global window, by time, purging': () =>
    one()
      .window(globalWindow({ count: 7, time: 60, purge: true }))
      .aggregate(fixed)
      .to(collect()),
  'global window, by time, reduce': () =>
    one()
      .window(globalWindow({ time: 60 }))
      .reduce(add)
      .to(collect()),
  'process with timers and ttl': () =>
    one()
      .process({
        schema: { key: utf8, what: utf8, n: f64, at: timestamp },
        ttl: 300,
        state: () => ({ n: 0, seen: new Map<string, number>() }),
        onRow(row, ctx) {
          ctx.state.n++;
          ctx.state.seen.set(row.text ?? '', row.at);
          if (row.value > 0) ctx.timer(row.at + 50);
          if (row.value > 5) ctx.processingTimer(ctx.now + 500);
          if (row.value < -8) ctx.deleteTimer(row.at + 50);
          if (row.value === 9) ctx.clear();
        },
        onTimer(time, ctx) {
          ctx.emit({ key: ctx.key.key, what: `${ctx.timeDomain} ${ctx.state.seen.size}`, n: ctx.state.n, at: time });
          if (ctx.state.n % 3 === 0 && ctx.watermark < Number.POSITIVE_INFINITY) ctx.timer(time + 20);
          if (ctx.state.n % 5 === 0) ctx.clear();
        },
      })
      .to(collect()),
  'process without event time': () =>
    pipeline('snapshots')
      .from(memory([], { schema: SCHEMA }))
      .keyBy('key')
      .process({
        schema: { key: utf8, n: f64, at: f64 },
        ttl: '3s',
        state: () => [0],
        onRow(_, ctx) {
          ctx.state = [...ctx.state, ctx.now];
          ctx.processingTimer(ctx.now + 900);
        },
        onTimer: (time, ctx) => ctx.emit({ key: ctx.key.key, n: ctx.state.length, at: time }),
      })
      .to(collect()),
  'process by event time, of two streams, with timers, ttl and a further result': () => {
    const { left, right } = sources();
    const made = left
      .keyBy('key')
      .connect(right.keyBy('key'))
      .process({
        schema: { key: utf8, n: f64, at: timestamp },
        outputs: { texts: { key: utf8, text: nullable(utf8) } },
        order: 'eventTime',
        ttl: 300,
        state: () => ({ n: 0, seen: new Map<string, number>() }),
        onLeft(row, ctx) {
          ctx.state.seen.set(row.text ?? '', row.at);
          if (row.value > 0) ctx.timer(row.at + 50);
          if (row.value > 5) ctx.processingTimer(ctx.now + 500);
        },
        onRight(row, ctx) {
          ctx.state.n++;
          ctx.emit('texts', { key: row.key, text: row.text });
          if (row.value === 9) ctx.clear();
        },
        onTimer(time, ctx) {
          ctx.emit({ key: ctx.key.key, n: ctx.state.n + ctx.state.seen.size, at: time });
          if (ctx.state.n % 3 === 1 && ctx.watermark < Number.POSITIVE_INFINITY) ctx.timer(time + 20);
        },
      });
    made.to(collect());
    return made.outputs.texts.to(collect());
  },
  'process beside a broadcast table': () => {
    const { left, right } = sources();
    return left
      .keyBy('key')
      .connect(broadcast(right.keyBy('key')))
      .process({
        schema: { key: utf8, text: utf8 },
        deleted: 'ok',
        state: () => 0,
        onRow: (row, ctx) => ctx.emit({ key: row.key, text: `${ctx.state++} ${[...ctx.table].map(([key, { value }]) => `${key}: ${value}`)}`.slice(0, 300) }),
      })
      .to(collect());
  },
  sorted: () => one().sorted().to(collect()),
  'reduce, ttl': () => one().reduce(add, { ttl: 200 }).to(collect()),
  'reduce in windows': () => one().window(sliding(150, 50).lateness(40)).reduce(latest).to(collect()),
  'reduce in windows, update': () => one().window(tumbling(100).lateness(40).emit('update')).reduce(add).to(collect()),
  'reduce in windows, inverse': () => one().window(sliding(200, 50)).reduce(add, { inverse: take }).to(collect()),
  top: () => one().top(3, { by: 'value' }).to(collect()),
  'top in windows': () => one().window(sliding(100, 50)).top(2, { by: 'text', order: 'asc' }).to(collect()),
  'over, by event time': () =>
    one()
      .over({
        n: count('40ms'),
        total: sum('value', 60),
        spread: variance('value', { rows: 4 }),
        least: min('text', 60),
        greatest: max('value', { rows: 3, within: 80 }),
        distinct: countDistinct('text', 50),
        all: collect('text', { rows: 3 }),
      })
      .to(collect()),
  'over, by arrival, what goes': () =>
    one()
      .over({ total: sum('value', 60), distinct: countDistinct('text', 50), opened: first('text', 40) }, { order: 'arrival' })
      .to(collect()),
  'over, aggregators': () =>
    one()
      .over({ n: count('30ms'), running: own.words, taken: [own.taken, 60], few: [own.words, { rows: 3 }] })
      .to(collect()),
  'over, all rows so far': () =>
    one()
      .over({ n: count(), total: sum('value'), least: min('text'), closed: last('text'), values: countDistinct('value'), distinct: countDistinct('text') })
      .to(collect()),
  'a table, and aggregates of it': () => {
    const table = one().table({ delete: (r) => r.ok });
    table.to(collect());
    return table
      .groupBy('text')
      .aggregate({ ...sums, ...extremes, spread: variance('value'), middle: median('value'), all: collect('value'), one: first('key', { by: 'at' }) })
      .to(collect());
  },
  'aggregates of windows that are updated': () =>
    one()
      .window(session(30).lateness(80).emit('update'))
      .aggregate(sums)
      .groupBy('n')
      .aggregate({ windows: count(), total: sum('total') })
      .to(collect()),
  'aggregators, a reduce and top of a table': () => {
    const table = one()
      .aggregate({ n: count(), text: last('text') })
      .groupBy('text');
    const letters = aggregator({
      type: f64,
      init: () => ({ n: 0 }),
      add: (s: { n: number }, r: { readonly key: string }) => ({ n: s.n + r.key.length }),
      merge: (a, b) => ({ n: a.n + b.n }),
      remove: (s, r) => ({ n: s.n - r.key.length }),
      result: (s) => s.n,
    });
    table.aggregate({ letters }).to(collect());
    table.reduce((a, b) => ({ key: '', text: a.text, n: a.n + b.n }), { remove: (a, b) => ({ key: '', text: a.text, n: a.n - b.n }) }).to(collect());
    return table.top(2, { by: 'n' }).to(collect());
  },
  'dropDuplicates within': () => one().dropDuplicates({ within: 60 }).to(collect()),
  'dropDuplicates, extended': () => one().dropDuplicates({ within: 30, extend: true }).to(collect()),
  'dropDuplicates for ever': () => one().dropDuplicates().to(collect()),
  ...Object.fromEntries(
    (['inner', 'left', 'right', 'full'] as const).flatMap((type) => {
      const pair = () => {
        const { left, right } = sources();
        return [left.keyBy('key'), right.keyBy('key')] as const;
      };
      return [
        [
          `interval join, ${type}`,
          () => {
            const [left, right] = pair();
            return left.join(right, { within: [40, 60], type }).to(collect());
          },
        ],
        [
          `tables join, ${type}`,
          () => {
            const { left, right } = sources();
            const [table, counts] = [left.keyBy('key').table({ delete: (r) => r.ok }), right.keyBy('text').count()];
            table.groupBy('key').join(right.keyBy('key').table().groupBy('key'), { type }).to(collect());
            return table.groupBy('text').join(counts.groupBy('text'), { type }).to(collect());
          },
        ],
        [
          `windowed join, ${type}`,
          () => {
            const [left, right] = pair();
            return left.window(sliding(100, 50).lateness(30)).join(right, { type }).to(collect());
          },
        ],
      ];
    }),
  ),
  'join by a nullable key': () => {
    const { left, right } = sources();
    return left
      .keyBy('text')
      .join(right.keyBy('text'), { within: [50, 50], type: 'full' })
      .to(collect());
  },
  'table join': () => {
    const { left, right } = sources();
    return left.keyBy('key').join(right.keyBy('key'), { type: 'left', deleted: 'ok' }).to(collect());
  },
  'join as of an event time': () => {
    const { left, right } = sources();
    return left.keyBy('key').join(right.keyBy('key'), { type: 'left', deleted: 'ok', asOf: 'eventTime' }).to(collect());
  },
  'broadcast join as of an event time': () => {
    const { left, right } = sources();
    return left
      .keyBy('text')
      .join(broadcast(right.keyBy('text')), { asOf: 'eventTime' })
      .to(collect());
  },
  'broadcast join': () => {
    const { left, right } = sources();
    return left
      .keyBy('key')
      .join(broadcast(right.keyBy('key')), { type: 'left' })
      .to(collect());
  },
  'table join with a running aggregate': () => {
    const { left, right } = sources();
    const totals = right.keyBy('key').aggregate({ total: sum('value') });
    return left.keyBy('key').join(totals.keyBy('key'), { type: 'left' }).to(collect());
  },
  'late rows and failures': () => {
    const { both } = sources();
    const checked = both.filter((row) => {
      if (row.value === 7) throw new RangeError('seven');
      return row.value !== 8;
    });
    checked.errors.to(collect());
    const windows = checked.keyBy('key').window(tumbling(50)).aggregate(sums);
    windows.to(collect());
    // What is late is counted in turn.
    windows.late.keyBy('key').count().to(collect());
    return windows.late.to(collect());
  },
  'windows over windows': () =>
    one()
      .window(tumbling(50).lateness(30))
      .aggregate(sums)
      .keyBy('key')
      .window(sliding(200, 100))
      .aggregate({ windows: count(), total: sum('total'), opened: first('n'), best: max('mean') })
      .to(collect()),
  'a chain of keyed operators, forked': () => {
    const fresh = one().dropDuplicates({ within: 10 });
    fresh.keyBy('text').reduce(latest).to(collect());
    const best = fresh.keyBy('key').window(sliding(100, 50)).top(1, { by: 'value' });
    best.to(collect());
    return best
      .keyBy('key')
      .window(tumbling(200))
      .aggregate({ n: count(), sum: sum('value'), all: collect('text') })
      .to(collect());
  },
  'no state at all': () =>
    sources()
      .both.filter((row) => row.value > 0)
      .to(collect()),
};

/** Sources that a case has. */
export function sourceCountOf(name: string): number {
  return name === 'process without event time' ? 1 : 2;
}

export interface Step {
  /** What is sent before the epoch ends: source, partition (none: drawn from the seed), rows. */
  readonly sends: readonly (readonly [source: number, partition: number | undefined, rows: readonly InputRow[]])[];
  readonly passMs: number;
}

const LONG = 'a text of more bytes than a slot of a group table has room for, so that it lies outside: ';

/** Rows whose times move on with `epoch`, with disorder. */
function rowAt(epoch: number): fc.Arbitrary<InputRow> {
  return fc.record({
    key: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom('a', 'b', 'c', '', '__proto__', `${LONG}1`) },
      { weight: 2, arbitrary: fc.nat(60).map((n) => `key ${n}`) },
      { weight: 1, arbitrary: fc.constant(LONG.repeat(110)) },
    ),
    text: fc.oneof(fc.constantFrom(null, '', 'x', 'constructor', `${LONG}2`), fc.nat(20).map(String)),
    value: fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: -10, max: 10 }) },
      { weight: 6, arbitrary: fc.constantFrom(0.1, 1e-9, 1e17, -1e17, 3.3) },
      { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0) },
    ),
    at: fc.oneof(
      { weight: 12, arbitrary: fc.integer({ min: -40, max: 60 }).map((ms) => epoch * 40 + ms) },
      { weight: 1, arbitrary: fc.integer({ min: -300, max: 500 }).map((ms) => epoch * 40 + ms) },
    ),
    ok: fc.boolean(),
  });
}

/** Runs of up to nine epochs over so many sources. */
export function runsOf(sourceCount: number, partitions: number): fc.Arbitrary<Step[]> {
  const step = (epoch: number): fc.Arbitrary<Step> =>
    fc.record({
      sends: fc.array(
        fc.tuple(fc.nat(sourceCount - 1), fc.option(fc.nat(partitions - 1), { nil: undefined, freq: 3 }), fc.array(rowAt(epoch), { maxLength: 12 })),
        { maxLength: 6 },
      ),
      passMs: fc.constantFrom(0, 100, 700, 1_500),
    });
  return fc.integer({ min: 2, max: 9 }).chain((length) => fc.tuple(...Array.from({ length }, (_, epoch) => step(epoch))));
}
