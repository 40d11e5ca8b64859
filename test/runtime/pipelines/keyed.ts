// Keyed operators on threads: sessions by process, sums by reduce, the best rows, batches of rows; and what was late or failed.

import { collect, count, countWindow, f64, json, log, max, pipeline, sliding, timestamp, utf8 } from 'millrace';

export const visits = collect();
export const spent = collect();
export const best = collect();
export const tens = collect();
export const late = collect();
export const errors = collect();

export default ({ dir }: { dir: string }) => {
  const read = pipeline('keyed').from(log.source({ dir, topic: 'in', group: 'keyed', value: json({ user: utf8, ms: f64, at: timestamp }) }));
  const clicks = read
    .filter((r) => {
      if (r.ms === 404) throw new RangeError(`not found: ${r.user}`);
      return true;
    })
    .withWatermark('at', 0);
  clicks.errors.to(errors);
  const byUser = clicks.keyBy('user');
  byUser
    .process({
      schema: { user: utf8, clicks: f64, from: timestamp },
      state: () => ({ clicks: 0, from: Number.POSITIVE_INFINITY, last: 0 }),
      onRow(row, ctx) {
        ctx.state.clicks++;
        ctx.state.from = Math.min(ctx.state.from, row.at);
        ctx.deleteTimer(ctx.state.last + 5_000);
        ctx.state.last = Math.max(ctx.state.last, row.at);
        ctx.timer(ctx.state.last + 5_000);
      },
      onTimer(_, ctx) {
        ctx.emit({ user: ctx.key.user, clicks: ctx.state.clicks, from: ctx.state.from });
        ctx.clear();
      },
    })
    .to(visits);
  const windows = byUser.window(sliding('1m', '10s')).reduce((a, b) => ({ user: a.user, ms: a.ms + b.ms, at: b.at }), {
    inverse: (a, b) => ({ user: a.user, ms: a.ms - b.ms, at: a.at }),
  });
  windows.late.to(late);
  byUser.top(3, { by: 'ms' }).to(best);
  byUser
    .window(countWindow(10))
    .aggregate({ clicks: count(), most: max('ms') })
    .to(tens);
  return windows.to(spent);
};
