/** The options of `run`, with their defaults, checked in one place. */

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkOptionNames, type Duration, durationMs, MEMORY_BYTES_MAX, MillraceError, nearNames, shown, shownPath } from '../../core/index.ts';
import type { Task } from '../../io/index.ts';
import type { KafkaCheckpointOptions } from '../../io/kafka/index.ts';
import { type DashboardOptions, type DashboardPlace, dashboardPlace } from '../dashboard/index.ts';
import type { Drain } from '../epoch/index.ts';
import { type ObserveOptions, type ResolvedObserve, resolveObserve } from '../observe/index.ts';
import { type Allowed, type AllowedNames, NOTHING_ALLOWED } from '../plan/index.ts';
import type { FailedRowsPolicy } from '../shared/index.ts';
import type { Params } from '../stream/index.ts';
import type { BadRows } from './bad-rows.ts';
import type { AtLimit } from './state-limit.ts';

/** Bytes as a number, or with a unit: `'64MiB'`, `'1GiB'`. */
export type ByteSize = number | `${number}${'KiB' | 'MiB' | 'GiB'}`;

/** Which changes of a pipeline may cost state. */
export interface AllowedChanges {
  readonly dropped?: true | readonly string[];
  readonly changed?: true | readonly string[];
  readonly new?: true | readonly string[];
}

export interface RunOptions extends ObserveOptions {
  /** Worker threads. Default: available parallelism - 1, at least 1. */
  readonly workers?: number;
  /** Epoch length (default '100ms'), or 'availableNow': read what is there, then stop. */
  readonly trigger?: Duration | 'availableNow';
  /**
   * Read what is there when the job starts, then stop, with the epochs of `trigger`. Trigger 'availableNow'
   * is this with epochs of 200 ms.
   */
  readonly bounded?: boolean;
  /**
   * What happens to open windows, and whatever else waits for event time, when the job stops or has read what
   * was there, and its sources have no end of their own. `hold` (default) keeps them for the next run, which
   * reads their rows again. `emit` emits them as they are; the next run emits them again, whole. Sources that
   * end (memory, files, a generator with rows) are final either way.
   */
  readonly drain?: 'hold' | 'emit';
  /**
   * A folder in which the job keeps its state: windows, aggregates, what keyed functions keep, watermarks, and
   * what its clock has decided. A restart goes on from there, and reads nothing again that is in a checkpoint.
   * `interval` (default '1s'): how often one is made, at the end of an epoch. One job per folder.
   *
   * State goes on in a pipeline that was changed, wherever it is still of the same operator. A start at which
   * some of it would be lost is refused with what would be, unless `allow` says that it may: state (and
   * positions) of what is `dropped` or `changed`, and operators that are `new` and see only rows from now on;
   * by their names in that message, or `true` for all.
   *
   * With `kafka` the state is in a topic as well, so that it outlives the machine: `{ brokers, topic }`, and
   * what else a connection needs. A compacted topic of that name is created. `dir` is then the folder on this
   * machine, with which a restart reads less; default: one in the system's folder for temporary files.
   */
  readonly checkpoint?:
    | { readonly dir: string | URL; readonly interval?: Duration; readonly allow?: AllowedChanges; readonly kafka?: undefined }
    | { readonly kafka: KafkaCheckpointOptions; readonly dir?: string | URL; readonly interval?: Duration; readonly allow?: AllowedChanges };
  /**
   * Where another process is at work with this checkpoint: wait until it ends, is killed, or was not heard of
   * for `sessionTimeout`, and go on from there. Without it the start is refused. `run` resolves at once, and
   * the job's state is 'standby' until then.
   */
  readonly standby?: boolean;
  /**
   * With `checkpoint`: how long a process may be silent until one that stands by takes over (default '10s').
   * The process that comes back then ends with ERR_MILLRACE_FENCED, and writes nothing.
   */
  readonly sessionTimeout?: Duration;
  /**
   * How long a stop may take to finish what was read (default '30s'). After that the job ends with an error
   * that says what it waited for. What was not committed is read again by the next run.
   */
  readonly drainTimeout?: Duration;
  /**
   * What happens to rows that cannot be decoded: `ledger` (default) counts them and goes on; `fail` ends the
   * job at the first one, before its epoch is written; `{ fail: { above: 0.01 } }` when they are more than
   * this share of all rows, from 1,000 rows on or at the end.
   */
  readonly badRows?: BadRows;
  /**
   * What happens to rows on which a function of the pipeline throws: `fail` (default) ends the job; `skip`
   * leaves them out and counts them in the ledger as failed. A keyed function's state, timers and results are
   * then as if the row had never come, which costs a copy of the state for each call. Where the stream's
   * `errors` are taken, failed rows go there, whatever is set here. `badRows` counts these rows, too.
   */
  readonly failedRows?: FailedRowsPolicy;
  /**
   * What a failure may do to the output. `at-least-once` (default): every result is written, and some may be
   * written again. `exactly-once`: each is written once; results become visible with each checkpoint. Needs
   * `checkpoint`, sources that can be read again, and sinks that can take back what is not final.
   */
  readonly guarantee?: 'at-least-once' | 'exactly-once';
  /**
   * With a checkpoint: how often the job goes on from it, in the same process, after a worker thread has died,
   * run out of heap, or hung. Default: 3 times within 10 minutes; then it ends with the cause. A function that
   * has not returned for `hangs` (default '60s') counts as hanging; the message has the row that it was called for.
   */
  readonly restarts?: { readonly times?: number; readonly within?: Duration; readonly hangs?: Duration };
  /**
   * All shared memory of the job: what is under way, and state. Default '1GiB'; at most 4 GiB. State in the
   * heaps of the workers (keyed functions, folds, joins) counts, too, by estimate. A job whose state is
   * larger ends. With `atLimit: 'pause'` it takes in nothing more, from three quarters of the limit on, until
   * enough is freed; where nothing can free any of it, it ends. With `atLimit: 'spill'` state that has no room
   * beside the rows under way (beyond about half of the limit, a quarter of a small one) is on disk, in the folder `spill` of the checkpoint directory or a temporary one, and is read
   * back when rows or times need it; results are the same. What `job.view` reads stays in memory. A size alone
   * is the limit.
   */
  readonly memory?: ByteSize | { readonly limit?: ByteSize; readonly atLimit?: AtLimit };
  /**
   * Most bytes that an epoch takes in before it is cut early. Default: an eighth of the memory, with `atLimit:
   * 'spill'` a thirty-second, and at most 64 MiB.
   */
  readonly epochBytes?: ByteSize;
  /** Passed to the module's default export where that is a function. Structured-cloneable. */
  readonly params?: Params;
  /**
   * Stops the job when it is aborted, as `job.stop()` does: what was read is finished, written and committed, and
   * `done` resolves. Where it is aborted before `run` has started the job, `run` rejects with its reason.
   */
  readonly signal?: AbortSignal;
  /** Serves the live page of the job while it lasts, with `/metrics`, `/live` and `/ready` beside it. */
  readonly dashboard?: DashboardOptions;
  /** Waits this long before each epoch is written: shows what a slow sink does. */
  readonly sinkDelay?: Duration;
  /** Rows per batch in the workers (default 4096). */
  readonly batchRows?: number;
  /** False: never generate code for user functions. Default: where the process allows it. */
  readonly codeGeneration?: boolean;
}

/** Where checkpoints are. */
export interface CheckpointOptions {
  /** undefined: one of its own for the pipeline and the topic. */
  readonly dir: string | undefined;
  readonly kafka: KafkaCheckpointOptions | undefined;
}

export interface ResolvedOptions {
  readonly workers: number;
  readonly triggerMs: number;
  readonly drain: Drain;
  readonly checkpoint: (CheckpointOptions & { readonly intervalMs: number; readonly allowed: Allowed }) | undefined;
  readonly standby: boolean;
  readonly sessionMs: number;
  readonly guarantee: 'at-least-once' | 'exactly-once';
  readonly drainTimeoutMs: number;
  readonly badRows: BadRows;
  readonly failedRows: FailedRowsPolicy;
  readonly restarts: { readonly times: number; readonly withinMs: number; readonly hangMs: number };
  readonly memoryBytes: number;
  readonly atLimit: AtLimit;
  readonly epochBytes: number;
  readonly params: Params;
  readonly signal: AbortSignal | undefined;
  readonly observe: ResolvedObserve;
  readonly dashboard: DashboardPlace | undefined;
  readonly sinkDelayMs: number;
  readonly batchRows: number;
  readonly codeGeneration: boolean | undefined;
  /** Which task of a job that several processes share; undefined: it is not shared. */
  readonly task?: Task;
}

const MEMORY = '1GiB';
const DEFAULT_TRIGGER_MS = 100;
/** How often an epoch ends under 'availableNow', unless it is full before. */
const DRAIN_TRIGGER_MS = 200;
const DRAIN_TIMEOUT_MS = 30_000;
const CHECKPOINT_INTERVAL_MS = 1_000;
const SESSION_MS = 10_000;
const SESSION_MS_MIN = 500;
const MEMORY_BYTES_MIN = 32 << 20;
const EPOCH_BYTES_MAX = 64 << 20;
const WORKERS_MAX = 64;

const OPTIONS = {
  workers: true,
  trigger: true,
  bounded: true,
  drain: true,
  drainTimeout: true,
  checkpoint: true,
  standby: true,
  sessionTimeout: true,
  guarantee: true,
  badRows: true,
  failedRows: true,
  restarts: true,
  memory: true,
  epochBytes: true,
  params: true,
  signal: true,
  logger: true,
  metrics: true,
  telemetry: true,
  dashboard: true,
  sinkDelay: true,
  batchRows: true,
  codeGeneration: true,
} as const;

/** @throws MillraceError ERR_MILLRACE_OPTION naming the option, its value and what it may be */
export function resolveOptions(options: RunOptions): ResolvedOptions {
  checkOptionNames('run()', options, OPTIONS);
  const workers = options.workers ?? Math.max(1, availableParallelism() - 1);
  if (!Number.isInteger(workers) || workers < 1 || workers > WORKERS_MAX) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `workers is ${shown(workers)}. Give a whole number from 1 to ${WORKERS_MAX}.`);
  }
  const guarantee = options.guarantee ?? 'at-least-once';
  if (guarantee !== 'at-least-once' && guarantee !== 'exactly-once') {
    throw new MillraceError('ERR_MILLRACE_OPTION', `guarantee is ${shown(guarantee)}. Give 'at-least-once' or 'exactly-once'.`);
  }
  if (guarantee === 'exactly-once' && options.checkpoint === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `guarantee is 'exactly-once', and there is no checkpoint. Say where the job keeps its state: checkpoint: { dir: './state' }.`,
    );
  }
  const { limit, atLimit } = memoryOf(options.memory);
  const memoryBytes = byteSize(limit, 'memory');
  if (memoryBytes < MEMORY_BYTES_MIN || memoryBytes > MEMORY_BYTES_MAX) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `memory is ${shown(limit)}. Give at least '32MiB' and at most just under '4GiB'.`);
  }
  const batchRows = options.batchRows ?? 4_096;
  if (!Number.isInteger(batchRows) || batchRows < 8 || batchRows > 65_536 || batchRows % 8 !== 0) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `batchRows is ${shown(batchRows)}. Give a multiple of 8 from 8 to 65536.`);
  }
  const drain = options.drain ?? 'hold';
  if (drain !== 'hold' && drain !== 'emit') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `drain is ${shown(drain)}. Give 'hold' (open windows wait for the next run) or 'emit' (they come out as they are). To read what is there and then stop, give bounded: true, or trigger: 'availableNow'.`,
    );
  }
  mustBeSendable(options.params);
  if (typeof options.trigger === 'string' && options.trigger !== 'availableNow' && nearNames(options.trigger, ['availableNow']).length > 0) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `trigger is ${shown(options.trigger)}. Did you mean 'availableNow'? Otherwise give an epoch length: '100ms'.`,
    );
  }
  const isAvailableNow = options.trigger === 'availableNow';
  return {
    workers,
    triggerMs: isAvailableNow ? DRAIN_TRIGGER_MS : durationMs((options.trigger as Duration | undefined) ?? DEFAULT_TRIGGER_MS, 'trigger', 1),
    drain: { bounded: isAvailableNow || options.bounded === true, open: drain },
    checkpoint: options.checkpoint === undefined ? undefined : checkpointOf(options.checkpoint),
    guarantee,
    standby: standbyOf(options),
    sessionMs: durationMs(options.sessionTimeout ?? SESSION_MS, 'sessionTimeout', SESSION_MS_MIN),
    drainTimeoutMs: durationMs(options.drainTimeout ?? DRAIN_TIMEOUT_MS, 'drainTimeout', 1),
    badRows: badRowsOf(options.badRows ?? 'ledger'),
    failedRows: failedRowsOf(options.failedRows ?? 'fail'),
    restarts: restartsOf(options.restarts ?? {}),
    memoryBytes,
    atLimit,
    epochBytes:
      options.epochBytes === undefined ? Math.min(memoryBytes / (atLimit === 'spill' ? 32 : 8), EPOCH_BYTES_MAX) : byteSize(options.epochBytes, 'epochBytes'),
    params: options.params ?? {},
    signal: signalOf(options.signal),
    observe: resolveObserve(options),
    dashboard: options.dashboard === undefined ? undefined : dashboardPlace(options.dashboard),
    sinkDelayMs: options.sinkDelay === undefined ? 0 : durationMs(options.sinkDelay, 'sinkDelay'),
    batchRows,
    codeGeneration: options.codeGeneration,
  };
}

/**
 * Every worker makes the pipeline from the same params. What cannot be sent to a thread is found here, and
 * named.
 */
function mustBeSendable(params: unknown): void {
  if (params === undefined) return;
  if (typeof params !== 'object' || params === null || Array.isArray(params)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `params is ${shown(params)}. Give an object: { day: '2026-01-01' }.`);
  }
  for (const [name, value] of Object.entries(params)) {
    try {
      structuredClone(value);
    } catch (cause) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `params has ${shown(value)} in ${shown(name)}, which cannot be sent to a worker thread: ${cause instanceof Error ? cause.message : String(cause)}. Give plain values, and import functions in the pipeline's module.`,
        { cause },
      );
    }
  }
}

function signalOf(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new MillraceError('ERR_MILLRACE_OPTION', `signal is ${shown(signal)}. Give an AbortSignal: new AbortController().signal.`);
}

function badRowsOf(badRows: BadRows): BadRows {
  if (badRows === 'ledger' || badRows === 'fail') return badRows;
  const above = (badRows as { readonly fail?: { readonly above?: unknown } } | null)?.fail?.above;
  if (typeof above !== 'number' || !(above >= 0 && above < 1)) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `badRows is ${shown(badRows)}. Give 'ledger' (they are counted), 'fail' (the first one ends the job) or { fail: { above: 0.01 } } (more than this share of the rows does).`,
    );
  }
  checkOptionNames('badRows', badRows, { fail: true });
  checkOptionNames('badRows.fail', badRows.fail, { above: true });
  return badRows;
}

export function failedRowsOf(failedRows: FailedRowsPolicy): FailedRowsPolicy {
  if (failedRows === 'fail' || failedRows === 'skip') return failedRows;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `failedRows is ${shown(failedRows)}. Give 'fail' (a function that throws ends the job) or 'skip' (its row is left out and counted). badRows: { fail: { above: 0.01 } } ends the job at too many.`,
  );
}

function restartsOf(restarts: NonNullable<RunOptions['restarts']>): ResolvedOptions['restarts'] {
  checkOptionNames('restarts', restarts, { times: true, within: true, hangs: true });
  const { times = 3, within = '10m', hangs = '60s' } = restarts;
  if (!Number.isInteger(times) || times < 0)
    throw new MillraceError('ERR_MILLRACE_OPTION', `restarts.times is ${shown(times)}. Give a whole number from 0 on.`);
  return { times, withinMs: durationMs(within, 'restarts.within', 1), hangMs: durationMs(hangs, 'restarts.hangs', 1) };
}

function memoryOf(memory: RunOptions['memory']): { readonly limit: ByteSize; readonly atLimit: AtLimit } {
  if (typeof memory !== 'object' || memory === null) return { limit: memory ?? MEMORY, atLimit: 'fail' };
  checkOptionNames('memory', memory, { limit: true, atLimit: true });
  const { limit = MEMORY, atLimit = 'fail' } = memory;
  if (atLimit === 'fail' || atLimit === 'pause' || atLimit === 'spill') return { limit, atLimit };
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `memory.atLimit is ${shown(atLimit)}. Give 'fail' (the job ends), 'pause' (it takes in nothing more until state is freed) or 'spill' (state goes to disk).`,
  );
}

function checkpointOf(checkpoint: NonNullable<RunOptions['checkpoint']>): NonNullable<ResolvedOptions['checkpoint']> {
  checkOptionNames('checkpoint', checkpoint, { dir: true, kafka: true, interval: true, allow: true });
  const { dir, interval, kafka } = checkpoint;
  const allowed = allowedOf(checkpoint.allow);
  if (kafka !== undefined && (typeof kafka !== 'object' || kafka === null)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `checkpoint.kafka is ${shown(kafka)}. Give { brokers: ['127.0.0.1:9092'], topic: 'clicks-state' }.`);
  }
  const intervalMs = durationMs(interval ?? CHECKPOINT_INTERVAL_MS, 'checkpoint.interval', 1);
  if (dir instanceof URL) return { dir: fileURLToPath(dir), kafka, intervalMs, allowed };
  if (typeof dir === 'string' && dir !== '') return { dir: resolve(dir), kafka, intervalMs, allowed };
  if (dir === undefined && kafka !== undefined) return { dir, kafka, intervalMs, allowed };
  throw new MillraceError('ERR_MILLRACE_OPTION', `checkpoint.dir is ${shownPath(dir)}. Give the path, or the file URL, of a folder.`);
}

function standbyOf({ standby = false, checkpoint }: RunOptions): boolean {
  if (typeof standby !== 'boolean') throw new MillraceError('ERR_MILLRACE_OPTION', `standby is ${shown(standby)}. Give true or false.`);
  if (!standby || checkpoint !== undefined) return standby;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `standby is true, and there is no checkpoint that both processes know. Say where the job keeps its state: checkpoint: { dir: './state' }, or checkpoint: { kafka: { brokers, topic } }.`,
  );
}

function allowedOf(allow: AllowedChanges | undefined): Allowed {
  if (allow === undefined) return NOTHING_ALLOWED;
  checkOptionNames('checkpoint.allow', allow, { dropped: true, changed: true, new: true });
  const names = (what: keyof AllowedChanges): AllowedNames => {
    const of: unknown = allow[what] ?? [];
    if (of === true || (Array.isArray(of) && of.every((name) => typeof name === 'string'))) return of as AllowedNames;
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `checkpoint.allow.${what} is ${shown(of)}. Give the names of operators, as the message of the refused start has them: ['aggregate 1']; or true for all.`,
    );
  };
  return { dropped: names('dropped'), changed: names('changed'), added: names('new') };
}

const BYTE_UNITS: ReadonlyMap<string, number> = new Map([
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
]);

function byteSize(value: ByteSize, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  const parts = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB)$/.exec(String(value));
  if (parts === null)
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what} is ${shown(value)}. Give bytes as a number, or a text such as '512MiB' or '1GiB'.`);
  return Math.floor(Number(parts[1]) * (BYTE_UNITS.get(parts[2] as string) as number));
}
