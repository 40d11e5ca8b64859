/**
 * What comes in the order of event time: process of one, two and three streams, with timers, time-to-live and a
 * table; sorted; joins as of an event time. Each against a loop over all rows in the order of their times, which
 * knows no epochs: in one epoch, in epochs of one row, and in random ones, over any number of shards, with a
 * snapshot restored in the middle.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { type AnyRow, bool, broadcast, collect, f64, memory, pipeline, timestamp, utf8 } from '../../runtime/index.ts';
import { type DriverSnapshot, testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(200);
const PARTITIONS = 2;
/** No row is further behind the newest of its partition: none is late, wherever epochs are cut. */
const DELAY_MS = 40;

interface Row {
  readonly k: string;
  readonly id: number;
  readonly n: number;
  readonly at: number;
  readonly gone: boolean;
}
const SCHEMA = { k: utf8, id: f64, n: f64, at: timestamp, gone: bool };

/** A row, and where it comes from. */
interface Sent {
  readonly source: number;
  readonly partition: number;
  readonly row: Row;
}

/** Rows of three sources, in an order in which they may be read. */
const feeds: fc.Arbitrary<Sent[]> = fc
  .array(
    fc.record({
      source: fc.nat(2),
      partition: fc.nat(PARTITIONS - 1),
      k: fc.constantFrom('a', 'b', '__proto__', ''),
      n: fc.integer({ min: 0, max: 30 }),
      step: fc.constantFrom(0, 0, 1, 5, 30),
      behind: fc.constantFrom(0, 0, 0, 1, 10, DELAY_MS),
      gone: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
    }),
    { maxLength: 40 },
  )
  .map((drawn) => {
    const newest = new Map<string, number>();
    return drawn.map(({ source, partition, k, n, step, behind, gone }, id): Sent => {
      const from = `${source} ${partition}`;
      const last = newest.get(from);
      const at = last === undefined ? 1_000 + step : last + step - behind;
      newest.set(from, Math.max(last ?? at, at));
      return { source, partition, row: { k, id, n, at, gone } };
    });
  });

const cutsOf = fc.oneof(
  fc.constant<(i: number) => boolean>(() => false),
  fc.constant<(i: number) => boolean>(() => true),
  fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }).map((ends) => (i: number) => ends[i] === true),
);

/** By time; of one time by rank of the source, then partition, then as sent. */
function inOrder(sent: readonly Sent[], rank: (source: number) => number = (source) => source): Sent[] {
  return [...sent].sort((a, b) => a.row.at - b.row.at || rank(a.source) - rank(b.source) || a.partition - b.partition || a.row.id - b.row.id);
}

const carried = (snapshot: DriverSnapshot): DriverSnapshot => deserialize(serialize(snapshot)) as DriverSnapshot;

/** What comes out of a pipeline, sink by sink, whatever the cuts; `make` begins one anew. */
function outcome(
  make: () => Parameters<typeof testDriver>[0],
  sinks: number,
  sent: readonly Sent[],
  { ends, shards, seed, restoreAt }: { ends(i: number): boolean; shards: number; seed: number; restoreAt: number },
): AnyRow[][] {
  let driver = testDriver(make(), { partitions: PARTITIONS, shards, seed, memoryBytes: 24 << 20 });
  const outputs: AnyRow[][] = Array.from({ length: sinks }, () => []);
  const take = (): void => {
    outputs.forEach((rows, sink) => {
      rows.push(...driver.output(sink));
    });
    assert.equal(driver.counts.get('late') ?? 0, 0, 'nothing is late');
  };
  for (const [i, { source, partition, row }] of sent.entries()) {
    driver.send(source, [row as unknown as AnyRow], { partition });
    if (!ends(i)) continue;
    driver.endEpoch();
    if (i < restoreAt) continue;
    const snapshot = carried(driver.snapshot());
    take();
    driver = testDriver(make(), { from: snapshot, shards: (shards % 4) + 1, memoryBytes: 24 << 20 });
    assert.deepEqual(carried(driver.snapshot()), snapshot);
    restoreAt = Number.POSITIVE_INFINITY;
  }
  driver.close();
  take();
  return outputs;
}

/** Rows of one key are compared in their order; keys have none among each other. */
function byKey(rows: readonly AnyRow[]): Record<string, AnyRow[]> {
  const keys = new Map<string, AnyRow[]>();
  for (const row of rows) keys.set(`key ${String(row.k)}`, [...(keys.get(`key ${String(row.k)}`) ?? []), row]);
  return Object.fromEntries([...keys].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sources() {
  const p = pipeline('order');
  const of = () => p.from(memory<Row>([], { schema: SCHEMA } as never)).withWatermark('at', DELAY_MS);
  return [of(), of(), of()] as const;
}

function property(
  name: string,
  make: () => Parameters<typeof testDriver>[0],
  sourceCount: number,
  model: (sent: readonly Sent[]) => AnyRow[][],
  normal: (rows: readonly AnyRow[]) => unknown = byKey,
): void {
  test(name, () => {
    fc.assert(
      fc.property(feeds, cutsOf, fc.integer({ min: 1, max: 4 }), fc.integer(), fc.nat(60), (all, ends, shards, seed, restoreAt) => {
        const sent = all.filter(({ source }) => source < sourceCount);
        const expected = model(sent);
        const outputs = outcome(make, expected.length, sent, { ends, shards, seed, restoreAt });
        assert.deepEqual(outputs.map(normal), expected.map(normal));
      }),
      { numRuns: RUNS },
    );
  });
}

interface Context {
  state: { n: number; seen: number[] };
  readonly time: number;
  readonly key: { readonly k: string };
  emit(row: { k: string; what: string; at: number; n: number }): void;
  emit(output: 'odd', row: { k: string; id: number; at: number }): void;
  timer(time: number): void;
  deleteTimer(time: number): void;
  clear(): void;
}

/** A machine with every feature in it. `from` is the stream that the row is of. */
function onRow(from: number, row: Row, ctx: Context): void {
  ctx.state.n += row.n;
  ctx.state.seen.push(row.id);
  if (row.n % 3 === 0) ctx.timer(ctx.time + row.n);
  if (row.n % 7 === 0) ctx.timer(ctx.time - 5);
  if (row.n % 5 === 0) ctx.deleteTimer(ctx.time + 6);
  if (row.n === 11) ctx.clear();
  if (row.id % 2 === 1) ctx.emit('odd', { k: ctx.key.k, id: row.id, at: row.at });
  ctx.emit({ k: ctx.key.k, what: `row of ${from}: ${ctx.state.seen}`, at: ctx.time, n: ctx.state.n });
}

function onTimer(time: number, ctx: Context): void {
  ctx.emit({ k: ctx.key.k, what: `timer: ${ctx.state.seen}`, at: time, n: ctx.state.n });
  ctx.state.seen.length = 0;
  if (time % 4 === 0) ctx.timer(time + 9);
  // For its own time and before: a millisecond later.
  if (time % 10 === 0) ctx.timer(time - 3);
  if (time % 9 === 0) ctx.clear();
}

const OPTIONS = {
  schema: { k: utf8, what: utf8, at: timestamp, n: f64 },
  outputs: { odd: { k: utf8, id: f64, at: timestamp } },
  order: 'eventTime',
  state: () => ({ n: 0, seen: [] as number[] }),
} as const;

/** The same machine over rows in the order of time, without anything that waits. */
function machine(sent: readonly Sent[], ttlMs: number | undefined): AnyRow[][] {
  const [main, odd]: [AnyRow[], AnyRow[]] = [[], []];
  interface Entry {
    readonly k: string;
    state: { n: number; seen: number[] };
    timers: { readonly time: number; readonly order: number }[];
    expiry: number;
  }
  let entries: Entry[] = [];
  let order = 0;
  let reached = Number.NEGATIVE_INFINITY;
  const contextOf = (entry: Entry, time: number, earliest: number): Context => {
    let isGone = false;
    return {
      get state() {
        return entry.state;
      },
      time,
      key: { k: entry.k },
      emit: ((output: 'odd' | AnyRow, row?: AnyRow) => void (typeof output === 'string' ? odd.push(row as AnyRow) : main.push(output))) as Context['emit'],
      timer: (at) => {
        const when = Math.max(at, earliest);
        if (!isGone && !entry.timers.some((timer) => timer.time === when)) entry.timers.push({ time: when, order: order++ });
      },
      deleteTimer: (at) => void (entry.timers = entry.timers.filter((timer) => timer.time !== at)),
      clear: () => {
        isGone = true;
        entries = entries.filter((other) => other !== entry);
      },
    };
  };
  const pass = (until: number): void => {
    for (;;) {
      const [first] = entries
        .flatMap((entry) => [
          ...entry.timers.map(({ time, order: at }) => ({ entry, time, at, isTimer: true })),
          ...(ttlMs === undefined ? [] : [{ entry, time: entry.expiry, at: Number.POSITIVE_INFINITY, isTimer: false }]),
        ])
        .filter(({ time }) => time <= until)
        .sort((a, b) => a.time - b.time || (a.at === b.at ? 0 : a.at - b.at));
      if (first === undefined) return;
      if (!first.isTimer) {
        entries = entries.filter((other) => other !== first.entry);
        continue;
      }
      first.entry.timers = first.entry.timers.filter(({ order: at }) => at !== first.at);
      reached = Math.max(reached, first.time);
      onTimer(first.time, contextOf(first.entry, first.time, reached + 1));
    }
  };
  for (const { source, row } of inOrder(sent)) {
    pass(row.at);
    reached = row.at;
    let entry = entries.find(({ k }) => k === row.k);
    if (entry === undefined) entries.push((entry = { k: row.k, state: { n: 0, seen: [] }, timers: [], expiry: 0 }));
    entry.expiry = Math.max(entry.expiry, row.at + (ttlMs ?? 0));
    onRow(source, row, contextOf(entry, row.at, Number.NEGATIVE_INFINITY));
  }
  pass(Number.POSITIVE_INFINITY);
  return [main, odd];
}

describe('in the order of event time', () => {
  for (const ttlMs of [undefined, 25]) {
    const ttl = ttlMs === undefined ? {} : { ttl: ttlMs };
    const name = ttlMs === undefined ? '' : ', with a time-to-live';
    property(
      `process of one stream${name}`,
      () => {
        const [a] = sources();
        const made = a.keyBy('k').process({ ...OPTIONS, ...ttl, onRow: (row, ctx) => onRow(0, row, ctx), onTimer: (time, ctx) => onTimer(time, ctx) });
        made.to(collect());
        return made.outputs.odd.to(collect());
      },
      1,
      (sent) => machine(sent, ttlMs),
    );
    property(
      `process of two streams${name}`,
      () => {
        const [a, b] = sources();
        const made = a
          .keyBy('k')
          .connect(b.rename({ k: 'key' }).keyBy('key'))
          .process({
            ...OPTIONS,
            ...ttl,
            onLeft: (row, ctx) => onRow(0, row, ctx),
            onRight: ({ key, ...row }, ctx) => onRow(1, { k: key, ...row }, ctx),
            onTimer: (time, ctx) => onTimer(time, ctx),
          });
        made.to(collect());
        return made.outputs.odd.to(collect());
      },
      2,
      (sent) => machine(sent, ttlMs),
    );
  }

  property(
    'process of three streams',
    () => {
      const [a, b, c] = sources();
      const made = a
        .keyBy('k')
        .connect(b.keyBy('k'), c.keyBy('k'))
        .process({
          ...OPTIONS,
          on: [(row, ctx) => onRow(0, row, ctx), (row, ctx) => onRow(1, row, ctx), (row, ctx) => onRow(2, row, ctx)],
          onTimer: (time, ctx) => onTimer(time, ctx),
        });
      made.to(collect());
      return made.outputs.odd.to(collect());
    },
    3,
    (sent) => machine(sent, undefined),
  );

  property(
    'sorted, and sorted once more by another key',
    () => {
      const [a] = sources();
      const sorted = a.keyBy('k').sorted();
      sorted.to(collect());
      return sorted
        .keyBy('n')
        .process({ schema: { k: utf8, at: timestamp }, order: 'eventTime', onRow: (row, ctx) => ctx.emit({ k: String(row.n), at: row.at }) })
        .keyBy('k')
        .sorted()
        .to(collect());
    },
    1,
    (sent) => {
      const rows = inOrder(sent).map(({ row }) => row);
      // Rows of one time that had another key have come through other shards, in an order of these.
      return [rows as unknown as AnyRow[], rows.map(({ n, at }): AnyRow => ({ k: String(n), at }))];
    },
  );

  /** The rules as they were at a time. */
  const rulesOf = (table: ReadonlyMap<string, { readonly n: number }>): string =>
    [...table]
      .map(([id, { n }]) => `${id}=${n}`)
      .sort()
      .join(' ');

  property(
    'process beside a broadcast table, as of the time of the row or timer',
    () => {
      const [a, b] = sources();
      return a
        .keyBy('k')
        .connect(broadcast(b.keyBy('k')))
        .process({
          schema: { k: utf8, rules: utf8, at: timestamp },
          order: 'eventTime',
          deleted: 'gone',
          onRow(row, ctx) {
            ctx.emit({ k: row.k, rules: rulesOf(ctx.table), at: ctx.time });
            ctx.timer(ctx.time + 7);
          },
          onTimer: (time, ctx) => ctx.emit({ k: ctx.key.k, rules: `timer ${rulesOf(ctx.table)}`, at: time }),
        })
        .to(collect());
    },
    2,
    (sent) => {
      const table = new Map<string, Row>();
      const out: AnyRow[] = [];
      let timers: { k: string; time: number }[] = [];
      const pass = (until: number): void => {
        timers.sort((x, y) => x.time - y.time);
        for (const { k, time } of timers.filter((timer) => timer.time <= until)) out.push({ k, rules: `timer ${rulesOf(table)}`, at: time });
        timers = timers.filter((timer) => timer.time > until);
      };
      for (const { source, row } of inOrder(sent, (from) => 1 - from)) {
        pass(row.at);
        if (source === 1) {
          if (row.gone) table.delete(row.k);
          else table.set(row.k, row);
          continue;
        }
        out.push({ k: row.k, rules: rulesOf(table), at: row.at });
        if (!timers.some(({ k, time }) => k === row.k && time === row.at + 7)) timers.push({ k: row.k, time: row.at + 7 });
      }
      pass(Number.POSITIVE_INFINITY);
      return [out];
    },
  );

  for (const type of ['inner', 'left'] as const) {
    for (const isBroadcast of [false, true]) {
      property(
        `join as of an event time, ${type}${isBroadcast ? ', broadcast' : ''}`,
        () => {
          const [a, b] = sources();
          const right = b.keyBy('k');
          const options = { asOf: 'eventTime', type, deleted: 'gone', table: 'growing' } as const;
          return a
            .keyBy('k')
            .join(isBroadcast ? broadcast(right) : right, options)
            .to(collect());
        },
        2,
        (sent) => {
          const versions = sent.filter(({ source }) => source === 1);
          const out = inOrder(sent.filter(({ source }) => source === 0)).flatMap(({ row }): AnyRow[] => {
            const found = inOrder(versions.filter((version) => version.row.k === row.k && version.row.at <= row.at)).at(-1)?.row;
            if (found !== undefined && !found.gone) {
              return [{ ...row, id_right: found.id, n_right: found.n, at_right: found.at, gone_right: found.gone }];
            }
            return type === 'left' ? [{ ...row, id_right: null, n_right: null, at_right: null, gone_right: null }] : [];
          });
          return [out];
        },
        // Rows that are spread have no order.
        isBroadcast ? (rows) => rows.map((row) => JSON.stringify(Object.entries(row).sort())).sort() : byKey,
      );
    }
  }
});
