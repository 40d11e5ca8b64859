/** http.sink against a real HTTP server: what a request is, what is tried again, what is refused. */

import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { i32, i64, nullable, schema, utf8 } from '../../core/index.ts';
import { csv, json } from '../../io/index.ts';
import type { RefusedRow, Sink } from '../../io/sink.ts';
import { type HttpSinkOptions, http } from '../../io/webhook/index.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import { SinkRun } from './harness.ts';

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver whose answers are what `answer` says. */
async function receiver(t: TestContext, answer: (received: Received) => number | [number, Record<string, string>] = () => 200) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString();
    const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
    const [status, headers] = [answer(one)].flat() as [number, Record<string, string>?];
    received.push(one);
    response.writeHead(status, headers ?? {}).end(status < 300 ? 'ok' : `no: ${status}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

const FIELDS = { id: i32, text: nullable(utf8), n: i64 };
const rows = (count: number) => Array.from({ length: count }, (_, id) => ({ id, text: id % 3 === 0 ? null : `"${id}"\n`, n: 2n ** 60n + BigInt(id) }));
const asJson = (count: number) => rows(count).map(({ id, text, n }) => `{"id":${id},"text":${JSON.stringify(text)},"n":${n}}`);

async function open(options: HttpSinkOptions) {
  const refused: RefusedRow[] = [];
  const sink = http.sink(options);
  const told: Sink = { ...sink, open: (context) => sink.open({ ...context, refused: (row) => void refused.push(row) }) };
  return { run: await SinkRun.open(told, schema(FIELDS)), refused };
}

test('an array, lines, another codec, gzip: what the request holds', async (t) => {
  const { received, url } = await receiver(t);
  const send = async (options: Partial<HttpSinkOptions>) => {
    received.length = 0;
    const { run } = await open({ url, ...options });
    await run.write(rows(5));
    await run.commit(1);
    await run.close();
    return received as readonly Received[];
  };
  const [array] = await send({ headers: { 'X-Team': 'a' }, auth: { bearer: 't0ken' } });
  assert.equal(array?.body, `[${asJson(5).join(',')}]`);
  assert.deepEqual([array?.method, array?.url, array?.headers['content-type']], ['POST', '/hook', 'application/json']);
  assert.deepEqual([array?.headers['x-team'], array?.headers.authorization], ['a', 'Bearer t0ken']);
  const [lines] = await send({ url: `${url}?key=1`, format: 'lines', method: 'PUT', compression: 'gzip' });
  assert.equal(
    lines?.body,
    asJson(5)
      .map((row) => `${row}\n`)
      .join(''),
  );
  assert.deepEqual([lines?.method, lines?.url, lines?.headers['content-type']], ['PUT', '/hook?key=1', 'application/x-ndjson']);
  const parts = await send({ requestRows: 2, concurrency: 1 });
  assert.deepEqual(
    parts.map(({ body }) => body),
    [asJson(2), asJson(4).slice(2), asJson(5).slice(4)].map((some) => `[${some.join(',')}]`),
  );
  assert.equal(new Set(parts.map(({ headers }) => headers['idempotency-key'])).size, 3);
  const [text] = await send({ format: 'lines', value: csv(), idempotencyHeader: false });
  assert.equal(text?.body.split('\n')[0], '0,,1152921504606846976');
  assert.equal(text?.headers['idempotency-key'], undefined);
});

test('a busy server gets the same request again under the same key; other statuses end the job', async (t) => {
  let busy = 3;
  const { received, url } = await receiver(t, () => (busy-- > 0 ? [503, { 'retry-after': '0' }] : 200));
  const { run } = await open({ url });
  await run.write(rows(10));
  await run.commit(1);
  assert.equal(received.length, 4);
  assert.equal(new Set(received.map(({ headers }) => headers['idempotency-key'])).size, 1);
  assert.equal(new Set(received.map(({ body }) => body)).size, 1);
  assert.deepEqual([run.writer.counts?.().rows, run.writer.counts?.().retries], [10, 3]);
  await run.close();
  const refusing = await receiver(t, () => 401);
  const second = await open({ url: refusing.url, auth: { username: 'a', password: 's3cret' } });
  await assert.rejects(
    second.run.write(rows(1)),
    (error: Error) => /status 401: no: 401\. Check the option auth/.test(error.message) && !/s3cret/.test(error.message),
  );
  await second.run.close();
  const own = await receiver(t, () => 418);
  const third = await open({ url: own.url, retryOn: [418], deliveryTimeout: 200 });
  await assert.rejects(third.run.write(rows(1)), /status 418.*deliveryTimeout/);
  await third.run.close();
});

test('rows that are refused for their content are found by halves, and the others are taken once', async (t) => {
  const taken: string[] = [];
  const { url } = await receiver(t, ({ body }) => {
    const given = JSON.parse(body) as { id: number }[];
    if (given.length > 40) return 413;
    if (given.some(({ id }) => id === 17 || id === 90)) return 422;
    taken.push(...given.map(({ id }) => String(id)));
    return 200;
  });
  const { run, refused } = await open({ url });
  await run.write(rows(100));
  await run.commit(1);
  assert.deepEqual(
    taken,
    rows(100).flatMap(({ id }) => (id === 17 || id === 90 ? [] : [String(id)])),
  );
  assert.equal(refused.length, 2);
  assert.match(refused[0]?.message ?? '', /status 422.*"id":17/);
  await run.close();
});

test('options that cannot be are refused', () => {
  const url = 'http://127.0.0.1:1';
  for (const [options, message] of [
    [{ url: 'ftp://x' }, /url is/],
    [{ url, mehtod: 'POST' }, /Did you mean method/],
    [{ url, method: 'GET' }, /method is "GET"/],
    [{ url, format: 'array', value: csv() }, /Take format: 'lines'/],
    [{ url, compression: 'zip' }, /compression is "zip"/],
    [{ url, retryOn: [200] }, /retryOn/],
    [{ url, idempotencyHeader: 'a b' }, /idempotencyHeader/],
    [{ url, delivery: 'transactional' }, /delivery is/],
    [{ url, changelog: 'upsert' }, /no keys to delete by/],
    [{ url, value: { id: i32 } }, /does not say how records are written/],
  ] as const)
    assert.throws(() => http.sink(options as unknown as HttpSinkOptions), { code: 'ERR_MILLRACE_OPTION', message });
  assert.equal(http.sink({ url, value: json(), delivery: 'idempotent' }).delivery, 'idempotent');
});

test('conformance: at-least-once', async (t) => {
  const places = new Map<string, ConformanceRow[]>();
  const { url } = await receiver(t, ({ url: path, body }) => {
    const place = path.split('/').at(-1) as string;
    places.set(place, [...(places.get(place) ?? []), ...(JSON.parse(body) as ConformanceRow[])]);
    return 200;
  });
  const report = await sinkConformance((place) => http.sink({ url: `${url}/${place}` }), {
    read: (place) => places.get(place) ?? [],
    isOrdered: false,
    schedules: 6,
  });
  assert.ok(report.rows > 500, `${report.rows} rows`);
});
