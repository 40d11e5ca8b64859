// A pipeline with every kind of state, for the golden checkpoints. Not to be changed: state belongs to it.

import {
  aggregator,
  approxCountDistinct,
  type ChangelogSink,
  collect,
  count,
  countDistinct,
  countWindow,
  f64,
  first,
  json,
  log,
  max,
  mean,
  nullable,
  pipeline,
  quantile,
  type Source,
  session,
  sliding,
  sum,
  timestamp,
  topK,
  tumbling,
  utf8,
} from 'millrace';

export const OUTPUTS = [
  'running',
  'sketches',
  'sliding',
  'stacks',
  'revised',
  'sessions',
  'own',
  'counted',
  'process',
  'reduce',
  'reduced',
  'top',
  'distinct',
  'interval',
  'windowed',
  'table',
] as const;

export const results = new Map(OUTPUTS.map((name) => [name, collect()]));

interface Row {
  readonly key: string;
  readonly text: string | null;
  readonly n: number;
  readonly at: number;
}

const add = (a: Row, b: Row) => ({ ...b, n: a.n + b.n });

export default ({ dir }: { readonly dir: string }) => {
  const from = pipeline('golden');
  const of = (topic: string) =>
    from
      .from(log.source({ dir, topic, group: 'golden', value: json({ key: utf8, text: nullable(utf8), n: f64, at: timestamp }) }) as Source<Row>)
      .withWatermark('at', 20);
  const to = (name: (typeof OUTPUTS)[number]) => results.get(name) as ChangelogSink;
  const left = of('left');
  const right = of('right');
  const keyed = left.keyBy('key');
  keyed.aggregate({ rows: count(), n: sum('n'), most: max('text'), opened: first('text') }).to(to('running'));
  keyed.aggregate({ texts: countDistinct('text'), about: approxCountDistinct('text'), median: quantile('n', 0.5), often: topK('text', 2) }).to(to('sketches'));
  keyed
    .window(sliding(100, 50))
    .aggregate({ rows: count(), mean: mean('n') })
    .to(to('sliding'));
  keyed
    .window(sliding(120, 40).lateness(30))
    .aggregate({ most: max('n'), text: max('text') })
    .to(to('stacks'));
  keyed
    .window(tumbling(100).lateness(60).emit('revise'))
    .aggregate({ n: sum('n') })
    .to(to('revised'));
  keyed
    .window(session(30))
    .aggregate({ rows: count(), n: sum('n') })
    .to(to('sessions'));
  keyed
    .window(tumbling(150))
    .aggregate({
      words: aggregator({
        type: utf8,
        init: () => new Map<string | null, number>(),
        add: (words, row: Row) => void words.set(row.text, (words.get(row.text) ?? 0) + 1),
        merge: (a, b) => {
          for (const [word, n] of b) a.set(word, (a.get(word) ?? 0) + n);
        },
        result: (words) => JSON.stringify([...words].sort()),
      }),
    })
    .to(to('own'));
  keyed
    .window(countWindow(7))
    .aggregate({ n: sum('n'), rows: count() })
    .to(to('counted'));
  keyed
    .process({
      schema: { key: utf8, what: utf8, n: f64 },
      state: () => ({ n: 0, seen: new Map<string, number>(), last: new Date(0), bytes: new Uint8Array(3), big: 1n }),
      onRow(row, ctx) {
        ctx.state.n += row.n;
        ctx.state.seen.set(row.text ?? '', row.at);
        ctx.state.last = new Date(row.at);
        ctx.state.big *= 3n;
        if (row.n > 5) ctx.timer(row.at + 70);
      },
      onTimer: (time, ctx) =>
        ctx.emit({ key: ctx.key.key, what: `${ctx.state.seen.size} ${ctx.state.last.getTime()} ${ctx.state.big} ${time}`, n: ctx.state.n }),
    })
    .to(to('process'));
  keyed.reduce(add).to(to('reduce'));
  keyed.window(tumbling(80)).reduce(add).to(to('reduced'));
  keyed.top(2, { by: 'n' }).to(to('top'));
  left.keyBy('key', 'text').dropDuplicates().to(to('distinct'));
  keyed.join(right.keyBy('key'), { within: [15, 15], type: 'left' }).to(to('interval'));
  keyed.window(tumbling(60)).join(right.keyBy('key'), { type: 'inner' }).to(to('windowed'));
  return keyed.join(right.keyBy('key'), { type: 'left', table: 'growing' }).to(to('table'));
};
