/**
 * Values, records and batches that are not what they should be, in whole jobs: each lands in the ledger with its
 * coordinates, none takes a neighbour with it, and the job comes to its end.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { crc32cBytes } from '../../core/memory/crc32c.ts';
import { type Job, type RunOptions, readLog, run } from '../../runtime/index.ts';
import { COMPRESS, kafkaBatch, kafkaDecode, randomOf, type Sample } from '../io/record-batch-harness.ts';
import { effortCount, seedOf } from '../seed.ts';
import { hostile, keys, type Params, rows } from './pipelines/values.ts';
import { writeBatches, writeTopic } from './topics.ts';
import { until } from './until.ts';

const pipeline = new URL('./pipelines/values.ts', import.meta.url);
const MUTATED = effortCount(500);
const SEED = seedOf(20_260_101);

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Reads the topic `in` to its end, and checks that what comes in is decoded or in the ledger. */
async function read(dir: string, as: Params['as'], options: RunOptions = {}): Promise<Job> {
  const job = await run(pipeline, { workers: 1, trigger: 'availableNow', drain: 'emit', ...options, params: { dir, as } });
  await job.done;
  return job;
}

async function readValues(t: TestContext, as: Params['as'], values: readonly string[], options: RunOptions = {}): Promise<Job> {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 2, values);
  return read(dir, as, options);
}

const event = (key: string, n: unknown, at: unknown = 1_000) => JSON.stringify({ key, n, at });
const sampleOf = (value: string | null, key: string | null = null): Sample => ({
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  timestamp: 1_700_000_000_000,
});
/** A good event in each of so many records. */
const goodBatch = (from: number, to: number, compression = 'none') =>
  kafkaBatch(
    Array.from({ length: to - from }, (_, i) => sampleOf(event('good', from + i))),
    { compression },
  );
const numbersRead = () => rows.rows.map((row) => row['n'] as number).sort((a, b) => a - b);

test('JSON that is broken, of the wrong type or of the wrong shape', async (t) => {
  const bad = [
    '',
    ' ',
    '{',
    '}',
    '[]',
    'null',
    '7',
    '"text"',
    'nonsense',
    '{"key":"a","n":1,"at":1',
    '{"key":"a","n":1,"at":1}}',
    '{"key":"a","n":1,"at":1} x',
    '{"key":"a","n":1,"at":1,}',
    "{'key':'a','n':1,'at':1}",
    '{"key":"a" "n":1,"at":1}',
    '{"key":1,"n":1,"at":1}',
    '{"key":"a","n":"1","at":1}',
    '{"key":"a","n":true,"at":1}',
    '{"key":"a","n":[1],"at":1}',
    '{"key":null,"n":1,"at":1}',
    '{"key":"a","n":null,"at":1}',
    '{"key":"a","n":1,"at":"tomorrow"}',
    '{"key":"a","n":1,"at":{}}',
    '{"n":1,"at":1}',
    '{"key":"a","at":1}',
    '{"key":"a","n":1}',
    '{"key":"a","n":01,"at":1}',
    '{"key":"a","n":+1,"at":1}',
    '{"key":"a","n":.5,"at":1}',
    '{"key":"a","n":NaN,"at":1}',
    '{"key":"a","n":Infinity,"at":1}',
    '{"key":"a\n","n":1,"at":1}',
    '{"key":"\\x41","n":1,"at":1}',
    '{"key":"\\u12","n":1,"at":1}',
    '\ufeff{"key":"a","n":1,"at":1}x',
    '{"key":"a","n":1,"at":1e300}',
    '{"key":"a","n":1,"at":9223372036854775808}',
    `${'['.repeat(20_000)}`,
    `{"key":"a","n":1,"at":1,"deep":${'{"a":'.repeat(20_000)}`,
  ];
  const good = (n: number) => event('good', n);
  const values = bad.flatMap((value, i) => [good(2 * i), value, good(2 * i + 1)]);
  const job = await readValues(t, 'json', values, { workers: 2 });
  const { ledger, rowsIn, samples } = job.progress();
  assert.equal(ledger.undecodable, bad.length);
  assert.equal(rowsIn, values.length, 'all that came in is counted');
  assert.deepEqual(
    numbersRead(),
    Array.from({ length: 2 * bad.length }, (_, n) => n),
    'no neighbour is lost',
  );
  assert.equal(keys.rows.length, 1);
  assert.ok(samples.length > 0);
  for (const { message, source, offset, reason } of samples) {
    assert.deepEqual([source, reason], ['log in', 'undecodable']);
    assert.match(message, new RegExp(`record at offset ${offset}: .{10,}`));
    assert.ok(message.length < 2_000, 'a sample is short, also of a long value');
  }
});

test('null values and empty ones', async (t) => {
  const records = [
    sampleOf(event('good', 1)),
    sampleOf(null),
    sampleOf(''),
    sampleOf(event('good', 2), ''),
    sampleOf(null, 'key'),
    sampleOf(event('good', 3), 'key'),
  ];
  const dir = await folder(t);
  await writeBatches(dir, 'in', 1, [{ partition: 0, bytes: await kafkaBatch(records) }]);
  const job = await read(dir, 'json');
  assert.deepEqual(numbersRead(), [1, 2, 3]);
  assert.equal(job.progress().ledger.undecodable, 3);
  await read(dir, 'raw');
  const bytes = (value: Buffer | null) => (value === null ? null : [...value]);
  const seen = rows.rows.map((row) => ({
    key: row['key'] && [...(row['key'] as Uint8Array)],
    value: row['value'] && [...(row['value'] as Uint8Array)],
    offset: row['offset'],
  }));
  assert.deepEqual(
    seen,
    records.map(({ key, value }, i) => ({ key: bytes(key), value: bytes(value), offset: BigInt(i) })),
  );
});

test('values of 5 MiB: read as they are, or a clear word about the memory', async (t) => {
  const giant = 'g'.repeat(5 << 20);
  const values = [event('small', 1), event(giant, 2), event('small', 3), event(giant, 4), event('small', 5)];
  await readValues(t, 'json', values);
  assert.deepEqual(numbersRead(), [1, 2, 3, 4, 5]);
  assert.deepEqual(
    new Map(keys.rows.map((row) => [row['key'], row['sum']])),
    new Map([
      ['small', 9],
      [giant, 6],
    ]),
  );
  await readValues(t, 'text', [giant, 'small', giant, giant]);
  assert.deepEqual(
    new Map(keys.rows.map((row) => [row['value'], row['count']])),
    new Map([
      ['small', 1],
      [giant, 3],
    ]),
  );
  // A value that the memory cannot hold is no reason to crash, nor to drop it.
  const small: RunOptions = { memory: '32MiB' };
  await assert.rejects(readValues(t, 'json', values, small), { code: 'ERR_MILLRACE_MEMORY', message: /Raise the memory option/ });
});

test('batches of each compression, with one that is broken between them', async (t) => {
  const dir = await folder(t);
  const compressions = [...COMPRESS.keys()];
  const batches: { partition: number; bytes: Uint8Array }[] = [];
  // A partition for each: good, broken, good.
  for (const [partition, compression] of compressions.entries()) {
    const from = partition * 10_000;
    const broken = await goodBatch(from + 5_000, from + 5_100, compression);
    broken[broken.length - 3] = (broken[broken.length - 3] as number) ^ 0x55;
    for (const bytes of [await goodBatch(from, from + 500, compression), broken, await goodBatch(from + 500, from + 700, compression)])
      batches.push({ partition, bytes });
  }
  await writeBatches(dir, 'in', compressions.length, batches);
  const job = await read(dir, 'json', { workers: 2 });
  const { ledger, samples } = job.progress();
  assert.deepEqual(
    numbersRead(),
    compressions.flatMap((_, partition) => Array.from({ length: 700 }, (_, n) => partition * 10_000 + n)),
  );
  assert.equal(ledger.corrupt, 100 * compressions.length, 'the records that the batches declare');
  assert.deepEqual(samples.map(({ partition }) => partition).sort(), [...compressions.keys()]);
  for (const { message, offset, rows: lost } of samples) {
    assert.match(message, /checksum|CRC/i);
    assert.deepEqual([offset, lost], [500, 100]);
  }
});

/** Another batch with a right checksum: its body changed by `change`. */
async function forged(batch: Buffer, change: (bytes: Buffer) => Buffer): Promise<Buffer> {
  const bytes = change(Buffer.from(batch));
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeUInt32BE(crc32cBytes(bytes, 21), 17);
  return bytes;
}

test('batches whose checksum is right and whose body is not', async (t) => {
  const batch = await goodBatch(1_000, 1_050);
  const forgeries: Record<string, Buffer> = {
    'cut off in a record': await forged(batch, (bytes) => bytes.subarray(0, bytes.length - 200)),
    'no record at all': await forged(batch, (bytes) => bytes.subarray(0, 61)),
    'more records declared than there are': await forged(batch, (bytes) => (bytes.writeInt32BE(60, 57), bytes)),
    'a negative number of records': await forged(batch, (bytes) => (bytes.writeInt32BE(-5, 57), bytes)),
    'two thousand million records': await forged(batch, (bytes) => (bytes.writeInt32BE(2_000_000_000, 57), bytes)),
    'a record longer than the batch': await forged(batch, (bytes) => (bytes.fill(0xfe, 61, 64), bytes)),
    'gzip that is none': await forged(batch, (bytes) => (bytes.writeInt16BE(1, 21), bytes)),
    'snappy that is none': await forged(batch, (bytes) => (bytes.writeInt16BE(2, 21), bytes)),
    'lz4 that is none': await forged(batch, (bytes) => (bytes.writeInt16BE(3, 21), bytes)),
    'zstd that is none': await forged(batch, (bytes) => (bytes.writeInt16BE(4, 21), bytes)),
    'a compression that does not exist': await forged(batch, (bytes) => (bytes.writeInt16BE(7, 21), bytes)),
  };
  const names = Object.keys(forgeries);
  const dir = await folder(t);
  const batches: { partition: number; bytes: Uint8Array }[] = [];
  for (const [partition, name] of names.entries()) {
    const from = partition * 10_000;
    for (const bytes of [await goodBatch(from, from + 100), forgeries[name] as Buffer, await goodBatch(from + 100, from + 200)])
      batches.push({ partition, bytes });
  }
  await writeBatches(dir, 'in', names.length, batches);
  const job = await read(dir, 'json', { workers: 1 });
  const { ledger, samples } = job.progress();
  // Records in front of the fault may be read: they are whole.
  const isForged = (n: number) => n >= 1_000 && n < 1_050;
  assert.deepEqual(
    numbersRead().filter((n) => !isForged(n)),
    names.flatMap((_, partition) => Array.from({ length: 200 }, (_, n) => partition * 10_000 + n)),
  );
  assert.ok(ledger.corrupt >= names.length, JSON.stringify(ledger));
  // Ten samples of a reason are kept, of one worker.
  const sampled = new Set(samples.map(({ partition }) => partition));
  assert.equal(sampled.size, Math.min(10, names.length));
  for (const { message } of samples) assert.ok(message.length > 20, message);
});

test('a log whose last batch was cut off ends before it', async (t) => {
  const dir = await folder(t);
  await writeBatches(dir, 'in', 1, [
    { partition: 0, bytes: await goodBatch(0, 100) },
    { partition: 0, bytes: await goodBatch(100, 200) },
  ]);
  const names = await readdir(dir, { recursive: true });
  const sizes = await Promise.all(names.map(async (name) => ({ path: join(dir, name), facts: await stat(join(dir, name)) })));
  const segment = sizes.filter(({ facts }) => facts.isFile()).sort((a, b) => b.facts.size - a.facts.size)[0];
  assert.ok(segment !== undefined);
  await truncate(segment.path, segment.facts.size - 7);
  await read(dir, 'json');
  assert.deepEqual(
    numbersRead(),
    Array.from({ length: 100 }, (_, n) => n),
  );
});

test(`hostile Arrow messages: ${MUTATED} mutations among good ones (seed ${SEED})`, async (t) => {
  const dir = await folder(t);
  const messages = await arrowMessages(dir);
  const random = randomOf(SEED);
  const records: Sample[] = [];
  const expected = new Set<number>();
  for (let i = 0; i < MUTATED; i++) {
    const { bytes, first, count } = messages[random(messages.length)] as ArrowMessage;
    const isGood = i % 5 === 0;
    if (isGood) for (let n = first; n < first + count; n++) expected.add(n);
    records.push({ key: null, value: isGood ? bytes : mutated(bytes, random), timestamp: 1_700_000_000_000 });
  }
  const batches = [];
  for (let from = 0; from < records.length; from += 50) batches.push({ partition: (from / 50) % 2, bytes: await kafkaBatch(records.slice(from, from + 50)) });
  await writeBatches(dir, 'in', 2, batches);
  const job = await read(dir, 'arrow', { workers: 2 });
  const { ledger, rowsIn } = job.progress();
  const seen = new Set(rows.rows.map((row) => row['n'] as number));
  for (const n of expected) assert.ok(seen.has(n), `row ${n} of a good message`);
  assert.ok(ledger.undecodable > MUTATED / 4, `${ledger.undecodable} messages refused`);
  assert.equal(rows.rows.length + ledger.undecodable + ledger.corrupt, rowsIn, 'what came in was decoded or refused');
});

interface ArrowMessage {
  readonly bytes: Buffer;
  readonly first: number;
  readonly count: number;
}

/** Messages of 64 rows as our own sink writes them; `n` numbers the rows. */
async function arrowMessages(dir: string): Promise<ArrowMessage[]> {
  const job = await run(new URL('./pipelines/arrow-rows.ts', import.meta.url), {
    workers: 1,
    trigger: 'availableNow',
    drain: 'emit',
    batchRows: 64,
    params: { dir, rows: 640 },
  });
  await job.done;
  const messages: ArrowMessage[] = [];
  for await (const batch of readLog(dir, 'messages')) {
    for (const { value } of (await kafkaDecode(batch.bytes)).records) messages.push({ bytes: value as Buffer, first: messages.length * 64, count: 64 });
  }
  assert.equal(messages.length, 10);
  return messages;
}

function mutated(bytes: Buffer, random: (below: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  for (let n = 1 + random(4); n > 0; n--) {
    const at = random(copy.length);
    switch (random(5)) {
      case 0:
        copy[at] = random(256);
        break;
      case 1:
        copy[at] = (copy[at] as number) ^ (1 << random(8));
        break;
      case 2:
        copy.writeInt32LE([0, -1, 1, 0x7fffffff, -0x80000000, 0x10000, 8, -8][random(8)] as number, Math.min(at - (at % 4), copy.length - 4));
        break;
      case 3:
        return copy.subarray(0, at);
      default:
        copy.copyWithin(random(copy.length), at, Math.min(copy.length, at + random(64)));
    }
  }
  return copy;
}

test('keys of every kind are kept apart', async (t) => {
  const long = 'x'.repeat(10_000);
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '',
    ' ',
    '\u0000',
    '\u0000\u0000',
    'ü€😀',
    '\u202e',
    'null',
    'undefined',
    'NaN',
    '0',
    '-0',
    long,
    `${long.slice(1)}y`,
    `y${long.slice(1)}`,
    'x'.repeat(24),
    'x'.repeat(25),
  ];
  const values = Array.from({ length: 3 * names.length }, (_, i) => event(names[i % names.length] as string, i));
  await readValues(t, 'json', values, { workers: 2 });
  const expected = new Map(names.map((name, i) => [name, { rows: 3, sum: 3 * i + 3 * names.length, max: i + 2 * names.length }]));
  assert.deepEqual(new Map(keys.rows.map(({ key, ...rest }) => [key, rest])), expected);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test('columns that are called like parts of a plain object', async (t) => {
  const values = [
    '{"__proto__":"a","constructor":1}',
    '{"__proto__":"a","constructor":13,"toString":"x"}',
    '{"constructor":2,"toString":null,"__proto__":"__proto__"}',
    '{"__proto__":{"polluted":true},"constructor":2}',
    '{"constructor":2}',
  ];
  assert.deepEqual(Object.keys(hostile), ['__proto__', 'constructor', 'toString']);
  for (const codeGeneration of [true, false]) {
    const job = await readValues(t, 'hostile', values, { codeGeneration });
    assert.equal(job.progress().ledger.undecodable, 2);
    const entries = (list: readonly object[]) => list.map((row) => JSON.stringify(Object.entries(row))).sort();
    assert.deepEqual(entries(rows.rows), [
      '[["__proto__","__proto__"],["constructor",2],["toString",null]]',
      '[["__proto__","a"],["constructor",1],["toString",null]]',
    ]);
    assert.deepEqual(entries(keys.rows), [
      '[["__proto__","__proto__"],["valueOf",1],["hasOwnProperty",2]]',
      '[["__proto__","a"],["valueOf",2],["hasOwnProperty",14]]',
    ]);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  }
});

test('times before 1970, at the ends of the calendar, and beyond', async (t) => {
  const HOUR = 3_600_000;
  const EDGE = 8.64e15;
  const times = [-1, 0, 1, -HOUR, -HOUR - 1, -EDGE, EDGE, EDGE - 1, 1_767_225_600_000, -2_208_988_800_000];
  const silly = [9e18, -9e18, 9.3e18, 1e300, 1e16, 'yesterday', '', '2026-13-45T99:99:99Z', null, true];
  const values = [...times.map((at, i) => event(`k${i % 2}`, i, at)), ...silly.map((at) => event('silly', 0, at))];
  const tumbling = new Map<string, number>();
  const sliding = new Map<string, number>();
  const floor = (at: number, by: number) => Math.floor(at / by) * by;
  const add = (counts: Map<string, number>, key: string) => counts.set(key, (counts.get(key) ?? 0) + 1);
  times.forEach((at, i) => {
    add(tumbling, `k${i % 2} ${floor(at, HOUR)}`);
    for (let start = floor(at, 10_000); start > at - 60_000; start -= 10_000) add(sliding, `k${i % 2} ${start}`);
  });
  for (const [as, expected] of [
    ['times', tumbling],
    ['sliding', sliding],
  ] as const) {
    const job = await readValues(t, as, values);
    assert.deepEqual(new Map(keys.rows.map((row) => [`${row['key']} ${row['windowStart']}`, row['rows']] as const).sort()), new Map([...expected].sort()), as);
    assert.equal(job.progress().ledger.undecodable, silly.length);
    assert.equal(job.progress().ledger.late, 0);
  }
});

test('one row from the far future: what comes behind it is late, and is counted', async (t) => {
  const dir = await folder(t);
  const minute = (n: number) => event('k', n, n * 60_000);
  await writeTopic(dir, 'in', 1, [minute(1), event('k', 0, 8.64e15)]);
  const job = await run(pipeline, { workers: 2, trigger: '10ms', params: { dir, as: 'times' } });
  // What is late is known to all workers at the end of the epoch that has the row from the future.
  await until(() => job.progress().rowsIn === 2 && job.progress().watermark > 1e15, 'the watermark of the far future');
  await writeTopic(dir, 'in', 1, [minute(2), minute(3)], 1);
  await until(() => job.progress().rowsIn === 4, 'the rows behind it');
  await job.stop();
  assert.equal(job.progress().ledger.late, 2);
  assert.equal(job.progress().rowsIn, 4);
});

test('a folder without files, and files without lines', async (t) => {
  const dir = await folder(t);
  assert.equal((await read(dir, 'files')).progress().rowsIn, 0);
  assert.equal((await read(dir, 'files', { trigger: '10s' })).progress().rowsIn, 0);
  await writeFile(join(dir, 'empty.txt'), '');
  await writeFile(join(dir, 'no-end.txt'), 'a\n\nb');
  await writeFile(join(dir, 'latin.txt'), Buffer.from([0xe9, 0x0a, 0xff, 0xfe]));
  const job = await read(dir, 'files');
  const { ledger, rowsIn } = job.progress();
  assert.equal(rowsIn, 5);
  assert.equal(keys.rows.reduce((sum, row) => sum + (row['count'] as number), 0) + ledger.undecodable, 5);
  for (const key of ['a', '', 'b']) assert.equal(keys.rows.find((row) => row['value'] === key)?.['count'], 1, key);
});
