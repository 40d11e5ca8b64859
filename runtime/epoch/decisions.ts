/**
 * Who decides where an epoch is cut, what its clock shows and which partitions are idle: the moment, or, after a restart, the
 * journal, for as long as it has records. With a journal every decision of the moment is recorded. The coordinator asks; it
 * does not know which of the two has answered.
 */

import type { CommittedPosition } from '../../io/index.ts';
import { PARTITION_ACTIVE, PARTITION_DRAINED, PARTITION_ENDED } from '../shared/partition-codes.ts';
import { JobClock } from './job-clock.ts';
import { Journal, type JournalRecord } from './journal.ts';
import { type EpochCut, type PartitionState, positionOf } from './partitions.ts';
import { planReplay } from './replay.ts';

/** What was decided about an epoch. */
export interface EpochDecision {
  /** The clock at its first row, and at its end. */
  readonly startMs: number;
  readonly nowMs: number;
  /** By global partition. */
  readonly states: readonly number[];
  /** Resolves when it is on disk, at once where nothing is recorded. */
  readonly recorded: Promise<void>;
}

export class Decisions {
  readonly #clock: JobClock;
  readonly #journal: Journal | undefined;
  /** Where each source begins among all partitions. */
  #firstGlobal: number[] = [];
  #replay: readonly JournalRecord[] = [];
  #startMs: number | undefined;
  /** The number of the first epoch, and the clock at the end of the one before. */
  firstEpoch = 0;
  beforeMs = 0;

  private constructor(clock: JobClock, journal: Journal | undefined) {
    this.#clock = clock;
    this.#journal = journal;
  }

  /** @throws MillraceError ERR_MILLRACE_CHECKPOINT, ERR_MILLRACE_CORRUPT when the directory cannot be used */
  static async open(dir: string | undefined, pipeline: string, wall: () => number): Promise<Decisions> {
    return new Decisions(new JobClock(wall), dir === undefined ? undefined : await Journal.open(dir, pipeline));
  }

  /**
   * Settles how the job starts.
   *
   * @param positions where each source begins
   * @param writtenEpoch the last epoch that had been written when those were committed; -1: none
   * @param clockMs what the clock had shown by then, as far as the positions say
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the journal does not fit
   */
  async begin(
    pipeline: string,
    sources: readonly string[],
    positions: readonly (readonly CommittedPosition[])[],
    writtenEpoch: number,
    clockMs: number,
  ): Promise<void> {
    let global = 0;
    for (const of of positions) {
      this.#firstGlobal.push(global);
      global += of.length;
    }
    const journal = this.#journal;
    this.#clock.notBefore(Math.max(clockMs, journal?.records.at(-1)?.nowMs ?? journal?.head?.base.nowMs ?? Number.NEGATIVE_INFINITY));
    this.firstEpoch = writtenEpoch + 1;
    this.beforeMs = this.#clock.read();
    if (journal === undefined) return;
    const plan = planReplay(journal.path, journal.head, journal.records, { pipeline, sources, positions, writtenEpoch, nowMs: this.beforeMs });
    this.firstEpoch = plan.firstEpoch;
    this.beforeMs = plan.beforeMs;
    this.#replay = plan.records;
    await journal.begin(plan.head, plan.kept);
  }

  /** The epoch that is open was cut before: it is to be cut there again. */
  get isReplaying(): boolean {
    return this.#replay.length > 0;
  }

  /** Where the open epoch is to be cut; undefined: at any time. */
  get cut(): EpochCut | undefined {
    const record = this.#replay[0];
    if (record === undefined) return undefined;
    return { positions: record.positions.flat(), ended: record.states.flat().map((state) => state === PARTITION_ENDED) };
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
      // What a drain ended for its own run is open again in the next one.
      const repeated = again.states.flat().map((state) => (state === PARTITION_DRAINED ? PARTITION_ACTIVE : state));
      return { startMs: again.startMs, nowMs: again.nowMs, states: repeated, recorded: Promise.resolve() };
    }
    const { startMs } = this;
    this.#startMs = undefined;
    const nowMs = this.#clock.read();
    const positions = partitions.map(positionOf);
    const recorded =
      this.#journal?.append({ epoch, startMs, nowMs, positions: this.#bySource(positions), states: this.#bySource(states) }) ?? Promise.resolve();
    return { startMs, nowMs, states, recorded };
  }

  /** The positions of an epoch are committed. */
  committed(epoch: number): void {
    this.#journal?.trim(epoch);
  }

  /** A source has nothing to show for what was committed. */
  forgets(source: number): void {
    this.#journal?.forgets(source);
  }

  get isRecording(): boolean {
    return this.#journal !== undefined;
  }

  async close(): Promise<void> {
    await this.#journal?.close();
  }

  #bySource(values: readonly number[]): number[][] {
    return this.#firstGlobal.map((first, source) => values.slice(first, this.#firstGlobal[source + 1] ?? values.length));
  }
}
