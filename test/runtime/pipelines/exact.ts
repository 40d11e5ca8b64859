// One input, and an output for each kind of state: none, windows, a running aggregate, sessions, what a function keeps.

import { join } from 'node:path';
import {
  type ChangelogSink,
  collect,
  count,
  f64,
  files,
  json,
  log,
  pipeline,
  type Source,
  session,
  sliding,
  sum,
  text,
  timestamp,
  tumbling,
  utf8,
} from 'millrace';
import { kafka } from 'millrace/io/kafka';

const row = { id: f64, key: utf8, n: f64, at: timestamp };

export interface Params {
  readonly dir: string;
  /** With brokers: through Kafka; `name` makes topics and group this run's own. */
  readonly brokers?: string;
  readonly name?: string;
  /** 'true': outputs are files. */
  readonly files?: string;
  /** Reads this output, in place of the job. */
  readonly read?: string;
}

export const results = collect();

export const OUTPUTS = ['copy', 'windows', 'counts', 'sessions', 'numbers', 'totals'] as const;

export default ({ dir, brokers, name = 'exact', files: toFiles, read }: Params) => {
  const topic = (of: string) => `${name}-${of}`;
  if (read !== undefined) {
    const from =
      brokers === undefined
        ? log.source({ dir, topic: topic(read), value: text() })
        : kafka.source({ brokers: [brokers], topic: topic(read), group: `${name}-read-${read}`, value: text() });
    return pipeline('read')
      .from(from)
      .to(results as ChangelogSink);
  }
  const source =
    brokers === undefined
      ? log.source({ dir, topic: topic('in'), group: name, value: json(row) })
      : kafka.source({ brokers: [brokers], topic: topic('in'), group: name, value: json(row) });
  const to = (of: string): ChangelogSink =>
    toFiles === 'true'
      ? files.sink({ dir: join(dir, topic(of)), value: json(), changelog: 'append' })
      : brokers === undefined
        ? (log.sink({ dir, topic: topic(of), value: json(), partitions: 2 }) as ChangelogSink)
        : (kafka.sink({ brokers: [brokers], topic: topic(of), value: json(), createTopic: { partitions: 2 } }) as ChangelogSink);
  const rows = pipeline(name)
    .from(source as Source<{ id: number; key: string; n: number; at: number }>)
    .withWatermark('at', 50);
  const byKey = rows.keyBy('key');
  rows.map({ id: f64, twice: f64 }, (r) => ({ id: r.id, twice: 2 * r.n })).to(to('copy'));
  const windows = byKey.window(sliding(400, 200)).aggregate({ rows: count(), n: sum('n') });
  windows.to(to('windows'));
  // Windows over windows.
  windows
    .windowAll(tumbling(800))
    .aggregate({ windows: count(), n: sum('n') })
    .to(to('totals'));
  byKey.aggregate({ rows: count(), n: sum('n') }).to(to('counts'));
  byKey
    .window(session(30))
    .aggregate({ rows: count(), n: sum('n') })
    .to(to('sessions'));
  return byKey
    .process({
      schema: { key: utf8, number: f64, id: f64 },
      state: () => ({ rows: 0 }),
      onRow(r, ctx) {
        ctx.state.rows++;
        ctx.emit({ key: ctx.key.key, number: ctx.state.rows, id: r.id });
      },
    })
    .to(to('numbers'));
};
