/** The generator: known rows whatever the partitions, resumption, pace, and what it says about bad rows. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { f64, i32, nullable, type Rng, utf8 } from '../../core/index.ts';
import { generator } from '../../io/index.ts';
import { decodeFrames, readSource, sourceRows } from './harness.ts';

const fields = { page: utf8, ms: f64, i: i32 };
const row = (i: number, rng: Rng) => ({ page: `/page-${rng.int(50)}`, ms: rng() * 100, i });

describe('generator', () => {
  test('makes the same rows at any number of partitions and any batch size', async () => {
    const all = [];
    for (const [partitions, batchRows] of [
      [1, 4096],
      [1, 64],
      [3, 4096],
      [7, 512],
    ] as const) {
      const rows = await sourceRows(generator({ rows: 20_011, seed: 9, schema: fields, row, partitions }), { batchRows });
      assert.equal(rows.length, 20_011);
      const sorted = rows.map((r) => r.row).sort((a, b) => (a.i as number) - (b.i as number));
      sorted.forEach((r, i) => assert.equal(r.i, i));
      all.push(sorted);
      // Offset k of partition p of P is row p + k * P.
      for (const r of rows) assert.equal(r.row.i, r.partition + r.offset * partitions);
    }
    for (const rows of all.slice(1)) assert.deepEqual(rows, all[0]);
    assert.ok(new Set(all[0]?.map((r) => r.ms)).size > 19_900, 'rows have random numbers of their own');
    assert.equal(new Set(all[0]?.map((r) => r.page)).size, 50);
  });

  test('another seed gives other rows, the same seed the same', async () => {
    const take = async (seed: number) => (await sourceRows(generator({ rows: 100, seed, schema: fields, row }))).map((r) => r.row);
    assert.deepEqual(await take(1), await take(1));
    assert.notDeepEqual(await take(1), await take(2));
  });

  test('goes on at a given offset', async () => {
    const source = generator({ rows: 10_000, seed: 3, schema: fields, row, partitions: 2 });
    const whole = await sourceRows(source);
    const rest = await sourceRows(source, {
      from: new Map([
        [0, 1_234],
        [1, 4_999],
      ]),
    });
    assert.deepEqual(
      rest,
      whole.filter((r) => r.offset >= (r.partition === 0 ? 1_234 : 4_999)),
    );
  });

  test('frames are small, and say where they begin and end', async () => {
    const { frames, high, ended } = await readSource(generator({ rows: 10_000, seed: 3, schema: fields, row, partitions: 2 }), { creditFrames: 1 });
    assert.ok(frames.every((frame) => frame.bytes.length === 16));
    assert.deepEqual(
      frames.filter((f) => f.partition === 1).map((f) => [f.first, f.next]),
      [
        [0, 4096],
        [4096, 5000],
      ],
    );
    assert.deepEqual(
      [...high],
      [
        [0, 5000],
        [1, 5000],
      ],
    );
    assert.deepEqual([...ended].sort(), [0, 1]);
  });

  test('without a row count it does not end, and cannot be drained', async () => {
    const source = generator({ seed: 3, schema: fields, row });
    assert.equal(source.bounded, false);
    const { frames, ended } = await readSource(source, { framesMax: 500 });
    assert.equal(frames.length, 500);
    assert.equal(ended.size, 0);
    await assert.rejects(readSource(source, { drain: true }), { code: 'ERR_MILLRACE_OPTION', message: /rows/ });
  });

  test('keeps the pace', async () => {
    const before = performance.now();
    const { frames } = await readSource(generator({ rows: 60, rowsPerSecond: 300, seed: 3, schema: fields, row, partitions: 2 }));
    const ms = performance.now() - before;
    // A lower bound only: a busy machine may take longer, never less.
    assert.ok(ms >= 190, `60 rows at 300 a second took ${ms} ms`);
    assert.equal(decodeFrames(generator({ rows: 60, seed: 3, schema: fields, row, partitions: 2 }), frames).rows.length, 60);
  });

  test('decodes only the columns that are read', async () => {
    const source = generator({ rows: 10, seed: 3, schema: fields, row: (i) => ({ page: 'x', ms: i === 5 ? ('bad' as unknown as number) : 1, i }) });
    const { frames } = await readSource(source);
    assert.deepEqual(
      decodeFrames(source, frames, { columns: [2] }).rows.map((r) => r.row.i),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.throws(() => decodeFrames(source, frames), { code: 'ERR_MILLRACE_SCHEMA', message: /row 5 .*"ms".*"bad"/s });
  });

  test('names the row whose function threw, gave nothing, or gave what does not fit', async () => {
    const { frames } = await readSource(generator({ rows: 100, seed: 3, schema: fields, row, partitions: 3 }));
    const failing = (fn: (i: number) => unknown) => () =>
      decodeFrames(generator({ rows: 100, seed: 3, schema: fields, row: fn as never, partitions: 3 }), frames);
    const good = { page: '', ms: 0, i: 0 };
    assert.throws(
      failing((i) => {
        if (i === 42) throw new Error('boom');
        return good;
      }),
      { code: 'ERR_MILLRACE_USER_FUNCTION', message: /row 42: boom/ },
    );
    assert.throws(
      failing((i) => (i === 7 ? undefined : good)),
      { code: 'ERR_MILLRACE_USER_FUNCTION', message: /row 7: A row is undefined/ },
    );
    assert.throws(
      failing((i) => (i === 8 ? { page: '', ms: 0 } : good)),
      { code: 'ERR_MILLRACE_SCHEMA', message: /row 8 .*"i"/ },
    );
    assert.throws(
      failing((i) => (i === 9 ? { ...good, i: 1.5 } : good)),
      { code: 'ERR_MILLRACE_SCHEMA', message: /row 9 .*1\.5/ },
    );
  });

  test('text of any kind arrives as it was, and names of Object.prototype are columns like others', async () => {
    const texts = ['', 'a', 'ü', '€uro'.repeat(40), 'x'.repeat(64), `${'x'.repeat(63)}é`, '\u{1f600}', 'a\0b', 'z'.repeat(10_000)];
    const schema = { ['__proto__']: nullable(utf8), toString: nullable(utf8), text: utf8 };
    const source = generator({
      rows: texts.length * 2,
      seed: 0,
      schema,
      row: (i) => (i % 2 ? ({ text: texts[i >> 1] } as never) : JSON.parse(`{"__proto__":"p","toString":"s","text":${JSON.stringify(texts[i >> 1])}}`)),
    });
    const rows = (await sourceRows(source)).map((r) => r.row);
    rows.forEach((r, i) => {
      assert.equal(r.text, texts[i >> 1]);
      assert.equal(Object.getOwnPropertyDescriptor(r, '__proto__')?.value, i % 2 ? null : 'p');
      assert.equal(r.toString, i % 2 ? null : 's');
    });
  });

  test('refuses options that make no sense', () => {
    const make = (options: object) => () => generator({ rows: 1, seed: 1, schema: fields, row, ...options } as never);
    for (const bad of [{ rows: -1 }, { rows: 1.5 }, { rowsPerSecond: 0 }, { seed: 'x' }, { partitions: 0 }, { row: 3 }])
      assert.throws(make(bad), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(make({ schema: { a: 'utf8' } }), { code: 'ERR_MILLRACE_SCHEMA' });
  });
});
