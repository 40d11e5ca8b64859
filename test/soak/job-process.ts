/** The job in a process of its own: `millrace run`, with what the checker has put into its environment. */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TYPESCRIPT } from '../typescript.ts';
import type { Kill } from './plan.ts';
import type { Canary } from './wrapping.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const OUTPUT_CHARS = 20_000;

export interface JobOptions {
  readonly dir: string;
  readonly params: Readonly<Record<string, string>>;
  readonly killAt?: Kill | undefined;
  readonly stopAt?: Kill | undefined;
  readonly canary?: Canary | undefined;
  /** Reads what is there, gives out what is open, and ends. */
  readonly isLast?: boolean;
  /** Waits for whoever is at work. */
  readonly isStandby?: boolean;
}

const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export class JobProcess {
  readonly dir: string;
  readonly startedMs = performance.now();
  readonly #child: ChildProcess;
  readonly ended: Promise<void>;
  /** The end of what it has printed. */
  output = '';
  /** What it has printed since `news` was asked for last. */
  #unread = '';

  constructor({ dir, params, killAt, stopAt, canary, isLast = false, isStandby = false }: JobOptions) {
    this.dir = dir;
    const at = (kill: Kill | undefined) => (kill !== undefined && 'point' in kill ? `${kill.point}:${kill.times}` : undefined);
    const env = { MILLRACE_KILL_AT: at(killAt), MILLRACE_STOP_AT: at(stopAt), MILLRACE_CANARY: canary };
    const isSabotaged = Object.values(env).some((value) => value !== undefined);
    const flags = Object.entries({
      workers: '2',
      trigger: isLast ? 'availableNow' : '30ms',
      checkpoint: dir,
      'checkpoint-interval': '80ms',
      guarantee: 'exactly-once',
      memory: '128MiB',
      ...(isLast ? { drain: 'emit' } : {}),
    }).flatMap(([name, value]) => [`--${name}`, value]);
    const given = Object.entries(params).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
    this.#child = spawn(
      process.execPath,
      [
        ...TYPESCRIPT,
        ...(isSabotaged ? ['--import', new URL('sabotage.ts', import.meta.url).href] : []),
        'runtime/cli.ts',
        'run',
        fileURLToPath(new URL('pipeline.ts', import.meta.url)),
        ...flags,
        ...(isStandby ? ['--standby'] : []),
        ...given,
      ],
      {
        cwd: root,
        env: { ...process.env, ...Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)) },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    alive.add(this.#child);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.output = (this.output + text).slice(-OUTPUT_CHARS);
      this.#unread = (this.#unread + text).slice(-OUTPUT_CHARS);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('close', () => {
        alive.delete(this.#child);
        resolve();
      });
    });
  }

  /** The end of what it has printed since the last call. */
  news(): string {
    const text = this.#unread;
    this.#unread = '';
    return text;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** `SIGKILL`, or the exit code. */
  get ending(): string {
    return String(this.#child.signalCode ?? this.#child.exitCode);
  }

  get isStopped(): boolean {
    try {
      const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1');
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
    } catch {
      return false;
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** @returns whether it ended within this time */
  async endsWithin(ms: number): Promise<boolean> {
    const controller = new AbortController();
    const late = sleep(ms, 'late', { signal: controller.signal }).catch(() => 'late');
    const first = await Promise.race([this.ended, late]);
    controller.abort();
    return first !== 'late';
  }
}
