/**
 * The job watch: what a job tells of itself while it runs, kept for whoever asks (metrics, a page, tests), and said in
 * the log. One per job: it outlives the executions that a supervisor starts one after the other. It is told what
 * happened, and changes nothing; per epoch it does some additions, per row nothing.
 */

import { type Logger, MillraceError, withoutSecrets } from '../../core/index.ts';
import type { Report } from '../../io/index.ts';
import { describePlan, type Plan } from '../plan/index.ts';
import type { LedgerSample } from '../shared/index.ts';
import { BYTES, Histogram, SECONDS } from './histogram.ts';
import { JobLog } from './job-log.ts';
import { type PlanGraph, planGraph } from './plan-graph.ts';
import { PressureLog } from './pressure-log.ts';
import type { CheckpointTimes, EpochTimes, PartitionProgress, Progress } from './progress.ts';
import { type ProgressSample, sampleOf } from './progress-sample.ts';
import { Recent } from './recent.ts';
import { SlowEpochs } from './slow-epochs.ts';

export const PHASES = ['intake', 'merge', 'write', 'checkpoint', 'commit'] as const;
export type Phase = (typeof PHASES)[number];

const EPOCHS_KEPT = 300;
const SAMPLES_KEPT = 600;
const TAIL_ROWS = 30;

/** What one sink has written. */
export interface SinkTotals {
  rows: number;
  bytes: number;
  /** Calls of an epoch's write. */
  readonly writes: Histogram;
}

/** A row on its way to a sink, as JSON can hold it. */
export type TailRow = Readonly<Record<string, unknown>>;

/** What is counted on over restarts within the process, where `Progress` begins anew. */
export interface Carried {
  bytesIn: number;
  readonly ledger: Record<string, number>;
  /** By source and partition. */
  readonly rows: Map<string, number>;
  readonly backPressure: { workers: number; epochs: number; output: number };
}

export interface JobWatchOptions {
  readonly logger?: Logger | undefined;
  readonly triggerMs?: number;
  /** What the start says of itself. */
  readonly settings?: object;
}

/** Is told of single events as they happen; what lasts is in the watch itself. */
export interface WatchListener {
  epoch?(times: EpochTimes): void;
  checkpoint?(times: CheckpointTimes): void;
  sinkWrite?(sink: string, seconds: number): void;
}

export class JobWatch {
  readonly log: JobLog;
  readonly plan: Plan;
  readonly graph: PlanGraph;
  readonly startedAtMs = Date.now();
  /** Seconds that epochs took, by phase. */
  readonly phases: Readonly<Record<Phase, Histogram>> = {
    intake: new Histogram(SECONDS),
    merge: new Histogram(SECONDS),
    write: new Histogram(SECONDS),
    checkpoint: new Histogram(SECONDS),
    commit: new Histogram(SECONDS),
  };
  /** Bytes that epochs took in. */
  readonly epochBytes = new Histogram(BYTES);
  /** Seconds that checkpoints took. */
  readonly checkpoints = new Histogram(SECONDS);
  readonly sourceNames: readonly string[];
  readonly sinks = new Map<string, SinkTotals>();
  /** Requests that were made again, by source or sink. */
  readonly retries = new Map<string, number>();
  readonly recentEpochs = new Recent<EpochTimes>(EPOCHS_KEPT);
  /** The newest rows that went to each sink; none where nobody asks for them. */
  readonly tails = new Map<string, Recent<TailRow>>();
  readonly listeners: WatchListener[] = [];
  readonly carried: Carried = { bytesIn: 0, ledger: {}, rows: new Map(), backPressure: { workers: 0, epochs: 0, output: 0 } };
  lastCheckpoint: CheckpointTimes | undefined;
  /** When an epoch was finished last, ms since 1970; undefined: none was yet. */
  lastEpochAtMs: number | undefined;
  /** What the job has done and where it stands. */
  readonly progress: () => Progress;
  readonly #settings: object;
  readonly #slow: SlowEpochs;
  readonly #pressure: PressureLog;
  #samples: Recent<ProgressSample> | undefined;
  #hasRows = false;
  readonly #waiting = new Map<string, string>();

  constructor(plan: Plan, progress: () => Progress, { logger, triggerMs = 100, settings = {} }: JobWatchOptions = {}) {
    this.plan = plan;
    this.progress = progress;
    this.graph = planGraph(plan);
    this.log = new JobLog(plan.name, logger);
    this.#pressure = new PressureLog(this.log);
    this.#settings = settings;
    this.#slow = new SlowEpochs(this.log, triggerMs);
    this.sourceNames = plan.sources.map(({ source }) => withoutSecrets(source.name));
    for (const { sink } of plan.sinks) this.sinks.set(withoutSecrets(sink.name), { rows: 0, bytes: 0, writes: new Histogram(SECONDS) });
  }

  // ---- what those who show it ask for

  /** From here on samples are kept, two a second, for as long as 600 of them last. */
  keepHistory(): void {
    this.#samples ??= new Recent(SAMPLES_KEPT);
  }

  /** The samples that are kept, the oldest first; none before `keepHistory`. */
  get history(): ProgressSample[] {
    return this.#samples?.all ?? [];
  }

  /** Rows that no result counts: a hundred of them at most. */
  get ledgerSamples(): readonly LedgerSample[] {
    return this.progress().samples;
  }

  /** Rows of a partition, over restarts. */
  rowsOf({ source, partition, rowsIn }: PartitionProgress): number {
    return rowsIn + (this.carried.rows.get(partitionKey(source, partition)) ?? 0);
  }

  /** What a source or sink of this name tells of itself. */
  reportOf(name: string): Report {
    const shown = withoutSecrets(name);
    return {
      log: this.log,
      retried: (what, because) => {
        this.retries.set(shown, (this.retries.get(shown) ?? 0) + 1);
        this.log.debug({ endpoint: shown, because }, `tried again: ${what}`);
      },
    };
  }

  // ---- the life of the job

  starts(): void {
    this.log.info({ ...this.#settings, plan: describePlan(this.plan).split('\n') }, 'the job starts');
  }

  /** A failure has ended an execution; the job goes on. */
  restarts(progress: Progress, because: unknown): void {
    const { carried } = this;
    carried.bytesIn += progress.bytesIn;
    for (const [reason, rows] of Object.entries(progress.ledger)) carried.ledger[reason] = (carried.ledger[reason] ?? 0) + rows;
    for (const one of progress.partitions) carried.rows.set(partitionKey(one.source, one.partition), this.rowsOf(one));
    for (const reason of ['workers', 'epochs', 'output'] as const) carried.backPressure[reason] += progress.backPressure[reason];
    this.#waiting.clear();
    this.log.warn({ restart: progress.restarts + 1, ...errorFields(because) }, 'the job goes on from a checkpoint after a failure');
  }

  ends(progress: Progress, error?: unknown): void {
    const { rowsIn, rowsOut, seconds, epoch, committedEpoch, restarts, ledger } = progress;
    const lost = Object.fromEntries(Object.entries(ledger).filter(([, rows]) => rows > 0));
    const totals = {
      rowsIn,
      rowsOut,
      seconds: rounded(seconds),
      rowsPerSecond: Math.round(rowsIn / Math.max(seconds, 1e-3)),
      epoch,
      committedEpoch,
      restarts,
      ledger: lost,
    };
    if (error === undefined) this.log.info(totals, 'the job has stopped');
    else this.log.error({ ...totals, ...errorFields(error) }, 'the job has failed');
  }

  /** It did not come so far as to read. */
  hasNotStarted(error: unknown): void {
    this.log.error(errorFields(error), 'the job could not start');
  }

  warned(message: string): void {
    this.log.warn({}, message);
  }

  // ---- an execution

  /** Everything is open. */
  opened(
    sources: readonly { readonly name: string; readonly partitions: number }[],
    from: { readonly checkpoint: number; readonly ageMs: number; readonly stateBytes: number } | undefined,
  ): void {
    this.#slow.begin();
    if (from === undefined) this.log.info({ sources }, 'sources and sinks are open');
    else {
      const { checkpoint, ageMs, stateBytes } = from;
      this.log.info({ sources, checkpoint, ageSeconds: rounded(ageMs / 1_000), stateBytes }, 'sources and sinks are open; the job goes on from a checkpoint');
    }
  }

  /** A source says which partitions there are. */
  assigned(source: string, partitions: readonly number[]): void {
    this.log.info({ source, partitions: partitions.length, ids: ranges(partitions) }, 'partitions are assigned');
  }

  /** Rows came in. */
  hasRows(): void {
    if (this.#hasRows) return;
    this.#hasRows = true;
    this.log.info({ afterMs: Date.now() - this.startedAtMs }, 'the first rows are in');
  }

  /** A source or sink waits for something outside; undefined: no longer. The wait itself is said as a warning. */
  waits(name: string, what: string | undefined): void {
    if (what !== undefined) this.#waiting.set(name, what);
    else if (this.#waiting.delete(name)) this.log.info({ endpoint: name }, 'the wait is over');
  }

  epochDone(times: EpochTimes): void {
    const seconds = secondsByPhase(times);
    for (const phase of PHASES) if (phase !== 'checkpoint' || times.checkpointMs > 0) this.phases[phase].record(seconds[phase]);
    this.epochBytes.record(times.bytes);
    this.recentEpochs.push(times);
    this.lastEpochAtMs = Date.now();
    for (const listener of this.listeners) listener.epoch?.(times);
    this.#slow.look(times, performance.now());
  }

  checkpointDone({ checkpoint, ms, stateBytes }: { readonly checkpoint: number; readonly ms: number; readonly stateBytes: number }): void {
    const times = { checkpoint, atMs: Date.now(), ms, stateBytes: Math.round(stateBytes) };
    this.lastCheckpoint = times;
    this.checkpoints.record(ms / 1_000);
    for (const listener of this.listeners) listener.checkpoint?.(times);
    this.log.debug({ checkpoint, ms: rounded(ms), stateBytes: times.stateBytes }, 'a checkpoint is made');
  }

  /** A sink has written the blocks of an epoch. */
  sinkWrote(name: string, rows: number, bytes: number, ms: number): void {
    const sink = withoutSecrets(name);
    const totals = this.sinks.get(sink);
    if (totals === undefined) return;
    totals.rows += rows;
    totals.bytes += bytes;
    totals.writes.record(ms / 1_000);
    for (const listener of this.listeners) listener.sinkWrite?.(sink, ms / 1_000);
  }

  /** Some of the rows that went to a sink. */
  tailed(name: string, rows: readonly TailRow[]): void {
    const sink = withoutSecrets(name);
    let tail = this.tails.get(sink);
    if (tail === undefined) this.tails.set(sink, (tail = new Recent(TAIL_ROWS)));
    for (const row of rows) tail.push(row);
  }

  /** About twice a second. */
  tick(progress: Progress): void {
    this.#pressure.look(progress.backPressure, performance.now());
    this.#samples?.push(sampleOf(progress));
  }
}

/** What an epoch spent where, in seconds. The phases follow each other. */
export function secondsByPhase({ intakeMs, mergeMs, writeMs, commitMs, checkpointMs }: EpochTimes): Readonly<Record<Phase, number>> {
  return {
    intake: intakeMs / 1_000,
    merge: mergeMs / 1_000,
    write: writeMs / 1_000,
    checkpoint: checkpointMs / 1_000,
    commit: (commitMs - checkpointMs) / 1_000,
  };
}

function partitionKey(source: string, partition: number): string {
  return `${partition} ${source}`;
}

function errorFields(error: unknown): object {
  if (error instanceof MillraceError) return { code: error.code, error: error.message };
  return { error: error instanceof Error ? error.message : String(error) };
}

/** `0-3, 7`: numbers that ascend. */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const one of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last !== undefined && one === last[1] + 1) last[1] = one;
    else found.push([one, one]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(', ');
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
