/** Codecs with a schema registry, against a real one: versions side by side, incompatible ones, outages, ids that are not there. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { i32, MillraceError } from '../../core/index.ts';
import { avro, json, readLog } from '../../io/index.ts';
import { registry } from '../../io/registry/index.ts';
import { type Job, run } from '../../runtime/index.ts';
import { openServer } from '../servers.ts';
import { modelType } from './avro-model.ts';
import { decode } from './codec-harness.ts';
import { openStage } from './kafka-fixture.ts';
import { kafkaDecode } from './record-batch-harness.ts';

const PIPELINE = new URL('./pipelines/registered.ts', import.meta.url);
const CLICK = { type: 'record', name: 'Click', fields: [{ name: 'page', type: 'string' }] };

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

function start(dir: string, url: string, step: string, more: object = {}): Promise<Job> {
  return run(PIPELINE, { workers: 1, trigger: 'availableNow', params: { dir, url, step, ...more } });
}

async function values(dir: string, topic: string): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for await (const batch of readLog(dir, topic)) for (const { value } of (await kafkaDecode(batch.bytes)).records) found.push(value as Uint8Array);
  return found;
}

test('topics of several versions, read with another one; a sink registers what it writes', async (t) => {
  const server = await openServer(t, 'apicurio');
  if (server === undefined) return;
  const dir = await folder(t);
  const { url } = server.connect;
  await (await start(dir, url, 'v1')).done;
  await (await start(dir, url, 'v2')).done;
  await (await start(dir, url, 'unknown')).done;
  const job = await start(dir, url, 'read');
  await job.done;
  const { ledger, samples } = job.progress();
  assert.equal(ledger.undecodable, 3);
  const why = samples.map(({ message }) => message).join('\n');
  assert.match(why, /its schema has the id 1234, which the registry http:\/\/127.0.0.1:\d+\/apis\/ccompat\/v7 does not have/);
  assert.match(why, /expected a zero byte and the id of a schema, 4 bytes at byte 0/);
  const counted = new Map<string, number>();
  const schemas = registry({ url });
  const count = await schemas.schema('counts-value');
  const type = modelType(JSON.parse(count.schema));
  for (const value of await values(dir, 'counts')) {
    assert.equal(Buffer.from(value).readUInt32BE(1), count.id);
    const row = type.fromBuffer(Buffer.from(value.subarray(5))) as { page: string; count: number };
    counted.set(row.page, row.count);
  }
  const expected = new Map<string, number>();
  for (let i = 0; i < 10_000; i++) expected.set(`/${(i % 5_000) % 7}`, (expected.get(`/${(i % 5_000) % 7}`) ?? 0) + 1);
  assert.deepEqual(counted, expected);
  assert.deepEqual((await schemas.schema('clicks-value', 1)).type, 'AVRO');
  assert.equal((await schemas.schema('clicks-value')).version, 2);
});

test('JSON with its JSON Schema', async (t) => {
  const server = await openServer(t, 'apicurio');
  if (server === undefined) return;
  const dir = await folder(t);
  const { url } = server.connect;
  await (await start(dir, url, 'json')).done;
  const schema = await registry({ url }).schema('jsons-value');
  assert.equal(schema.type, 'JSON');
  assert.deepEqual(JSON.parse(schema.schema).properties, {
    page: { type: 'string' },
    ms: { type: 'integer', minimum: -2_147_483_648, maximum: 2_147_483_647 },
  });
  const [first] = await values(dir, 'jsons');
  assert.deepEqual([...(first as Uint8Array).subarray(0, 5)], [0, 0, 0, 0, schema.id]);
  assert.equal(Buffer.from((first as Uint8Array).subarray(5)).toString(), '{"page":"/0","ms":0}');
  await (await start(dir, url, 'readJson')).done;
  const counts = (await values(dir, 'counts')).map((value) => JSON.parse(Buffer.from(value).toString()) as { count: number });
  assert.equal(counts.length, 7);
  assert.equal(
    counts.reduce((sum, { count }) => sum + count, 0),
    5_000,
  );
});

test('Protocol Buffers with the text of their file', async (t) => {
  const server = await openServer(t, 'apicurio');
  if (server === undefined) return;
  const dir = await folder(t);
  const { url } = server.connect;
  await (await start(dir, url, 'proto')).done;
  const schema = await registry({ url }).schema('protos-value');
  assert.equal(schema.type, 'PROTOBUF');
  assert.match(schema.schema, /message Click/);
  const [first, second] = await values(dir, 'protos');
  // The second message of the file; of the first row, all is default but the page.
  assert.deepEqual([...(first as Uint8Array)], [0, 0, 0, 0, schema.id, 2, 2, 0x0a, 2, 0x2f, 0x30]);
  assert.deepEqual([...(second as Uint8Array).subarray(7)], [0x0a, 2, 0x2f, 0x31, 0x10, 1]);
  await (await start(dir, url, 'readProto')).done;
  const counts = (await values(dir, 'counts')).map((value) => JSON.parse(Buffer.from(value).toString()) as { count: number });
  assert.equal(
    counts.reduce((sum, { count }) => sum + count, 0),
    5_000,
  );
});

test('topics of Kafka, in a transaction, too: the id of each record is that of the subject', async (t) => {
  const server = await openServer(t, 'apicurio');
  if (server === undefined) return;
  const stage = await openStage(t);
  if (stage === undefined) return;
  const dir = await folder(t);
  const { url } = server.connect;
  const params = { brokers: stage.brokers, topic: await stage.topic(2) };
  const job = await run(PIPELINE, {
    workers: 2,
    trigger: 'availableNow',
    guarantee: 'exactly-once',
    checkpoint: { dir: join(dir, 'state') },
    params: { dir, url, step: 'kafka', ...params },
  });
  await job.done;
  const { id } = await registry({ url }).schema(`${params.topic}-value`);
  assert.equal((await registry({ url }).schema(`${params.topic}-value`)).version, 1);
  const read = await start(dir, url, 'readKafka', params);
  await read.done;
  assert.equal(read.progress().ledger.undecodable, 0);
  const counts = (await values(dir, 'counts')).map((value) => JSON.parse(Buffer.from(value).toString()) as { count: number });
  assert.equal(
    counts.reduce((sum, { count }) => sum + count, 0),
    5_000,
  );
  assert.ok(id > 0);
});

test('records that do not begin with an id are refused, whole; the others are read', () => {
  const schemas = {
    name: 'none',
    find: () => undefined,
    fetch: () => Promise.reject(new Error('nobody asks')),
    idOf: () => Promise.reject(new Error('nobody asks')),
  };
  const codec = json({ a: i32 }, { registry: schemas });
  const record = (prefix: readonly number[], text: string): Uint8Array => new Uint8Array([...prefix, ...Buffer.from(text)]);
  const id = [0, 0, 0, 1, 2];
  const bad = [record([], '{"a":1}'), record(id, '{"a":"x"}'), record([0, 0, 0], '')];
  const { rows, records, rejections } = decode(codec, [
    record(id, '{"a":1}'),
    bad[0] as Uint8Array,
    bad[1] as Uint8Array,
    record(id, '{"a":2}'),
    bad[2] as Uint8Array,
    null,
  ]);
  assert.deepEqual(rows, [{ a: 1 }, { a: 2 }]);
  assert.deepEqual(records, [0, 3]);
  const byOffset = [...rejections].sort((a, b) => a.offset - b.offset);
  assert.deepEqual(
    byOffset.map(({ offset, sample }) => [offset, sample]),
    [
      [1001, bad[0]],
      [1002, bad[1]],
      [1004, bad[2]],
      [1005, new Uint8Array(0)],
    ],
  );
});

test('what is not compatible with the versions before ends the job, with the words of the registry', async (t) => {
  const server = await openServer(t, 'apicurio');
  if (server === undefined) return;
  const dir = await folder(t);
  const { url } = server.connect;
  await (await start(dir, url, 'v1')).done;
  const set = await fetch(`${url}/config/clicks-value`, {
    method: 'PUT',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ compatibility: 'BACKWARD' }),
  });
  assert.equal(set.status, 200);
  const before = (await values(dir, 'clicks')).length;
  await assert.rejects(
    async () => (await start(dir, url, 'v3')).done,
    (error) => {
      assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_SINK', String(error));
      assert.match(
        error.message,
        /the schema of shop.Click cannot be registered under the subject "clicks-value": it answers with status 409: .+It is not compatible with the versions before/,
      );
      return true;
    },
  );
  assert.equal((await values(dir, 'clicks')).length, before);
  const strict = registry({ url, register: false, subject: { name: 'nobody-knows' } });
  await assert.rejects(
    strict.idOf({ topic: 't', record: 'Click', type: 'AVRO', schema: JSON.stringify(CLICK) }, {}),
    /cannot be found under the subject "nobody-knows": it answers with status 404/,
  );
});

test('a registry that is away is waited for, and the job goes on when it is back', async (t) => {
  const server = await openServer(t, 'apicurio');
  if (server === undefined) return;
  const dir = await folder(t);
  const { url } = server.connect;
  await (await start(dir, url, 'v1')).done;
  // The sink asks first, when it opens. So that the scan has to wait, the way to the registry is cut behind that.
  let isOpen = true;
  const proxy = createServer(async (request, response) => {
    if (!isOpen || request.url?.startsWith('/schemas/ids/') === true) {
      if (!isOpen) return void request.socket.destroy();
      if (!hasWaited) {
        isOpen = false;
        return void request.socket.destroy();
      }
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = await fetch(`${url}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  });
  let hasWaited = false;
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => proxy.close());
  const { port } = proxy.address() as { port: number };
  const job = await start(dir, `http://127.0.0.1:${port}`, 'read');
  const warnings: string[] = [];
  job.on('warning', (message) => warnings.push(String(message)));
  while (job.state !== 'waiting') await sleep(20);
  hasWaited = true;
  isOpen = true;
  await job.done;
  assert.match(warnings.join('\n'), /the schema of the id \d+ cannot be read: waiting for the server/);
  assert.equal(job.progress().ledger.undecodable ?? 0, 0);
  assert.equal((await values(dir, 'counts')).length, 7);
  // For longer than its patience: the job fails.
  hasWaited = false;
  await rm(join(dir, 'counts'), { recursive: true });
  const given = await start(dir, `http://127.0.0.1:${port}`, 'read', { timeout: '1s' });
  await assert.rejects(
    given.done,
    (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_SOURCE' && /It was tried for 1000 ms \(timeout\)/.test(error.message),
  );
});

test('a schema that refers to others; one that is of another kind; what is no schema', async (t) => {
  const money = { type: 'record', name: 'shop.Money', fields: [{ name: 'cents', type: 'long' }] };
  const line = { type: 'record', name: 'shop.Line', fields: [{ name: 'price', type: 'shop.Money' }] };
  const order = { type: 'record', name: 'shop.Order', fields: [{ name: 'first', type: 'shop.Line' }] };
  const to = (name: string, subject: string) => ({ name, subject, version: 1 });
  const answers: Readonly<Record<string, object>> = {
    '/schemas/ids/1': { schema: JSON.stringify(order), references: [to('shop.Line', 'line')] },
    '/subjects/line/versions/1': { id: 2, version: 1, schema: JSON.stringify(line), references: [to('shop.Money', 'money')] },
    '/subjects/money/versions/1': { id: 3, version: 1, schema: JSON.stringify(money) },
    '/schemas/ids/4': { schema: 'message M { }', schemaType: 'PROTOBUF' },
    '/schemas/ids/5': { schema: '{"type":"record","name":"shop.Order","fields":[{"name":"first","type":"nowhere.Line"}]}' },
  };
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const answer = answers[request.url ?? ''];
    response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? { error_code: 40_403 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const schemas = registry({ url: `http://127.0.0.1:${(server.address() as { port: number }).port}` });
  // As a worker asks: once for each id, however many wait for it.
  for (const id of [1, 4, 5, 6]) await Promise.all([schemas.fetch(id, {}), schemas.fetch(id, {})]);
  assert.equal(asked.length, new Set(asked).size);
  const record = (id: number, ...bytes: number[]): Uint8Array => new Uint8Array([0, 0, 0, 0, id, ...bytes]);
  const reader = { ...order, fields: [{ name: 'first', type: { ...line, fields: [{ name: 'price', type: money }] } }] };
  const { rows, rejections } = decode(avro(reader, { registry: schemas }), [record(1, 14), record(4, 14), record(5, 14), record(6, 14), record(1, 16)]);
  assert.deepEqual(rows, [{ first: { price: { cents: 7n } } }, { first: { price: { cents: 8n } } }]);
  const why = rejections.map(({ message }) => message);
  assert.match(why[0] ?? '', /its schema, id 4 of the registry, is "PROTOBUF", and the codec is avro\(\)/);
  assert.match(why[1] ?? '', /its schema cannot be read: .*"nowhere.Line" is defined nowhere/);
  assert.match(why[2] ?? '', /its schema has the id 6, which the registry .* does not have/);
});

test('subjects by topic, by record, by both; credentials are sent, and refused in the words of the registry', async (t) => {
  const seen: { url: string; auth: string | undefined }[] = [];
  const server = createServer((request, response) => {
    seen.push({ url: request.url ?? '', auth: request.headers.authorization });
    request.resume();
    if (request.headers.authorization === undefined) return void response.writeHead(401).end('{"error_code":401,"message":"Unauthorized"}');
    response.end('{"id":7}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/base`;
  const schema = { topic: 'my clicks', record: 'shop.Click', type: 'AVRO', schema: JSON.stringify(CLICK) } as const;
  const auth = { username: 'key', password: 'secret' };
  for (const subject of ['topic', 'record', 'topicRecord', { name: 'x/y' }] as const) assert.equal(await registry({ url, auth, subject }).idOf(schema, {}), 7);
  assert.deepEqual(
    seen.map((one) => one.url),
    ['my%20clicks-value', 'shop.Click', 'my%20clicks-shop.Click', 'x%2Fy'].map((name) => `/base/subjects/${name}/versions`),
  );
  assert.ok(seen.every((one) => one.auth === `Basic ${Buffer.from('key:secret').toString('base64')}`));
  await assert.rejects(registry({ url }).idOf(schema, {}), /it answers with status 401: .*Unauthorized.* Give credentials: auth/);
  for (const options of [{ url: 'nope' }, { url, subject: 'table' }, { url, register: 'yes' }, { url, retries: 3 }]) {
    assert.throws(
      () => registry(options as never),
      (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION',
    );
  }
});
