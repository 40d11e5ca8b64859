/**
 * What follows once an epoch is merged: its output is written, then the positions that may be committed are, source by
 * source; with checkpoints, the state before them. One thing at a time, and epochs in their order.
 *
 *   merged, recorded --> write --written--> checkpoint --checkpointed--> commit source 0, 1, ... --committed--> the next
 *
 * It decides which output is left out because a run before has written it: that of epochs that are repeated, and that of
 * a drain behind which no rows have come.
 */

import type { Offset } from '../../io/index.ts';
import { type CommitPlace, type Commits, checkpointMetadata, type EpochRecord, type EpochState, metadataToCommit, positionsOf } from '../epoch/index.ts';
import type { CoordinatorParts } from './coordinator-parts.ts';
import type { Outputs } from './outputs.ts';

/** What the coordinator does at these moments. */
export interface FinisherEvents {
  /** Whether anything may still be written or committed. */
  mayGoOn(): boolean;
  /** The blocks of an epoch are freed. */
  released(): void;
  committed(record: CommitPlace): void;
  /** The epoch is written, and what it lets be committed is committed. */
  finished(record: EpochRecord, writtenAtMs: number, checkpointedAtMs: number): void;
  /** Nothing is being written or committed. */
  idle(): void;
}

/** A commit that is under way. */
interface Committing {
  readonly record: CommitPlace;
  /** The last one of the job. */
  readonly isLast: boolean;
  /** By global partition. */
  readonly metadata: readonly string[];
  /** The source whose turn it is. */
  source: number;
}

export class Finisher {
  readonly #parts: Pick<CoordinatorParts, 'plan' | 'effects' | 'clocks' | 'checkpointMs'>;
  readonly #commits: Commits;
  readonly #outputs: Outputs;
  readonly #events: FinisherEvents;
  /** By source. */
  #partitionCounts: readonly number[] = [];
  /** The last epoch that a run before this one has written. */
  #writtenEpoch = -1;
  /** Epochs for which a partition was drained, and whether by then none was read any longer. */
  readonly #drains = new Map<number, boolean>();
  /** Where this run, or the one before it, was when it drained, and that was written. */
  #drainedAt: readonly Offset[] | undefined;
  /** What is being written, and then committed. */
  #finishing: EpochRecord | undefined;
  #committing: Committing | undefined;
  #writtenAtMs = 0;
  #checkpointedAtMs = 0;

  constructor(parts: CoordinatorParts, commits: Commits, outputs: Outputs, events: FinisherEvents) {
    this.#parts = parts;
    this.#commits = commits;
    this.#outputs = outputs;
    this.#events = events;
  }

  /**
   * @param partitionCounts by source
   * @param writtenEpoch the last epoch that a run before this one has written
   * @param drainedAt where that run was drained, if it was
   */
  begin(partitionCounts: readonly number[], writtenEpoch: number, drainedAt: readonly Offset[] | undefined): void {
    this.#partitionCounts = partitionCounts;
    this.#writtenEpoch = writtenEpoch;
    this.#drainedAt = drainedAt;
  }

  /** Where this run, or the one before it, was drained: what was open then is written; undefined: it was not. */
  get drainedAt(): readonly Offset[] | undefined {
    return this.#drainedAt;
  }

  /** The last commit of the job is under way. */
  get isConcluding(): boolean {
    return this.#committing?.isLast === true;
  }

  /** An epoch is being written, or what it lets be committed is. */
  get isFinishing(): boolean {
    return this.#finishing !== undefined;
  }

  /** What it waits for, in words; undefined: for nothing. */
  get outstanding(): string | undefined {
    const { sources, sinks } = this.#parts.plan;
    if (this.#committing !== undefined) return `The source ${sources[this.#committing.source]?.source.name} has not committed its positions`;
    if (this.#finishing !== undefined) return `Sinks have not written epoch ${this.#finishing.epoch}: ${sinks.map(({ sink }) => sink.name).join(', ')}`;
    return undefined;
  }

  /**
   * An epoch has ended for which partitions were drained.
   *
   * @param isWhole no partition is read any longer; else only some windows come out for the sake of those that are drained
   */
  drained(epoch: number, isWhole: boolean): void {
    this.#drains.set(epoch, isWhole);
  }

  /** Has the oldest epoch written, once it is merged and recorded, and nothing else is under way. */
  next(): void {
    const record = this.#commits.oldest;
    if (!this.#events.mayGoOn() || !this.#isIdle || record?.mergedAtMs === undefined || !record.isRecorded) return;
    this.#finishing = record;
    const { epoch } = record;
    if (epoch > this.#writtenEpoch && !this.#isDrainedAgain(record)) this.#parts.effects.write(epoch, this.#outputs.blocksOf(epoch));
    else this.#outputIsDone(record, false);
  }

  written(epoch: number): void {
    if (this.#finishing?.epoch === epoch && this.#committing === undefined) this.#outputIsDone(this.#finishing, true);
  }

  checkpointed(): void {
    if (this.#committing === undefined) return;
    this.#checkpointedAtMs = this.#parts.clocks.elapsed();
    this.#commitNext(this.#committing);
  }

  committed(source: number): void {
    const committing = this.#committing;
    if (committing?.source !== source) return;
    committing.source++;
    this.#commitNext(committing);
  }

  /** Nothing comes in: what was written may still wait for its checkpoint. */
  checkpointIfDue(): void {
    if (!this.#events.mayGoOn() || !this.#isIdle) return;
    const due = this.#commits.due(this.#parts.clocks.elapsed());
    if (due !== undefined) this.#commit(due.at, due.latest, false);
  }

  /** Everything is written. Commits for the next run what was closed since the last commit. */
  conclude(): void {
    if (this.#committing !== undefined) return;
    const last = this.#commits.takeLast();
    if (last === undefined) this.#parts.effects.finished();
    else this.#commit(last.at, last.latest, true);
  }

  get #isIdle(): boolean {
    return this.#finishing === undefined && this.#committing === undefined;
  }

  #isDrainedAgain({ epoch, positions }: EpochRecord): boolean {
    return this.#drains.has(epoch) && this.#drainedAt !== undefined && positions.every((offset, global) => offset === this.#drainedAt?.[global]);
  }

  #outputIsDone(record: EpochRecord, written: boolean): void {
    this.#outputs.release(record.epoch, { written });
    this.#events.released();
    if (this.#drains.get(record.epoch) === true) this.#drainedAt = record.positions;
    this.#writtenAtMs = this.#parts.clocks.elapsed();
    const commit = this.#commits.written(record, this.#writtenAtMs);
    if (commit === undefined) this.#finished(record);
    else this.#commit(commit, record, false);
  }

  /** Commits positions, with what the latest written epoch knows; and the state first, where it is kept. */
  #commit(record: CommitPlace, latest: EpochRecord, isLast: boolean): void {
    const hasState = this.#parts.checkpointMs !== undefined;
    const metadata = record.metadata.map((text, global) =>
      hasState ? checkpointMetadata(latest.epoch) : metadataToCommit(text, latest.metadata[global] as string),
    );
    this.#committing = { record, isLast, metadata, source: 0 };
    if (!hasState) this.#commitNext(this.#committing);
    else {
      const { epoch, positions, state } = record;
      this.#parts.effects.checkpoint({ checkpoint: epoch, written: latest.epoch, positions, drainedAt: this.#drainedAt, state: state as EpochState });
    }
  }

  /** Commits the next source that has partitions, if there is one. */
  #commitNext(committing: Committing): void {
    const { record, metadata } = committing;
    const counts = this.#partitionCounts;
    while (committing.source < counts.length && counts[committing.source] === 0) committing.source++;
    const { source } = committing;
    if (source < counts.length) {
      const firstGlobal = counts.slice(0, source).reduce((sum, count) => sum + count, 0);
      this.#parts.effects.commit(source, positionsOf(record, firstGlobal, counts[source] as number, metadata));
      return;
    }
    this.#committing = undefined;
    if (committing.isLast) {
      this.#parts.effects.finished();
      return;
    }
    this.#events.committed(record);
    if (this.#finishing === undefined) this.#events.idle();
    else this.#finished(this.#finishing);
  }

  #finished(record: EpochRecord): void {
    this.#finishing = undefined;
    this.#events.finished(record, this.#writtenAtMs, Math.max(this.#writtenAtMs, this.#checkpointedAtMs));
    this.#events.idle();
  }
}
