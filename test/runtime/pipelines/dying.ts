// A function that fails as no function should: once, or each time that its row comes.

import { existsSync, writeFileSync } from 'node:fs';
import { count, f64, files, json, log, pipeline, type Sink, sum, timestamp, tumbling, utf8 } from 'millrace';

const row = { id: f64, key: utf8, n: f64, at: timestamp };

export interface Params {
  readonly dir: string;
  readonly fault: 'none' | 'exit' | 'rejection' | 'throw' | 'loop' | 'heap';
  /** The row on which it fails. */
  readonly at: number;
  readonly isOnce?: boolean;
}

const faults: Readonly<Record<Params['fault'], () => void>> = {
  none: () => {},
  exit: () => process.exit(7),
  rejection: () => void Promise.reject(new Error('nobody waits for this')),
  throw: () =>
    void setTimeout(() => {
      throw new Error('a timer that throws');
    }, 0),
  loop: () => {
    for (;;);
  },
  heap: () => {
    const held: unknown[] = [];
    for (;;) held.push(Array(1_000).fill(held.length).map(String));
  },
};

export default ({ dir, fault, at, isOnce = true }: Params) => {
  const flag = `${dir}/failed`;
  const rows = pipeline('dying')
    .from(log.source({ dir, topic: 'in', value: json(row) }))
    .withWatermark('at', 0)
    .map(row, (r) => {
      if (r.id === at && !(isOnce && existsSync(flag))) {
        writeFileSync(flag, '');
        faults[fault]();
      }
      return r;
    })
    .keyBy('key');
  rows
    .window(tumbling(100))
    .aggregate({ rows: count(), n: sum('n') })
    .to(files.sink({ dir: `${dir}/windows`, value: json() }) as Sink);
  return rows
    .process({
      schema: { key: utf8, number: f64 },
      state: () => ({ rows: 0 }),
      onRow: (_, ctx) => ctx.emit({ key: ctx.key.key, number: ++ctx.state.rows }),
    })
    .to(files.sink({ dir: `${dir}/numbers`, value: json() }) as Sink);
};
