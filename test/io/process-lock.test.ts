/** The lock of one process at a time: who gets it, who is refused, and many that want it at once. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProcessLock } from '../../io/process-lock.ts';
import { startProcess } from '../runtime/cli-process.ts';
import { caseCount } from '../seed.ts';
import { TYPESCRIPT } from '../typescript.ts';

const CONTENDERS = 4;
const ROUNDS = caseCount(40);
const contender = fileURLToPath(new URL('./fixtures/lock-contender.ts', import.meta.url));

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-lock-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function taken(path: string, user = 'a test'): Promise<ProcessLock> {
  const lock = await ProcessLock.tryTake(path, user);
  assert.ok(typeof lock !== 'string', String(lock));
  return lock;
}

/** A lock whose owner's name is changed: what another process would have left. */
async function leftBy(dir: string, change: (name: string) => string): Promise<void> {
  const lock = await taken(join(dir, 'x'), 'the one before');
  const [name = ''] = await readdir(lock.path);
  await rename(join(lock.path, name), join(lock.path, change(name)));
  // It is no longer this process's: as if it had ended.
  const text = await readFile(join(lock.path, change(name)), 'utf8');
  await lock.release();
  await mkdir(join(dir, 'x.held'), { recursive: true });
  await writeFile(join(dir, 'x.held', change(name)), text);
}

test('one has it; the next is told who; then it is free, and nothing is left', async (t) => {
  const dir = await folder(t);
  const first = await taken(join(dir, 'x'), 'the pipeline "clicks"');
  const holder = await ProcessLock.tryTake(join(dir, 'x'), 'another');
  assert.match(String(holder), new RegExp(`^this process \\(${process.pid}\\), for the pipeline "clicks" \\(.*x\\.held\\)`));
  await (await taken(join(dir, 'y'))).release();
  await first.release();
  await first.release();
  assert.deepEqual(await readdir(dir), []);
  await (await taken(join(dir, 'x'))).release();
});

test('of many that want it at once one gets it', async (t) => {
  const dir = await folder(t);
  const all = await Promise.all(Array.from({ length: 20 }, () => ProcessLock.tryTake(join(dir, 'x'), 'a test')));
  assert.equal(all.filter((lock) => typeof lock !== 'string').length, 1);
  for (const lock of all) if (typeof lock !== 'string') await lock.release();
});

test('a process that is gone keeps nothing: no such id, the same id of a later process, an earlier run of the machine', async (t) => {
  const dir = await folder(t);
  await leftBy(dir, (name) => name.replace(/^\d+/, '4194304999'));
  await (await taken(join(dir, 'x'))).release();
  if (process.platform !== 'linux') return;
  for (const pid of [process.pid, 1]) {
    await leftBy(dir, (name) => name.replace(/^\d+_\d+/, `${pid}_77`));
    await (await taken(join(dir, 'x'))).release();
  }
  await leftBy(dir, (name) => name.replace(/^(\d+_\d+)_[0-9a-f]*/, '$1_00ff'));
  await (await taken(join(dir, 'x'))).release();
  assert.deepEqual(await readdir(dir), []);
});

test('who cannot be asked has it, and what to do is said', async (t) => {
  const dir = await folder(t);
  await leftBy(dir, (name) => name.replace(/_[^_]*\.json$/, '_elsewhere.json'));
  assert.match(String(await ProcessLock.tryTake(join(dir, 'x'), 'a test')), /on elsewhere, for the one before .*if it is gone, delete .*x\.held$/);
  await rm(join(dir, 'x.held'), { recursive: true });
  // Where the system does not tell when a process started, one that has the id counts.
  await leftBy(dir, (name) => name.replace(/^\d+_\d*/, `${process.ppid}_`));
  assert.match(String(await ProcessLock.tryTake(join(dir, 'x'), 'a test')), /is another program, which got the id later, delete .*x\.held$/);
  await rm(join(dir, 'x.held'), { recursive: true });
  await mkdir(join(dir, 'x.held'));
  await writeFile(join(dir, 'x.held', 'notes.txt'), '');
  assert.match(String(await ProcessLock.tryTake(join(dir, 'x'), 'a test')), /notes\.txt/);
});

test(`${CONTENDERS} processes: never two at once, though half of them leave it as if they were killed`, async (t) => {
  const dir = await folder(t);
  const trace = join(dir, 'trace');
  await writeFile(trace, '');
  const args = [...TYPESCRIPT, contender, join(dir, 'x'), trace, String(ROUNDS), '2'];
  const all = await Promise.all(Array.from({ length: CONTENDERS }, () => startProcess(args).ended));
  for (const { code, stderr } of all) assert.equal(code, 0, stderr);
  const steps = (await readFile(trace, 'utf8')).trimEnd().split('\n');
  assert.equal(steps.length, 2 * CONTENDERS * ROUNDS);
  let owners = 0;
  for (let at = 0; at < steps.length; at += 2) {
    const [enter = '', leave = ''] = steps.slice(at, at + 2);
    assert.match(enter, /^enter/, `step ${at}`);
    assert.equal(leave, enter.replace('enter', 'leave'), `step ${at}: another came in meanwhile`);
    if (at > 0 && enter.slice(6) !== steps[at - 1]?.slice(6)) owners++;
  }
  t.diagnostic(`${steps.length / 2} turns, ${owners} times from one process to another`);
  // What those that were refused had made aside is gone, too.
  assert.deepEqual(
    (await readdir(dir)).filter((name) => !/^(trace|x\.held)$/.test(name)),
    [],
  );
});
