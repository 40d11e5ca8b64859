/**
 * scripts/servers against real servers, one after the other: each serves, keeps what it has acknowledged over kill -9, is at the same
 * address again, and leaves nothing behind.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missing, type RunningServer, SERVER_NAMES, type ServerName, startServer } from '../scripts/servers/index.js';
import { isAlive } from '../scripts/servers/processes.js';
import { until } from './runtime/until.ts';
import { MARK, ROUND_TRIPS } from './server-round-trips.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const isCi = process.env['CI'] === 'true';
/** Why a server cannot run here: then its test is skipped, and fails with CI=true. */
const skipOf = (name: ServerName): string | false => (isCi ? false : (missing(name) ?? false));

async function livesAndDies<Name extends ServerName>(t: TestContext, name: Name): Promise<void> {
  const { write, read, forgets } = ROUND_TRIPS[name];
  const server: RunningServer<Name> = await startServer(name);
  t.after(() => server.stop());
  const { port, url, dir } = server;
  const pids = [...server.pids];
  await write(server);
  assert.equal(await read(server), MARK);

  await server.kill();
  for (const pid of pids) assert.ok(!isAlive(pid), `${name}: process ${pid} lives on`);
  await assert.rejects(read(server));

  await server.restart();
  assert.deepEqual([server.port, server.url], [port, url]);
  for (const pid of server.pids) assert.ok(!pids.includes(pid));
  if (forgets) {
    assert.equal(await read(server), '');
    await write(server);
  }
  assert.equal(await read(server), MARK);

  const last = [...server.pids];
  await server.stop();
  for (const pid of last) assert.ok(!isAlive(pid), `${name}: process ${pid} lives on`);
  assert.ok(!existsSync(dir), `${dir} is left behind`);
}

for (const name of SERVER_NAMES) test(`${name} serves again after kill -9`, { skip: skipOf(name) }, (t) => livesAndDies(t, name));

test('a folder of the caller is kept, and used again', { skip: skipOf('redis') }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-servers-test-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const first = await startServer('redis', { dir });
  await ROUND_TRIPS.redis.write(first);
  const { pid } = first;
  await first.restart();
  assert.ok(first.pid !== pid && !isAlive(pid), 'what runs is ended before it is started again');
  await first.stop();
  const second = await startServer('redis', { dir, port: first.port, settings: { maxmemory: '64mb' } });
  t.after(() => second.stop());
  assert.equal(second.port, first.port);
  assert.equal(await ROUND_TRIPS.redis.read(second), MARK);
});

test('what cannot be is refused, and says why', { skip: skipOf('redis') }, async (t) => {
  // @ts-expect-error there is no such server
  await assert.rejects(startServer('oracle'), /no server 'oracle'\. There are elasticsearch, /);
  // @ts-expect-error there is no such option
  await assert.rejects(startServer('redis', { memory: 1 }), /no option 'memory'\. It has port, /);
  await assert.rejects(startServer('redis', { settings: { nonsense: 1 } }), /Redis ended while starting[\s\S]*nonsense/);
  const redis = await startServer('redis');
  t.after(() => redis.stop());
  await assert.rejects(startServer('redis', { port: redis.port }), new RegExp(`port ${redis.port} of 127.0.0.1: something else does`));
});

test('a server ends with who started it, though that was killed', { skip: process.platform === 'win32' || skipOf('redis') }, async (t) => {
  const child = spawn(process.execPath, ['scripts/servers.js', 'redis'], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => void (said += text));
  await until(() => /runs \(pid \d+/.test(said) || child.exitCode !== null, 'a server');
  const [, pid, log] = /runs \(pid (\d+), log ([^)]+)\)/.exec(said) ?? [];
  assert.ok(pid !== undefined && log !== undefined, said);
  assert.ok(isAlive(Number(pid)) && existsSync(log));
  child.kill('SIGKILL');
  await until(() => !isAlive(Number(pid)) && !existsSync(log), 'the end of the server and its folder');
});

test('the command says what is wrong with its arguments', async () => {
  for (const [args, objection] of [
    [['oracle'], /no server 'oracle'/],
    [['redis', '--port', 'x'], /--port x is no port/],
    [['redis', '--data', 'x'], /Unknown option '--data'/],
    [['--stay'], /Which server\?/],
  ] as const) {
    const child = spawn(process.execPath, ['scripts/servers.js', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => void (said += text));
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 2);
    assert.match(said, objection);
  }
});
