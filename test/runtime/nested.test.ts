/** Structs, lists and JSON text through whole pipelines: functions, keys, aggregates, joins, state, and every sink. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { f64, i32, i64, jsonText, list, nullable, timestamp, utf8 } from '../../core/index.ts';
import { collect, csv, json, log, memory } from '../../io/index.ts';
import { collect as collected, count, last, max, pipeline, run, sum, topK, tumbling } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { orderOf, rows, spent } from './pipelines/nested.ts';

const FIELDS = {
  id: utf8,
  user: { id: utf8, age: nullable(i32), home: nullable({ city: utf8 }) },
  tags: list(utf8),
  big: nullable(list(i64)),
  payload: jsonText,
  meta: { at: timestamp },
} as const;
type Row = {
  id: string;
  user: { id: string; age: number | null; home: { city: string | null } };
  tags: string[];
  big: bigint[] | null;
  payload: string;
  meta: { at: number };
};

const rowOf = (i: number): Row => ({
  id: `e${i}`,
  user: { id: `u${i % 3}`, age: i % 2 === 0 ? i : null, home: { city: i % 4 === 0 ? null : 'Köln' } },
  tags: i % 5 === 0 ? [] : [`t${i % 2}`, 'a,b', '"'],
  big: i % 3 === 0 ? null : [2n ** 60n + BigInt(i), -1n],
  payload: JSON.stringify({ n: i, list: [1, 'x y'] }),
  meta: { at: 1_000 * i },
});
const ROWS = Array.from({ length: 40 }, (_, i) => rowOf(i));
const source = () => memory([], { schema: FIELDS });

describe('structs, lists and text of JSON in a pipeline', () => {
  test('rows go in and out as they are', () => {
    const driver = testDriver(pipeline('p').from(source()).to(collect()));
    driver.send(ROWS);
    driver.close();
    assert.deepEqual(driver.output(), ROWS);
  });

  test('members are columns in expressions, and members of objects in closures', () => {
    const limit = 10;
    const p = pipeline('p')
      .from(source())
      .filter((r) => r.user.id !== 'u1' && (r.user.age ?? 0) > 4)
      .filter((r) => r.user.age !== limit && r.tags.every((tag) => tag.length > 0))
      .map({ who: utf8, age: nullable(i32), tags: list(utf8), n: f64, user: { id: utf8, all: list(utf8) }, city: nullable(utf8) }, (r) => ({
        who: `${r.user.id}/${r.user.home.city?.toUpperCase() ?? '-'}`,
        age: r.user?.age,
        tags: [...r.tags, r.user.id],
        n: JSON.parse(r.payload).n,
        user: { id: r.id, all: r.tags },
        city: r.user.home.city,
      }))
      .to(collect());
    const driver = testDriver(p);
    driver.send(ROWS);
    driver.close();
    const expected = ROWS.filter((r) => r.user.id !== 'u1' && (r.user.age ?? 0) > 4 && r.user.age !== limit).map((r) => ({
      who: `${r.user.id}/${r.user.home.city?.toUpperCase() ?? '-'}`,
      age: r.user.age,
      tags: [...r.tags, r.user.id],
      n: JSON.parse(r.payload).n,
      user: { id: r.id, all: r.tags },
      city: r.user.home.city,
    }));
    assert.ok(expected.length > 5);
    assert.deepEqual(driver.output(), expected);
  });

  test('select, drop, rename and withColumns take columns of structs, and whole structs', () => {
    const run = (p: Parameters<typeof testDriver>[0]) => {
      const driver = testDriver(p);
      driver.send([rowOf(4)]);
      driver.close();
      return driver.output();
    };
    const s = () => pipeline('p').from(source());
    assert.deepEqual(run(s().select('user.id', 'tags').to(collect())), [{ user: { id: 'u1' }, tags: ['t0', 'a,b', '"'] }]);
    assert.deepEqual(run(s().select('user').to(collect())), [{ user: rowOf(4).user }]);
    assert.deepEqual(run(s().drop('user.home', 'big', 'payload', 'tags', 'meta').to(collect())), [{ id: 'e4', user: { id: 'u1', age: 4 } }]);
    assert.deepEqual(run(s().select('user.id', 'user.age').rename({ 'user.id': 'who' }).to(collect())), [{ who: 'u1', user: { age: 4 } }]);
    assert.deepEqual(run(s().select('user').rename({ user: 'person' }).to(collect())), [{ person: rowOf(4).user }]);
    assert.deepEqual(
      run(
        s()
          .select('id', 'tags')
          .withColumns({ n: [f64, (r) => r.tags.length], more: [{ first: nullable(utf8) }, (r) => ({ first: r.tags[0] ?? null })] })
          .to(collect()),
      ),
      [{ id: 'e4', tags: ['t0', 'a,b', '"'], n: 3, more: { first: 't0' } }],
    );
  });

  test('keys, event time and aggregates by their names; lists are values of aggregates, of state and of keys', () => {
    const driver = testDriver(
      pipeline('p')
        .from(source())
        .withWatermark('meta.at', '1s')
        .keyBy('user.id')
        .window(tumbling('1m'))
        .aggregate({ n: count(), oldest: max('user.age'), sum: sum('user.age'), tags: last('tags'), payload: last('payload') })
        .to(collect()),
      { shards: 3 },
    );
    driver.send(ROWS);
    driver.endEpoch();
    const saved = structuredClone(driver.snapshot());
    driver.close();
    const of = (id: string) => ROWS.filter((r) => r.user.id === id);
    const expected = ['u0', 'u1', 'u2'].map((id) => ({
      user: { id },
      windowStart: 0,
      windowEnd: 60_000,
      n: of(id).length,
      oldest: Math.max(...of(id).map((r) => r.user.age ?? 0)),
      sum: of(id).reduce((total, r) => total + (r.user.age ?? 0), 0),
      tags: of(id).at(-1)?.tags,
      payload: of(id).at(-1)?.payload,
    }));
    const byUser = (a: unknown, b: unknown) => ((a as Row).user.id < (b as Row).user.id ? -1 : 1);
    assert.deepEqual([...driver.output()].sort(byUser), expected);
    const p = pipeline('p')
      .from(source())
      .withWatermark('meta.at', '1s')
      .keyBy('user.id')
      .window(tumbling('1m'))
      .aggregate({ n: count(), oldest: max('user.age'), sum: sum('user.age'), tags: last('tags'), payload: last('payload') })
      .to(collect());
    const restored = testDriver(p, { from: saved, shards: 2 });
    restored.close();
    assert.deepEqual([...restored.output()].sort(byUser), expected);
  });

  test('process, reduce, top, dropDuplicates, joins and tables', () => {
    const run = (p: Parameters<typeof testDriver>[0], rows: readonly Row[] = ROWS) => {
      const driver = testDriver(p, { shards: 2 });
      driver.send(rows);
      driver.endEpoch();
      driver.close();
      return driver.output() as readonly Record<string, unknown>[];
    };
    const s = () => pipeline('p').from(source());
    const processed = run(
      s()
        .keyBy('user.id')
        .process({
          schema: { user: { id: utf8 }, seen: list(utf8), tags: list(utf8) },
          state: () => ({ seen: [] as string[] }),
          onRow: (row, ctx) => {
            ctx.state.seen.push(row.id);
            ctx.emit({ user: { id: ctx.key.user.id }, seen: ctx.state.seen, tags: row.tags });
          },
        })
        .to(collect()),
      ROWS.slice(0, 7),
    );
    assert.deepEqual(
      processed.find((r) => (r.seen as string[]).length === 3),
      { user: { id: 'u0' }, seen: ['e0', 'e3', 'e6'], tags: ROWS[6]?.tags },
    );
    const reduced = run(
      s()
        .keyBy('user.id')
        .reduce((a, b) => ({ ...b, tags: [...a.tags, ...b.tags], user: { ...b.user, age: (a.user.age ?? 0) + (b.user.age ?? 0) } }))
        .to(collect()),
      ROWS.slice(0, 7),
    );
    assert.deepEqual(
      (reduced.find((r) => (r as Row).user.id === 'u0') as Row).tags,
      [ROWS[0], ROWS[3], ROWS[6]].flatMap((r) => (r as Row).tags),
    );
    assert.equal((reduced.find((r) => (r as Row).user.id === 'u0') as Row).user.age, 6);
    const top = run(s().keyBy('user.id').top(1, { by: 'user.age' }).to(collect()));
    assert.deepEqual(
      top.map((r) => [(r as Row).user.id, (r as Row).user.age, r.tags]).sort(),
      ['u0', 'u1', 'u2']
        .map((id) => {
          const best = ROWS.filter((r) => r.user.id === id).reduce((a, b) => ((b.user.age ?? -1) > (a.user.age ?? -1) ? b : a));
          return [id, best.user.age, best.tags];
        })
        .sort(),
    );
    const unlike = run(s().withWatermark('meta.at', '1s').keyBy('tags').dropDuplicates({ within: '1h' }).to(collect()));
    assert.equal(unlike.length, new Set(ROWS.map((r) => JSON.stringify(r.tags))).size);
    const perTags = run(s().keyBy('tags').aggregate({ n: count() }).to(collect()));
    assert.deepEqual(
      perTags.map((r) => [r.tags, r.n]).sort(),
      [...new Set(ROWS.map((r) => JSON.stringify(r.tags)))].map((t) => [JSON.parse(t), ROWS.filter((r) => JSON.stringify(r.tags) === t).length]).sort(),
    );
    const two = pipeline('p');
    const left = two.from(memory([], { schema: FIELDS }));
    const right = two.from(memory([], { schema: { who: utf8, labels: list(utf8) } }));
    const joined = testDriver(left.keyBy('user.id').join(right.keyBy('who')).to(collect()));
    joined.send(1, [{ who: 'u1', labels: ['x', 'y'] }]);
    joined.endEpoch();
    joined.send(0, ROWS.slice(0, 5));
    joined.close();
    assert.deepEqual(
      joined.output().map((r) => [(r as unknown as Row).user.id, (r as unknown as Row).id, (r as { labels?: unknown }).labels]),
      [
        ['u1', 'e1', ['x', 'y']],
        ['u1', 'e4', ['x', 'y']],
      ],
    );
    // A table's rows with lists are taken back by their values.
    const driver = testDriver(
      s()
        .keyBy('user.id')
        .table()
        .groupBy('tags')
        .aggregate({ n: count(), users: collected('user.id') })
        .to(collect({ changelog: 'retract' })),
    );
    for (let from = 0; from < ROWS.length; from += 7) {
      driver.send(ROWS.slice(from, from + 7));
      driver.endEpoch();
    }
    driver.close();
    const held = new Map<string, unknown>();
    for (const { retracted, ...row } of driver.output() as readonly { tags: string[]; n: number; users: string; retracted: boolean }[]) {
      const key = JSON.stringify(row.tags);
      if (!retracted) held.set(key, row);
      else {
        assert.deepEqual(held.get(key), row, 'what is taken back was there');
        held.delete(key);
      }
    }
    const newest = ['u0', 'u1', 'u2'].map((id) => ROWS.filter((r) => r.user.id === id).at(-1) as Row);
    const wanted = new Map<string, number>();
    for (const { tags } of newest) wanted.set(JSON.stringify(tags), (wanted.get(JSON.stringify(tags)) ?? 0) + 1);
    assert.deepEqual(new Map([...held].map(([key, row]) => [key, (row as { n: number }).n])), wanted);
  });

  test('collect and topK of lists and JSON hold values, not texts; what has no order is refused', () => {
    const rows = ROWS.slice(1, 4).map((r) => ({ ...r, user: { ...r.user, id: 'u' } }));
    const run = (p: Parameters<typeof testDriver>[0]) => {
      const driver = testDriver(p);
      driver.send(rows);
      driver.close();
      return driver.output()[0] as Record<string, string>;
    };
    const tags = rows.map((r) => r.tags);
    const payloads = rows.map((r) => JSON.parse(r.payload));
    const windowed = run(
      pipeline('p')
        .from(source())
        .withWatermark('meta.at', '1s')
        .keyBy('user.id')
        .window(tumbling('1m'))
        .aggregate({ tags: collected('tags'), payloads: collected('payload'), top: topK('tags', 1) })
        .to(collect()),
    );
    assert.deepEqual(JSON.parse(windowed.tags as string), tags);
    assert.deepEqual(JSON.parse(windowed.payloads as string), payloads);
    assert.deepEqual(JSON.parse(windowed.top as string)[0].value, ['t1', 'a,b', '"']);
    const over = run(
      pipeline('p')
        .from(source())
        .withWatermark('meta.at', '1s')
        .keyBy('user.id')
        .over({ all: collected('tags', { rows: 5 }) })
        .to(collect()),
    );
    assert.deepEqual(JSON.parse(over.all as string), [rows[0]?.tags]);
    const table = run(
      pipeline('p')
        .from(source())
        .keyBy('id')
        .table()
        .groupBy('user.id')
        .aggregate({ tags: collected('tags', { by: 'meta.at' }), payloads: collected('payload', { by: 'meta.at' }) })
        .to(collect({ changelog: 'append' })),
    );
    assert.deepEqual([JSON.parse(table.tags as string), JSON.parse(table.payloads as string)], [tags, payloads]);
    assert.throws(
      () =>
        pipeline('p')
          .from(source())
          .keyBy('user.id')
          .aggregate({ m: max('tags') }),
      /max\("tags"\) of a list<utf8> column: such values have no order/,
    );
  });

  test('explode gives a row for each element, with its members as columns', () => {
    const orders = [
      {
        id: 'o1',
        at: 1,
        box: { labels: ['x', 'y'] },
        items: [
          { sku: 'a', n: 2 },
          { sku: 'b', n: null },
        ],
      },
      { id: 'o2', at: 2, box: { labels: [] }, items: null },
      { id: 'o3', at: 3, box: { labels: ['z'] }, items: [{ sku: 'a', n: 5 }] },
    ];
    const from = () =>
      pipeline('p').from(
        memory(orders, { schema: { id: utf8, at: timestamp, box: { labels: list(utf8) }, items: nullable(list({ sku: utf8, n: nullable(f64) })) } }),
      );
    const run = (p: Parameters<typeof testDriver>[0]) => {
      const driver = testDriver(p);
      driver.send(orders);
      driver.close();
      return driver.output();
    };
    assert.deepEqual(
      run(from().explode('items').to(collect())),
      orders.flatMap(({ id, at, box, items }) => (items ?? []).map((each) => ({ id, at, box, items: each }))),
    );
    assert.deepEqual(
      run(from().select('id', 'box').explode('box.labels').to(collect())),
      orders.flatMap(({ id, box }) => box.labels.map((labels) => ({ id, box: { labels } }))),
    );
    assert.deepEqual(
      run(
        from()
          .explode('items')
          .withWatermark('at', 0)
          .keyBy('items.sku')
          .window(tumbling('1s'))
          .aggregate({ n: sum('items.n') })
          .to(collect()),
      )
        .map((row) => JSON.stringify(row))
        .sort(),
      [
        { items: { sku: 'a' }, windowStart: 0, windowEnd: 1000, n: 7 },
        { items: { sku: 'b' }, windowStart: 0, windowEnd: 1000, n: null },
      ].map((row) => JSON.stringify(row)),
    );
    // @ts-expect-error: it is no list
    assert.throws(() => from().explode('id'), /explode\("id"\) needs a column of lists, and "id" is utf8/);
  });

  test('records come out again as they went in, by JSON and by CSV', () => {
    const dir = mkdtempSync(join(tmpdir(), 'nested-'));
    try {
      for (const codec of [json(FIELDS), csv(FIELDS)] as const) {
        const p = pipeline('p').from(log.source({ dir, topic: codec.name, value: codec }));
        const driver = testDriver(p.to(collect()));
        const record = (r: Row) =>
          codec.name === 'json'
            ? `{"payload":${r.payload},"user":${JSON.stringify(r.user)},"id":"${r.id}","big":${r.big === null ? 'null' : `[${r.big.join(', ')}]`},"tags":${JSON.stringify(r.tags)},"meta":${JSON.stringify(r.meta)}}`
            : [r.id, r.user.id, r.user.age, r.user.home.city, JSON.stringify(r.tags), r.big === null ? null : `[${r.big.join(',')}]`, r.payload, r.meta.at]
                .map((v) => (v === null ? '' : `"${String(v).replaceAll('"', '""')}"`))
                .join(',');
        driver.sendRaw(
          codec.name,
          ROWS.map((r) => Buffer.from(record(r))),
        );
        driver.close();
        assert.deepEqual(driver.output(), ROWS, codec.name);
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

test('a job on worker threads: generated, through a log as JSON and as Arrow, into files and aggregates', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'nested-job-'));
  try {
    const total = 3_000;
    const job = async (step: string) => {
      const running = await run(new URL('./pipelines/nested.ts', import.meta.url), {
        workers: 2,
        trigger: 'availableNow',
        drain: 'emit',
        params: { dir, step, count: total },
      });
      await running.done;
    };
    await job('make');
    const made = Array.from({ length: total }, (_, i) => orderOf(i));
    const wanted = new Map<string, { orders: number; n: number }>();
    for (const { user, items } of made) {
      if (!user.tags.includes('paying') || user.home.city === 'c1') continue;
      for (const { sku, n } of items) {
        const held = wanted.get(`${user.id} ${sku}`) ?? { orders: 0, n: 0 };
        wanted.set(`${user.id} ${sku}`, { orders: held.orders + 1, n: held.n + n });
      }
    }
    const byTime = (a: unknown, b: unknown) => (a as { at: number }).at - (b as { at: number }).at;
    for (const step of ['json', 'arrow']) {
      await job(step);
      assert.deepEqual([...rows.rows].sort(byTime), made, step);
      const found = (spent.rows as readonly { user: { id: string }; items: { sku: string }; orders: number; n: number }[]).map(
        ({ user, items, orders, n }) => [`${user.id} ${items.sku}`, { orders, n }] as const,
      );
      assert.deepEqual(new Map(found), wanted, step);
    }
    const lines = readdirSync(join(dir, 'files'), { recursive: true })
      .filter((name) => /part|\.csv/.test(String(name)))
      .flatMap((name) =>
        readFileSync(join(dir, 'files', String(name)), 'utf8')
          .trim()
          .split('\n'),
      );
    assert.equal(lines.length, total);
    assert.ok(
      lines.some((line) => line.includes('"[""paying"",""t1""]"')),
      lines[1] ?? 'no line',
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
