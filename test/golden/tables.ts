// A pipeline with every kind of state that tables have, and what came with them, for the golden checkpoints. Not to be changed: state belongs to it.

import {
  aggregator,
  type ChangelogSink,
  collect,
  count,
  f64,
  json,
  log,
  max,
  nullable,
  pipeline,
  type Source,
  session,
  sum,
  timestamp,
  tumbling,
  utf8,
} from 'millrace';

export const OUTPUTS = ['last', 'groups', 'own', 'top', 'reduce', 'joined', 'windows', 'sessions', 'over', 'sorted', 'asOf'] as const;

export const results = new Map(OUTPUTS.map((name) => [name, collect()]));

interface Row {
  readonly key: string;
  readonly text: string | null;
  readonly n: number;
  readonly at: number;
}

export default ({ dir }: { readonly dir: string }) => {
  const from = pipeline('golden-tables');
  const of = (topic: string) =>
    from
      .from(log.source({ dir, topic, group: 'golden', value: json({ key: utf8, text: nullable(utf8), n: f64, at: timestamp }) }) as Source<Row>)
      .withWatermark('at', 20);
  const to = (name: (typeof OUTPUTS)[number]) => results.get(name) as ChangelogSink;
  const left = of('left');
  const right = of('right');
  const keyed = left.keyBy('key', 'n');
  const last = keyed.table({ delete: (r) => r.text === '' });
  last.as('viewed').to(to('last'));
  const groups = last.groupBy('text');
  groups.aggregate({ rows: count(), n: sum('n'), most: max('n'), latest: max('at') }).to(to('groups'));
  groups
    .aggregate({
      keys: aggregator({
        type: utf8,
        init: () => new Map<string, number>(),
        add: (keys, row: Row) => void keys.set(row.key, (keys.get(row.key) ?? 0) + 1),
        merge: (a, b) => {
          for (const [key, n] of b) a.set(key, (a.get(key) ?? 0) + n);
        },
        remove: (keys, row) => void keys.set(row.key, (keys.get(row.key) ?? 0) - 1),
        result: (keys) => JSON.stringify([...keys].filter(([, n]) => n > 0).sort()),
      }),
    })
    .to(to('own'));
  groups.top(2, { by: ['n desc', 'key'] }).to(to('top'));
  groups
    .reduce((a, b) => ({ key: '', text: a.text, n: a.n + b.n, at: 0 }), { remove: (a, b) => ({ key: '', text: a.text, n: a.n - b.n, at: 0 }) })
    .to(to('reduce'));
  groups.join(right.keyBy('text').table().groupBy('text'), { type: 'full' }).to(to('joined'));
  left
    .keyBy('key')
    .window(tumbling(100).lateness(60).emit('update'))
    .count()
    .groupBy('key')
    .aggregate({ windows: count(), rows: sum('count') })
    .to(to('windows'));
  left
    .keyBy('key')
    .window(session((r: Row) => 10 + r.n * 5).emit('update'))
    .aggregate({ rows: count(), n: sum('n') })
    .to(to('sessions'));
  left
    .keyBy('key')
    .over({ rows: count('1m'), most: max('n', { rows: 5 }) })
    .to(to('over'));
  left.keyBy('key').sorted().to(to('sorted'));
  return left.keyBy('key').join(right.keyBy('key'), { type: 'left', asOf: 'eventTime' }).to(to('asOf'));
};
