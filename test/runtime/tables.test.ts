/** Tables: what is made of rows that are replaced and go. Beside a plain loop over all rows so far, after every epoch. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type AnyRow,
  aggregator,
  bool,
  collect,
  count,
  countDistinct,
  f64,
  first,
  last,
  max,
  mean,
  median,
  memory,
  min,
  nullable,
  pipeline,
  quantile,
  session,
  sum,
  type Table,
  timestamp,
  tumbling,
  utf8,
  variance,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

type Play = {
  readonly user: string;
  readonly song: string;
  readonly ms: number | null;
  readonly at: number;
};

type User = {
  readonly user: string;
  readonly region: string;
  readonly gone: boolean;
};

/** All rows so far, in the order in which they came. */
interface Input {
  readonly plays: readonly Play[];
  readonly users: readonly User[];
}

interface Case {
  readonly table: Table<unknown, never>;
  expected(input: Input): readonly AnyRow[];
  /** What is out depends on the watermark: it is looked at behind the end of the input only. */
  readonly isAtEnd?: boolean;
}

/** Groups of rows, by the columns of `keyOf`. */
function groups<R>(rows: readonly R[], keyOf: (row: R) => AnyRow): { key: AnyRow; rows: R[] }[] {
  const made = new Map<string, { key: AnyRow; rows: R[] }>();
  for (const row of rows) {
    const key = keyOf(row);
    const id = JSON.stringify(key);
    if (!made.has(id)) made.set(id, { key, rows: [] });
    made.get(id)?.rows.push(row);
  }
  return [...made.values()];
}

const total = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const inOrder = (values: readonly number[]) => [...values].sort((a, b) => a - b);
const SONG = { song: utf8 };

const songCounts = ({ plays }: Input) => groups(plays, ({ song }) => ({ song })).map(({ key, rows }) => ({ song: key.song as string, count: rows.length }));
const userCounts = ({ plays }: Input) => groups(plays, ({ user }) => ({ user })).map(({ key, rows }) => ({ user: key.user as string, count: rows.length }));
const usersNow = ({ users }: Input) => [...new Map(users.map((user) => [user.user, user])).values()].filter(({ gone }) => !gone);
const regionsNow = (input: Input) =>
  groups(usersNow(input), ({ region }) => ({ region })).map(({ key, rows }) => ({ region: key.region as string, count: rows.length }));
const lastPlays = ({ plays }: Input) => [...new Map(plays.map((play) => [play.user, play])).values()];
const genreOf = (song: string) => (song < 'c' ? 'early' : 'late');

/** Rows of both with equal values of a column. */
function joined(left: readonly AnyRow[], right: readonly AnyRow[], by: string, type: string): AnyRow[] {
  const nulls = (row: AnyRow | undefined) => Object.fromEntries(Object.keys(row ?? {}).map((name) => [name, null]));
  const rightOf = (row: AnyRow | undefined) => Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name === 'count' ? 'n' : name, value]));
  const out: AnyRow[] = [];
  for (const row of left) {
    const met = right.filter((other) => other[by] === row[by]);
    for (const other of met) out.push({ ...rightOf(other), ...row });
    if (met.length === 0 && (type === 'left' || type === 'full')) out.push({ n: null, ...row });
  }
  for (const row of right) {
    if (left.some((other) => other[by] === row[by]) || type === 'inner' || type === 'left') continue;
    out.push({ ...nulls(left[0] ?? { user: '', region: '', gone: true }), ...rightOf(row) });
  }
  return out;
}

function cases(): Record<string, Case> {
  const p = pipeline('tables');
  const plays = p.from(memory([], { schema: { user: utf8, song: utf8, ms: nullable(f64), at: timestamp } })).withWatermark('at', 0);
  const facts = p.from(memory([], { schema: { user: utf8, region: utf8, gone: bool } }));
  const counts = plays.keyBy('song').count();
  const byUser = plays.keyBy('user').count();
  const users = facts.keyBy('user').table({ delete: (r) => r.gone });
  const regions = users.groupBy('region').count();
  const latest = plays.keyBy('user').table();
  const window = tumbling(20).lateness(1_000);
  const joins = Object.fromEntries(
    (['inner', 'left', 'right', 'full'] as const).flatMap((type) => [
      [
        `${type} join by key`,
        {
          table: users.groupBy('user').join(byUser.rename({ count: 'n' }).groupBy('user'), { type }),
          expected: (input: Input) => joined(usersNow(input), userCounts(input), 'user', type),
        },
      ],
      [
        `${type} join by another column`,
        {
          table: users.groupBy('region').join(
            regions
              .rename({ count: 'n' })
              .filter((r) => r.n !== 2)
              .groupBy('region'),
            { type },
          ),
          expected: (input: Input) =>
            joined(
              usersNow(input),
              regionsNow(input).filter((r) => r.count !== 2),
              'region',
              type,
            ),
        },
      ],
    ]),
  ) as unknown as Record<string, Case>;
  const made: Record<string, Omit<Case, 'table'> & { readonly table: object }> = {
    'plays of a genre': {
      table: counts
        .groupBy({ genre: utf8 }, (r) => ({ genre: genreOf(r.song) }))
        .aggregate({
          plays: sum('count'),
          songs: count(),
          most: max('count'),
          least: min('count'),
          mean: mean('count'),
          kinds: countDistinct('count'),
          middle: median('count'),
          high: quantile('count', 0.75),
          odd: sum('count', { where: (r) => r.count % 2 === 1 }),
          twice: sum((r) => r.count * 2),
          all: collect('count'),
          whole: collect((r) => r),
          one: first('song', { by: 'count' }),
          other: last('song', { by: 'count' }),
        }),
      expected: (input) =>
        groups(songCounts(input), ({ song }) => ({ genre: genreOf(song) })).map(({ key, rows }) => {
          const values = inOrder(rows.map((r) => r.count));
          const songs = [...rows].sort((a, b) => a.count - b.count || (a.song < b.song ? -1 : 1)).map((r) => r.song);
          const odd = values.filter((n) => n % 2 === 1);
          return {
            ...key,
            plays: total(values),
            songs: values.length,
            most: values.at(-1),
            least: values[0],
            mean: total(values) / values.length,
            kinds: new Set(values).size,
            middle: ((values[(values.length - 1) >> 1] as number) + (values[values.length >> 1] as number)) / 2,
            high: values[Math.floor(0.75 * (values.length - 1))],
            odd: odd.length === 0 ? null : total(odd),
            twice: 2 * total(values),
            all: JSON.stringify(values),
            whole: `[${rows.map((r) => JSON.stringify({ song: r.song, count: r.count, ...key })).sort((a, b) => (a < b ? -1 : 1))}]`,
            one: songs[0],
            other: songs.at(-1),
          };
        }),
    },
    'plays of everything': {
      table: counts.aggregate({ plays: sum('count') }),
      expected: ({ plays }) => (plays.length === 0 ? [] : [{ plays: plays.length }]),
    },
    'songs by their count': {
      table: counts.groupBy('count').aggregate({ songs: count() }),
      expected: (input) => groups(songCounts(input), (r) => ({ count: r.count })).map(({ key, rows }) => ({ ...key, songs: rows.length })),
    },
    'users by region': { table: regions, expected: regionsNow },
    'regions by their users, by count': {
      table: regions.groupBy('count').aggregate({ regions: count(), least: min('region') }),
      expected: (input) =>
        groups(regionsNow(input), (r) => ({ count: r.count })).map(({ key, rows }) => ({
          ...key,
          regions: rows.length,
          least: rows.map((r) => r.region).sort()[0],
        })),
    },
    'what was played last': {
      table: latest.groupBy('song').aggregate({ n: count(), ms: sum('ms'), mean: mean('ms'), least: min('ms'), spread: variance('ms') }),
      expected: (input) =>
        groups(lastPlays(input), ({ song }) => ({ song })).map(({ key, rows }) => {
          const values = inOrder(rows.flatMap(({ ms }) => (ms === null ? [] : [ms])));
          const n = values.length;
          const squares = n * total(values.map((v) => v * v)) - total(values) ** 2;
          return {
            ...key,
            n: rows.length,
            ms: n === 0 ? null : total(values),
            mean: n === 0 ? null : total(values) / n,
            least: values[0] ?? null,
            spread: n < 2 ? null : squares / n / (n - 1),
          };
        }),
    },
    'row functions': {
      table: counts
        .filter((r) => r.count % 3 !== 0)
        .withColumns({ half: [f64, (r) => r.count / 2] })
        .rename({ song: 'name' })
        .map({ name: utf8, half: f64 }, (r) => ({ name: r.name, half: r.half }))
        .select('half', 'name'),
      expected: (input) =>
        songCounts(input)
          .filter((r) => r.count % 3 !== 0)
          .map((r) => ({ name: r.song, half: r.count / 2 })),
    },
    'row functions, then groups': {
      table: users
        .drop('gone')
        .filter((r) => r.user !== 'u1')
        .flatMap({ letter: utf8 }, (r) => [r.user, r.region].map((letter) => ({ letter })))
        .groupBy('letter')
        .count(),
      expected: (input) =>
        groups(
          usersNow(input)
            .filter((r) => r.user !== 'u1')
            .flatMap((r) => [r.user, r.region]),
          (letter) => ({ letter }),
        ).map(({ key, rows }) => ({ ...key, count: rows.length })),
    },
    'top of each genre': {
      table: counts.groupBy({ genre: utf8 }, (r) => ({ genre: genreOf(r.song) })).top(2, { by: 'count', as: 'place' }),
      expected: (input) =>
        groups(songCounts(input), ({ song }) => ({ genre: genreOf(song) })).flatMap(({ key, rows }) =>
          rows
            .sort((a, b) => b.count - a.count || (a.song < b.song ? -1 : 1))
            .slice(0, 2)
            .map((row, i) => ({ ...key, ...row, place: i + 1 })),
        ),
    },
    'top, filtered, counted': {
      table: regions
        .groupBy('count')
        .top(1, { by: 'region' })
        .filter((r) => r.region !== 'north')
        .count(),
      expected(input) {
        const n = groups(regionsNow(input), (r) => ({ count: r.count })).filter(
          ({ rows }) =>
            rows
              .map((r) => r.region)
              .sort()
              .at(-1) !== 'north',
        ).length;
        return n === 0 ? [] : [{ count: n }];
      },
    },
    'a reduce with remove': {
      table: latest
        .map({ ...SONG, n: f64, user: utf8 }, (r) => ({ song: r.song, n: (r.ms ?? 0) * 4, user: r.user }))
        .select('song', 'n', 'user')
        .groupBy('song')
        .reduce((a, b) => ({ song: a.song, n: a.n + b.n, user: '' }), { remove: (a, b) => ({ song: a.song, n: a.n - b.n, user: '' }) })
        .map({ ...SONG, n: f64 }, (r) => ({ song: r.song, n: r.n })),
      expected: (input) => groups(lastPlays(input), ({ song }) => ({ song })).map(({ key, rows }) => ({ ...key, n: total(rows.map((r) => (r.ms ?? 0) * 4)) })),
    },
    'an aggregator with remove': {
      table: users.groupBy('region').aggregate({
        letters: aggregator({
          type: f64,
          init: () => 0,
          add: (n: number, r: User) => n + r.user.length,
          merge: (a, b) => a + b,
          remove: (n, r) => n - r.user.length,
          result: (n) => n,
        }),
        n: count(),
      }),
      expected: (input) => groups(usersNow(input), ({ region }) => ({ region })).map(({ key, rows }) => ({ ...key, letters: 2 * rows.length, n: rows.length })),
    },
    'windows that are updated': {
      table: plays
        .keyBy('song')
        .window(window.emit('update'))
        .count()
        .groupBy('count')
        .aggregate({ windows: count(), from: min('windowStart') }),
      expected: ({ plays: rows }) =>
        groups(
          groups(rows, (r) => ({ song: r.song, start: Math.floor(r.at / 20) * 20 })),
          (of) => ({ count: of.rows.length }),
        ).map(({ key, rows: of }) => ({ ...key, windows: of.length, from: Math.min(...of.map((w) => w.key.start as number)) })),
    },
    'windows that are revised': {
      isAtEnd: true,
      table: plays
        .keyBy('song')
        .window(window.emit('revise'))
        .count()
        .groupBy('song')
        .aggregate({ plays: sum('count'), windows: count() }),
      expected: ({ plays: rows }) =>
        groups(rows, ({ song }) => ({ song })).map(({ key, rows: of }) => ({
          ...key,
          plays: of.length,
          windows: new Set(of.map((r) => Math.floor(r.at / 20))).size,
        })),
    },
    'sessions that merge': {
      table: plays
        .keyBy('user')
        .window(session(6).lateness(1_000).emit('update'))
        .count()
        .groupBy('user')
        .aggregate({ plays: sum('count'), sessions: count() }),
      expected: ({ plays: rows }) =>
        groups(rows, ({ user }) => ({ user })).map(({ key, rows: of }) => {
          const times = inOrder(of.map((r) => r.at));
          return { ...key, plays: times.length, sessions: times.filter((at, i) => i === 0 || at > (times[i - 1] as number) + 6).length };
        }),
    },
    'a union of tables': {
      table: counts
        .rename({ song: 'name' })
        .union(byUser.rename({ user: 'name' }))
        .groupBy('count')
        .aggregate({ names: count(), least: min('name') }),
      expected: (input) =>
        groups(
          [...songCounts(input).map((r) => ({ name: r.song, count: r.count })), ...userCounts(input).map((r) => ({ name: r.user, count: r.count }))],
          (r) => ({ count: r.count }),
        ).map(({ key, rows }) => ({ ...key, names: rows.length, least: rows.map((r) => r.name).sort()[0] })),
    },
  };
  return { ...(made as Record<string, Case>), ...joins };
}

const textOf = (row: AnyRow) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));

/** Takes changes in: a row that is taken back must be there. */
class Applied {
  readonly rows = new Map<string, number>();

  apply(changes: readonly AnyRow[], what: string): void {
    for (const { retracted, ...row } of changes) {
      const text = textOf(row);
      const had = this.rows.get(text) ?? 0;
      assert.ok(retracted === false || had > 0, `${what}: ${text} is taken back, and is not there`);
      this.rows.set(text, had + (retracted === true ? -1 : 1));
    }
  }

  get content(): string[] {
    return [...this.rows].flatMap(([text, n]) => new Array<string>(n).fill(text)).sort();
  }
}

type Event = { readonly play: Play } | { readonly user: User };

const events: fc.Arbitrary<readonly (readonly Event[])[]> = fc.array(
  fc.array(
    fc.oneof(
      fc.record({
        play: fc.record({
          user: fc.constantFrom('u1', 'u2', 'u3', 'u4', 'u5'),
          song: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
          ms: fc.option(fc.integer({ min: -8, max: 40 }).map((n) => n / 4)),
          at: fc.integer({ min: 0, max: 99 }),
        }),
      }),
      fc.record({
        user: fc.record({
          user: fc.constantFrom('u1', 'u2', 'u3', 'u4', 'u6'),
          region: fc.constantFrom('north', 'south', 'east'),
          gone: fc.nat(3).map((n) => n === 0),
        }),
      }),
    ),
    { maxLength: 14 },
  ),
  { minLength: 1, maxLength: 8 },
);

const NAMES = Object.keys(cases());

describe('tables beside a plain loop', () => {
  const driverOf = (names: readonly string[], options: Parameters<typeof testDriver>[1]) => {
    const all = cases();
    const streams = names.map((name) => (all[name] as Case).table.to(collect({ changelog: 'retract' })));
    return { all, driver: testDriver(streams[0] as never, options) };
  };

  test('after every epoch, however epochs are cut, on any number of shards, with a restart', () => {
    fc.assert(
      fc.property(
        events,
        fc.integer({ min: 1, max: 4 }),
        fc.nat(99),
        fc.nat(8),
        fc.constantFrom(undefined, 0),
        (epochs, shards, seed, restart, stateBytesMax) => {
          const options = { shards, seed, ...(stateBytesMax === undefined ? {} : { stateBytesMax }) };
          let { all, driver } = driverOf(NAMES, options);
          const input: { plays: Play[]; users: User[] } = { plays: [], users: [] };
          const applied = NAMES.map(() => new Applied());
          const taken = NAMES.map(() => 0);
          const look = (isEnd: boolean) => {
            for (const [i, name] of NAMES.entries()) {
              const out = driver.output(i);
              (applied[i] as Applied).apply(out.slice(taken[i]), name);
              taken[i] = out.length;
              if (!isEnd && all[name]?.isAtEnd === true) continue;
              assert.deepEqual((applied[i] as Applied).content, (all[name] as Case).expected(input).map(textOf).sort(), name);
            }
          };
          epochs.forEach((rows, epoch) => {
            if (epoch === restart) {
              const from = driver.snapshot();
              ({ all, driver } = driverOf(NAMES, { shards: 1 + ((shards + 1) % 4), from: structuredClone(from) }));
              taken.fill(0);
            }
            for (const event of rows) {
              // The rows of one user, and so the last of them, come from one partition.
              if ('play' in event) {
                input.plays.push(event.play);
                driver.send(0, [{ ...event.play }], { partition: event.play.user.charCodeAt(1) % 4 });
              } else {
                input.users.push(event.user);
                driver.send(1, [{ ...event.user }], { partition: event.user.user.charCodeAt(1) % 4 });
              }
            }
            driver.endEpoch();
            look(false);
          });
          driver.close();
          look(true);
        },
      ),
      { numRuns: caseCount(60) },
    );
  });
});

describe('a count of counts', () => {
  const songs = () => {
    const plays = memory([], { schema: { song: utf8, genre: utf8 } });
    return pipeline('songs').from(plays).keyBy('song', 'genre').count();
  };
  const play = (driver: ReturnType<typeof testDriver>) => {
    for (const song of ['a', 'b', 'a', 'c', 'a']) {
      driver.send([{ song, genre: 'x' }]);
      driver.endEpoch();
    }
  };

  test('songs a, b, a, c, a: the plays of all are 5, and the top two are right', () => {
    const counts = songs();
    counts
      .groupBy('genre')
      .aggregate({ plays: sum('count') })
      .to(collect({ changelog: 'append' }));
    counts.aggregate({ plays: sum('count') }).to(collect());
    const top = counts
      .groupBy('genre')
      .top(2, { by: 'count' })
      .to(collect({ changelog: 'append' }));
    const driver = testDriver(top);
    play(driver);
    assert.deepEqual(
      driver.output(0).map((row) => row.plays),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(driver.output(1).slice(-2), [
      { plays: 4, retracted: true },
      { plays: 5, retracted: false },
    ]);
    assert.deepEqual(driver.output(2), [
      { genre: 'x', rank: 1, song: 'a', count: 1 },
      { genre: 'x', rank: 2, song: 'b', count: 1 },
      { genre: 'x', rank: 1, song: 'a', count: 2 },
      { genre: 'x', rank: 1, song: 'a', count: 3 },
    ]);
  });

  test('all at once gives the same as bit by bit', () => {
    const driver = testDriver(
      songs()
        .groupBy('genre')
        .aggregate({ plays: sum('count'), songs: count() })
        .to(collect()),
    );
    driver.send(['a', 'b', 'a', 'c', 'a'].map((song) => ({ song, genre: 'x' })));
    driver.endEpoch();
    assert.deepEqual(driver.output(), [{ genre: 'x', plays: 5, songs: 3, retracted: false }]);
  });

  test('a value that stays comes out once', () => {
    const driver = testDriver(
      songs()
        .groupBy('genre')
        .aggregate({ least: min('count') })
        .to(collect()),
    );
    play(driver);
    assert.deepEqual(driver.output(), [{ genre: 'x', least: 1, retracted: false }]);
  });
});

describe('a sum that gives back', () => {
  test('what is large, infinite or no number leaves nothing behind', () => {
    const rows = pipeline('sums').from(memory([], { schema: { k: utf8, v: f64 } }));
    const table = rows.keyBy('k').table();
    const driver = testDriver(table.aggregate({ sum: sum('v'), mean: mean('v') }).to(collect({ changelog: 'append' })), { partitions: 1 });
    const sums: unknown[] = [];
    driver.send([{ k: 'b', v: 0.1 }]);
    for (const v of [1e300, 0.2, Number.POSITIVE_INFINITY, 0.3, Number.NaN, 0.1, -1e17, 0.25]) {
      driver.send([{ k: 'a', v }]);
      driver.endEpoch();
      sums.push(driver.output().at(-1)?.sum);
    }
    assert.deepEqual(sums, [1e300, 0.1 + 0.2, Number.POSITIVE_INFINITY, 0.1 + 0.3, Number.NaN, 0.2, -1e17 + 0.1, 0.35]);
  });
});

describe('a stream beside a table', () => {
  test('rows that no longer pass a filter are gone for a join, too', () => {
    const p = pipeline('beside');
    const rows = p.from(memory([], { schema: { k: utf8 } }));
    const few = rows
      .keyBy('k')
      .count()
      .filter((r) => r.count < 3);
    const driver = testDriver(rows.keyBy('k').join(few.groupBy('k'), { type: 'left' }).to(collect()), { partitions: 1 });
    for (let i = 0; i < 4; i++) {
      driver.send([{ k: 'a' }]);
      driver.endEpoch();
    }
    assert.deepEqual(driver.output(), [
      { k: 'a', count: 1 },
      { k: 'a', count: 2 },
      { k: 'a', count: null },
      { k: 'a', count: null },
    ]);
  });
});

describe('rows on which a function fails', () => {
  const rowsOf = () => pipeline('failing').from(memory([], { schema: { k: utf8, v: f64 } }));

  test('between a table and what is made of it: the errors of the stream take them, and the job goes on', () => {
    const passed = rowsOf()
      .keyBy('k')
      .count()
      .filter((r) => {
        if (r.count === 2) throw new RangeError('two');
        return true;
      });
    passed
      .groupBy('k')
      .aggregate({ n: max('count') })
      .to(collect());
    const driver = testDriver(passed.errors.to(collect()), { partitions: 1 });
    for (let i = 0; i < 3; i++) {
      driver.send([{ k: 'a', v: 1 }]);
      driver.endEpoch();
    }
    driver.close();
    // 2 is not there: it failed when it came, and when it went.
    assert.deepEqual(
      driver.output(0).map(({ n, retracted }) => [n, retracted]),
      [
        [1, false],
        [1, true],
        [3, false],
      ],
    );
    assert.ok(driver.output(1).length > 0);
    for (const { message } of driver.output(1)) assert.match(String(message), /two/);
  });

  test('a remove: the row is counted, and holds its group no longer', () => {
    const sums = rowsOf()
      .keyBy('k')
      .table({ delete: (r) => r.v < 0 })
      .groupBy({ all: utf8 }, () => ({ all: 'x' }))
      .reduce((a, b) => ({ all: a.all, k: a.k, v: a.v + b.v }), {
        remove: () => {
          throw new RangeError('cannot');
        },
      });
    sums.to(collect());
    const driver = testDriver(sums.errors.to(collect()), { partitions: 1 });
    for (const [k, v] of [
      ['a', 1],
      ['b', 2],
      ['a', -1],
      ['b', -1],
    ] as const) {
      driver.send([{ k, v }]);
      driver.endEpoch();
    }
    driver.close();
    // The 1 stays in the sum; the group is gone with its last row.
    assert.deepEqual(
      driver.output(0).map(({ v, retracted }) => [v, retracted]),
      [
        [1, false],
        [1, true],
        [3, false],
        [3, true],
      ],
    );
    assert.deepEqual(
      driver.output(1).map(({ message }) => /cannot/.test(String(message))),
      [true, true],
    );
  });
});

describe('what is wrong is said where it is written', () => {
  const p = pipeline('wrong');
  const rows = p.from(memory([], { schema: { k: utf8, v: f64, at: timestamp } })).withWatermark('at', 0);
  const counts = rows.keyBy('k').count();
  const refused = (build: () => unknown, message: RegExp, code = 'PIPELINE') => assert.throws(build, { code: `ERR_MILLRACE_${code}`, message });

  test('aggregates that cannot take a row out, with what to take', () => {
    const by = counts.groupBy('count');
    refused(() => by.aggregate({ one: first('k') }), /first\(\) for "one".*Take first\(column, \{ by \}\)/);
    refused(() => by.reduce((a) => a), /reduce\(\).*has no remove/);
    refused(() => by.reduce((a) => a, { inverse: () => {} } as never), /"inverse"/, 'OPTION');
    refused(() => by.top(2, { by: 'k', ties: 'rank' as never }), /ties/);
    const own = aggregator({ type: f64, init: () => 0, add: (s: number) => s + 1, merge: (a, b) => a + b, result: (s) => s });
    refused(() => by.aggregate({ own }), /aggregator "own".*no remove/);
  });

  test('a reduce that forgets keys: what is made of it could not know', () => {
    const spent = rows.keyBy('k').reduce((a) => a, { ttl: '1m' });
    refused(() => spent.groupBy('v').count(), /go without a word of it: by ttl of reduce\(\).*table\(\{ delete \}\)/);
    refused(() => spent.changes(), /ttl of reduce/);
    rows
      .keyBy('k')
      .reduce((a) => a)
      .groupBy('v')
      .count();
  });

  test('what takes facts: windows, over, dropDuplicates, joins by time, table()', () => {
    const by = counts.groupBy('k');
    // @ts-expect-error a table is no stream of facts
    refused(() => by.dropDuplicates(), /whose rows are updates.*\.changes\(\)/);
    // @ts-expect-error
    refused(() => by.over({ n: count({ rows: 2 }) }), /whose rows are updates/);
    // @ts-expect-error
    refused(() => by.window(tumbling(10)).count(), /window|event time|updates/);
    refused(() => by.table(), /called on a table/);
    refused(() => rows.keyBy('k').table({ deleted: () => true } as never), /"deleted"/, 'OPTION');
    refused(() => rows.keyBy('k').table({ delete: 5 as never }), /delete of table/);
    refused(
      () =>
        counts
          .mapBatches({ k: utf8 }, () => {})
          .groupBy('k')
          .count(),
      /mapBatches/,
    );
  });

  test('.changes() gives facts', () => {
    const changes = counts.changes();
    const n = changes.keyBy('k').aggregate({ n: count(), back: sum((r) => (r.retracted ? 1 : 0)) });
    const driver = testDriver(n.to(collect()), { partitions: 1 });
    for (let i = 0; i < 3; i++) {
      driver.send([{ k: 'a', v: 1, at: i }]);
      driver.endEpoch();
    }
    assert.deepEqual(driver.output().at(-1), { k: 'a', n: 5, back: 2 });
    refused(() => counts.rename({ count: 'retracted' }).changes(), /"retracted", which the rows have already/);
  });
});
