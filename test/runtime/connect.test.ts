/** Streams that are connected for process, its further results, timers behind the end of the input, and a table beside it. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, bool, broadcast, collect, count, f64, memory, pipeline, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const ORDERS = { order: utf8, user: utf8, at: timestamp };
const PAYMENTS = { ref: utf8, amount: f64, at: timestamp };
const p = pipeline('connect');
const orders = () => p.from(memory([], { schema: ORDERS }));
const payments = () => p.from(memory([], { schema: PAYMENTS }));
const source = () =>
  pipeline('timers')
    .from(memory([], { schema: { k: utf8, at: timestamp } }))
    .withWatermark('at', 0);
const refused = (message: RegExp, code = 'PIPELINE') => ({ code: `ERR_MILLRACE_${code}`, message });

describe('connect', () => {
  /** Orders without a payment within ten seconds, and payments that came in time. */
  const unpaid = (order: 'arrival' | 'eventTime') => {
    const own = pipeline('unpaid');
    const left = own.from(memory([], { schema: ORDERS })).withWatermark('at', 0);
    const right = own.from(memory([], { schema: PAYMENTS })).withWatermark('at', 0);
    return left
      .keyBy('order')
      .connect(right.keyBy('ref'))
      .process({
        schema: { order: utf8, waited: f64 },
        outputs: { unpaid: { order: utf8, at: timestamp } },
        order,
        state: () => ({ at: 0, isPaid: false }),
        onLeft(row, ctx) {
          ctx.state.at = row.at;
          ctx.timer(row.at + 10_000);
        },
        onRight(row, ctx) {
          ctx.state.isPaid = true;
          ctx.emit({ order: ctx.key.order, waited: row.at - ctx.state.at });
        },
        onTimer(time, ctx) {
          if (!ctx.state.isPaid) ctx.emit('unpaid', { order: ctx.key.order, at: time });
          ctx.clear();
        },
      });
  };

  test('the state of a key is that of both streams; in the order of time all at once gives what comes bit by bit', () => {
    const rows = [
      [0, { order: 'a', user: 'u', at: 1_000 }],
      [1, { ref: 'a', amount: 5, at: 3_000 }],
      [0, { order: 'b', user: 'u', at: 4_000 }],
      [1, { ref: 'c', amount: 1, at: 14_500 }],
      // Too late for its order, whose time is over.
      [1, { ref: 'b', amount: 9, at: 15_000 }],
      [0, { order: 'd', user: 'u', at: 16_000 }],
    ] as const;
    const outcomes = [1, 6].map((epochs) => {
      const made = unpaid('eventTime');
      made.to(collect());
      const driver = testDriver(made.outputs.unpaid.to(collect()), { partitions: 1 });
      for (const [from, row] of rows) {
        driver.send(from, [row]);
        if (epochs > 1) driver.endEpoch();
      }
      driver.close();
      const sorted = (of: readonly AnyRow[]) => [...of].sort((x, y) => (String(x.order) < String(y.order) ? -1 : 1));
      return [sorted(driver.output(0)), sorted(driver.output(1))];
    });
    assert.deepEqual(outcomes[0], [
      [
        { order: 'a', waited: 2_000 },
        { order: 'b', waited: 15_000 },
        { order: 'c', waited: 14_500 },
      ],
      [
        { order: 'b', at: 14_000 },
        { order: 'd', at: 26_000 },
      ],
    ]);
    assert.deepEqual(outcomes[1], outcomes[0]);
  });

  test('in the order of arrival, too: rows first, then timers', () => {
    const made = unpaid('arrival');
    made.to(collect());
    const driver = testDriver(made.outputs.unpaid.to(collect()), { partitions: 1 });
    driver.send(0, [{ order: 'a', user: 'u', at: 1_000 }]);
    driver.send(1, [{ ref: 'a', amount: 5, at: 90_000 }]);
    driver.close();
    // In time or not: it has come before the timer has fired.
    assert.deepEqual(driver.output(0), [{ order: 'a', waited: 89_000 }]);
    assert.deepEqual(driver.output(1), []);
  });

  test('late rows of each stream are its own', () => {
    const made = unpaid('eventTime');
    made.to(collect());
    made.late.to(collect());
    const driver = testDriver(made.lateRight.to(collect()), { partitions: 1 });
    driver.send(0, [{ order: 'a', user: 'u', at: 5_000 }]);
    driver.send(1, [{ ref: 'a', amount: 5, at: 5_000 }]);
    driver.endEpoch();
    driver.send(0, [{ order: 'b', user: 'u', at: 4_999 }]);
    driver.send(1, [
      { ref: 'b', amount: 5, at: 4_000 },
      { ref: 'b', amount: 5, at: 5_000 },
    ]);
    driver.endEpoch();
    assert.deepEqual(driver.output(1), [{ order: 'b', user: 'u', at: 4_999, source: 'memory', partition: 0, offset: 1 }]);
    assert.deepEqual(driver.output(2), [{ ref: 'b', amount: 5, at: 4_000, source: 'memory', partition: 0, offset: 1 }]);
    assert.equal(driver.counts.get('late'), 2);
  });

  test('further results keep the event time where they keep its column', () => {
    const made = source()
      .keyBy('k')
      .process({
        schema: { k: utf8 },
        outputs: { timed: { at: timestamp, k: utf8 }, other: { n: f64, has: bool } },
        onRow(row, ctx) {
          ctx.emit(row);
          ctx.emit('timed', row);
          ctx.emit('other', { n: 1, has: true });
        },
      });
    made.outputs.other.to(collect());
    const driver = testDriver(made.outputs.timed.keyBy('k').window(tumbling(100)).count().to(collect()));
    driver.send([
      { k: 'a', at: 10 },
      { k: 'a', at: 20 },
    ]);
    driver.close();
    assert.deepEqual(driver.output(0), [
      { n: 1, has: true },
      { n: 1, has: true },
    ]);
    assert.deepEqual(driver.output(1), [{ k: 'a', windowStart: 0, windowEnd: 100, count: 2 }]);
  });

  test('a row that does not fit a further result, or an output that is none, is said', () => {
    const emitting = (emit: (ctx: { emit(...args: unknown[]): void }) => void) => {
      const made = source()
        .keyBy('k')
        .process({ schema: { k: utf8 }, outputs: { alerts: { k: utf8 } }, onRow: (_, ctx) => emit(ctx as never) });
      const driver = testDriver(made.to(collect()));
      driver.send([{ k: 'a', at: 1 }]);
      driver.endEpoch();
    };
    assert.throws(
      () => emitting((ctx) => ctx.emit('alarms', { k: 'a' })),
      refused(/output "alarms", which process\(\) does not have; it has "alerts"/, 'USER_FUNCTION'),
    );
    assert.throws(() => emitting((ctx) => ctx.emit('alerts')), refused(/emit\("alerts"\) got undefined where a row is needed/, 'USER_FUNCTION'));
    assert.throws(() => emitting((ctx) => ctx.emit('alerts', { k: 1 })), refused(/Column "\[alerts\]\.k" holds utf8, but the value is 1/, 'USER_FUNCTION'));
  });

  test('what cannot be connected is said', () => {
    const left = orders().keyBy('order');
    const right = payments().keyBy('ref');
    const schema = { order: utf8 };
    const wrong = left as unknown as { connect(...others: unknown[]): { process(options: unknown): unknown } };
    assert.throws(() => wrong.connect(), refused(/connect\(\) got no stream/));
    assert.throws(() => wrong.connect(payments()), refused(/connect\(\) got .*Call keyBy\(\) on it first: a\.keyBy\('id'\)\.connect\(b\.keyBy\('id'\)/));
    assert.throws(() => wrong.connect(source().keyBy('k')), refused(/a stream of the pipeline "timers", not of "connect"/));
    assert.throws(
      () => wrong.connect(payments().keyBy('amount')).process({ schema, onLeft() {}, onRight() {} }),
      refused(/keyed by "order: utf8" and one keyed by "amount: f64"/),
    );
    assert.throws(() => wrong.connect(right).process({ schema, onLeft() {} }), refused(/process onRight\(\) got undefined/));
    assert.throws(() => wrong.connect(right).process({ schema, onRow() {} }), refused(/process\(\) of two streams: there is no option "onRow"/, 'OPTION'));
    assert.throws(() => wrong.connect(right, right).process({ schema, on: [() => {}] }), refused(/process\(\) of 3 streams has on: .*a function for each/));
    assert.throws(
      () => wrong.connect(right).process({ schema, order: 'eventTime', onLeft() {}, onRight() {} }),
      refused(/order: 'eventTime', and stream 1 has no event time.*withWatermark/),
    );
    assert.throws(
      () => wrong.connect(right).process({ schema, order: 'time', onLeft() {}, onRight() {} }),
      refused(/order: "time"\. Give 'arrival'/, 'OPTION'),
    );
    assert.throws(
      () => wrong.connect(right).process({ schema, outputs: { a: {} }, onLeft() {}, onRight() {} }),
      refused(/for the output "a"\. Give its columns/),
    );
    assert.throws(() => wrong.connect(broadcast(payments().keyBy('ref', 'amount'))), refused(/broadcast table by \(ref, amount\).*key it by one column/));
    assert.throws(() => left.sorted(), refused(/sorted\(\) goes by event time, and the stream has none/));
    assert.throws(() => left.join(right, { asOf: 'eventTime' }), refused(/join\(\) by time needs event time on both sides/));
    assert.throws(() => left.join(right, { asOf: 'eventTime', within: [0, 1] } as never), refused(/asOf: "eventTime", which is for a table: leave out within/));
    assert.throws(() => left.join(right, { asOf: 'time' } as never), refused(/asOf: "time"\. Give 'eventTime'/, 'OPTION'));
  });
});

describe('behind the end of the input', () => {
  for (const order of ['arrival', 'eventTime'] as const) {
    /** Each timer sets the next one, as often as it is told. */
    const chain = (times: number, stops = false) => {
      const driver = testDriver(
        source()
          .keyBy('k')
          .process({
            schema: { k: utf8, at: f64 },
            order,
            state: () => 0,
            onRow: (row, ctx) => ctx.timer(row.at + 10),
            onTimer(time, ctx) {
              ctx.emit({ k: ctx.key.k, at: time });
              if (stops && ctx.watermark === Number.POSITIVE_INFINITY) return;
              if (++ctx.state < times) ctx.timer(time + 10);
            },
          })
          .to(collect()),
      );
      driver.send([
        { k: 'a', at: 100 },
        { k: 'b', at: 105 },
      ]);
      driver.close();
      return driver.output().map(({ k, at }) => `${k} ${at}`);
    };

    test(`timers that timers set fire, in the order of ${order}`, () => {
      assert.deepEqual(chain(3).sort(), ['a 110', 'a 120', 'a 130', 'b 115', 'b 125', 'b 135']);
      assert.equal(chain(10_000).length, 20_000);
      assert.throws(
        () => chain(Number.POSITIVE_INFINITY),
        refused(/onTimer at \d+ failed on .*10000 timers of this key have been set and have fired since.*ctx\.watermark/, 'USER_FUNCTION'),
      );
    });

    test(`a function can tell that there is no more to come, in the order of ${order}`, () => {
      assert.deepEqual(chain(Number.POSITIVE_INFINITY, true).sort(), ['a 110', 'b 115']);
    });
  }

  test('a timer that goes on for ever is no error while rows come: it fires between them', () => {
    const fired: number[] = [];
    const driver = testDriver(
      source()
        .keyBy('k')
        .process({
          schema: { k: utf8 },
          order: 'eventTime',
          onRow: (row, ctx) => ctx.timer(row.at + 1),
          onTimer(time, ctx) {
            fired.push(time);
            if (ctx.watermark !== Number.POSITIVE_INFINITY) ctx.timer(time + 1);
          },
        })
        .to(collect()),
    );
    driver.send([
      { k: 'a', at: 0 },
      { k: 'a', at: 30_000 },
    ]);
    driver.close();
    assert.deepEqual(
      fired,
      Array.from({ length: 30_001 }, (_, i) => i + 1),
    );
  });
});

describe('a broadcast table beside process', () => {
  const RULES = { id: utf8, limit: f64, gone: bool };
  const checked = () => {
    const own = pipeline('rules');
    const events = own.from(memory([], { schema: { user: utf8, amount: f64 } }));
    const rules = own.from(memory([], { schema: RULES }));
    return events
      .keyBy('user')
      .connect(broadcast(rules.keyBy('id')))
      .process({
        schema: { user: utf8, rule: utf8, n: f64 },
        deleted: 'gone',
        state: () => ({ n: 0 }),
        onRow(row, ctx) {
          ctx.state.n++;
          for (const [id, rule] of ctx.table) if (row.amount > rule.limit) ctx.emit({ user: row.user, rule: id, n: ctx.state.n });
        },
      });
  };
  const inOrder = (rows: readonly AnyRow[]) => rows.map(({ user, rule, n }) => `${user} ${rule} ${n}`).sort();

  test('every key sees all rules, as they are at the end of the epoch', () => {
    for (const shards of [1, 3]) {
      let driver = testDriver(checked().to(collect()), { shards, partitions: 1 });
      const users = ['a', 'b', 'c', 'd', 'e'];
      driver.send(
        0,
        users.map((user) => ({ user, amount: 10 })),
      );
      driver.send(1, [
        { id: 'low', limit: 5, gone: false },
        { id: 'high', limit: 50, gone: false },
      ]);
      driver.endEpoch();
      assert.deepEqual(
        inOrder(driver.output()),
        users.map((user) => `${user} low 1`),
      );
      driver = testDriver(checked().to(collect()), { from: driver.snapshot(), shards: 2 });
      driver.send(1, [
        { id: 'low', limit: 5, gone: true },
        { id: 'high', limit: 9, gone: false },
      ]);
      driver.send(
        0,
        users.map((user) => ({ user, amount: 10 })),
      );
      driver.endEpoch();
      assert.deepEqual(
        inOrder(driver.output()),
        users.map((user) => `${user} high 2`),
      );
    }
  });

  test('it is read-only', () => {
    const process = (act: (table: Map<string, { limit: number }>) => void) => {
      const rules = pipeline('rules')
        .from(memory([], { schema: RULES }))
        .keyBy('id');
      const driver = testDriver(
        rules
          .connect(broadcast(rules))
          .process({ schema: { id: utf8 }, onRow: (_, ctx) => act(ctx.table as never) })
          .to(collect()),
      );
      driver.send([{ id: 'a', limit: 1, gone: false }]);
      driver.endEpoch();
    };
    assert.throws(() => process((table) => table.clear()), refused(/table of process\(\) is read-only: clear\(\)/, 'USER_FUNCTION'));
    assert.throws(() => process((table) => table.set('b', { limit: 1 })), refused(/read-only: set\(\)/, 'USER_FUNCTION'));
    assert.throws(() => process((table) => table.delete('a')), refused(/read-only: delete\(\)/, 'USER_FUNCTION'));
    assert.throws(() => process((table) => ((table.get('a') as { limit: number }).limit = 2)), refused(/read only|readonly|Cannot assign/, 'USER_FUNCTION'));
  });

  test('deleted names a bool, and is for a table', () => {
    const own = pipeline('rules');
    const rules = own.from(memory([], { schema: RULES })).keyBy('id');
    const options = { schema: { id: utf8 }, onRow() {} };
    assert.throws(() => rules.connect(broadcast(rules)).process({ ...options, deleted: 'limit' as never }), refused(/deleted: "limit", a column of f64/));
    assert.throws(() => rules.process({ ...options, deleted: 'gone' } as never), refused(/there is no option "deleted"/, 'OPTION'));
  });
});

describe('withEventTime', () => {
  const windows = (lateness = 0) => source().keyBy('k').window(tumbling(100).lateness(lateness)).count();

  test('a column of a result of any operator, with the watermark of the stream', () => {
    const hourly = windows()
      .map({ k: utf8, minute: timestamp }, (r) => ({ k: r.k, minute: r.windowEnd - 1 }))
      .withEventTime('minute', { delay: 0 })
      .keyBy('k')
      .window(tumbling(300))
      .count();
    const driver = testDriver(hourly.to(collect()), { partitions: 1 });
    for (let at = 0; at <= 700; at += 50) {
      driver.send([{ k: 'a', at }]);
      driver.endEpoch();
    }
    assert.equal(driver.counts.get('late') ?? 0, 0);
    assert.deepEqual(driver.output(), [
      { k: 'a', windowStart: 0, windowEnd: 300, count: 3 },
      { k: 'a', windowStart: 300, windowEnd: 600, count: 3 },
    ]);
  });

  test('windowEnd is the last moment of its window, under any name; windowStart lies back by its length', () => {
    const both = windows();
    const byEnd = both.rename({ windowEnd: 'until', windowStart: 'since' }).withEventTime('until').keyBy('k').window(tumbling(300)).count();
    byEnd.to(collect());
    const driver = testDriver(both.withEventTime('windowStart').keyBy('k').window(tumbling(300)).count().to(collect()), { partitions: 1 });
    const ends: string[] = [];
    for (let at = 50; at <= 850; at += 100) {
      driver.send([{ k: 'a', at }]);
      driver.endEpoch();
      ends.push(`${at}: ${driver.output(0).length} ${driver.output(1).length}`);
    }
    assert.equal(driver.counts.get('late') ?? 0, 0);
    assert.deepEqual(driver.output(0), [
      { k: 'a', windowStart: 0, windowEnd: 300, count: 3 },
      { k: 'a', windowStart: 300, windowEnd: 600, count: 3 },
    ]);
    assert.deepEqual(driver.output(1), driver.output(0));
    // By its start a row comes 100 ms after its time, so the window waits for as long.
    assert.deepEqual(ends.slice(3, 5), ['350: 1 0', '450: 1 1']);
  });

  test('late rows have windows of their own', () => {
    const result = windows();
    result.to(collect());
    const late = result.late.withEventTime('at', { delay: 1_000 }).keyBy('k').window(tumbling(100)).count();
    const driver = testDriver(late.to(collect()), { partitions: 1 });
    driver.send([{ k: 'a', at: 500 }]);
    driver.endEpoch();
    driver.send([
      { k: 'a', at: 10 },
      { k: 'a', at: 20 },
    ]);
    driver.close();
    assert.deepEqual(driver.output(1), [{ k: 'a', windowStart: 0, windowEnd: 100, count: 2 }]);
  });

  test('a source and a result, as one stream', () => {
    const own = pipeline('both');
    const raw = own.from(memory([], { schema: { k: utf8, at: timestamp } })).withWatermark('at', 0);
    const first = raw
      .keyBy('k')
      .window(tumbling(100))
      .count()
      .map({ k: utf8, at: timestamp }, (r) => ({ k: r.k, at: r.windowEnd - 1 }))
      .withEventTime('at', { delay: 0 });
    const driver = testDriver(raw.union(first).keyBy('k').window(tumbling(200)).count().to(collect()), { partitions: 1 });
    for (const at of [10, 60, 110, 260, 450]) {
      driver.send([{ k: 'a', at }]);
      driver.endEpoch();
    }
    assert.deepEqual(
      driver.output().map(({ windowEnd, count: rows }) => [windowEnd, rows]),
      [
        [200, 5],
        [400, 2],
      ],
    );
    const ends = raw
      .keyBy('k')
      .window(tumbling(100))
      .aggregate({ n: count() })
      .map({ k: utf8, windowEnd: timestamp }, ({ k, windowEnd }) => ({ k, windowEnd }))
      .rename({ windowEnd: 'at' });
    assert.throws(() => raw.union(ends).keyBy('k').window(tumbling(200)).count(), refused(/event time "at": of one it is the end of a window/));
  });

  test('what cannot be is said', () => {
    const plain = pipeline('plain').from(memory([], { schema: { k: utf8, at: timestamp, n: f64 } }));
    assert.throws(() => plain.withEventTime('at', { delay: 0 }), refused(/no watermark comes with.*Call withWatermark\("at", delay\)/));
    const timed = plain.withWatermark('at', 0);
    assert.throws(() => timed.withEventTime('n', { delay: 0 }), refused(/column "n" of type f64/));
    const made = timed.keyBy('k').process({ schema: { k: utf8, seen: timestamp }, onRow: (row, ctx) => ctx.emit({ k: row.k, seen: row.at }) });
    assert.throws(() => made.withEventTime('seen'), refused(/withEventTime\("seen"\) needs a delay/));
    assert.throws(() => made.withWatermark('seen', 0), refused(/withEventTime\("seen", \{ delay \}\)/));
    assert.throws(() => made.withEventTime('seen', { delays: 0 } as never), refused(/there is no option "delays"/, 'OPTION'));
    made.withEventTime('seen', { delay: '1s' }).keyBy('k').window(tumbling('1m')).count();
  });
});
