/**
 * Record batches v2 to lists of records, beside kafkajs's decoder. The batches are kafkajs's own: 500 records
 * of about 100 bytes, uncompressed. Ours checks each CRC32C and each length; kafkajs checks no CRC. The codec
 * after ours takes the list as it is, so that only the scan is timed.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Batch, binary, createMemory, SlabAllocator, schema, seededRng } from '../../core/index.ts';
import { type Codec, FRAME, frameBytes, type RecordIndex } from '../../io/index.ts';
import { recordBatchDecoder } from '../../io/record-batch/index.ts';
import { type BenchCase, type Contest, type Digest, type Input, RECORDS } from '../harness.ts';
import { decoderContext } from './decode.ts';

const RECORDS_A_BATCH = 500;
const FIRST_TIMESTAMP = 1_767_225_600_000;

const require = createRequire(import.meta.url);
interface KafkaEncoder {
  readonly buffer: Buffer;
}
interface KafkaRecord {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

interface Sample {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly timestamp: number;
}

function samples(count: number): Sample[] {
  const rng = seededRng(3);
  return Array.from({ length: count }, (_, i) => ({
    key: Buffer.from(`user-${rng.int(100_000)}`),
    value: Buffer.from(JSON.stringify({ page: `/page/${rng.int(1_000)}`, user: `user-${rng.int(100_000)}`, ms: rng.int(80_000) / 8, at: FIRST_TIMESTAMP + i })),
    timestamp: FIRST_TIMESTAMP + i,
  }));
}

async function writeBatches({ dir, size }: Input): Promise<void> {
  const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as { RecordBatch: (options: object) => Promise<KafkaEncoder> };
  const Record = require('kafkajs/src/protocol/recordBatch/record/v0') as (options: object) => KafkaEncoder;
  const Long = require('kafkajs/src/utils/long') as { fromValue(value: number): object };
  const all = samples(size);
  const parts: Buffer[] = [];
  for (let first = 0; first < size; first += RECORDS_A_BATCH) {
    const part = all.slice(first, first + RECORDS_A_BATCH);
    const base = (part[0] as Sample).timestamp;
    const { buffer } = await RecordBatch({
      compression: 0,
      firstOffset: Long.fromValue(first),
      firstTimestamp: base,
      maxTimestamp: (part.at(-1) as Sample).timestamp,
      lastOffsetDelta: part.length - 1,
      transactional: false,
      records: part.map(({ key, value, timestamp }, i) => Record({ offsetDelta: i, timestampDelta: timestamp - base, key, value, headers: {} })),
    });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(buffer.length);
    parts.push(length, buffer);
  }
  writeFileSync(join(dir, 'batches.bin'), Buffer.concat(parts));
}

function readBatches({ dir }: Input): Buffer[] {
  const bytes = readFileSync(join(dir, 'batches.bin'));
  const batches: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    batches.push(Buffer.from(bytes.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return batches;
}

const numbers = (): Float64Array => new Float64Array(5);
function addRecord(to: Float64Array, offset: number, timestamp: number, keyBytes: number, valueBytes: number, lastByte: number): void {
  to[0] = (to[0] as number) + 1;
  to[1] = (to[1] as number) + offset;
  to[2] = (to[2] as number) + timestamp - FIRST_TIMESTAMP;
  to[3] = (to[3] as number) + keyBytes * (1 + (offset % 13));
  to[4] = (to[4] as number) + valueBytes * (1 + (offset % 7)) + lastByte;
}

function reference({ size }: Input): Digest {
  const digest = numbers();
  samples(size).forEach(({ key, value, timestamp }, i) => addRecord(digest, i, timestamp, key.length, value.length, value.at(-2) as number));
  return [...digest];
}

/** Takes lists of records as they come. */
function listing(slabs: SlabAllocator, visit: (index: RecordIndex) => void): Codec {
  const of = schema({ value: binary });
  const offsets = slabs.alloc(4_097 * 4);
  let index: RecordIndex | undefined;
  return {
    name: 'listing',
    schema: of,
    decoder: () => ({
      open(records) {
        index = records;
      },
      next() {
        if (index === undefined) return undefined;
        const { count } = index;
        visit(index);
        index = undefined;
        return new Batch(slabs.memory, of, count, [{ type: binary, data: offsets, offsets, validity: 0 }]);
      },
      recordOf: (row) => row,
    }),
    encoder() {
      throw new Error('bench: it only lists');
    },
  };
}

function ours(input: Input): Contest {
  const batches = readBatches(input);
  const byteLength = batches.reduce((sum, batch) => sum + frameBytes(batch.length), 0);
  const slabs = new SlabAllocator(createMemory((64 << 20) + byteLength * 2));
  const { u8, u32, i32, f64 } = slabs.memory;
  const address = slabs.alloc(byteLength);
  let at = address;
  batches.forEach((batch, i) => {
    u32[(at + FRAME.bodyBytes) >>> 2] = batch.length;
    u32[(at + FRAME.flags) >>> 2] = 0;
    f64[(at + FRAME.first) >>> 3] = i * RECORDS_A_BATCH;
    f64[(at + FRAME.next) >>> 3] = (i + 1) * RECORDS_A_BATCH;
    f64[(at + FRAME.cut) >>> 3] = 0;
    u8.set(batch, at + FRAME.headerBytes);
    at += frameBytes(batch.length);
  });
  let listed: (index: RecordIndex) => void = () => {};
  const codec = listing(slabs, (index) => listed(index));
  const decoder = recordBatchDecoder(decoderContext(slabs, codec.schema as NonNullable<Codec['schema']>), codec, { topic: 'bench' });
  const decode = (): number => {
    let rows = 0;
    decoder.open({ partition: 0, address, byteLength, first: 0, next: input.size });
    for (let batch = decoder.next(); batch !== undefined; batch = decoder.next()) rows += batch.rowCount;
    return rows;
  };
  return {
    units: input.size,
    run() {
      if (decode() !== input.size) throw new Error('bench: records are missing');
    },
    digest() {
      const digest = numbers();
      listed = (index) => {
        for (let i = 0; i < index.count; i++) {
          const value = u32[(index.values >>> 2) + i] as number;
          const length = i32[(index.valueLengths >>> 2) + i] as number;
          addRecord(
            digest,
            f64[(index.offsets >>> 3) + i] as number,
            f64[(index.timestamps >>> 3) + i] as number,
            i32[(index.keyLengths >>> 2) + i] as number,
            length,
            u8[value + length - 2] as number,
          );
        }
      };
      decode();
      listed = () => {};
      return [...digest];
    },
  };
}

function kafkajs(input: Input): Contest {
  const decodeRecordBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<{ records: KafkaRecord[] }>;
  const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object;
  const batches = readBatches(input);
  let decoded: KafkaRecord[][] = [];
  return {
    units: input.size,
    async run() {
      decoded = [];
      for (const batch of batches) decoded.push((await decodeRecordBatch(new Decoder(batch))).records);
    },
    digest() {
      const digest = numbers();
      for (const records of decoded) {
        for (const { offset, timestamp, key, value } of records)
          addRecord(digest, Number(offset), Number(timestamp), key?.length ?? -1, value?.length ?? -1, value?.at(-2) as number);
      }
      return [...digest];
    },
  };
}

export const recordBatchCases: readonly BenchCase[] = [
  {
    name: 'decode/record-batch',
    rooms: ['decode'],
    unit: RECORDS,
    sizes: { full: 200_000, quick: 100_000, tiny: 1_000 },
    setup: writeBatches,
    expected: reference,
    ours: { start: ours },
    peers: { kafkajs: { start: kafkajs } },
  },
];
