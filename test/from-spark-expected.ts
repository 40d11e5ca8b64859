/**
 * What Spark gives for the advice of examples/FROM-SPARK.md over the rows of from-spark.test.ts, by the call as the guide has it: as its
 * documentation and its own suites define these operators. Where the names of columns differ (`window.start` there, `windowStart` here)
 * the guide says so; times are ms. Not a test.
 */

export type ExpectedRows = readonly unknown[];

const HOUR = 3_600_000;
const PER_USER = [
  ['ann', 3],
  ['bob', 1],
] as const;
const ANNS_CLICKS = [
  { page: '/a/x', ms: 100, at: 1_000 },
  { page: '/b', ms: 300, at: 12_000 },
  { page: '/a/x', ms: 50, at: 61_000 },
];
const ANNS_VIEWS = [
  { ad: 'x', at: 900 },
  { ad: 'y', at: 3_000 },
];

/** Whole numbers, both ends included. */
function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

export const EXPECTED_CALLS: Readonly<Record<string, ExpectedRows>> = {
  '.union(clicks)': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  '.map({ page: utf8, seconds: f64 }, (r) => ({ page: r.page, seconds: r.ms / 1_000 }))': [
    { page: '/a/x', seconds: 0.05 },
    { page: '/a/x', seconds: 0.1 },
    { page: '/b', seconds: 0.3 },
    { page: '/b', seconds: 0 },
  ],
  ".flatMap({ part: utf8 }, (r, emit) => r.page.split('/').forEach((part) => emit({ part })))": [
    { part: '' },
    { part: '' },
    { part: '' },
    { part: '' },
    { part: 'a' },
    { part: 'a' },
    { part: 'b' },
    { part: 'b' },
    { part: 'x' },
    { part: 'x' },
  ],
  '.filter((r) => r.ms > 0)': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
  ],
  '.map({ user: utf8, ms: f64 }, (r) => ({ user: r.user, ms: r.ms * 2 }))': [
    { user: 'ann', ms: 100 },
    { user: 'ann', ms: 200 },
    { user: 'ann', ms: 600 },
    { user: 'bob', ms: 0 },
  ],
  '.mapBatches({ rows: f64 }, (batch, out) => { out.appendRow({ rows: batch.rowCount }); })': [{ rows: 4 }],
  ".windowAll(tumbling('1s').emptyWindows()).count()": range(1, 61).map((second) => ({
    windowStart: second * 1_000,
    windowEnd: (second + 1) * 1_000,
    count: [1, 2, 12, 61].includes(second) ? 1 : 0,
  })),
  ".keyBy('page').count()": [
    { page: '/a/x', count: 2 },
    { page: '/b', count: 2 },
  ],
  ".windowAll(tumbling('1s')).reduce((a, b) => (a.ms > b.ms ? a : b))": [
    { windowStart: 1000, windowEnd: 2000, user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { windowStart: 12000, windowEnd: 13000, user: 'ann', page: '/b', ms: 300, at: 12000 },
    { windowStart: 2000, windowEnd: 3000, user: 'bob', page: '/b', ms: 0, at: 2500 },
    { windowStart: 61000, windowEnd: 62000, user: 'ann', page: '/a/x', ms: 50, at: 61000 },
  ],
  ".keyBy('user').window(tumbling('1s')).reduce((a, b) => ({ ...a, ms: a.ms + b.ms }))": [
    { user: 'ann', windowStart: 1000, windowEnd: 2000, page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', windowStart: 12000, windowEnd: 13000, page: '/b', ms: 300, at: 12000 },
    { user: 'ann', windowStart: 61000, windowEnd: 62000, page: '/a/x', ms: 50, at: 61000 },
    { user: 'bob', windowStart: 2000, windowEnd: 3000, page: '/b', ms: 0, at: 2500 },
  ],
  ".keyBy('user').window(tumbling('1s')).aggregate({ ms: sum('ms') })": [
    { user: 'ann', windowStart: 1000, windowEnd: 2000, ms: 100 },
    { user: 'ann', windowStart: 12000, windowEnd: 13000, ms: 300 },
    { user: 'ann', windowStart: 61000, windowEnd: 62000, ms: 50 },
    { user: 'bob', windowStart: 2000, windowEnd: 3000, ms: 0 },
  ],
  ".keyBy('user').window(tumbling('1s')).aggregate({ pages: collect('page') })": [
    { user: 'ann', windowStart: 1000, windowEnd: 2000, pages: '["/a/x"]' },
    { user: 'ann', windowStart: 12000, windowEnd: 13000, pages: '["/b"]' },
    { user: 'ann', windowStart: 61000, windowEnd: 62000, pages: '["/a/x"]' },
    { user: 'bob', windowStart: 2000, windowEnd: 3000, pages: '["/b"]' },
  ],
  ".keyBy('user').aggregate({ pages: aggregator({ type: utf8, init: () => '', add: (s, r: { page: string }) => s + r.page, merge: (a, b) => a + b, result: (s) => s }) })":
    [
      { user: 'ann', pages: '/a/x/b/a/x' },
      { user: 'bob', pages: '/b' },
    ],
  ".withProcessingTime().keyBy('user').window(sliding('30s', '10s')).count()": [
    { user: 'ann', windowStart: -10000, windowEnd: 20000, count: 3 },
    { user: 'ann', windowStart: -20000, windowEnd: 10000, count: 3 },
    { user: 'ann', windowStart: 0, windowEnd: 30000, count: 3 },
    { user: 'bob', windowStart: -10000, windowEnd: 20000, count: 1 },
    { user: 'bob', windowStart: -20000, windowEnd: 10000, count: 1 },
    { user: 'bob', windowStart: 0, windowEnd: 30000, count: 1 },
  ],
  ".windowAll(sliding('30s', '10s').emptyWindows()).count()": [
    { windowStart: -10000, windowEnd: 20000, count: 3 },
    { windowStart: -20000, windowEnd: 10000, count: 2 },
    { windowStart: 0, windowEnd: 30000, count: 3 },
    { windowStart: 10000, windowEnd: 40000, count: 1 },
    { windowStart: 20000, windowEnd: 50000, count: 0 },
    { windowStart: 30000, windowEnd: 60000, count: 0 },
    { windowStart: 40000, windowEnd: 70000, count: 1 },
    { windowStart: 50000, windowEnd: 80000, count: 1 },
    { windowStart: 60000, windowEnd: 90000, count: 1 },
  ],
  ".keyBy('page').window(sliding('30s', '10s')).count()": [
    { page: '/a/x', windowStart: -10000, windowEnd: 20000, count: 1 },
    { page: '/a/x', windowStart: -20000, windowEnd: 10000, count: 1 },
    { page: '/a/x', windowStart: 0, windowEnd: 30000, count: 1 },
    { page: '/a/x', windowStart: 40000, windowEnd: 70000, count: 1 },
    { page: '/a/x', windowStart: 50000, windowEnd: 80000, count: 1 },
    { page: '/a/x', windowStart: 60000, windowEnd: 90000, count: 1 },
    { page: '/b', windowStart: -10000, windowEnd: 20000, count: 2 },
    { page: '/b', windowStart: -20000, windowEnd: 10000, count: 1 },
    { page: '/b', windowStart: 0, windowEnd: 30000, count: 2 },
    { page: '/b', windowStart: 10000, windowEnd: 40000, count: 1 },
  ],
  ".windowAll(sliding('30s', '10s')).reduce((a, b) => (a.ms > b.ms ? a : b))": [
    { windowStart: -10000, windowEnd: 20000, user: 'ann', page: '/b', ms: 300, at: 12000 },
    { windowStart: -20000, windowEnd: 10000, user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { windowStart: 0, windowEnd: 30000, user: 'ann', page: '/b', ms: 300, at: 12000 },
    { windowStart: 10000, windowEnd: 40000, user: 'ann', page: '/b', ms: 300, at: 12000 },
    { windowStart: 40000, windowEnd: 70000, user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { windowStart: 50000, windowEnd: 80000, user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { windowStart: 60000, windowEnd: 90000, user: 'ann', page: '/a/x', ms: 50, at: 61000 },
  ],
  ".keyBy('user').window(sliding('30s', '10s')).reduce((a, b) => (a.ms > b.ms ? a : b))": [
    { user: 'ann', windowStart: -10000, windowEnd: 20000, page: '/b', ms: 300, at: 12000 },
    { user: 'ann', windowStart: -20000, windowEnd: 10000, page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', windowStart: 0, windowEnd: 30000, page: '/b', ms: 300, at: 12000 },
    { user: 'ann', windowStart: 10000, windowEnd: 40000, page: '/b', ms: 300, at: 12000 },
    { user: 'ann', windowStart: 40000, windowEnd: 70000, page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', windowStart: 50000, windowEnd: 80000, page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', windowStart: 60000, windowEnd: 90000, page: '/a/x', ms: 50, at: 61000 },
    { user: 'bob', windowStart: -10000, windowEnd: 20000, page: '/b', ms: 0, at: 2500 },
    { user: 'bob', windowStart: -20000, windowEnd: 10000, page: '/b', ms: 0, at: 2500 },
    { user: 'bob', windowStart: 0, windowEnd: 30000, page: '/b', ms: 0, at: 2500 },
  ],
  ".keyBy('user').window(sliding('30s', '10s')).aggregate({ ms: sum('ms') })": [
    { user: 'ann', windowStart: -10000, windowEnd: 20000, ms: 400 },
    { user: 'ann', windowStart: -20000, windowEnd: 10000, ms: 100 },
    { user: 'ann', windowStart: 0, windowEnd: 30000, ms: 400 },
    { user: 'ann', windowStart: 10000, windowEnd: 40000, ms: 300 },
    { user: 'ann', windowStart: 40000, windowEnd: 70000, ms: 50 },
    { user: 'ann', windowStart: 50000, windowEnd: 80000, ms: 50 },
    { user: 'ann', windowStart: 60000, windowEnd: 90000, ms: 50 },
    { user: 'bob', windowStart: -10000, windowEnd: 20000, ms: 0 },
    { user: 'bob', windowStart: -20000, windowEnd: 10000, ms: 0 },
    { user: 'bob', windowStart: 0, windowEnd: 30000, ms: 0 },
  ],
  ".keyBy('user').window(sliding('30s', '10s')).aggregate({ pages: collect('page') })": [
    { user: 'ann', windowStart: -10000, windowEnd: 20000, pages: '["/a/x","/b"]' },
    { user: 'ann', windowStart: -20000, windowEnd: 10000, pages: '["/a/x"]' },
    { user: 'ann', windowStart: 0, windowEnd: 30000, pages: '["/a/x","/b"]' },
    { user: 'ann', windowStart: 10000, windowEnd: 40000, pages: '["/b"]' },
    { user: 'ann', windowStart: 40000, windowEnd: 70000, pages: '["/a/x"]' },
    { user: 'ann', windowStart: 50000, windowEnd: 80000, pages: '["/a/x"]' },
    { user: 'ann', windowStart: 60000, windowEnd: 90000, pages: '["/a/x"]' },
    { user: 'bob', windowStart: -10000, windowEnd: 20000, pages: '["/b"]' },
    { user: 'bob', windowStart: -20000, windowEnd: 10000, pages: '["/b"]' },
    { user: 'bob', windowStart: 0, windowEnd: 30000, pages: '["/b"]' },
  ],
  ".keyBy('user').aggregate({ ms: sum('ms') }).as('totals')": [
    { user: 'ann', ms: 450 },
    { user: 'bob', ms: 0 },
  ],
  ".keyBy('user').window(tumbling('10s')).join(views.keyBy('user'))": [
    { user: 'ann', windowStart: 0, windowEnd: 10000, page: '/a/x', ms: 100, at: 1000, ad: 'x', at_right: 900 },
    { user: 'ann', windowStart: 0, windowEnd: 10000, page: '/a/x', ms: 100, at: 1000, ad: 'y', at_right: 3000 },
  ],
  ".keyBy('user').window(tumbling('10s')).join(views.keyBy('user'), { type: 'left' })": [
    { user: 'ann', windowStart: 0, windowEnd: 10000, page: '/a/x', ms: 100, at: 1000, ad: 'x', at_right: 900 },
    { user: 'ann', windowStart: 0, windowEnd: 10000, page: '/a/x', ms: 100, at: 1000, ad: 'y', at_right: 3000 },
    { user: 'ann', windowStart: 10000, windowEnd: 20000, page: '/b', ms: 300, at: 12000, ad: null, at_right: null },
    { user: 'ann', windowStart: 60000, windowEnd: 70000, page: '/a/x', ms: 50, at: 61000, ad: null, at_right: null },
    { user: 'bob', windowStart: 0, windowEnd: 10000, page: '/b', ms: 0, at: 2500, ad: null, at_right: null },
  ],
  ".keyBy('user').window(sliding('60s', '10s')).join(views.keyBy('user'))": range(-5, 0).flatMap((ten) =>
    // Each view with each click of the window; the last window that has the view at 900 ms begins at 0.
    ANNS_CLICKS.filter(({ at }) => at >= ten * 10_000 && at < ten * 10_000 + 60_000).flatMap((click) =>
      ANNS_VIEWS.map(({ ad, at }) => ({ user: 'ann', windowStart: ten * 10_000, windowEnd: ten * 10_000 + 60_000, ...click, ad, at_right: at })),
    ),
  ),
  ".keyBy('user').join(broadcast(users.keyBy('id')))": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000, country: 'AT' },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000, country: 'AT' },
    { user: 'ann', page: '/b', ms: 300, at: 12000, country: 'AT' },
  ],
  '.print({ rows: 10 })': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".to(files.sink({ dir: 'out', value: json(), prefix: 'clicks' }))": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".to(kafka.sink({ brokers: ['127.0.0.1:9092'], topic: 'out', key: 'user', value: json() }))": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  '.forEachBatch((batch, { epoch }) => send(epoch, batch.toRows()))': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  '.to(collect())': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".select('user', 'ms')": [
    { user: 'ann', ms: 100 },
    { user: 'ann', ms: 300 },
    { user: 'ann', ms: 50 },
    { user: 'bob', ms: 0 },
  ],
  ".drop('ms')": [
    { user: 'ann', page: '/a/x', at: 1000 },
    { user: 'ann', page: '/a/x', at: 61000 },
    { user: 'ann', page: '/b', at: 12000 },
    { user: 'bob', page: '/b', at: 2500 },
  ],
  '.withColumns({ seconds: [f64, (r) => r.ms / 1_000] })': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000, seconds: 0.1 },
    { user: 'ann', page: '/b', ms: 300, at: 12000, seconds: 0.3 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000, seconds: 0.05 },
    { user: 'bob', page: '/b', ms: 0, at: 2500, seconds: 0 },
  ],
  ".rename({ ms: 'took' })": [
    { user: 'ann', page: '/a/x', took: 100, at: 1000 },
    { user: 'ann', page: '/b', took: 300, at: 12000 },
    { user: 'ann', page: '/a/x', took: 50, at: 61000 },
    { user: 'bob', page: '/b', took: 0, at: 2500 },
  ],
  ".keyBy('page').window(tumbling('1h'))": [
    { page: '/a/x', windowStart: 0, windowEnd: 3600000, count: 2 },
    { page: '/b', windowStart: 0, windowEnd: 3600000, count: 2 },
  ],
  ".withWatermark('at', '10s', { policy: 'max' })": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".keyBy('user').over({ before: count(), ms20: sum('ms', '20s') })": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000, before: 1, ms20: 100 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000, before: 3, ms20: 50 },
    { user: 'ann', page: '/b', ms: 300, at: 12000, before: 2, ms20: 400 },
    { user: 'bob', page: '/b', ms: 0, at: 2500, before: 1, ms20: 0 },
  ],
  ".keyBy('user', 'page').dropDuplicates()": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".keyBy('user').dropDuplicates({ within: '10s' })": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".keyBy('user').window(tumbling('10m')).join(views.keyBy('user'), { type: 'full' })": [
    { user: 'ann', windowStart: 0, windowEnd: 600000, page: '/a/x', ms: 100, at: 1000, ad: 'x', at_right: 900 },
    { user: 'ann', windowStart: 0, windowEnd: 600000, page: '/a/x', ms: 100, at: 1000, ad: 'y', at_right: 3000 },
    { user: 'ann', windowStart: 0, windowEnd: 600000, page: '/a/x', ms: 50, at: 61000, ad: 'x', at_right: 900 },
    { user: 'ann', windowStart: 0, windowEnd: 600000, page: '/a/x', ms: 50, at: 61000, ad: 'y', at_right: 3000 },
    { user: 'ann', windowStart: 0, windowEnd: 600000, page: '/b', ms: 300, at: 12000, ad: 'x', at_right: 900 },
    { user: 'ann', windowStart: 0, windowEnd: 600000, page: '/b', ms: 300, at: 12000, ad: 'y', at_right: 3000 },
    { user: 'bob', windowStart: 0, windowEnd: 600000, page: '/b', ms: 0, at: 2500, ad: null, at_right: null },
    { user: 'eve', windowStart: 0, windowEnd: 600000, page: null, ms: null, at: null, ad: 'z', at_right: 4000 },
  ],
  ".keyBy('user').join(users.keyBy('id'), { type: 'left' })": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000, country: 'AT' },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000, country: 'AT' },
    { user: 'ann', page: '/b', ms: 300, at: 12000, country: 'AT' },
    { user: 'bob', page: '/b', ms: 0, at: 2500, country: null },
  ],
  // The view that was the last one at the time of the click.
  ".keyBy('user').join(views.keyBy('user'), { asOf: 'eventTime' })": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1_000, ad: 'x', at_right: 900 },
    { user: 'ann', page: '/b', ms: 300, at: 12_000, ad: 'y', at_right: 3_000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61_000, ad: 'y', at_right: 3_000 },
  ],
  ".keyBy('user').join(views.keyBy('user'), { within: [0, '1h'] }).keyBy('user').join(clicks.keyBy('user'), { within: [0, '1h'], suffix: '_next' })": [
    { user: 'ann', joinTime: 12000, page: '/a/x', ms: 100, at: 1000, ad: 'y', at_right: 3000, page_next: '/b', ms_next: 300, at_next: 12000 },
    { user: 'ann', joinTime: 61000, page: '/a/x', ms: 100, at: 1000, ad: 'y', at_right: 3000, page_next: '/a/x', ms_next: 50, at_next: 61000 },
  ],
  ".keyBy('page').window(tumbling('1m')).top(3, { by: 'ms' })": [
    { page: '/a/x', windowStart: 0, windowEnd: 60000, rank: 1, user: 'ann', ms: 100, at: 1000 },
    { page: '/a/x', windowStart: 60000, windowEnd: 120000, rank: 1, user: 'ann', ms: 50, at: 61000 },
    { page: '/b', windowStart: 0, windowEnd: 60000, rank: 1, user: 'ann', ms: 300, at: 12000 },
    { page: '/b', windowStart: 0, windowEnd: 60000, rank: 2, user: 'bob', ms: 0, at: 2500 },
  ],
  '.print({ rows: 20 })': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".to(files.sink({ dir: 'out', value: json() }))": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  ".to(kafka.sink({ brokers: ['127.0.0.1:9092'], topic: 'out', key: 'page', value: json() }))": [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  '.forEachBatch((batch, { epoch, shard }) => send(epoch, batch.toRows(), shard))': [
    { user: 'ann', page: '/a/x', ms: 100, at: 1000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61000 },
    { user: 'ann', page: '/b', ms: 300, at: 12000 },
    { user: 'bob', page: '/b', ms: 0, at: 2500 },
  ],
  'count()': [
    { user: 'ann', value: 3 },
    { user: 'bob', value: 1 },
  ],
  "sum('ms')": [
    { user: 'ann', value: 450 },
    { user: 'bob', value: 0 },
  ],
  ".keyBy('user').aggregate({ twice: sum((r) => r.ms * 2), slow: count({ where: (r) => r.ms > 60 }), slowMs: sum('ms', { where: (r) => r.ms > 60 }) })": [
    { user: 'ann', twice: 900, slow: 2, slowMs: 400 },
    { user: 'bob', twice: 0, slow: 0, slowMs: null },
  ],
  "mean('ms')": [
    { user: 'ann', value: 150 },
    { user: 'bob', value: 0 },
  ],
  "min('ms')": [
    { user: 'ann', value: 50 },
    { user: 'bob', value: 0 },
  ],
  "max('ms')": [
    { user: 'ann', value: 300 },
    { user: 'bob', value: 0 },
  ],
  "variance('ms')": [
    { user: 'ann', value: 17500 },
    { user: 'bob', value: null },
  ],
  "stddev('ms')": [
    { user: 'ann', value: 132.28756555322954 },
    { user: 'bob', value: null },
  ],
  "stddev('ms', { population: true })": [
    { user: 'ann', value: 108.01234497346434 },
    { user: 'bob', value: 0 },
  ],
  "first('page')": [
    { user: 'ann', value: '/a/x' },
    { user: 'bob', value: '/b' },
  ],
  "last('page')": [
    { user: 'ann', value: '/a/x' },
    { user: 'bob', value: '/b' },
  ],
  "first('page', { by: 'ms' })": [
    { user: 'ann', value: '/a/x' },
    { user: 'bob', value: '/b' },
  ],
  "last('page', { by: 'ms' })": [
    { user: 'ann', value: '/b' },
    { user: 'bob', value: '/b' },
  ],
  "collect('page')": [
    { user: 'ann', value: '["/a/x","/b","/a/x"]' },
    { user: 'bob', value: '["/b"]' },
  ],
  "countDistinct('page')": [
    { user: 'ann', value: 2 },
    { user: 'bob', value: 1 },
  ],
  "approxCountDistinct('user', { error: 0.02 })": [
    { user: 'ann', value: 1 },
    { user: 'bob', value: 1 },
  ],
  // percentile_approx would say 300: between two values it takes the upper one, quantile the lower. The guide says so.
  "median('ms')": [
    { user: 'ann', value: 100 },
    { user: 'bob', value: 0 },
  ],
  "quantile('ms', 0.95)": [
    { user: 'ann', value: 100.49456770856494 },
    { user: 'bob', value: 0 },
  ],
  "topK('page', 10)": [
    { user: 'ann', value: '[{"value":"/a/x","count":2,"error":0},{"value":"/b","count":1,"error":0}]' },
    { user: 'bob', value: '[{"value":"/b","count":1,"error":0}]' },
  ],
  'aggregator({ init: () => 0, add: (n, r: { ms: number }) => n + r.ms, merge: (a, b) => a + b, remove: (n, r) => n - r.ms, result: (n) => n })': [
    { user: 'ann', value: 450 },
    { user: 'bob', value: 0 },
  ],
  "ewma('ms', { halfLife: '1m' })": [
    { user: 'ann', value: 130.73407077518988 },
    { user: 'bob', value: 0 },
  ],
  'rate()': [
    { user: 'ann', windowStart: 0, windowEnd: 120000, value: 0.025 },
    { user: 'bob', windowStart: 0, windowEnd: 120000, value: 0.008333333333333333 },
  ],
  "linearCount('user')": [
    { user: 'ann', value: 1 },
    { user: 'bob', value: 1 },
  ],
  "tumbling('5m')": [
    { user: 'ann', windowStart: 0, windowEnd: 300000, count: 3 },
    { user: 'bob', windowStart: 0, windowEnd: 300000, count: 1 },
  ],
  "tumbling('1h', { offset: '15m' })": [
    { user: 'ann', windowStart: -2700000, windowEnd: 900000, count: 3 },
    { user: 'bob', windowStart: -2700000, windowEnd: 900000, count: 1 },
  ],
  "sliding('10m', '5m')": [
    { user: 'ann', windowStart: -300000, windowEnd: 300000, count: 3 },
    { user: 'ann', windowStart: 0, windowEnd: 600000, count: 3 },
    { user: 'bob', windowStart: -300000, windowEnd: 300000, count: 1 },
    { user: 'bob', windowStart: 0, windowEnd: 600000, count: 1 },
  ],
  "sliding('10m', '5m', { offset: '1m' })": [
    { user: 'ann', windowStart: -240000, windowEnd: 360000, count: 3 },
    { user: 'ann', windowStart: -540000, windowEnd: 60000, count: 2 },
    { user: 'ann', windowStart: 60000, windowEnd: 660000, count: 1 },
    { user: 'bob', windowStart: -240000, windowEnd: 360000, count: 1 },
    { user: 'bob', windowStart: -540000, windowEnd: 60000, count: 1 },
  ],
  "tumbling('1d', { zone: 'Europe/Berlin' })": [
    { user: 'ann', windowStart: -3600000, windowEnd: 82800000, count: 3 },
    { user: 'bob', windowStart: -3600000, windowEnd: 82800000, count: 1 },
  ],
  "session('5m')": [
    { user: 'ann', windowStart: 1000, windowEnd: 361000, count: 3 },
    { user: 'bob', windowStart: 2500, windowEnd: 302500, count: 1 },
  ],
  "cumulative('1d', '1h')": PER_USER.flatMap(([user, count]) => range(1, 24).map((hour) => ({ user, windowStart: 0, windowEnd: hour * HOUR, count }))),
  'countWindow(100)': [],
  "globalWindow({ count: 500, time: '2s', purge: true })": [
    { user: 'ann', windowStart: 1000, windowEnd: 61000, count: 3 },
    { user: 'bob', windowStart: 2500, windowEnd: 2500, count: 1 },
  ],
  "tumbling('5m').lateness('1m')": [
    { user: 'ann', windowStart: 0, windowEnd: 300000, count: 3 },
    { user: 'bob', windowStart: 0, windowEnd: 300000, count: 1 },
  ],
  "tumbling('5m').emit('final')": [
    { user: 'ann', windowStart: 0, windowEnd: 300000, count: 3 },
    { user: 'bob', windowStart: 0, windowEnd: 300000, count: 1 },
  ],
  "tumbling('5m').emit('update')": [
    { user: 'ann', windowStart: 0, windowEnd: 300000, count: 3 },
    { user: 'bob', windowStart: 0, windowEnd: 300000, count: 1 },
  ],
  "tumbling('5m').lateness('1m').emit('revise')": [
    { user: 'ann', windowStart: 0, windowEnd: 300000, count: 3 },
    { user: 'bob', windowStart: 0, windowEnd: 300000, count: 1 },
  ],
};

function hourFrom(minute: number) {
  return { windowStart: minute * 60_000, windowEnd: minute * 60_000 + HOUR };
}

/** In the order of the guide. */
export const EXPECTED_SNIPPETS: readonly { readonly about: string; readonly rows: ExpectedRows }[] = [
  {
    about: 'reduceByKeyAndWindow with an inverse',
    rows: [
      // Every minute the hour behind it, as long as there is a row of the user's in it.
      ...range(-59, 0).map((minute) => ({ user: 'ann', ...hourFrom(minute), page: '/a/x', ms: minute === -59 ? 400 : 450, at: 1_000 })),
      { user: 'ann', ...hourFrom(1), page: '/a/x', ms: 50, at: 1_000 },
      ...range(-59, 0).map((minute) => ({ user: 'bob', ...hourFrom(minute), page: '/b', ms: 0, at: 2_500 })),
    ],
  },
  {
    about: 'updateStateByKey as an aggregate',
    rows: [
      { user: 'ann', ms: 450 },
      { user: 'bob', ms: 0 },
    ],
  },
  {
    about: 'mapWithState with a timeout',
    rows: [
      { user: 'ann', total: 100 },
      { user: 'ann', total: 400 },
      { user: 'ann', total: 450 },
      { user: 'bob', total: 0 },
    ],
  },
  {
    about: 'isTimingOut: once for each key, when it has had no data for so long',
    rows: [
      { user: 'ann', total: 100, isTimingOut: false },
      { user: 'ann', total: 400, isTimingOut: false },
      { user: 'ann', total: 450, isTimingOut: false },
      { user: 'ann', total: 450, isTimingOut: true },
      { user: 'bob', total: 0, isTimingOut: false },
      { user: 'bob', total: 0, isTimingOut: true },
    ],
  },
  {
    about: 'cogroup',
    rows: [
      { user: 'ann', windowStart: 0, windowEnd: 10000, pages: '["/a/x"]', ads: '["x","y"]' },
      { user: 'ann', windowStart: 10000, windowEnd: 20000, pages: '["/b"]', ads: '[]' },
      { user: 'ann', windowStart: 60000, windowEnd: 70000, pages: '["/a/x"]', ads: '[]' },
      { user: 'bob', windowStart: 0, windowEnd: 10000, pages: '["/b"]', ads: '[]' },
      { user: 'eve', windowStart: 0, windowEnd: 10000, pages: '[]', ads: '["z"]' },
    ],
  },
  {
    about: 'foreachRDD to a service',
    rows: [
      { page: '/a/x', count: 2 },
      { page: '/b', count: 2 },
    ],
  },
  {
    about: 'groupBy(window, page)',
    rows: [
      { page: '/a/x', windowStart: -300000, windowEnd: 300000, clicks: 2, ms: 75 },
      { page: '/a/x', windowStart: 0, windowEnd: 600000, clicks: 2, ms: 75 },
      { page: '/b', windowStart: -300000, windowEnd: 300000, clicks: 2, ms: 150 },
      { page: '/b', windowStart: 0, windowEnd: 600000, clicks: 2, ms: 150 },
    ],
  },
  {
    about: 'leftOuter join in a time range',
    rows: [
      { user: 'ann', joinTime: 1000, ad: 'x', at: 900, page: '/a/x', ms: 100, at_right: 1000 },
      { user: 'ann', joinTime: 12000, ad: 'x', at: 900, page: '/b', ms: 300, at_right: 12000 },
      { user: 'ann', joinTime: 12000, ad: 'y', at: 3000, page: '/b', ms: 300, at_right: 12000 },
      { user: 'ann', joinTime: 61000, ad: 'x', at: 900, page: '/a/x', ms: 50, at_right: 61000 },
      { user: 'ann', joinTime: 61000, ad: 'y', at: 3000, page: '/a/x', ms: 50, at_right: 61000 },
      { user: 'eve', joinTime: 4000, ad: 'z', at: 4000, page: null, ms: null, at_right: null },
    ],
  },
  {
    about: 'leftSemi',
    rows: [
      { user: 'ann', ad: 'x', at: 900 },
      { user: 'ann', ad: 'y', at: 3000 },
    ],
  },
  {
    about: 'transformWithState',
    rows: [
      { user: 'ann', clicks: 3 },
      { user: 'bob', clicks: 1 },
    ],
  },
];
