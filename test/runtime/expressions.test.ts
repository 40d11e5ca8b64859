/** Aggregates of expressions and with conditions, against a loop: in every kind of aggregation, compiled and not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AnyRow,
  aggregator,
  collect,
  count,
  countWindow,
  f64,
  i64,
  last,
  max,
  mean,
  memory,
  min,
  nullable,
  pipeline,
  type Sink,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { describePlan, GRAPH, makePlan } from '../../runtime/plan/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const schema = { page: utf8, ms: f64, bytes: i64, status: f64, note: nullable(utf8), at: timestamp };
const rows = Array.from({ length: 60 }, (_, i) => ({
  page: `/${i % 3}`,
  ms: (i * 37) % 50,
  bytes: BigInt(i) * 10n,
  status: i % 7 === 0 ? 500 : 200,
  note: i % 5 === 0 ? null : `n${i}`,
  at: i * 1_000,
}));
type Row = (typeof rows)[number];
const limit = 25;
const stream = () => pipeline('expressions').from(memory([], { schema })).withWatermark('at', 0);

const aggregates = {
  rows: count(),
  failed: count({ where: (r: Row) => r.status >= 500 }),
  // A captured variable keeps the function as it is.
  slow: count({ where: (r: Row) => r.ms > limit }),
  cost: sum((r: Row) => r.ms * 2 + r.status / 100),
  okMs: sum('ms', { where: (r: Row) => r.status < 500 }),
  okBytes: sum('bytes', { where: (r: Row) => r.status < 500 }),
  never: sum('ms', { where: () => false }),
  longest: max((r: Row) => r.ms % 13, { where: (r: Row) => r.note !== null }),
  least: min('ms', { where: (r: Row) => r.ms > 3 }),
  noted: max((r: Row) => r.note?.length ?? 0),
  // The function is not called where the condition does not hold.
  guarded: mean((r: Row) => (r.note as string).length, { where: (r: Row) => r.note !== null }),
  texts: min('note', { where: (r: Row) => r.ms > 10 }),
};

/** The same by a loop. */
function model(of: readonly Row[]) {
  const ok = of.filter((r) => r.status < 500);
  const noted = of.filter((r) => r.note !== null);
  const least = of.filter((r) => r.ms > 3).map((r) => r.ms);
  const texts = of.flatMap((r) => (r.ms > 10 && r.note !== null ? [r.note] : [])).sort();
  return {
    rows: of.length,
    failed: of.length - ok.length,
    slow: of.filter((r) => r.ms > limit).length,
    cost: of.reduce((all, r) => all + r.ms * 2 + r.status / 100, 0),
    okMs: ok.length === 0 ? null : ok.reduce((all, r) => all + r.ms, 0),
    okBytes: ok.length === 0 ? null : ok.reduce((all, r) => all + r.bytes, 0n),
    never: null,
    longest: noted.length === 0 ? null : Math.max(...noted.map((r) => r.ms % 13)),
    least: least.length === 0 ? null : Math.min(...least),
    noted: Math.max(...of.map((r) => r.note?.length ?? 0)),
    guarded: noted.length === 0 ? null : noted.reduce((all, r) => all + (r.note as string).length, 0) / noted.length,
    texts: texts[0] ?? null,
  };
}

function output(of: { to(sink: Sink): Parameters<typeof testDriver>[0] }, options: Parameters<typeof testDriver>[1] = {}): readonly AnyRow[] {
  const driver = testDriver(of.to(collect() as Sink), { partitions: 1, shards: 2, ...options });
  driver.send(rows);
  driver.close();
  return [...driver.output()].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
}
const textOf = (row: AnyRow) => `${row['page']} ${String(row['windowStart']).padStart(8, '0')}`;
const pageRows = (page: string) => rows.filter((r) => r.page === page);

for (const codeGeneration of [true, false])
  test(`running, in windows and sessions, of rows and with functions of one's own: as a loop has it (${codeGeneration ? 'compiled' : 'interpreted'})`, () => {
    const options = { codeGeneration };
    const pages = ['/0', '/1', '/2'];
    const byPage = () => stream().keyBy('page');
    assert.deepEqual(
      output(byPage().aggregate(aggregates), options),
      pages.map((page) => ({ page, ...model(pageRows(page)) })),
    );
    assert.deepEqual(
      output(byPage().window(tumbling('20s')).aggregate(aggregates), options),
      pages.flatMap((page) =>
        [0, 20_000, 40_000].map((windowStart) => ({
          page,
          windowStart,
          windowEnd: windowStart + 20_000,
          ...model(pageRows(page).filter((r) => Math.floor(r.at / 20_000) * 20_000 === windowStart)),
        })),
      ),
    );
    assert.deepEqual(
      output(byPage().window(session('1m')).aggregate(aggregates), options).map(({ windowStart: _, windowEnd: __, ...row }) => row),
      pages.map((page) => ({ page, ...model(pageRows(page)) })),
    );
    const slides = output(stream().windowAll(sliding('40s', '20s')).aggregate(aggregates), options);
    for (const { windowStart, windowEnd, ...row } of slides) {
      assert.deepEqual(row, model(rows.filter((r) => r.at >= (windowStart as number) && r.at < (windowEnd as number))));
    }
    assert.equal(slides.length, 4);
    const mixed = byPage().aggregate({
      ...aggregates,
      own: aggregator({ init: () => 0, add: (all: number, row: Row) => all + row.ms, merge: (a: number, b: number) => a + b, result: (all) => all, type: f64 }),
    });
    assert.deepEqual(
      output(mixed, options),
      pages.map((page) => ({ page, ...model(pageRows(page)), own: pageRows(page).reduce((all, r) => all + r.ms, 0) })),
    );
    const ofRows = output(byPage().window(countWindow(20)).aggregate(aggregates), options);
    assert.deepEqual(
      ofRows.map((row) => Object.fromEntries(Object.keys(aggregates).map((name) => [name, row[name]]))),
      pages.map((page) => model(pageRows(page))),
    );
  });

test('conditions that are expressions are compiled; late rows are as they came', () => {
  const perMinute = stream()
    .keyBy('page')
    .window(tumbling('10s'))
    .aggregate({ failed: count({ where: (r) => r.status >= 500 }), cost: sum((r) => r.ms * 2) });
  const results = collect();
  const late = collect();
  perMinute.to(results as Sink);
  const driver = testDriver(perMinute.late.to(late as Sink), { partitions: 1 });
  driver.send(rows);
  driver.endEpoch();
  driver.send([rows[1] as Row]);
  driver.close();
  const [row, ...more] = driver.output(1);
  assert.deepEqual(more, []);
  const { source: _, partition: __, offset: ___, ...asItCame } = row as AnyRow;
  assert.deepEqual(asItCame, rows[1]);
  assert.match(describePlan(makePlan(perMinute[GRAPH])), /withColumns: expression over status, ms/);
});

test('types and messages', () => {
  const keyed = stream().keyBy('page');
  const results = keyed.aggregate({
    cost: sum((r) => r.ms * 2),
    some: sum((r) => r.ms, { where: (r) => r.status > 200 }),
    bytes: sum('bytes', { where: (r) => r.status > 200 }),
    failed: count({ where: (r) => r.status > 200 }),
    note: last('note'),
  });
  results.filter((r) => r.cost > 1 && r.failed > 1);
  // @ts-expect-error null where the condition holds for no row
  results.map({ n: f64 }, (r) => ({ n: r.some }));
  results.map({ n: nullable(i64), m: nullable(f64) }, (r) => ({ n: r.bytes, m: r.some }));
  // @ts-expect-error no such column
  keyed.aggregate({ cost: sum((r) => r.mss) });
  // @ts-expect-error a text is no number
  keyed.aggregate({ cost: sum((r) => r.page) });
  // @ts-expect-error no such column
  keyed.aggregate({ failed: count({ where: (r) => r.state > 200 }) });
  const refused = (build: () => unknown, code: string, message: RegExp) => assert.throws(build, { code, message });
  // @ts-expect-error no sum of texts
  refused(() => keyed.aggregate({ cost: sum('page', { where: (r) => r.ms > 1 }) }), 'ERR_MILLRACE_PIPELINE', /sum/);
  // @ts-expect-error no such column
  refused(() => keyed.aggregate({ cost: sum('mss', { where: () => true }) }), 'ERR_MILLRACE_PIPELINE', /sum\(\) names the column "mss"/);
  refused(() => count({ were: () => true } as never), 'ERR_MILLRACE_OPTION', /no option "were"\. Did you mean where\?/);
  refused(() => sum('ms', { where: 'status' } as never), 'ERR_MILLRACE_PIPELINE', /where: "status".*function of a row/);
  refused(() => sum(undefined as never, { where: () => true }), 'ERR_MILLRACE_PIPELINE', /names no column/);
  // @ts-expect-error a promise is no number
  refused(() => testDriver(keyed.aggregate({ cost: sum(async () => 1) }).to(collect())), 'ERR_MILLRACE_PIPELINE', /async function/);
});

test('collect of whole rows, and of what a function makes of them: JSON, in windows, running and up to each row', () => {
  const asJson = (list: readonly unknown[]) => JSON.stringify(list, (_, value) => (typeof value === 'bigint' ? Number(value) : value));
  const ofPage = (page: string) => rows.filter((row) => row.page === page);
  const keyed = () => stream().keyBy('page');
  const all = keyed()
    .window(tumbling('1d'))
    .aggregate({ rows: collect((r) => r, { max: 5 }), pairs: collect((r) => [r.ms, r.note]) });
  const running = keyed().aggregate({ ids: collect((r) => (r.ms > 40 ? null : { bytes: r.bytes, 'a "name"': r.note })) });
  const last2 = keyed().over({ seen: [collect((r) => ({ ms: r.ms, note: r.note })), { rows: 2 }] });
  const read = keyed()
    .window(tumbling('1d'))
    .aggregate({ pairs: collect((r) => [r.ms, r.note]) })
    .map({ page: utf8, count: f64 }, (r) => ({ page: r.page, count: (JSON.parse(r.pairs) as unknown[]).length }));
  const driverOf = (of: { to(sink: Sink): unknown }) => testDriver(of.to(collect()) as ReturnType<typeof stream>, { partitions: 1 });
  const outcome = (of: { to(sink: Sink): unknown }): readonly AnyRow[] => {
    const driver = driverOf(of);
    driver.send(rows);
    driver.close();
    return driver.output();
  };
  for (const { page, rows: some, pairs } of outcome(all) as readonly { page: string; rows: string; pairs: string }[]) {
    assert.equal(some, asJson(ofPage(page).slice(0, 5)));
    assert.equal(pairs, asJson(ofPage(page).map(({ ms, note }) => [ms, note])));
  }
  for (const { page, ids } of outcome(running) as readonly { page: string; ids: string }[]) {
    assert.equal(ids, asJson(ofPage(page).map(({ ms, bytes, note }) => (ms > 40 ? null : { bytes, 'a "name"': note }))));
  }
  const seen = outcome(last2) as readonly { page: string; at: number; seen: string }[];
  for (const { page, at, seen: text } of seen) {
    const before = ofPage(page).filter((row) => row.at <= at);
    assert.equal(text, asJson(before.slice(-2).map(({ ms, note }) => ({ ms, note }))));
  }
  assert.equal(seen.length, rows.length);
  assert.deepEqual(
    outcome(read).map(({ count: n }) => n),
    [20, 20, 20],
  );
  // @ts-expect-error no such column
  assert.throws(() => keyed().aggregate({ ids: collect('pgae') }), /"pgae"/);
});
