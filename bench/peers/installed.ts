/** Whether a peer is available on this machine, and in which version, for the output. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const known = new Map<string, string | undefined>();

/** Why a package cannot be loaded, or undefined. A missing binary for this platform counts too. */
export function missingPackage(name: string): string | undefined {
  if (!known.has(name)) {
    // In another process: a library with its own threads must not run in the runner's.
    const { status, stderr } = spawnSync(
      process.execPath,
      ['-e', `require(${JSON.stringify(require.resolve.paths(name) === null ? name : safeResolve(name))})`],
      { encoding: 'utf8' },
    );
    known.set(name, status === 0 ? undefined : `${name} cannot be loaded: ${/(?:Error: )(.+)/.exec(stderr)?.[1] ?? `node ended with ${status}`}`);
  }
  return known.get(name);
}

function safeResolve(name: string): string {
  try {
    return require.resolve(name);
  } catch {
    return name;
  }
}

/**
 * A package of bench/peers/package.json, which `npm ci` does not install: so nothing is known of its types.
 */
// biome-ignore lint/suspicious/noExplicitAny: see above
export function importPeer(name: string): Promise<any> {
  return import(name);
}

/** The version of an installed package, or undefined. */
export function versionOf(name: string): string | undefined {
  for (let dir = dirname(new URL(import.meta.url).pathname); ; dir = dirname(dir)) {
    try {
      return (JSON.parse(readFileSync(join(dir, 'node_modules', name, 'package.json'), 'utf8')) as { version: string }).version;
    } catch {
      if (dir === dirname(dir)) return undefined;
    }
  }
}
