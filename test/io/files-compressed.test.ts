/** files.source with compressed files: the rows, offsets and cuts are those of the text; what is broken is an error that names the file. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import zlib from 'node:zlib';
import { f64, i32, utf8 } from '../../core/index.ts';
import { csv } from '../../io/csv.ts';
import { files } from '../../io/index.ts';
import { json } from '../../io/json.ts';
import { readSource, sourceRows } from './harness.ts';

const zstdCompress = (zlib as { readonly zstdCompressSync?: (bytes: Buffer) => Buffer }).zstdCompressSync;
const fields = { i: i32, s: utf8 };
let dir = '';

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-packed-'));
});
after(() => rm(dir, { recursive: true }));

async function file(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, bytes);
  return path;
}

const lines = Array.from({ length: 30_000 }, (_, i) => JSON.stringify({ i, s: 'x'.repeat((i * 7919) % 120) }));
const text = Buffer.from(lines.join('\n'));
const halves = [text.subarray(0, 1_000_003), text.subarray(1_000_003)] as const;

for (const [name, pack] of [
  ['gz', zlib.gzipSync],
  // Several members, one behind the other, as log rotation and cat leave them.
  ['many.gz', () => Buffer.concat(halves.map((half) => zlib.gzipSync(half)))],
  ...(zstdCompress === undefined ? [] : [['zst', zstdCompress] as const]),
] as readonly (readonly [string, (bytes: Buffer) => Buffer])[]) {
  test(`${name}: the same rows as of the text, from any cut on`, async () => {
    const plain = files.source({ path: await file(`plain-${name}.txt`, text), value: json(fields) });
    const packed = files.source({ path: await file(`lines.${name}`, pack(text)), value: json(fields) });
    const expected = await sourceRows(plain);
    assert.equal(expected.length, lines.length);
    assert.deepEqual(await sourceRows(packed), expected);
    const { frames, high } = await readSource(packed, { creditFrames: 1 });
    assert.equal(high.get(0), text.length, 'how much there is, is known in the end');
    for (const frame of [frames[1], frames.at(-1)]) {
      const from = frame?.first as number;
      assert.deepEqual(
        await sourceRows(packed, { from: new Map([[0, from]]) }),
        expected.filter(({ offset }) => offset >= from),
      );
    }
  });
}

/** Two frames of zstd, made by Node 26: 50 lines. Nodes before 22.15 cannot make them, and read them with another decoder. */
const ZSTD =
  'KLUv/WD0AI0DAHQCeyJpIjowLCJzIjoiIn0KMXkyMzQ1Njc4OTExMjM0NTY3ODl5In0KJyAQw3UMAClgeD0SjqkbtvCfsMXphXAsHbAFf2+L5jk4RtdNFALH8u0iytNacC4VMT9corlbgn2mxOVqieRoCfINwh5BrlEHKLUv/WDqBB0FADQDeyJpIjoyMCwicyI6InkifQoxMjM0NTY3ODkzMDEyMzQ1Njc4OTQwMTIzNDU2Nzg5eSJ9OyAgY3yDI0MYVOeEcKTOBeFAnQPC8Xj/FornbdF4/RYUj9vi5jY42KCuRcxlcNAcDsfgXVsIz9ricjUclKPg+N28hd5JW0wugoMEYS24e7Y4zoUjfA0c2zFbFLfC4Z4CR3bpFoVD4GjvgQ1JUQI=';

test('zst: frames one behind the other, on every Node', async () => {
  const rows = await sourceRows(files.source({ path: await file('fixed.zst', Buffer.from(ZSTD, 'base64')), value: json(fields) }));
  assert.deepEqual(
    rows.map(({ row }) => row),
    Array.from({ length: 50 }, (_, i) => ({ i, s: 'y'.repeat(i) })),
  );
});

test('headers, skipped lines and files without a line', async () => {
  const path = await file('head.csv.gz', zlib.gzipSync('# made today\nb,a\nx,1\ny,2\n'));
  const source = files.source({ path, value: csv({ a: f64, b: utf8 }, { header: 'byName' }), skipLines: 1 });
  assert.deepEqual(
    (await sourceRows(source)).map(({ row }) => row),
    [
      { a: 1, b: 'x' },
      { a: 2, b: 'y' },
    ],
  );
  assert.deepEqual(await sourceRows(files.source({ path: await file('empty.gz', zlib.gzipSync('')), value: json(fields) })), []);
});

test('the option counts, not the name', async () => {
  const packed = zlib.gzipSync(`${lines[0]}\n`);
  const named = files.source({ path: await file('lines.log', packed), value: json(fields), compression: 'gzip' });
  assert.equal((await sourceRows(named)).length, 1);
  const plain = files.source({ path: await file('plain.gz', Buffer.from(`${lines[0]}\n`)), value: json(fields), compression: 'none' });
  assert.equal((await sourceRows(plain)).length, 1);
  assert.throws(() => files.source({ path: 'x', value: json(fields), compression: 'brotli' as never }), {
    code: 'ERR_MILLRACE_OPTION',
    message: /compression is "brotli"; give 'none', 'gzip' or 'zstd'/,
  });
});

test('what is broken, cut, or shorter than it was', async () => {
  const packed = zlib.gzipSync(text);
  const broken = Buffer.from(packed);
  broken.fill(0xff, 2_000, 2_100);
  const cases: [string, Buffer, RegExp, number?][] = [
    ['no.gz', Buffer.from('plain text\n'), /no\.gz.*cannot be read: incorrect header check/],
    ['broken.gz', broken, /broken\.gz.*cannot be read: /],
    ['cut.gz', packed.subarray(0, packed.length / 2), /cut\.gz.*cannot be read: unexpected end of file/],
    ['no.zst', Buffer.from('plain text\n'), /no\.zst.*cannot be read: /],
    ['short.gz', zlib.gzipSync(`${lines[0]}\n`), /short\.gz.*bytes of text, and is to be read from byte 5000 on/, 5_000],
  ];
  for (const [name, bytes, message, from] of cases) {
    const source = files.source({ path: await file(name, bytes), value: json(fields) });
    await assert.rejects(sourceRows(source, from === undefined ? {} : { from: new Map([[0, from]]) }), { code: 'ERR_MILLRACE_FILE', message });
  }
});
