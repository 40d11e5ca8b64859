import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { BatchBuilder, f64, schema, utf8 } from '../../core/index.ts';
import type { Codec } from '../../io/codec.ts';
import { json } from '../../io/json.ts';
import { LogWriter, log, logTopics, readLog } from '../../io/log/index.ts';
import { FRAME, frameBytes, type SourceContext, type SourceReader } from '../../io/source.ts';
import { DecoderHarness, type Frame, kafkaBatch, kafkaDecode, type Sample } from './record-batch-harness.ts';

const root = await mkdtemp(join(tmpdir(), 'millrace-log-'));
after(() => rm(root, { recursive: true, force: true }));

let folders = 0;
const folder = () => join(root, `log-${folders++}`);
const CODEC: Codec = {
  name: 'test',
  schema: schema({ value: utf8 }),
  decoder() {
    throw new Error('not here');
  },
  encoder() {
    throw new Error('not here');
  },
};

function rowsOf(from: number, count: number): Sample[] {
  return Array.from({ length: count }, (_, i) => ({ key: null, value: Buffer.from(`row ${from + i}`), timestamp: 1_700_000_000_000 + i }));
}

/** Blocks are given as shared memory, as the runtime does. */
async function sharedBatch(records: readonly Sample[]): Promise<Uint8Array> {
  const bytes = await kafkaBatch(records);
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

async function writeRows(writer: LogWriter, partition: number, from: number, count: number, rowsEach: number): Promise<void> {
  const writes: Promise<void>[] = [];
  for (let at = 0; at < count; at += rowsEach) {
    const rowCount = Math.min(rowsEach, count - at);
    const bytes = await sharedBatch(rowsOf(from + at, rowCount));
    writes.push(writer.write({ epoch: 0, unit: 0, partition, rowCount, bytes }));
  }
  await Promise.all(writes);
}

async function valuesOf(dir: string, topic: string): Promise<string[][]> {
  const values: string[][] = [];
  for await (const { partition, header, bytes } of readLog(dir, topic)) {
    const of = (values[partition] ??= []);
    assert.equal(header.baseOffset, of.length);
    for (const { value, offset } of (await kafkaDecode(bytes)).records) {
      assert.equal(offset, String(of.length));
      of.push(String(value));
    }
  }
  return values;
}

const expected = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `row ${from + i}`);

/** A context that keeps the frames, and gives credit for `credits` of them at a time. */
class Collector implements SourceContext {
  readonly frames: (Frame & { readonly partition: number })[] = [];
  readonly ended = new Set<number>();
  readonly highs = new Map<number, number>();
  readonly abort = new AbortController();
  readonly drain: boolean;
  readonly from?: ReadonlyMap<number, number>;
  failure: unknown;
  refusals = 0;
  readonly #grant: number;
  /** By partition. */
  readonly #credits = new Map<number, number>();
  #waiting: (() => void)[] = [];
  #changed: (() => void)[] = [];

  constructor(drain: boolean, options: { from?: ReadonlyMap<number, number>; credits?: number } = {}) {
    this.drain = drain;
    if (options.from) this.from = options.from;
    this.#grant = options.credits ?? Number.POSITIVE_INFINITY;
  }

  get signal() {
    return this.abort.signal;
  }

  emit(partition: number, bytes: Uint8Array, first: number, next: number, flags = 0, cut = 0): boolean {
    const credits = this.#credits.get(partition) ?? this.#grant;
    assert.ok(credits > 0, 'nothing is emitted without credit');
    this.frames.push({ partition, bytes: bytes.slice(), first, next, flags, cut });
    this.#change();
    this.#credits.set(partition, credits - 1);
    if (credits > 1) return true;
    this.refusals++;
    return false;
  }

  credit(partition: number): Promise<void> {
    return this.#credits.get(partition) !== 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** As many frames again as at the start, for each partition. */
  give(): void {
    this.#credits.clear();
    for (const resume of this.#waiting.splice(0)) resume();
  }

  end(partition: number): void {
    this.ended.add(partition);
    this.#change();
  }

  high(partition: number, end: number): void {
    this.highs.set(partition, end);
  }

  assigned(): void {}

  fail(error: unknown): void {
    this.failure = error;
    this.#change();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.failure !== undefined) throw this.failure;
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  values(partition: number): (string | null)[] {
    const { rows, rejections } = new DecoderHarness('kernels').decode(this.frames.filter((frame) => frame.partition === partition));
    assert.deepEqual(rejections, []);
    return rows.map((row) => row.value);
  }

  #change(): void {
    for (const resume of this.#changed.splice(0)) resume();
  }
}

async function drained(dir: string, topic: string, options: { from?: ReadonlyMap<number, number> } = {}): Promise<Collector> {
  const collector = new Collector(true, options);
  const reader = await log.source({ dir, topic, value: CODEC }).open(collector);
  reader.start();
  await collector.until(() => collector.ended.size === reader.partitionCount);
  await reader.close();
  return collector;
}

test('what is written is read, over closing, opening and rolling segments', async () => {
  const dir = folder();
  let count = 0;
  for (let run = 0; run < 3; run++) {
    const writer = await LogWriter.open(dir, 'clicks', { partitions: 2, segmentBytes: 8_000 });
    assert.deepEqual(writer.ends, [count, count]);
    for (let epoch = 0; epoch < 4; epoch++) {
      await writeRows(writer, 0, count, 100, 7);
      await writeRows(writer, 1, count, 100, 100);
      await writer.commit(epoch);
      count += 100;
    }
    await writer.close();
  }
  assert.ok((await readdir(join(dir, 'clicks/partition-0'))).length > 3);
  assert.deepEqual(await valuesOf(dir, 'clicks'), [expected(count), expected(count)]);
  const collector = await drained(dir, 'clicks');
  assert.deepEqual(collector.values(0), expected(count));
  assert.deepEqual(collector.values(1), expected(count));
  assert.deepEqual(
    [...collector.highs].sort(([a], [b]) => a - b),
    [
      [0, count],
      [1, count],
    ],
  );
  assert.deepEqual(await logTopics(dir), ['clicks']);
  assert.deepEqual(await logTopics(pathToFileURL(dir)), ['clicks']);
});

test('reading starts at any offset; the decoder cuts the batch that holds it', async () => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 1, segmentBytes: 3_000 });
  await writeRows(writer, 0, 0, 200, 9);
  await writer.close();
  for (const start of [0, 1, 8, 9, 10, 100, 199, 200]) {
    const collector = await drained(dir, 't', { from: new Map([[0, start]]) });
    assert.deepEqual(collector.values(0), expected(200 - start, start), `from ${start}`);
    if (start < 200) assert.equal(collector.frames[0]?.first, start);
  }
});

test('a batch larger than the read buffer', async () => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 1 });
  const large = { key: null, value: Buffer.alloc(3_000_000, 'x'), timestamp: 1 };
  await writeRows(writer, 0, 0, 5, 5);
  await writer.write({ epoch: 0, unit: 0, partition: 0, rowCount: 1, bytes: await sharedBatch([large]) });
  await writeRows(writer, 0, 6, 5, 5);
  await writer.close();
  assert.deepEqual((await drained(dir, 't')).values(0), [...expected(5), 'x'.repeat(3_000_000), ...expected(5, 6)]);
});

test('a torn tail of any length is cut off when the topic is opened for writing, and readers never see it', async () => {
  const dir = folder();
  const first = await LogWriter.open(dir, 't', { partitions: 1 });
  await writeRows(first, 0, 0, 20, 10);
  await first.close();
  const path = join(dir, 't/partition-0/00000000000000000000.log');
  const { size } = await stat(path);
  const next = Buffer.from(await kafkaBatch(rowsOf(20, 3), { baseOffset: 20 }));
  const warnings: string[] = [];
  const listener = (warning: Error) => warnings.push(warning.message);
  process.on('warning', listener);
  for (let torn = 1; torn < next.length; torn += 13) {
    await appendFile(path, next.subarray(0, torn));
    assert.deepEqual(await valuesOf(dir, 't'), [expected(20)]);
    assert.deepEqual((await drained(dir, 't')).values(0), expected(20));
    const writer = await LogWriter.open(dir, 't');
    assert.deepEqual(writer.ends, [20]);
    await writer.close();
    assert.equal((await stat(path)).size, size);
  }
  // Whole in length, but with a part that never reached the disk.
  next.fill(0, 80);
  await appendFile(path, next);
  const writer = await LogWriter.open(dir, 't');
  assert.deepEqual(writer.ends, [20]);
  await writeRows(writer, 0, 20, 20, 10);
  await writer.close();
  assert.deepEqual(await valuesOf(dir, 't'), [expected(40)]);
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listener);
  assert.match(warnings[0] ?? '', /bytes of an unfinished write behind offset 20/);
});

test('damage in the middle of a log is reported, and loses no neighbour', async () => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 1, segmentBytes: 900 });
  await writeRows(writer, 0, 0, 100, 10);
  await writer.close();
  const names = (await readdir(join(dir, 't/partition-0'))).sort();
  assert.ok(names.length >= 3);
  // A flipped bit in a record of the first segment; a broken length in the second.
  const paths = names.map((name) => join(dir, 't/partition-0', name));
  const first = await readFile(paths[0] as string);
  first[100] = (first[100] as number) ^ 4;
  await writeFile(paths[0] as string, first);
  const second = await readFile(paths[1] as string);
  second.writeInt32BE(5, 8);
  await writeFile(paths[1] as string, second);
  const collector = await drained(dir, 't');
  const { rows, rejections } = new DecoderHarness('kernels').decode(collector.frames);
  assert.deepEqual(
    rejections.map((rejection) => rejection.reason),
    ['corrupt', 'corrupt'],
  );
  assert.equal(rows.length, 100 - 10 - 10);
  const reopened = await LogWriter.open(dir, 't');
  assert.deepEqual(reopened.ends, [100]);
  await reopened.close();
});

test('a reader follows a writer through segments, with little credit', async (context) => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 2, segmentBytes: 2_000 });
  const collector = new Collector(false, { credits: 3 });
  const reader = await log.source({ dir, topic: 't', value: CODEC }).open(collector);
  reader.start();
  const giver = setInterval(() => collector.give(), 1);
  context.after(() => clearInterval(giver));
  let count = 0;
  for (let i = 0; i < 30; i++) {
    await writeRows(writer, i % 2, count, 10, 4);
    if (i % 2 === 1) count += 10;
    if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const seen = (partition: number) => collector.frames.filter((frame) => frame.partition === partition).at(-1)?.next;
  await collector.until(() => seen(0) === count && seen(1) === count);
  await reader.close();
  await writer.close();
  assert.ok(collector.refusals > 10);
  assert.equal(collector.ended.size, 0);
  assert.deepEqual(collector.values(0), expected(count));
  assert.deepEqual(collector.values(1), expected(count));
});

test('a reader that waits for credit can be closed', async () => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 1 });
  await writeRows(writer, 0, 0, 100, 10);
  await writer.close();
  const collector = new Collector(false, { credits: 2 });
  const reader = await log.source({ dir, topic: 't', value: CODEC }).open(collector);
  reader.start();
  await collector.until(() => collector.frames.length === 2);
  await reader.close();
  assert.equal(collector.frames.length, 2);
  assert.equal(collector.failure, undefined);
});

test('positions of a group come back, with their metadata; other groups start at the beginning', async () => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 3 });
  await writeRows(writer, 0, 0, 10, 5);
  await writer.close();
  const open = (group?: string): Promise<SourceReader> =>
    log.source({ dir, topic: 't', value: CODEC, ...(group === undefined ? {} : { group }) }).open(new Collector(true));
  const reader = await open('a/../b');
  assert.deepEqual(
    await reader.positions(),
    [0, 1, 2].map((partition) => ({ partition, offset: 0, metadata: '' })),
  );
  await Promise.all([
    reader.commit([{ partition: 0, offset: 3, metadata: 'w=1' }]),
    reader.commit([
      { partition: 0, offset: 7, metadata: 'w=2' },
      { partition: 2, offset: 0, metadata: '__proto__' },
    ]),
  ]);
  await reader.close();
  const again = await open('a/../b');
  assert.deepEqual(await again.positions(), [
    { partition: 0, offset: 7, metadata: 'w=2' },
    { partition: 1, offset: 0, metadata: '' },
    { partition: 2, offset: 0, metadata: '__proto__' },
  ]);
  const other = await open('other');
  assert.deepEqual((await other.positions())[0], { partition: 0, offset: 0, metadata: '' });
  // One job a group.
  await assert.rejects(open('other'), { code: 'ERR_MILLRACE_FILE', message: /group "other" of the topic "t" is in use by this process/ });
  await other.close();
  await again.close();
  assert.deepEqual(await readdir(join(dir, 't/groups')), ['a%2F..%2Fb.json']);
  // Drain goes on from there.
  const collector = new Collector(true);
  const resumed = await log.source({ dir, topic: 't', group: 'a/../b', value: CODEC }).open(collector);
  resumed.start();
  await collector.until(() => collector.ended.size === 3);
  assert.deepEqual(collector.values(0), expected(3, 7));
  await resumed.close();
  await writeFile(join(dir, 't/groups/broken.json'), '{"version":1,"positions":[{"partition":0,"offset":-1,"metadata":""}]}');
  await assert.rejects(open('broken'), { code: 'ERR_MILLRACE_CHECKPOINT', message: /offset -1/ });
});

test('a position behind the end of the log fails the job', async () => {
  const dir = folder();
  await (await LogWriter.open(dir, 't', { partitions: 1 })).close();
  const collector = new Collector(true, { from: new Map([[0, 5]]) });
  const reader = await log.source({ dir, topic: 't', value: CODEC }).open(collector);
  reader.start();
  await assert.rejects(
    collector.until(() => false),
    { code: 'ERR_MILLRACE_CHECKPOINT', message: /offset 5, but the log ends at 0/ },
  );
});

test('wrong topics, folders, names and second writers are refused', async () => {
  const dir = folder();
  const open = (topic: string, at = dir) => log.source({ dir: at, topic, value: CODEC }).open(new Collector(true));
  await assert.rejects(open('clicks'), { code: 'ERR_MILLRACE_TOPIC', message: /no topics at all/ });
  const writer = await LogWriter.open(dir, 'orders', { partitions: 1 });
  await assert.rejects(open('clicks'), { code: 'ERR_MILLRACE_TOPIC', message: /there are: orders/ });
  await assert.rejects(LogWriter.open(dir, 'orders'), { code: 'ERR_MILLRACE_FILE', message: /being written by this process \(\d+\)/ });
  await writer.close();
  await assert.rejects(LogWriter.open(dir, 'orders', { partitions: 3 }), { code: 'ERR_MILLRACE_OPTION', message: /has 1 partitions, not 3/ });
  for (const topic of ['..', '.', '../x', 'a/b', '', 'x'.repeat(250), 'a\0b']) {
    assert.throws(() => log.source({ dir, topic, value: CODEC }), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => log.sink({ dir, topic, value: CODEC }), { code: 'ERR_MILLRACE_OPTION' });
  }
  const file = join(dir, 'orders/partition-0/00000000000000000000.log');
  await assert.rejects(open('clicks', file), { code: 'ERR_MILLRACE_FILE' });
  assert.throws(() => log.source({ dir, topic: 't', value: { ...CODEC, schema: undefined } }), { code: 'ERR_MILLRACE_PIPELINE', message: /json\(\{/ });
  assert.throws(() => log.sink({ dir, topic: 't', value: CODEC, partitions: 0 }), { code: 'ERR_MILLRACE_OPTION' });
});

test('a block that is no record batch, or for a partition that is not there, is refused and nothing is written', async () => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 1 });
  await assert.rejects(writer.write({ epoch: 0, unit: 0, partition: 1, rowCount: 1, bytes: await sharedBatch(rowsOf(0, 1)) }), { code: 'ERR_MILLRACE_SINK' });
  await assert.rejects(writer.write({ epoch: 0, unit: 0, partition: 0, rowCount: 1, bytes: new Uint8Array(40) }), { code: 'ERR_MILLRACE_SINK' });
  await writeRows(writer, 0, 0, 3, 3);
  await writer.commit(0);
  await writer.close();
  assert.deepEqual(await valuesOf(dir, 't'), [expected(3)]);
});

test('a log that is cut off under a drain is an error, not a hang', async (context) => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 1, segmentBytes: 1_000 });
  await writeRows(writer, 0, 0, 400, 10);
  await writer.close();
  const collector = new Collector(true, { credits: 1 });
  const reader = await log.source({ dir, topic: 't', value: CODEC }).open(collector);
  reader.start();
  await collector.until(() => collector.frames.length === 1);
  // All segments but the first, which is in the reader's buffer.
  for (const name of (await readdir(join(dir, 't/partition-0'))).sort().slice(1)) await rm(join(dir, 't/partition-0', name));
  const giver = setInterval(() => collector.give(), 1);
  context.after(() => clearInterval(giver));
  await assert.rejects(
    collector.until(() => collector.ended.size === 1),
    { code: 'ERR_MILLRACE_CORRUPT', message: /ended at 400 when reading began/ },
  );
  await reader.close();
});

test('rows through the sink, the disk and the source, as json', async () => {
  const dir = folder();
  const fields = { page: utf8, n: f64 };
  const { memory, slabs } = new DecoderHarness('kernels');
  const sink = log.sink({ dir, topic: 'rows', value: json(), key: 'page' });
  sink.check(schema(fields));
  const writer = await sink.open({ schema: schema(fields), pipeline: 'test', signal: new AbortController().signal });
  assert.equal(writer.info.partitionCount, 4);
  const writes: Promise<void>[] = [];
  const encoder = sink.encoder({
    memory,
    slabs,
    schema: schema(fields),
    info: writer.info,
    position: () => ({ epoch: 0, shard: 0 }),
    block(partition, rowCount, slab, byteLength) {
      const bytes = memory.u8.subarray(slab, slab + byteLength);
      writes.push(writer.write({ epoch: 0, unit: 0, partition, rowCount, bytes }).then(() => slabs.free(slab)));
    },
  });
  const rows = Array.from({ length: 3_000 }, (_, i) => ({ page: `/p${i % 37}`, n: i }));
  for (let at = 0; at < rows.length; at += 1_000) {
    const builder = new BatchBuilder(slabs, schema(fields), 1_000);
    for (const row of rows.slice(at, at + 1_000)) builder.appendRow(row);
    encoder.write(builder.finish());
  }
  encoder.flush();
  await Promise.all(writes);
  await writer.commit(0);
  await writer.close();

  const source = log.source({ dir, topic: 'rows', value: json(fields) });
  const collector = new Collector(true);
  const reader = await source.open(collector);
  reader.start();
  await collector.until(() => collector.ended.size === 4);
  await reader.close();
  const decoder = source.decoder({ memory, slabs, columns: [0, 1], batchRows: 512, reject: (rejection) => assert.fail(rejection.message) });
  const seen: unknown[] = [];
  for (const frame of collector.frames) {
    const address = slabs.alloc(frameBytes(frame.bytes.length));
    memory.u8.fill(0, address, address + FRAME.headerBytes);
    memory.u32[(address + FRAME.bodyBytes) >>> 2] = frame.bytes.length;
    memory.f64[(address + FRAME.next) >>> 3] = frame.next as number;
    memory.u8.set(frame.bytes, address + FRAME.headerBytes);
    decoder.open({ partition: frame.partition, address, byteLength: frameBytes(frame.bytes.length), first: frame.first as number, next: frame.next as number });
    for (let batch = decoder.next(); batch !== undefined; batch = decoder.next()) seen.push(...batch.toRows());
    slabs.free(address);
  }
  const byNumber = (a: unknown, b: unknown) => (a as { n: number }).n - (b as { n: number }).n;
  assert.deepEqual(seen.sort(byNumber), rows);
});
