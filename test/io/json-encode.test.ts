/** json() against JSON.stringify: generated rows, by the kernel and by the reference. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Batch,
  BatchBuilder,
  binary,
  bool,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  kernelExports,
  nullable,
  type SchemaFields,
  schema,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import type { JsonEncodeKernels } from '../../io/json/encode.ts';
import { json } from '../../io/json.ts';
import { caseCount, fc } from '../seed.ts';
import { decode, encode, memory, slabs } from './codec-harness.ts';

const RUNS = caseCount(200);
const SCHEMA = {
  page: utf8,
  'quote " and \\ and é': nullable(utf8),
  x: f64,
  f: nullable(f32),
  b: i8,
  s: i16,
  n: nullable(i32),
  u: u32,
  big: i64,
  at: timestamp,
  ok: nullable(bool),
  bin: nullable(binary),
  __proto__x: nullable(f64),
} satisfies SchemaFields;

const text = fc
  .oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ maxLength: 40, unit: 'binary' }),
    fc
      .array(fc.constantFrom('"', '\\', '\n', '\u0001', '\u001f', '\u007f', 'é', '😀', 'a', 'plain text ', '\u2028'), { maxLength: 30 })
      .map((parts) => parts.join('')),
  )
  .map((s) => Buffer.from(s).toString());
const double = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.tuple(fc.maxSafeInteger(), fc.integer({ min: 0, max: 22 })).map(([m, k]) => m / 10 ** k),
  fc.tuple(fc.integer(), fc.integer({ min: 0, max: 12 })).map(([m, k]) => m / 10 ** k),
  fc.constantFrom(
    0,
    -0,
    1e21,
    1e20,
    123456789012345680000,
    0.1 + 0.2,
    1e-5,
    1e-6,
    1e-7,
    0.000001234,
    5e-324,
    1.7976931348623157e308,
    2 ** 53,
    2 ** 53 + 2,
    999999999999999.9,
    0.999999999999999,
    100,
    4.35,
    1.005,
    Number.NaN,
    Number.POSITIVE_INFINITY,
  ),
);
const row = fc.record({
  page: text,
  'quote " and \\ and é': fc.option(text),
  x: double,
  f: fc.option(fc.float()),
  b: fc.integer({ min: -128, max: 127 }),
  s: fc.integer({ min: -32768, max: 32767 }),
  n: fc.option(fc.integer()),
  u: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  big: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 0n, -1n, 10n ** 18n, 10n ** 18n - 1n)),
  at: fc.oneof(fc.integer({ min: 0, max: 4e12 }), fc.maxSafeInteger()),
  ok: fc.option(fc.boolean()),
  bin: fc.option(fc.uint8Array({ maxLength: 20 })),
  __proto__x: fc.option(fc.double()),
});
type Row = typeof row extends fc.Arbitrary<infer R> ? R : never;

function model(value: Row): string {
  const members = Object.keys(SCHEMA).map((name) => {
    const held = value[name as keyof Row];
    const shape =
      typeof held === 'bigint' ? String(held) : held instanceof Uint8Array ? JSON.stringify(Buffer.from(held).toString('base64')) : JSON.stringify(held);
    return `${JSON.stringify(name)}:${shape}`;
  });
  return `{${members.join(',')}}`;
}

function batchOf(fields: SchemaFields, rows: readonly object[]): { batch: Batch; release(): void } {
  const builder = new BatchBuilder(slabs, schema(fields), rows.length);
  for (const one of rows) builder.appendRow(one as never);
  return { batch: builder.finish(), release: () => builder.release() };
}

const asText = (records: readonly Uint8Array[]): string[] => records.map((record) => Buffer.from(record).toString());

describe('json(): encoding', () => {
  test('has its kernel', () => {
    if (process.env.MILLRACE_KERNELS !== 'typescript') assert.equal(typeof kernelExports<JsonEncodeKernels>(memory)?.jsonEncode, 'function');
  });

  test('writes what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 40 }), fc.constantFrom(2_500, 5_000, 1 << 16), (rows, step) => {
        const { batch, release } = batchOf(SCHEMA, rows);
        for (const kernel of [true, false]) assert.deepEqual(asText(encode(json(), batch, { kernel, step })), rows.map(model), kernel ? 'kernel' : 'reference');
        release();
      }),
      { numRuns: RUNS },
    );
  });

  test('prints every double as JavaScript does', () => {
    fc.assert(
      fc.property(fc.array(double, { minLength: 50, maxLength: 300 }), (values) => {
        const { batch, release } = batchOf(
          { x: f64 },
          values.map((x) => ({ x })),
        );
        for (const kernel of [true, false])
          assert.deepEqual(
            asText(encode(json(), batch, { kernel })),
            values.map((x) => JSON.stringify({ x })),
          );
        release();
      }),
      { numRuns: RUNS },
    );
  });

  test('writes a slice, an empty schema, and nothing when not even one row fits', () => {
    const { batch, release } = batchOf(
      { x: f64 },
      Array.from({ length: 20 }, (_, x) => ({ x })),
    );
    for (const kernel of [true, false])
      assert.deepEqual(asText(encode(json(), batch.slice(8, 12), { kernel })), ['{"x":8}', '{"x":9}', '{"x":10}', '{"x":11}']);
    const none = new Batch(memory, schema({}), 2, []);
    assert.deepEqual(asText(encode(json(), none)), ['{}', '{}']);
    const encoder = json().encoder({ memory, slabs }, batch.schema);
    const target = slabs.alloc(4096);
    assert.equal(encoder.encode(batch, 0, 20, target, target + 5, target + 2048), 0);
    slabs.free(target);
    release();
  });

  test('writes text that is no UTF-8 as JSON all the same', () => {
    const { batch, release } = batchOf({ s: binary }, [{ s: Uint8Array.of(0x61, 0xff, 0x22, 0xc3) }, { s: Buffer.from('fine') }]);
    const asUtf8 = new Batch(memory, schema({ s: utf8 }), 2, [{ ...batch.column(0), type: utf8 }]);
    for (const kernel of [true, false])
      assert.deepEqual(
        asText(encode(json(), asUtf8, { kernel })).map((record) => JSON.parse(record) as unknown),
        [{ s: 'a\ufffd"\ufffd' }, { s: 'fine' }],
      );
    release();
  });

  test('is read back by json(schema) to the same rows', () => {
    const finite = row.map((value) => ({ ...value, x: Number.isFinite(value.x) ? value.x : 1, f: null, __proto__x: null }));
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 20 }), (rows) => {
        const { batch, release } = batchOf(SCHEMA, rows);
        const back = decode(json(SCHEMA) as never, encode(json(), batch));
        assert.deepEqual(back.rejections, []);
        assert.deepEqual(
          back.rows.map((value) => ({ ...value, x: (value.x as number) + 0 })),
          batch.toRows().map((value) => ({ ...value, x: (value.x as number) + 0 })),
        );
        release();
      }),
      { numRuns: caseCount(100) },
    );
  });
});
