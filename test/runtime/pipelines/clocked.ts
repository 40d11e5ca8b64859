// What waits for the clock and never has enough of it: state and timers of processing time.

import { count, f64, globalWindow, json, log, pipeline, utf8 } from 'millrace';

export interface Params {
  readonly dir: string;
  readonly what: 'timers' | 'triggers';
}

export default ({ dir, what }: Params) => {
  const rows = pipeline('clocked')
    .from(log.source({ dir, topic: 'in', value: json({ key: utf8, n: f64 }) }))
    .withProcessingTime()
    .keyBy('key');
  const sink = log.sink({ dir, topic: 'out', value: json(), partitions: 1 });
  if (what === 'triggers')
    return rows
      .window(globalWindow({ time: '50ms', purge: true }))
      .aggregate({ rows: count() })
      .to(sink);
  return rows
    .process({
      schema: { key: utf8, rows: f64 },
      state: () => ({ rows: 0 }),
      onRow(_row, ctx) {
        ctx.state.rows++;
        ctx.timer(ctx.now + 50);
      },
      onTimer: (_at, ctx) => ctx.emit({ key: ctx.key.key, rows: ctx.state.rows }),
    })
    .to(sink);
};
