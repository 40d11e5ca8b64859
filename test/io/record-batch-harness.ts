/**
 * Puts frames before a recordBatchDecoder and lists what comes out; and kafkajs's own encoder and decoder, as the model.
 * The codec here takes records as they are, so that the tests see all that the RecordIndex says.
 */

import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { attachMemory, Batch, binary, createMemory, type SharedMemory, SlabAllocator, schema } from '../../core/index.ts';
import type { Codec, RecordIndex } from '../../io/codec.ts';
import { type RecordBatchDecoderOptions, recordBatchDecoder } from '../../io/record-batch/index.ts';
import { FRAME, frameBytes, type Rejection } from '../../io/source.ts';

const require = createRequire(import.meta.url);

export interface Sample {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  readonly headers?: Record<string, Buffer>;
}

interface KafkaEncoder {
  readonly buffer: Buffer;
}
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as { RecordBatch: (options: object) => Promise<KafkaEncoder> };
const Record = require('kafkajs/src/protocol/recordBatch/record/v0') as (options: object) => KafkaEncoder;
const decodeRecordBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<KafkaBatch>;
const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object;
const Long = require('kafkajs/src/utils/long') as { fromValue(value: number): object };
const { CompressionTypes, CompressionCodecs } = require('kafkajs') as {
  CompressionTypes: { [name: string]: number };
  CompressionCodecs: { [type: number]: () => { compress(encoder: KafkaEncoder): Promise<Buffer>; decompress(bytes: Buffer): Promise<Buffer> } };
};
const lz4js = require('lz4js') as { compress(bytes: Uint8Array): Uint8Array; decompress(bytes: Uint8Array): Uint8Array };
const snappy = require('snappyjs') as { compress(bytes: Buffer): Buffer; uncompress(bytes: Buffer): Buffer };

export interface KafkaBatch {
  readonly records: { offset: string; timestamp: string; key: Buffer | null; value: Buffer | null; headers: { [name: string]: Buffer } }[];
}

/** Snappy as the Java client writes it: xerial's frames of at most 32 KiB. */
export function xerialCompress(bytes: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])];
  for (let at = 0; at < bytes.length; at += 32_768) {
    const block = snappy.compress(bytes.subarray(at, at + 32_768));
    const length = Buffer.alloc(4);
    length.writeInt32BE(block.length);
    parts.push(length, block);
  }
  return Buffer.concat(parts);
}

export const COMPRESS: ReadonlyMap<string, { readonly type: number; compress(bytes: Buffer): Buffer }> = new Map([
  ['none', { type: 0, compress: (bytes: Buffer) => bytes }],
  ['gzip', { type: 1, compress: (bytes: Buffer) => gzipSync(bytes) }],
  ['snappy', { type: 2, compress: (bytes: Buffer) => snappy.compress(bytes) }],
  ['snappy-xerial', { type: 2, compress: xerialCompress }],
  ['lz4', { type: 3, compress: (bytes: Buffer) => Buffer.from(lz4js.compress(bytes)) }],
]);

/** A record batch by kafkajs's encoder. */
export async function kafkaBatch(
  records: readonly Sample[],
  options: { baseOffset?: number; compression?: string; transactional?: boolean } = {},
): Promise<Buffer> {
  const { type, compress } = COMPRESS.get(options.compression ?? 'none') as { type: number; compress(bytes: Buffer): Buffer };
  if (type !== 0)
    CompressionCodecs[type] = () => ({
      compress: async (encoder) => compress(encoder.buffer),
      decompress: async () => {
        throw new Error('not here');
      },
    });
  const base = records[0]?.timestamp ?? 0;
  const encoded = await RecordBatch({
    compression: type,
    firstOffset: Long.fromValue(options.baseOffset ?? 0),
    firstTimestamp: base,
    maxTimestamp: Math.max(...records.map((record) => record.timestamp)),
    lastOffsetDelta: records.length - 1,
    transactional: options.transactional ?? false,
    records: records.map((record, i) =>
      Record({ offsetDelta: i, timestampDelta: record.timestamp - base, key: record.key, value: record.value, headers: record.headers ?? {} }),
    ),
  });
  return Buffer.from(encoded.buffer);
}

/** An uncompressed record batch by kafkajs's decoder. */
export function kafkaDecode(bytes: Uint8Array): Promise<KafkaBatch> {
  return decodeRecordBatch(new Decoder(Buffer.from(bytes)));
}

export { CompressionTypes };

export interface Frame {
  readonly bytes: Uint8Array;
  readonly first?: number;
  readonly next?: number;
  readonly flags?: number;
  readonly cut?: number;
}

export interface SeenRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
}

export interface Decoded {
  readonly rows: SeenRecord[];
  readonly rejections: Rejection[];
  readonly batchRows: number[];
}

/** Batches of one binary column, `value`; `seen` gets all that the index says. */
function rawCodec(memory: SharedMemory, seen: (SeenRecord & { readonly headers: number })[], slabs: SlabAllocator): Codec {
  const codecSchema = schema({ value: binary });
  return {
    name: 'test',
    schema: codecSchema,
    decoder() {
      let index: RecordIndex | undefined;
      const offsets = slabs.alloc(65_536 * 4);
      memory.u8.fill(0, offsets, offsets + 65_536 * 4);
      return {
        open(records) {
          index = records;
        },
        next() {
          if (index === undefined) return undefined;
          const { count } = index;
          for (let i = 0; i < count; i++) {
            const text = (address: number, length: number) => (length < 0 ? null : Buffer.from(memory.u8.slice(address, address + length)).toString('latin1'));
            seen.push({
              offset: memory.f64[(index.offsets >>> 3) + i] as number,
              timestamp: memory.f64[(index.timestamps >>> 3) + i] as number,
              key: text(memory.u32[(index.keys >>> 2) + i] as number, memory.i32[(index.keyLengths >>> 2) + i] as number),
              value: text(memory.u32[(index.values >>> 2) + i] as number, memory.i32[(index.valueLengths >>> 2) + i] as number),
              headers: memory.u32[(index.headers >>> 2) + i] as number,
            });
          }
          index = undefined;
          return new Batch(memory, codecSchema, count, [{ type: binary, data: offsets, offsets, validity: 0 }]);
        },
        recordOf: (row) => row,
      };
    },
    encoder() {
      throw new Error('not here');
    },
  };
}

/** A decoder over a memory of its own, with the kernels or the references, fed chunk by chunk. */
export class DecoderHarness {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly #decoder: ReturnType<typeof recordBatchDecoder>;
  readonly #seen: (SeenRecord & { readonly headers: number })[] = [];
  #rejections: Rejection[] = [];

  constructor(kind: 'kernels' | 'reference', options: Partial<RecordBatchDecoderOptions> & { batchRows?: number; bytes?: number } = {}) {
    const bytes = options.bytes ?? 32 << 20;
    this.memory = kind === 'kernels' ? createMemory(bytes) : attachMemory(new SharedArrayBuffer(bytes));
    this.slabs = new SlabAllocator(this.memory);
    this.#decoder = recordBatchDecoder(
      { memory: this.memory, slabs: this.slabs, columns: [0], batchRows: options.batchRows ?? 4_096, reject: (rejection) => this.#rejections.push(rejection) },
      rawCodec(this.memory, this.#seen, this.slabs),
      { topic: 'test', ...options },
    );
  }

  decode(frames: readonly Frame[]): Decoded {
    const byteLength = frames.reduce((sum, frame) => sum + frameBytes(frame.bytes.length), 0);
    const address = this.slabs.alloc(Math.max(byteLength, 1));
    let at = address;
    for (const frame of frames) {
      this.memory.u32[(at + FRAME.bodyBytes) >>> 2] = frame.bytes.length;
      this.memory.u32[(at + FRAME.flags) >>> 2] = frame.flags ?? 0;
      this.memory.f64[(at + FRAME.first) >>> 3] = frame.first ?? 0;
      this.memory.f64[(at + FRAME.next) >>> 3] = frame.next ?? 1_000_000;
      this.memory.f64[(at + FRAME.cut) >>> 3] = frame.cut ?? 0;
      this.memory.u8.set(frame.bytes, at + FRAME.headerBytes);
      at += frameBytes(frame.bytes.length);
    }
    this.#seen.length = 0;
    this.#rejections = [];
    const batchRows: number[] = [];
    const offsets: number[] = [];
    this.#decoder.open({ partition: 0, address, byteLength, first: 0, next: 1_000_000 });
    for (let batch = this.#decoder.next(); batch !== undefined; batch = this.#decoder.next()) {
      batchRows.push(batch.rowCount);
      for (let row = 0; row < batch.rowCount; row++) offsets.push(this.#decoder.offsetOf(row));
    }
    this.slabs.free(address);
    const rows = this.#seen.map(({ headers: _, ...row }) => row);
    if (offsets.some((offset, i) => offset !== rows[i]?.offset)) throw new Error('offsetOf disagrees with the index');
    return { rows, rejections: this.#rejections, batchRows };
  }
}

export function seenOf(records: readonly Sample[], baseOffset = 0): SeenRecord[] {
  return records.map((record, i) => ({
    offset: baseOffset + i,
    timestamp: record.timestamp,
    key: record.key === null ? null : record.key.toString('latin1'),
    value: record.value === null ? null : record.value.toString('latin1'),
  }));
}

/** Seeded: mulberry32. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export function samples(count: number, seed: number, valueBytesMax = 200): Sample[] {
  const random = randomOf(seed);
  return Array.from({ length: count }, (_, i) => ({
    key: random(5) === 0 ? null : Buffer.from(`key-${random(50)}`),
    value: random(20) === 0 ? null : Buffer.from(`{"page":"/p${random(9)}","n":${i},"x":"${'ab'.repeat(random(valueBytesMax))}"}`),
    timestamp: 1_700_000_000_000 + i * 7 - random(1_000),
    ...(random(6) === 0 ? { headers: { trace: Buffer.from('abc'), empty: Buffer.alloc(0) } } : {}),
  }));
}
