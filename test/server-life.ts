/** The life of a server of scripts/servers, as its tests look at it: written to, killed, started again, read, ended. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { missing, type RunningServer, SERVER_NAMES, type ServerName, startServer } from '../scripts/servers/index.js';
import { isAlive } from '../scripts/servers/processes.js';
import { VERSIONS } from '../scripts/servers/versions.js';
import { MARK, ROUND_TRIPS } from './server-round-trips.ts';

const isCi = process.env['CI'] === 'true';

/** Why a server cannot run here: then its test is skipped. With CI=true it runs, and fails with the same words. */
export const skipOf = (name: ServerName): string | false => (isCi ? false : (missing(name) ?? false));

export const serverNames = ({ onJava }: { onJava: boolean }): ServerName[] => SERVER_NAMES.filter((name) => (VERSIONS[name].java !== undefined) === onJava);

/** Fails unless the server serves, is at the same address after kill -9, with what it had acknowledged, and leaves nothing behind. */
export async function livesAndDies<Name extends ServerName>(t: TestContext, name: Name): Promise<void> {
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
