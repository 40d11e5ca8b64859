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

import type { MillraceError } from '../../core/index.ts';
import type { Chunk, CommittedPosition } from '../../io/index.ts';
import {
  type CommitPlace,
  Commits,
  type DecisionStore,
  Decisions,
  type Drain,
  type EpochRecord,
  type EpochState,
  JobClock,
  JobWatermarks,
  type JournalHead,
  type JournalRecord,
  PartitionStates,
  positionOf,
} from '../epoch/index.ts';
import { type JobState, ProgressLog, type ProgressSources } from '../observe/index.ts';
import type { SourcePlan } from '../plan/index.ts';
import { Control, EpochBalance, PARTITION_DRAINED, PARTITION_ENDED } from '../shared/index.ts';
import type { CrewEvents } from '../workers/index.ts';
import { areTooMany, BAD_REASONS, shareAllowed, tooMany } from './bad-rows.ts';
import type { CheckpointCut, CoordinatorParts, Resume } from './coordinator-parts.ts';
import { EpochSize } from './epoch-size.ts';
import { Finisher } from './finisher.ts';
import { Intake } from './intake.ts';
import { Outputs } from './outputs.ts';
import { StallWatch } from './stall-watch.ts';
import { PAUSED_EPOCH_MS, StateLimit } from './state-limit.ts';
import { Views } from './view.ts';

const EPOCHS_UNDER_WAY_MAX = 2;

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
  readonly #finisher: Finisher;
  #control!: Control;
  #views!: Views;
  #watermarks!: JobWatermarks;
  #watch: StallWatch | undefined;
  /** It has ended the job by itself: nothing more is written. */
  #isRefused = false;
  #partitionCounts: readonly number[] = [];
  #epochStartedAtMs = 0;
  /** When the first row of the open epoch came; undefined: none has. */
  #beganAtMs: number | undefined;
  /** By epoch under way: the clock at its end. */
  readonly #clockAt = new Map<number, number>();
  #hasBegun = false;
  /** By source: what it waits for outside. */
  readonly #waiting = new Map<number, string>();
  /** By source and worker: what its scan waits for outside. */
  readonly #scansWaiting = new Map<string, string>();
  #isEpochWanted = false;
  #isStopping = false;
  #isLoaded = false;
  /** By the user. */
  #isPaused = false;
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
        began: () => this.#began(),
        epochFull: () => this.#wantEpoch(),
        cutReached: () => this.#wantEpoch(),
        ended: () => this.wantEpochIfEnded(),
        failed: (source, error) => effects.failed(error, source),
        waiting: (source, what) => this.#waits(source, what),
        assigned: (source, partitions) => parts.watch?.assigned(this.#nameOf(source), partitions),
      },
      clocks.elapsed,
    );
    this.intake.limitEpoch(this.#epochSize.inBytes);
    this.#states = new PartitionStates(plan, this.intake, drain);
    this.#finisher = new Finisher(parts, this.commits, this.outputs, {
      mayGoOn: () => !this.#isOver && !this.#isRefused,
      released: () => this.#holdBack(),
      committed: (record) => this.#committed(record),
      finished: (record, writtenAtMs, checkpointedAtMs) => {
        const { epoch, bytes, startedAtMs, beganAtMs, cutAtMs, mergedAtMs } = record;
        const stations = { startedAtMs, beganAtMs, cutAtMs, mergedAtMs: mergedAtMs as number, writtenAtMs, checkpointedAtMs, committedAtMs: clocks.elapsed() };
        parts.watch?.epochDone(this.progressLog.epoch({ epoch, bytes, ...stations }));
      },
      idle: () => this.#goOn(),
    });
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
    this.#finisher.begin(this.#partitionCounts, this.restored.writtenEpoch, resume?.drainedAt);
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
    return {
      checkpoint: epoch,
      written: Math.max(epoch, this.restored.writtenEpoch),
      positions,
      drainedAt: this.#finisher.drainedAt,
      state: state as EpochState,
    };
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
    this.#finisher.begin(this.#partitionCounts, this.restored.writtenEpoch, undefined);
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
    if (this.#isPaused) return 'paused';
    if (this.#waiting.size > 0 || this.#scansWaiting.size > 0 || this.#stateLimit.isWaiting || this.#parts.effects.sinks?.().isWaiting) return 'waiting';
    if (!this.intake.hasHeardOfAll) return 'joining';
    return this.#decisions.isReplaying ? 'restoring' : 'running';
  }

  // ---- when epochs end

  /** The trigger's time is up. */
  tick(): void {
    this.progressLog.tick();
    if (!this.mayEndEpoch) this.#isEpochWanted = true;
    else if (this.#hasNews()) this.endEpoch();
    else this.#finisher.checkpointIfDue();
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
    return this.#finisher.outstanding ?? `Epoch ${this.commits.oldest?.epoch ?? this.commits.current} is not merged`;
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
    const isDrained = states.includes(PARTITION_DRAINED);
    const areAllOver = states.every((state) => state === PARTITION_ENDED || state === PARTITION_DRAINED);
    if (isDrained) this.#finisher.drained(epoch, areAllOver);
    const isFinal = states.length > 0 && (isDrained || areAllOver);
    const cutAtMs = clocks.elapsed();
    const times = { startedAtMs: this.#epochStartedAtMs, beganAtMs: this.#beganAtMs ?? cutAtMs, cutAtMs };
    commits.end(intake.partitions.map(positionOf), times, bytes, record === undefined, isFinal);
    this.#clockAt.set(epoch, nowMs);
    this.#epochStartedAtMs = cutAtMs;
    this.#beganAtMs = undefined;
    if (record !== undefined) effects.record(record);
    if (this.#isLoadedAnew) {
      this.#isLoaded = true;
      this.#control.setLoaded(epoch);
    }
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
    this.#finisher.next();
  }

  written(epoch: number): void {
    if (!this.#isOver) this.#finisher.written(epoch);
  }

  checkpointed(): void {
    if (!this.#isOver) this.#finisher.checkpointed();
  }

  committed(source: number): void {
    if (!this.#isOver) this.#finisher.committed(source);
  }

  /**
   * Takes in nothing more. With `drain` everything taken in is finished, and then `finished` is asked for.
   */
  stop({ drain }: { readonly drain: false | Drain['open'] }): void {
    this.intake.close();
    if (drain === false) return;
    this.#states.stop(drain);
    this.#isStopping = true;
    if (this.#isFinished()) this.#finisher.conclude();
    else this.#wantEpoch();
  }

  /** Takes in nothing more, or again. What was read is finished, written and committed all the same. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#holdBack();
  }

  /** The job is over, with or without an error. Whatever is reported from here on changes nothing. */
  end(): void {
    this.#isOver = true;
    this.intake.release();
    this.#parts.crew.stop();
  }

  #waits(source: number, what: string | undefined): void {
    if (what === this.#waiting.get(source)) return;
    const name = this.#nameOf(source);
    this.#parts.watch?.waits(name, what);
    if (what === undefined) this.#waiting.delete(source);
    else {
      this.#waiting.set(source, what);
      this.#parts.effects.warn(what.startsWith(name) ? what : `The source ${name} waits: ${what}`);
    }
  }

  /** The scan of a source waits in a worker (`what`), or no longer. */
  scanWaits(worker: number, source: number, what: string | undefined): void {
    const key = `${source}/${worker}`;
    if (what === undefined) this.#scansWaiting.delete(key);
    else this.#scansWaiting.set(key, what);
    const [first] = [...this.#scansWaiting].flatMap(([other, text]) => (other.startsWith(`${source}/`) ? [text] : []));
    this.#parts.watch?.waits(this.#nameOf(source), first);
    if (what !== undefined && first === what) this.#parts.effects.warn(`The source ${this.#nameOf(source)} waits: ${what}`);
  }

  #nameOf(source: number): string {
    return (this.#parts.plan.sources[source] as SourcePlan).source.name;
  }

  /** The first rows of an epoch come in. */
  #began(): void {
    this.#beganAtMs ??= this.#parts.clocks.elapsed();
    this.#decisions.began();
    this.#parts.watch?.hasRows();
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

  /** Since the last epoch rows came or a partition changed its state; or windows wait for the clock. */
  #hasNews(): boolean {
    if (this.#finisher.isConcluding) return false;
    if (this.#decisions.isReplaying) return !this.#isStopping && this.intake.isCutReached;
    if (this.#stateLimit.isWaiting && this.#parts.clocks.elapsed() >= this.#epochStartedAtMs + PAUSED_EPOCH_MS) return true;
    if (this.intake.epochBytes > 0 || this.#states.haveChanged || this.#isLoadedAnew) return true;
    // What waits for the clock when nothing more comes waits for the next run.
    return this.#watermarks.waitsForClock && !this.#isStopping && !this.#states.allEnded;
  }

  /** The tables of this task are loaded, which the others do not know yet. */
  get #isLoadedAnew(): boolean {
    return this.#parts.plan.task !== undefined && !this.#isLoaded && this.intake.isLoaded;
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
    if (this.#control.areAllLoaded) this.intake.loadedByAll();
    const progress = this.#watermarks.merged(record.epoch);
    this.commits.merged(record, progress, this.#watermarks.metadata(record));
    if (this.#parts.checkpointMs !== undefined) {
      const { oldestBase } = this.#control.log(record.epoch);
      const { held, away } = this.#control.stateBytes();
      record.state = { nowMs: this.#clockAt.get(record.epoch) as number, ...this.#watermarks.state, oldestBase, stateBytes: held + away };
    }
    this.#clockAt.delete(record.epoch);
    record.mergedAtMs = this.#parts.clocks.elapsed();
    this.#epochSize.merged(record.bytes, this.outputs.bytesOf(record.epoch) + blockBytes);
    this.intake.limitEpoch(this.#epochSize.inBytes);
    this.#judge(record);
    this.#finisher.next();
  }

  /**
   * Ends the job before the merged epoch is written, when too many rows are bad or its state is too large.
   */
  #judge(record: EpochRecord): void {
    const { crew, badRows, clocks, effects } = this.#parts;
    const stateBytes = this.#control.stateBytes();
    const { commits } = this;
    const mayWait = !this.#states.allEnded && !this.#isStopping && !this.#decisions.isReplaying;
    const verdict = this.#stateLimit.judge(stateBytes, { epoch: record.epoch, open: commits.current, nowMs: clocks.elapsed(), mayWait });
    this.#holdBack();
    if (verdict !== undefined && 'refuse' in verdict) this.#refuse(() => verdict.refuse);
    else if (verdict !== undefined) effects.warn(verdict.warn);
    const allowed = shareAllowed(badRows);
    if (allowed >= 1 || this.#isRefused) return;
    const sinks = effects.sinks?.();
    let rows = 0;
    let bad = sinks?.refused ?? 0;
    for (const counters of crew.counters.flat()) {
      rows += counters.get('rowsIn');
      for (const reason of BAD_REASONS) bad += counters.get(reason);
    }
    const isLast = this.#isStopping || this.#states.allEnded;
    if (areTooMany({ bad, rows, isLast }, allowed)) this.#refuse(() => tooMany(bad, rows, badRows, [...crew.samples, ...(sinks?.samples ?? [])]));
  }

  /** Nothing is asked for while output that is not written takes too much, or the state. */
  #holdBack(): void {
    const isLate = this.#states.allEnded || this.#isStopping;
    const isFull = this.outputs.bytes > this.#epochSize.outBytes || (this.#stateLimit.isWaiting && !isLate);
    this.intake.pause(isFull || this.#isPaused, isFull);
  }

  #refuse(reason: () => MillraceError): void {
    this.#isRefused = true;
    this.#parts.effects.refuse(reason);
  }

  #committed(record: CommitPlace): void {
    this.intake.committed(record.positions);
    // With checkpoints the older one is kept as well, and the records behind it with it.
    if (this.#parts.checkpointMs === undefined) this.#decisions.committed(record.epoch);
  }

  /** Nothing is being written or committed: sees to what waited for that. */
  #goOn(): void {
    if (this.#isEpochWanted) this.#endWantedEpoch();
    if (this.#isFinished()) this.#finisher.conclude();
    else if (this.#isStopping || this.#states.allEnded) this.#wantEpoch();
    this.#finisher.next();
  }

  /**
   * Everything is done: all sources ended or a stop was asked for, no epoch is under way, and nothing was
   * taken in since.
   */
  #isFinished(): boolean {
    if (this.commits.underWay > 0 || this.#finisher.isFinishing) return false;
    // An epoch is repeated whole, or read once more at the next start.
    if (this.#decisions.isReplaying) return this.#isStopping;
    return (this.#isStopping || this.#states.allEnded) && this.intake.epochBytes === 0 && !this.#states.haveChanged;
  }

  #progressSources(): ProgressSources {
    const { crew, slabs } = this.#parts;
    const state = this.#control?.stateBytes();
    const sinks = this.#parts.effects.sinks?.() ?? { sinks: [], refused: 0, samples: [] };
    return {
      state: this.state,
      partitions: this.intake.partitions,
      counters: crew.counters,
      watermarks: this.#watermarks?.all ?? [],
      rowsOut: this.outputs.rowsOut,
      bytesIn: this.intake.bytesIn,
      memory: slabs.usage(),
      readAgain: this.#readAgain,
      stateBytes: state?.held ?? 0,
      spilledBytes: state?.away ?? 0,
      epoch: this.commits.current,
      committedEpoch: this.commits.committed,
      epochsUnderWay: this.commits.underWay,
      epochBytes: this.intake.epochBytes,
      backPressure: this.intake.backPressure,
      samples: [...crew.samples, ...sinks.samples],
      refused: sinks.refused,
      sinks: sinks.sinks,
      balance: this.#balance.totals,
    };
  }
}
