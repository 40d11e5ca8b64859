// Session windows whose rows have gaps of their own, as pipelines: what functions see, late and failed rows.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type AnyRow,
  aggregator,
  collect,
  count,
  describePlan,
  f64,
  MillraceError,
  memory,
  pipeline,
  session,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { type Graph, graphOf } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';

const SCHEMA = { user: utf8, kind: utf8, at: timestamp, n: f64 };
interface Event {
  readonly user: string;
  readonly kind: string;
  readonly at: number;
  readonly n: number;
}
const SECOND = 1_000;
const event = (kind: string, s: number, n = 1): Event => ({ user: 'u', kind, at: s * SECOND, n });
// A film lasts a minute, a click five seconds.
const gapOf = (r: Event): number => (r.kind === 'film' ? 60_000 : r.kind === 'click' ? 5_000 : r.n);
const source = () =>
  pipeline('sessions')
    .from(memory([] as Event[], { schema: SCHEMA }))
    .withWatermark('at', 0);

/** What comes out when the epochs have been sent and the input has ended. */
function outcome(stream: Parameters<typeof testDriver>[0], ...epochs: readonly Event[][]): readonly AnyRow[] {
  const driver = testDriver(stream, { partitions: 1 });
  for (const rows of epochs) {
    driver.send(rows as readonly object[] as readonly AnyRow[]);
    driver.endEpoch();
  }
  driver.close();
  return driver.output();
}

describe('sessions with a gap for each row', () => {
  test('a row reaches as far as its gap; one of a long gap joins those that lie in it', () => {
    const sees = new Set<string>();
    const kinds = aggregator({
      type: utf8,
      init: () => '',
      add(state, row: Event) {
        for (const name of Object.keys(row)) sees.add(name);
        return state + row.kind[0];
      },
      merge: (a, b) => a + b,
      result: (state) => state,
    });
    const windows = source()
      .keyBy('user')
      // The type of the row comes from the stream.
      .window(session((r) => (r.kind === 'film' ? 60_000 : r.kind === 'click' ? 5_000 : r.n)))
      .aggregate({ rows: count(), n: sum((r) => r.n * 2), kinds });
    const first = [event('click', 10), event('click', 30), event('click', 50), event('click', 100), event('film', 12), event('click', 72)];
    assert.deepEqual(outcome(windows.to(collect()), first, [event('other', 105, 1), event('click', 106)]), [
      { user: 'u', windowStart: 10_000, windowEnd: 77_000, rows: 5, n: 10, kinds: 'cccfc' },
      { user: 'u', windowStart: 100_000, windowEnd: 105_001, rows: 2, n: 4, kinds: 'co' },
      { user: 'u', windowStart: 106_000, windowEnd: 111_000, rows: 1, n: 2, kinds: 'c' },
    ]);
    assert.deepEqual([...sees].sort(), ['at', 'kind', 'n', 'user', '[n]'].sort());
  });

  test('reduce and top, with results that are taken back', () => {
    const sessions = source().keyBy('user').window(session(gapOf).lateness('10m').emit('update'));
    const epochs = [[event('click', 10, 5), event('click', 30, 7)], [event('film', 12, 6)]] as const;
    const columns = ({ windowStart, windowEnd, n, retracted }: AnyRow) => [windowStart, windowEnd, n, retracted];
    const expected = [
      [10_000, 15_000, 5, false],
      [30_000, 35_000, 7, false],
      [10_000, 15_000, 5, true],
      [30_000, 35_000, 7, true],
      [10_000, 72_000, 7, false],
    ];
    const reduced = sessions.reduce((a, b) => (a.n >= b.n ? a : b)).to(collect());
    const top = sessions.top(1, { by: 'n' }).to(collect());
    for (const stream of [reduced, top]) assert.deepEqual(outcome(stream, ...epochs.map((rows) => [...rows])).map(columns), expected);
  });

  test('a row is late when its own end is: it comes as it was', () => {
    const p = source();
    const windows = p
      .keyBy('user')
      .window(session(gapOf))
      .aggregate({ n: sum((r) => r.n + 1) });
    const rows = outcome(windows.late.to(collect()), [event('click', 50)], [event('click', 40), event('film', 40)]);
    assert.deepEqual(rows, [{ ...event('click', 40), source: 'memory', partition: 0, offset: 1 }]);
  });

  test('a gap that is none fails its row, and goes to errors', () => {
    for (const gap of [0, -1, 1.5, Number.NaN, '5s', undefined]) {
      const windows = () =>
        source()
          .keyBy('user')
          .window(session((r: Event) => (r.kind === 'bad' ? (gap as number) : 1_000)))
          .count();
      assert.throws(
        () => outcome(windows().to(collect()), [event('good', 1), event('bad', 1)]),
        (error) =>
          error instanceof MillraceError && error.code === 'ERR_MILLRACE_USER_FUNCTION' && /session\(\).*the gap of a row.*partition 0/s.test(error.message),
      );
      const guarded = windows().to(collect());
      guarded.errors.to(collect());
      assert.deepEqual(outcome(guarded, [event('good', 1), event('bad', 1)]), [{ user: 'u', windowStart: 1_000, windowEnd: 2_000, count: 1 }]);
    }
  });

  test('windows of windows; the plan says it', () => {
    const perMinute = source().keyBy('user').window(tumbling('10s')).count();
    const runs = perMinute
      .keyBy('user')
      .window(session((r) => r.count * 10_000))
      .aggregate({ windows: count(), rows: sum('count') });
    const stream = runs.to(collect());
    assert.match(describePlan(makePlan(graphOf(stream) as Graph)), /session\(gap by row\)/);
    const rows = outcome(stream, [event('a', 1), event('a', 2), event('a', 25), event('a', 60)]);
    assert.deepEqual(
      rows.map(({ windows, rows: n }) => [windows, n]),
      [
        [2, 3],
        [1, 1],
      ],
    );
  });

  test('types: the function takes the rows of the stream', () => {
    const keyed = source().keyBy('user');
    // @ts-expect-error no such column
    assert.ok(keyed.window(session((r) => r.none as number)));
    // @ts-expect-error rows of other columns
    assert.ok(keyed.window(session((r: { readonly none: number }) => r.none)));
    assert.ok(
      keyed.window(
        session((r: Event) => r.n)
          .lateness('1s')
          .emit('revise'),
      ),
    );
    // @ts-expect-error no number
    assert.ok(keyed.window(session((r) => r.kind)));
  });
});
