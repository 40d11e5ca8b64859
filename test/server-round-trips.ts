/**
 * For each server of scripts/servers: writes something, and reads it back, through the server's own interface, by fetch, a program of
 * its own, or a few bytes of its protocol. `write` fails unless the server has acknowledged; `read` gives what must be `MARK` again.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import type { RunningServer, ServerName } from '../scripts/servers/index.js';
import { findProgram } from '../scripts/servers/programs.js';
import { until } from './runtime/until.ts';

export const MARK = 'kept-7f3a';

export interface RoundTrip<Name extends ServerName> {
  write(server: RunningServer<Name>): Promise<void>;
  read(server: RunningServer<Name>): Promise<string>;
  /** Its end takes away what was written, as a browser's does open pages. */
  readonly forgets?: true;
}

const JSON_BODY = { 'content-type': 'application/json', accept: 'application/json' };

/** The answer, of which the status must be this. */
async function answered(status: number, url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, init);
  if (response.status !== status) assert.fail(`${init.method ?? 'GET'} ${url} answers ${response.status}: ${await response.text()}`);
  return response;
}

/** By node:http: a DataNode answers 100 Continue though nobody asked for it, which fetch refuses. */
function put(url: string, body: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'PUT' }, (response) => response.resume().once('end', () => resolve(response.statusCode)));
    request.once('error', reject).end(body);
  });
}

/** Sends each of `requests` when the one before is answered, in one packet each, and gives the last answer. */
function talk(port: number, requests: readonly (string | Uint8Array)[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    let next = 0;
    const send = (): void => void socket.write(requests[next++] as string);
    socket.once('error', reject);
    socket.once('connect', send);
    socket.on('data', (reply) => {
      if (next < requests.length) return send();
      socket.destroy();
      resolve(reply);
    });
  });
}

/** Sends it to somebody who does not answer. */
function say(port: number, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port }, () => socket.end(text, () => resolve()));
    socket.once('error', reject);
  });
}

const search: RoundTrip<'elasticsearch' | 'opensearch'> = {
  async write({ url }) {
    await answered(201, `${url}/things/_doc/1`, { method: 'PUT', headers: JSON_BODY, body: JSON.stringify({ text: MARK }) });
  },
  async read({ url }) {
    const { _source } = (await (await answered(200, `${url}/things/_doc/1`)).json()) as { _source: { text: string } };
    return _source.text;
  },
};

/** A frame of CQL's binary protocol, version 4. */
function cqlFrame(opcode: number, body: Buffer): Buffer {
  const head = Buffer.from([4, 0, 0, 1, opcode, 0, 0, 0, 0]);
  head.writeInt32BE(body.length, 5);
  return Buffer.concat([head, body]);
}

function cqlQuery(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(Buffer.byteLength(text));
  // consistency ONE, no flags
  return cqlFrame(7, Buffer.concat([length, Buffer.from(text), Buffer.from([0, 1, 0])]));
}

const CQL_STARTUP = cqlFrame(1, Buffer.from('\0\x01\0\x0bCQL_VERSION\0\x053.0.0', 'latin1'));
const CQL_RESULT = 8;

async function cql(port: number, text: string): Promise<string> {
  const reply = await talk(port, [CQL_STARTUP, cqlQuery(text)]);
  const body = reply.subarray(9).toString('latin1');
  assert.equal(reply[4], CQL_RESULT, `${text}: ${body}`);
  return body;
}

function psql(url: string, text: string): string {
  const { status, stdout, stderr } = spawnSync(findProgram('psql') ?? 'psql', [url, '-At', '-c', text], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

interface SignedRequest {
  readonly service: 's3' | 'kinesis';
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
  /** Of the answer; default 200. */
  readonly status?: number;
}

/** A request with AWS's signature version 4. */
async function signed(server: RunningServer<'s3' | 'kinesis'>, request: SignedRequest): Promise<string> {
  const { endpoint, region, credentials } = server.connect;
  const { service, method, path, body = '', status = 200 } = request;
  const at = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const day = at.slice(0, 8);
  const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
  const mac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
  const headers: Record<string, string> = { host: new URL(endpoint).host, 'x-amz-content-sha256': sha(body), 'x-amz-date': at, ...request.headers };
  const names = Object.keys(headers).sort();
  const canonical = [method, path, '', ...names.map((name) => `${name}:${headers[name]}`), '', names.join(';'), sha(body)].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const key = [region, service, 'aws4_request'].reduce(mac, mac(`AWS4${credentials.secretAccessKey}`, day));
  const signature = mac(key, ['AWS4-HMAC-SHA256', at, scope, sha(canonical)].join('\n')).toString('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  const { host: _, ...sent } = headers;
  const init = { method, headers: { ...sent, authorization }, ...(body === '' ? {} : { body }) };
  return (await answered(status, endpoint + path, init)).text();
}

const s3Put = (path: string, body = '', headers: Record<string, string> = {}, status = 200): SignedRequest => ({
  service: 's3',
  method: 'PUT',
  path,
  body,
  headers,
  status,
});

async function askKinesis(server: RunningServer<'kinesis'>, call: string, input: object): Promise<Record<string, never>> {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `Kinesis_20131202.${call}` };
  const text = await signed(server, { service: 'kinesis', method: 'POST', path: '/', headers, body: JSON.stringify(input) });
  return text === '' ? {} : JSON.parse(text);
}

const clickhouseQuery = async (url: string, query: string): Promise<string> =>
  (await (await answered(200, url, { method: 'POST', body: query })).text()).trim();

/** When Prometheus had looked at itself; its answer for that time comes from what it has kept. */
let lookedAt = 0;

async function lookedUp(url: string): Promise<boolean> {
  const at = lookedAt === 0 ? '' : `&time=${lookedAt}`;
  const { data } = (await (await answered(200, `${url}/api/v1/query?query=up${at}`)).json()) as { data: { result: { value: [number, string] }[] } };
  const [time, value] = data.result[0]?.value ?? [];
  if (value !== '1' || time === undefined) return false;
  if (lookedAt === 0) lookedAt = time;
  return true;
}

async function openTitles(url: string): Promise<string[]> {
  const pages = (await (await answered(200, `${url}/json/list`)).json()) as { title: string }[];
  return pages.map(({ title }) => title);
}

/** Flume's and rsyslog's files are written after their answer, if they give one. */
async function foundIn(files: () => readonly string[]): Promise<string> {
  const read = (): string =>
    files()
      .map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : ''))
      .join('');
  await until(() => read().includes(MARK), 'the line in a file');
  return MARK;
}

export const ROUND_TRIPS: { readonly [Name in ServerName]: RoundTrip<Name> } = {
  elasticsearch: search,
  opensearch: search,
  hdfs: {
    async write({ url, connect: { user } }) {
      const { headers } = await answered(307, `${url}/a/b.txt?op=CREATE&user.name=${user}`, { method: 'PUT', redirect: 'manual' });
      assert.equal(await put(headers.get('location') ?? '', MARK), 201);
    },
    read: async ({ url, connect: { user } }) => (await answered(200, `${url}/a/b.txt?op=OPEN&user.name=${user}`)).text(),
  },
  cassandra: {
    async write({ port }) {
      await cql(port, "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
      await cql(port, 'CREATE TABLE k.t (id int PRIMARY KEY, text text)');
      await cql(port, `INSERT INTO k.t (id, text) VALUES (1, '${MARK}')`);
    },
    read: async ({ port }) => /kept-\w+/.exec(await cql(port, 'SELECT text FROM k.t WHERE id = 1'))?.[0] ?? '',
  },
  hbase: {
    async write({ url }) {
      await answered(201, `${url}/t/schema`, { method: 'PUT', headers: JSON_BODY, body: JSON.stringify({ name: 't', ColumnSchema: [{ name: 'f' }] }) });
      await answered(200, `${url}/t/row/f:text`, { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body: MARK });
    },
    read: async ({ url }) => (await answered(200, `${url}/t/row/f:text`, { headers: { accept: 'application/octet-stream' } })).text(),
  },
  postgres: {
    async write({ url }) {
      psql(url, `create table t as select '${MARK}' as text`);
      psql(url, "select pg_create_logical_replication_slot('s', 'pgoutput')");
    },
    read: async ({ url }) => psql(url, "select text from t where exists (select from pg_replication_slots where slot_name = 's')"),
  },
  redis: {
    write: async ({ port }) => assert.equal(`${await talk(port, [`SET k ${MARK}\r\n`])}`, '+OK\r\n'),
    read: async ({ port }) => `${await talk(port, ['GET k\r\n'])}`.split('\r\n')[1] ?? '',
  },
  s3: {
    async write(server) {
      await signed(server, s3Put('/bucket'));
      await signed(server, s3Put('/bucket/a/b.txt', MARK, { 'if-none-match': '*' }));
      await signed(server, s3Put('/bucket/a/b.txt', 'other', { 'if-none-match': '*' }, 412));
    },
    read: (server) => signed(server, { service: 's3', method: 'GET', path: '/bucket/a/b.txt' }),
  },
  clickhouse: {
    async write({ url }) {
      await clickhouseQuery(url, 'CREATE TABLE t (id UInt32, text String) ENGINE = ReplacingMergeTree ORDER BY id');
      await clickhouseQuery(url, `INSERT INTO t FORMAT JSONEachRow {"id":1,"text":"${MARK}"}`);
    },
    read: ({ url }) => clickhouseQuery(url, 'SELECT text FROM t WHERE id = 1'),
  },
  kinesis: {
    async write(server) {
      await askKinesis(server, 'CreateStream', { StreamName: 's', ShardCount: 1 });
      const isActive = async (): Promise<boolean> => JSON.stringify(await askKinesis(server, 'DescribeStream', { StreamName: 's' })).includes('"ACTIVE"');
      await until(isActive, 'the stream');
      await askKinesis(server, 'PutRecord', { StreamName: 's', PartitionKey: 'k', Data: btoa(MARK) });
    },
    async read(server) {
      const shard = { StreamName: 's', ShardId: 'shardId-000000000000', ShardIteratorType: 'TRIM_HORIZON' };
      const { ShardIterator } = await askKinesis(server, 'GetShardIterator', shard);
      const { Records } = (await askKinesis(server, 'GetRecords', { ShardIterator })) as { Records?: { Data: string }[] };
      return atob(Records?.[0]?.Data ?? '');
    },
  },
  apicurio: {
    async write({ url }) {
      const body = JSON.stringify({ schema: JSON.stringify({ type: 'record', name: 'R', doc: MARK, fields: [] }) });
      await answered(200, `${url}/subjects/s/versions`, { method: 'POST', headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' }, body });
    },
    async read({ url }) {
      const { schema } = (await (await answered(200, `${url}/subjects/s/versions/latest`)).json()) as { schema: string };
      return JSON.parse(schema).doc;
    },
  },
  flume: {
    write: async ({ port }) => assert.equal(`${await talk(port, [`${MARK}\n`])}`, 'OK\n'),
    async read({ port, connect: { out } }) {
      await talk(port, ['\n']);
      return foundIn(() => readdirSync(out).map((file) => join(out, file)));
    },
  },
  rsyslog: {
    async write({ port, connect: { messages } }) {
      await say(port, `<133>1 2026-01-01T00:00:00Z host app - - - ${MARK}\n`);
      await foundIn(() => [messages]);
    },
    async read({ port, connect: { messages } }) {
      await say(port, '<133>1 2026-01-01T00:00:00Z host app - - - more\n');
      return foundIn(() => [messages]);
    },
  },
  prometheus: {
    async write({ url }) {
      lookedAt = 0;
      await until(() => lookedUp(url), 'a first look');
    },
    read: async ({ url }) => ((await lookedUp(url)) ? MARK : ''),
  },
  chromium: {
    forgets: true,
    async write({ url }) {
      await answered(200, `${url}/json/new?${encodeURIComponent(`data:text/html,<title>${MARK}</title>`)}`, { method: 'PUT' });
      await until(async () => (await openTitles(url)).includes(MARK), 'the title of the page');
    },
    read: async ({ url }) => (await openTitles(url)).find((title) => title === MARK) ?? '',
  },
};
