/**
 * Progress: what a job has done and where it stands, as `job.progress()` returns it. It reads counters; by
 * itself it counts epochs only.
 */

import { type Counters, type SlabUsage, sumCounters, type Watermark, withoutSecrets } from '../../core/index.ts';
import type { SinkCounts } from '../../io/index.ts';
import { type PartitionState, positionOf } from '../epoch/index.ts';
import type { Plan } from '../plan/index.ts';
import type { Balance, CounterName, LedgerSample } from '../shared/index.ts';

export interface PartitionProgress {
  readonly source: string;
  readonly partition: number;
  /** Position behind the last row read; undefined before the first. */
  readonly position: number | undefined;
  /**
   * What exists outside and is not read yet, in the source's own unit (records for Kafka and the log, bytes
   * for files); undefined when unknown.
   */
  readonly lag: number | undefined;
  /** Event time that this partition alone has passed, ms; -Infinity before the first row. */
  readonly watermark: number;
  readonly rowsIn: number;
}

export interface EpochTimes {
  readonly epoch: number;
  readonly bytes: number;
  /** Taking rows in; scanning the rest, merging and emitting; writing; committing. Milliseconds. */
  readonly scanMs: number;
  readonly writeMs: number;
  readonly commitMs: number;
  /** Of scanMs: from the first row to the end of the epoch; from there until all workers have merged it. */
  readonly intakeMs: number;
  readonly mergeMs: number;
  /** Of commitMs: making the checkpoint, where one was made. */
  readonly checkpointMs: number;
}

/** The checkpoint that was made last. */
export interface CheckpointTimes {
  /** The epoch whose state it has. */
  readonly checkpoint: number;
  /** When it was made, ms since 1970. */
  readonly atMs: number;
  readonly ms: number;
  /** Of the state that it has, estimated as stateBytes is. */
  readonly stateBytes: number;
}

/**
 * How long sources were not allowed to hand on more rows, in seconds, by what they waited for. `workers`: rows that
 * were handed on are not scanned yet. `epochs`: the open epoch is full, and those before it are not written. `output`:
 * output that is not written takes too much memory, or the state does.
 */
export interface BackPressure {
  readonly workers: number;
  readonly epochs: number;
  readonly output: number;
}

/**
 * What a job is doing. `joining`: a source has reported nothing of its partitions yet, as while a consumer
 * group forms. `restoring`: epochs of the journal are being repeated. `waiting`: a source waits for something
 * outside, such as a broker. `paused`: by `job.pause()`. `draining`: the job is stopping, and finishes what was read.
 */
export type JobState = 'standby' | 'starting' | 'joining' | 'restoring' | 'running' | 'waiting' | 'paused' | 'draining' | 'stopped' | 'failed';

/** What a sink that counts has done: see {@link SinkCounts}. */
export interface SinkProgress extends SinkCounts {
  readonly sink: string;
}

export interface Progress {
  readonly pipeline: string;
  readonly state: JobState;
  readonly rowsIn: number;
  readonly rowsOut: number;
  readonly bytesIn: number;
  /** Rows in, by wall clock: over the whole run, and since the last `progress` event. */
  readonly rowsPerSecond: number;
  readonly rowsPerSecondNow: number;
  /** The event time that the job has passed, ms: the minimum over its watermarks. */
  readonly watermark: number;
  /** The sum over the partitions that are read here; undefined as long as one of them is unknown. */
  readonly lag: number | undefined;
  /**
   * How many rows of this run an earlier run had read already: their windows were open when positions were
   * committed last. In the source's own unit. `all`: the pipeline has state that never closes, so nothing is
   * committed and every run reads from the beginning.
   */
  readonly readAgain: number | 'all';
  readonly epoch: number;
  readonly committedEpoch: number;
  /** Epochs that have ended and are not written; and what the open one has taken in, bytes. */
  readonly epochsUnderWay: number;
  readonly epochBytes: number;
  readonly lastEpoch: EpochTimes | undefined;
  /** Of this run; undefined where none was made yet. */
  readonly lastCheckpoint: CheckpointTimes | undefined;
  readonly backPressure: BackPressure;
  /** Shared memory in use: state, and what is under way. */
  readonly memory: SlabUsage;
  /**
   * Bytes of the state of windows, aggregates, joins and keyed functions in memory, as of the last second;
   * JavaScript values by estimate.
   */
  readonly stateBytes: number;
  /** Bytes of state that was put away on disk (`memory: { atLimit: 'spill' }`). */
  readonly spilledBytes: number;
  readonly partitions: readonly PartitionProgress[];
  /** Rows that no result counts, by reason; with samples. */
  readonly ledger: Readonly<Record<Exclude<CounterName, 'rowsIn'> | 'refused', number>>;
  readonly samples: readonly LedgerSample[];
  /**
   * What was counted on both sides of every hand-over between threads, over all merged epochs. The sides
   * agree, or the job has ended.
   */
  readonly balance: Balance;
  /** What the sinks have done that talk to a server. */
  readonly sinks: readonly SinkProgress[];
  readonly seconds: number;
  /** How often the job has gone on from a checkpoint after a failure, in this process. */
  readonly restarts: number;
}

/** What the coordinator shows to progress. */
export interface ProgressSources {
  readonly state: JobState;
  readonly partitions: readonly PartitionState[];
  /** [worker][global partition] */
  readonly counters: readonly (readonly Counters<CounterName>[])[];
  readonly watermarks: readonly Watermark[];
  readonly rowsOut: number;
  readonly bytesIn: number;
  readonly memory: SlabUsage;
  readonly stateBytes: number;
  readonly spilledBytes: number;
  readonly epoch: number;
  readonly committedEpoch: number;
  readonly epochsUnderWay: number;
  readonly epochBytes: number;
  readonly readAgain: number | 'all';
  readonly samples: readonly LedgerSample[];
  readonly refused: number;
  readonly sinks: readonly SinkProgress[];
  readonly balance: Balance;
  readonly backPressure: BackPressure;
}

/** When an epoch passed its stations, ms of a monotonic clock. */
export interface EpochStations {
  readonly epoch: number;
  readonly bytes: number;
  /** The one before it was cut. */
  readonly startedAtMs: number;
  /** Its first row came, or it was cut without one. */
  readonly beganAtMs: number;
  readonly cutAtMs: number;
  readonly mergedAtMs: number;
  readonly writtenAtMs: number;
  /** The same as writtenAtMs where no checkpoint was made. */
  readonly checkpointedAtMs: number;
  readonly committedAtMs: number;
}

const TICK_MS_MIN = 500;

export class ProgressLog {
  readonly #plan: Plan;
  readonly #pipeline: string;
  /** By source. */
  readonly #names: readonly string[];
  readonly #sources: () => ProgressSources;
  readonly #elapsed: () => number;
  readonly #startedAt: number;
  #endedAt: number | undefined;
  #lastEpoch: EpochTimes | undefined;
  #lastTick: { readonly at: number; readonly rows: number; readonly rowsPerSecond: number };
  #final: Progress | undefined;
  /** Called about twice a second while the job runs. */
  onTick: ((progress: Progress) => void) | undefined;

  /** @param elapsed ms of a monotonic clock */
  constructor(plan: Plan, elapsed: () => number, sources: () => ProgressSources) {
    this.#plan = plan;
    this.#pipeline = withoutSecrets(plan.name);
    this.#names = plan.sources.map(({ source }) => withoutSecrets(source.name));
    this.#elapsed = elapsed;
    this.#startedAt = elapsed();
    this.#lastTick = { at: this.#startedAt, rows: 0, rowsPerSecond: 0 };
    this.#sources = sources;
  }

  /** An epoch is written, and what it lets be committed is committed. */
  epoch(at: EpochStations): EpochTimes {
    this.#lastEpoch = {
      epoch: at.epoch,
      bytes: at.bytes,
      scanMs: at.mergedAtMs - at.startedAtMs,
      writeMs: at.writtenAtMs - at.mergedAtMs,
      commitMs: at.committedAtMs - at.writtenAtMs,
      intakeMs: at.cutAtMs - at.beganAtMs,
      mergeMs: at.mergedAtMs - at.cutAtMs,
      checkpointMs: at.checkpointedAtMs - at.writtenAtMs,
    };
    return this.#lastEpoch;
  }

  tick(): void {
    const now = this.#elapsed();
    if (now - this.#lastTick.at < TICK_MS_MIN) return;
    const rows = this.#rowsIn();
    this.#lastTick = { at: now, rows, rowsPerSecond: ((rows - this.#lastTick.rows) * 1_000) / (now - this.#lastTick.at) };
    this.onTick?.(this.read());
  }

  /** Nothing more is done: no time counts from here on. */
  end(): void {
    this.#endedAt ??= this.#elapsed();
  }

  /** The job is over: the numbers stay as they are now, though the memory is released. */
  close(state: 'stopped' | 'failed'): void {
    this.end();
    this.#final = { ...this.read(), state };
  }

  read(): Progress {
    if (this.#final !== undefined) return this.#final;
    const { partitions, counters, watermarks, refused, ...rest } = this.#sources();
    const totals = sumCounters(counters.flat());
    const seconds = ((this.#endedAt ?? this.#elapsed()) - this.#startedAt) / 1_000;
    const rowsIn = totals.get('rowsIn') ?? 0;
    const isThere = partitions.map(({ assigned, position }) => assigned || position !== undefined);
    const all = partitions.map((state, global) => ({
      source: this.#names[state.source] as string,
      partition: state.partition,
      position: state.position,
      lag: lagOf(state),
      watermark: this.#partitionWatermark(watermarks, state),
      rowsIn: counters.reduce((sum, worker) => sum + (worker[global]?.get('rowsIn') ?? 0), 0),
    }));
    const perPartition = all.filter((_, global) => isThere[global]);
    return {
      pipeline: this.#pipeline,
      rowsIn,
      ...rest,
      rowsPerSecond: rowsIn / seconds,
      rowsPerSecondNow: this.#lastTick.rowsPerSecond,
      watermark: watermarks.length === 0 ? Number.NEGATIVE_INFINITY : Math.min(...watermarks.map((watermark) => watermark.current)),
      lag: partitions.reduce<number | undefined>((sum, state, global) => (state.assigned ? plus(sum, all[global]?.lag) : sum), 0),
      lastEpoch: this.#lastEpoch,
      lastCheckpoint: undefined,
      partitions: perPartition,
      ledger: {
        undecodable: totals.get('undecodable') ?? 0,
        corrupt: totals.get('corrupt') ?? 0,
        control: totals.get('control') ?? 0,
        lost: totals.get('lost') ?? 0,
        late: totals.get('late') ?? 0,
        replayed: totals.get('replayed') ?? 0,
        failed: totals.get('failed') ?? 0,
        refused,
      },
      seconds,
      restarts: 0,
    };
  }

  #rowsIn(): number {
    let rows = 0;
    for (const worker of this.#sources().counters) for (const partition of worker) rows += partition.get('rowsIn');
    return rows;
  }

  #partitionWatermark(watermarks: readonly Watermark[], state: PartitionState): number {
    let least = Number.POSITIVE_INFINITY;
    this.#plan.watermarks.forEach((plan, w) => {
      if (plan.sources.includes(state.source)) least = Math.min(least, watermarks[w]?.partitionWatermark(state.global) ?? Number.NEGATIVE_INFINITY);
    });
    return Number.isFinite(least) ? least : Number.NEGATIVE_INFINITY;
  }
}

/** A partition that has ended has no lag. One whose source has reported nothing has an unknown lag. */
function lagOf(state: PartitionState): number | undefined {
  if (state.ended) return 0;
  return state.high === undefined ? undefined : Math.max(0, state.high - positionOf(state));
}

function plus(sum: number | undefined, lag: number | undefined): number | undefined {
  return sum === undefined || lag === undefined ? undefined : sum + lag;
}
