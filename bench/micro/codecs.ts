/**
 * Codecs: records of a topic to columns, and columns to records, beside JSON.parse and JSON.stringify.
 *
 * Records have about 100 bytes and six keys, of which the codec decodes four. They come as JSON.stringify
 * writes them, with keys in a random order, with some keys left out, and with numbers of 17 digits.
 * JSON.parse gets what a consumer has, bytes, and its fields go into arrays, which a batch would need.
 * Verified before timing.
 *
 *   npx tsx bench/micro/codecs.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import { bench, group, run, summary } from 'mitata';
import { attachMemory, type Batch, createMemory, f64, nullable, type Schema, SlabAllocator, schema, seededRng, timestamp, utf8 } from '../../core/index.ts';
import { type Codec, csv, json, type RecordDecoder, text } from '../../io/index.ts';
import { allocRecordIndex, type RecordSpace } from '../../io/record-index.ts';

const isTiny = process.argv.includes('--tiny');
const count = isTiny ? 256 : 16_384;
const memory = createMemory(256 << 20);
const slabs = new SlabAllocator(memory);
/** The same bytes without WebAssembly: the TypeScript references. */
const plainSlabs = new SlabAllocator(attachMemory(memory.buffer));

const FIELDS = { page: utf8, user: nullable(utf8), ms: f64, at: timestamp };
interface Click {
  readonly page: string;
  readonly user?: string;
  readonly ms: number;
  readonly at: number;
  readonly ref: string;
  readonly ok: boolean;
}

const rng = seededRng(1);
const clicks: Click[] = Array.from({ length: count }, (_, i) => ({
  page: `/products/${rng.int(1000)}`,
  user: `user-${rng.int(100_000)}`,
  ms: rng.int(2_000_000) / 100,
  at: 1_700_000_000_000 + i * 10,
  ref: 'https://x.y/z',
  ok: rng.int(2) === 1,
}));

function shuffled(click: Click): object {
  const entries = Object.entries(click);
  for (let i = entries.length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [entries[i], entries[j]] = [entries[j] as [string, unknown], entries[i] as [string, unknown]];
  }
  return Object.fromEntries(entries);
}

const inputs: readonly (readonly [name: string, records: readonly string[]])[] = [
  ['one order of keys', clicks.map((click) => JSON.stringify(click))],
  ['keys shuffled', clicks.map((click) => JSON.stringify(shuffled(click)))],
  ['a key that comes and goes', clicks.map((click) => JSON.stringify(rng.int(3) === 0 ? { ...click, user: undefined } : click))],
  ['numbers of 17 digits', clicks.map((click) => JSON.stringify({ ...click, ms: click.ms / 3 }))],
];

/** Records in shared memory, back to back, and a list of them. */
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

function decoderOf(codec: Codec<never>, on: SlabAllocator): RecordDecoder {
  const { fields } = codec.schema as Schema;
  return codec.decoder({ memory: on.memory, slabs: on, columns: fields.map((_, c) => c), batchRows: 4096, reject: ({ message }) => assert.fail(message) });
}

function decodeAll(decoder: RecordDecoder, index: RecordSpace, each?: (batch: Batch) => void): void {
  let rows = 0;
  decoder.open(index);
  for (let batch = decoder.next(); batch; batch = decoder.next()) {
    rows += batch.rowCount;
    each?.(batch);
  }
  assert.equal(rows, index.count);
}

/** The result of JSON.parse, in the arrays that a batch would be made of. */
const parsed = { page: new Array<string>(count), user: new Array<string | null>(count), ms: new Float64Array(count), at: new Float64Array(count) };
function parseAll(records: readonly Buffer[]): void {
  for (let i = 0; i < records.length; i++) {
    const click = JSON.parse((records[i] as Buffer).toString()) as Click;
    parsed.page[i] = click.page;
    parsed.user[i] = click.user ?? null;
    parsed.ms[i] = click.ms;
    parsed.at[i] = click.at;
  }
}

for (const [name, records] of inputs) {
  const buffers = records.map((record) => Buffer.from(record));
  const index = listed(buffers);
  const kernel = decoderOf(json(FIELDS) as Codec<never>, slabs);
  const reference = decoderOf(json(FIELDS) as Codec<never>, plainSlabs);
  parseAll(buffers);
  for (const decoder of [kernel, reference]) {
    let at = 0;
    decodeAll(decoder, index, (batch) => {
      for (const row of batch.toRows()) {
        assert.deepEqual(row, { page: parsed.page[at], user: parsed.user[at], ms: parsed.ms[at], at: parsed.at[at] });
        at++;
      }
    });
  }
  group(`decode ${count} JSON records, ${name}`, () => {
    summary(() => {
      bench('millrace', () => decodeAll(kernel, index)).baseline(true);
      bench('millrace, TypeScript', () => decodeAll(reference, index));
      bench('JSON.parse', () => parseAll(buffers));
    });
  });
}

const lines = clicks.map(({ page, user, ms, at }) => `${page},${user},${ms},${at}`);
const lineIndex = listed(lines.map((line) => Buffer.from(line)));
const csvDecoder = decoderOf(csv(FIELDS) as Codec<never>, slabs);
const textDecoder = decoderOf(text() as Codec<never>, slabs);
{
  let at = 0;
  decodeAll(csvDecoder, lineIndex, (batch) =>
    batch.toRows().forEach((row) => assert.deepEqual(row, { page: clicks[at]?.page, user: clicks[at]?.user, ms: clicks[at]?.ms, at: clicks[at++]?.at })),
  );
  at = 0;
  decodeAll(textDecoder, lineIndex, (batch) => batch.toRows().forEach((row) => assert.equal(row.value, lines[at++])));
}
group(`decode ${count} lines`, () => {
  bench('csv', () => decodeAll(csvDecoder, lineIndex));
  bench('text', () => decodeAll(textDecoder, lineIndex));
});

// Encoding: a result as windows give it, and one with means of 16 and 17 digits.
for (const [name, divisor] of [
  ['short numbers', 1],
  ['means of 17 digits', 3],
] as const) {
  const rows = clicks
    .slice(0, Math.min(count, 4096))
    .map(({ page, ms, at }, i) => ({ page, clicks: i % 97, meanMs: ms / divisor, windowStart: at, windowEnd: at + 60_000 }));
  const of = schema({ page: utf8, clicks: f64, meanMs: f64, windowStart: timestamp, windowEnd: timestamp });
  const batch = batchOf(of, rows);
  const out = slabs.alloc(rows.length * 512);
  const ends = slabs.alloc(rows.length * 4);
  const encoders = [slabs, plainSlabs].map((on) => json().encoder({ memory: on.memory, slabs: on }, of));
  const encodeAll = (which: 0 | 1): number => {
    const done = encoders[which]?.encode(batch, 0, rows.length, out, out + rows.length * 512, ends);
    assert.equal(done, rows.length);
    return memory.u32[(ends >>> 2) + rows.length - 1] as number;
  };
  const stringify = (): Buffer => Buffer.from(rows.map((row) => JSON.stringify(row)).join(''));
  for (const which of [0, 1] as const) assert.equal(Buffer.from(memory.u8.slice(out, encodeAll(which))).toString(), stringify().toString());
  group(`encode ${rows.length} JSON records, ${name}`, () => {
    summary(() => {
      bench('millrace', () => encodeAll(0)).baseline(true);
      bench('millrace, TypeScript', () => encodeAll(1));
      bench('JSON.stringify', () => stringify());
    });
  });
}

function batchOf(of: Schema, rows: readonly object[]): Batch {
  const decoder = decoderOf(json(of) as Codec<never>, slabs);
  decoder.open(listed(rows.map((row) => Buffer.from(JSON.stringify(row)))));
  const batch = decoder.next();
  assert.equal(batch?.rowCount, rows.length);
  return batch as Batch;
}

if (isTiny) console.log('verified');
else await run({ format: process.argv.includes('--json') ? 'json' : 'mitata' });
