/** What a user gets from the registry: the right files, entry points that exist, types first, and nothing that runs at install. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { before, describe, test } from 'node:test';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { installPacked, type Packed, packageRoot, packFiles } from './packed-package.ts';
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

const PICTURES = ['docs/live-page.png', 'docs/live-page-dark.png', 'docs/live-page-phone.png'];
const TOP = [
  'docs/GUARANTEES.md',
  'docs/errors.md',
  'docs/OPERATIONS.md',
  'docs/SCALE.md',
  ...PICTURES,
  'package.json',
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'LICENSE',
];

/** The oldest that README says works. */
const OLDEST_TYPESCRIPT = '5.7';

/** All doors, as a program with its types would use them. The last line must not compile. */
const CONSUMER = `
import { collect, count, f64, json, mean, pipeline, parquet, run, sliding, timestamp, utf8 } from 'millrace';
import { GroupTable } from 'millrace/core';
import { hdfs } from 'millrace/io/hdfs';
import { kafka } from 'millrace/io/kafka';
import { s3 } from 'millrace/io/s3';
import { testDriver } from 'millrace/testing';
const brokers = ['127.0.0.1:9092'];
const means = pipeline('clicks-per-page')
  .from(kafka.source({ brokers, topic: 'clicks', group: 'g', value: json({ page: utf8, ms: f64, at: timestamp }),
    sasl: { mechanism: 'plain', username: 'a', password: 'b' }, ssl: { ca: 'pem' } }))
  .withWatermark('at', '5s')
  .filter((r) => r.ms > 0)
  .keyBy('page')
  .window(sliding('1m', '10s'))
  .aggregate({ clicks: count(), meanMs: mean('ms') });
means.to(collect());
means.to(hdfs.sink({ url: 'http://namenode:9870', path: '/means', name: '{windowStart:ms}', value: json() }));
means.to(s3.sink({ bucket: 'lake', value: parquet({ compression: 'gzip' }) }));
export default means.to(kafka.sink({ brokers, topic: 'clicks-per-page', key: 'page', value: json() }));
export const rowsIn = async (): Promise<number> => (await (await run('./clicks.ts', { workers: 2 })).done).rowsIn;
export const rest = [GroupTable, testDriver];
means.filter((r) => r.meanMz > 1);
`;

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
      (path) =>
        !/^dist\/.+\.(js|d\.ts|wasm)$/.test(path) &&
        !/^examples\/(ports\/)?[\w-]+\.(ts|md)$/.test(path) &&
        !/^examples\/monitoring\/[\w-]+\.(json|yml|md)$/.test(path) &&
        !TOP.includes(path) &&
        !/^dist\/runtime\/init\/template\/((src|test)\/[\w.-]+\.ts|[\w.]+)$/.test(path) &&
        !/^dist\/runtime\/dashboard\/page\/[a-z]+\.(html|css)$/.test(path),
    );
    assert.deepEqual(strange, []);
    for (const path of [...TOP, 'dist/core/kernels.wasm']) assert.ok(paths.has(path), `${path} is in the package`);
    const rooms = new Set([...paths].filter((path) => path.startsWith('dist/')).map((path) => path.split('/')[1]));
    for (const room of rooms) assert.ok(['core', 'operators', 'io', 'runtime', 'examples'].includes(room as string), `dist/${room}`);
    assert.ok(packed.unpackedSize < 6_000_000, `${packed.unpackedSize} bytes unpacked`);
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

  test('links of the documents lead to files of the package', () => {
    for (const path of [...paths].filter((name) => name.endsWith('.md'))) {
      const text = readFileSync(join(packageRoot, path), 'utf8').replaceAll(/```[\s\S]*?```|`[^`\n]*`/g, '');
      for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^(https?:|#)/.test(link as string)) continue;
        const target = posix.join(posix.dirname(path), (link as string).split('#')[0] as string);
        assert.ok(paths.has(target), `${path} links to ${target}`);
      }
    }
  });

  test('compiles with the oldest TypeScript that is supported; kafkajs needs no types', {
    skip: process.env['CI'] !== 'true' && 'it fetches an old TypeScript: CI=true npm test -- test/package.test.ts',
  }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-types-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    installPacked(folder);
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'consumer.ts'), CONSUMER);
    const flags = '--noEmit --strict --target es2022 --module nodenext --allowImportingTsExtensions --preserveSymlinks --pretty false';
    const compile = (...more: string[]) => {
      const args = ['-y', '-p', `typescript@~${OLDEST_TYPESCRIPT}.0`, 'tsc', ...flags.split(' '), ...more, 'consumer.ts'];
      const { stdout, stderr } = spawnSync('npx', args, { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' });
      return `${stdout}${stderr}`.split('\n').filter((line) => line.includes('error'));
    };
    const wrong = /^consumer\.ts\(\d+,\d+\): error TS\d+: Property 'meanMz' does not exist/;
    const bare = compile('--skipLibCheck', 'false');
    assert.match(bare.find((line) => line.startsWith('consumer.ts')) ?? '', wrong);
    // Node's own modules need @types/node, as README says; nothing else may be missing.
    assert.deepEqual(
      bare.filter((line) => !line.startsWith('consumer.ts') && !/Cannot find module 'node:\w+'/.test(line)),
      [],
    );
    for (const name of ['@types', 'undici-types']) symlinkSync(join(packageRoot, 'node_modules', name), join(folder, 'node_modules', name), 'junction');
    const errors = compile('--types', 'node', '--skipLibCheck', 'false');
    assert.equal(errors.length, 1, errors.join('\n'));
    assert.match(errors[0] as string, wrong);
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
