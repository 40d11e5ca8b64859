/**
 * Binary formats: records of Avro to columns and back, beside avsc; of Protocol Buffers, beside protobufjs.
 *
 * Records have four fields that are read: two texts, a number, an instant. The peers get what a consumer has, bytes,
 * and the fields go into arrays, which a batch would need. Verified before timing.
 *
 *   npx tsx bench/micro/binary-codecs.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import avsc from 'avsc';
import { bench, group, run, summary } from 'mitata';
import protobufjs from 'protobufjs';
import { type AnyRow, BatchBuilder, createMemory, type Schema, SlabAllocator, seededRng } from '../../core/index.ts';
import { avro, type Codec, protobuf } from '../../io/index.ts';
import { allocRecordIndex, type RecordSpace } from '../../io/record-index.ts';

const isTiny = process.argv.includes('--tiny');
const count = isTiny ? 256 : 4_096;
const memory = createMemory(64 << 20);
const slabs = new SlabAllocator(memory);

interface Click {
  readonly page: string;
  readonly user: string | null;
  readonly ms: number;
  readonly at: number;
}

const rng = seededRng(1);
const clicks: Click[] = Array.from({ length: count }, (_, i) => ({
  page: `/products/${rng.int(1000)}`,
  user: rng.int(10) === 0 ? null : `user-${rng.int(100_000)}`,
  ms: rng.int(2_000_000) / 100,
  at: 1_700_000_000_000 + i * 10,
}));

/** What a consumer that wants columns does with each object of a decoder. */
const arrays = { page: new Array<string>(count), user: new Array<string | null>(count), ms: new Float64Array(count), at: new Float64Array(count) };
function keep(i: number, { page, user, ms, at }: Click): void {
  arrays.page[i] = page;
  arrays.user[i] = user;
  arrays.ms[i] = ms;
  arrays.at[i] = at;
}

function listed(records: readonly Uint8Array[]): RecordSpace {
  const index = allocRecordIndex(slabs, records.length, 'lines');
  let at = slabs.alloc(records.reduce((sum, record) => sum + record.length, 64));
  records.forEach((record, i) => {
    memory.u8.set(record, at);
    memory.u32[(index.values >>> 2) + i] = at;
    memory.i32[(index.valueLengths >>> 2) + i] = record.length;
    memory.f64[(index.offsets >>> 3) + i] = i;
    at += record.length;
  });
  index.count = records.length;
  return index;
}

/** Times a codec beside a peer that makes objects of records, and records of objects. */
function compare(name: string, codec: Codec, peer: string, read: (record: Buffer) => Click, write: (click: Click) => Uint8Array): void {
  const records = clicks.map((click) => Buffer.from(write(click)));
  const of = codec.schema as Schema;
  const decoder = codec.decoder({ memory, slabs, columns: of.fields.map((_, c) => c), batchRows: 4_096, reject: ({ message }) => assert.fail(message) });
  const index = listed(records);
  const decodeAll = (each?: (rows: readonly AnyRow[]) => void): void => {
    let rows = 0;
    decoder.open(index);
    for (let batch = decoder.next(); batch; batch = decoder.next()) {
      rows += batch.rowCount;
      each?.(batch.toRows());
    }
    assert.equal(rows, count);
  };
  const readAll = (): void => records.forEach((record, i) => keep(i, read(record)));
  readAll();
  const found: AnyRow[] = [];
  decodeAll((rows) => found.push(...rows));
  assert.deepEqual(
    found,
    clicks.map((_, i) => ({ page: arrays.page[i], user: arrays.user[i], ms: arrays.ms[i], at: arrays.at[i] })),
  );

  const builder = new BatchBuilder(slabs, of, count);
  for (const click of clicks) builder.appendRow({ ...click });
  const batch = builder.finish();
  const encoder = codec.encoder({ memory, slabs }, of);
  const room = count * 128;
  const out = slabs.alloc(room);
  const ends = slabs.alloc(count * 4);
  const encodeAll = (): void => assert.equal(encoder.encode(batch, 0, count, out, out + room, ends), count);
  encodeAll();
  for (let i = 0, from = out; i < count; i++) {
    const end = memory.u32[(ends >>> 2) + i] as number;
    assert.deepEqual({ ...read(Buffer.from(memory.u8.slice(from, end))) }, clicks[i]);
    from = end;
  }
  group(`decode ${count} records of ${name}`, () => {
    summary(() => {
      bench('millrace', () => decodeAll()).baseline(true);
      bench(peer, () => readAll());
    });
  });
  group(`encode ${count} records of ${name}`, () => {
    summary(() => {
      bench('millrace', () => encodeAll()).baseline(true);
      bench(peer, () => Buffer.concat(clicks.map(write)));
    });
  });
}

const CLICK = {
  type: 'record',
  name: 'Click',
  fields: [
    { name: 'page', type: 'string' },
    { name: 'user', type: ['null', 'string'] },
    { name: 'ms', type: 'double' },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
  ],
} as const;
const clickType = avsc.Type.forSchema(structuredClone(CLICK) as unknown as avsc.Schema);
compare(
  'Avro',
  avro(CLICK),
  'avsc',
  (record) => clickType.fromBuffer(record) as Click,
  (click) => clickType.toBuffer(click),
);

const PROTO = 'syntax = "proto3"; message Click { string page = 1; optional string user = 2; double ms = 3; google.protobuf.Timestamp at = 4; } ';
const IMPORT = 'import "google/protobuf/timestamp.proto";';
const withImport = PROTO.replace(';', `; ${IMPORT}`);
const root = new protobufjs.Root();
root.addJSON(protobufjs.common.get('google/protobuf/timestamp.proto')?.nested as never);
const Message = protobufjs.parse(withImport, root).root.lookupType('Click');
compare(
  'Protocol Buffers',
  protobuf(withImport),
  'protobufjs',
  (record) => {
    const of = Message.decode(record) as unknown as { page: string; user?: string; ms: number; at: { seconds: { toNumber(): number }; nanos: number } };
    return { page: of.page, user: of.user ?? null, ms: of.ms, at: of.at.seconds.toNumber() * 1_000 + of.at.nanos / 1e6 };
  },
  ({ page, user, ms, at }) => {
    const seconds = Math.floor(at / 1_000);
    return Message.encode({ page, ...(user !== null && { user }), ms, at: { seconds, nanos: (at - seconds * 1_000) * 1_000_000 } } as never).finish();
  },
);

if (isTiny) console.log('verified');
else await run({ format: process.argv.includes('--json') ? 'json' : 'mitata' });
