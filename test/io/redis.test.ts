/** redis.sink against a real server: what it writes, what is refused, and what kills of the server leave. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Redis } from 'ioredis';
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
  nullable,
  type SchemaFields,
  SIGN,
  schema,
  timestamp,
  u32,
  utf8,
  withSign,
} from '../../core/index.ts';
import { type RedisSinkOptions, redis } from '../../io/redis/index.ts';
import type { RefusedRow, Sink } from '../../io/sink.ts';
import { run } from '../../runtime/index.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import { openServer } from '../servers.ts';
import { SinkRun } from './harness.ts';
import { killJobs, until } from './job-kills.ts';

async function place(t: TestContext) {
  const server = await openServer(t, 'redis');
  if (server === undefined) return undefined;
  const client = new Redis(server.url, { maxRetriesPerRequest: null });
  client.on('error', () => {});
  t.after(() => client.disconnect());
  return { server, client, url: server.url };
}

async function open(options: RedisSinkOptions, fields: SchemaFields, { isChanges = false } = {}) {
  const refused: RefusedRow[] = [];
  const sink = redis.sink(options);
  const told: Sink = { ...sink, open: (context) => sink.open({ ...context, refused: (row) => void refused.push(row) }) };
  return { run: await SinkRun.open(told, isChanges ? withSign(schema(fields)) : schema(fields)), refused };
}

const EVERY = {
  id: i32,
  yes: nullable(bool),
  tiny: nullable(i8),
  small: nullable(i16),
  natural: nullable(u32),
  long: nullable(i64),
  single: nullable(f32),
  double: nullable(f64),
  'wörds\r\n': nullable(utf8),
  bytes: nullable(binary),
  at: nullable(timestamp),
};
const ODD = '*1\r\n$4\r\nPING\r\n \0 \u{1f600} é';

test('every type, with extremes, nulls and odd text: a hash for each row, an entry of a stream', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const rows: AnyRow[] = [
    {
      id: 1,
      yes: true,
      tiny: -128,
      small: -32_768,
      natural: 0,
      long: -(2n ** 63n),
      single: 0.5,
      double: -1.7976931348623157e308,
      'wörds\r\n': ODD,
      bytes: new Uint8Array([0, 13, 10, 255]),
      at: -1,
    },
    {
      id: -2_147_483_648,
      yes: false,
      tiny: 127,
      small: 32_767,
      natural: 4_294_967_295,
      long: 2n ** 63n - 1n,
      single: 0.10000000149011612,
      double: 5e-324,
      'wörds\r\n': '',
      bytes: new Uint8Array(),
      at: 8.64e15,
    },
    { id: 3, yes: null, tiny: null, small: null, natural: null, long: null, single: null, double: null, 'wörds\r\n': null, bytes: null, at: null },
    {
      id: 4,
      yes: true,
      tiny: 0,
      small: 0,
      natural: 0,
      long: 0n,
      single: Number.NaN,
      double: Number.POSITIVE_INFINITY,
      'wörds\r\n': 'x'.repeat(100_000),
      bytes: new Uint8Array([7]),
      at: 0,
    },
  ];
  const texts = rows.map((row) => {
    const fields = Object.entries(row).filter(([, value]) => value !== null);
    return Object.fromEntries(
      fields.map(([name, value]) => [
        name,
        value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : Buffer.from(String(value)).toString('latin1'),
      ]),
    );
  });
  const latin = (hash: Record<string, Buffer>) => Object.fromEntries(Object.entries(hash).map(([name, value]) => [name, value.toString('latin1')]));
  const hash = await open({ url: at.url, type: 'hash', key: 'id', prefix: 'every:' }, EVERY);
  await hash.run.write(rows);
  await hash.run.commit(1);
  for (const [i, row] of rows.entries()) assert.deepEqual(latin(await at.client.hgetallBuffer(`every:${row['id']}`)), texts[i]);
  assert.deepEqual(hash.refused, []);
  // Fields that are null now go.
  await hash.run.write([{ ...(rows[2] as AnyRow), id: 1, tiny: 5 }]);
  assert.deepEqual(latin(await at.client.hgetallBuffer('every:1')), { id: '1', tiny: '5' });
  await hash.run.close();
  const stream = await open({ url: `${at.url}/3`, type: 'stream', stream: 'every' }, EVERY);
  await stream.run.write(rows);
  await stream.run.commit(1);
  await stream.run.close();
  await at.client.select(3);
  const entries = await at.client.xrangeBuffer('every', '-', '+');
  assert.deepEqual(
    entries.map(([, parts]) =>
      Object.fromEntries(Array.from({ length: parts.length / 2 }, (_, i) => [String(parts[2 * i]), (parts[2 * i + 1] as Buffer).toString('latin1')])),
    ),
    texts,
  );
  await at.client.select(0);
});

test('a table: hashes and members of sorted sets are replaced, and go', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const row = (region: string, page: string, n: number, isGone = false) => ({ region, page, n, [SIGN]: isGone });
  const changes = [
    [row('eu', 'a', 1), row('eu', 'b', 9), row('us', 'a', 4), row('us', 'c', 2)],
    [row('eu', 'a', 1, true), row('eu', 'a', 12), row('us', 'c', 2, true), row('us', 'd', 5)],
  ];
  const fields = { region: utf8, page: utf8, n: f64 };
  const sets = await open({ url: at.url, type: 'sortedSet', prefix: 'top:', key: 'region', member: 'page', score: 'n' }, fields, { isChanges: true });
  const hashes = await open({ url: at.url, type: 'hash', prefix: 'h:', key: ['region', 'page'], ttl: '1h' }, fields, { isChanges: true });
  for (const rows of changes) for (const one of [sets, hashes]) await one.run.write(rows);
  assert.deepEqual(await at.client.zrange('top:eu', '0', '-1', 'WITHSCORES'), ['b', '9', 'a', '12']);
  assert.deepEqual(await at.client.zrevrange('top:us', '0', '-1'), ['d', 'a']);
  assert.deepEqual(await at.client.hgetall('h:["eu","a"]'), { region: 'eu', page: 'a', n: '12' });
  assert.equal(await at.client.exists('h:["us","c"]'), 0);
  const left = await at.client.pttl('h:["eu","a"]');
  assert.ok(left > 0 && left <= 3_600_000);
  const one = await open({ url: at.url, type: 'sortedSet', prefix: 'all', member: 'page', score: 'n' }, fields);
  await one.run.write([{ region: 'eu', page: 'a', n: -0.5 }]);
  assert.deepEqual(await at.client.zrange('all', '0', '-1', 'WITHSCORES'), ['a', '-0.5']);
  for (const { run: each } of [sets, hashes, one]) await each.close();
  const capped = await open({ url: at.url, type: 'stream', stream: 'capped', lengthMax: 100 }, fields);
  await capped.run.write(Array.from({ length: 2_000 }, (_, n) => ({ region: 'eu', page: 'a', n })));
  assert.ok((await at.client.xlen('capped')) < 400);
  await capped.run.close();
});

test('rows that the server refuses go to the ledger, and the others are there', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  await at.client.set('bad:2', 'a text');
  const { run: sink, refused } = await open({ url: at.url, type: 'hash', prefix: 'bad:', key: 'id' }, { id: i32, n: nullable(f64) });
  await sink.write([1, 2, 3].map((id) => ({ id, n: 1 })));
  assert.deepEqual(await at.client.hgetall('bad:3'), { id: '3', n: '1' });
  assert.equal(refused.length, 1);
  assert.match(refused[0]?.message ?? '', /WRONGTYPE.*bad:2/s);
  assert.deepEqual([sink.writer.counts?.().rows, sink.writer.counts?.().refused], [2, 1]);
  await sink.close();
  const scores = await open({ url: at.url, type: 'sortedSet', prefix: 'scores', member: 'id', score: 'n' }, { id: i32, n: f64 });
  await scores.run.write([Number.NaN, Number.POSITIVE_INFINITY, 2].map((n, id) => ({ id, n })));
  assert.match(scores.refused[0]?.message ?? '', /not a valid float/);
  assert.deepEqual(await at.client.zrange('scores', '0', '-1'), ['2', '1']);
  await scores.run.close();
});

test('options, columns and users that cannot be', async (t) => {
  const url = 'redis://app:s3cret@127.0.0.1:1';
  const hash = { url, type: 'hash', key: 'id' };
  for (const [options, message] of [
    [{ ...hash, type: 'list' }, /type is "list"/],
    [{ ...hash, perfix: 'x' }, /Did you mean prefix/],
    [{ ...hash, key: [] }, /key is \[\]/],
    [{ ...hash, url: 'http://app:s3cret@h' }, /no address of a Redis/],
    [{ ...hash, url: 'redis://h/x' }, /no address of a Redis/],
    [{ ...hash, ttl: 'soon' }, /ttl/],
    [{ ...hash, changelog: 'retract' }, /one row of a key/],
    [{ url, type: 'sortedSet', prefix: 'a', member: 'm' }, /member and score/],
    [{ url, type: 'sortedSet', member: 'm', score: 's' }, /prefix is undefined/],
    [{ url, type: 'stream', stream: '' }, /stream is ""/],
    [{ url, type: 'stream', stream: 'a', lengthMax: 0 }, /lengthMax is 0/],
    [{ url, type: 'stream', stream: 'a', changelog: 'upsert' }, /not replaced/],
  ] as const)
    assert.throws(
      () => redis.sink(options as unknown as RedisSinkOptions),
      (error: Error & { code?: string }) => error.code === 'ERR_MILLRACE_OPTION' && message.test(error.message) && !/s3cret/.test(error.message),
      String(message),
    );
  for (const [options, fields, message] of [
    [hash, { n: i32 }, /id/],
    [hash, { id: nullable(i32) }, /may be null, and names/],
    [{ url, type: 'sortedSet', prefix: 'a', member: 'id', score: 's' }, { id: i32, s: utf8 }, /which is utf8; it has to be a number/],
    [{ url, type: 'stream', stream: 'a' }, { id: nullable(i32) }, /at least one field/],
  ] as const)
    assert.throws(() => redis.sink(options as unknown as RedisSinkOptions).check(schema(fields as SchemaFields)), { code: 'ERR_MILLRACE_PIPELINE', message });
  const at = await place(t);
  if (at === undefined) return;
  const fails = async (address: string, message: RegExp): Promise<void> => {
    const sink = redis.sink({ url: address, type: 'hash', key: 'id', deliveryTimeout: 300, requestTimeout: 700 });
    await assert.rejects(
      SinkRun.open(sink, schema({ id: i32 })),
      (error: Error) => message.test(error.message) && !/s3cret/.test(error.message),
      String(message),
    );
  };
  const host = new URL(at.url).host;
  await fails(`redis://app:s3cret@${host}`, /WRONGPASS.*Check user and password/);
  await fails(`redis://${host}/99`, /DB index is out of range/);
  await fails(url, /does not answer.*deliveryTimeout/);
  await fails(`rediss://${host}`, /did not answer within 700 ms/);
  await at.client.call('ACL', 'SETUSER', 'writer', 'on', '>pässword', '~w:*', '+ping', '+hset', '+auth');
  const { run: allowed } = await open({ url: `redis://writer:${encodeURIComponent('pässword')}@${host}`, type: 'hash', key: 'id', prefix: 'w:' }, { id: i32 });
  await allowed.write([{ id: 1 }]);
  await allowed.close();
  const { run: other } = await open({ url: `redis://writer:${encodeURIComponent('pässword')}@${host}`, type: 'hash', key: 'id', prefix: 'x:' }, { id: i32 });
  await assert.rejects(other.write([{ id: 1 }]), /NOPERM/);
  await other.close();
});

test('conformance: hashes are idempotent, streams at-least-once', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const rowOf = ({ unit, seq, attempt, text }: Record<string, string>): ConformanceRow => ({
    unit: Number(unit),
    seq: Number(seq),
    attempt: Number(attempt),
    text: String(text),
  });
  const hashes = await sinkConformance((name) => redis.sink({ url: at.url, type: 'hash', key: ['unit', 'seq'], prefix: `c-${name}:` }), {
    async read(name) {
      const pipeline = at.client.pipeline();
      for (const key of await at.client.keys(`c-${name}:*`)) pipeline.hgetall(key);
      return ((await pipeline.exec()) ?? []).map(([, hash]) => rowOf(hash as Record<string, string>));
    },
    isOrdered: false,
    schedules: 4,
  });
  assert.equal(hashes.delivery, 'idempotent');
  const streams = await sinkConformance((name) => redis.sink({ url: at.url, type: 'stream', stream: `s-${name}` }), {
    async read(name) {
      return (await at.client.xrange(`s-${name}`, '-', '+')).map(([, parts]) =>
        rowOf(Object.fromEntries(Array.from({ length: parts.length / 2 }, (_, i) => [parts[2 * i], parts[2 * i + 1]]))),
      );
    },
    isOrdered: false,
    schedules: 4,
  });
  assert.equal(streams.delivery, 'at-least-once');
  assert.ok(hashes.rows > 300 && streams.rows > 300);
});

test('the server, and then the job, is killed: every row is there', async (t) => {
  const at = await place(t);
  if (at === undefined) return;
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const rows = 30_000;
  const options = { url: at.url, type: 'hash', key: 'id', prefix: 'kept:' };
  const job = await run(new URL('./pipelines/to-server.ts', import.meta.url), {
    workers: 2,
    trigger: 20,
    checkpoint: { dir: join(dir, 'a'), interval: 50 },
    guarantee: 'exactly-once',
    epochBytes: '64KiB',
    params: { to: 'redis', options, rows, rowsPerSecond: 15_000 },
  });
  job.on('warning', () => {});
  await until(() => job.progress().rowsOut > 5_000 || job.progress().state === 'stopped');
  await at.server.kill();
  await until(() => job.progress().state === 'waiting' || job.progress().state === 'failed');
  await at.server.restart();
  await job.done;
  const whole = async (prefix: string) => {
    const keys = await at.client.keys(`${prefix}*`);
    assert.equal(keys.length, rows);
    assert.deepEqual(await at.client.hgetall(`${prefix}29999`), { id: '29999', page: 'p49', n: String(29_999 % 7) });
  };
  await whole('kept:');
  await killJobs(join(dir, 'b'), { to: 'redis', options: { ...options, prefix: 'killed:' }, rows, rowsPerSecond: 15_000 }, 'exactly-once', 2);
  await whole('killed:');
});
