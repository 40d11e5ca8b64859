import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as peer from 'apache-arrow';
import { BatchBuilder, createMemory, f64, i64, MillraceError, nullable, Schema, SlabAllocator, schema, utf8 } from '../../core/index.ts';
import { arrow } from '../../io/arrow.ts';
import type { RecordIndex } from '../../io/codec.ts';
import type { Rejection } from '../../io/source.ts';
import { caseCount, fc } from '../seed.ts';

const slabs = new SlabAllocator(createMemory(16 << 20));
const { memory } = slabs;
const columns = { page: nullable(utf8), ms: f64, id: i64 };

interface Row {
  page: string | null;
  ms: number;
  id: bigint;
}

function batchOf(rows: readonly Row[]) {
  const builder = new BatchBuilder(slabs, schema(columns), Math.max(8, rows.length));
  for (const row of rows) builder.appendRow({ ...row });
  return { batch: builder.finish(), release: () => builder.release() };
}

/** A value as apache-arrow writes it. */
function valueOf(rows: readonly Row[]): Uint8Array {
  const table = new peer.Table({
    extra: peer.vectorFromArray(
      rows.map((_, i) => i % 2 === 0),
      new peer.Bool(),
    ),
    id: peer.vectorFromArray(
      rows.map(({ id }) => id),
      new peer.Int64(),
    ),
    page: peer.vectorFromArray(
      rows.map(({ page }) => page),
      new peer.Utf8(),
    ),
    ms: peer.vectorFromArray(
      rows.map(({ ms }) => ms),
      new peer.Float64(),
    ),
  });
  return peer.tableToIPC(table, 'stream');
}

/** Lays values one behind the other, `gap` bytes apart, as records from offset 100 on. */
function recordsOf(values: readonly (Uint8Array | null)[], gap: number): RecordIndex & { slab: number } {
  const tables = slabs.alloc(Math.max(8, values.length) * 24);
  const slab = slabs.alloc(values.reduce((sum, value) => sum + gap + (value?.length ?? 0), 64));
  const index = {
    count: values.length,
    values: tables,
    valueLengths: tables + values.length * 4,
    offsets: Math.ceil((tables + values.length * 8) / 8) * 8,
    keys: 0,
    keyLengths: 0,
    timestamps: 0,
    headers: 0,
    start: 0,
    header: 0,
    headerBytes: 0,
    topic: 't',
    partition: 0,
    slab,
  };
  let at = slab;
  values.forEach((value, i) => {
    at += gap;
    if (value) memory.u8.set(value, at);
    memory.u32[(index.values >>> 2) + i] = at;
    memory.i32[(index.valueLengths >>> 2) + i] = value === null ? -1 : value.length;
    memory.f64[(index.offsets >>> 3) + i] = 100 + i;
    at += value?.length ?? 0;
  });
  return index;
}

function decode(values: readonly (Uint8Array | null)[], { gap = 0, batchRows = 4096, read = [0, 1, 2] } = {}) {
  const rejections: Rejection[] = [];
  const decoder = arrow(columns).decoder({ memory, slabs, columns: read, batchRows, reject: (rejection) => rejections.push(rejection) });
  const records = recordsOf(values, gap);
  const rows: { record: number; row: unknown }[] = [];
  let largest = 0;
  // Twice: a decoder is opened on one list after the other.
  for (let round = 0; round < 2; round++) {
    decoder.open(records);
    rows.length = rejections.length = 0;
    for (let batch = decoder.next(); batch; batch = decoder.next()) {
      assert.ok(batch.rowCount > 0);
      largest = Math.max(largest, batch.rowCount);
      if (read.length === 3) batch.toRows().forEach((row, r) => rows.push({ record: decoder.recordOf(r), row }));
      else for (let r = 0; r < batch.rowCount; r++) rows.push({ record: decoder.recordOf(r), row: read.map((c) => batch.value(c, r)) });
    }
  }
  slabs.free(records.slab);
  return { rows, rejections, largest };
}

const row = fc.record(
  { page: fc.option(fc.string({ maxLength: 9 }), { freq: 4 }), ms: fc.double(), id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
  { noNullPrototype: true },
);

test('arrow codec: values of apache-arrow, at any address, cut to batches of batchRows', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(row, { maxLength: 40 }), { maxLength: 5 }),
      fc.integer({ min: 0, max: 17 }),
      fc.constantFrom(8, 16, 4096),
      (values, gap, batchRows) => {
        const { rows, rejections, largest } = decode(values.map(valueOf), { gap, batchRows });
        assert.deepEqual(rejections, []);
        assert.ok(largest <= batchRows);
        assert.deepEqual(
          rows,
          values.flatMap((list, record) => list.map(({ page, ms, id }) => ({ record, row: { page, ms, id } }))),
        );
      },
    ),
    { numRuns: caseCount(150) },
  );
});

test('arrow codec: a bad value is rejected with its offset, and harms no neighbour', () => {
  const good = valueOf([{ page: 'a', ms: 1, id: 1n }]);
  const truncated = good.slice(0, good.length - 40);
  const other = peer.tableToIPC(new peer.Table({ page: peer.vectorFromArray(['x'], new peer.Utf8()) }), 'stream');
  const { rows, rejections } = decode([good, truncated, null, good, new Uint8Array(0), Buffer.from('{"page":1}'), other, good], { gap: 3 });
  assert.deepEqual(
    rows.map(({ record }) => record),
    [0, 3, 7],
  );
  assert.deepEqual(
    rejections.map(({ offset, rows: lost, reason }) => [offset, lost, reason]),
    [101, 102, 104, 105, 106].map((offset) => [offset, 1, 'undecodable']),
  );
  assert.match(rejections[1]?.message ?? '', /null/);
  assert.match(rejections[3]?.message ?? '', /continuation mark/);
  assert.deepEqual(Buffer.from(rejections[3]?.sample ?? []).toString(), '{"page":1}');
  assert.match(rejections[4]?.message ?? '', /no column "ms"; there are "page"/);
  assert.ok(rejections[0]?.sample && rejections[0].sample.length <= 1024 && !(rejections[0].sample.buffer instanceof SharedArrayBuffer));
});

test('arrow codec: only the columns that are read are decoded', () => {
  const { rows } = decode(
    [
      valueOf([
        { page: 'a', ms: 1.5, id: 1n },
        { page: null, ms: 2.5, id: 2n },
      ]),
    ],
    { read: [1] },
  );
  assert.deepEqual(
    rows.map((one) => one.row),
    [[1.5], [2.5]],
  );
});

for (const form of ['stream', 'batch'] as const) {
  test(`arrow codec: what the encoder writes (${form}) comes back, in as many records as the room asks for`, () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 90 }), fc.integer({ min: 0, max: 9 }), fc.integer({ min: 100, max: 3000 }), (rows, shift, room) => {
        const { batch, release } = batchOf(rows);
        const codec = arrow(columns, { form });
        const encoder = codec.encoder({ memory, slabs }, batch.schema);
        assert.equal(encoder.wholeBatch, true);
        const slab = slabs.alloc(4096);
        const values: Uint8Array[] = [];
        for (let from = 0; from < rows.length; ) {
          memory.u8.fill(0x77, slab, slab + 4096);
          const written = encoder.encode(batch, from, rows.length, slab + 64 + shift, slab + 64 + shift + room, slab);
          assert.equal(memory.u8[slab + 64 + shift + room], 0x77, 'nothing is written behind the limit');
          if (written === 0) break;
          values.push(memory.u8.slice(slab + 64 + shift, memory.u32[slab >>> 2]));
          from += written;
        }
        const decoded = decode(values).rows.map((one) => one.row);
        assert.deepEqual(
          decoded,
          rows.slice(0, decoded.length).map(({ page, ms, id }) => ({ page, ms, id })),
        );
        if (room >= 2000 && form === 'batch') assert.equal(decoded.length, rows.length);
        if (form === 'stream') for (const value of values) assert.equal(peer.tableFromIPC(value).schema.fields.length, 3);
        slabs.free(slab);
        release();
      }),
      { numRuns: caseCount(150) },
    );
  });
}

test('arrow codec: what it refuses at plan time', () => {
  const context = { memory, slabs, columns: [], batchRows: 8, reject: () => {} };
  assert.equal(arrow().schema, undefined);
  assert.throws(
    () => arrow().decoder(context),
    (e) => e instanceof MillraceError && e.code === 'ERR_MILLRACE_PIPELINE' && /Give the columns/.test(e.message),
  );
  assert.throws(
    () => arrow(columns, { form: 'file' as never }),
    (e) => e instanceof MillraceError && e.code === 'ERR_MILLRACE_OPTION',
  );
  assert.ok(arrow(new Schema([{ name: 'a', type: f64 }])).schema?.equals(schema({ a: f64 })));
});
