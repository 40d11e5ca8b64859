/** `main`: a pipeline and its program in one file, and what is said to those who await run() at the top level of it. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../runtime/index.ts';
import { enterWorker, refuseInWorker } from '../../runtime/stream/load.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { startProcess } from './cli-process.ts';

const module = new URL('./pipelines/self.ts', import.meta.url);
const start = (path: string, ...args: string[]) => startProcess([...TYPESCRIPT, path, ...args]).ended;

test('runs where the module is the program, by its path or a link to it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const link = join(folder, 'linked.ts');
  symlinkSync(fileURLToPath(module), link);
  for (const path of [fileURLToPath(module), link]) {
    const { code, stdout, stderr } = await start(path);
    assert.deepEqual([code, stdout], [0, '10 rows\n'], stderr);
  }
});

test('does nothing where the module is imported, by a program or a worker', async () => {
  const job = await run(module, { workers: 2 });
  assert.equal((await job.done).rowsOut, 10);
});

test('what the program throws is told, with code 1', async () => {
  const { code, stderr } = await start(fileURLToPath(module), 'throws');
  assert.equal(code, 1);
  assert.match(stderr, /the program threw/);
});

test('a module that awaits run() of itself at its top level is told so', async () => {
  const { code, stderr } = await start(fileURLToPath(module), 'awaited');
  assert.equal(code, 1);
  assert.match(stderr, /ERR_MILLRACE_MODULE/);
  assert.match(stderr, /self\.ts" waits for itself.*main\(import\.meta\.url/);
});

test('a worker starts no job', () => {
  refuseInWorker('file:///clicks.ts');
  enterWorker();
  assert.throws(() => refuseInWorker('file:///clicks.ts'), { code: 'ERR_MILLRACE_MODULE', message: /every worker would start the job again.*main\(/ });
});
