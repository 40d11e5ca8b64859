/**
 * scripts/servers, but those on Java: they serve, keep what they have acknowledged over kill -9, and leave nothing behind. And what all
 * have in common: folders, refusals, the end with who started them, the command.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SERVER_NAMES, startServer } from '../scripts/servers/index.js';
import { isAlive } from '../scripts/servers/processes.js';
import { until } from './runtime/until.ts';
import { livesAndDies, serverNames, skipOf } from './server-life.ts';
import { MARK, ROUND_TRIPS } from './server-round-trips.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

for (const name of serverNames({ onJava: false })) test(`${name} serves again after kill -9`, { skip: skipOf(name) }, (t) => livesAndDies(t, name));

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
  await assert.rejects(startServer('redis', { heapMiB: 64 }), /Redis has no heap of Java: heapMiB 64/);
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

/** Runs the command to its end. */
async function command(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, ['scripts/servers.js', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (said.err += text));
  const code = await new Promise<number>((resolve) => child.once('close', resolve));
  return { code, ...said };
}

test('the command says what is wrong with its arguments', async () => {
  for (const [args, objection] of [
    [['oracle'], /no server 'oracle'/],
    [['redis', '--port', 'x'], /--port x is no port/],
    [['redis', '--data', 'x'], /Unknown option '--data'/],
    [['redis', 's3'], /One server at a time, not redis, s3/],
    [['--stay'], /Which server\?/],
  ] as const) {
    const { code, err } = await command(args);
    assert.equal(code, 2);
    assert.match(err, objection);
  }
});

test('it lists all servers, and says what is missing', async () => {
  const { code, out } = await command([], { PATH: '' });
  assert.equal(code, 0);
  const lines = out.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(' ')[0]),
    SERVER_NAMES,
  );
  const advice = /Redis cannot run here\. redis-server is missing: install it \(Debian: apt-get install redis-server\)\./;
  assert.match(out, advice);
  const refused = await command(['redis'], { PATH: '' });
  assert.equal(refused.code, 1);
  assert.match(refused.err, advice);
});
