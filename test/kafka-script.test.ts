/** `npm run kafka` leaves no broker behind, however those end who started it. With real processes. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingForKafka } from '../scripts/kafka.js';
import { until } from './runtime/until.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Why these cannot run here; with CI=true the tests fail then. */
const missing = process.platform === 'win32' ? 'Windows tells nobody who its parent was' : missingForKafka();
const skip = missing !== undefined && process.env['CI'] !== 'true' ? missing : false;

/** Starts a program that starts a broker, and waits for it. */
async function started(t: TestContext, command: string, args: readonly string[]): Promise<{ child: ChildProcess; broker: number; folder: string }> {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, KAFKA_BROKERS: '' } });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  await until(() => /runs \(pid \d+/.test(said) || child.exitCode !== null, 'a broker');
  const [, pid, log] = /runs \(pid (\d+), log ([^)]+)\)/.exec(said) ?? [];
  assert.ok(pid !== undefined && log !== undefined, said);
  const broker = Number(pid);
  t.after(() => {
    if (isAlive(broker)) process.kill(broker, 'SIGKILL');
    child.kill('SIGKILL');
  });
  assert.ok(isAlive(broker));
  return { child, broker, folder: join(root, dirname(log)) };
}

async function isGone({ broker, folder }: { broker: number; folder: string }): Promise<void> {
  await until(() => !isAlive(broker), 'the end of the broker');
  await until(() => !existsSync(folder), 'the end of its folder');
}

test('SIGTERM to npm ends the broker', { skip }, async (t) => {
  const running = await started(t, 'npm', ['run', 'kafka']);
  running.child.kill('SIGTERM');
  await isGone(running);
});

test('the broker ends with the program that started npm, though that was killed', { skip }, async (t) => {
  const program = "require('node:child_process').spawn('npm', ['run', 'kafka'], { stdio: ['ignore', 'inherit', 'inherit'] })";
  const running = await started(t, process.execPath, ['-e', program]);
  running.child.kill('SIGKILL');
  await isGone(running);
});

test('the broker ends with scripts/kafka.js itself, though that was killed', { skip }, async (t) => {
  const running = await started(t, process.execPath, ['scripts/kafka.js']);
  running.child.kill('SIGKILL');
  await isGone(running);
});
