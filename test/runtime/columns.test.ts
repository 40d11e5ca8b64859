/** withColumns(), rename() and union by name: what comes out, what goes along (event time, keys of updates), what is refused. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnyRow, collect, count, f64, last, memory, nullable, pipeline, type Sink, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const schema = { page: utf8, ms: f64, at: timestamp };
const rows = [
  { page: '/A', ms: 250, at: 1_000 },
  { page: '/b', ms: 750, at: 2_000 },
  { page: '/A', ms: 500, at: 61_000 },
];
const clicks = () => pipeline('columns').from(memory([], { schema }));

/** What a stream makes of the rows. */
function output(of: (stream: ReturnType<typeof clicks>) => { to(sink: Sink): Parameters<typeof testDriver>[0] }): readonly AnyRow[] {
  const driver = testDriver(of(clicks()).to(collect() as Sink), { partitions: 1 });
  driver.send(rows);
  driver.close();
  return driver.output();
}

const byPage = (seen: readonly AnyRow[]) => [...seen].sort((a, b) => (`${a['page']} ${a['windowStart']}` < `${b['page']} ${b['windowStart']}` ? -1 : 1));

test('withColumns adds and replaces; every function sees the row as it came', () => {
  const seen = output((stream) =>
    stream.withColumns({ ms: [f64, (r) => r.ms / 1_000], both: [utf8, (r) => `${r.page} ${r.ms}`], none: [nullable(f64), (r) => (r.ms > 600 ? null : r.ms)] }),
  );
  assert.deepEqual(
    seen,
    rows.map(({ page, ms, at }) => ({ page, ms: ms / 1_000, at, both: `${page} ${ms}`, none: ms > 600 ? null : ms })),
  );
  // A type may change, too.
  const typed = clicks().withColumns({ ms: [utf8, (r) => String(r.ms)] });
  typed.filter((r) => r.ms.length > 2);
  assert.equal(typed.schema.field(1).type.name, 'utf8');
});

test('rename keeps the rest, and may let names change places', () => {
  const seen = output((stream) => stream.withColumns({ host: [utf8, () => 'h'] }).rename({ page: 'host', host: 'page', ms: 'took' }));
  assert.deepEqual(
    seen,
    rows.map(({ page, ms, at }) => ({ host: page, took: ms, at, page: 'h' })),
  );
});

test('event time goes along under its new name, and windows go by it', () => {
  const seen = output((stream) =>
    stream
      .withWatermark('at', 0)
      .rename({ at: 'when' })
      .withColumns({ page: [utf8, (r) => r.page.toLowerCase()] })
      .keyBy('page')
      .window(tumbling('1m'))
      .aggregate({ clicks: count(), ms: sum('ms') }),
  );
  assert.deepEqual(byPage(seen), [
    { page: '/a', windowStart: 0, windowEnd: 60_000, clicks: 1, ms: 250 },
    { page: '/a', windowStart: 60_000, windowEnd: 120_000, clicks: 1, ms: 500 },
    { page: '/b', windowStart: 0, windowEnd: 60_000, clicks: 1, ms: 750 },
  ]);
});

test('the end of a window under another name is the time of the windows behind it', () => {
  const seen = output((stream) =>
    stream
      .withWatermark('at', 0)
      .keyBy('page')
      .window(tumbling('1s'))
      .count()
      .rename({ windowStart: 'from', windowEnd: 'to' })
      .windowAll(tumbling('1m'))
      .aggregate({ clicks: sum('count') }),
  );
  assert.deepEqual(seen, [
    { windowStart: 0, windowEnd: 60_000, clicks: 2 },
    { windowStart: 60_000, windowEnd: 120_000, clicks: 1 },
  ]);
});

test('the latest update of a key is known by the new name of the key, and of no other', () => {
  const counts = clicks().keyBy('page').count().rename({ page: 'url' });
  counts.keyBy('url').aggregate({ clicks: last('count') });
  assert.throws(
    () =>
      counts
        .rename({ count: 'page' })
        .keyBy('page')
        .aggregate({ url: last('url') }),
    { code: 'ERR_MILLRACE_PIPELINE' },
  );
});

test('union takes the same columns in any order', () => {
  const seen = output((stream) => stream.filter((r) => r.ms > 600).union(stream.filter((r) => r.ms < 300).select('at', 'ms', 'page')));
  assert.deepEqual(
    [...seen].sort((a, b) => (a['ms'] as number) - (b['ms'] as number)),
    [rows[0], rows[1]],
  );
  assert.throws(() => clicks().union(clicks().rename({ ms: 'took' }) as never), { code: 'ERR_MILLRACE_PIPELINE', message: /same columns/ });
});

test('what is refused, by types and where there are none', () => {
  const stream = clicks();
  const refused = (build: () => unknown, message: RegExp) => assert.throws(build, { code: /ERR_MILLRACE_(PIPELINE|SCHEMA)/, message });
  // @ts-expect-error no such column
  refused(() => stream.rename({ pgae: 'url' }), /rename names the column "pgae"/);
  // @ts-expect-error a name is a text
  refused(() => stream.rename({ page: 1 }), /rename\(\) got .*rename\(\{ ts: 'at' \}\)/);
  refused(() => stream.rename({}), /Give new names by the old ones/);
  refused(() => stream.rename({ page: 'ms' }), /Two columns are named "ms"/);
  // @ts-expect-error a function is missing
  refused(() => stream.withColumns({ total: [f64] }), /"total".*its type and a function/);
  refused(() => stream.withColumns({}), /Give the columns by name/);
  // @ts-expect-error a text where a number belongs
  stream.withColumns({ total: [f64, (r) => r.page] });
  // @ts-expect-error no such column
  stream.withColumns({ total: [f64, (r) => r.mss] });
  // @ts-expect-error it has another name now
  stream.rename({ ms: 'took' }).filter((r) => r.ms > 0);
  refused(() => testDriver(stream.withColumns({ late: [f64, async () => 1] as never }).to(collect())), /withColumns #1/);
});
