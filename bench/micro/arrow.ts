/**
 * Arrow: bytes of a Kafka message to columns, and columns to bytes, beside apache-arrow and flechette.
 *
 * A batch has `rows` rows and 4 columns (u32, f64, timestamp, utf8), as one stream and as one bare message.
 * Decoding ends when every column can be read by row. By then ours has checked every offset; the others have
 * not. Before timing, each reader's values are verified against the model.
 *
 *   npx tsx bench/micro/arrow.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import * as flechette from '@uwdata/flechette';
import * as peer from 'apache-arrow';
import { bench, group, run, summary } from 'mitata';
import {
  ArrowReader,
  type Batch,
  BatchBuilder,
  createMemory,
  f64,
  type Schema,
  SlabAllocator,
  schema,
  seededRng,
  streamBytes,
  timestamp,
  u32,
  utf8,
  writeBatch,
  writeStream,
} from '../../core/index.ts';

const isTiny = process.argv.includes('--tiny');
const rows = isTiny ? 64 : 8192;
const slabs = new SlabAllocator(createMemory(64 << 20));
const { memory } = slabs;

const full = schema({ page: u32, ms: f64, at: timestamp, name: utf8 });
const fixed = full.select(['page', 'ms', 'at'], 'the bench').fields.concat({ name: 'more', type: f64 });

interface Sample {
  readonly batch: Batch;
  readonly stream: Uint8Array;
  readonly streamAddress: number;
  readonly bareAddress: number;
  readonly bareBytes: number;
}

function sampleOf(of: Schema): Sample {
  const rng = seededRng(1);
  const builder = new BatchBuilder(slabs, of, rows);
  for (let row = 0; row < rows; row++) {
    const n = rng.int(1000);
    builder.appendRow({ page: n, ms: n / 8, at: 1_700_000_000_000 + row, name: `page-${n}`, more: -n });
  }
  const batch = builder.finish();
  const room = streamBytes(of, [batch]);
  const streamAddress = slabs.alloc(room);
  const bytes = writeStream(memory, of, [batch], streamAddress, streamAddress + room);
  const bareAddress = slabs.alloc(room);
  return {
    batch,
    stream: memory.u8.slice(streamAddress, streamAddress + bytes),
    streamAddress,
    bareAddress,
    bareBytes: writeBatch(batch, bareAddress, bareAddress + room),
  };
}

function verify({ batch, stream, streamAddress, bareAddress, bareBytes }: Sample): void {
  const of = batch.schema;
  const model = batch.toRows();
  const [fromStream] = new ArrowReader(memory, of).read(streamAddress, stream.length);
  const [bare] = new ArrowReader(memory, of).read(bareAddress, bareBytes);
  const theirs = peer.tableFromIPC(stream);
  const flat = flechette.tableFromIPC(stream);
  of.fields.forEach(({ name }, c) => {
    for (let row = 0; row < rows; row++) {
      const expected = model[row]?.[name];
      assert.equal(fromStream?.value(c, row), expected);
      assert.equal(bare?.value(c, row), expected);
      assert.equal(theirs.getChildAt(c)?.get(row), expected);
      assert.equal(flat.getChildAt(c).at(row), expected);
    }
  });
}

for (const [title, of] of [
  ['4 fixed-width columns', schemaOf(fixed)],
  ['3 fixed-width columns and text', full],
] as const) {
  const sample = sampleOf(of);
  verify(sample);
  const { stream, streamAddress, bareAddress, bareBytes, batch } = sample;
  const reader = new ArrowReader(memory, of);
  const table = peer.tableFromIPC(stream);
  const flat = flechette.tableFromIPC(stream);
  const out = slabs.alloc(stream.length + 64);
  group(`decode ${rows} rows, ${title}`, () => {
    summary(() => {
      bench('millrace, bare message', () => reader.read(bareAddress, bareBytes)).baseline(true);
      bench('millrace, stream', () => reader.read(streamAddress, stream.length));
      bench('apache-arrow', () => peer.tableFromIPC(stream));
      bench('flechette', () => flechette.tableFromIPC(stream));
    });
  });
  group(`encode ${rows} rows, ${title}`, () => {
    summary(() => {
      bench('millrace, stream', () => writeStream(memory, of, [batch], out, out + stream.length + 64)).baseline(true);
      bench('apache-arrow', () => peer.tableToIPC(table, 'stream'));
      bench('flechette', () => flechette.tableToIPC(flat, { format: 'stream' }));
    });
  });
}

function schemaOf(fields: Schema['fields']): Schema {
  return schema(Object.fromEntries(fields.map(({ name, type }) => [name, type])));
}

if (isTiny) console.log('verified');
else await run({ format: process.argv.includes('--json') ? 'json' : 'mitata' });
