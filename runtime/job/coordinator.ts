/**
 * The coordinator: it manages offsets, epoch boundaries and back-pressure, and decides what is written and
 * what may be committed. It touches no row. It is a state machine without threads, promises or clocks of its
 * own: it is told what happened, and asks for what is to be done. That may be done at once or later, so a job
 * (execution.ts) and a test driver (driver/) run the same coordinator.
 *
 *   sources --frames--> intake --chunks--> crew
 *   crew --blocks, "epoch done"--> outputs
 *   for each epoch, in order: cut | recorded, merged | written | committed, source by source
 *
 * It drives its parts and counts nothing by itself. Intake, crew and outputs move rows; decisions, states,
 * watermarks, commits and balance know what an epoch is. At most two epochs are under way, so a slow sink
 * stops the next cut, then the credit, then the fetch.
 */

import type { MillraceError, SlabAllocator, WatermarkState } from '../../core/index.ts';
import type { Chunk, CommittedPosition, Offset } from '../../io/index.ts';
import {
  type CommitPlace,
  Commits,
  checkpointMetadata,
  type DecisionStore,
  Decisions,
  type Drain,
  type EpochRecord,
  type EpochState,
  JobClock,
  JobWatermarks,
  type JournalHead,
  type JournalRecord,
  metadataToCommit,
  PartitionStates,
  positionOf,
  positionsOf,
} from '../epoch/index.ts';
import type { Plan, SourcePlan } from '../plan/index.ts';
import { Control, EpochBalance, type OutputBlock, PARTITION_DRAINED, PARTITION_ENDED } from '../shared/index.ts';
import type { Crew, CrewEvents } from '../workers/index.ts';
import { areTooMany, BAD_REASONS, type BadRows, shareAllowed, tooMany } from './bad-rows.ts';
import { EpochSize } from './epoch-size.ts';
import { Intake } from './intake.ts';
import { Outputs } from './outputs.ts';
import { type JobState, ProgressLog, type ProgressSources } from './progress.ts';
import { StallWatch } from './stall-watch.ts';
import { type AtLimit, PAUSED_EPOCH_MS, StateLimit } from './state-limit.ts';
import { Views } from './view.ts';

const EPOCHS_UNDER_WAY_MAX = 2;

/** What a checkpoint is made of, on the coordinator's side. */
export interface CheckpointCut {
  /** The epoch whose state it has. */
  readonly checkpoint: number;
  /** The last epoch whose output has been written; it may be a later one. */
  readonly written: number;
  /** By global partition. */
  readonly positions: readonly Offset[];
  /** Where this run, or the one before it, was drained: that output is written; undefined: it was not. */
  readonly drainedAt: readonly Offset[] | undefined;
  readonly state: EpochState;
}

/** What a run resumes from. */
export interface Resume {
  readonly checkpoint: number;
  readonly written: number;
  readonly watermarks: readonly WatermarkState[];
  readonly heldUntil: readonly number[];
  readonly drainedAt: readonly Offset[] | undefined;
}

/**
 * What the coordinator asks for. Each request is answered by the call that it names, at once or later.
 * Requests may be answered in any order.
 */
export interface Effects {
  /** Keep the decisions of an epoch: `recorded`. Not asked for where there is no store. */
  record(record: JournalRecord): void;
  /** Write an epoch's blocks, in their order, and make them final: `written`. One epoch at a time. */
  write(epoch: number, blocks: readonly OutputBlock[]): void;
  /**
   * Make a checkpoint, and with it the output so far, final: `checkpointed`. Not asked for without
   * checkpoints.
   */
  checkpoint(cut: CheckpointCut): void;
  /** Commit positions of one source: `committed`. One source at a time. */
  commit(source: number, positions: readonly CommittedPosition[]): void;
  /** Everything is done. No answer. */
  finished(): void;
  /** End the job with this error. `source`: the one that reported it. No answer. */
  failed(error: unknown, source?: number): void;
  /** End the job with the error that this returns, once the crew's samples have come. No answer. */
  refuse(reason: () => MillraceError): void;
  /** Warn people: the job goes on, but not as they may expect. No answer. */
  warn(message: string): void;
  /** A member of the crew does not return from what it is doing. No answer. */
  hangs?(what: string): void;
}

/** What it needs from outside. */
export interface CoordinatorParts {
  readonly plan: Plan;
  readonly slabs: SlabAllocator;
  readonly crew: Crew;
  readonly effects: Effects;
  readonly clocks: {
    /** ms since 1970; it may be set. */
    readonly wall: () => number;
    /** ms of a monotonic clock. */
    readonly elapsed: () => number;
  };
  readonly limits: {
    readonly chunkBytes: number;
    /** With many partitions chunks are made smaller, down to this. */
    readonly chunkBytesMin: number;
    readonly creditBytes: number;
    readonly epochBytes: number;
    /** What may come out of an epoch before it is cut early, about. */
    readonly outputBytes: number;
    /** What the first epoch takes in where functions may make many rows of one. */
    readonly firstEpochBytes: number;
    /** State may take this much, including what lies in JavaScript's heap. */
    readonly stateBytes: number;
    readonly atLimit: AtLimit;
  };
  readonly drain: Drain;
  readonly badRows: BadRows;
  /** ms between checkpoints; undefined: there are none. */
  readonly checkpointMs?: number | undefined;
  /** ms after which a member of the crew that does not return counts as hanging; undefined: never. */
  readonly hangMs?: number | undefined;
  /**
   * Makes a call soon, but not within this one. With it epochs end by themselves, without it when `endEpoch`
   * is called.
   */
  readonly later?: (call: () => void) => void;
}

/** A commit that is under way. */
interface Committing {
  readonly record: CommitPlace;
  /** The last epoch whose output has been written. */
  readonly written: number;
  /** The last one of the job. */
  readonly isLast: boolean;
  /** By global partition. */
  readonly metadata: readonly string[];
  /** The source whose turn it is. */
  source: number;
}

export class Coordinator {
  readonly intake: Intake;
  readonly outputs: Outputs;
  readonly progressLog: ProgressLog;
  readonly commits: Commits;
  /** No member of the crew is changing anything: views need not wait. */
  isAtRest = false;
  readonly #parts: CoordinatorParts;
  readonly #states: PartitionStates;
  readonly #balance: EpochBalance;
  readonly #decisions: Decisions;
  readonly #epochSize: EpochSize;
  readonly #stateLimit: StateLimit;
  #control!: Control;
  #views!: Views;
  #watermarks!: JobWatermarks;
  #watch: StallWatch | undefined;
  /** It has ended the job by itself: nothing more is written. */
  #isRefused = false;
  #partitionCounts: readonly number[] = [];
  #epochStartedAtMs = 0;
  /** Epochs in which this run was drained: no partition is read any longer. */
  readonly #drains = new Set<number>();
  /** Where this run, or the one before it, was when it drained, and that was written. */
  #drainedAt: readonly Offset[] | undefined;
  /** By epoch under way: the clock at its end. */
  readonly #clockAt = new Map<number, number>();
  #hasBegun = false;
  /** By source: what it waits for outside. */
  readonly #waiting = new Map<number, string>();
  #isEpochWanted = false;
  /** What is being written, and then committed. */
  #finishing: EpochRecord | undefined;
  /** What is being committed after it, source by source. */
  #committing: Committing | undefined;
  #writtenAtMs = 0;
  #isStopping = false;
  #readAgain: number | 'all' = 0;
  #isOver = false;

  constructor(parts: CoordinatorParts) {
    this.#parts = parts;
    const { plan, slabs, effects, clocks, limits, drain, checkpointMs } = parts;
    this.#epochSize = new EpochSize(plan, limits.epochBytes, limits.outputBytes, limits.firstEpochBytes);
    this.#stateLimit = new StateLimit(
      limits.stateBytes,
      limits.atLimit,
      plan.exchanges.some(({ watermarks }) => watermarks.length === 0 || watermarks.some((w) => plan.watermarks[w]?.strategy.isProcessingTime === true)),
    );
    this.outputs = new Outputs(slabs);
    this.#balance = new EpochBalance(plan);
    this.commits = new Commits(
      plan.exchanges.map((exchange) => exchange.upstream),
      checkpointMs,
    );
    this.#decisions = new Decisions(new JobClock(clocks.wall, clocks.elapsed));
    this.intake = new Intake(
      slabs,
      limits,
      {
        chunk: (source, chunk, sequence) => this.#dispatch(source, chunk, sequence),
        began: () => this.#decisions.began(),
        epochFull: () => this.#wantEpoch(),
        cutReached: () => this.#wantEpoch(),
        ended: () => this.wantEpochIfEnded(),
        failed: (source, error) => effects.failed(error, source),
        waiting: (source, what) => this.#waits(source, what),
      },
      clocks.elapsed,
    );
    this.intake.limitEpoch(this.#epochSize.inBytes);
    this.#states = new PartitionStates(plan, this.intake, drain);
    this.progressLog = new ProgressLog(plan, clocks.elapsed, () => this.#progressSources());
  }

  // ---- setting up, in this order, once the sources have named their partitions to the intake

  /** Lays out what is shared with the crew. */
  lay(partitionCounts: readonly number[]): Control {
    const { plan, slabs, crew, limits } = this.#parts;
    this.#partitionCounts = partitionCounts;
    this.intake.limitChunks(limits.chunkBytesMin);
    this.#control = Control.lay(slabs, plan, crew.count, this.intake.partitions.length);
    this.#views = new Views({ slabs, control: this.#control, isOver: () => this.isAtRest }, plan);
    crew.lay(this.#control);
    this.#watermarks = new JobWatermarks(plan, this.#control, this.intake.partitions);
    return this.#control;
  }

  /**
   * Sets where epochs begin: behind what was committed, or with the epochs that the store has behind that.
   *
   * @param store where decisions are kept, if anywhere
   * @param resume the checkpoint that has the state as of `committed`
   * @returns what the store is to begin with
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when what was committed is of another pipeline, or does not
   *   fit the store
   */
  begin(
    committed: readonly (readonly CommittedPosition[])[],
    store?: DecisionStore,
    resume?: Resume,
  ): { readonly head: JournalHead; readonly kept: readonly JournalRecord[] } | undefined {
    if (resume === undefined) this.#watermarks.restore(committed, this.#partitionCounts);
    else this.#watermarks.resume(resume.watermarks, resume.heldUntil, resume.written);
    this.#drainedAt = resume?.drainedAt;
    const { plan, checkpointMs } = this.#parts;
    const names = plan.sources.map(({ source }) => source.name);
    // Checkpoints count from 1 on: number 0 is that of a job that has read nothing.
    const writtenEpoch = checkpointMs === undefined ? this.restored.writtenEpoch : Math.max(0, this.restored.writtenEpoch);
    const stored = this.#decisions.begin(plan.name, names, committed, writtenEpoch, this.#watermarks.clockMs, store, resume?.checkpoint);
    committed.flat().forEach(({ offset }, global) => this.intake.startAt(global, offset));
    this.#readAgain = resume === undefined ? this.#rowsReadBefore(committed) : 0;
    const start = { epoch: this.#decisions.firstEpoch - 1, positions: committed.flat().map(({ offset }) => offset) };
    const state = { nowMs: this.#decisions.beforeMs, ...this.#watermarks.state, oldestBase: Number.NEGATIVE_INFINITY, stateBytes: 0 };
    this.commits.begin({ ...start, metadata: this.#watermarks.metadata({ ...start, epoch: this.restored.writtenEpoch }), state });
    this.#started();
    return stored;
  }

  /** What a checkpoint of the start is made of: nothing is read, but it is known where reading begins. */
  get firstCut(): CheckpointCut {
    const { epoch, positions, state } = this.commits.start;
    return { checkpoint: epoch, written: Math.max(epoch, this.restored.writtenEpoch), positions, drainedAt: this.#drainedAt, state: state as EpochState };
  }

  /**
   * Rows before where the last run had got to. `all`: with state that never closes, of a source without an
   * end, nothing is committed.
   */
  #rowsReadBefore(committed: readonly (readonly CommittedPosition[])[]): number | 'all' {
    const { sources, exchanges } = this.#parts.plan;
    const isEndless = (source: number) => !(sources[source] as SourcePlan).source.bounded;
    if (exchanges.some((exchange) => exchange.watermarks.length === 0 && exchange.sources.some(isEndless))) return 'all';
    const { readUntil } = this.restored;
    return committed.flat().reduce((sum, { offset }, global) => sum + Math.max(0, (readUntil[global] as number) - offset), 0);
  }

  /**
   * In place of `begin`: resumes from a snapshot, whose state the crew has. Nothing is committed from here
   * on.
   */
  beginFrom(epoch: number, nowMs: number): void {
    this.#decisions.beginFrom(epoch, nowMs);
    this.#watermarks.holdAll();
    this.#started();
  }

  get control(): Control {
    return this.#control;
  }

  /** What had been written and read before this start. */
  get restored(): JobWatermarks['restored'] {
    return this.#watermarks.restored;
  }

  /** The number of the first epoch, and the clock at the end of the one before. */
  get first(): { readonly epoch: number; readonly nowMs: number } {
    return { epoch: this.#decisions.firstEpoch, nowMs: this.#decisions.beforeMs };
  }

  get views(): Views {
    return this.#views;
  }

  get state(): JobState {
    if (!this.#hasBegun) return 'starting';
    if (this.#isStopping) return 'draining';
    if (this.#waiting.size > 0 || this.#stateLimit.isWaiting) return 'waiting';
    if (!this.intake.hasHeardOfAll) return 'joining';
    return this.#decisions.isReplaying ? 'restoring' : 'running';
  }

  // ---- when epochs end

  /** The trigger's time is up. */
  tick(): void {
    this.progressLog.tick();
    if (!this.mayEndEpoch) this.#isEpochWanted = true;
    else if (this.#hasNews()) this.endEpoch();
    else this.#checkpointIfDue();
  }

  /** Warns of what stands still. To be called about once per second. */
  look(): void {
    const { clocks, effects, hangMs } = this.#parts;
    this.#watch?.look(clocks.elapsed());
    const [hanging] = hangMs === undefined ? [] : (this.#watch?.longWork(clocks.elapsed(), hangMs) ?? []);
    if (hanging !== undefined) effects.hangs?.(hanging);
  }

  /**
   * The job is over, and all of the crew's reports have come: warns of sources of which no row could be
   * decoded, however few there were.
   */
  lookBack(): void {
    this.#watch?.lookAtRows(1);
  }

  /** What a stop waits for, in words. */
  get outstanding(): string {
    const long = this.#watch?.longWork(this.#parts.clocks.elapsed()) ?? [];
    if (long.length > 0) return long.join('. ');
    const { plan } = this.#parts;
    if (this.#committing !== undefined) return `The source ${plan.sources[this.#committing.source]?.source.name} has not committed its positions`;
    if (this.#finishing !== undefined) return `Sinks have not written epoch ${this.#finishing.epoch}: ${plan.sinks.map(({ sink }) => sink.name).join(', ')}`;
    return `Epoch ${this.commits.oldest?.epoch ?? this.commits.current} is not merged`;
  }

  /** When everything has ended there is nothing to wait for. */
  wantEpochIfEnded(): void {
    if (this.#states.allEnded) this.#wantEpoch();
  }

  get mayEndEpoch(): boolean {
    return this.commits.underWay < EPOCHS_UNDER_WAY_MAX;
  }

  /** An epoch is being repeated, and has not reached its cut. */
  get mustReadOn(): boolean {
    return this.#decisions.isReplaying && !this.intake.isCutReached;
  }

  get isReplaying(): boolean {
    return this.#decisions.isReplaying;
  }

  /** Cuts the epoch: it has the rows that have come in so far. */
  endEpoch(): void {
    if (this.#isOver) return;
    const { intake, commits } = this;
    const { crew, effects, clocks } = this.#parts;
    const bytes = intake.epochBytes;
    intake.endEpoch();
    const epoch = commits.current;
    const { startMs, nowMs, states, record } = this.#decisions.end(epoch, intake.partitions, this.#states.now());
    this.#states.endEpoch(states);
    states.forEach((state, global) => this.#control.setPartition(epoch, global, state));
    this.#watermarks.endEpoch(epoch, nowMs);
    this.#balance.end(epoch, intake.takeRows());
    // While a partition is read, only some windows are put out for the sake of those that are drained.
    const isFinal = states.length > 0 && states.every((state) => state === PARTITION_ENDED || state === PARTITION_DRAINED);
    if (isFinal && states.includes(PARTITION_DRAINED)) this.#drains.add(epoch);
    commits.end(intake.partitions.map(positionOf), this.#epochStartedAtMs, bytes, record === undefined, isFinal);
    this.#clockAt.set(epoch, nowMs);
    this.#epochStartedAtMs = clocks.elapsed();
    if (record !== undefined) effects.record(record);
    crew.endEpoch({ epoch, startMs, nowMs });
    // After the end of this epoch, as what was held back belongs to the next.
    intake.cutAt(this.#decisions.cut);
  }

  // ---- what it is told

  /** The crew has reported something. */
  receive(): void {
    this.#parts.crew.receive(this.#crewEvents);
    if (this.#isEpochWanted) this.#endWantedEpoch();
  }

  recorded(epoch: number): void {
    const record = this.commits.get(epoch);
    if (record === undefined || this.#isOver) return;
    record.isRecorded = true;
    this.#finishNext();
  }

  written(epoch: number): void {
    if (this.#isOver || this.#finishing?.epoch !== epoch || this.#committing !== undefined) return;
    this.outputs.release(epoch, { written: true });
    this.#holdBack();
    this.#outputIsDone(this.#finishing);
  }

  checkpointed(): void {
    const committing = this.#committing;
    if (this.#isOver || committing === undefined) return;
    this.#commitNext(committing);
  }

  committed(source: number): void {
    const committing = this.#committing;
    if (this.#isOver || committing === undefined || committing.source !== source) return;
    committing.source++;
    this.#commitNext(committing);
  }

  /**
   * Takes in nothing more. With `drain` everything taken in is finished, and then `finished` is asked for.
   */
  stop({ drain }: { readonly drain: false | Drain['open'] }): void {
    this.intake.close();
    if (drain === false) return;
    this.#states.stop(drain);
    this.#isStopping = true;
    if (this.#isFinished()) this.#conclude();
    else this.#wantEpoch();
  }

  /** The job is over, with or without an error. Whatever is reported from here on changes nothing. */
  end(): void {
    this.#isOver = true;
    this.intake.release();
    this.#parts.crew.stop();
  }

  #waits(source: number, what: string | undefined): void {
    if (what === this.#waiting.get(source)) return;
    if (what === undefined) this.#waiting.delete(source);
    else {
      this.#waiting.set(source, what);
      const { name } = (this.#parts.plan.sources[source] as SourcePlan).source;
      this.#parts.effects.warn(what.startsWith(name) ? what : `The source ${name} waits: ${what}`);
    }
  }

  // ---- chunks

  #dispatch(source: number, chunk: Chunk, sequence: number): void {
    this.#balance.give(source, chunk.byteLength);
    this.#parts.crew.giveChunk({ epoch: this.commits.current, startMs: this.#decisions.startMs, source, chunk, sequence });
  }

  readonly #crewEvents: CrewEvents = {
    chunkDone: (address) => this.intake.chunkDone(address),
    output: (epoch, block) => {
      this.outputs.add(epoch, block);
      if (this.outputs.bytesOf(epoch) > this.#epochSize.outBytes && epoch === this.commits.current) this.intake.fillEpoch();
      this.#holdBack();
    },
    epochDone: (epoch) => {
      const record = this.commits.get(epoch);
      if (record !== undefined && ++record.workersDone === this.#parts.crew.count) this.#merged(record);
    },
  };

  // ---- when epochs end

  #started(): void {
    this.#hasBegun = true;
    const { plan, crew, clocks, effects } = this.#parts;
    const { counters, samples } = crew;
    const of = { plan, control: this.#control, partitions: this.intake.partitions, watermarks: this.#watermarks.all, counters, samples };
    this.#watch = new StallWatch(of, clocks.elapsed(), (message) => effects.warn(message));
    this.commits.current = this.#decisions.firstEpoch;
    this.intake.repeats(this.#decisions.cuts);
    this.intake.cutAt(this.#decisions.cut);
    this.#epochStartedAtMs = this.#parts.clocks.elapsed();
  }

  /** Nothing comes in: what was written may still wait for its checkpoint. */
  #checkpointIfDue(): void {
    if (this.#isOver || this.#isRefused || this.#finishing !== undefined || this.#committing !== undefined) return;
    const due = this.commits.due(this.#parts.clocks.elapsed());
    if (due !== undefined) this.#commit(due.at, due.latest, false);
  }

  /** Since the last epoch rows came or a partition changed its state; or windows wait for the clock. */
  #hasNews(): boolean {
    if (this.#committing?.isLast === true) return false;
    if (this.#decisions.isReplaying) return !this.#isStopping && this.intake.isCutReached;
    if (this.#stateLimit.isWaiting && this.#parts.clocks.elapsed() >= this.#epochStartedAtMs + PAUSED_EPOCH_MS) return true;
    if (this.intake.epochBytes > 0 || this.#states.haveChanged) return true;
    // What waits for the clock when nothing more comes waits for the next run.
    return this.#watermarks.waitsForClock && !this.#isStopping && !this.#states.allEnded;
  }

  #wantEpoch(): void {
    this.#isEpochWanted = true;
    // Not within the call of a source that is emitting.
    if (this.mayEndEpoch) this.#parts.later?.(() => this.#endWantedEpoch());
  }

  #endWantedEpoch(): void {
    if (!this.#isEpochWanted || this.#isOver || !this.mayEndEpoch || this.#parts.later === undefined) return;
    this.#isEpochWanted = false;
    if (this.#hasNews()) this.endEpoch();
  }

  // ---- what follows the cut

  /** All of the crew have merged the epoch: notes what windows hold now, then sees to the output. */
  #merged(record: EpochRecord): void {
    const blockBytes = this.#balance.check(record.epoch, this.#control);
    const progress = this.#watermarks.merged(record.epoch);
    this.commits.merged(record, progress, this.#watermarks.metadata(record));
    if (this.#parts.checkpointMs !== undefined) {
      const { oldestBase } = this.#control.log(record.epoch);
      record.state = { nowMs: this.#clockAt.get(record.epoch) as number, ...this.#watermarks.state, oldestBase, stateBytes: this.#control.stateBytes };
    }
    this.#clockAt.delete(record.epoch);
    record.mergedAtMs = this.#parts.clocks.elapsed();
    this.#epochSize.merged(record.bytes, this.outputs.bytesOf(record.epoch) + blockBytes);
    this.intake.limitEpoch(this.#epochSize.inBytes);
    this.#judge(record);
    this.#finishNext();
  }

  /**
   * Ends the job before the merged epoch is written, when too many rows are bad or its state is too large.
   */
  #judge(record: EpochRecord): void {
    const { crew, badRows, clocks, effects } = this.#parts;
    const { stateBytes } = this.#control;
    const { commits } = this;
    const mayWait = !this.#states.allEnded && !this.#isStopping && !this.#decisions.isReplaying;
    const verdict = this.#stateLimit.judge(stateBytes, { epoch: record.epoch, open: commits.current, nowMs: clocks.elapsed(), mayWait });
    this.#holdBack();
    if (verdict !== undefined && 'refuse' in verdict) this.#refuse(() => verdict.refuse);
    else if (verdict !== undefined) effects.warn(verdict.warn);
    const allowed = shareAllowed(badRows);
    if (allowed >= 1 || this.#isRefused) return;
    let rows = 0;
    let bad = 0;
    for (const counters of crew.counters.flat()) {
      rows += counters.get('rowsIn');
      for (const reason of BAD_REASONS) bad += counters.get(reason);
    }
    const isLast = this.#isStopping || this.#states.allEnded;
    if (areTooMany({ bad, rows, isLast }, allowed)) this.#refuse(() => tooMany(bad, rows, badRows, crew.samples));
  }

  /** Nothing is asked for while output that is not written takes too much, or the state. */
  #holdBack(): void {
    const isLate = this.#states.allEnded || this.#isStopping;
    this.intake.pause(this.outputs.bytes > this.#epochSize.outBytes || (this.#stateLimit.isWaiting && !isLate));
  }

  #refuse(reason: () => MillraceError): void {
    this.#isRefused = true;
    this.#parts.effects.refuse(reason);
  }

  /**
   * Has the oldest epoch written, once it is merged and recorded, and nothing else is being written or
   * committed.
   */
  #finishNext(): void {
    const record = this.commits.oldest;
    if (
      this.#isOver ||
      this.#isRefused ||
      this.#finishing !== undefined ||
      this.#committing !== undefined ||
      record?.mergedAtMs === undefined ||
      !record.isRecorded
    )
      return;
    this.#finishing = record;
    const { epoch } = record;
    // If the epoch is repeated for the sake of open windows, all of its output was written before. So was that
    // of a drain behind which no rows have come.
    if (epoch <= this.restored.writtenEpoch || this.#isDrainedAgain(record)) {
      this.outputs.release(epoch, { written: false });
      this.#holdBack();
      this.#outputIsDone(record);
    } else this.#parts.effects.write(epoch, this.outputs.blocksOf(epoch));
  }

  #isDrainedAgain({ epoch, positions }: EpochRecord): boolean {
    return this.#drains.has(epoch) && this.#drainedAt !== undefined && positions.every((offset, global) => offset === this.#drainedAt?.[global]);
  }

  #outputIsDone(record: EpochRecord): void {
    if (this.#drains.has(record.epoch)) this.#drainedAt = record.positions;
    this.#writtenAtMs = this.#parts.clocks.elapsed();
    const commit = this.commits.written(record, this.#writtenAtMs);
    if (commit === undefined) {
      this.#finished(record);
      return;
    }
    this.#commit(commit, record, false);
  }

  /** Commits positions, with what the latest written epoch knows; and the state first, where it is kept. */
  #commit(record: CommitPlace, latest: EpochRecord, isLast: boolean): void {
    const hasState = this.#parts.checkpointMs !== undefined;
    const metadata = record.metadata.map((text, global) =>
      hasState ? checkpointMetadata(latest.epoch) : metadataToCommit(text, latest.metadata[global] as string),
    );
    this.#committing = { record, written: latest.epoch, isLast, metadata, source: 0 };
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
    this.intake.committed(record.positions);
    // With checkpoints the older one is kept as well, and the records behind it with it.
    if (this.#parts.checkpointMs === undefined) this.#decisions.committed(record.epoch);
    if (this.#finishing === undefined) this.#goOn();
    else this.#finished(this.#finishing);
  }

  #finished({ epoch, bytes, startedAtMs, mergedAtMs }: EpochRecord): void {
    this.#finishing = undefined;
    const times = { startedAtMs, mergedAtMs: mergedAtMs as number, writtenAtMs: this.#writtenAtMs, committedAtMs: this.#parts.clocks.elapsed() };
    this.progressLog.epoch({ epoch, bytes, ...times });
    this.#goOn();
  }

  /** Nothing is being written or committed: sees to what waited for that. */
  #goOn(): void {
    if (this.#isEpochWanted) this.#endWantedEpoch();
    if (this.#isFinished()) this.#conclude();
    else if (this.#isStopping || this.#states.allEnded) this.#wantEpoch();
    this.#finishNext();
  }

  /** Everything is written. Commits for the next run what was closed since the last commit. */
  #conclude(): void {
    if (this.#committing !== undefined) return;
    const last = this.commits.takeLast();
    if (last === undefined) {
      this.#parts.effects.finished();
      return;
    }
    this.#commit(last.at, last.latest, true);
  }

  /**
   * Everything is done: all sources ended or a stop was asked for, no epoch is under way, and nothing was
   * taken in since.
   */
  #isFinished(): boolean {
    if (this.commits.underWay > 0 || this.#finishing !== undefined) return false;
    // An epoch is repeated whole, or read once more at the next start.
    if (this.#decisions.isReplaying) return this.#isStopping;
    return (this.#isStopping || this.#states.allEnded) && this.intake.epochBytes === 0 && !this.#states.haveChanged;
  }

  #progressSources(): ProgressSources {
    const { crew, slabs } = this.#parts;
    return {
      state: this.state,
      partitions: this.intake.partitions,
      counters: crew.counters,
      watermarks: this.#watermarks?.all ?? [],
      rowsOut: this.outputs.rowsOut,
      bytesIn: this.intake.bytesIn,
      memory: slabs.usage(),
      readAgain: this.#readAgain,
      stateBytes: this.#control?.stateBytes ?? 0,
      epoch: this.commits.current,
      committedEpoch: this.commits.committed,
      samples: crew.samples,
      balance: this.#balance.totals,
    };
  }
}
