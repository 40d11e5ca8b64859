/** The demo's job in several processes of `millrace run --tasks`, over Kafka, from the first row to the last result. */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import { MillraceError } from '../../core/index.ts';
import { run } from '../job/index.ts';
import type { Place } from './place.ts';
import type { PageMinute } from './result.ts';

const LOOK_MS = 50;
const STDERR_CHARS = 4_000;
const DAY_MS = 86_400_000;
const CLI = fileURLToPath(new URL(`../cli.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url));

export interface SharedOptions {
  readonly module: URL;
  readonly place: Place;
  readonly params: Record<string, unknown>;
  readonly processes: number;
  readonly tasks: number;
  /** Where the tasks keep their state. */
  readonly dir: string;
  /** How many results there are to be. */
  readonly count: number;
  readonly trigger: string;
}

export interface SharedRun {
  readonly result: readonly PageMinute[];
  /** From the start of the processes until all results were read. */
  readonly seconds: number;
  /** Of all processes. */
  readonly cpuSeconds: number;
}

/**
 * A click in each partition, long after all others, closes their windows: nothing else says that no more will come.
 *
 * @throws MillraceError ERR_MILLRACE_WORKER when a process ends by itself
 */
export async function runShared({ module, place, params, processes, tasks, dir, count, trigger }: SharedOptions): Promise<SharedRun> {
  await writeLastClicks(place.params as { readonly brokers: string; readonly input: string });
  const given = Object.entries(params).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
  const flags = ['--tasks', String(tasks), '--trigger', trigger, '--checkpoint', dir, '--checkpoint-interval', '200ms', '--json'];
  const args = [...process.execArgv, CLI, 'run', fileURLToPath(module), ...flags, ...given];
  const startedAt = performance.now();
  const children = Array.from({ length: processes }, () => startProcess(args));
  const orphaned = (): void => {
    for (const { child } of children) child.kill('SIGKILL');
  };
  process.once('exit', orphaned);
  try {
    const result = await resultsOf(place, count, () => children.find(({ child }) => child.exitCode !== null));
    const seconds = (performance.now() - startedAt) / 1_000;
    for (const { child } of children) child.kill('SIGTERM');
    await Promise.all(children.map(({ ended }) => ended));
    return { result, seconds, cpuSeconds: children.reduce((sum, one) => sum + one.cpuSeconds(), 0) };
  } finally {
    orphaned();
    process.removeListener('exit', orphaned);
  }
}

function startProcess(args: readonly string[]) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARS);
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return { child, ended, stderr: () => stderr.trim(), cpuSeconds: () => Number(/"cpuSeconds":([\d.]+)[^\n]*$/.exec(stderr.trim())?.[1] ?? Number.NaN) };
}

/** Reads results until all are there. */
async function resultsOf({ results: params }: Place, count: number, dead: () => ReturnType<typeof startProcess> | undefined): Promise<readonly PageMinute[]> {
  const job = await run(new URL(`./results.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url), { workers: 1, params });
  try {
    const { results } = await import('./results.ts');
    while (results.rows.length < count) {
      const gone = dead();
      if (gone !== undefined) throw new MillraceError('ERR_MILLRACE_WORKER', `A process that shares the job ended by itself: ${gone.stderr()}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return [...results.rows] as unknown as readonly PageMinute[];
  } finally {
    await job.stop();
  }
}

async function writeLastClicks({ brokers, input }: { readonly brokers: string; readonly input: string }): Promise<void> {
  const kafka = new Kafka({ clientId: input, brokers: brokers.split(','), logLevel: logLevel.NOTHING });
  const [admin, producer] = [kafka.admin(), kafka.producer()];
  await Promise.all([admin.connect(), producer.connect()]);
  try {
    const partitions = await admin.fetchTopicOffsets(input);
    const value = JSON.stringify({ page: '', user: '', ms: 1, at: Date.now() + 10_000 * DAY_MS });
    await producer.send({ topic: input, messages: partitions.map(({ partition }) => ({ partition, value })) });
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  }
}
