/**
 * The demo's job under kill -9: processes of `millrace run`, exactly-once, one after the other. Each is killed
 * at a random time after its first checkpoint behind that of its predecessor, until one comes to the end. A
 * checkpoint at the same positions does not count: else a process that is killed early would never get on.
 */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { MillraceError, seededRng } from '../../core/index.ts';
import { inspectCheckpoints } from '../checkpoint/index.ts';

const LOOK_MS = 5;
const STDERR_CHARS = 2_000;
const CLI = fileURLToPath(new URL(`../cli.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url));

export interface KilledOptions {
  readonly module: URL;
  readonly params: Record<string, unknown>;
  readonly workers: number;
  /** Where the job keeps its state. */
  readonly dir: string;
  /** How long a process lives, about. */
  readonly everyMs: number;
  /** After so many kills nobody kills any more. */
  readonly times: number;
  readonly seed: number;
  readonly say: (text: string) => void;
}

export interface Killed {
  readonly kills: number;
  /** From the start of a successor to its first checkpoint behind that of its predecessor. */
  readonly recoverySeconds: readonly number[];
}

/** @throws MillraceError when a process ends by itself before it is done */
export async function runKilled({ module, params, workers, dir, everyMs, times, seed, say }: KilledOptions): Promise<Killed> {
  const rng = seededRng(seed);
  const flags = ['--workers', String(workers), '--trigger', 'availableNow', '--drain', 'emit', '--guarantee', 'exactly-once'];
  const given = Object.entries(params).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
  const args = [...process.execArgv, CLI, 'run', fileURLToPath(module), ...flags, '--checkpoint', dir, '--checkpoint-interval', '200ms', ...given];
  const recoverySeconds: number[] = [];
  let before = await newest(dir);
  for (let kills = 0; ; kills++) {
    const startedAt = performance.now();
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-STDERR_CHARS);
    });
    const orphaned = (): void => void child.kill('SIGKILL');
    process.once('exit', orphaned);
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;
    const killAt = kills < times ? startedAt + everyMs * (0.5 + rng()) : Number.POSITIVE_INFINITY;
    let now = before;
    let seconds = 0;
    while (isRunning() && (now.at === before.at || performance.now() < killAt)) {
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, LOOK_MS))]);
      if (now.at !== before.at) continue;
      now = await newest(dir);
      seconds = (performance.now() - startedAt) / 1_000;
      if (now.at !== before.at && kills > 0) {
        recoverySeconds.push(seconds);
        say(`process ${child.pid} goes on from checkpoint ${before.number}: its first one behind that is there after ${Math.round(1_000 * seconds)} ms`);
      }
    }
    if (isRunning()) child.kill('SIGKILL');
    await ended;
    process.removeListener('exit', orphaned);
    if (child.signalCode !== 'SIGKILL') {
      if (child.exitCode === 0) return { kills, recoverySeconds };
      throw new MillraceError('ERR_MILLRACE_WORKER', `The job under kill -9 ended by itself, with ${child.exitCode ?? child.signalCode}: ${stderr.trim()}`);
    }
    before = await newest(dir);
    say(
      `kill ${kills + 1}: process ${child.pid}, ${((performance.now() - startedAt) / 1_000).toFixed(1)} s old, is gone; checkpoint ${before.number} is the last`,
    );
  }
}

/** The newest checkpoint: its number, and its positions as text. */
async function newest(dir: string): Promise<{ readonly number: number | undefined; readonly at: string }> {
  try {
    const [found] = (await inspectCheckpoints(dir)).checkpoints;
    const offsets = found?.sources.map(({ positions }) => positions.map(({ offset }) => offset).join()).join(' ');
    // Where nothing is read yet there is no progress, whether there is a checkpoint or not.
    return { number: found?.checkpoint, at: offsets === undefined || /^[0, ]*$/.test(offsets) ? '' : offsets };
  } catch (error) {
    if (error instanceof MillraceError) return { number: undefined, at: '' };
    throw error;
  }
}
