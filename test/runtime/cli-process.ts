/** The command line as a process of its own, run from source. */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TYPESCRIPT } from '../typescript.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const HANG_MS = 120_000;

export interface Ended {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliProcess {
  readonly child: ChildProcess;
  /** Settles when the process has ended by itself; one that hangs is killed after two minutes, which `signal` shows. */
  readonly ended: Promise<Ended>;
  stdout(): string;
  stderr(): string;
}

export function startCli(args: readonly string[], options: { env?: NodeJS.ProcessEnv; nodeArgs?: readonly string[] } = {}): CliProcess {
  return startProcess([...(options.nodeArgs ?? []), ...TYPESCRIPT, 'runtime/cli.ts', ...args], options.env);
}

export function runCli(args: readonly string[]): Promise<Ended> {
  return startCli(args).ended;
}

/** Any program of ours with this Node, in the folder of the repo. */
export function startProcess(args: readonly string[], env: NodeJS.ProcessEnv = {}): CliProcess {
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), HANG_MS);
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
  return { child, ended, stdout: () => stdout, stderr: () => stderr };
}
