/**
 * Record batches: found, checked, decompressed and written, beside kafkajs, snappyjs and lz4js; and the
 * embedded log, read from the page cache. 100-byte values in batches of about 1 MiB. Verified before timing:
 * the records against kafkajs's decoder, the sums against each other, the decompressed bytes against the
 * plain ones.
 *
 *   npx tsx bench/micro/record-batch.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bench, group, run, summary } from 'mitata';
import { attachMemory, Batch, binary, crc32c, crc32cBytes, createMemory, type SharedMemory, SlabAllocator, schema } from '../../core/index.ts';
import type { Codec, RecordIndex } from '../../io/codec.ts';
import { log } from '../../io/index.ts';
import { LogWriter } from '../../io/log/index.ts';
import { RECORD_BATCH, recordBatchDecoder } from '../../io/record-batch/index.ts';
import { lzBlocks } from '../../io/record-batch/lz-block.ts';
import { FRAME, frameBytes, type SourceContext } from '../../io/source.ts';

const require = createRequire(import.meta.url);
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0');
const Record = require('kafkajs/src/protocol/recordBatch/record/v0');
const decodeRecordBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder');
const Decoder = require('kafkajs/src/protocol/decoder');
const kafkaCrc32c = require('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number;
const snappy = require('snappyjs') as { compress(bytes: Uint8Array): Uint8Array; uncompress(bytes: Uint8Array): Uint8Array };
const lz4 = require('lz4js') as { compress(bytes: Uint8Array): Uint8Array; decompress(bytes: Uint8Array): Uint8Array };

const isTiny = process.argv.includes('--tiny');
const records = isTiny ? 100 : 9_000;
const logBatches = isTiny ? 2 : 64;

const VALUES = schema({ value: binary });

/** Takes the records as they are, so that only the path to the index is measured. */
function indexCodec(memory: SharedMemory, empty: number): { codec: Codec; index(): RecordIndex; count(): number } {
  let lastCount = 0;
  let last: RecordIndex | undefined;
  let isOpen = false;
  const codec: Codec = {
    name: 'index',
    schema: VALUES,
    decoder: () => ({
      open(index) {
        last = index;
        isOpen = true;
      },
      next() {
        if (!isOpen || last === undefined) return undefined;
        isOpen = false;
        lastCount = last.count;
        return new Batch(memory, VALUES, last.count, [{ type: binary, data: empty, offsets: empty, validity: 0 }]);
      },
      recordOf: (row) => row,
    }),
    encoder() {
      throw new Error('the bench only decodes');
    },
  };
  return { codec, index: () => last as RecordIndex, count: () => lastCount };
}

class Contestant {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly index: () => RecordIndex;
  /** Records of the last batch. */
  readonly count: () => number;
  readonly #decoder: ReturnType<typeof recordBatchDecoder>;
  readonly #address: number;
  readonly #byteLength: number;

  constructor(memory: SharedMemory, bytes: Uint8Array, checkCrc: boolean) {
    this.memory = memory;
    this.slabs = new SlabAllocator(memory);
    const { codec, index, count } = indexCodec(memory, this.slabs.alloc(1 << 16));
    this.index = index;
    this.count = count;
    const reject = ({ message }: { message: string }): void => assert.fail(message);
    this.#decoder = recordBatchDecoder({ memory, slabs: this.slabs, columns: [0], batchRows: 4_096, reject }, codec, { topic: 'bench', checkCrc });
    this.#byteLength = frameBytes(bytes.length);
    this.#address = this.slabs.alloc(this.#byteLength);
    memory.u8.fill(0, this.#address, this.#address + FRAME.headerBytes);
    memory.u32[(this.#address + FRAME.bodyBytes) >>> 2] = bytes.length;
    memory.f64[(this.#address + FRAME.next) >>> 3] = records;
    memory.u8.set(bytes, this.#address + FRAME.headerBytes);
  }

  get body(): number {
    return this.#address + FRAME.headerBytes;
  }

  decode(): number {
    this.#decoder.open({ partition: 0, address: this.#address, byteLength: this.#byteLength, first: 0, next: records });
    let rows = 0;
    for (let batch = this.#decoder.next(); batch !== undefined; batch = this.#decoder.next()) rows += batch.rowCount;
    return rows;
  }
}

async function sampleBatch(): Promise<Buffer> {
  const encoded = await RecordBatch({
    lastOffsetDelta: records - 1,
    firstTimestamp: 1_700_000_000_000,
    records: Array.from({ length: records }, (_, i) =>
      Record({
        offsetDelta: i,
        timestampDelta: i % 1_000,
        key: Buffer.from(`k${i % 100}`),
        value: Buffer.from(`{"page":"/p${i % 97}","user":"u${i}","ms":${i % 1_000},"at":${1_700_000_000_000 + i}}`.padEnd(100, ' ')),
      }),
    ),
  });
  return Buffer.from(encoded.buffer);
}

const bytes = await sampleBatch();
const kernels = new Contestant(createMemory(64 << 20), bytes, true);
const unchecked = new Contestant(createMemory(64 << 20), bytes, false);
const reference = new Contestant(attachMemory(new SharedArrayBuffer(64 << 20)), bytes, true);
const kafkaDecode = (): Promise<{ records: { value: Buffer; offset: string }[] }> => decodeRecordBatch(new Decoder(bytes));

const body = bytes.subarray(RECORD_BATCH.records);
const packed = { snappy: new Uint8Array(snappy.compress(new Uint8Array(body))), lz4: new Uint8Array(lz4.compress(new Uint8Array(body))) };
const { memory, slabs } = kernels;
const from = slabs.alloc(body.length * 2);
const to = slabs.alloc(body.length * 2);
const lz = lzBlocks(memory);

/** The raw block after its preamble; snappyjs reads that itself. */
function unsnap(): number {
  let at = 0;
  while ((packed.snappy[at] as number) >= 0x80) at++;
  memory.u8.set(packed.snappy, from);
  return lz.snappyBlock(from + at + 1, from + packed.snappy.length, to, to + body.length) - to;
}

/** All blocks of the frame: a header of 7 bytes, then length and block. */
function unlz4(): number {
  memory.u8.set(packed.lz4, from);
  let out = to;
  for (let at = from + 7; ; ) {
    const word = memory.view.getUint32(at, true);
    if (word === 0) return out - to;
    const end = at + 4 + (word & 0x7fff_ffff);
    if (word > 0x7fff_ffff) {
      memory.u8.copyWithin(out, at + 4, end);
      out += end - at - 4;
    } else out = lz.lz4Block(at + 4, end, out, to + body.length * 2, to);
    at = end;
  }
}

const dir = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
const target = new Uint8Array(bytes.length);

/** Reads the whole log and copies each frame once, as the coordinator does. */
async function readWhole(): Promise<number> {
  let rows = 0;
  let ended = 0;
  let done = (): void => {};
  const all = new Promise<void>((resolve, reject) => {
    done = () => {
      if (++ended === reader.partitionCount) resolve();
    };
    context.fail = reject;
  });
  const reader = await log.source({ dir, topic: 'bench', value: indexCodec(memory, to).codec }).open(context);
  context.end = done;
  context.emit = (_partition, frame, first, next) => {
    target.set(frame);
    rows += next - first;
    return true;
  };
  reader.start();
  await all;
  await reader.close();
  return rows;
}

const context: { -readonly [K in keyof SourceContext]: SourceContext[K] } = {
  drain: true,
  signal: new AbortController().signal,
  emit: () => true,
  credit: async () => {},
  end: () => {},
  high: () => {},
  assigned: () => {},
  fail: () => {},
};

async function verify(): Promise<void> {
  const expected = await kafkaDecode();
  for (const contestant of [kernels, unchecked, reference]) {
    assert.equal(contestant.decode(), records);
    const index = contestant.index();
    const last = contestant.count() - 1;
    const value = contestant.memory.u32[(index.values >>> 2) + last] as number;
    const length = contestant.memory.i32[(index.valueLengths >>> 2) + last] as number;
    assert.deepEqual(Buffer.from(contestant.memory.u8.slice(value, value + length)), Buffer.from(expected.records.at(-1)?.value as Buffer));
    assert.equal(String(contestant.memory.f64[(index.offsets >>> 3) + last]), expected.records.at(-1)?.offset);
  }
  assert.equal(crc32c(memory, kernels.body, bytes.length), kafkaCrc32c(bytes) >>> 0);
  assert.equal(crc32cBytes(bytes), kafkaCrc32c(bytes) >>> 0);
  for (const unpack of [unsnap, unlz4]) {
    assert.equal(unpack(), body.length);
    assert.ok(Buffer.from(memory.u8.slice(to, to + body.length)).equals(body));
  }
  const writer = await LogWriter.open(dir, 'bench', { partitions: 4 });
  for (let i = 0; i < logBatches; i++) await writer.write({ epoch: 0, unit: 0, partition: i % 4, rowCount: records, bytes: bytes.subarray() });
  await writer.commit(0);
  await writer.close();
  assert.equal(await readWhole(), records * logBatches);
}

try {
  await verify();
  summary(() => {
    group(`decode ${records} records of 100 bytes`, () => {
      bench('kernels, CRC checked', () => kernels.decode()).baseline(true);
      bench('kernels, CRC not checked', () => unchecked.decode());
      bench('TypeScript, CRC checked', () => reference.decode());
      bench('kafkajs, CRC not checked', () => kafkaDecode());
    });
  });
  summary(() => {
    group(`CRC32C of ${bytes.length} bytes`, () => {
      bench('kernel', () => crc32c(memory, kernels.body, bytes.length)).baseline(true);
      bench('TypeScript', () => crc32cBytes(bytes));
      bench('kafkajs', () => kafkaCrc32c(bytes));
    });
  });
  summary(() => {
    group(`decompress to ${body.length} bytes`, () => {
      bench('snappy: kernel', unsnap).baseline(true);
      bench('snappy: snappyjs', () => snappy.uncompress(packed.snappy));
      bench('lz4: kernel', unlz4);
      bench('lz4: lz4js', () => lz4.decompress(packed.lz4));
    });
  });
  group(`read a log of ${((bytes.length * logBatches) / 1e6).toFixed(1)} MB, ${records * logBatches} rows`, () => {
    bench('log.source, 4 partitions, each frame copied once', readWhole);
  });
  if (isTiny) console.log('verified');
  else await run({ format: process.argv.includes('--json') ? 'json' : 'mitata' });
} finally {
  await rm(dir, { recursive: true, force: true });
}
