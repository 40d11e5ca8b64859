// One operator of each kind over the rows of a topic, for an export of their state.

import {
  aggregator,
  collect,
  count,
  countWindow,
  f64,
  globalWindow,
  i64,
  json,
  log,
  max,
  pipeline,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from 'millrace';

export const DELAY_MS = 10;
/** No row is later than this, however epochs are cut. */
export const LONG_DELAY_MS = 50;

/** The rows of a user, and how many of them were even. */
const evens = aggregator({
  init: () => ({ ids: [] as number[], even: new Set<number>() }),
  add(state, row: { id: number }) {
    state.ids.push(row.id);
    if (row.id % 2 === 0) state.even.add(row.id);
  },
  merge: (a, b) => ({ ids: [...a.ids, ...b.ids], even: new Set([...a.even, ...b.even]) }),
  result: (state) => state.even.size,
});

export default ({ dir }: { dir: string }) => {
  const source = pipeline('exported').from(log.source({ dir, topic: 'in', value: json({ id: f64, user: utf8, page: utf8, big: i64, at: timestamp }) }));
  const rows = source.withWatermark('at', DELAY_MS);
  const calm = source.withWatermark('at', LONG_DELAY_MS);
  const byUser = rows.keyBy('user');
  const byBoth = rows.keyBy('user', 'page');
  byUser.aggregate({ rows: count(), big: sum('big'), newest: max('at') }).to(collect());
  byUser.window(tumbling(50)).aggregate({ rows: count() }).to(collect());
  byUser
    .window(sliding(100, 50).lateness(30))
    .aggregate({ rows: count(), id: max('id') })
    .to(collect());
  byBoth.window(sliding(100, 50)).aggregate({ evens, rows: count() }).to(collect());
  byUser.aggregate({ evens }).to(collect());
  byBoth.reduce((a, b) => ({ ...b, id: a.id + b.id })).to(collect());
  byUser
    .window(sliding(100, 50))
    .reduce((a, b) => ({ ...b, id: a.id + b.id }))
    .to(collect());
  byUser.top(2, { by: 'id' }).to(collect());
  byBoth
    .process({
      schema: { user: utf8 },
      state: () => ({ ids: [] as number[], pages: new Map<string, bigint>() }),
      onRow(row, ctx) {
        if (ctx.state.ids.push(row.id) > 2) ctx.state.ids.shift();
        ctx.state.pages.set(row.page, row.big);
        ctx.timer(row.at + 60);
      },
      onTimer: () => {},
    })
    .to(collect());
  byBoth.dropDuplicates({ within: 40 }).to(collect());
  rows.keyBy('big').dropDuplicates().to(collect());
  calm
    .keyBy('user')
    .over({ seen: count(), total: sum('big', { rows: 2 }), last: collect('page', { rows: 3 }) })
    .to(collect());
  calm
    .keyBy('user', 'page')
    .over({ seen: count('40ms') }, { order: 'arrival' })
    .to(collect());
  const users = byUser.table({ delete: (r) => r.id % 5 === 0 });
  users
    .groupBy('page')
    .aggregate({ rows: count(), id: max('id') })
    .to(collect());
  users.groupBy('page').top(2, { by: 'id' }).to(collect());
  users.groupBy('page').join(rows.keyBy('page').table().groupBy('page'), { type: 'left' }).to(collect());
  const [left, right] = [rows.filter((r) => r.id % 3 === 0).keyBy('user'), rows.filter((r) => r.id % 3 === 1).keyBy('user')];
  left.join(right, { within: [20, 30] }).to(collect());
  left.window(tumbling(50)).join(right).to(collect());
  left.join(right, { table: 'growing' }).to(collect());
  left.join(right, { asOf: 'eventTime', table: 'growing' }).to(collect());
  byUser.sorted().to(collect());
  left
    .connect(right)
    .process({
      schema: { user: utf8 },
      order: 'eventTime',
      state: () => ({ left: 0, right: 0 }),
      onLeft: (row, ctx) => void (ctx.state.left = row.at),
      onRight: (row, ctx) => void (ctx.state.right = row.at),
    })
    .to(collect());
  byUser.window(session(12)).aggregate({ rows: count(), evens }).to(collect());
  byUser.window(session(12)).top(1, { by: 'id' }).to(collect());
  byUser.window(countWindow(7)).aggregate({ rows: count() }).to(collect());
  byUser
    .window(globalWindow({ count: 4 }))
    .aggregate({ rows: count(), evens })
    .to(collect());
  return byUser
    .window(globalWindow({ count: 4 }))
    .reduce((a, b) => ({ ...b, id: a.id + b.id }))
    .to(collect());
};
