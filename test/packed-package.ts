/** The package as `npm pack` makes it of this checkout, for the tests of what a user gets. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));

export interface Packed {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

/** What would be packed. */
export function packFiles(): Packed {
  return npmPack(['--dry-run']);
}

function npmPack(flags: readonly string[]): Packed {
  // Without scripts: `prepare` would build dist under the feet of the other tests.
  const { status, stdout, stderr } = spawnSync('npm', ['pack', '--json', '--ignore-scripts', ...flags], {
    cwd: packageRoot,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    maxBuffer: 64 << 20,
  });
  assert.equal(status, 0, stderr);
  const answer = JSON.parse(stdout) as Packed[] | Record<string, Packed>;
  return (Array.isArray(answer) ? answer[0] : Object.values(answer)[0]) as Packed;
}

/**
 * Packs, and unpacks into `folder/node_modules/millrace`. Its dependencies are links to those of this checkout, so that
 * nothing is fetched; what it does not declare is not linked, and cannot be found from there.
 */
export function installPacked(folder: string, also: readonly string[] = []): void {
  const { filename } = npmPack(['--pack-destination', folder]);
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, 'millrace'), { recursive: true });
  const { status, stderr } = spawnSync('tar', ['-xzf', join(folder, filename), '-C', join(modules, 'millrace'), '--strip-components=1'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  for (const name of [...runtimePackages(), ...also]) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(packageRoot, 'node_modules', name), join(modules, name), 'junction');
  }
  assert.ok(readdirSync(modules).includes('millrace'));
}

function runtimePackages(): string[] {
  const { dependencies } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { dependencies: Record<string, string> };
  return Object.keys(dependencies);
}
