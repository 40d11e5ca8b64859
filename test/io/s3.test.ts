/** s3.sink against a real S3-compatible store: small and large objects, writers that die and that overlap, a store that is killed. */

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { AwsClient } from 'aws4fetch';
import { f64, schema as toSchema, utf8 } from '../../core/index.ts';
import { csv, json } from '../../io/index.ts';
import { type S3SinkOptions, s3 } from '../../io/s3/index.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import type { ServerConnections } from '../../scripts/servers/index.js';
import { throughOutages, type WindowRow } from '../runtime/server-outage.ts';
import { openServer } from '../servers.ts';
import { SinkRun } from './harness.ts';

type Connect = ServerConnections['s3'];
type Options = Partial<S3SinkOptions>;

const BUCKET = 'millrace-test';
let folders = 0;
const folder = () => `test-${process.pid}/${folders++}`;
const schema = toSchema({ page: utf8, n: f64, long: utf8 });

async function store(t: TestContext): Promise<Connect | undefined> {
  const connect = (await openServer(t, 's3'))?.connect;
  // It may be there already.
  if (connect !== undefined) await ask(connect, '', 'PUT');
  return connect;
}

function sinkTo({ endpoint, region, credentials }: Connect, path: string, options: Options = {}) {
  return s3.sink({ endpoint, region, credentials, bucket: BUCKET, path, value: json(), ...options } as S3SinkOptions);
}

async function ask({ endpoint, region, credentials }: Connect, rest: string, method = 'GET'): Promise<Response> {
  const client = new AwsClient({ ...credentials, region, service: 's3', retries: 0 });
  return client.fetch(`${endpoint}/${BUCKET}${rest}`, { method });
}

/** All keys below a path, hidden ones too, but for folders and for what S3Proxy itself was writing when it was killed. */
async function list(connect: Connect, path: string): Promise<string[]> {
  const xml = await (await ask(connect, `?list-type=2&prefix=${encodeURIComponent(`${path}/`)}`)).text();
  return [...xml.matchAll(/<Key>(.*?)<\/Key>/g)]
    .map(([, key]) => (key as string).slice(path.length + 1))
    .filter((key) => !key.endsWith('/') && !/-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(key))
    .sort();
}

async function uploads(connect: Connect, path: string): Promise<number> {
  const xml = await (await ask(connect, `?uploads=&prefix=${encodeURIComponent(`${path}/`)}`)).text();
  return [...xml.matchAll(/<Key>(.*?)<\/Key>/g)].filter(([, key]) => (key as string).startsWith(`${path}/`)).length;
}

const isHidden = (name: string) => /(^|\/)\./.test(name);
const visible = async (connect: Connect, path: string) => (await list(connect, path)).filter((name) => !isHidden(name));
const hidden = async (connect: Connect, path: string) => (await list(connect, path)).filter((name) => isHidden(name) && !name.endsWith('.held'));

async function read(connect: Connect, path: string): Promise<string> {
  const answer = await ask(connect, `/${path.split('/').map(encodeURIComponent).join('/')}`);
  assert.equal(answer.status, 200, path);
  return answer.text();
}

async function lines(connect: Connect, path: string): Promise<string[]> {
  const all: string[] = [];
  for (const name of await visible(connect, path)) all.push(...(await read(connect, `${path}/${name}`)).split('\n').slice(0, -1));
  return all;
}

const row = (page: string, n = 1, long = '') => ({ page, n, long });
/** About 6 MiB of rows: more than a part. */
const many = (page: string) => Array.from({ length: 3_000 }, (_, i) => row(page, i, `${i} `.repeat(430)));
const textOf = (rows: readonly object[]) => rows.map((each) => `${JSON.stringify(each)}\n`).join('');

async function writeMany(run: SinkRun, rows: ReturnType<typeof many>, epoch: number): Promise<void> {
  for (let at = 0; at < rows.length; at += 500) await run.write(rows.slice(at, at + 500), { epoch, shard: 0 });
}

describe('s3.sink', () => {
  test('an object per epoch; partitions with odd values; an epoch that comes again replaces it', async (t) => {
    const connect = await store(t);
    if (connect === undefined) return;
    const path = folder();
    for (let again = 0; again < 2; again++) {
      const run = await SinkRun.open(sinkTo(connect, path, { name: 'page={page}/{epoch}', value: csv(), columns: ['n'] }), schema);
      await run.write([row('a', 1), row("ü/ %+'", 2), row('a', 3 + again)], { epoch: 4, shard: 0 });
      await run.commit(4);
      assert.ok((run.writer.counts?.().requests ?? 0) > 3);
      await run.close();
    }
    assert.deepEqual(await list(connect, path), ['page=%C3%BC%2F%20%25%2B%27/0000000004.csv', 'page=a/0000000004.csv']);
    assert.equal(await read(connect, `${path}/page=a/0000000004.csv`), '1\n4\n');
    assert.equal(await read(connect, `${path}/page=%C3%BC%2F%20%25%2B%27/0000000004.csv`), '2\n');
  });

  test('exactly-once: small and large objects become visible by their checkpoint, whoever commits it', async (t) => {
    const connect = await store(t);
    if (connect === undefined) return;
    const path = folder();
    const large = many('b');
    const resume = async (checkpoint: number): Promise<SinkRun> => {
      const run = await SinkRun.open(sinkTo(connect, path, { name: '{page}', partBytes: 5 << 20 }), schema, { guarantee: 'exactly-once' });
      await run.writer.recover?.(checkpoint);
      return run;
    };
    let run = await resume(-1);
    await run.write([row('a', 1)], { epoch: 0, shard: 0 });
    await run.write([row('a', 2)], { epoch: 1, shard: 0 });
    await writeMany(run, large, 1);
    await run.writer.prepare?.(1);
    await run.write([row('c', 3)], { epoch: 2, shard: 0 });
    await writeMany(run, many('d'), 2);
    await run.writer.prepare?.(2);
    await writeMany(run, many('e'), 3);
    assert.deepEqual(await visible(connect, path), []);
    assert.equal(await uploads(connect, path), 3);
    // It is killed: nothing is closed.
    run = await resume(1);
    assert.deepEqual(await visible(connect, path), ['a-0000000001.jsonl', 'a.jsonl', 'b.jsonl']);
    assert.deepEqual(await hidden(connect, path), []);
    assert.equal(await uploads(connect, path), 0, 'what is not decided is aborted');
    assert.equal(await read(connect, `${path}/b.jsonl`), textOf(large));
    assert.equal(await read(connect, `${path}/a-0000000001.jsonl`), textOf([row('a', 2)]));
    await writeMany(run, large, 2);
    await run.writer.prepare?.(2);
    await run.commit(2);
    await run.commit(2);
    await run.close();
    assert.deepEqual(await list(connect, path), ['a-0000000001.jsonl', 'a.jsonl', 'b-0000000002.jsonl', 'b.jsonl']);
    assert.equal(await read(connect, `${path}/b-0000000002.jsonl`), textOf(large));
  });

  test('a commit that was cut between its two steps is ended, and nothing is there twice', async (t) => {
    const connect = await store(t);
    if (connect === undefined) return;
    const path = folder();
    const options = { name: '{page}', partBytes: 5 << 20 };
    const run = await SinkRun.open(sinkTo(connect, path, options), schema, { guarantee: 'exactly-once' });
    await run.writer.recover?.(-1);
    const large = many('b');
    await run.write([row('a', 1)], { epoch: 0, shard: 0 });
    await writeMany(run, large, 0);
    await run.writer.prepare?.(0);
    const sealed = await hidden(connect, path);
    assert.deepEqual(sealed, ['.a-0000000000.jsonl.prepared', '.b-0000000000.jsonl.upload']);
    const notes = new Map(await Promise.all(sealed.map(async (name) => [name, await read(connect, `${path}/${name}`)] as const)));
    await run.commit(0);
    // Both were made visible, and the process died before it removed what says that they are sealed.
    const client = new AwsClient({ ...connect.credentials, region: connect.region, service: 's3' });
    for (const [name, body] of notes)
      await client.fetch(`${connect.endpoint}/${BUCKET}/${path}/${name}`, {
        method: 'PUT',
        body,
        headers: { 'x-amz-meta-millrace-target': `${name[1]}.jsonl` },
      });
    const next = await SinkRun.open(sinkTo(connect, path, options), schema, { guarantee: 'exactly-once' });
    await next.writer.recover?.(0);
    await next.close();
    assert.deepEqual(await list(connect, path), ['a.jsonl', 'b.jsonl']);
    assert.equal(await read(connect, `${path}/b.jsonl`), textOf(large));
  });

  test('the newest writer shuts the one before out', async (t) => {
    const connect = await store(t);
    if (connect === undefined) return;
    const path = folder();
    const open = async () => {
      const run = await SinkRun.open(sinkTo(connect, path, { partBytes: 5 << 20 }), schema, { guarantee: 'exactly-once' });
      await run.writer.recover?.(-1);
      return run;
    };
    const first = await open();
    await writeMany(first, many('b'), 0);
    const second = await open();
    const fenced = { code: 'ERR_MILLRACE_FENCED', message: /written by the pipeline "test" \(process \d+ of .*\) now/ };
    await assert.rejects(async () => first.writer.prepare?.(0), fenced);
    await assert.rejects(first.commit(0), fenced);
    await first.close();
    await second.close();
    assert.deepEqual(await list(connect, path), []);
  });

  test('holds what it promises', async (t) => {
    const connect = await store(t);
    if (connect === undefined) return;
    const base = folder();
    const report = await sinkConformance((place) => sinkTo(connect, `${base}/${place}`), {
      read: async (place) => (await lines(connect, `${base}/${place}`)).map((line) => JSON.parse(line) as ConformanceRow),
      schedules: 3,
    });
    assert.equal(report.delivery, 'replayed by epoch');
    assert.ok(report.overlaps.fenced > 0 && report.overlaps.refused === 0);
    for (const { rule, guarantee, held } of report.rules) if (guarantee === 'exactly-once') assert.ok(held > 0, rule);
  });

  test('the store is killed in the middle and comes back: nothing lost, nothing doubled', { timeout: 600_000 }, async (t) => {
    const connect = await store(t);
    const server = await openServer(t, 's3');
    if (server === undefined || connect === undefined) return;
    const path = folder();
    const { endpoint, region, credentials } = connect;
    await throughOutages(t, {
      sink: 's3',
      options: { endpoint, region, credentials, bucket: BUCKET, path },
      server,
      guarantee: 'exactly-once',
      kills: 1,
      read: async () => (await lines(connect, path)).map((line) => JSON.parse(line) as WindowRow),
    });
    assert.deepEqual(await hidden(connect, path), []);
  });

  test('a store that refuses ends the job with its own words, and no secret', async (t) => {
    const connect = await store(t);
    if (connect === undefined) return;
    const opened = (options: Options) => SinkRun.open(sinkTo(connect, folder(), options), schema);
    await assert.rejects(opened({ bucket: 'no-such-bucket' }), { code: 'ERR_MILLRACE_SINK', message: /NoSuchBucket/ });
    const credentials = { ...connect.credentials, secretAccessKey: 'wrong-secret' };
    await assert.rejects(opened({ credentials }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_MILLRACE_SINK');
      assert.match(error.message, /SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied/);
      assert.ok(!error.message.includes('wrong-secret'));
      return true;
    });
    await assert.rejects(opened({ endpoint: 'http://127.0.0.1:9', deliveryTimeout: 300 }), { code: 'ERR_MILLRACE_SINK', message: /It was tried for 300 ms/ });
  });
});

test('s3.sink: options that cannot be', () => {
  const good = { bucket: 'lake', path: 'a/b', value: json() };
  const bad = (options: object, message: RegExp) => assert.throws(() => s3.sink({ ...good, ...options } as never), { code: 'ERR_MILLRACE_OPTION', message });
  for (const bucket of ['A', 'ab', 'a/b', 7]) bad({ bucket }, /bucket is/);
  for (const path of ['/a', 'a/', 'a//b', '../a', 7]) bad({ path }, /path is/);
  bad({ partBytes: 1 << 20 }, /5 MiB/);
  bad({ region: 'EU west' }, /region is/);
  bad({ endpoint: 'minio:9000' }, /endpoint: url is/);
  bad({ credentials: { accessKeyId: 'a' } }, /credentials has no secretAccessKey/);
  bad({ credentials: { accessKeyId: 'a', secretAccessKey: 'b', token: 'c' } }, /there is no option "token"/);
  bad({ buket: 'x' }, /there is no option "buket"/);
  assert.match(s3.sink({ ...good, region: 'eu-central-1' }).place ?? '', /https:\/\/lake\.s3\.eu-central-1\.amazonaws\.com\/a\/b/);
});
