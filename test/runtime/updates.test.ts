/** Updates are not taken for facts: what would depend on where epochs are cut is refused when the pipeline is made. See tables.test.ts, too. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aggregator,
  collect,
  count,
  countWindow,
  f64,
  last,
  memory,
  pipeline,
  type Stream,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

function input() {
  const p = pipeline('updates');
  const rows = p.from(memory([], { schema: { k: utf8, v: f64, at: timestamp } })).withWatermark('at', 0);
  return { rows, keyed: rows.keyBy('k'), table: p.from(memory([], { schema: { k: utf8, name: utf8 } })).keyBy('k') };
}

/** Streams of updates: a key and a number each. */
function updates() {
  const own = aggregator({ type: f64, init: () => 0, add: (s: number) => s + 1, merge: (a, b) => a + b, result: (s) => s });
  type Updates = Stream<{ k: string; n: number }>;
  const numbered = (stream: Stream<never>): Updates => stream.map({ k: utf8, n: f64 }, (r) => r as never);
  const { keyed, table } = input();
  const window = () => tumbling(10);
  return {
    'a running aggregate': numbered(keyed.aggregate({ n: count() }) as never),
    'a running aggregate of aggregators': numbered(keyed.aggregate({ n: own }) as never),
    'a running reduce': numbered(keyed.reduce((a) => a) as never),
    'a running top': numbered(keyed.top(2, { by: 'v' }) as never),
    'windows that are updated': numbered(keyed.window(window().emit('update')).aggregate({ n: sum('v') }) as never),
    'windows of aggregators that are updated': numbered(keyed.window(window().emit('update')).aggregate({ n: own }) as never),
    'folded windows that are updated': numbered(keyed.window(window().emit('update')).reduce((a) => a) as never),
    'sessions that are updated': numbered(keyed.window(session(5).emit('update')).aggregate({ n: sum('v') }) as never),
    'windows that are revised': numbered(keyed.window(window().lateness(5).emit('revise')).aggregate({ n: sum('v') }) as never),
    'updates that are joined with a table': numbered(keyed.count().keyBy('k').join(table) as never),
  };
}

test('windows, over, duplicates and joins by time are refused behind updates, with the way round', () => {
  const refused = { code: 'ERR_MILLRACE_PIPELINE', message: /stands behind a .*whose rows are updates.*emit\('final'\).*\.changes\(\)/ };
  for (const [name, stream] of Object.entries(updates())) {
    const keyed = stream.filter((row) => row.n > 0).keyBy('k');
    for (const [what, make] of Object.entries({
      'count window': () => keyed.window(countWindow(2)).count(),
      windowAll: () => stream.withProcessingTime().windowAll(tumbling(10)).count(),
      'windowed top': () => stream.withProcessingTime().keyBy('k').window(tumbling(10)).top(1, { by: 'n' }),
      session: () => stream.withProcessingTime().keyBy('k').window(session(10)).count(),
      dropDuplicates: () => keyed.dropDuplicates(),
      over: () => keyed.over({ rows: count({ rows: 3 }) }),
    })) {
      assert.throws(make, refused, `${what} behind ${name}`);
    }
  }
  const { keyed, rows } = input();
  const timed = keyed.window(sliding(10, 5).emit('update')).count();
  // @ts-expect-error a table has no times
  assert.throws(() => timed.keyBy('k').join(rows.keyBy('k'), { within: [0, 10] }), refused);
  // @ts-expect-error likewise
  assert.throws(() => rows.keyBy('k').window(tumbling(10)).join(timed.keyBy('k')), refused);
});

test('the latest update of each key is taken, by keys that tell the updates apart', () => {
  const { keyed } = input();
  const windows = keyed.window(tumbling(10).emit('update')).count();
  const latest = windows
    .keyBy('k')
    .aggregate({ count: last('count') })
    .to(collect());
  const driver = testDriver(latest, { partitions: 1 });
  for (const at of [1, 2, 13]) {
    driver.send([{ k: 'a', v: 1, at }]);
    driver.endEpoch();
  }
  assert.deepEqual(
    driver.output().map((row) => row.count),
    [1, 2, 1],
  );
  const refused = { code: 'ERR_MILLRACE_PIPELINE', message: /stands behind a table.*cannot be taken out again/ };
  assert.throws(() => windows.keyBy('count').aggregate({ k: last('k') }), refused);
  assert.throws(() => windows.keyBy('k').aggregate({ count: last('count'), all: count() }), refused);
});

test('sinks, row functions, tables and process() take updates; windows that come out once are facts', () => {
  const { keyed, rows } = input();
  const counts = keyed.count();
  // The latest count of each key, at the end of the epoch.
  const joined = rows.keyBy('k').join(counts.keyBy('k')).to(collect());
  counts
    .filter((row) => row.count > 0)
    .map({ k: utf8, twice: f64 }, (row) => ({ k: row.k, twice: row.count * 2 }))
    .keyBy('k')
    .process({ schema: { k: utf8, twice: f64 }, onRow: (row, ctx) => ctx.emit(row) })
    .keyBy('k')
    .aggregate({ changes: count() })
    .to(collect());
  keyed.window(tumbling(10)).count().keyBy('k').aggregate({ most: count() }).to(collect());
  const driver = testDriver(joined, { partitions: 1 });
  driver.send([
    { k: 'a', v: 1, at: 1 },
    { k: 'a', v: 1, at: 12 },
  ]);
  driver.endEpoch();
  assert.deepEqual(
    driver.output(0).map((row) => row.count),
    [2, 2],
  );
  assert.deepEqual(driver.output(1), [{ k: 'a', changes: 1 }]);
  assert.deepEqual(driver.output(2), [{ k: 'a', most: 1 }]);
});
