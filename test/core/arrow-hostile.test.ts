import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as flatbuffers from 'flatbuffers';
import * as wire from '../../core/arrow/generated/index.ts';
import { firstBadOffset } from '../../core/arrow/read.ts';
import { framed } from '../../core/arrow/schema.ts';
import {
  ArrowReader,
  type Batch,
  batchBytes,
  bool,
  i32,
  isValid,
  kernelExports,
  MillraceError,
  nullable,
  readBatch,
  readSchema,
  type Schema,
  schema,
  streamBytes,
  utf8,
  writeBatch,
  writeStream,
} from '../../core/index.ts';
import { caseCount, effortCount, fc, seedOf } from '../seed.ts';
import { batchOf, cases, memory, place, slabs, withSlab } from './arrow-cases.ts';

const MUTATIONS = effortCount(20_000);
const seed = seedOf(20_260_101);

/** xorshift32: the seed alone replays a failure. */
function generator(state: number): (below: number) => number {
  let x = state | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Numbers that declared sizes like to be wrong by. */
const NASTY = [0, 1, -1, 7, 8, 9, 255, 256, 65_535, 65_536, 2 ** 31 - 1, -(2 ** 31), -8, -4, 4, 0x7fff_fff8];

function mutate(bytes: Uint8Array, metadataEnd: number, random: (below: number) => number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let n = 1 + random(3); n > 0; n--) {
    // Mostly the metadata: that is where the lengths are.
    const place = random(4) > 0 ? random(Math.min(bytes.length, metadataEnd)) : random(bytes.length);
    const word = place - (place % 4);
    switch (random(5)) {
      case 0:
        bytes[place] = random(256);
        break;
      case 1:
        bytes[place] = (bytes[place] as number) ^ (1 << random(8));
        break;
      case 2:
        if (word + 4 <= bytes.length) view.setInt32(word, NASTY[random(NASTY.length)] as number, true);
        break;
      case 3:
        if (word + 4 <= bytes.length) view.setInt32(word, view.getInt32(word, true) + (NASTY[random(NASTY.length)] as number), true);
        break;
      default:
        return bytes.slice(0, random(bytes.length + 1));
    }
  }
  return bytes;
}

/** Every byte that the batch lets its reader touch lies between the two addresses. */
function checkInside(batch: Batch, from: number, to: number): void {
  const { rowCount } = batch;
  const inside = (start: number, bytes: number, what: string) =>
    assert.ok(start >= from && start + bytes <= to, `${what}: ${start} + ${bytes} in ${from}..${to}`);
  for (const column of batch.columns) {
    if (column.validity !== 0) inside(column.validity, Math.ceil(rowCount / 8), 'validity');
    if (column.offsets === 0) {
      if (rowCount > 0) inside(column.data, column.type.width === 0 ? Math.ceil(rowCount / 8) : rowCount * column.type.width, 'data');
      assert.equal(column.data % (column.type.width || 1), 0, 'alignment');
      continue;
    }
    assert.equal(column.offsets % 4, 0, 'alignment');
    inside(column.offsets, (rowCount + 1) * 4, 'offsets');
    let previous = 0;
    for (let row = 0; row <= rowCount; row++) {
      const offset = memory.i32[(column.offsets >>> 2) + row] as number;
      assert.ok(offset >= previous, 'offsets do not fall');
      previous = offset;
    }
    if (previous > 0) inside(column.data, previous, 'bytes');
    for (let row = 0; row < rowCount; row++) isValid(memory, column, row);
  }
}

test(`arrow: ${MUTATIONS} damaged streams give batches within their bytes, or the error (MILLRACE_SEED=${seed})`, () => {
  const random = generator(seed);
  const samples = fc.sample(cases, { numRuns: 40, seed });
  let read = 0;
  let refused = 0;
  const originals = samples.map((one) => {
    const { batch, release } = batchOf(one);
    const batches = [batch, batch];
    const bytes = withSlab(streamBytes(one.schema, batches), (address, limit) => {
      writeStream(memory, one.schema, batches, address, limit);
      return memory.u8.slice(address, limit);
    });
    release();
    return { bytes, schema: one.schema as Schema };
  });
  const slab = slabs.alloc(1 << 16);
  // Readers live as long as a topic does: what one bad message leaves in them must not harm the next.
  const readers = originals.map(({ schema }, i) => new ArrowReader(memory, i % 2 === 0 ? schema : undefined));
  for (let n = 0; n < MUTATIONS; n++) {
    const which = random(originals.length);
    const { bytes: original, schema } = originals[which] as (typeof originals)[number];
    const bytes = mutate(original.slice(), random(2) === 0 ? 900 : original.length, random);
    assert.ok(bytes.length + 64 < 1 << 16);
    memory.u8.set(bytes, slab);
    memory.u8.fill(0xff, slab + bytes.length, slab + bytes.length + 64);
    try {
      for (const batch of (readers[which] as ArrowReader).read(slab, bytes.length)) checkInside(batch, slab, slab + bytes.length);
      read++;
    } catch (error) {
      if (!(error instanceof MillraceError && error.code === 'ERR_MILLRACE_BATCH')) throw error;
      refused++;
    }
    if (n % 8 === 0) {
      for (const call of [() => readSchema(memory, slab, bytes.length), () => readBatch(memory, slab, bytes.length, schema)]) {
        try {
          call();
        } catch (error) {
          if (!(error instanceof MillraceError && error.code === 'ERR_MILLRACE_BATCH')) throw error;
        }
      }
    }
  }
  // The test would prove nothing if every damage were refused at the door, or none.
  assert.ok(read > MUTATIONS / 50 && refused > MUTATIONS / 20, `${read} read, ${refused} refused`);
  memory.u8.set((originals[0] as (typeof originals)[number]).bytes, slab);
  assert.equal(
    (readers[0] as ArrowReader).read(slab, (originals[0] as (typeof originals)[number]).bytes.length).length,
    2,
    'and after all that, a good one is read',
  );
  slabs.free(slab);
});

test('arrow: every truncation of a stream is refused, or read up to a message border', () => {
  const [one] = fc.sample(cases, { numRuns: 1, seed: 7 });
  assert.ok(one);
  const { batch } = batchOf(one);
  withSlab(streamBytes(one.schema, [batch]), (address, limit) => {
    writeStream(memory, one.schema, [batch], address, limit);
    const whole: number[] = [];
    for (let length = 0; length <= limit - address; length++) {
      try {
        new ArrowReader(memory).read(address, length);
        whole.push(length);
      } catch (error) {
        assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_BATCH');
      }
    }
    assert.equal(whole.length, 3, `borders: behind the schema, the batch and the end mark; got ${whole}`);
    assert.deepEqual(whole.slice(1), [limit - address - 8, limit - address]);
  });
});

test('arrow: offsets are checked as a plain loop checks them', () => {
  const kernels = kernelExports<{ arrowOffsetsFall(at: number, rowCount: number): number }>(memory);
  const slab = slabs.alloc(4096);
  const offsets = fc.array(fc.oneof({ weight: 20, arbitrary: fc.nat(20) }, fc.constantFrom(-1, -(2 ** 31), 2 ** 31 - 1)), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(offsets, fc.boolean(), fc.nat(40), (values, isSorted, dataBytes) => {
      const list = isSorted ? values.toSorted((a, b) => a - b) : values;
      const expected = list.findIndex((value, i) => value < 0 || value > dataBytes || (i > 0 && value < (list[i - 1] as number)));
      assert.equal(firstBadOffset(Int32Array.from([99, ...list, -5]), 1, list.length - 1, dataBytes), expected);
      if (kernels === undefined) return;
      memory.i32.set([...list, -5], slab >>> 2);
      const falls = list.some((value, i) => value < 0 || (i > 0 && value < (list[i - 1] as number)));
      assert.equal(kernels.arrowOffsetsFall(slab, list.length - 1), falls ? 1 : 0);
    }),
    { numRuns: caseCount(2000) },
  );
  slabs.free(slab);
});

test('arrow: a schema whose columns share their children is refused before it is unfolded', () => {
  const LIST = 12;
  const builder = new flatbuffers.Builder(1024);
  const name = builder.createString('c');
  const listOf = (children: number[]) => {
    const at = wire.Field.createChildrenVector(builder, children);
    wire.Field.startField(builder);
    wire.Field.addName(builder, name);
    wire.Field.addTypeType(builder, LIST);
    wire.Field.addChildren(builder, at);
    return wire.Field.endField(builder);
  };
  let field = listOf([]);
  for (let depth = 0; depth < 30; depth++) field = listOf([field, field, field]);
  const fields = wire.Schema.createFieldsVector(builder, [field]);
  wire.Schema.startSchema(builder);
  wire.Schema.addFields(builder, fields);
  const message = framed(builder, 1, wire.Schema.endSchema(builder));
  const address = place(message);
  assert.throws(() => readSchema(memory, address, message.length), /refers to itself/);
});

test('arrow: more rows than a buffer has, in a message that is right but for that', () => {
  for (const [type, value, isNullable, what, bytes, needed] of [
    [i32, 1, false, 'values', 308, 444],
    [bool, true, false, 'values', 10, 14],
    [utf8, '', false, 'offsets', 312, 448],
    [i32, 1, true, 'validity bits', 10, 14],
  ] as const) {
    const of = schema({ a: isNullable ? nullable(type) : type });
    const rows = Array.from({ length: 77 }, (_, row) => ({ a: isNullable && row === 3 ? null : value }));
    const { batch, release } = batchOf({ schema: of, rows });
    withSlab(batchBytes(batch), (address, limit) => {
      const byteLength = writeBatch(batch, address, limit);
      let places = 0;
      for (let at = address >>> 3; at < limit >>> 3; at++) {
        if (memory.i64[at] !== 77n) continue;
        memory.i64[at] = 111n;
        places++;
      }
      assert.equal(places, 2, 'the rows of the batch and of its column');
      assert.throws(() => readBatch(memory, address, byteLength, of), new RegExp(`the ${what} of column "a" are ${bytes} bytes, but its rows need ${needed}`));
    });
    release();
  }
});
