/** hdfs.sink against a real HDFS: files put aside, joined, renamed; writers that die and that overlap; a cluster that is killed. */

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { binary, bool, f32, f64, i8, i16, i32, i64, nullable, timestamp, schema as toSchema, u32, utf8 } from '../../core/index.ts';
import { type HdfsSinkOptions, hdfs } from '../../io/hdfs/index.ts';
import { csv, json, text } from '../../io/index.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import type { ServerConnections } from '../../scripts/servers/index.js';
import { throughOutages, type WindowRow } from '../runtime/server-outage.ts';
import { openServer } from '../servers.ts';
import { SinkRun } from './harness.ts';

type Connect = ServerConnections['hdfs'];
type Options = Partial<HdfsSinkOptions>;

let folders = 0;
const folder = () => `/test-${process.pid}-${folders++}`;
const schema = toSchema({ page: utf8, n: f64 });

async function cluster(t: TestContext): Promise<Connect | undefined> {
  return (await openServer(t, 'hdfs'))?.connect;
}

function sinkTo({ url, user }: Connect, path: string, options: Options = {}) {
  return hdfs.sink({ url, user, path, value: json(), ...options } as HdfsSinkOptions);
}

async function ask({ url, user }: Connect, path: string, query: string, method = 'GET'): Promise<Response> {
  return fetch(`${url}/webhdfs/v1${path.split('/').map(encodeURIComponent).join('/')}?${query}&user.name=${user}`, { method });
}

/** All files below a folder, hidden ones too, in the order of their names. */
async function list(connect: Connect, path: string): Promise<string[]> {
  const answer = await ask(connect, path, 'op=LISTSTATUS');
  if (answer.status === 404) return [];
  const { FileStatuses } = (await answer.json()) as { FileStatuses: { FileStatus: { pathSuffix: string; type: string }[] } };
  const names = await Promise.all(
    FileStatuses.FileStatus.map(async ({ pathSuffix, type }) =>
      type === 'DIRECTORY' ? (await list(connect, `${path}/${pathSuffix}`)).map((name) => `${pathSuffix}/${name}`) : [pathSuffix],
    ),
  );
  return names.flat().sort();
}

const isHidden = (name: string) => /(^|\/)\./.test(name);
const visible = async (connect: Connect, path: string) => (await list(connect, path)).filter((name) => !isHidden(name));
const hidden = async (connect: Connect, path: string) => (await list(connect, path)).filter((name) => isHidden(name) && !name.endsWith('.held'));

async function read(connect: Connect, path: string): Promise<string> {
  const answer = await ask(connect, path, 'op=OPEN');
  assert.equal(answer.status, 200, path);
  return answer.text();
}

async function lines(connect: Connect, path: string): Promise<string[]> {
  const all: string[] = [];
  for (const name of await visible(connect, path)) all.push(...(await read(connect, `${path}/${name}`)).split('\n').slice(0, -1));
  return all;
}

describe('hdfs.sink', () => {
  test('a file per epoch: all types, extremes, nulls and odd text', async (t) => {
    const connect = await cluster(t);
    if (connect === undefined) return;
    const path = folder();
    const all = toSchema({
      flag: bool,
      tiny: i8,
      small: i16,
      int: i32,
      unsigned: u32,
      long: i64,
      single: f32,
      double: f64,
      odd: nullable(utf8),
      bytes: binary,
      at: nullable(timestamp),
    });
    const rows = [
      {
        flag: true,
        tiny: -128,
        small: -32_768,
        int: -2_147_483_648,
        unsigned: 4_294_967_295,
        long: -9_223_372_036_854_775_808n,
        single: -1.5,
        double: 5e-324,
        odd: ' ",\n\r\t\\ 🐟 \u2028',
        bytes: Buffer.from([0, 255, 10]),
        at: -62_135_596_800_000,
      },
      {
        flag: false,
        tiny: 127,
        small: 0,
        int: 1,
        unsigned: 0,
        long: 1n,
        single: 0,
        double: 1.7976931348623157e308,
        odd: null,
        bytes: Buffer.alloc(0),
        at: null,
      },
    ];
    for (const [ext, value, expected] of [
      [
        'jsonl',
        json(),
        '{"flag":true,"tiny":-128,"small":-32768,"int":-2147483648,"unsigned":4294967295,"long":-9223372036854775808,"single":-1.5,"double":5e-324,"odd":" \\",\\n\\r\\t\\\\ 🐟 \u2028","bytes":"AP8K","at":-62135596800000}\n' +
          '{"flag":false,"tiny":127,"small":0,"int":1,"unsigned":0,"long":1,"single":0,"double":1.7976931348623157e+308,"odd":null,"bytes":"","at":null}\n',
      ],
      [
        'csv',
        csv(),
        'true,-128,-32768,-2147483648,4294967295,-9223372036854775808,-1.5,5e-324," "",\n\r\t\\ 🐟 \u2028",AP8K,-62135596800000\nfalse,127,0,1,0,1,0,1.7976931348623157e+308,,"",\n',
      ],
    ] as const) {
      const run = await SinkRun.open(sinkTo(connect, path, { value }), all);
      await run.write(rows, { epoch: 4, shard: 0 });
      assert.deepEqual(await visible(connect, path), ext === 'csv' ? ['part-0000000004-00000.jsonl'] : []);
      await run.commit(4);
      await run.close();
      assert.equal((await read(connect, `${path}/part-0000000004-00000.${ext}`)).replace(',"",\n', ',"",\n'), expected);
    }
    assert.deepEqual(await hidden(connect, path), []);
    const run = await SinkRun.open(sinkTo(connect, path, { value: text(), columns: ['odd'] }), all);
    await run.write(rows.slice(0, 1), { epoch: 5, shard: 0 });
    await run.commit(5);
    await run.close();
    assert.equal(await read(connect, `${path}/part-0000000005-00000.txt`), `${rows[0]?.odd}\n`);
  });

  test('a file of several parts is whole, and in order; folders and odd names by columns', async (t) => {
    const connect = await cluster(t);
    if (connect === undefined) return;
    const path = folder();
    const rows = Array.from({ length: 4_000 }, (_, i) => ({ page: `${i % 2 === 0 ? 'a' : 'ü/ %'}`, n: i, long: `${i} `.repeat(i % 700) }));
    const wide = toSchema({ page: utf8, n: f64, long: utf8 });
    const run = await SinkRun.open(sinkTo(connect, path, { name: 'page={page}/{epoch}', partBytes: 1 << 20, columns: ['n', 'long'] }), wide);
    for (let at = 0; at < rows.length; at += 500) await run.write(rows.slice(at, at + 500), { epoch: 2, shard: 0 });
    assert.ok(
      (await hidden(connect, path)).some((name) => name.endsWith('.0.tmp')),
      'the first parts are there already',
    );
    await run.commit(2);
    const { requests, retries, bytes } = run.writer.counts?.() ?? assert.fail('no counts');
    assert.ok(requests > 4 && retries === 0 && bytes > 2 << 20, `${requests} requests, ${retries} retries, ${bytes} bytes`);
    await run.close();
    assert.deepEqual(await list(connect, path), ['page=%C3%BC%2F%20%25/0000000002.jsonl', 'page=a/0000000002.jsonl']);
    for (const [name, page] of [
      ['page=a', 'a'],
      ['page=%C3%BC%2F%20%25', 'ü/ %'],
    ]) {
      const own = rows.filter((row) => row.page === page).map(({ n, long }) => `${JSON.stringify({ n, long })}\n`);
      assert.equal(await read(connect, `${path}/${name}/0000000002.jsonl`), own.join(''));
    }
  });

  test('exactly-once: files are visible when their checkpoint is committed, whoever commits it', async (t) => {
    const connect = await cluster(t);
    if (connect === undefined) return;
    const path = folder();
    const resume = async (checkpoint: number): Promise<SinkRun> => {
      const run = await SinkRun.open(sinkTo(connect, path, { name: '{page}' }), schema, { guarantee: 'exactly-once' });
      await run.writer.recover?.(checkpoint);
      return run;
    };
    let run = await resume(-1);
    await run.write([{ page: 'a', n: 1 }], { epoch: 0, shard: 0 });
    await run.write([{ page: 'a', n: 2 }], { epoch: 1, shard: 0 });
    await run.writer.prepare?.(1);
    await run.write([{ page: 'b', n: 3 }], { epoch: 2, shard: 0 });
    await run.writer.prepare?.(2);
    assert.deepEqual(await visible(connect, path), []);
    await run.close();
    assert.deepEqual(await hidden(connect, path), ['.a-0000000000.jsonl.prepared', '.a-0000000001.jsonl.prepared', '.b-0000000002.jsonl.prepared']);
    run = await resume(1);
    assert.deepEqual(await list(connect, path), ['.@.jsonl.held', 'a-0000000001.jsonl', 'a.jsonl']);
    await run.close();
    assert.deepEqual(await list(connect, path), ['a-0000000001.jsonl', 'a.jsonl']);
    await assert.rejects(resume(-1), { code: 'ERR_MILLRACE_CHECKPOINT', message: /has 2 files of an earlier run/ });
  });

  test('the newest writer shuts the one before out, which makes nothing visible any more', async (t) => {
    const connect = await cluster(t);
    if (connect === undefined) return;
    const path = folder();
    const first = await SinkRun.open(sinkTo(connect, path), schema, { guarantee: 'exactly-once' });
    await first.writer.recover?.(-1);
    await first.write([{ page: 'a', n: 1 }], { epoch: 0, shard: 0 });
    await first.writer.prepare?.(0);
    const second = await SinkRun.open(sinkTo(connect, path), schema, { guarantee: 'exactly-once' });
    await second.writer.recover?.(-1);
    const fenced = { code: 'ERR_MILLRACE_FENCED', message: /are written by the pipeline "test" \(process \d+ of .*, since 20.*\) now/ };
    await assert.rejects(first.commit(0), fenced);
    await first.write([{ page: 'b', n: 1 }], { epoch: 1, shard: 0 });
    await assert.rejects(async () => first.writer.prepare?.(1), fenced);
    await second.close();
    await assert.rejects(first.commit(0), { code: 'ERR_MILLRACE_FENCED', message: /has ended since/ });
    await first.close();
    assert.deepEqual(await visible(connect, path), []);
  });

  test('holds what it promises', async (t) => {
    const connect = await cluster(t);
    if (connect === undefined) return;
    const base = folder();
    const report = await sinkConformance((place) => sinkTo(connect, `${base}/${place}`, { partBytes: 1 << 20 }), {
      read: async (place) => (await lines(connect, `${base}/${place}`)).map((line) => JSON.parse(line) as ConformanceRow),
      schedules: 3,
    });
    assert.equal(report.delivery, 'replayed by epoch');
    assert.ok(report.overlaps.fenced > 0 && report.overlaps.refused === 0);
    for (const { rule, guarantee, held } of report.rules) if (guarantee === 'exactly-once') assert.ok(held > 0, rule);
  });

  test('the cluster is killed in the middle and comes back: nothing lost, nothing doubled', { timeout: 600_000 }, async (t) => {
    const server = await openServer(t, 'hdfs');
    if (server === undefined) return;
    const { connect } = server;
    const path = folder();
    await throughOutages(t, {
      sink: 'hdfs',
      options: { url: connect.url, user: connect.user, path },
      server,
      guarantee: 'exactly-once',
      kills: 1,
      read: async () => (await lines(connect, path)).map((line) => JSON.parse(line) as WindowRow),
    });
    assert.deepEqual(await hidden(connect, path), []);
  });

  test('a cluster that refuses, or is none, ends the job with its own words', async (t) => {
    const connect = await cluster(t);
    if (connect === undefined) return;
    const path = folder();
    await ask(connect, path, 'op=MKDIRS&permission=755', 'PUT');
    const opened = (options: Options) => SinkRun.open(sinkTo(connect, path, options), schema);
    await assert.rejects(opened({ user: 'nobody' }), {
      code: 'ERR_MILLRACE_SINK',
      message: /AccessControlException: Permission denied: user=nobody, access=WRITE/,
    });
    await ask(connect, `${path}/file`, 'op=CREATE&noredirect=true', 'PUT');
    const away = { code: 'ERR_MILLRACE_SINK', message: /hdfs http:\/\/127\.0\.0\.1:9\/.* ECONNREFUSED.* It was tried for 300 ms \(deliveryTimeout\)/ };
    await assert.rejects(opened({ url: 'http://127.0.0.1:9', deliveryTimeout: 300 }), away);
    const run = await opened({});
    await run.write([{ page: 'a', n: 1 }]);
    await ask(connect, path, 'op=DELETE&recursive=true', 'DELETE');
    await assert.rejects(run.commit(1), { code: 'ERR_MILLRACE_FENCED' });
    await run.close();
  });
});

test('hdfs.sink: options that cannot be', () => {
  const good = { url: 'http://127.0.0.1:9870', path: '/out', value: json() };
  const bad = (options: object, message: RegExp) => assert.throws(() => hdfs.sink({ ...good, ...options } as never), { code: 'ERR_MILLRACE_OPTION', message });
  for (const path of ['out', '/a/../b', '/a//b', '/a/', 'hdfs://namenode/out', '', 7]) bad({ path }, /hdfs\.sink: path is/);
  bad({ url: 'namenode:9870' }, /url is/);
  bad({ user: 'a', delegation: 'secret' }, /leave user out/);
  bad({ delegation: '' }, /delegation is no text/);
  bad({ partBytes: 5 }, /partBytes is 5/);
  bad({ replication: 0 }, /replication is 0/);
  bad({ kerberos: true }, /there is no option "kerberos"/);
  bad({ value: { page: utf8 } }, /value is the schema/);
  assert.doesNotThrow(() => hdfs.sink({ ...good, path: '/' }));
  assert.equal(hdfs.sink({ ...good, url: 'http://me:secret@127.0.0.1:9870' }).place?.includes('secret'), false);
});
