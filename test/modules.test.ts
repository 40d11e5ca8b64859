/**
 * Pipeline modules as users have them, with the package as it would be published: in the `"type": "commonjs"` that `npm init -y` makes
 * today, as .cts, and with faults, which the command line has to place.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { installPacked, packageRoot } from './packed-package.ts';
import { snippetsOf } from './readme-snippets.ts';

const HANG_MS = 300_000;
const readme = new Map(snippetsOf(readFileSync(join(packageRoot, 'README.md'), 'utf8')).map(({ file, source }) => [file, source]));
const clicks = readme.get('clicks.ts') as string;
let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-modules-'));
  installPacked(folder);
  const files = {
    'package.json': '{"name":"clicks","version":"1.0.0","main":"index.js","type":"commonjs"}',
    'clicks.ts': clicks,
    'main.ts': readme.get('main.ts') as string,
    'required.cts': clicks,
    'throws.ts': clicks.replace("tumbling('1m')", "((): never => { throw new Error('not today'); })()"),
    'syntax.ts': clicks.replace('.keyBy(', '.keyBy(('),
    'awaits.ts': `await Promise.resolve();\n${clicks}`,
    'plain.js': clicks,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
});
after(() => rmSync(folder, { recursive: true, force: true }));

function node(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', timeout: HANG_MS });
}
const millrace = (...args: string[]) => node('node_modules/millrace/dist/runtime/cli.js', ...args);
const lineOf = (text: string, part: string): number => text.slice(0, text.indexOf(part)).split('\n').length;

test("README's two files run in a commonjs package: by the command line, and by tsx", () => {
  const run = millrace('run', 'clicks.ts', '--workers', '2');
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stderr, /100,000 rows in, 40 out/);
  const main = node('node_modules/tsx/dist/cli.mjs', 'main.ts');
  assert.equal(main.status, 0, main.stderr);
  // The rows that the job collected are seen by the program, and are those that README shows.
  const printed = main.stdout.slice(main.stdout.indexOf('\n[') + 1).trim();
  assert.match(main.stdout, /^100000 rows in [\d.]+ s\n\[/);
  assert.ok(readFileSync(join(packageRoot, 'README.md'), 'utf8').includes(printed), printed);
});

test('a .cts module runs', () => {
  const run = millrace('run', 'required.cts', '--workers', '1');
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stderr, /100,000 rows in, 40 out/);
});

test("an error in the user's module comes with its file and line, and none of ours", () => {
  const threw = millrace('explain', 'throws.ts');
  assert.equal(threw.status, 1);
  assert.match(threw.stderr, /^ERR_MILLRACE_MODULE: .*throws\.ts" cannot be loaded: not today/);
  assert.match(threw.stderr, new RegExp(`throws\\.ts:${lineOf(clicks, "tumbling('1m')")}:`));
  assert.doesNotMatch(threw.stderr, /node:internal|millrace\/dist/);
  const syntax = millrace('explain', 'syntax.ts');
  assert.equal(syntax.status, 1);
  assert.match(syntax.stderr, /syntax\.ts:\d+:\d+/);
});

test('what CommonJS cannot have is said with the ways out', () => {
  for (const [file, message] of [
    ['awaits.ts', /awaits\.ts:1:.*[\s\S]*async function, name the file \.mts, or set "type": "module"/],
    ['plain.js', /name the file \.mjs, or set "type": "module"/],
  ] as const) {
    const { status, stderr } = millrace('explain', file);
    assert.equal(status, 1, stderr);
    assert.match(stderr, message);
  }
});
