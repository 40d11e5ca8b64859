/**
 * The newcomer's way: an empty folder, `npm init`, the package from its tarball, `millrace init`, nothing edited, `npm test`,
 * `npm start`, the page and its metrics, SIGTERM. Packages are links to those of this checkout, so nothing is fetched.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine } from '../runtime/command-line.ts';
import { installPacked, packageRoot } from './packed-package.ts';

const HANG_MS = 120_000;
const isWindows = process.platform === 'win32';

function emptyFolder(t: TestContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'millrace-newcomer-')));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** The variables without those that npm and the test runner set for this process. */
function cleanEnvironment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_TEST|NODE_OPTIONS|INIT_CWD)/.test(name))), ...more };
}

function called(folder: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8', env: cleanEnvironment(), shell: isWindows, timeout: HANG_MS });
  assert.equal(status, 0, `${command} ${args.join(' ')}:\n${stdout}${stderr}`);
  return stdout;
}

function scraped(text: string, name: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Waits until it is true; fails when the process ends before. */
async function until(child: ChildProcess, printed: () => string, condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    assert.ok(child.exitCode === null && child.signalCode === null, `npm start has ended:\n${printed()}`);
    await sleep(50);
  }
}

test('from an empty folder to a running job', async (t) => {
  assert.ok(existsSync(join(packageRoot, 'dist/runtime/init/template')), 'dist is not there, or old: npm run build');
  const folder = emptyFolder(t);
  called(folder, 'npm', 'init', '-y');
  installPacked(folder);
  // As npm links what a package brings.
  mkdirSync(join(folder, 'node_modules/.bin'));
  if (isWindows) writeFileSync(join(folder, 'node_modules/.bin/millrace.cmd'), '@node "%~dp0\\..\\millrace\\dist\\runtime\\cli.js" %*\r\n');
  else symlinkSync('../millrace/dist/runtime/cli.js', join(folder, 'node_modules/.bin/millrace'));

  const told = called(folder, 'npx', '--no-install', 'millrace', 'init');
  for (const step of ['src/clicks.ts', 'npm test', 'npm start']) assert.ok(told.includes(step), told);
  assert.ok(!told.includes('npm install'), 'all packages are there');
  for (const file of ['.gitignore', '.dockerignore', 'Dockerfile', 'compose.yaml', 'README.md', 'tsconfig.json', 'test/clicks.test.ts'])
    assert.ok(existsSync(join(folder, file)), file);

  const tests = called(folder, 'npm', 'test');
  assert.match(tests, /^(# |ℹ )pass 2$/m);
  assert.match(called(folder, 'npm', 'run', '--silent', 'explain'), /clicks-per-page/);
  for (const name of ['@types', 'undici-types', 'typescript'])
    symlinkSync(join(packageRoot, 'node_modules', name), join(folder, 'node_modules', name), 'junction');
  called(folder, process.execPath, join(packageRoot, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--preserveSymlinks');

  // A group of its own: should this fail half-way, all of it is ended.
  const child = spawn('npm', ['start'], {
    cwd: folder,
    env: cleanEnvironment({ PORT: '0' }),
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: isWindows,
    detached: !isWindows,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (stderr += text));
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  );
  const hang = setTimeout(() => process.kill(isWindows ? (child.pid as number) : -(child.pid as number), 'SIGKILL'), HANG_MS);
  t.after(() => clearTimeout(hang));

  await until(
    child,
    () => stdout + stderr,
    () => /live page at (\S+)\//.test(stderr),
  );
  const [, page] = /live page at (\S+)\/,/.exec(stderr) as unknown as [string, string];
  assert.match(await (await fetch(`${page}/`)).text(), /<html/);
  const rowsIn = async () => scraped(await (await fetch(`${page}/metrics`)).text(), 'millrace_rows_in_total');
  await until(
    child,
    () => stdout + stderr,
    async () => (await rowsIn()) > 1_000,
  );
  // The first window of ten seconds closes: a table with its five pages.
  const rows = () => [...stdout.matchAll(/^\/page\/[0-4] {2}\S+ \S+ {2}\S+ \S+ +\d+ +\d+\.\d+$/gm)];
  await until(
    child,
    () => stdout + stderr,
    () => rows().length >= 5,
  );
  if (isWindows) return void child.kill();
  // To npm itself, as a supervisor does it.
  child.kill('SIGTERM');
  const { code, signal } = await ended;
  assert.equal(code ?? signal, 0, stdout + stderr);
  assert.match(stderr, /SIGTERM: what was read is finished/);
});

/** `millrace init` in this process: its exit code and what it prints. */
async function init(t: TestContext, dir: string): Promise<{ code: number; out: string }> {
  let out = '';
  const keep = (...parts: unknown[]) => void (out += `${parts.join(' ')}\n`);
  const mocks = [t.mock.method(console, 'log', keep), t.mock.method(console, 'error', keep)];
  const code = await commandLine(['init', dir]);
  for (const one of mocks) one.mock.restore();
  return { code, out };
}

test('init makes the folder, names the project after it, and says what to fetch', async (t) => {
  const dir = join(emptyFolder(t), 'My Clicks');
  const { code, out } = await init(t, dir);
  assert.equal(code, 0, out);
  assert.match(out, /npm install/);
  const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
  const own = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  assert.equal(manifest['name'], 'my-clicks');
  assert.equal(manifest['type'], 'module');
  assert.equal(manifest['dependencies']?.['millrace'], `^${own.version}`);
});

test('init overwrites nothing, and writes nothing where it cannot write all', async (t) => {
  const cases: [files: Record<string, string>, message: RegExp][] = [
    [{ Dockerfile: 'FROM scratch' }, /there is Dockerfile already/],
    [{ 'package.json': '{"scripts":{"start":"node ."}}' }, /script "start", "node \."/],
    [{ 'package.json': '{"main":"index.js"}', 'index.js': '' }, /"index\.js" is CommonJS/],
    [{ 'package.json': '{"name":' }, /package\.json cannot be read/],
    [{ 'package.json': '[]' }, /not an object/],
  ];
  for (const [files, message] of cases) {
    const dir = emptyFolder(t);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    const { code, out } = await init(t, dir);
    assert.equal(code, 1);
    assert.match(out, message);
    assert.match(out, /ERR_MILLRACE_FILE/);
    assert.deepEqual(readdirSync(dir).sort(), Object.keys(files).sort());
    for (const [name, text] of Object.entries(files)) assert.equal(readFileSync(join(dir, name), 'utf8'), text);
  }
});

test('init keeps what a package.json has, and a README', async (t) => {
  const dir = emptyFolder(t);
  writeFileSync(join(dir, 'package.json'), '{"name":"mine","scripts":{"lint":"x"},"dependencies":{"millrace":"file:a.tgz"}}');
  writeFileSync(join(dir, 'README.md'), 'mine');
  assert.equal((await init(t, dir)).code, 0);
  const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
  assert.equal(manifest['name'], 'mine');
  assert.equal(manifest['scripts']?.['lint'], 'x');
  assert.equal(manifest['dependencies']?.['millrace'], 'file:a.tgz');
  assert.equal(readFileSync(join(dir, 'README.md'), 'utf8'), 'mine');
  const { code } = await init(t, dir);
  assert.equal(code, 1, 'a second time it is in its own way');
});

test('init takes one folder', async (t) => {
  let out = '';
  t.mock.method(console, 'error', (text: string) => void (out += text));
  assert.equal(await commandLine(['init', 'a', 'b']), 2);
  assert.match(out, /give one folder, not 2/);
});
