/**
 * failedRows: 'skip': a row on which a function throws leaves no trace. The functions here do what harm they can before they
 * throw: they change state, emit, set and delete timers, clear. What comes out, and the state that is kept, must be those of
 * the same rows without the poisoned ones.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aggregator,
  collect,
  count,
  countWindow,
  cumulative,
  f64,
  globalWindow,
  i32,
  memory,
  pipeline,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { graphOf } from '../../runtime/plan/graph.ts';
import type { ErrorRow } from '../../runtime/plan/index.ts';
import { describePlan } from '../../runtime/plan/index.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

interface Row {
  readonly k: string;
  readonly n: number;
  readonly at: number;
  /** Poisoned. */
  readonly bad: number;
}

const SCHEMA = { k: utf8, n: f64, at: timestamp, bad: i32 };
const rows = () => pipeline('p').from(memory([] as Row[], { schema: SCHEMA }));
const timed = () => rows().withWatermark('at', '20s');

const boom = (row: { readonly bad: number }): void => {
  if (row.bad !== 0) throw new Error(`poison ${row.bad}`);
};
const reducer = (a: Row, b: Row): Row => {
  const harmed = a as { n: number };
  harmed.n += b.n;
  boom(b);
  return a;
};
const inverse = (a: Row, b: Row): Row => ({ ...a, n: a.n - b.n });

const listed = aggregator({
  type: utf8,
  init: () => ({ seen: [] as number[], total: 0 }),
  add: (state: { seen: number[]; total: number }, row: Row) => {
    state.seen.push(row.n);
    state.total += row.n;
    boom(row);
    return state;
  },
  merge: (a: { seen: number[]; total: number }, b: { seen: number[]; total: number }) => {
    a.seen.push(...b.seen);
    a.total += b.total;
    return a;
  },
  result: (state: { seen: number[]; total: number }) => `${state.seen.join(',')}=${state.total}`,
});
const removing = aggregator({
  type: f64,
  init: () => ({ total: 0 }),
  add: (state: { total: number }, row: Row) => {
    state.total += row.n;
    boom(row);
    return state;
  },
  merge: (a: { total: number }, b: { total: number }) => ({ total: a.total + b.total }),
  remove: (state: { total: number }, row: Row) => {
    state.total -= row.n;
    return state;
  },
  result: (state: { total: number }) => state.total,
});
const aggregates = { n: count(), s: sum('n'), listed, removing };

interface Counted {
  sum: number;
  seen: number[];
}
const processed = (ttl: boolean, order: 'arrival' | 'eventTime' = 'arrival') =>
  timed()
    .keyBy('k')
    .process({
      schema: { k: utf8, what: utf8 },
      order,
      state: (): Counted => ({ sum: 0, seen: [] }),
      onRow: (row, ctx) => {
        ctx.state.sum += row.n;
        ctx.state.seen.push(row.n);
        if (row.bad !== 0) {
          // More than a batch of results, so that pages fill up within the call.
          for (let i = 0; i < (row.bad === 3 ? 9_000 : 3); i++) ctx.emit({ k: row.k, what: `never ${i}` });
          ctx.timer(ctx.time + 1);
          ctx.processingTimer(ctx.now);
          ctx.deleteTimer(row.at + 5_000);
          for (const one of [1_000, 5_000, 9_000]) ctx.deleteTimer(row.at + one);
          if (row.bad === 2) ctx.clear();
          ctx.state = { sum: -1, seen: [] };
        }
        boom(row);
        ctx.timer(row.at + 5_000);
        if (row.n % 5 === 0) ctx.processingTimer(ctx.now + 1_000);
        if (row.n % 11 === 0) ctx.clear();
        else ctx.emit({ k: row.k, what: `row ${row.n} of ${ctx.state.sum}` });
      },
      onTimer: (time, ctx) => ctx.emit({ k: ctx.key.k, what: `timer ${time} ${ctx.state.seen.join()}` }),
      ...(ttl ? { ttl: '40s' as const } : {}),
    });

const SMALL = { partitions: 1, memoryBytes: 32 << 20 };

type Result = ReturnType<typeof processed>;
/** `sameTime`: a poisoned row is never the first of its group, as reduce does not call its function for that one. */
const CASES: Readonly<Record<string, { readonly sameTime?: true; readonly of: () => unknown }>> = {
  process: { of: () => processed(false) },
  'process with ttl': { of: () => processed(true) },
  'process by event time': { of: () => processed(false, 'eventTime') },
  'process by event time, with ttl': { of: () => processed(true, 'eventTime') },
  'running reduce': { sameTime: true, of: () => rows().keyBy('k').reduce(reducer) },
  'reduce in tumbling windows': { sameTime: true, of: () => timed().keyBy('k').window(tumbling('10s')).reduce(reducer) },
  'reduce in sliding windows': { sameTime: true, of: () => timed().keyBy('k').window(sliding('20s', '5s')).reduce(reducer) },
  'reduce with an inverse': {
    sameTime: true,
    of: () => timed().keyBy('k').window(sliding('20s', '5s')).reduce(reducer, { inverse }).select('k', 'n', 'windowEnd'),
  },
  'reduce with updates': { sameTime: true, of: () => timed().keyBy('k').window(tumbling('10s').emit('update')).reduce(reducer) },
  'reduce in sessions': { sameTime: true, of: () => timed().keyBy('k').window(session('3s')).reduce(reducer) },
  'revised reduce in sessions': { sameTime: true, of: () => timed().keyBy('k').window(session('3s').lateness('5s').emit('revise')).reduce(reducer) },
  'running aggregator': { of: () => rows().keyBy('k').aggregate(aggregates) },
  'aggregator in tumbling windows': { of: () => timed().keyBy('k').window(tumbling('10s')).aggregate(aggregates) },
  'aggregator in sliding windows': { of: () => timed().keyBy('k').window(sliding('20s', '5s')).aggregate(aggregates) },
  'aggregator with updates': { of: () => timed().keyBy('k').window(sliding('20s', '5s').emit('update')).aggregate(aggregates) },
  'aggregator in growing windows': { of: () => timed().keyBy('k').window(cumulative('20s', '5s')).aggregate(aggregates) },
  'aggregator in sessions': { of: () => timed().keyBy('k').window(session('3s')).aggregate(aggregates) },
  'revised aggregator in sessions': { of: () => timed().keyBy('k').window(session('3s').lateness('5s').emit('revise')).aggregate(aggregates) },
  'filter, map and flatMap': {
    of: () =>
      rows()
        .filter((row) => {
          boom({ bad: row.bad === 1 ? 1 : 0 });
          return row.n >= 0;
        })
        .map(SCHEMA, (row) => {
          boom({ bad: row.bad === 2 ? 1 : 0 });
          return row;
        })
        .flatMap({ k: utf8, m: f64 }, (row, emit) => {
          emit({ k: row.k, m: row.n });
          boom(row);
          emit({ k: row.k, m: -row.n });
        }),
  },
};

const rowOf = fc.record({ k: fc.constantFrom('a', 'b', 'c'), n: fc.integer({ min: 0, max: 60 }), step: fc.integer({ min: 0, max: 2_500 }) });
const plan = fc.array(
  fc.record({ row: rowOf, poison: fc.option(fc.record({ kind: fc.integer({ min: 1, max: 3 }), back: fc.integer({ min: 0, max: 9_000 }) }), { freq: 2 }) }),
  { minLength: 1, maxLength: 60 },
);

/** @param policy `errors`: the stream's errors are taken, and `errors` of the result has them */
function run(of: () => unknown, epochs: readonly (readonly Row[])[], policy: 'fail' | 'skip' | 'errors', restoreAfter = -1) {
  const failedRows = policy === 'errors' ? 'fail' : policy;
  const made = () => {
    const stream = of() as Result;
    if (policy === 'errors') stream.errors.to(collect());
    return stream.to(collect());
  };
  let driver = testDriver(made(), { ...SMALL, failedRows });
  const out: unknown[] = [];
  const errors: ErrorRow[] = [];
  const take = () => {
    out.push(...driver.output(policy === 'errors' ? 1 : 0));
    if (policy === 'errors') errors.push(...(driver.output(0) as unknown as ErrorRow[]));
  };
  epochs.forEach((epoch, number) => {
    driver.send(
      epoch.map((row) => ({ ...row })),
      { partition: 0 },
    );
    driver.advanceTime(500);
    driver.endEpoch();
    if (number !== restoreAfter) return;
    take();
    driver = testDriver(made(), { ...SMALL, failedRows, from: driver.snapshot() });
  });
  driver.close();
  take();
  return { out, errors, failed: driver.counts.get('failed') ?? 0, samples: driver.samples };
}

for (const [name, { of, sameTime }] of Object.entries(CASES)) {
  test(`${name}: as if the poisoned rows had never come`, () => {
    fc.assert(
      fc.property(plan, fc.integer({ min: 1, max: 12 }), (events, perEpoch) => {
        const good: Row[][] = [];
        const all: Row[][] = [];
        let at = 1_000_000;
        let poisoned = 0;
        events.forEach(({ row, poison }, i) => {
          if (i % perEpoch === 0) {
            good.push([]);
            all.push([]);
          }
          at += row.step;
          const one = { k: row.k, n: row.n, at, bad: 0 };
          good.at(-1)?.push(one);
          all.at(-1)?.push(one);
          if (poison === null) return;
          poisoned++;
          all.at(-1)?.push({ k: row.k, n: 7, at: sameTime ? at : at - poison.back, bad: poison.kind });
        });
        const expected = run(of, good, 'fail');
        const got = run(of, all, 'skip', Math.floor(all.length / 2));
        assert.deepEqual(got.out, expected.out);
        assert.equal(expected.failed, 0);
        assert.equal(got.failed, poisoned, 'every poisoned row is in the ledger');
        const taken = run(of, all, 'errors', Math.floor(all.length / 2));
        assert.deepEqual(taken.out, expected.out);
        // A driver that goes on from a snapshot goes on with the offsets, too.
        const wanted = all.flat().flatMap((row, offset) => (row.bad === 0 ? [] : [{ source: 'memory', partition: 0, offset, row }]));
        const found = taken.errors.map(({ source, partition, offset, row }) => ({ source, partition, offset, row: JSON.parse(row) as Row }));
        assert.deepEqual(
          found.toSorted((a, b) => a.offset - b.offset),
          wanted,
        );
        assert.equal(taken.failed, poisoned);
        for (const { message, offset } of taken.errors) assert.match(message, new RegExp(`poison ${name.startsWith('filter') ? '' : all.flat()[offset]?.bad}`));
      }),
      { numRuns: caseCount(10) },
    );
  });
}

const at = (k: string, n: number, bad = 0): Row => ({ k, n, at: 1_000, bad });

test('the ledger has a sample of the row and what the function threw', () => {
  const { failed, samples } = run(() => rows().keyBy('k').aggregate(aggregates), [[at('a', 1), at('a', 7, 2), at('a', 3)]], 'skip');
  assert.equal(failed, 1);
  const [sample] = samples;
  assert.equal(sample?.reason, 'failed');
  assert.match(sample?.message ?? '', /aggregator "listed": add failed on .*"n":7.*Error: poison 2/);
  const mapped = run(
    () =>
      rows().map(SCHEMA, (row) => {
        boom(row);
        return row;
      }),
    [[at('a', 1), at('a', 7, 2)]],
    'skip',
  );
  assert.equal(mapped.samples[0]?.offset, 1);
  assert.match(mapped.samples[0]?.message ?? '', /map #1 failed on row 1 .*Error: poison 2/);
});

test('in windows of rows a poisoned row keeps its place, and is left out of the result', () => {
  const sent = [[at('a', 1), at('a', 2), at('a', 7, 1), at('a', 4), at('a', 5), at('a', 6)]];
  const reduced = run(() => rows().keyBy('k').window(countWindow(3)).reduce(reducer), sent, 'skip');
  assert.deepEqual(
    reduced.out.map((row) => (row as Row).n),
    [3, 15],
  );
  assert.equal(reduced.failed, 1);
  for (const window of [countWindow(3), globalWindow({ count: 3 })]) {
    const { out, failed } = run(() => rows().keyBy('k').window(window).aggregate({ n: count(), listed }), sent, 'skip');
    assert.deepEqual(
      out.map((row) => (row as { listed: string }).listed.split('=')[0]?.split(',').at(-1)),
      ['2', '6'],
    );
    assert.equal((out[0] as { n: number }).n, 2, 'built-in aggregates leave it out, too');
    assert.equal(failed, 1);
  }
  const none = run(() => rows().keyBy('k').window(countWindow(2)).aggregate({ listed }), [[at('a', 1, 1), at('a', 2, 1), at('a', 3), at('a', 4)]], 'skip');
  assert.deepEqual(
    none.out.map((row) => (row as { listed: string }).listed),
    ['3,4=7'],
    'a window without a row has no result',
  );
});

test('a result that cannot be made is left out, and the others come', () => {
  const fussy = aggregator({
    type: f64,
    init: () => 0,
    add: (state: number, row: Row) => state + row.n,
    merge: (a: number, b: number) => a + b,
    result: (state: number) => {
      if (state === 13) throw new Error('thirteen');
      return state;
    },
  });
  const sent = [[at('a', 13), at('b', 2), at('c', 13), at('d', 4)]];
  for (const make of [
    () => timed().keyBy('k').window(tumbling('10s')).aggregate({ n: count(), fussy }),
    () => timed().keyBy('k').window(session('10s')).aggregate({ fussy }),
    () => rows().keyBy('k').window(countWindow(1)).aggregate({ fussy }),
    () => rows().keyBy('k').aggregate({ fussy }),
  ]) {
    const { out, failed } = run(make, sent, 'skip');
    assert.deepEqual(out.map((row) => (row as { k: string }).k).sort(), ['b', 'd']);
    assert.equal(failed, 2);
    assert.throws(() => run(make, sent, 'fail'), /thirteen/);
  }
});

test('a timer whose function throws has fired, and changes nothing else', () => {
  const of = () =>
    timed()
      .keyBy('k')
      .process({
        schema: { k: utf8, n: f64 },
        state: () => ({ n: 0 }),
        onRow: (row, ctx) => {
          ctx.state.n += row.n;
          ctx.timer(row.at + 1);
          ctx.timer(row.at + 2);
        },
        onTimer: (time, ctx) => {
          ctx.state.n += 1_000;
          ctx.emit({ k: ctx.key.k, n: ctx.state.n });
          if (time % 10 === 1) throw new Error('no first timers');
        },
      });
  const { out, failed } = run(of, [[at('a', 1), at('b', 2)]], 'skip');
  assert.deepEqual(
    out.map((row) => (row as Row).n),
    [1_001, 1_002],
  );
  assert.equal(failed, 2);
});

test('errors: a timer and a result come with their key, without a place', () => {
  const timers = () =>
    timed()
      .keyBy('k', 'bad')
      .process({
        schema: { k: utf8 },
        onRow: (row, ctx) => ctx.timer(row.at),
        onTimer: (_, ctx) => {
          throw new Error(`no timers of ${ctx.key.k}`);
        },
      });
  const fussy = aggregator({
    init: () => 0,
    add: (state: number, row: Row) => state + row.n,
    merge: (a: number, b: number) => a + b,
    result: (): number => {
      throw new Error('no results');
    },
  });
  const sent = [[at('a', 1), at('b', 2)]];
  const results = [
    () => timed().keyBy('k', 'bad').window(tumbling('10s')).aggregate({ n: count(), fussy }),
    () => timed().keyBy('k', 'bad').window(session('10s')).aggregate({ fussy }),
    () => rows().keyBy('k', 'bad').window(countWindow(1)).aggregate({ fussy }),
    () => rows().keyBy('k', 'bad').aggregate({ fussy }),
  ];
  for (const [of, message] of [[timers, /onTimer at 1000 .*no timers of [ab]/] as const, ...results.map((one) => [one, /no results/] as const)]) {
    const { out, errors } = run(of, sent, 'errors');
    assert.deepEqual(out, []);
    assert.deepEqual(errors.map(({ row }) => row).sort(), ['{"k":"a","bad":0}', '{"k":"b","bad":0}']);
    for (const error of errors) {
      assert.match(error.message, message);
      assert.deepEqual([error.source, error.offset, error.bytes], ['exchange 0', -1, null]);
      assert.match(error.operator, /^(process|aggregate|session windows|window of rows) 1$/);
    }
  }
});

test('errors of windows of rows: the row, whose place is not kept with it', () => {
  const sent = [[at('a', 1), at('a', 2), at('a', 7, 1), at('a', 4)]];
  for (const make of [() => rows().keyBy('k').window(countWindow(4)).reduce(reducer), () => rows().keyBy('k').window(countWindow(4)).aggregate({ listed })]) {
    const { out, errors } = run(make, sent, 'errors');
    assert.equal(out.length, 1);
    assert.deepEqual(
      errors.map(({ source, offset, row }) => [source, offset, (JSON.parse(row) as Row).n]),
      [['exchange 0', -1, 7]],
    );
  }
});

test('errors behind a filter, a fork and an operator by other keys', () => {
  const poisonous = () => {
    const base = rows().filter((row) => row.n !== 2);
    base.to(collect());
    const kept = base
      .filter((row) => row.n !== 3)
      .keyBy('k')
      .process({
        schema: SCHEMA,
        onRow: (row, ctx) => {
          boom({ bad: row.bad === 1 ? 1 : 0 });
          ctx.emit(row);
        },
      });
    return { kept, behind: kept.keyBy('n').process({ schema: { n: f64 }, onRow: (row) => boom(row) }) };
  };
  const sent = [at('a', 2), at('a', 7, 1), at('b', 3), at('a', 8, 2), at('b', 9, 1)].map((row) => ({ ...row }));
  const { kept, behind } = poisonous();
  behind.to(collect());
  behind.errors.to(collect());
  kept.errors.to(collect());
  const explained = describePlan(makePlan(graphOf(kept) as NonNullable<ReturnType<typeof graphOf>>));
  assert.equal(explained.match(/ {2}rows that fail:/g)?.length, 2);
  const driver = testDriver(kept.to(collect()), { partitions: 1 });
  driver.send(sent.slice(0, 2));
  driver.send(sent.slice(2));
  driver.close();
  const found = (sink: number) =>
    (driver.output(sink) as unknown as ErrorRow[]).map(({ source, offset, operator, row }) => [source, offset, operator, (JSON.parse(row) as Row).n]);
  assert.deepEqual(found(2), [['exchange 1', -1, 'process 2', 8]]);
  assert.deepEqual(found(3), [
    ['memory', 1, 'process 1', 7],
    ['memory', 4, 'process 1', 9],
  ]);
});

test('what is no fault of a row ends the job all the same', () => {
  class Box {
    n = 1;
  }
  const of = (state: () => unknown) => () =>
    rows()
      .keyBy('k')
      .process({ schema: { k: utf8 }, state, onRow: () => {} });
  assert.throws(
    () =>
      run(
        of(() => new Box()),
        [[at('a', 1)]],
        'skip',
      ),
    /instance of Box/,
  );
  assert.throws(
    () =>
      run(
        of(() => ({ fn: () => 1 })),
        [[at('a', 1)]],
        'skip',
      ),
    /cannot be copied/,
  );
});

test('under fail the error says where the row was read, in the order of event time, too', () => {
  for (const order of ['arrival', 'eventTime'] as const) {
    const driver = testDriver(processed(false, order).to(collect()), SMALL);
    const given = [...Array.from({ length: 6 }, (_, i) => ({ k: 'a', n: 1, at: i * 1_000, bad: i === 4 ? 7 : 0 })), { k: 'b', n: 1, at: 90_000, bad: 0 }];
    driver.send(given);
    // Where rows wait they come to the function in the epoch in which the watermark has passed them.
    assert.throws(() => {
      driver.endEpoch();
      driver.close();
    }, /poison 7.*\(source 0, partition 0, offset 4\)$/s);
  }
});
