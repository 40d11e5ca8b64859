/** Files named by what is in them: by window, by partition, as Spark names them; over epochs, crashes and restarts. */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bool, f64, i32, nullable, seededRng, timestamp, schema as toSchema, utf8 } from '../../core/index.ts';
import { csv, type FilesSinkOptions, files, json } from '../../io/index.ts';
import { SinkRun } from './harness.ts';

const schema = toSchema({ page: utf8, windowStart: timestamp, ms: f64 });
const MINUTE = 60_000;
const START = Date.UTC(2026, 0, 1);
const WINDOW = '{windowStart:yyyy-MM-dd_HH-mm}';
let root = '';
let folders = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-names-'));
});
after(() => rm(root, { recursive: true }));
const folder = () => join(root, String(folders++));

type Options = Omit<FilesSinkOptions, 'dir' | 'value' | 'changelog'>;
const row = (page: string, minute: number, ms = 1) => ({ page, windowStart: START + minute * MINUTE, ms });

async function open(dir: string, options: Options, checkpoint?: number, of = schema): Promise<SinkRun> {
  const value = csv();
  const run = await SinkRun.open(files.sink({ dir, value, ...options }), of, checkpoint === undefined ? {} : { guarantee: 'exactly-once' });
  if (checkpoint !== undefined) await run.writer.recover?.(checkpoint);
  return run;
}

/** All visible files, with their lines. */
async function contents(dir: string): Promise<Record<string, string[]>> {
  const names = (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.') && !entry.parentPath.includes('.held'))
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1));
  const all = await Promise.all(
    names.sort().map(async (name) => [name.replaceAll('\\', '/'), (await readFile(join(dir, name), 'utf8')).split('\n').slice(0, -1)] as const),
  );
  return Object.fromEntries(all);
}

describe('names by window', () => {
  test('a file for each window, with the columns that are asked for', async () => {
    const dir = folder();
    const run = await open(dir, { name: `averaged_clicks/${WINDOW}`, ext: 'txt', columns: ['page', 'ms'] });
    await run.write([row('/a', 0, 1.5), row('/b', 1), row('/b', 0, 2)], { epoch: 1, shard: 0 });
    await run.write([row('/c', 1, 7)], { epoch: 1, shard: 5 });
    assert.deepEqual(await contents(dir), {});
    await run.commit(1);
    assert.deepEqual(await contents(dir), {
      'averaged_clicks/2026-01-01_00-00.txt': ['/a,1.5', '/b,2'],
      'averaged_clicks/2026-01-01_00-01.txt': ['/b,1', '/c,7'],
    });
    await run.close();
  });

  test('rows of a window that come in a later epoch have a file of their own, and none is lost', async () => {
    const dir = folder();
    let run = await open(dir, { name: WINDOW, columns: ['page'] }, -1);
    for (const [epoch, rows] of [
      [1, [row('/a', 0)]],
      [2, [row('/b', 0), row('/c', 1)]],
    ] as const)
      await run.write(rows, { epoch, shard: 0 });
    await run.writer.prepare?.(2);
    await run.write([row('/never', 0)], { epoch: 3, shard: 0 });
    await run.close();
    // The job was killed behind its decision.
    run = await open(dir, { name: WINDOW, columns: ['page'] }, 2);
    const two = { '2026-01-01_00-00.csv': ['/a'], '2026-01-01_00-00-0000000002.csv': ['/b'], '2026-01-01_00-01.csv': ['/c'] };
    assert.deepEqual(await contents(dir), two);
    await run.write([row('/d', 1)], { epoch: 4, shard: 0 });
    await run.writer.prepare?.(4);
    await run.commit(4);
    await run.commit(4);
    assert.deepEqual(await contents(dir), { ...two, '2026-01-01_00-01-0000000004.csv': ['/d'] });
    await run.close();
    // What was not decided comes again, and does not count twice.
    run = await open(dir, { name: WINDOW, columns: ['page'] }, 4);
    await run.write([row('/e', 0)], { epoch: 5, shard: 0 });
    await run.writer.prepare?.(5);
    await run.close();
    run = await open(dir, { name: WINDOW, columns: ['page'] }, 4);
    await run.write([row('/e', 0)], { epoch: 5, shard: 0 });
    await run.writer.prepare?.(5);
    await run.commit(5);
    await run.close();
    assert.deepEqual((await contents(dir))['2026-01-01_00-00-0000000005.csv'], ['/e']);
    await assert.rejects(open(dir, { name: WINDOW }, -1), {
      code: 'ERR_MILLRACE_CHECKPOINT',
      message: /5 files of an earlier run \(2026-01-01_00-00-0000000002\.csv\)/,
    });
  });

  test('at-least-once: an epoch that comes again replaces its second file, and never that of another', async () => {
    const dir = folder();
    for (let again = 0; again < 3; again++) {
      const run = await open(dir, { name: WINDOW, columns: ['page'] });
      if (again === 0) {
        await run.write([row('/a', 0)], { epoch: 1, shard: 0 });
        await run.commit(1);
      }
      await run.write([row('/b', 0)], { epoch: 2, shard: 0 });
      await run.commit(2);
      await run.close();
    }
    assert.deepEqual(await contents(dir), { '2026-01-01_00-00.csv': ['/a'], '2026-01-01_00-00-0000000002.csv': ['/b'] });
  });

  test("Spark's layout: a folder for each batch, and parts in it", async () => {
    const dir = folder();
    const run = await open(dir, { name: 'averages-{windowStart:ms}.txt/part-{part}', ext: '', parts: 'shard', columns: ['page'] });
    await run.write([row('/a', 0), row('/b', 1)], { epoch: 1, shard: 0 });
    await run.write([row('/c', 0)], { epoch: 1, shard: 7 });
    await run.commit(1);
    await run.close();
    assert.deepEqual(await contents(dir), {
      [`averages-${START}.txt/part-00000`]: ['/a'],
      [`averages-${START}.txt/part-00007`]: ['/c'],
      [`averages-${START + MINUTE}.txt/part-00000`]: ['/b'],
    });
  });

  test('partitions by values of any kind, whatever is in them', async () => {
    const of = toSchema({ country: nullable(utf8), ok: bool, n: nullable(i32), at: nullable(timestamp) });
    const rows = [
      { country: 'de', ok: true, n: 1, at: START },
      { country: '../../etc', ok: false, n: -5, at: START + 86_400_000 },
      { country: '.x', ok: true, n: null, at: null },
      { country: null, ok: true, n: 0, at: -62_198_755_200_000 },
      { country: 'Côte d/Ivoire', ok: true, n: 0, at: 8_640_000_000_000_001 },
      { country: 'x'.repeat(300), ok: true, n: 0, at: START },
    ];
    const dir = folder();
    const run = await open(dir, { name: 'country={country}/ok={ok}/n={n}/dt={at:yyyy-MM-dd}/{epoch}-{part}', columns: ['n'] }, undefined, of);
    await run.write(rows, { epoch: 3, shard: 0 });
    await run.commit(3);
    await run.close();
    const names = Object.keys(await contents(dir));
    const file = '0000000003-00000.csv';
    assert.deepEqual(
      names.filter((name) => !name.includes('xxx')),
      [
        `country=%2E.%2F..%2Fetc/ok=false/n=-5/dt=2026-01-02/${file}`,
        `country=%2Ex/ok=true/n=__HIVE_DEFAULT_PARTITION__/dt=__HIVE_DEFAULT_PARTITION__/${file}`,
        `country=C%C3%B4te%20d%2FIvoire/ok=true/n=0/dt=8640000000000001/${file}`,
        `country=__HIVE_DEFAULT_PARTITION__/ok=true/n=0/dt=-0001-01-01/${file}`,
        `country=de/ok=true/n=1/dt=2026-01-01/${file}`,
      ].sort(),
    );
    assert.equal(names.filter((name) => /^country=x{150}~[0-9a-f]{16}\//.test(name)).length, 1);
    // The epoch is in the names: the same one replaces them.
    const again = await open(dir, { name: 'country={country}/ok={ok}/n={n}/dt={at:yyyy-MM-dd}/{epoch}-{part}', columns: ['n'] }, undefined, of);
    await again.write(rows.slice(0, 1), { epoch: 3, shard: 0 });
    await again.commit(3);
    await again.close();
    const left = (await contents(dir)) as Record<string, string[]>;
    assert.deepEqual(left[`country=de/ok=true/n=1/dt=2026-01-01/${file}`], ['1']);
  });

  test('a value that looks like an epoch is none', async () => {
    const dir = folder();
    const of = toSchema({ a: utf8, n: i32, at: timestamp });
    const name = '{a}{n}{at:yyyyMMddHHmmss}';
    const rows = [
      { a: 'x-1234567890', n: 1, at: START },
      { a: 'x-', n: 1_234_567_890, at: START },
      { a: 'x', n: -1_234_567_890, at: START },
      { a: '-', n: 0, at: -62_198_755_200_000 },
      { a: '9-9999999999', n: 0, at: 8_640_000_000_000_001 },
    ];
    for (let checkpoint = 0; checkpoint < 3; checkpoint++) {
      const run = await open(dir, { name, columns: ['n'] }, checkpoint - 1, of);
      await run.write(rows, { epoch: checkpoint, shard: 0 });
      await run.writer.prepare?.(checkpoint);
      await run.close();
    }
    await (await open(dir, { name, columns: ['n'] }, 1, of)).close();
    const names = Object.keys(await contents(dir));
    // Two of them give the same text.
    assert.equal(names.length, 2 * (rows.length - 1), names.join(' '));
    assert.equal(names.filter((each) => each.endsWith('-0000000001.csv')).length, rows.length - 1, names.join(' '));
  });

  test('thousands of rows of many windows in any order: each is in its file, once, in order', async () => {
    const dir = folder();
    const rng = seededRng(5);
    const rows = Array.from({ length: 20_000 }, (_, i) => row(`/${'x'.repeat(rng.int(60))}${i}`, rng.int(9), i));
    const run = await SinkRun.open(files.sink({ dir, name: WINDOW, value: json() }), schema);
    for (let at = 0; at < rows.length; at += 4_000) await run.write(rows.slice(at, at + 4_000), { epoch: 1, shard: 0 });
    await run.commit(1);
    await run.close();
    const found = await contents(dir);
    for (let minute = 0; minute < 9; minute++) {
      assert.deepEqual(
        found[`2026-01-01_00-0${minute}.jsonl`],
        rows.filter(({ windowStart }) => windowStart === START + minute * MINUTE).map((r) => JSON.stringify(r)),
      );
    }
    assert.equal(run.slabs.usage().usedBytes <= 1 << 20, true, 'blocks were given back');
  });

  test('one at a time writes the names of a pattern; files of others are left alone', async () => {
    const dir = folder();
    const first = await open(dir, { name: WINDOW });
    await assert.rejects(open(dir, { name: WINDOW }), { code: 'ERR_MILLRACE_FILE', message: /The files \*\.csv in .* are being written by/ });
    const other = await open(dir, { name: `other/${WINDOW}` });
    await writeFile(join(dir, '.2026-01-01_00-00-0000000001.csv.tmp'), 'not a writer');
    await other.close();
    await first.close();
    assert.ok((await readdir(dir)).includes('.2026-01-01_00-00-0000000001.csv.tmp'));
    await (await open(dir, { name: WINDOW })).close();
    assert.ok(!(await readdir(dir)).includes('.2026-01-01_00-00-0000000001.csv.tmp'));
  });

  test('refuses patterns that could leave the folder, or say nothing', () => {
    const sink = (options: object) => files.sink({ dir: root, value: csv(), ...options } as never);
    for (const name of [
      '../x',
      '/x',
      'a//b',
      '.x',
      '-x',
      '',
      'a/../b',
      'a/',
      'x y',
      '{}',
      '{:ms}',
      '{at:yyyy-MM-ddTHH}',
      '{at:HH}',
      '{at:yyyy:MM}',
      'a\u0001b',
      7,
    ])
      assert.throws(() => sink({ name }), { code: 'ERR_MILLRACE_OPTION', message: /files\.sink: name is/ }, String(name));
    assert.throws(() => sink({ name: WINDOW, prefix: 'x' }), { code: 'ERR_MILLRACE_OPTION', message: /Leave prefix out/ });
    assert.throws(() => sink({ name: WINDOW, parts: 'shard' }), { code: 'ERR_MILLRACE_OPTION', message: /Put \{part\} into it/ });
    assert.throws(() => sink({ ext: '' }), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => sink({ columns: [] }), { code: 'ERR_MILLRACE_OPTION', message: /at least one/ });
    for (const [name, message] of [
      ['{nope}', /names the column "nope"/],
      ['{windowStart}', /Say how it is written/],
      ['{page:yyyy}', /as a time, and it is utf8/],
      ['{ms}', /which is f64/],
    ] as const)
      assert.throws(() => sink({ name }).check(schema), { code: 'ERR_MILLRACE_PIPELINE', message }, name);
    assert.throws(() => sink({ columns: ['nope'] }).check(schema), { code: 'ERR_MILLRACE_PIPELINE', message: /"nope"/ });
  });
});
