/**
 * The coordinator: one per job, on the thread that called `run`. It manages offsets, epoch boundaries and back-pressure,
 * and touches no row. It never blocks: it wakes when a worker rings, when a source emits, or when the trigger's time is up.
 *
 *   sources --frames--> intake --chunks--> rings --> workers
 *   workers --blocks, "epoch done"--> rings --> outputs --> sinks ; then positions --> sources
 *
 * It drives its parts and keeps no account of its own: sources, intake, workers and outputs move rows; decisions, states, watermarks,
 * epochs and balance know what an epoch is.
 *
 * One epoch after the other: `endEpoch` cuts the intake and tells every worker; when all have merged and handed over
 * their blocks, `#finishEpoch` has them written, and commits what may be committed. At most two epochs are under way, so
 * that a slow sink stops the next cut, then the credit, then the fetch.
 */

import { createMemory, SlabAllocator } from '../../core/index.ts';
import type { Chunk, CommittedPosition } from '../../io/index.ts';
import { metadataToCommit } from '../epoch/commit-metadata.ts';
import { Commits, type EpochRecord } from '../epoch/commits.ts';
import { Decisions } from '../epoch/decisions.ts';
import { JobWatermarks } from '../epoch/job-watermarks.ts';
import { PartitionStates } from '../epoch/partition-states.ts';
import { positionOf } from '../epoch/partitions.ts';
import { describePlan } from '../plan/explain.ts';
import type { Plan } from '../plan/plan.ts';
import { EpochBalance } from '../shared/balance.ts';
import { Control } from '../shared/control.ts';
import type { LedgerSample } from '../shared/ledger.ts';
import { waitAsync } from '../shared/wait.ts';
import type { CrewEvents } from '../workers/crew.ts';
import { Workers } from '../workers/workers.ts';
import { Intake } from './intake.ts';
import type { ResolvedOptions } from './options.ts';
import { Outputs } from './outputs.ts';
import { ProgressLog, type ProgressSources } from './progress.ts';
import { Sources } from './sources.ts';
import { type View, Views } from './view.ts';

const EPOCHS_UNDER_WAY_MAX = 2;
const CHUNK_BYTES_MAX = 1 << 20;
const CHUNK_BYTES_MIN = 64 << 10;
const IDLE_WAIT_MS = 1_000;

export class Coordinator {
  readonly #plan: Plan;
  readonly #url: string;
  readonly #options: ResolvedOptions;
  readonly #memory;
  readonly #slabs: SlabAllocator;
  readonly #abort = new AbortController();
  readonly #sources: Sources;
  readonly #intake: Intake;
  readonly #workers: Workers;
  readonly #outputs: Outputs;
  readonly #states: PartitionStates;
  readonly #epochs: Commits;
  readonly #balance: EpochBalance;
  readonly #now: () => number;
  readonly progressLog: ProgressLog;
  #decisions!: Decisions;
  #control!: Control;
  #views!: Views;
  #watermarks!: JobWatermarks;
  #writing: Promise<void> = Promise.resolve();
  #epochStartedAtMs = 0;
  #epochWanted = false;
  #timer: NodeJS.Timeout | undefined;
  #failure: unknown;
  /** All is open, and the workers have their tasks. What fails before is thrown by `start`. */
  #isStarted = false;
  #finishing = false;
  #isOver = false;
  /** No worker runs any more. */
  #isClosed = false;
  #resolveDone!: () => void;
  #rejectDone!: (error: unknown) => void;
  /** Settles when the job is over: resolved after everything was written and committed, rejected with the first fatal error. */
  readonly done: Promise<void>;

  constructor(plan: Plan, url: string, options: ResolvedOptions, now: () => number) {
    this.#plan = plan;
    this.#url = url;
    this.#now = now;
    this.#options = options;
    this.#memory = createMemory(options.memoryBytes);
    this.#slabs = new SlabAllocator(this.#memory);
    this.#sources = new Sources(plan.sources);
    this.#workers = new Workers(this.#slabs, options.workers, (error) => void this.fail(error));
    this.#outputs = new Outputs(this.#slabs, options.sinkDelayMs);
    this.#balance = new EpochBalance(plan);
    this.#epochs = new Commits(plan.exchanges.map((exchange) => exchange.upstream));
    this.done = new Promise((resolve, reject) => {
      this.#resolveDone = resolve;
      this.#rejectDone = reject;
    });
    // Whoever does not look at `done` still learns of a failure through the job's events.
    this.done.catch(() => {});
    const creditBytes = Math.min(options.memoryBytes / 4, 64 << 20);
    this.#intake = new Intake(
      this.#slabs,
      { chunkBytes: CHUNK_BYTES_MAX, creditBytes, epochBytes: options.epochBytes },
      {
        chunk: (source, chunk, sequence) => this.#dispatch(source, chunk, sequence),
        began: () => this.#decisions.began(),
        epochFull: () => this.#wantEpoch(),
        cutReached: () => this.#wantEpoch(),
        ended: () => this.#wantEpochSoon(),
        failed: (source, error) => this.fail(this.#sources.errorOf(source, error)),
      },
      // Idleness is a matter of time that nobody sets.
      () => performance.now(),
    );
    this.#states = new PartitionStates(plan, this.#intake, options.drain);
    this.progressLog = new ProgressLog(plan, now, () => this.#progressSources());
  }

  /** Opens sources and sinks, starts the workers, and starts reading. */
  async start(): Promise<void> {
    try {
      this.#decisions = await Decisions.open(this.#options.checkpointDir, this.#plan.name, this.#now);
      const { signal } = this.#abort;
      await this.#outputs.open(this.#plan, signal);
      await this.#sources.open(this.#intake, { drain: this.#options.drain, signal });
      this.#intake.limitChunks(CHUNK_BYTES_MIN);
      const committed = await this.#sources.positions();
      this.#layControl();
      this.#watermarks.restore(committed, this.#sources.partitionCounts);
      await this.#beginEpochs(committed);
      this.#startWorkers();
      this.#isStarted = true;
      if (this.#failure !== undefined) throw this.#failure;
      await this.#sources.start();
      if (this.#isOver) return;
      this.#epochStartedAtMs = performance.now();
      this.#timer = setInterval(() => this.#tick(), this.#options.triggerMs);
      void this.#listen();
      // A folder without files has no partition that could tell of its end.
      this.#wantEpochSoon();
    } catch (error) {
      this.#failure ??= error;
      await this.#over();
      throw this.#failure;
    }
  }

  /** Stops reading; with `drain` everything taken in is finished, written and committed first. */
  async stop(options: { drain: boolean }): Promise<void> {
    if (this.#isOver) {
      await this.done.catch(() => {});
      return;
    }
    this.#intake.close();
    if (options.drain) {
      this.#finishing = true;
      if (this.#isFinished()) await this.#over();
      else this.#wantEpoch();
      await this.done;
    } else {
      await this.#over();
    }
  }

  /** The first fatal error ends the job. Uncommitted work is dropped. */
  async fail(error: unknown): Promise<void> {
    if (this.#failure !== undefined || this.#isOver) return;
    this.#failure = error;
    if (this.#isStarted) await this.#over();
  }

  /** State to read, while the job runs and when it is over. */
  view<R>(name: string): View<R> {
    return this.#views.get<R>(name);
  }

  get samples(): readonly LedgerSample[] {
    return this.#workers.samples;
  }

  // ---- setting up

  #layControl(): void {
    this.#control = Control.lay(this.#slabs, this.#plan, this.#workers.count, this.#intake.partitions.length);
    this.#views = new Views({ slabs: this.#slabs, control: this.#control, isOver: () => this.#isClosed }, this.#plan);
    this.#workers.lay(this.#control);
    this.#watermarks = new JobWatermarks(this.#plan, this.#control, this.#intake.partitions);
  }

  /** Where the epochs begin: behind what was committed, or with those that the journal has behind that. */
  async #beginEpochs(committed: readonly (readonly CommittedPosition[])[]): Promise<void> {
    await this.#decisions.begin(
      this.#plan.name,
      this.#plan.sources.map(({ source }) => source.name),
      committed,
      this.#watermarks.restored.writtenEpoch,
      this.#watermarks.clockMs,
    );
    committed.flat().forEach(({ offset }, global) => this.#intake.startAt(global, offset));
    this.#epochs.current = this.#decisions.firstEpoch;
    this.#intake.cutAt(this.#decisions.cut);
  }

  #startWorkers(): void {
    const { codeGeneration } = this.#options;
    this.#workers.start(this.#control, {
      url: this.#url,
      params: this.#options.params,
      fingerprint: describePlan(this.#plan),
      partitions: this.#sources.partitionCounts,
      restored: this.#watermarks.restored,
      firstEpoch: this.#decisions.firstEpoch,
      nowMs: this.#decisions.beforeMs,
      sinks: this.#outputs.infos,
      batchRows: this.#options.batchRows,
      ...(codeGeneration === undefined ? {} : { codeGeneration }),
    });
  }

  // ---- chunks and epochs

  #dispatch(source: number, chunk: Chunk, sequence: number): void {
    this.#balance.give(source, chunk.byteLength);
    this.#workers.giveChunk({ epoch: this.#epochs.current, startMs: this.#decisions.startMs, source, chunk, sequence });
  }

  /** The trigger's time is up. */
  #tick(): void {
    this.progressLog.tick();
    if (this.#epochs.underWay >= EPOCHS_UNDER_WAY_MAX) {
      this.#epochWanted = true;
      return;
    }
    if (this.#hasNews()) this.#endEpoch();
  }

  /** There are rows, or a partition changed its state, since the last epoch; or windows wait for the clock. */
  #hasNews(): boolean {
    if (this.#decisions.isReplaying) return !this.#finishing && this.#intake.isCutReached;
    return this.#intake.epochBytes > 0 || this.#states.haveChanged || this.#watermarks.waitsForClock;
  }

  #wantEpochSoon(): void {
    // When everything has ended there is nothing to wait for.
    if (this.#states.allEnded) this.#wantEpoch();
  }

  #wantEpoch(): void {
    if (this.#epochs.underWay < EPOCHS_UNDER_WAY_MAX) {
      // Not within the call of a source that is in the middle of emitting.
      this.#epochWanted = true;
      queueMicrotask(() => this.#endWantedEpoch());
    } else this.#epochWanted = true;
  }

  #endWantedEpoch(): void {
    if (!this.#epochWanted || this.#isOver || this.#epochs.underWay >= EPOCHS_UNDER_WAY_MAX) return;
    this.#epochWanted = false;
    if (this.#hasNews()) this.#endEpoch();
  }

  #endEpoch(): void {
    if (this.#isOver) return;
    const bytes = this.#intake.epochBytes;
    this.#intake.endEpoch();
    const epoch = this.#epochs.current;
    const { startMs, nowMs, states, recorded } = this.#decisions.end(epoch, this.#intake.partitions, this.#states.now());
    this.#states.endEpoch(states);
    states.forEach((state, global) => this.#control.setPartition(epoch, global, state));
    this.#watermarks.endEpoch(epoch, nowMs);
    this.#balance.end(epoch, this.#intake.takeRows());
    this.#epochs.end(this.#intake.partitions.map(positionOf), this.#epochStartedAtMs, bytes, recorded);
    this.#epochStartedAtMs = performance.now();
    this.#workers.endEpoch({ epoch, startMs, nowMs });
    // Behind the end of this epoch: what was held back belongs to the next.
    this.#intake.cutAt(this.#decisions.cut);
  }

  // ---- what workers tell

  readonly #workerEvents: CrewEvents = {
    chunkDone: (address) => this.#intake.chunkDone(address),
    output: (epoch, block) => this.#outputs.add(epoch, block),
    epochDone: (epoch) => {
      const record = this.#epochs.get(epoch);
      if (record !== undefined && ++record.workersDone === this.#workers.count) this.#merged(record);
    },
  };

  async #listen(): Promise<void> {
    const { i32 } = this.#memory;
    while (!this.#isOver) {
      const seen = Atomics.load(i32, this.#control.coordinatorDoorbell);
      try {
        this.#workers.receive(this.#workerEvents);
        if (this.#epochWanted) this.#endWantedEpoch();
      } catch (error) {
        await this.fail(error);
        return;
      }
      await waitAsync(i32, this.#control.coordinatorDoorbell, seen, IDLE_WAIT_MS);
    }
  }

  /** All workers have merged the epoch: what its windows hold now, and then its output. */
  #merged(record: EpochRecord): void {
    this.#balance.check(record.epoch, this.#control);
    const progress = this.#watermarks.merged(record.epoch);
    this.#epochs.merged(record, progress, this.#watermarks.metadata(record));
    const mergedAtMs = performance.now();
    this.#writing = this.#writing.then(() => this.#finishEpoch(record, mergedAtMs)).catch((error) => this.fail(error));
  }

  async #finishEpoch(record: EpochRecord, mergedAtMs: number): Promise<void> {
    if (this.#isOver) return;
    await record.recorded;
    if (this.#isOver) return;
    const { epoch, bytes, startedAtMs } = record;
    // Of an epoch that is repeated for the sake of open windows all that it gave was written before.
    if (epoch <= this.#watermarks.restored.writtenEpoch) this.#outputs.discardEpoch(epoch);
    else await this.#outputs.writeEpoch(epoch);
    const writtenAtMs = performance.now();
    const commit = this.#epochs.written(record);
    if (commit !== undefined) {
      const metadata = commit.metadata.map((text, global) => metadataToCommit(text, record.metadata[global] as string));
      await this.#sources.commit(commit, metadata, this.#decisions);
      this.#decisions.committed(commit.epoch);
    }
    this.progressLog.epoch({ epoch, bytes, startedAtMs, mergedAtMs, writtenAtMs, committedAtMs: performance.now() });
    if (this.#epochWanted) this.#endWantedEpoch();
    if (this.#isFinished()) await this.#over();
    else if (this.#finishing || this.#states.allEnded) this.#wantEpoch();
  }

  /** Everything that there is to do was done: all ended (or a stop was asked for), no epoch under way, nothing taken in since. */
  #isFinished(): boolean {
    // An epoch that is to be repeated is repeated whole, or read once more at the next start.
    if (this.#decisions.isReplaying) return this.#finishing && this.#epochs.underWay === 0;
    return (this.#finishing || this.#states.allEnded) && this.#epochs.underWay === 0 && this.#intake.epochBytes === 0 && !this.#states.haveChanged;
  }

  /** Ends everything, in either case; then settles `done`. */
  async #over(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#abort.abort();
    this.#intake.release();
    this.#workers.stop();
    if (this.#failure !== undefined) this.#control?.abort();
    await this.#sources.close();
    await this.#outputs.close();
    this.progressLog.close();
    await this.#workers.close();
    this.#isClosed = true;
    await this.#decisions?.close();
    if (this.#failure !== undefined) this.#rejectDone(this.#failure);
    else this.#resolveDone();
  }

  #progressSources(): ProgressSources {
    return {
      partitions: this.#intake.partitions,
      counters: this.#workers.counters,
      watermarks: this.#watermarks?.all ?? [],
      rowsOut: this.#outputs.rowsOut,
      bytesIn: this.#intake.bytesIn,
      memory: this.#slabs.usage(),
      stateBytes: this.#control?.stateBytes ?? 0,
      epoch: this.#epochs.current,
      committedEpoch: this.#epochs.committed,
      samples: this.#workers.samples,
      balance: this.#balance.totals,
    };
  }
}
