/** memory(): rows arrive as they are, the schema is inferred over all of them, and wrong rows are named. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { f64, i32, nullable, timestamp, utf8 } from '../../core/index.ts';
import { memory } from '../../io/index.ts';
import { caseCount, fc } from '../seed.ts';
import { readSource, sourceRows } from './harness.ts';

describe('memory', () => {
  test('gives back any rows, at any number of partitions', async () => {
    const row = fc.record(
      {
        n: fc.option(fc.double()),
        s: fc.string({ unit: 'binary' }),
        b: fc.boolean(),
        i: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        u: fc.uint8Array({ maxLength: 9 }),
      },
      { noNullPrototype: true },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 5 }), async (rows, partitions) => {
        const given = rows.some((r) => r.n !== null) ? rows : [{ ...(rows[0] as (typeof rows)[0]), n: 1 }, ...rows];
        const got = await sourceRows(memory(given, { partitions }), { batchRows: 16, memoryBytes: 4 << 20 });
        assert.equal(got.length, given.length);
        // 'binary' strings hold whole code points only, so UTF-8 keeps them.
        for (const { partition, offset, row: r } of got) assert.deepEqual(r, given[partition + offset * partitions]);
      }),
      { numRuns: caseCount(60) },
    );
  });

  test('infers the schema over all rows', () => {
    const source = memory([
      { a: 1, b: 'x' },
      { a: null, b: 'y', c: true },
      { a: 2, b: '', c: false, d: 1n, e: new Uint8Array(1), f: undefined, ['__proto__']: 'own' },
      { f: 5 },
    ] as Record<string, unknown>[]);
    assert.equal(source.schema.toString(), '"a":f64?, "b":utf8?, "c":bool?, "d":i64?, "e":binary?, "f":f64?, "__proto__":utf8?');
    assert.equal(memory([{ a: 1 }, { a: 2 }]).schema.toString(), '"a":f64');
  });

  test('many rows go in several frames, and a start in the middle reads the rest', async () => {
    const rows = Array.from({ length: 10_000 }, (_, i) => ({ i, text: 'x'.repeat(i % 200) }));
    const source = memory(rows, { partitions: 2 });
    const { frames, high, ended } = await readSource(source, { creditFrames: 1 });
    assert.ok(frames.length >= 4);
    assert.deepEqual(
      [...high],
      [
        [0, 5000],
        [1, 5000],
      ],
    );
    assert.equal(ended.size, 2);
    const rest = await sourceRows(source, {
      from: new Map([
        [0, 4_990],
        [1, 5_000],
      ]),
    });
    assert.deepEqual(
      rest.map((r) => r.row.i),
      [9980, 9982, 9984, 9986, 9988, 9990, 9992, 9994, 9996, 9998],
    );
    const bytes = Math.max(...(await readSource(memory(Array.from({ length: 2_000 }, () => ({ s: 'y'.repeat(2_000) }))))).frames.map((f) => f.bytes.length));
    assert.ok(bytes < 2 << 20, `a frame of ${bytes} bytes`);
  });

  test('with a schema: types of its own, and the rows must fit', async () => {
    const source = memory([{ at: 1_700_000_000_123, n: 7, s: null }], { schema: { at: timestamp, n: i32, s: nullable(utf8) } });
    assert.deepEqual((await sourceRows(source))[0]?.row, { at: 1_700_000_000_123, n: 7, s: null });
    const bad = memory([{ n: 1 }, { n: 2 }, { n: 2.5 }], { schema: { n: i32 } });
    await assert.rejects(readSource(bad), { code: 'ERR_MILLRACE_SCHEMA', message: /row 2 .*"n".*2\.5/ });
    await assert.rejects(readSource(memory([{ n: 1 }, {} as { n: number }], { schema: { n: f64 } })), { code: 'ERR_MILLRACE_SCHEMA', message: /row 1 / });
    assert.deepEqual(await sourceRows(memory([], { schema: { n: i32 }, partitions: 3 })), []);
  });

  test('refuses what it cannot infer', () => {
    for (const [rows, message] of [
      [[], /no rows/],
      [[{ a: 1 }, { a: 'x' }], /"a" is "x" in row 1 and 1 before/],
      [[{ a: null }], /null in every row/],
      [[{ a: 1 }, 5], /row 1 is 5/],
      [[{ a: new Date(0) }], /row 0 /],
    ] as const)
      assert.throws(() => memory(rows as never), { code: 'ERR_MILLRACE_SCHEMA', message });
    assert.throws(() => memory([{ a: 1 }], { partitions: 0 }), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => memory('rows' as never), { code: 'ERR_MILLRACE_OPTION' });
  });

  test('types: the row type is that of the rows, or of the schema', () => {
    const inferred: { readonly a: number; readonly b: string } | undefined = memory([{ a: 1, b: 'x' }])._row;
    const given: { readonly at: number; readonly s: string | null } | undefined = memory([], { schema: { at: timestamp, s: nullable(utf8) } })._row;
    // @ts-expect-error: a row that lacks a column of the schema
    memory([{ at: 1 }], { schema: { at: timestamp, s: utf8 } });
    assert.equal(inferred ?? given, undefined);
  });
});
