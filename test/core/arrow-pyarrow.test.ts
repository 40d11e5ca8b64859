import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type AnyRow,
  binary,
  bool,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  MillraceError,
  nullable,
  readStream,
  type Schema,
  schema,
  streamBytes,
  timestamp,
  u32,
  utf8,
  writeStream,
} from '../../core/index.ts';
import { findPyarrow } from '../../scripts/provision-pyarrow.js';
import { fc } from '../seed.ts';
import { batchOf, cases, memory, place, slabs, withSlab } from './arrow-cases.ts';

const { python, missing } = findPyarrow();

const ARROW_NAMES = {
  bool: 'bool',
  i8: 'int8',
  i16: 'int16',
  i32: 'int32',
  u32: 'uint32',
  i64: 'int64',
  f32: 'float',
  f64: 'double',
  utf8: 'string',
  binary: 'binary',
  timestamp: 'timestamp[ms, tz=UTC]',
};

/** A value as fixtures/pyarrow-peer.py writes it; floats are read back from its hexadecimal form. */
function plain(value: unknown, typeName: string): unknown {
  if (value === null || value === undefined) return null;
  if (typeName === 'i64' || typeName === 'timestamp') return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}

function numberOf(text: unknown, typeName: string): unknown {
  if (typeof text !== 'string' || (typeName !== 'f32' && typeName !== 'f64')) return text;
  const parts = /^(-?)0x([01])\.([0-9a-f]+)p([+-]\d+)$/.exec(text);
  if (!parts) return text === 'nan' ? Number.NaN : text === 'inf' ? Infinity : text === '-inf' ? -Infinity : assert.fail(text);
  const [, sign, whole, fraction, exponent] = parts as unknown as [string, string, string, string, string];
  // In two steps, so that the power of a subnormal number does not underflow on the way.
  const mantissa = Number.parseInt(whole + fraction, 16) / 16 ** fraction.length;
  const value = Number(exponent) < -1000 ? mantissa * 2 ** (Number(exponent) + 100) * 2 ** -100 : mantissa * 2 ** Number(exponent);
  return sign === '-' ? -value : value;
}

const listsOf = (of: Schema, rows: readonly AnyRow[]) => rows.map((row) => of.fields.map(({ name, type }) => plain(row[name], type.name)));
const numbersIn = (of: Schema, rows: readonly unknown[][]) => rows.map((row) => row.map((value, c) => numberOf(value, of.field(c).type.name)));

const all = schema({
  b: nullable(bool),
  i8: nullable(i8),
  i16: nullable(i16),
  i32: nullable(i32),
  u32: nullable(u32),
  i64: nullable(i64),
  f32: nullable(f32),
  f64: nullable(f64),
  s: nullable(utf8),
  bin: nullable(binary),
  at: nullable(timestamp),
  naive: nullable(timestamp),
});

test('arrow: both ways with pyarrow', { skip: python || process.env.CI === 'true' ? false : missing }, () => {
  assert.ok(python, missing);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-pyarrow-'));
  try {
    const samples = fc.sample(cases, { numRuns: 60, seed: 11 });
    samples.forEach((one, i) => {
      const { batch, release } = batchOf(one);
      const slice = batch.slice(Math.min(8, one.rows.length - (one.rows.length % 8)), one.rows.length);
      withSlab(streamBytes(one.schema, [batch, slice]), (address, limit) => {
        writeFileSync(join(folder, `ours-${i}.arrows`), memory.u8.slice(address, address + writeStream(memory, one.schema, [batch, slice], address, limit)));
      });
      release();
    });

    execFileSync(python, [fileURLToPath(new URL('./fixtures/pyarrow-peer.py', import.meta.url)), folder], { stdio: ['ignore', 'inherit', 'inherit'] });

    const ours = JSON.parse(readFileSync(join(folder, 'ours.json'), 'utf8')) as Record<string, { types: unknown[]; rows: unknown[][] }>;
    samples.forEach(({ schema: of, rows }, i) => {
      const seen = ours[`ours-${i}.arrows`];
      assert.ok(seen);
      assert.deepEqual(
        seen.types,
        of.fields.map(({ name, type }) => [name, ARROW_NAMES[type.name], type.nullable]),
      );
      const expected = [...rows, ...rows.slice(Math.min(8, rows.length - (rows.length % 8)))];
      assert.deepEqual(numbersIn(of, seen.rows), listsOf(of, expected));
    });

    const theirs = JSON.parse(readFileSync(join(folder, 'theirs.json'), 'utf8')) as Record<string, { rows: unknown[][] }>;
    const read = (name: string, of?: Schema) => {
      const bytes = readFileSync(join(folder, `theirs-${name}.arrows`));
      const address = place(bytes);
      try {
        return readStream(memory, address, bytes.length, of).flatMap((batch) => batch.toRows());
      } finally {
        slabs.free(address);
      }
    };
    for (const [name, { rows }] of Object.entries(theirs)) {
      assert.deepEqual(listsOf(all, read(name, all)), numbersIn(all, rows), name);
      if (!name.startsWith('bare')) assert.deepEqual(listsOf(all, read(name)), numbersIn(all, rows), name);
    }

    const refusals: [string, RegExp][] = [
      ['zstd', /compressed with ZSTD/],
      ['lz4', /compressed with LZ4_FRAME/],
      ['dictionary', /dictionary of utf8/],
      ['large', /large_utf8/],
      ['view', /utf8_view/],
      ['nested', /is list/],
      ['us', /timestamp\[us\].*cast it to timestamp\('ms'\)/],
      ['decimal', /is decimal/],
    ];
    for (const [name, pattern] of refusals) {
      assert.throws(
        () => read(name),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_BATCH' && pattern.test(error.message),
        name,
      );
    }
    assert.deepEqual(read('wide', schema({ s: nullable(utf8), i32: nullable(i32) })), [
      { s: 'x', i32: 7 },
      { s: 'yy', i32: null },
      { s: null, i32: 9 },
    ]);
    assert.ok(readdirSync(folder).length > samples.length, 'the peer has run');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
