// A pipeline as it was, and as it is after changes of many kinds.

import { type ChangelogSink, count, f64, json, log, pipeline, type Source, sum, timestamp, tumbling, utf8 } from 'millrace';

const row = { id: f64, key: utf8, n: f64, at: timestamp };

export interface Params {
  readonly dir: string;
  /** What has changed. */
  readonly what?: string;
}

type Of = { id: number; key: string; n: number; at: number };

export default ({ dir, what = '' }: Params) => {
  const has = (change: string) => what.split(' ').includes(change);
  const topic = has('topic') ? 'other' : 'in';
  const to = (of: string): ChangelogSink => log.sink({ dir, topic: of, value: json(), partitions: 2 }) as ChangelogSink;
  const wide = { more: utf8, ...row };
  const source = log.source({ dir, topic, group: 'changed', value: has('wide') ? json(wide) : json(row) });
  const read = pipeline('changed')
    .from(source as Source<Of>)
    .withWatermark('at', has('delay') ? 500 : 0);
  const rows = has('filter') ? read.filter((r) => r.n >= 0) : read;
  const byKey = rows.keyBy('key');
  if (has('copy')) rows.map({ id: f64 }, (r) => ({ id: r.id })).to(to('copy'));
  if (has('reduce'))
    byKey
      .reduce((a, b) => ({ ...b, n: a.n + b.n }))
      .map({ key: utf8, n: f64 }, (r) => ({ key: r.key, n: r.n }))
      .to(to('reduced'));
  const windows = () => byKey.window(tumbling(has('size') ? 800 : 400)).aggregate({ rows: count(), n: sum('n') });
  if (has('order') && !has('dropped')) windows().to(to('windows'));
  const counts = byKey.aggregate({ rows: count(), n: sum('n') });
  (has('behind') ? counts.filter((r) => r.rows > 0) : counts).to(to(has('renamed') ? 'counts-2' : 'counts'));
  if (!has('order') && !has('dropped')) windows().to(to('windows'));
  if (has('twin')) byKey.aggregate({ rows: count(), n: sum('n') }).to(to('twin'));
  const narrow = rows.select('id', 'key', 'n', 'at').keyBy('key');
  if (has('version') || has('migrate')) {
    return narrow
      .process({
        schema: { key: utf8, number: f64, id: f64 },
        version: 2,
        ...(has('migrate') ? { migrate: (state: unknown, from: number) => ({ numbers: (state as { n: number }).n, from }) } : {}),
        state: () => ({ numbers: 0, from: 0 }),
        onRow: (r, ctx) => ctx.emit({ key: ctx.key.key, number: ++ctx.state.numbers, id: r.id }),
      })
      .to(to('numbers'));
  }
  return narrow
    .process({
      schema: { key: utf8, number: f64, id: f64 },
      state: () => ({ n: 0 }),
      onRow: (r, ctx) => ctx.emit({ key: ctx.key.key, number: ++ctx.state.n, id: r.id }),
    })
    .to(to('numbers'));
};
