/** One operator over rows of some ten thousand keys, from one folder of the embedded log to another. */

import { arrow, broadcast, f64, generator, log, pipeline, type Stream, session, sum, timestamp, tumbling, u32 } from '../../runtime/index.ts';

export const KEYS = 10_007;
const ROWS_PER_MS = 20;

export interface KeyedRow {
  readonly key: number;
  readonly n: number;
  readonly at: number;
}

export function rowAt(i: number): KeyedRow {
  return { key: (Math.imul(i, 0x9e_37_79_b1) >>> 8) % KEYS, n: i & 1_023, at: Math.floor(i / ROWS_PER_MS) };
}

export const weightOf = (key: number): number => 1 + (key % 3);

const fields = { key: u32, n: f64, at: timestamp };

type Rows = Stream<KeyedRow>;
type Results = Stream<{ readonly key: number; readonly n: number }>;

/** Each gives a key and a number a row; cases/operators.ts has what comes out, by plain loops. */
const operators = {
  none: (rows) => rows.select('key', 'n'),
  tumbling: (rows) =>
    rows
      .keyBy('key')
      .window(tumbling('10s'))
      .aggregate({ n: sum('n') })
      .select('key', 'n'),
  process: (rows) =>
    rows.keyBy('key').process({
      schema: { key: u32, n: f64 },
      state: () => ({ n: 0 }),
      onRow(row, ctx) {
        ctx.state.n += row.n;
        ctx.emit({ key: row.key, n: ctx.state.n });
      },
    }),
  timer: (rows) =>
    rows.keyBy('key').process({
      schema: { key: u32, n: f64 },
      state: () => ({ n: 0, isSet: false }),
      onRow(row, ctx) {
        ctx.state.n += row.n;
        if (ctx.state.isSet) return;
        ctx.state.isSet = true;
        ctx.timer(row.at + 5_000);
      },
      onTimer(_, ctx) {
        ctx.emit({ key: ctx.key.key, n: ctx.state.n });
        ctx.clear();
      },
    }),
  dropDuplicates: (rows) => rows.keyBy('key').dropDuplicates({ within: '1s' }).select('key', 'n'),
  session: (rows) =>
    rows
      .keyBy('key')
      .window(session('500ms'))
      .aggregate({ n: sum('n') })
      .select('key', 'n'),
  windowReduce: (rows) =>
    rows
      .keyBy('key')
      .window(tumbling('10s'))
      .reduce((a, b) => ({ key: a.key, n: a.n + b.n, at: b.at }))
      .select('key', 'n'),
  windowTop: (rows) => rows.keyBy('key').window(tumbling('10s')).top(1, { by: 'n' }).select('key', 'n'),
  tableJoin: (rows, table) =>
    rows
      .keyBy('key')
      .join(table().keyBy('id'))
      .map({ key: u32, n: f64 }, (r) => ({ key: r.key, n: r.n * r.weight })),
  broadcastJoin: (rows, table) =>
    rows
      .keyBy('key')
      .join(broadcast(table().keyBy('id')))
      .map({ key: u32, n: f64 }, (r) => ({ key: r.key, n: r.n * r.weight })),
  intervalJoin: (rows) =>
    rows
      .filter((r) => r.n < 512)
      .keyBy('key')
      .join(rows.filter((r) => r.n >= 512).keyBy('key'), { within: ['50ms', '50ms'] })
      .map({ key: u32, n: f64 }, (r) => ({ key: r.key, n: r.n + r.n_right })),
} satisfies Record<string, (rows: Rows, table: () => Stream<{ readonly id: number; readonly weight: number }>) => Results>;

export type OperatorName = keyof typeof operators;
export const OPERATORS = Object.keys(operators) as readonly OperatorName[];

export default ({ from, to, operator, rows }: { from: string; to: string; operator: OperatorName | 'write'; rows: number }) => {
  const p = pipeline('keyed-operators');
  if (operator === 'write') {
    return p.from(generator({ rows, seed: 1, schema: fields, row: rowAt })).to(log.sink({ dir: to, topic: 'rows', partitions: 1, value: arrow() }));
  }
  const input: Rows = p.from(log.source({ dir: from, topic: 'rows', value: arrow(fields) })).withWatermark('at', 0);
  const table = () => p.from(generator({ rows: KEYS, seed: 1, schema: { id: u32, weight: f64 }, row: (i) => ({ id: i, weight: weightOf(i) }) }));
  return operators[operator](input, table).to(log.sink({ dir: to, topic: 'results', value: arrow() }));
};
