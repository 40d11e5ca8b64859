import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as arrow from 'apache-arrow';
import {
  type AnyRow,
  ArrowReader,
  type Batch,
  batchBytes,
  f64,
  i32,
  MillraceError,
  nullable,
  readBatch,
  readSchema,
  readStream,
  type Schema,
  schema,
  streamBytes,
  timestamp,
  utf8,
  writeBatch,
  writeSchema,
  writeStream,
} from '../../core/index.ts';
import { caseCount, fc } from '../seed.ts';
import { batchOf, type Case, cases, memory, place, slabs, TYPES, withSlab } from './arrow-cases.ts';

const runs = { numRuns: caseCount(300) };
const isBatchError = (pattern: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === 'ERR_MILLRACE_BATCH' && pattern.test(error.message);

/** A stream of ours, as bytes of its own. */
function streamOf(of: Schema, batches: readonly Batch[]): Uint8Array {
  return withSlab(streamBytes(of, batches), (address, limit) => {
    memory.u8.fill(0xa5, address, limit);
    const bytes = writeStream(memory, of, batches, address, limit);
    assert.equal(bytes, limit - address, 'the size that was foretold');
    return memory.u8.slice(address, limit);
  });
}

const plain = (value: unknown) => (value instanceof Uint8Array ? [...value] : (value ?? null));
/** Rows as lists of [name, value] by name: an object puts columns with names like "0" first. */
const plainRows = (rows: readonly AnyRow[]) =>
  rows.map((row) =>
    Object.entries(row)
      .map(([name, value]) => [name, plain(value)] as const)
      .sort(byName),
  );
const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : a > b ? 1 : 0);

function rowsOfArrow(bytes: Uint8Array, of: Schema): (readonly [string, unknown])[][] {
  const table = arrow.tableFromIPC(bytes);
  assert.deepEqual(
    table.schema.fields.map(({ name, nullable: isNullable }) => [name, isNullable]),
    of.fields.map(({ name, type }) => [name, type.nullable]),
  );
  return Array.from({ length: table.numRows }, (_, row) => of.fields.map(({ name }, c) => [name, plain(table.getChildAt(c)?.get(row))] as const).sort(byName));
}

test('arrow: what we write, apache-arrow reads, and so do we', () => {
  fc.assert(
    fc.property(cases, (one) => {
      const { batch, release } = batchOf(one);
      const bytes = streamOf(one.schema, [batch, batch]);
      assert.deepEqual(rowsOfArrow(bytes, one.schema), plainRows([...one.rows, ...one.rows]));
      const address = place(bytes);
      for (const given of [undefined, one.schema]) {
        const batches = readStream(memory, address, bytes.length, given);
        assert.equal(batches.length, 2);
        for (const read of batches) {
          assert.ok(read.schema.equals(one.schema));
          assert.deepEqual(plainRows(read.toRows()), plainRows(one.rows));
        }
      }
      assert.ok(readSchema(memory, address, bytes.length).equals(one.schema));
      slabs.free(address);
      release();
    }),
    runs,
  );
});

test('arrow: slices, and a bare record batch message', () => {
  fc.assert(
    fc.property(cases, fc.nat(9), fc.nat(80), (one, eighths, more) => {
      const { batch, release } = batchOf(one);
      const from = Math.min(eighths * 8, one.rows.length - (one.rows.length % 8));
      const to = Math.min(one.rows.length, from + more);
      const slice = batch.slice(from, to);
      const expected = plainRows(one.rows.slice(from, to));
      assert.deepEqual(rowsOfArrow(streamOf(one.schema, [slice]), one.schema), expected);
      withSlab(batchBytes(slice) + 8, (address, limit) => {
        memory.u8.fill(0xa5, address, limit);
        assert.equal(writeBatch(slice, address, limit - 9), 0, 'one byte too few');
        assert.equal(memory.u8[address], 0xa5, 'then nothing is written');
        const bytes = writeBatch(slice, address, limit - 8);
        assert.equal(bytes, limit - 8 - address);
        assert.deepEqual([...memory.u8.slice(limit - 8, limit)], new Array(8).fill(0xa5), 'nothing behind the limit is written');
        assert.deepEqual(plainRows(readBatch(memory, address, bytes, one.schema).toRows()), expected);
        assert.throws(() => readBatch(memory, address, bytes), isBatchError(/without a schema in front/));
      });
      release();
    }),
    runs,
  );
});

test('arrow: a batch is a view of the bytes, not a copy', () => {
  const { batch } = batchOf({
    schema: schema({ n: f64, name: nullable(utf8) }),
    rows: [
      { n: 1, name: 'a' },
      { n: 2, name: null },
    ],
  });
  withSlab(batchBytes(batch), (address, limit) => {
    writeBatch(batch, address, limit);
    const read = readBatch(memory, address, limit - address, batch.schema);
    memory.f64[((read.columns[0]?.data ?? 0) >>> 3) + 1] = 42;
    assert.deepEqual(read.toRows(), [
      { n: 1, name: 'a' },
      { n: 42, name: null },
    ]);
    for (const column of read.columns) {
      for (const at of [column.data, column.offsets, column.validity]) assert.ok(at === 0 || (at >= address && at <= limit && at % 8 === 0));
    }
  });
});

const arrowTypes: readonly arrow.DataType[] = [
  new arrow.Bool(),
  new arrow.Int8(),
  new arrow.Int16(),
  new arrow.Int32(),
  new arrow.Uint32(),
  new arrow.Int64(),
  new arrow.Float32(),
  new arrow.Float64(),
  new arrow.Utf8(),
  new arrow.Binary(),
  new arrow.TimestampMillisecond(),
];

function tableOf({ schema: of, rows }: Case): arrow.Table {
  const fields = of.fields.map(
    ({ name, type }) => new arrow.Field(name, arrowTypes[TYPES.findIndex((t) => t.name === type.name)] as arrow.DataType, type.nullable),
  );
  const columns = fields.map((field) => arrow.makeBuilder({ type: field.type, nullValues: [null] }));
  for (const row of rows) columns.forEach((builder, c) => builder.append(row[(fields[c] as arrow.Field).name]));
  const children = columns.map((builder) => builder.finish().flush());
  const struct = arrow.makeData({ type: new arrow.Struct(fields), length: rows.length, nullCount: 0, children });
  const arrowSchema = new arrow.Schema(fields);
  return new arrow.Table(arrowSchema, [new arrow.RecordBatch(arrowSchema, struct)]);
}

test('arrow: what apache-arrow writes, we read', () => {
  fc.assert(
    fc.property(cases, (one) => {
      const bytes = arrow.tableToIPC(tableOf(one), 'stream');
      const address = place(bytes);
      assert.ok(readSchema(memory, address, bytes.length).equals(one.schema));
      const rows = readStream(memory, address, bytes.length).flatMap((batch) => batch.toRows());
      assert.deepEqual(plainRows(rows), plainRows(one.rows));
      slabs.free(address);
    }),
    runs,
  );
});

test('arrow: columns are found by name; others are passed over', () => {
  const rows = [
    { a: 1, b: 'x', c: 2.5 },
    { a: 3, b: 'yy', c: -1 },
  ];
  const { batch } = batchOf({ schema: schema({ a: i32, b: utf8, c: f64 }), rows });
  const bytes = streamOf(batch.schema, [batch]);
  const address = place(bytes);
  const read = (of: Schema) => readBatch(memory, address, bytes.length, of);
  assert.deepEqual(read(schema({ c: f64, a: nullable(i32) })).toRows(), [
    { c: 2.5, a: 1 },
    { c: -1, a: 3 },
  ]);
  assert.throws(() => read(schema({ d: f64 })), isBatchError(/no column "d"; there are "a", "b", "c"/));
  assert.throws(() => read(schema({ a: f64 })), isBatchError(/column "a" is int32, but the schema wants f64/));
  const reader = new ArrowReader(memory, batch.schema, [1]);
  const [only] = reader.read(address, bytes.length);
  assert.deepEqual(
    only?.columns.map(({ data }) => data !== 0),
    [false, true, false],
  );
  assert.equal(only?.value(1, 1), 'yy');
  // The same reader, another schema in front: the plan follows.
  const other = batchOf({ schema: schema({ x: f64, c: f64, b: utf8, a: i32 }), rows: [{ x: 0, c: 1, b: 'other', a: 1 }] }).batch;
  const otherBytes = streamOf(other.schema, [other]);
  const otherAddress = place(otherBytes);
  assert.equal(reader.read(otherAddress, otherBytes.length)[0]?.value(1, 0), 'other');
  assert.equal(reader.read(address, bytes.length)[0]?.value(1, 0), 'x');
});

test('arrow: what is not supported is named', () => {
  const read = (columns: Record<string, arrow.Vector>, of?: Schema) => {
    const bytes = arrow.tableToIPC(new arrow.Table(columns as never), 'stream');
    const address = place(bytes);
    try {
      return readStream(memory, address, bytes.length, of).flatMap((batch) => batch.toRows());
    } finally {
      slabs.free(address);
    }
  };
  const a = arrow.vectorFromArray([1, 2], new arrow.Int32());
  const refused: [arrow.Vector, RegExp][] = [
    [arrow.vectorFromArray([1, 2], new arrow.Uint8()), /column "x" is uint8, which is not supported: cast it to/],
    [arrow.vectorFromArray([1n, 2n], new arrow.Uint64()), /column "x" is uint64/],
    [arrow.vectorFromArray(['p', 'q'], new arrow.LargeUtf8()), /column "x" is large_utf8, which is not supported: cast it to utf8/],
    [arrow.vectorFromArray(['p', 'q'], new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32())), /column "x" is dictionary of utf8, .*without dictionary/],
    [arrow.vectorFromArray([new Date(0), new Date(1)], new arrow.DateMillisecond()), /column "x" is date/],
    [arrow.vectorFromArray([1, 2], new arrow.TimestampMicrosecond()), /column "x" is timestamp\[us\], .*cast it to timestamp\('ms'\)/],
    [arrow.vectorFromArray([[1], [2, 3]], new arrow.List(new arrow.Field('item', new arrow.Int32()))), /column "x" is list/],
    [arrow.vectorFromArray([{ s: 1 }, { s: 2 }], new arrow.Struct([new arrow.Field('s', new arrow.Int32())])), /column "x" is struct/],
  ];
  for (const [x, pattern] of refused) {
    assert.throws(() => read({ x, a }), isBatchError(pattern));
    assert.throws(() => read({ x, a }, schema({ x: i32, a: i32 })), isBatchError(pattern));
    assert.deepEqual(read({ x, a }, schema({ a: nullable(i32) })), [{ a: 1 }, { a: 2 }], `passed over: ${pattern}`);
  }
});

test('arrow: streams with and without an end mark, and what may not follow', () => {
  const { batch } = batchOf({ schema: schema({ at: timestamp }), rows: [{ at: 1 }, { at: -1 }] });
  const bytes = streamOf(batch.schema, [batch, batch, batch]);
  const read = (of: Uint8Array, byteLength = of.length) => {
    const address = place(of);
    try {
      return readStream(memory, address, byteLength).length;
    } finally {
      slabs.free(address);
    }
  };
  assert.equal(read(bytes), 3);
  assert.equal(read(bytes.slice(0, -8)), 3);
  assert.equal(read(streamOf(batch.schema, [])), 0);
  assert.throws(() => read(bytes.slice(0, -5)), isBatchError(/3 bytes are too few/));
  assert.throws(() => read(new Uint8Array([...bytes, 0])), isBatchError(/1 bytes follow the end/));
  assert.throws(() => read(new Uint8Array(0)), isBatchError(/0 bytes are too few/));
  assert.throws(() => read(arrow.tableToIPC(new arrow.Table({ a: arrow.vectorFromArray([1]) }), 'file')), isBatchError(/a file with its magic/));
  const head = withSlab(1024, (address, limit) => memory.u8.slice(address, address + writeSchema(memory, batch.schema, address, limit)));
  assert.throws(() => read(new Uint8Array([...head, ...head])), isBatchError(/second schema/));
  const shifted = place(bytes, 4);
  assert.throws(() => readStream(memory, shifted + 4, bytes.length), isBatchError(/no multiple of 8 \(copy them/));
  assert.throws(() => readStream(memory, memory.byteLength - 8, 16), isBatchError(/outside the memory/));
});

test('arrow: nulls in a column that the schema says has none', () => {
  const { batch } = batchOf({ schema: schema({ a: nullable(i32) }), rows: [{ a: 1 }, { a: null }] });
  const bytes = streamOf(batch.schema, [batch]);
  const address = place(bytes);
  assert.throws(
    () => readBatch(memory, address, bytes.length, schema({ a: i32 })),
    isBatchError(/column "a" has 1 nulls, but its type is i32, not nullable\(i32\)/),
  );
});

test('arrow: equal batches give equal bytes, whatever lay in memory before', () => {
  const { batch } = batchOf({
    schema: schema({ b: nullable(utf8), n: f64 }),
    rows: [
      { b: 'é', n: 1 },
      { b: null, n: 2 },
      { b: 'abc', n: 3 },
    ],
  });
  const write = (fill: number) =>
    withSlab(batchBytes(batch), (address, limit) => {
      memory.u8.fill(fill, address, limit);
      writeBatch(batch, address, limit);
      return memory.u8.slice(address, limit);
    });
  assert.deepEqual(write(0), write(0xff));
});
