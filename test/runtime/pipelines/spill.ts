/**
 * Pipelines whose state is several times what memory has room for: one for each kind of operator by key, with
 * a text for each key. Either their results do not depend on where epochs are cut, or the
 * last one of each key does not.
 */

import { existsSync, writeFileSync } from 'node:fs';
import { aggregator, type ChangelogSink, collect, f64, files, json, log, max, pipeline, session, sliding, sum, timestamp, tumbling, utf8 } from 'millrace';

const ROW = { id: f64, key: f64, n: f64, text: utf8, at: timestamp };
const RESULT = { key: f64, n: f64, text: utf8 };

export interface Row {
  readonly id: number;
  readonly key: number;
  readonly n: number;
  readonly text: string;
  readonly at: number;
}

export interface Result {
  readonly key: number;
  readonly n: number;
  readonly text: string;
}

export const results = collect<Result>();

export interface Params {
  readonly kind: string;
  /** Where the topic `in` is. */
  readonly dir: string;
  /** Results go to files; default: to `results`. */
  readonly isExact?: boolean;
  /** The worker that comes to this row dies, once. */
  readonly dieAt?: number;
  /** Of the watermark; default 0. */
  readonly delay?: number;
}

const source = ({ dir, dieAt, delay = 0 }: Params, p = pipeline('spill')) =>
  p
    .from(log.source({ dir, topic: 'in', value: json(ROW) }))
    .withWatermark('at', delay)
    .map(ROW, (row) => {
      if (row.id === dieAt && !existsSync(`${dir}/died`)) {
        writeFileSync(`${dir}/died`, '');
        process.exit(7);
      }
      return row;
    });

const keyed = (params: Params) => source(params).keyBy('key');
const both = { n: sum('n'), text: max('text') };

/** Texts begin with the number of their row. */
function later(a: string, b: string): string {
  return a.localeCompare(b) > 0 ? a : b;
}

const latest = aggregator({
  type: utf8,
  init: () => ({ text: '' }),
  add: (state, row: { text: string }) => ({ text: later(state.text, row.text) }),
  merge: (a, b) => ({ text: later(a.text, b.text) }),
  result: ({ text }) => text,
});

/** Two streams of the same rows. */
const pair = (params: Params) => {
  const p = pipeline('spill');
  return [source(params, p).keyBy('key'), source(params, p).keyBy('key')] as const;
};

/** By name: the pipeline up to its results. */
export const KINDS = {
  'running aggregates': (params: Params) => keyed(params).aggregate(both),
  viewed: (params: Params) => keyed(params).aggregate(both).as('all'),
  'tumbling windows': (params: Params) => keyed(params).window(tumbling(2_000)).aggregate(both),
  'sliding windows': (params: Params) => keyed(params).window(sliding(2_000, 1_000)).aggregate(both),
  sessions: (params: Params) => keyed(params).window(session(5_000)).aggregate(both),
  aggregators: (params: Params) =>
    keyed(params)
      .window(tumbling(2_000))
      .aggregate({ n: sum('n'), text: latest }),
  'interval join': (params: Params) => {
    const p = pipeline('spill');
    const right = source(params, p).drop('n', 'text').keyBy('key');
    return source(params, p)
      .keyBy('key')
      .join(right, { within: [200, 200] });
  },
  'table join': (params: Params) => {
    const [left, right] = pair(params);
    return left.join(right);
  },
  'process with timers and ttl': (params: Params) =>
    keyed(params).process({
      schema: RESULT,
      ttl: '1h',
      state: () => ({ n: 0, text: '' }),
      onRow(row, ctx) {
        ctx.state.n += row.n;
        ctx.state.text = later(ctx.state.text, row.text);
        ctx.timer(1_000_000);
      },
      onTimer: (_, ctx) => ctx.emit({ key: ctx.key.key, n: ctx.state.n, text: ctx.state.text }),
    }),
  'process by event time': (params: Params) => {
    const [left, right] = pair(params);
    return left.connect(right).process({
      schema: RESULT,
      order: 'eventTime',
      state: () => ({ n: 0, text: '' }),
      onLeft(row, ctx) {
        ctx.state.n += row.n;
        ctx.timer(1_000_000);
      },
      onRight: (row, ctx) => void (ctx.state.text = row.text),
      onTimer: (_, ctx) => ctx.emit({ key: ctx.key.key, n: ctx.state.n, text: ctx.state.text }),
    });
  },
  sorted: (params: Params) =>
    source({ ...params, delay: 2_000 })
      .keyBy('key')
      .sorted(),
  'as-of join': (params: Params) => {
    const [left, right] = pair(params);
    return left.join(right, { asOf: 'eventTime' });
  },
  reduce: (params: Params) => keyed(params).reduce((a, b) => ({ id: b.id, key: a.key, n: a.n + b.n, text: later(a.text, b.text), at: b.at })),
  table: (params: Params) => keyed(params).table(),
  'groups of a table': (params: Params) => keyed(params).table().groupBy('key').aggregate(both),
  'join of tables': (params: Params) => {
    const [left, right] = pair(params).map((stream) => stream.table().groupBy('key'));
    return (left as NonNullable<typeof left>).join(right as NonNullable<typeof right>);
  },
  over: (params: Params) =>
    keyed(params)
      .over({ total: sum('n', '1h'), texts: max('text', { rows: 3 }) })
      .map({ ...ROW }, ({ id, key, total, texts, at }) => ({ id, key, n: total, text: texts, at })),
  dropDuplicates: (params: Params) => source(params).keyBy('key', 'text').dropDuplicates(),
  top: (params: Params) => keyed(params).window(tumbling(2_000)).top(1, { by: 'id' }),
} as const;

export default (params: Params) => {
  const rows = KINDS[params.kind as keyof typeof KINDS](params) as ReturnType<(typeof KINDS)['reduce']>;
  const short = rows.map(RESULT, ({ key, n, text }) => ({ key, n, text: text.slice(0, 12) }));
  return short.to(params.isExact === true ? (files.sink({ dir: `${params.dir}/out`, value: json(), changelog: 'append' }) as ChangelogSink) : results);
};
