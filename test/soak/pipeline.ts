// The job that the checker kills: one input, and an output for each kind of state: none, windows, windows over windows,
// a running aggregate, sessions, what a function keeps.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ChangelogSink, count, f64, json, pipeline, type Source, session, sliding, sum, timestamp, tumbling, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

export const SLIDING = { size: 400, slide: 200 };
export const TUMBLING = 800;
export const GAP = 30;
export const OUTPUTS = ['copy', 'windows', 'counts', 'sessions', 'numbers', 'totals'] as const;
export type Output = (typeof OUTPUTS)[number];

const row = { id: f64, key: utf8, n: f64, at: timestamp };
export interface Row {
  readonly id: number;
  readonly key: string;
  readonly n: number;
  readonly at: number;
}

export interface JobParams {
  readonly brokers: string;
  /** Makes topics, group and transactional id this run's own. */
  readonly name: string;
  readonly transactionTimeout: string;
  readonly heartbeatInterval: string;
  /** A worker thread dies once, at the row with this number of its own, by this. */
  readonly dies?: string;
  readonly diesAt?: string;
  /** A file in this folder says that it has died. */
  readonly dir?: string;
}

/** How user functions bring a worker down. */
const DEATHS: Readonly<Record<string, () => void>> = {
  exit: () => process.exit(3),
  rejection: () => void Promise.reject(new Error('left behind by a function')),
  timer: () =>
    void setTimeout(() => {
      throw new Error('thrown by a timer of a function');
    }),
};
export const DEATH_NAMES = Object.keys(DEATHS);

export default (params: JobParams) => {
  const { name, brokers: list } = params;
  const brokers = list.split(',');
  const source = kafka.source({
    brokers,
    topic: `${name}-in`,
    group: name,
    value: json(row),
    sessionTimeout: 2 * Number(params.heartbeatInterval) + 4_000,
    heartbeatInterval: Number(params.heartbeatInterval),
  });
  const to = (of: Output): ChangelogSink =>
    kafka.sink({ brokers, topic: `${name}-${of}`, value: json(), transactionTimeout: Number(params.transactionTimeout) }) as ChangelogSink;
  const rows = pipeline(name)
    .from(source as Source<Row>)
    .withWatermark('at', 50);
  const byKey = rows.keyBy('key');
  rows.map({ id: f64, twice: f64 }, (r) => ({ id: r.id, twice: 2 * r.n })).to(to('copy'));
  const windows = byKey.window(sliding(SLIDING.size, SLIDING.slide)).aggregate({ rows: count(), n: sum('n') });
  windows.to(to('windows'));
  windows
    .windowAll(tumbling(TUMBLING))
    .aggregate({ windows: count(), n: sum('n') })
    .to(to('totals'));
  byKey.aggregate({ rows: count(), n: sum('n') }).to(to('counts'));
  byKey
    .window(session(GAP))
    .aggregate({ rows: count(), n: sum('n') })
    .to(to('sessions'));
  return byKey
    .process({
      schema: { key: utf8, number: f64, id: f64 },
      state: () => ({ rows: 0 }),
      onRow(r, ctx) {
        mayDie(params);
        ctx.state.rows++;
        ctx.emit({ key: ctx.key.key, number: ctx.state.rows, id: r.id });
      },
    })
    .to(to('numbers'));
};

let seen = 0;

function mayDie({ dies, diesAt, dir }: JobParams): void {
  if (dies === undefined || ++seen !== Number(diesAt)) return;
  try {
    // One thread, once: rows are seen again after a restart.
    writeFileSync(join(dir as string, `death-${dies}`), '', { flag: 'wx' });
  } catch {
    return;
  }
  DEATHS[dies.split('-')[0] as string]?.();
}
