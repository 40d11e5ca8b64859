/** What a user gets from the registry: the right files, entry points that exist, types first, and nothing that runs at install. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { type Packed, packageRoot, packFiles } from './packed-package.ts';
import { importsOf } from './tidy/source-text.ts';

interface Manifest {
  readonly type: string;
  readonly main: string;
  readonly types: string;
  readonly bin: Record<string, string>;
  readonly exports: Record<string, string | Record<string, string>>;
  readonly scripts: Record<string, string>;
  readonly dependencies: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
  readonly peerDependenciesMeta?: Record<string, { optional?: boolean }>;
  readonly engines: { node: string };
  readonly license: string;
}

describe('package', () => {
  const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as Manifest;
  let packed: Packed;
  let paths: Set<string>;

  before(() => {
    assert.ok(existsSync(join(packageRoot, 'dist/runtime/index.js')), 'dist is not there: npm run build');
    packed = packFiles();
    paths = new Set(packed.files.map((file) => file.path));
  });

  test('lists what a user needs, and nothing else', () => {
    const strange = [...paths].filter(
      (path) => !/^dist\/.+\.(js|d\.ts|wasm)$/.test(path) && !['package.json', 'README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'LICENSE'].includes(path),
    );
    assert.deepEqual(strange, []);
    for (const path of ['package.json', 'README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'LICENSE', 'dist/core/kernels.wasm'])
      assert.ok(paths.has(path), `${path} is in the package`);
    const rooms = new Set([...paths].filter((path) => path.startsWith('dist/')).map((path) => path.split('/')[1]));
    for (const room of rooms) assert.ok(['core', 'operators', 'io', 'runtime', 'examples'].includes(room as string), `dist/${room}`);
    assert.ok(packed.unpackedSize < 4_000_000, `${packed.unpackedSize} bytes unpacked`);
  });

  test('each entry point has its types first, and both are there', () => {
    for (const [name, target] of Object.entries(manifest.exports)) {
      if (typeof target === 'string') {
        assert.equal(name, target, 'a plain target is the file of that name');
        assert.ok(paths.has(target.slice(2)), target);
        continue;
      }
      assert.deepEqual(Object.keys(target), ['types', 'default'], name);
      for (const path of Object.values(target)) assert.ok(paths.has(path.slice(2)), `${name}: ${path}`);
      assert.equal(target['types'], target['default']?.replace(/\.js$/, '.d.ts'), name);
    }
    for (const path of [manifest.main, manifest.types, ...Object.values(manifest.bin)]) assert.ok(paths.has(path.slice(2)), path);
    assert.match(readFileSync(join(packageRoot, manifest.bin['millrace'] as string), 'utf8'), /^#!\/usr\/bin\/env node\n/);
  });

  test('what the code imports is declared', () => {
    const declared = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies ?? {})]);
    for (const path of paths) {
      if (!path.endsWith('.js')) continue;
      const source = readFileSync(join(packageRoot, path), 'utf8');
      for (const { from } of importsOf(source)) {
        if (from.startsWith('node:') || from.startsWith('.')) continue;
        const name = from
          .split('/')
          .slice(0, from.startsWith('@') ? 2 : 1)
          .join('/');
        assert.ok(declared.has(name) || name === 'millrace', `${path} imports ${name}`);
      }
    }
    for (const peer of Object.keys(manifest.peerDependencies ?? {}))
      assert.equal(manifest.peerDependenciesMeta?.[peer]?.optional, true, `${peer} is an optional peer`);
  });

  test('nothing runs when it is installed', () => {
    for (const name of ['preinstall', 'install', 'postinstall']) assert.equal(manifest.scripts[name], undefined, name);
    assert.equal(manifest.engines.node, '>=20.19.0');
    assert.equal(manifest.license, 'Apache-2.0');
    assert.match(readFileSync(join(packageRoot, 'LICENSE'), 'utf8'), /Apache License\s+Version 2\.0, January 2004/);
  });

  test('the lock names the optional packages of every platform, or npm ci refuses it', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(packageRoot, 'scripts/complete-lock.js'), '--check'], { encoding: 'utf8' });
    assert.equal(status, 0, `node scripts/complete-lock.js adds what is missing:\n${stdout}${stderr}`);
  });

  test('publint has nothing to object', async () => {
    const files = packed.files.map(({ path }) => ({ name: `package/${path}`, data: readFileSync(join(packageRoot, path)) }));
    const { messages } = await publint({ pkgDir: 'package', strict: true, pack: { files } });
    assert.deepEqual(
      messages.map((message) => formatMessage(message, manifest, { color: false })),
      [],
    );
  });
});
