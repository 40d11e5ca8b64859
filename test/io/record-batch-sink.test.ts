import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import {
  type AnyRow,
  attachMemory,
  type Batch,
  BatchBuilder,
  createMemory,
  f64,
  i64,
  nullable,
  type Schema,
  type SharedMemory,
  SIGN,
  SlabAllocator,
  schema,
  timestamp,
  utf8,
  withSign,
} from '../../core/index.ts';
import type { Codec } from '../../io/codec.ts';
import { partitionOf, type RecordSinkOptions, readBatchHeader, recordSinkEncoder } from '../../io/record-batch/index.ts';
import { murmur2 } from '../../io/record-batch/partitioner.ts';
import { DecoderHarness, kafkaDecode, randomOf } from './record-batch-harness.ts';

const kafkaMurmur2 = createRequire(import.meta.url)('kafkajs/src/producer/partitioners/default/murmur2') as (key: Buffer) => number;

/** Writes each row as JSON text, by itself or the whole batch in one record. */
function textCodec(memory: SharedMemory, wholeBatch: boolean): Codec {
  return {
    name: 'text',
    schema: undefined,
    decoder() {
      throw new Error('not here');
    },
    encoder: () => ({
      wholeBatch,
      encode(batch, from, to, address, limit, ends) {
        const rows = batch.toRows().slice(from, to);
        const texts = wholeBatch ? [JSON.stringify(rows.map(plain))] : rows.map((row) => JSON.stringify(plain(row)));
        let at = address;
        let count = 0;
        for (const text of texts) {
          const bytes = Buffer.from(text);
          if (at + bytes.length > limit) break;
          memory.u8.set(bytes, at);
          at += bytes.length;
          memory.u32[(ends >>> 2) + count++] = at;
        }
        return wholeBatch && count === 1 ? to - from : count;
      },
    }),
  };
}

function plain(row: AnyRow): AnyRow {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]));
}

interface Block {
  readonly partition: number;
  readonly rowCount: number;
  readonly bytes: Buffer;
}

class SinkHarness {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly schema: Schema;
  readonly blocks: Block[] = [];
  readonly encoder: ReturnType<typeof recordSinkEncoder>;

  constructor(kind: 'kernels' | 'reference', of: Schema, partitionCount: number, options: Partial<RecordSinkOptions> & { wholeBatch?: boolean } = {}) {
    this.memory = kind === 'kernels' ? createMemory(64 << 20) : attachMemory(new SharedArrayBuffer(64 << 20));
    this.slabs = new SlabAllocator(this.memory);
    this.schema = of;
    this.encoder = recordSinkEncoder(
      {
        memory: this.memory,
        slabs: this.slabs,
        schema: of,
        info: { partitionCount },
        position: () => ({ epoch: 0, shard: 0 }),
        block: (partition, rowCount, slab, byteLength) => {
          this.blocks.push({ partition, rowCount, bytes: Buffer.from(this.memory.u8.slice(slab, slab + byteLength)) });
          this.slabs.free(slab);
        },
      },
      { clock: () => 1_700_000_000_123, codec: textCodec(this.memory, options.wholeBatch ?? false), ...options },
    );
  }

  batch(rows: readonly AnyRow[]): Batch {
    const builder = new BatchBuilder(this.slabs, this.schema, rows.length);
    for (const row of rows) builder.appendRow(row as never);
    return builder.finish();
  }
}

const CLICKS = schema({ page: nullable(utf8), n: i64, ms: f64, at: timestamp });

function clicks(count: number, seed: number, pad = 20): AnyRow[] {
  const random = randomOf(seed);
  return Array.from({ length: count }, (_, i) => ({
    page: random(9) === 0 ? null : `/páge-${random(40)}${'x'.repeat(random(pad))}`,
    n: BigInt(i) * 12_345_678_901n,
    ms: random(1_000) / 8,
    at: 1_700_000_000_000 + random(100_000) - 50_000,
  }));
}

test('murmur2 is that of kafkajs and of the Java client', () => {
  const random = randomOf(3);
  for (let length = 0; length < 200; length++) {
    const key = Buffer.from(Array.from({ length: length % 40 }, () => random(256)));
    assert.equal(murmur2(key), kafkaMurmur2(key));
  }
  // org.apache.kafka.common.utils.UtilsTest, testMurmur2.
  const known: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ];
  for (const [text, hash] of known) assert.equal(murmur2(Buffer.from(text)), hash);
});

for (const kind of ['kernels', 'reference'] as const) {
  test(`what the sink encodes, kafkajs decodes; keys land where kafkajs would put them; ${kind}`, async () => {
    const harness = new SinkHarness(kind, CLICKS, 4, { key: 'page', timestamp: 'at' });
    const rows = clicks(5_000, 1);
    for (let at = 0; at < rows.length; at += 1_250) harness.encoder.write(harness.batch(rows.slice(at, at + 1_250)));
    harness.encoder.flush();
    const seen: string[] = [];
    for (const { partition, rowCount, bytes } of harness.blocks) {
      const { records } = await kafkaDecode(bytes);
      assert.equal(records.length, rowCount);
      for (const [i, record] of records.entries()) {
        const value = JSON.parse(String(record.value)) as { page: string | null; at: number };
        assert.equal(record.offset, String(i));
        assert.equal(record.timestamp, String(value.at));
        assert.equal(record.key === null ? null : String(record.key), value.page);
        if (record.key !== null) assert.equal(partition, (kafkaMurmur2(record.key) & 0x7fffffff) % 4);
        if (record.key !== null) assert.equal(partition, partitionOf(record.key, 4));
        seen.push(String(record.value));
      }
      const header = readBatchHeader(bytes);
      const times = records.map((record) => Number(record.timestamp));
      assert.equal(header.baseTimestamp, times[0]);
      assert.equal(header.maxTimestamp, Math.max(...times));
      assert.equal(header.byteLength, bytes.length);
      assert.equal(header.lastOffsetDelta, rowCount - 1);
      assert.equal(header.producerId, -1n);
      // Its own CRC is right.
      assert.deepEqual(new DecoderHarness(kind).decode([{ bytes }]).rejections, []);
    }
    assert.deepEqual(seen.sort(), rows.map((row) => JSON.stringify(plain(row))).sort());
  });

  test(`blocks stay below their size, and one large record goes alone, ${kind}`, async () => {
    const harness = new SinkHarness(kind, CLICKS, 2, { key: 'n', blockBytes: 4_096, batchBytesMax: 20_000 });
    const rows = clicks(600, 2, 100);
    rows[300] = { ...(rows[300] as AnyRow), page: 'y'.repeat(9_000) };
    harness.encoder.write(harness.batch(rows));
    harness.encoder.flush();
    harness.encoder.flush();
    assert.equal(
      harness.blocks.reduce((sum, block) => sum + block.rowCount, 0),
      600,
    );
    const large = harness.blocks.filter((block) => block.bytes.length > 4_096);
    assert.deepEqual(
      large.map((block) => block.rowCount),
      [1],
    );
    for (const { partition, bytes } of harness.blocks) {
      for (const record of (await kafkaDecode(bytes)).records) {
        const { n } = JSON.parse(String(record.value)) as { n: string };
        assert.equal(String(record.key), n);
        assert.equal(partition, (kafkaMurmur2(Buffer.from(n)) & 0x7fffffff) % 2);
        assert.equal(record.timestamp, '1700000000123');
      }
    }
    const used = harness.slabs.usage().usedBytes;
    harness.encoder.write(harness.batch([]));
    harness.encoder.flush();
    assert.ok(harness.slabs.usage().usedBytes - used <= 8_192);
  });
}

test('kernels and reference write the same bytes', () => {
  const of = (kind: 'kernels' | 'reference') => {
    const harness = new SinkHarness(kind, CLICKS, 3, { key: ['page', 'n'], timestamp: 'at', blockBytes: 8_192 });
    harness.encoder.write(harness.batch(clicks(2_000, 5, 60)));
    harness.encoder.flush();
    return harness.blocks;
  };
  assert.deepEqual(of('reference'), of('kernels'));
});

test('changes of a table: a new row as it is, a row that goes as its key alone, one that is replaced not at all', async () => {
  const random = randomOf(11);
  const held = new Map<number, AnyRow>();
  const rows: AnyRow[] = [];
  const wanted: [key: string, value: string | null][] = [];
  const put = (row: AnyRow, isTakenBack: boolean): number => rows.push({ ...row, [SIGN]: isTakenBack });
  for (let i = 0; i < 9_000; i++) {
    const key = random(200);
    const old = held.get(key);
    const isGone = old !== undefined && random(4) === 0;
    if (old !== undefined) put(old, true);
    const row = { page: `/${key}`, n: BigInt(i), ms: random(1_000) / 8, at: 1_700_000_000_000 + i };
    if (isGone) held.delete(key);
    else {
      held.set(key, row);
      put(row, false);
    }
    // One that goes, and is there again with the next row, was replaced.
    if (old === undefined && wanted.at(-1)?.[0] === `/${key}`) wanted.pop();
    wanted.push([`/${key}`, isGone ? null : JSON.stringify(plain(row))]);
  }
  // A pair is never cut.
  const cuts: number[] = [0];
  while ((cuts.at(-1) as number) < rows.length) {
    let to = Math.min(rows.length, (cuts.at(-1) as number) + 1 + random(4_000));
    while (to < rows.length && rows[to - 1]?.[SIGN] === true) to++;
    cuts.push(to);
  }
  const of = (kind: 'kernels' | 'reference') => {
    const harness = new SinkHarness(kind, withSign(CLICKS), 1, { key: 'page', timestamp: 'at', blockBytes: 8_192 });
    cuts.slice(1).forEach((to, c) => harness.encoder.write(harness.batch(rows.slice(cuts[c], to))));
    harness.encoder.flush();
    return harness.blocks;
  };
  const blocks = of('kernels');
  const records = (await Promise.all(blocks.map(async ({ bytes }) => (await kafkaDecode(bytes)).records))).flat();
  assert.deepEqual(
    records.map(({ key, value }) => [String(key), value === null ? null : String(value)]),
    wanted,
  );
  assert.deepEqual(of('reference'), blocks);
});

test('several key columns make a JSON array; no key is spread over all partitions, the same way each time', async () => {
  const keyed = new SinkHarness('kernels', CLICKS, 1, { key: ['page', 'ms'] });
  keyed.encoder.write(
    keyed.batch([
      { page: 'a"b', n: 1n, ms: 2.5, at: 0 },
      { page: null, n: 1n, ms: 0, at: 0 },
    ]),
  );
  keyed.encoder.flush();
  assert.deepEqual(
    (await kafkaDecode((keyed.blocks[0] as Block).bytes)).records.map((record) => String(record.key)),
    ['["a\\"b",2.5]', '[null,0]'],
  );
  const spread = () => {
    const harness = new SinkHarness('kernels', CLICKS, 4);
    harness.encoder.write(harness.batch(clicks(1_000, 3)));
    harness.encoder.flush();
    return harness.blocks;
  };
  const blocks = spread();
  assert.deepEqual(
    blocks.map((block) => block.partition),
    [0, 1, 2, 3],
  );
  for (const { rowCount } of blocks) assert.ok(rowCount > 150 && rowCount < 350);
  assert.deepEqual(spread(), blocks);
});

test('a codec of whole batches makes one record of many rows', async () => {
  const harness = new SinkHarness('kernels', CLICKS, 3, { wholeBatch: true, key: 'page' });
  const rows = clicks(500, 3);
  harness.encoder.write(harness.batch(rows));
  harness.encoder.flush();
  assert.equal(harness.blocks.length, 1);
  const block = harness.blocks[0] as Block;
  assert.equal(block.rowCount, 500);
  const { records } = await kafkaDecode(block.bytes);
  assert.equal(records.length, 1);
  assert.equal((JSON.parse(String(records[0]?.value)) as unknown[]).length, 500);
});

test('a row that no record batch can hold is an error that says so', () => {
  const harness = new SinkHarness('kernels', CLICKS, 1);
  const huge = harness.batch([{ page: 'z'.repeat(1_100_000), n: 1n, ms: 0, at: 0 }]);
  assert.throws(() => harness.encoder.write(huge), { code: 'ERR_MILLRACE_SINK', message: /One row of the result takes .* 1048588/ });
});

test('a key or a timestamp that is no column is refused', () => {
  assert.throws(() => new SinkHarness('kernels', CLICKS, 1, { key: 'pgae' }), { code: 'ERR_MILLRACE_PIPELINE', message: /pgae/ });
  assert.throws(() => new SinkHarness('kernels', CLICKS, 1, { timestamp: 'ms' }), { code: 'ERR_MILLRACE_PIPELINE', message: /which is f64/ });
});

const TIMES = [-1, 0, -62_135_596_800_000, 1_700_000_000_000, -(2 ** 53 - 1), 2 ** 53 - 1, -(2 ** 52), 2 ** 52, 1, -(2 ** 53 - 2), 2 ** 53 - 2];

test('times before 1970, and at the ends of what a number holds, are written and read as they are', async () => {
  const written = (kind: 'kernels' | 'reference') => {
    const harness = new SinkHarness(kind, schema({ at: nullable(timestamp) }), 1, { timestamp: 'at' });
    harness.encoder.write(harness.batch([...TIMES, null].map((at) => ({ at }))));
    harness.encoder.flush();
    return harness.blocks;
  };
  const [block] = written('kernels') as [Block];
  assert.deepEqual(written('reference'), [block]);
  const expected = [...TIMES, 1_700_000_000_123];
  assert.deepEqual(
    (await kafkaDecode(block.bytes)).records.map((record) => record.timestamp),
    expected.map(String),
  );
  const header = readBatchHeader(block.bytes);
  assert.deepEqual([header.baseTimestamp, header.maxTimestamp], [-1, 2 ** 53 - 1]);
  for (const kind of ['kernels', 'reference'] as const) {
    const { rows, rejections } = new DecoderHarness(kind).decode([{ bytes: block.bytes }]);
    assert.deepEqual(rejections, []);
    // Sums beyond what was written are not made: each is its own base and difference.
    rows.forEach((row, i) =>
      assert.ok(row.timestamp === expected[i] || Math.abs((expected[i] as number) - -1) > 2 ** 53 - 1, `${row.timestamp} for ${expected[i]}`),
    );
  }
});
