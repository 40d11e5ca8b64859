/**
 * Commits: what each epoch took in, and when its positions may be committed. This is the one place that
 * decides a commit. There are two rules.
 *
 * With checkpoints the state is kept, so the positions of any epoch may be committed whose state is durable:
 * once per interval, and at the end, whatever the pipeline is. The last epoch of a run whose sources have
 * ended, or were drained, is left out: it has emitted what was open, and a run that goes on is to have it open
 * still. Its output counts as written, so a restart repeats it in silence.
 *
 * Without checkpoints the rows of open windows are read again.
 *
 * An epoch is written when all sinks have acknowledged its output. It may be committed when, besides, no open
 * window holds rows of it or of an earlier one. Then a restart at its positions sees every row of every open
 * window again. By the watermark that is committed beside the positions it knows which windows were closed,
 * and does not open them again. So after a crash the output has every window whole. Those sent between the
 * last commit and the crash are sent again, with the same values.
 *
 * Where windows feed windows there is more to it. Windows of the first that were closed by then are not
 * opened again, but their results may be in a window of the second that is still open, and would be missing
 * there. So positions are committed only at an epoch at whose end no exchange that another one feeds has an
 * open window with rows: for tumbling windows, about once per window.
 *
 * State that never closes (a running aggregate) lets no epoch be committed: a restart reads from the
 * beginning.
 */

import type { WatermarkState } from '../../core/index.ts';
import type { CommittedPosition, Offset } from '../../io/index.ts';

/** What is known of an exchange at the end of an epoch. */
export interface ExchangeProgress {
  /** End of the last window, lateness included, that has a row so far; -Infinity when none has. */
  readonly heldUntil: number;
  /**
   * The watermark up to which its windows are closed, by real rows alone (a drained partition still counts).
   */
  readonly watermark: number;
}

/** What a checkpoint has to know of an epoch, as of its end. */
export interface EpochState {
  /** The clock of the job. */
  readonly nowMs: number;
  readonly watermarks: readonly WatermarkState[];
  /** By exchange: until when (event time) it holds rows. */
  readonly heldUntil: readonly number[];
  /** Frames of the state log up to this epoch are needed for no shard. */
  readonly oldestBase: number;
  /** Bytes of state, as of the last second. */
  readonly stateBytes: number;
}

/** Positions that are or may be committed, by global partition, and the watermarks as of them. */
export type CommitPlace = Pick<EpochRecord, 'epoch' | 'positions' | 'metadata' | 'state'>;

export interface EpochRecord {
  readonly epoch: number;
  /**
   * Positions behind the epoch's rows, by global partition; where nothing was read, the position where
   * reading began.
   */
  readonly positions: readonly Offset[];
  /** ms of a monotonic clock: when the epoch before was cut, when the first row came, when it was cut. */
  readonly startedAtMs: number;
  readonly beganAtMs: number;
  readonly cutAtMs: number;
  readonly bytes: number;
  /** The run ends with it: sources have ended, or were drained. */
  readonly isFinal: boolean;
  /** The decisions of the epoch are on disk, or need not be. Before that none of its output is written. */
  isRecorded: boolean;
  workersDone: number;
  /** When all workers had merged it; undefined before. */
  mergedAtMs: number | undefined;
  /** Once merged: the newest epoch that no exchange held by then; -1 where none may be committed. */
  releasable: number;
  /**
   * Once merged: whether what it has closed may be committed beside earlier positions. It may not where that
   * would lose what windows feed others.
   */
  isTellable: boolean;
  /** Once merged, by global partition: the watermarks as of this epoch (commit-metadata.ts). */
  metadata: readonly string[];
  /** Once merged, where there are checkpoints. */
  state: EpochState | undefined;
}

export class Commits {
  /** By exchange: the exchanges that feed it. */
  readonly #upstream: readonly (readonly number[])[];
  readonly #open = new Map<number, EpochRecord>();
  /** By exchange: epochs whose rows it holds, and until when. */
  readonly #held: { readonly epoch: number; readonly until: number }[][];
  /** By exchange: it holds no rows of epochs up to this one. */
  readonly #released: number[];
  readonly #closed: EpochRecord[] = [];
  current = 0;
  committed = -1;
  /** The committed positions, or where reading began; and the epoch that was committed beside them. */
  #at: CommitPlace | undefined;
  #toldEpoch = -1;
  #lastWritten: EpochRecord | undefined;
  /** With checkpoints: ms between two; undefined: there are none. */
  readonly #intervalMs: number | undefined;
  #checkpointAtMs = Number.NEGATIVE_INFINITY;
  /** The last written epoch that can be one. */
  #candidate: CommitPlace | undefined;

  /** @param intervalMs between two checkpoints; undefined: there are none */
  constructor(upstream: readonly (readonly number[])[], intervalMs?: number) {
    this.#upstream = upstream;
    this.#intervalMs = intervalMs;
    this.#held = upstream.map(() => []);
    this.#released = upstream.map(() => -1);
  }

  /** Where reading begins: positions by global partition, and what is committed beside them. */
  begin(at: CommitPlace): void {
    this.#at = at;
    this.#candidate = at;
  }

  /** What was given to `begin`. */
  get start(): CommitPlace {
    return this.#candidate as CommitPlace;
  }

  /** Ends the current epoch with these positions; the next one starts. */
  end(
    positions: readonly Offset[],
    times: Pick<EpochRecord, 'startedAtMs' | 'beganAtMs' | 'cutAtMs'>,
    bytes: number,
    isRecorded = true,
    isFinal = false,
  ): EpochRecord {
    const record: EpochRecord = {
      epoch: this.current,
      positions,
      ...times,
      bytes,
      isFinal,
      isRecorded,
      workersDone: 0,
      mergedAtMs: undefined,
      releasable: -1,
      isTellable: false,
      metadata: [],
      state: undefined,
    };
    this.#open.set(record.epoch, record);
    this.current++;
    return record;
  }

  get(epoch: number): EpochRecord | undefined {
    return this.#open.get(epoch);
  }

  /** The first of the epochs that have ended and are not yet written. */
  get oldest(): EpochRecord | undefined {
    return this.#open.values().next().value;
  }

  /** Epochs ended and not yet written. */
  get underWay(): number {
    return this.#open.size;
  }

  /**
   * All workers are done with the epoch. Takes what the exchanges hold now, and what to commit beside
   * positions. Epochs come in order.
   */
  merged(record: EpochRecord, progress: readonly ExchangeProgress[], metadata: readonly string[]): void {
    const { epoch } = record;
    for (let exchange = 0; exchange < progress.length; exchange++) {
      const { heldUntil, watermark } = progress[exchange] as ExchangeProgress;
      const held = this.#held[exchange] as { epoch: number; until: number }[];
      const feeders = this.#upstream[exchange] as readonly number[];
      // Rows of an epoch may reach this exchange for as long as one that feeds it holds rows of that epoch.
      const arrived = feeders.length === 0 ? epoch : Math.min(epoch, ...feeders.map((feeder) => this.#released[feeder] as number));
      if (arrived > (held.at(-1)?.epoch ?? (this.#released[exchange] as number))) held.push({ epoch: arrived, until: heldUntil });
      while (held.length > 0 && (held[0] as { until: number }).until <= watermark) {
        this.#released[exchange] = (held.shift() as { epoch: number }).epoch;
      }
    }
    const isFedAndOpen = progress.some(
      ({ heldUntil, watermark }, exchange) => (this.#upstream[exchange] as readonly number[]).length > 0 && heldUntil > watermark,
    );
    record.releasable = isFedAndOpen ? -1 : Math.min(epoch, ...this.#released);
    record.isTellable = !isFedAndOpen && progress.length > 0 && progress.every(({ heldUntil, watermark }) => heldUntil < Infinity && watermark > -Infinity);
    record.metadata = metadata;
  }

  /**
   * The epoch's output is acknowledged. Returns the newest epoch whose positions may now be committed, if
   * there is a new one. The windows closed by then are those of this record's metadata.
   *
   * @param nowMs a monotonic clock
   */
  written(record: EpochRecord, nowMs: number): CommitPlace | undefined {
    this.#open.delete(record.epoch);
    this.#lastWritten = record;
    if (this.#intervalMs !== undefined) return this.#checkpoint(record, nowMs);
    this.#closed.push(record);
    let newest: EpochRecord | undefined;
    while (this.#closed.length > 0 && (this.#closed[0] as EpochRecord).epoch <= record.releasable) newest = this.#closed.shift();
    return newest === undefined ? undefined : this.#toCommit(newest, record.epoch);
  }

  #checkpoint(record: EpochRecord, nowMs: number): CommitPlace | undefined {
    if (record.isFinal) return undefined;
    this.#candidate = record;
    if (nowMs - this.#checkpointAtMs < (this.#intervalMs as number)) return undefined;
    this.#checkpointAtMs = nowMs;
    return this.#toCommit(record, record.epoch);
  }

  /**
   * With checkpoints, while no epoch is under way: the last written one, if it is in none and one is due. Its
   * output would otherwise wait for rows that may not come.
   */
  due(nowMs: number): { readonly at: CommitPlace; readonly latest: EpochRecord } | undefined {
    const [at, latest] = [this.#candidate, this.#lastWritten];
    if (this.#intervalMs === undefined || at === undefined || latest === undefined || at.epoch <= this.committed) return undefined;
    if (this.underWay > 0 || nowMs - this.#checkpointAtMs < this.#intervalMs) return undefined;
    this.#checkpointAtMs = nowMs;
    return { at: this.#toCommit(at, latest.epoch), latest };
  }

  #toCommit(record: CommitPlace, toldEpoch: number): CommitPlace {
    this.committed = record.epoch;
    this.#at = record;
    this.#toldEpoch = toldEpoch;
    return record;
  }

  /**
   * For the end of a job without failure: what was closed, and how far was read, since positions were
   * committed last. It is committed beside the same positions, or the next run would close these windows once
   * more.
   */
  takeLast(): { readonly at: CommitPlace; readonly latest: EpochRecord } | undefined {
    const latest = this.#lastWritten;
    if (this.#intervalMs !== undefined) {
      const at = this.#candidate;
      if (at === undefined || latest === undefined || latest.epoch <= this.#toldEpoch) return undefined;
      return { at: this.#toCommit(at, latest.epoch), latest };
    }
    if (this.#at === undefined || latest === undefined || !latest.isTellable || latest.epoch <= this.#toldEpoch) return undefined;
    this.#toldEpoch = latest.epoch;
    return { at: this.#at, latest };
  }
}

/** The positions of one source's partitions in an epoch, to hand to its `commit`. */
export function positionsOf(record: CommitPlace, firstGlobal: number, partitionCount: number, metadata: readonly string[]): CommittedPosition[] {
  return Array.from({ length: partitionCount }, (_, partition) => ({
    partition,
    offset: record.positions[firstGlobal + partition] as Offset,
    metadata: metadata[firstGlobal + partition] ?? '',
  }));
}
