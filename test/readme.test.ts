/**
 * The snippets of README.md: each ```ts block is compiled under strict TypeScript, and run, against the package as it
 * would be published, in a folder with nothing else. ```ts compile-only marks one that needs a broker; ```ts file=NAME.ts
 * one that others import by that name.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { installPacked, packageRoot } from './packed-package.ts';
import { type Snippet, snippetsOf } from './readme-snippets.ts';

const RUN_TIMEOUT_MS = 120_000;
const readme = join(packageRoot, 'README.md');
const snippets: Snippet[] = existsSync(readme) ? snippetsOf(readFileSync(readme, 'utf8')) : [];

describe('README.md', () => {
  let folder = '';

  before(() => {
    assert.ok(existsSync(join(packageRoot, 'dist/runtime/index.js')), 'dist is not there: npm run build');
    folder = mkdtempSync(join(tmpdir(), 'millrace-readme-'));
    installPacked(folder, ['typescript', '@types/node']);
    writeFileSync(join(folder, 'package.json'), '{"type":"module","private":true}');
    for (const snippet of snippets) writeFileSync(join(folder, snippet.file), snippet.source);
  });
  after(() => {
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });

  test('has snippets, and one that runs', () => {
    assert.ok(snippets.length > 0, 'README.md has no ```ts snippet');
    assert.ok(
      snippets.some((snippet) => !snippet.compileOnly),
      'every snippet is compile-only',
    );
    assert.equal(new Set(snippets.map((snippet) => snippet.file)).size, snippets.length, 'two snippets have one file name');
  });

  test('every snippet compiles under strict TypeScript', () => {
    const flags = ['strict', 'noEmit', 'noUncheckedIndexedAccess', 'exactOptionalPropertyTypes', 'verbatimModuleSyntax', 'allowImportingTsExtensions'].map(
      (flag) => `--${flag}`,
    );
    const tsc = join(packageRoot, 'node_modules/typescript/bin/tsc');
    // skipLibCheck is off: the package's own declarations are checked with them.
    const args = [tsc, '--ignoreConfig', ...flags, '--target', 'es2023', '--module', 'nodenext', '--types', 'node', ...snippets.map((snippet) => snippet.file)];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}${stderr}`);
  });

  for (const snippet of snippets) {
    if (snippet.compileOnly) continue;
    test(`${snippet.file} (line ${snippet.line}) runs`, () => {
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--import', tsxOf(folder), snippet.file], {
        cwd: folder,
        encoding: 'utf8',
        timeout: RUN_TIMEOUT_MS,
      });
      assert.equal(status, 0, `${snippet.file} ended with ${signal ?? status}\n${stdout}\n${stderr}`);
    });
  }
});

function tsxOf(folder: string): string {
  return new URL(`file://${join(folder, 'node_modules/tsx/dist/loader.mjs')}`).href;
}

describe('snippets of a README', () => {
  test('are found with their file, line and mark', () => {
    const text = 'a\n```ts\nconst a = 1;\n```\n```js\nno\n```\n~~~ts\nno\n~~~\n```ts compile-only\nb\n```\n  ```ts file=clicks.ts\n  c\n    d\n  ```\n';
    assert.deepEqual(snippetsOf(text), [
      { file: 'snippet-1.ts', line: 2, compileOnly: false, source: 'const a = 1;\n' },
      { file: 'snippet-2.ts', line: 11, compileOnly: true, source: 'b\n' },
      { file: 'clicks.ts', line: 14, compileOnly: false, source: 'c\n  d\n' },
    ]);
    assert.deepEqual(snippetsOf('no code\n'), []);
    assert.throws(() => snippetsOf('```ts\nopen'), /line 1/);
    assert.throws(() => snippetsOf('```ts file=../x.ts\n```\n'), /file name/);
    assert.throws(() => snippetsOf('```ts compileonly\n```\n'), /compileonly/);
  });
});
