/**
 * Decisions: where an epoch is cut, what its clock shows and which partitions are idle. They are made at the
 * moment, or, after a restart, taken from the journal while it has records. With a journal every new decision
 * is recorded. The coordinator asks, and does not know which of the two has answered. Nothing here waits:
 * keeping a record is up to the owner of the store.
 */

import type { CommittedPosition, Offset } from '../../io/index.ts';
import { PARTITION_ACTIVE, PARTITION_DRAINED, PARTITION_ENDED } from '../shared/index.ts';
import type { JobClock } from './job-clock.ts';
import type { JournalHead, JournalRecord } from './journal.ts';
import { type EpochCut, type PartitionState, positionOf } from './partitions.ts';
import { planReplay } from './replay.ts';

/** What was decided about an epoch. */
export interface EpochDecision {
  /** The clock at its first row, and at its end. */
  readonly startMs: number;
  readonly nowMs: number;
  /** By global partition. */
  readonly states: readonly number[];
  /** What to keep of it before any of its output is written; undefined: nothing. */
  readonly record: JournalRecord | undefined;
}

/** Where decisions are kept: a journal on disk, or what a test puts in its place. */
export interface DecisionStore {
  /** Where it is, for messages. */
  readonly path: string;
  /** As found at the start; the head is undefined where there was nothing. */
  readonly head: JournalHead | undefined;
  readonly records: readonly JournalRecord[];
  /** They are of other sources than those that are read now: none is repeated. */
  readonly isOfOthers?: boolean | undefined;
  begin(head: JournalHead, records: readonly JournalRecord[]): Promise<void> | void;
  /** Settles when the record is durable. */
  append(record: JournalRecord): Promise<void> | void;
  /** The positions of this epoch are committed: its record, and earlier ones, are no longer needed. */
  trim(epoch: number): void;
}

export class Decisions {
  readonly #clock: JobClock;
  #store: DecisionStore | undefined;
  /** Where each source begins among all partitions. */
  #firstGlobal: number[] = [];
  #replay: readonly JournalRecord[] = [];
  #startMs: number | undefined;
  /** The number of the first epoch, and the clock at the end of the one before. */
  firstEpoch = 0;
  beforeMs = 0;

  constructor(clock: JobClock) {
    this.#clock = clock;
  }

  /**
   * Decides how the job starts.
   *
   * @param positions where each source begins
   * @param writtenEpoch the last epoch that had been written when these were committed; -1: none
   * @param clockMs what the clock had shown by then, as far as the positions tell
   * @param store where decisions are kept, if anywhere
   * @param checkpoint the epoch whose state the job has; undefined: it has none
   * @returns what the store is to begin with, if there is one
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when what is stored does not fit
   */
  begin(
    pipeline: string,
    sources: readonly string[],
    positions: readonly (readonly CommittedPosition[])[],
    writtenEpoch: number,
    clockMs: number,
    store: DecisionStore | undefined,
    checkpoint?: number | undefined,
  ): { readonly head: JournalHead; readonly kept: readonly JournalRecord[] } | undefined {
    let global = 0;
    for (const positionsOfSource of positions) {
      this.#firstGlobal.push(global);
      global += positionsOfSource.length;
    }
    this.#store = store;
    this.#clock.notBefore(Math.max(clockMs, store?.records.at(-1)?.nowMs ?? store?.head?.base.nowMs ?? Number.NEGATIVE_INFINITY));
    this.firstEpoch = writtenEpoch + 1;
    this.beforeMs = this.#clock.read();
    if (store === undefined) return undefined;
    const plan = planReplay(store.path, store.head, store.records, {
      pipeline,
      sources,
      positions,
      writtenEpoch,
      checkpoint,
      nowMs: this.beforeMs,
      isOfOthers: store.isOfOthers,
    });
    this.firstEpoch = plan.firstEpoch;
    this.beforeMs = plan.beforeMs;
    this.#replay = plan.records;
    return plan;
  }

  /**
   * In place of `begin`: the first epoch to come, and the clock at the end of the one before, as a snapshot
   * has them.
   */
  beginFrom(epoch: number, nowMs: number): void {
    this.firstEpoch = epoch;
    this.beforeMs = nowMs;
  }

  /** The open epoch was cut before, and is to be cut there again. */
  get isReplaying(): boolean {
    return this.#replay.length > 0;
  }

  /** Where the open epoch is to be cut; undefined: at any time. */
  get cut(): EpochCut | undefined {
    const record = this.#replay[0];
    if (record === undefined) return undefined;
    return { positions: record.positions.flat(), ended: record.states.flat().map((state) => state === PARTITION_ENDED) };
  }

  /** Where the epochs to repeat are to be cut, in their order, by global partition. */
  get cuts(): readonly (readonly Offset[])[] {
    return this.#replay.map(({ positions }) => positions.flat());
  }

  /** The clock at the first row of the open epoch. */
  get startMs(): number {
    return this.#replay[0]?.startMs ?? (this.#startMs ??= this.#clock.read());
  }

  /** The first row of an epoch comes in. */
  began(): void {
    this.#startMs ??= this.#clock.read();
  }

  /**
   * Ends the open epoch.
   *
   * @param partitions where they are now
   * @param states what they are now
   */
  end(epoch: number, partitions: readonly PartitionState[], states: readonly number[]): EpochDecision {
    const [again, ...rest] = this.#replay;
    if (again !== undefined) {
      this.#replay = rest;
      this.#startMs = undefined;
      // What a drain ended for its run is open again in the next one.
      const repeated = again.states.flat().map((state) => (state === PARTITION_DRAINED ? PARTITION_ACTIVE : state));
      return { startMs: again.startMs, nowMs: again.nowMs, states: repeated, record: undefined };
    }
    const { startMs } = this;
    this.#startMs = undefined;
    const nowMs = this.#clock.read();
    if (this.#store === undefined) return { startMs, nowMs, states, record: undefined };
    const positions = this.#bySource(partitions.map(positionOf));
    return { startMs, nowMs, states, record: { epoch, startMs, nowMs, positions, states: this.#bySource(states) } };
  }

  /** The positions of an epoch are committed. */
  committed(epoch: number): void {
    this.#store?.trim(epoch);
  }

  #bySource(values: readonly number[]): number[][] {
    return this.#firstGlobal.map((first, source) => values.slice(first, this.#firstGlobal[source + 1] ?? values.length));
  }
}
