/** The options of a job that several processes share, and those that each of its tasks gets. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import type { Task } from '../../io/index.ts';
import { type RunOptions, resolveOptions } from '../job/index.ts';
import { TASK_COUNTS } from '../plan/index.ts';

/**
 * Options of `run` that hold for each task. A task has one worker thread, goes on where another process has left it, and
 * is exactly-once.
 */
export interface ShareOptions
  extends Pick<
    RunOptions,
    | 'trigger'
    | 'sessionTimeout'
    | 'drainTimeout'
    | 'badRows'
    | 'failedRows'
    | 'restarts'
    | 'epochBytes'
    | 'params'
    | 'signal'
    | 'logger'
    | 'batchRows'
    | 'codeGeneration'
  > {
  /**
   * Into how many tasks the job is parted, the same for all processes and for the life of its state: 1, 2, 4, ... 64
   * (default 8). So many processes at most can share it.
   */
  readonly tasks?: number;
  /** As for `run`. Each task has a folder in `dir`, or a topic of its own: `clicks-state.2of8`. */
  readonly checkpoint: NonNullable<RunOptions['checkpoint']>;
  /** Of each task. Default '256MiB'. */
  readonly memory?: NonNullable<RunOptions['memory']>;
  /** It always is. */
  readonly guarantee?: 'exactly-once';
}

const OPTIONS = {
  tasks: true,
  checkpoint: true,
  memory: true,
  guarantee: true,
  trigger: true,
  sessionTimeout: true,
  drainTimeout: true,
  badRows: true,
  failedRows: true,
  restarts: true,
  epochBytes: true,
  params: true,
  signal: true,
  logger: true,
  batchRows: true,
  codeGeneration: true,
} as const;

const TASKS = 8;
const MEMORY = '256MiB';

/** @throws MillraceError ERR_MILLRACE_OPTION naming the option, its value and what it may be */
export function taskCountOf({ tasks = TASKS }: Pick<ShareOptions, 'tasks'>): number {
  if (TASK_COUNTS.includes(tasks)) return tasks;
  throw new MillraceError('ERR_MILLRACE_OPTION', `tasks is ${shown(tasks)}. Give ${TASK_COUNTS.join(', ')}: into so many tasks the job is parted.`);
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkShareOptions(options: ShareOptions): void {
  for (const [name, why] of [
    ['workers', 'A task has one worker thread; give tasks, and start more processes.'],
    ['standby', 'Every process stands by for the others.'],
    ['bounded', 'A shared job goes on until it is stopped.'],
    ['metrics', 'Take progress(), or the logger, of each process.'],
    ['telemetry', 'Take progress(), or the logger, of each process.'],
    ['dashboard', 'Take progress(), or the logger, of each process.'],
  ] as const) {
    if ((options as unknown as Record<string, unknown>)[name] !== undefined)
      throw new MillraceError('ERR_MILLRACE_OPTION', `${name} does not go with tasks. ${why}`);
  }
  checkOptionNames('share()', options, OPTIONS);
  taskCountOf(options);
  const { guarantee = 'exactly-once' } = options as RunOptions;
  if (guarantee !== 'exactly-once') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `guarantee is ${shown(guarantee)}. A shared job is 'exactly-once': what goes twice between its tasks would count twice.`,
    );
  }
  if (options.trigger === 'availableNow')
    throw new MillraceError('ERR_MILLRACE_OPTION', `trigger is 'availableNow'. A shared job goes on until it is stopped: give an epoch length, '100ms'.`);
  if (options.checkpoint === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `There is no checkpoint. Say where the tasks keep their state: checkpoint: { kafka: { brokers, topic } }, or, where all processes are on one machine, checkpoint: { dir: './state' }.`,
    );
  }
  resolveOptions(optionsOfTask(options, { index: 0, count: 1 }));
}

/** What `run` gets for a task. */
export function optionsOfTask({ tasks: _, signal: _signal, checkpoint, memory = MEMORY, ...options }: ShareOptions, { index, count }: Task): RunOptions {
  const name = `${index + 1}of${count}`;
  const { dir, kafka } = checkpoint;
  const path = dir instanceof URL ? fileURLToPath(dir) : dir;
  const ofTask = {
    ...checkpoint,
    ...(path === undefined ? {} : { dir: join(path, name) }),
    ...(kafka === undefined ? {} : { kafka: { ...kafka, topic: `${kafka.topic}.${name}` } }),
  } as NonNullable<RunOptions['checkpoint']>;
  return { ...options, memory, checkpoint: ofTask, workers: 1, standby: true, guarantee: 'exactly-once', drain: 'hold' };
}
