/** http.source: what it takes and what it answers; and that what it answered with 200 survives kill -9 of the job. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { i64, nullable, type SeekableRng, seededRng, utf8 } from '../../core/index.ts';
import { json, readLog, text } from '../../io/index.ts';
import type { SourceContext, SourceReader } from '../../io/source.ts';
import { Inbox } from '../../io/webhook/inbox.ts';
import { type HttpSourceOptions, http } from '../../io/webhook/index.ts';
import { effortCount, seedOf } from '../seed.ts';
import { decodeFrames, type EmittedFrame } from './harness.ts';
import { kafkaDecode } from './record-batch-harness.ts';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const VALUE = json({ id: i64, text: nullable(utf8) });

/** An open source: its frames as they come. */
async function open(t: TestContext, options: Partial<HttpSourceOptions> = {}) {
  const port = options.port ?? (await freePort());
  const source = http.source({ port, dir: await folder(t), value: VALUE, ...options } as HttpSourceOptions);
  const frames: EmittedFrame[] = [];
  const failures: unknown[] = [];
  const context: SourceContext = {
    drain: false,
    signal: new AbortController().signal,
    emit(partition, bytes, first, next, flags = 0, cut = 0) {
      frames.push({ partition, bytes: new Uint8Array(bytes), first, next, flags, cut });
      return true;
    },
    credit: () => new Promise((resolve) => setImmediate(resolve)),
    end: () => {},
    high: () => {},
    assigned: () => {},
    fail: (error) => void failures.push(error),
  };
  const reader: SourceReader = await source.open(context);
  t.after(() => reader.close());
  reader.start();
  const url = `http://127.0.0.1:${port}${options.path ?? '/'}`;
  return {
    reader,
    failures,
    url,
    frames,
    async post(body: string | Uint8Array, headers: Record<string, string> = {}) {
      const answer = await fetch(url, { method: 'POST', body, headers });
      return { status: answer.status, headers: answer.headers, said: (await answer.json()) as { accepted?: number; error?: string } };
    },
    async rows(count: number) {
      for (;;) {
        const { rows, rejections } = decodeFrames(source, frames);
        if (rows.length + rejections.length >= count) return { rows: rows.map(({ row }) => row), rejections };
        await sleep(10);
      }
    },
  };
}

const big = 2n ** 60n;

test('arrays, single rows and lines, also compressed, become rows', async (t) => {
  const { post, rows, failures } = await open(t, { path: '/rows' });
  const lines = '{"id":5,"text":"e\\n]"}\n\n{"id":6}\r\n';
  for (const [body, accepted, headers] of [
    [`[{"id":1,"text":"a,]}\\""}, {"id":${big},"text":null}\n]`, 2],
    ['[]', 0],
    ['', 0],
    [' {\n "id": 3,\n "text": "pretty"\n}\n', 1],
    [lines, 2],
    [gzipSync(lines), 2, { 'content-encoding': 'gzip' }],
    [brotliCompressSync('[{"id":7}]'), 1, { 'content-encoding': 'br' }],
    ['﻿[{"id":8}]', 1],
    ['[{"id":"not a number"},{"id":9}]', 2],
  ] as const)
    assert.deepEqual(await post(body, headers ?? {}).then(({ status, said }) => [status, said]), [200, { accepted }], String(body));
  const { rows: seen, rejections } = await rows(11);
  assert.deepEqual(
    seen.map((row) => row['id']),
    [1n, big, 3n, 5n, 6n, 5n, 6n, 7n, 8n, 9n],
  );
  assert.equal(seen[0]?.['text'], 'a,]}"');
  assert.equal(rejections.length, 1, 'a row that the codec refuses is in the ledger');
  assert.deepEqual(failures, []);
});

test('what Logstash and Flume send is taken as it is', async (t) => {
  // The output `http` of Logstash: format json, json_batch, and message with a mapping of lines.
  const logstash = await open(t, { value: json({ message: utf8, '@timestamp': utf8 }) });
  const event = (message: string) => JSON.stringify({ '@timestamp': '2026-01-01T00:00:00.000Z', '@version': '1', host: { name: 'h' }, message });
  assert.equal((await logstash.post(event('one'), { 'content-type': 'application/json' })).status, 200);
  assert.equal(
    (await logstash.post(`[${event('two')},${event('three')}]`, { 'content-type': 'application/json', 'content-encoding': 'identity' })).status,
    200,
  );
  assert.deepEqual(
    (await logstash.rows(3)).rows.map((row) => row['message']),
    ['one', 'two', 'three'],
  );
  // The JSONHandler of Flume's HTTP source.
  const flume = await open(t, { format: 'flume', value: text() });
  const events = [
    { headers: { timestamp: '434324343', host: 'random_host.example.com' }, body: 'random_body' },
    { headers: { namenode: 'namenode.example.com' }, body: 'really_random_body é' },
  ];
  assert.equal((await flume.post(JSON.stringify(events), { 'content-type': 'application/json; charset=UTF-8' })).status, 200);
  assert.deepEqual(
    (await flume.rows(2)).rows.map((row) => row['value']),
    ['random_body', 'really_random_body é'],
  );
  assert.deepEqual(await flume.post('[{"headers":{},"body":3}]').then(({ status, said }) => [status, said.error?.includes('event 0 has the body 3')]), [
    400,
    true,
  ]);
});

test('what is not taken is answered with why, and nothing of it is kept', async (t) => {
  const { post, url, frames } = await open(t, { token: 't0ken', bodyBytesMax: 1_000, path: '/in' });
  const auth = { authorization: 'Bearer t0ken' };
  const row = '{"id":1}';
  const large = `[${Array.from({ length: 200 }, () => row).join(',')}]`;
  for (const [body, headers, status, words] of [
    [row, {}, 401, /Bearer/],
    [row, { authorization: 'Bearer t0kem' }, 401, /token/],
    ['[{"id":1}', auth, 400, /does not end/],
    ['[{"id":1} {"id":2}]', auth, 400, /comma/],
    ['[{"id":1}] x', auth, 400, /behind the array/],
    ['{"id":"1}', auth, 400, /text at byte 6 does not end/],
    ['[1,]', auth, 400, /expected a value/],
    [large, auth, 413, /1000 bytes/],
    [gzipSync(large), { ...auth, 'content-encoding': 'gzip' }, 413, /1000 bytes/],
    ['no gzip', { ...auth, 'content-encoding': 'gzip' }, 400, /no gzip/],
    [row, { ...auth, 'content-encoding': 'zstd' }, 415, /"zstd"/],
  ] as const) {
    const answer = await post(body, headers);
    assert.equal(answer.status, status, `${body}: ${answer.said.error}`);
    assert.match(answer.said.error ?? '', words);
  }
  assert.equal((await fetch(url, { headers: auth })).status, 405);
  assert.equal((await fetch(`${url}/x`, { method: 'POST', body: row, headers: auth })).status, 404);
  assert.equal((await post(row, auth)).status, 200);
  while (frames.length < 1) await sleep(5);
  assert.equal(frames[0]?.next, 1, 'one row');
});

test('a job that is behind answers 429 until it has committed', async (t) => {
  const { post, reader, rows } = await open(t, { backlogBytesMax: 2_000, retain: 0 });
  let accepted = 0;
  for (let answer = await post('{"id":1}'); answer.status === 200; answer = await post(`{"id":1,"text":"${'x'.repeat(100)}"}`)) accepted++;
  const refused = await post('{"id":1}');
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '1']);
  assert.ok(accepted > 5 && accepted < 30, `${accepted} accepted`);
  await rows(accepted);
  await reader.commit([{ partition: 0, offset: accepted, metadata: '' }]);
  assert.equal((await post('{"id":1}')).status, 200);
});

test('one job at a time; a port that is taken is said', async (t) => {
  const dir = await folder(t);
  const port = await freePort();
  await open(t, { dir, port });
  await assert.rejects(open(t, { dir }), { code: 'ERR_MILLRACE_FILE', message: /being written by/ });
  await assert.rejects(open(t, { port }), { code: 'ERR_MILLRACE_SOURCE', message: /cannot listen on 127\.0\.0\.1.*EADDRINUSE/ });
  for (const [options, message] of [
    [{ port: 0 }, /port is 0/],
    [{ prot: 1 }, /no option "prot"/],
    [{ value: text() }, /Take format: 'lines'/],
    [{ path: 'rows' }, /begin with a slash/],
    [{ dir: '' }, /dir is ""/],
    [{ token: '' }, /token must be/],
    [{ bodyBytesMax: 0 }, /bodyBytesMax is 0/],
  ] as const)
    assert.throws(() => http.source({ port: 1, dir: 'x', value: VALUE, ...options } as HttpSourceOptions), { code: 'ERR_MILLRACE_OPTION', message });
});

const script = fileURLToPath(new URL('./fixtures/http-job.ts', import.meta.url));
const typescript = fileURLToPath(new URL('../../scripts/typescript.js', import.meta.url));

async function start(dir: string, port: number): Promise<{ child: ChildProcess; exited: Promise<unknown> }> {
  const child = spawn(process.execPath, ['--import', typescript, script, dir, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (said: Buffer) => String(said).includes('runs') && resolve());
    child.on('exit', (code) => reject(new Error(`the job ended with ${code}`)));
  });
  return { child, exited };
}

async function written(dir: string): Promise<number[]> {
  const ids: number[] = [];
  for await (const { bytes } of readLog(join(dir, 'out'), 'rows'))
    for (const { value } of (await kafkaDecode(bytes)).records) ids.push((JSON.parse(String(value)) as { id: number }).id);
  return ids;
}

test('rows that were accepted survive kills of the job, and come out once', async (t) => {
  const dir = await folder(t);
  const port = await freePort();
  const rng: SeekableRng = seededRng(seedOf(11));
  const accepted: number[] = [];
  let id = 0;
  /** Sends without a pause until the job is gone. What is not answered is not sent again. */
  const send = async (): Promise<void> => {
    for (;;) {
      const ids = Array.from({ length: 1 + rng.int(20) }, () => id++);
      try {
        const body = `[${ids.map((n) => `{"id":${n},"text":"row ${n}"}`).join(',')}]`;
        const { status } = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body });
        if (status === 200) accepted.push(...ids);
      } catch {
        return;
      }
    }
  };
  const kills = effortCount(4);
  for (let kill = 0; kill < kills; kill++) {
    const { child, exited } = await start(dir, port);
    const before = accepted.length;
    const senders = Promise.all([send(), send(), send()]);
    while (accepted.length < before + 200) await sleep(2);
    await sleep(rng.int(100));
    child.kill('SIGKILL');
    await exited;
    await senders;
  }
  const { child, exited } = await start(dir, port);
  const due = new Set(accepted);
  for (;;) {
    const ids = new Set(await written(dir));
    if ([...due].every((n) => ids.has(n))) break;
    await sleep(50);
  }
  child.kill('SIGTERM');
  await exited;
  const ids = await written(dir);
  assert.equal(new Set(ids).size, ids.length, 'no row is there twice');
  assert.ok(accepted.length >= 200 * kills);
  assert.ok((await readdir(join(dir, 'inbox', 'inbox', 'partition-0'))).length >= 1);
});

test('segments that are committed go when their time is over', async (t) => {
  const dir = await folder(t);
  const inbox = await Inbox.open({ dir, topic: 'inbox', user: 'a test', segmentBytes: 1_000, retainMs: 0, deposed: undefined });
  for (let i = 0; i < 50; i++) await inbox.append([Buffer.from(`{"id":${i},"text":"${'x'.repeat(90)}"}`)]);
  const files = () => readdir(join(dir, 'inbox', 'partition-0'));
  const all = await files();
  assert.ok(all.length > 5, `${all.length} segments`);
  await inbox.committed(25);
  const left = (await files()).sort();
  assert.ok(left.length < all.length);
  assert.ok(Number(left[0]?.slice(0, 20)) <= 25 && Number(left[1]?.slice(0, 20)) > 25, 'the one with row 25 is the first');
  await inbox.committed(50);
  assert.equal((await files()).length, 1);
  assert.equal(inbox.backlogBytes, 0);
  await inbox.close();
});
