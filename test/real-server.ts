/**
 * A real server for a test file: started by the first test that asks, stopped behind the last. Where it cannot be had
 * the test is skipped and says what to install, except in CI, where it fails.
 */

import { after, type TestContext } from 'node:test';
import { missing, type RunningServer, type ServerName, type ServerOptions, startServer } from '../scripts/servers/index.js';

const started = new Map<string, Promise<RunningServer>>();

after(async () => {
  for (const server of started.values()) await (await server.catch(() => undefined))?.stop();
});

/** Undefined: there is none, and the test is marked as skipped. */
export async function realServer<Name extends ServerName>(t: TestContext, name: Name, options: ServerOptions = {}): Promise<RunningServer<Name> | undefined> {
  const lacking = missing(name);
  if (lacking !== undefined) {
    if (process.env['CI'] === 'true') throw new Error(lacking);
    t.skip(lacking);
    return undefined;
  }
  let server = started.get(name);
  if (server === undefined) started.set(name, (server = startServer(name, options) as Promise<RunningServer>));
  return (await server) as RunningServer<Name>;
}
