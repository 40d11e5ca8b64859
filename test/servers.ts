/**
 * Real servers for tests: one of each kind in a process, started by the first test that asks. Where one cannot be had the test is
 * skipped and says what to install, except in CI, where it fails.
 */

import { after, type TestContext } from 'node:test';
import { missing, type RunningServer, type ServerName, type ServerOptions, startServer } from '../scripts/servers/index.js';

const started = new Map<string, Promise<RunningServer>>();

/** The server, or undefined when there is none: then the test is marked as skipped, and returns. */
export async function openServer<Name extends ServerName>(t: TestContext, name: Name, options?: ServerOptions): Promise<RunningServer<Name> | undefined> {
  const advice = missing(name);
  if (advice !== undefined) {
    if (process.env['CI'] === 'true') throw new Error(advice);
    t.skip(advice);
    return undefined;
  }
  const key = JSON.stringify([name, options]);
  let server = started.get(key);
  if (server === undefined) started.set(key, (server = startServer(name, options) as Promise<RunningServer>));
  return (await server) as RunningServer<Name>;
}

after(async () => {
  for (const server of started.values()) await (await server.catch(() => undefined))?.stop();
});
