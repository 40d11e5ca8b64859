/** arrow() of structs and lists: beside apache-arrow and pyarrow, both ways, and against broken bytes. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import * as peer from 'apache-arrow';
import {
  type AnyRow,
  BatchBuilder,
  binary,
  bool,
  f64,
  i32,
  i64,
  jsonText,
  list,
  nullable,
  type SchemaFields,
  schema,
  timestamp,
  utf8,
} from '../../core/index.ts';
import { arrow } from '../../io/arrow.ts';
import { findPyarrow } from '../../scripts/provision-pyarrow.js';
import { caseCount, fc } from '../seed.ts';
import { decode, slabs } from './codec-harness.ts';

const RUNS = caseCount(150);
const { python, missing } = findPyarrow();

const FIELDS = {
  id: utf8,
  user: { id: utf8, age: nullable(i32), home: { city: nullable(utf8), at: timestamp } },
  tags: list(utf8),
  xs: nullable(list(nullable(f64))),
  big: nullable(list(i64)),
  flags: nullable(list(nullable(bool))),
  items: nullable(list({ sku: utf8, n: nullable(i32), parts: list(utf8) })),
  grid: nullable(list(list(nullable(i32)))),
  bytes: nullable(list(binary)),
  raw: nullable(jsonText),
  n: nullable(i32),
  ok: bool,
} satisfies SchemaFields;

const text = fc.string({ maxLength: 12 });
const int = fc.integer();
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null, freq: 3 });
const row = fc
  .record({
    id: text,
    user: fc.record({ id: text, age: maybe(int), home: fc.record({ city: maybe(text), at: fc.integer({ min: 0, max: 2 ** 40 }) }) }),
    tags: fc.array(text, { maxLength: 4 }),
    xs: maybe(fc.array(maybe(fc.double({ noDefaultInfinity: true, noNaN: true }).map((x) => x + 0)), { maxLength: 4 })),
    big: maybe(fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 3 })),
    flags: maybe(fc.array(maybe(fc.boolean()), { maxLength: 12 })),
    items: maybe(fc.array(fc.record({ sku: text, n: maybe(int), parts: fc.array(text, { maxLength: 2 }) }), { maxLength: 3 })),
    grid: maybe(fc.array(fc.array(maybe(int), { maxLength: 3 }), { maxLength: 3 })),
    bytes: maybe(fc.array(fc.uint8Array({ maxLength: 4 }), { maxLength: 2 })),
    raw: maybe(fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value))),
    n: maybe(int),
    ok: fc.boolean(),
  })
  // Objects as others have them.
  .map((each) => structuredClone(each));

function written(rows: readonly object[], form: 'stream' | 'batch' = 'stream'): Uint8Array {
  const builder = new BatchBuilder(slabs, schema(FIELDS), Math.max(8, rows.length));
  for (const each of rows) builder.appendRow(each as AnyRow);
  const { memory } = slabs;
  const encoder = arrow(undefined, { form }).encoder({ memory, slabs }, builder.schema);
  const target = slabs.alloc(1 << 20);
  const ends = slabs.alloc(64);
  assert.equal(encoder.encode(builder.finish(), 0, rows.length, target, target + (1 << 20), ends), rows.length);
  const bytes = new Uint8Array(memory.u8.slice(target, memory.u32[ends >>> 2]));
  for (const slab of [target, ends]) slabs.free(slab);
  builder.release();
  return bytes;
}

/** What apache-arrow gives, as plain values. */
function plain(value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (value instanceof peer.Vector) return [...value].map(plain);
  const { toJSON } = value as { toJSON?: () => object };
  if (typeof toJSON === 'function') return Object.fromEntries(Object.entries(toJSON.call(value)).map(([name, inner]) => [name, plain(inner)]));
  return value;
}

describe('arrow(): structs and lists', () => {
  test('are those of apache-arrow, and come back as they went out', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), fc.constantFrom('stream' as const, 'batch' as const), (rows, form) => {
        const bytes = written(rows, form);
        if (form === 'stream') {
          const table = peer.tableFromIPC(bytes);
          assert.equal(table.schema.fields.find(({ name }) => name === 'user')?.type instanceof peer.Struct, true);
          assert.equal(table.schema.fields.find(({ name }) => name === 'items')?.type instanceof peer.List, true);
          assert.deepEqual([...table].map(plain), rows);
        }
        for (const kernel of [true, false]) {
          const back = decode(arrow(FIELDS, { form }) as never, [bytes], { kernel, batchRows: 8 });
          assert.deepEqual([back.rows, back.rejections], [rows, []]);
        }
        // Some columns only, others passed over.
        const some = arrow({ user: { home: { city: nullable(utf8) } }, items: nullable(list({ n: nullable(i32) })) }) as never;
        if (form === 'stream')
          assert.deepEqual(
            decode(some, [bytes], { batchRows: 32 }).rows,
            rows.map((r) => ({ user: { home: { city: r.user.home.city } }, items: r.items?.map(({ n }) => ({ n })) ?? null })),
          );
      }),
      { numRuns: RUNS },
    );
  });

  test('reads what apache-arrow writes: null structs have null members', () => {
    const inner = new peer.Struct<{ a: peer.Int32; b: peer.Utf8 }>([new peer.Field('a', new peer.Int32(), true), new peer.Field('b', new peer.Utf8(), true)]);
    const table = new peer.Table({
      s: peer.vectorFromArray([{ a: 1, b: 'x' }, null, { a: null, b: 'z' }], inner),
      l: peer.vectorFromArray([[1.5, null], null, []], new peer.List(new peer.Field('element', new peer.Float64(), true))),
      other: peer.vectorFromArray([1, 2, 3], new peer.Int32()),
    });
    const bytes = peer.tableToIPC(table, 'stream');
    const { rows, rejections } = decode(arrow({ s: nullable({ a: i32, b: utf8 }), l: nullable(list(nullable(f64))) }) as never, [bytes], { batchRows: 8 });
    assert.deepEqual(rejections, []);
    assert.deepEqual(rows, [
      { s: { a: 1, b: 'x' }, l: [1.5, null] },
      { s: { a: null, b: null }, l: null },
      { s: { a: null, b: 'z' }, l: [] },
    ]);
    const refusal = (fields: SchemaFields) => decode(arrow(fields) as never, [bytes]).rejections[0]?.message ?? 'read';
    assert.match(refusal({ s: { a: nullable(i32), b: utf8 } }), /column "s\.b" has 1 nulls, but its type is not nullable/);
    assert.match(refusal({ l: nullable(list(i32)) }), /column "l\.element" is float64, but the schema wants i32/);
    assert.match(refusal({ l: { a: i32 } }), /column "l" is list, but the schema wants a struct/);
    assert.match(refusal({ s: { c: i32 } }), /there is no column "s\.c"; there are "a", "b"/);
    assert.match(refusal({ s: nullable(list(i32)) }), /column "s" is struct, but the schema wants a list/);
  });

  test('broken bytes are refused, whatever they say', () => {
    const good = written(fc.sample(row, { seed: 7, numRuns: 12 }));
    let refused = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 255, 127, 128))), {
          minLength: 1,
          maxLength: 6,
        }),
        (changes) => {
          const bad = good.slice();
          for (const [at, byte] of changes) bad[at] = byte;
          refused += decode(arrow(FIELDS) as never, [bad]).rejections.length > 0 ? 1 : 0;
        },
      ),
      { numRuns: RUNS * 4 },
    );
    for (let length = 8; length < good.length - 8; length += 40) assert.ok(decode(arrow(FIELDS) as never, [good.slice(0, length)]).rejections.length > 0);
    assert.ok(refused > RUNS / 2, `${refused} were refused`);
  });

  test('pyarrow reads them, and writes what is read', { skip: python === undefined ? missing : false }, () => {
    const rows = fc.sample(row, { seed: 3, numRuns: 30 });
    const program = `
import sys, json, pyarrow as pa
table = pa.ipc.open_stream(sys.stdin.buffer.read()).read_all()
table.validate(full=True)
sink = pa.BufferOutputStream()
with pa.ipc.new_stream(sink, table.schema) as writer:
    writer.write_table(table.combine_chunks())
sys.stdout.buffer.write(sink.getvalue().to_pybytes())
`;
    const bytes = execFileSync(python as string, ['-c', program], { input: written(rows) });
    assert.deepEqual(decode(arrow(FIELDS) as never, [new Uint8Array(bytes)], { batchRows: 64 }).rows, rows);
  });
});
