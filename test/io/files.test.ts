/** files.source and files.sink: lines in, whole and in order, and files out that are complete when they can be seen. */

import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { f64, i32, schema as toSchema, utf8 } from '../../core/index.ts';
import { csv } from '../../io/csv.ts';
import { files } from '../../io/index.ts';
import { json } from '../../io/json.ts';
import { decodeFrames, readSource, SinkRun, sourceRows } from './harness.ts';

const fields = { i: i32, s: utf8 };
let dir = '';
let names = 0;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-files-'));
});
after(() => rm(dir, { recursive: true }));

async function file(content: string | Uint8Array): Promise<string> {
  const path = join(dir, `in-${names++}.txt`);
  await writeFile(path, content);
  return path;
}
const line = (i: number, s = '') => `${JSON.stringify({ i, s })}`;

describe('files.source', () => {
  test('reads lines with any line end, the last one without, and knows where each began', async () => {
    for (const [eol, tail] of [
      ['\n', '\n'],
      ['\n', ''],
      ['\r\n', '\r\n'],
      ['\r\n', ''],
    ] as const) {
      const lines = [line(0, 'é'), line(1), line(2, '\u{1f600}')];
      const text = lines.join(eol) + tail;
      const got = await sourceRows(files.source({ path: await file(text), value: json(fields) }));
      const starts = lines.map((_, i) => Buffer.byteLength(lines.slice(0, i).join(eol) + (i > 0 ? eol : '')));
      assert.deepEqual(
        got,
        lines.map((l, i) => ({ partition: 0, offset: starts[i], row: JSON.parse(l) })),
      );
    }
    assert.deepEqual(await sourceRows(files.source({ path: await file(''), value: json(fields) })), []);
    const bom = await sourceRows(files.source({ path: await file(`\ufeff${line(1)}\n`), value: json(fields) }));
    assert.deepEqual(bom, [{ partition: 0, offset: 3, row: { i: 1, s: '' } }]);
  });

  test('CSV: the header is the first line behind a byte order mark and skipped lines, with any line end', async () => {
    const rows = [
      { a: 1, b: 'x' },
      { a: 2, b: 'y,z' },
    ];
    const value = csv({ a: f64, b: utf8 }, { header: true });
    for (const eol of ['\n', '\r\n', '\r'])
      for (const mark of ['', '\ufeff'])
        for (const skipped of [[], ['# a comment', '']])
          for (const tail of ['', eol]) {
            const text = mark + [...skipped, 'a,b', '1,x', '2,"y,z"'].join(eol) + tail;
            const source = files.source({ path: await file(text), value, skipLines: skipped.length });
            const { frames } = await readSource(source);
            const decoded = decodeFrames(source, frames);
            assert.deepEqual(
              decoded.rows.map(({ row }) => row),
              rows,
              JSON.stringify(text),
            );
            assert.deepEqual(
              decoded.rows.map(({ offset }) => offset),
              ['1,x', '2,"y'].map((line) => Buffer.byteLength(text.slice(0, text.indexOf(line)))),
            );
            assert.deepEqual(
              decoded.rejections.map(({ reason }) => reason),
              ['control'],
            );
          }
    // A header that is not the schema's is refused, wherever it stands; a later line of that text is a row
    // like any other.
    const wrong = files.source({ path: await file('\ufeffa,c\n1,x\n'), value });
    const decoded = decodeFrames(wrong, (await readSource(wrong)).frames);
    assert.match(decoded.rejections[0]?.message ?? '', /its header names \["a","c"\]/);
    assert.equal(decoded.rows.length, 1);
  });

  test('CSV with lone carriage returns is cut in runs, none of them within a line', async () => {
    const lines = Array.from({ length: 40_000 }, (_, i) => `${i},${'x'.repeat((i * 7919) % 50)}`);
    const source = files.source({ path: await file(lines.join('\r')), value: csv({ i: i32, s: utf8 }) });
    const { frames } = await readSource(source);
    assert.ok(frames.length > 1, `${frames.length} frames`);
    const { rows, rejections } = decodeFrames(source, frames);
    assert.deepEqual(rejections, []);
    assert.deepEqual(
      rows.map(({ row }) => `${(row as { i: number }).i},${(row as { s: string }).s}`),
      lines,
    );
  });

  test('cuts large files behind line ends, and any cut is a place to go on', async () => {
    const lines = Array.from({ length: 30_000 }, (_, i) => line(i, 'x'.repeat((i * 7919) % 120)));
    const source = files.source({ path: await file(lines.join('\n')), value: json(fields) });
    const { frames, high } = await readSource(source, { creditFrames: 1 });
    assert.ok(frames.length > 3, `${frames.length} frames`);
    const size = Buffer.byteLength(lines.join('\n'));
    assert.equal(high.get(0), size);
    for (const [n, frame] of frames.entries()) assert.equal(frame.first, frames[n - 1]?.next ?? 0);
    assert.equal(frames.at(-1)?.next, size);
    const { rows, rejections } = decodeFrames(source, frames, { batchRows: 512 });
    assert.equal(rejections.length, 0);
    assert.deepEqual(
      rows.map((r) => JSON.stringify(r.row)),
      lines,
    );
    const from = frames[2]?.first as number;
    assert.deepEqual(
      await sourceRows(source, { from: new Map([[0, from]]) }),
      rows.filter((r) => r.offset >= from),
    );
  });

  test('a frame ends where an epoch was cut, within what is read at once and in the middle of a line, too', async () => {
    const lines = Array.from({ length: 100 }, (_, i) => line(i));
    const text = lines.join('\n');
    const path = await file(text);
    const cuts = [300, Buffer.byteLength(lines.slice(0, 50).join('\n')) + 1];
    const { frames } = await readSource(files.source({ path, value: json(fields) }), {
      cutBehind: (_, offset) => cuts.find((cut) => cut > offset),
    });
    assert.deepEqual(
      frames.map(({ first, next }) => [first, next]),
      [
        [0, cuts[0]],
        [cuts[0], cuts[1]],
        [cuts[1], Buffer.byteLength(text)],
      ],
    );
    assert.equal(Buffer.concat(frames.map(({ bytes }) => bytes)).toString(), text);
  });

  test('files stay the partitions that a checkpoint knows; one that is gone or too short is refused', async () => {
    const folder = join(dir, 'known');
    await mkdir(folder);
    for (const [name, i] of [
      ['a.jsonl', 1],
      ['b.jsonl', 2],
      ['c.jsonl', 3],
    ] as const)
      await writeFile(join(folder, name), `${line(i)}\n`);
    const source = files.source({ dir: folder, value: json(fields) });
    const { reader, frames } = await readSource(source, { from: new Map(), identity: ['c.jsonl', 'a.jsonl'] });
    assert.deepEqual(reader.identity, ['c.jsonl', 'a.jsonl', 'b.jsonl']);
    assert.deepEqual(
      frames.map(({ partition, bytes }) => [partition, Buffer.from(bytes).toString()]).sort(([a], [b]) => Number(a) - Number(b)),
      [3, 1, 2].map((i, partition) => [partition, `${line(i)}\n`]),
    );
    await assert.rejects(readSource(source, { identity: ['c.jsonl', 'x.jsonl'] }), { code: 'ERR_MILLRACE_CHECKPOINT', message: /"x\.jsonl" .* is gone/ });
    await assert.rejects(readSource(source, { from: new Map([[1, 40]]) }), {
      code: 'ERR_MILLRACE_CHECKPOINT',
      message: /b\.jsonl" has \d+ bytes, and the checkpoint goes on at byte 40/,
    });
  });

  test('a partition per file, in the order of the names; hidden files and folders are left alone', async () => {
    const folder = join(dir, 'many');
    await mkdir(join(folder, 'd.jsonl'), { recursive: true });
    for (const [name, i] of [
      ['b.jsonl', 2],
      ['a.jsonl', 1],
      ['c.txt', 3],
      ['.z.jsonl', 4],
    ] as const)
      await writeFile(join(folder, name), `${line(i)}\n`);
    for (let i = 0; i < 20; i++) await writeFile(join(folder, `x${String(i).padStart(2, '0')}.jsonl`), `${line(100 + i)}\n`);
    const got = await sourceRows(files.source({ dir: folder, ext: '.jsonl', value: json(fields) }));
    assert.deepEqual(
      got.map((r) => [r.partition, r.row.i]),
      [1, 2, ...Array.from({ length: 20 }, (_, i) => 100 + i)].map((i, p) => [p, i]),
    );
    const two = await sourceRows(files.source({ paths: [join(folder, 'c.txt'), join(folder, 'a.jsonl')], value: json(fields) }));
    assert.deepEqual(
      two.map((r) => r.row.i),
      [3, 1],
    );
  });

  test('leaves out head lines, and reports lines that cannot be decoded without harming others', async () => {
    const path = await file(`# head\n# head 2\n${line(1)}\nnot json\n${line(2)}\n`);
    const source = files.source({ path, value: json(fields), skipLines: 2 });
    const { rows, rejections } = decodeFrames(source, (await readSource(source)).frames);
    assert.deepEqual(
      rows.map((r) => r.row.i),
      [1, 2],
    );
    assert.deepEqual(
      rejections.map((r) => [r.reason, r.offset, r.rows]),
      [['undecodable', `# head\n# head 2\n${line(1)}\n`.length, 1]],
    );
    assert.deepEqual(await sourceRows(files.source({ path: await file('# only'), value: json(fields), skipLines: 5 })), []);
  });

  test('a long line is read whole; one above the cap is an error that says where', async () => {
    const text = `${line(0)}\n${line(1, 'y'.repeat(1_500_000))}\n${line(2)}`;
    const path = await file(text);
    const rows = await sourceRows(files.source({ path, value: json(fields) }));
    assert.deepEqual(
      rows.map((r) => (r.row.s as string).length),
      [0, 1_500_000, 0],
    );
    await assert.rejects(readSource(files.source({ path, value: json(fields), lineBytesMax: 1 << 20 })), {
      code: 'ERR_MILLRACE_FILE',
      message: new RegExp(`more than 1048576 bytes at byte ${line(0).length + 1}`),
    });
  });

  test('says which file cannot be read, and refuses options that make no sense', async () => {
    await assert.rejects(readSource(files.source({ path: join(dir, 'absent'), value: json(fields) })), { code: 'ERR_MILLRACE_FILE', message: /absent/ });
    await assert.rejects(readSource(files.source({ path: dir, value: json(fields) })), { code: 'ERR_MILLRACE_FILE', message: /no file/ });
    await assert.rejects(readSource(files.source({ dir: join(dir, 'absent'), value: json(fields) })), { code: 'ERR_MILLRACE_FILE' });
    assert.throws(() => files.source({ value: json(fields) } as never), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => files.source({ path: 'a', dir: 'b', value: json(fields) } as never), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => files.source({ path: 'a', value: json(fields), lineBytesMax: 10 }), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => files.source({ path: 'a', value: json() }), { code: 'ERR_MILLRACE_PIPELINE' });
  });
});

describe('files.sink', () => {
  const schema = toSchema({ page: utf8, n: f64 });
  const rows = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => ({ page: `/${from + i}`, n: (from + i) / 2 }));
  const text = (of: readonly object[]) => of.map((row) => `${JSON.stringify(row)}\n`).join('');
  const read = (folder: string, name: string) => readFile(join(folder, name), 'utf8');

  test('a file per epoch, which appears when the epoch is committed', async () => {
    const folder = join(dir, 'out', 'deep');
    const run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema);
    await Promise.all([run.write(rows(0, 5_000), { epoch: 7, shard: 0 }), run.write(rows(5_000, 5_003), { epoch: 7, shard: 3 })]);
    await run.write([], { epoch: 7, shard: 4 });
    assert.deepEqual((await readdir(folder)).sort(), ['.part-0000000007-00000.jsonl.tmp', '.part.jsonl.held']);
    await run.commit(7);
    await run.commit(8);
    assert.deepEqual((await readdir(folder)).sort(), ['.part.jsonl.held', 'part-0000000007-00000.jsonl']);
    assert.equal(await read(folder, 'part-0000000007-00000.jsonl'), text(rows(0, 5_003)));
    await run.write(rows(0, 1), { epoch: 9, shard: 0 });
    await run.close();
    assert.deepEqual(await readdir(folder), ['part-0000000007-00000.jsonl'], 'what was not committed is gone');
  });

  test('the same epoch again replaces what it wrote, and what a dead run left is removed', async () => {
    const folder = join(dir, 'again');
    const options = { dir: folder, value: json(), prefix: 'clicks', ext: 'ndjson', parts: 'shard' } as const;
    const first = await SinkRun.open(files.sink(options), schema);
    await first.write(rows(0, 3), { epoch: 1, shard: 2 });
    await first.write(rows(3, 5), { epoch: 1, shard: 60 });
    await first.commit(1);
    await first.write(rows(5, 6), { epoch: 2, shard: 2 });
    await first.commit(2);
    await first.close();
    await writeFile(join(folder, '.clicks-0000000003-00000.ndjson.tmp'), 'half');
    await writeFile(join(folder, 'others.txt'), 'not ours');
    const second = await SinkRun.open(files.sink(options), schema);
    await second.write(rows(0, 4), { epoch: 1, shard: 2 });
    await second.commit(1);
    await second.close();
    assert.deepEqual((await readdir(folder)).sort(), ['clicks-0000000001-00002.ndjson', 'clicks-0000000002-00002.ndjson', 'others.txt']);
    assert.equal(await read(folder, 'clicks-0000000001-00002.ndjson'), text(rows(0, 4)));
    assert.equal(await read(folder, 'clicks-0000000002-00002.ndjson'), text(rows(5, 6)));
  });

  test('one at a time has the names of a prefix and an ending; others may work beside it', async () => {
    const folder = join(dir, 'shared');
    const open = (options: object = {}) => SinkRun.open(files.sink({ dir: folder, value: json(), ...options }), schema);
    const first = await open({ prefix: 'a-b' });
    await first.write(rows(0, 3), { epoch: 1, shard: 0 });
    await assert.rejects(open({ prefix: 'a-b' }), { code: 'ERR_MILLRACE_FILE', message: /a-b-\*\.jsonl in .* are being written by this process.*"test"/ });
    // What the other has half written is none that a dead run left.
    const second = await open({ prefix: 'a' });
    const third = await open({ prefix: 'a-b', ext: 'txt' });
    await first.commit(1);
    assert.equal(await read(folder, 'a-b-0000000001-00000.jsonl'), text(rows(0, 3)));
    for (const run of [first, second, third]) await run.close();
    await (await open({ prefix: 'a-b' })).close();
    assert.deepEqual(await readdir(folder), ['a-b-0000000001-00000.jsonl']);
  });

  test('rows that are longer than a block', async () => {
    const folder = join(dir, 'long');
    const run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema);
    const long = [
      { page: 'a', n: 1 },
      { page: 'é'.repeat(300_000), n: 2 },
      { page: '', n: 3 },
    ];
    await run.write(long);
    await run.commit(1);
    assert.equal(await read(folder, 'part-0000000001-00000.jsonl'), text(long));
    assert.equal(run.slabs.usage().usedBytes <= 1 << 20, true, 'blocks were given back');
  });

  test('does not write through a link, out of its folder, or what is no text', async () => {
    const folder = join(dir, 'link');
    await mkdir(folder);
    await writeFile(join(dir, 'victim'), 'precious');
    const run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema);
    await symlink(join(dir, 'victim'), join(folder, '.part-0000000001-00000.jsonl.tmp'));
    await symlink(join(dir, 'victim'), join(folder, 'part-0000000001-00000.jsonl'));
    await run.write(rows(0, 1));
    await run.commit(1);
    assert.equal(await readFile(join(dir, 'victim'), 'utf8'), 'precious');
    assert.equal(await read(folder, 'part-0000000001-00000.jsonl'), text(rows(0, 1)));
    for (const bad of [{ prefix: '../x' }, { prefix: 'a/b' }, { prefix: '.x' }, { prefix: '' }, { ext: 'a/b' }, { ext: '..' }, { parts: 'x' }, { dir: '' }]) {
      assert.throws(() => files.sink({ dir: folder, value: json(), ...bad } as never), { code: 'ERR_MILLRACE_OPTION' }, JSON.stringify(bad));
    }
    assert.throws(() => files.sink({ dir: folder, value: { ...json(), name: 'arrow' } }).check(schema), { code: 'ERR_MILLRACE_PIPELINE' });
  });

  /** A sink that is exactly-once, at a checkpoint. */
  async function resume(folder: string, checkpoint: number): Promise<SinkRun> {
    const run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema, { guarantee: 'exactly-once' });
    await run.writer.recover?.(checkpoint).catch(async (error) => {
      await run.close();
      throw error;
    });
    return run;
  }
  const hidden = async (folder: string) => (await readdir(folder)).filter((name) => /^\.part-.*(tmp|prepared)$/.test(name)).sort();
  const visible = async (folder: string) => (await readdir(folder)).filter((name) => name.startsWith('part-')).sort();
  const named = (epoch: number) => `part-${String(epoch).padStart(10, '0')}-00000.jsonl`;

  test('exactly-once: files are visible when their checkpoint is committed', async () => {
    const folder = join(dir, 'exact');
    let run = await resume(folder, -1);
    for (const epoch of [0, 1]) await run.write(rows(0, 1), { epoch, shard: 0 });
    assert.deepEqual(await visible(folder), []);
    await run.writer.prepare?.(1);
    assert.deepEqual(await visible(folder), []);
    await assert.rejects(run.write(rows(0, 1), { epoch: 1, shard: 0 }), { code: 'ERR_MILLRACE_SINK', message: /epochs up to 1 are closed/ });
    await run.write(rows(0, 1), { epoch: 2, shard: 0 });
    for (let again = 0; again < 2; again++) {
      await run.commit(1);
      assert.deepEqual(await visible(folder), [named(0), named(1)]);
    }
    await run.writer.prepare?.(2);
    await run.write(rows(0, 1), { epoch: 3, shard: 0 });
    await run.close();
    // What was prepared outlives the writer; what was not goes with it.
    assert.deepEqual(await hidden(folder), [`.${named(2)}.prepared`]);
    run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema, { guarantee: 'exactly-once' });
    assert.deepEqual(await hidden(folder), [`.${named(2)}.prepared`], 'opening alone decides nothing');
    await assert.rejects(run.write(rows(0, 1), { epoch: 3, shard: 0 }), { code: 'ERR_MILLRACE_SINK', message: /before recover/ });
    await run.writer.recover?.(2);
    assert.deepEqual(await visible(folder), [named(0), named(1), named(2)]);
    await run.close();
  });

  test('exactly-once in a folder that was written at-least-once, and back', async () => {
    const folder = join(dir, 'mixed');
    let run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema);
    for (const epoch of [4, 5, 6]) {
      await run.write(rows(0, 1), { epoch, shard: 0 });
      await run.commit(epoch);
    }
    await run.close();
    await writeFile(join(folder, `.${named(3)}.tmp`), 'of a dead run');
    await writeFile(join(folder, `.other-0000000003-00000.jsonl.prepared`), 'of another sink');
    await assert.rejects(resume(folder, -1), { code: 'ERR_MILLRACE_CHECKPOINT', message: /has 3 files of an earlier run \(part-0000000004/ });
    assert.deepEqual(await visible(folder), [named(4), named(5), named(6)], 'nothing is removed');
    run = await resume(folder, 5);
    assert.deepEqual(await visible(folder), [named(4), named(5)], 'what comes again is');
    assert.deepEqual(await readdir(folder).then((names) => names.filter((name) => /tmp|prepared/.test(name))), ['.other-0000000003-00000.jsonl.prepared']);
    await run.write(rows(0, 1), { epoch: 6, shard: 0 });
    await run.writer.prepare?.(6);
    await run.close();
    // It may have been decided: at-least-once keeps it.
    run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema);
    assert.deepEqual(await visible(folder), [named(4), named(5), named(6)]);
    await run.close();
  });

  test('says which folder cannot be written to', async () => {
    const path = await file('a file');
    await assert.rejects(SinkRun.open(files.sink({ dir: path, value: json() }), schema), { code: 'ERR_MILLRACE_FILE', message: /in-\d+\.txt/ });
    const folder = join(dir, 'gone');
    const run = await SinkRun.open(files.sink({ dir: folder, value: json() }), schema);
    await chmod(folder, 0o700);
    await rm(folder, { recursive: true });
    await assert.rejects(run.write(rows(0, 1)), { code: 'ERR_MILLRACE_FILE' });
  });
});
