/**
 * The coordinator: one per job, on the thread that called `run`. It manages offsets, epoch boundaries and back-pressure,
 * and touches no row. It never blocks: it wakes when a worker rings, when a source emits, or when the trigger's time is up.
 *
 *   sources --frames--> intake --chunks--> rings --> workers
 *   workers --blocks, "epoch done"--> rings --> outputs --> sinks ; then positions --> sources
 *
 * One epoch after the other: `endEpoch` cuts the intake and tells every worker; when all have merged and handed over
 * their blocks, `#finishEpoch` has them written, and commits what may be committed. At most two epochs are under way, so
 * that a slow sink stops the next cut, then the credit, then the fetch.
 */

import { Counters, createMemory, type ErrorCode, MillraceError, memoryHandle, SlabAllocator, Watermark } from '../core/index.ts';
import type { Chunk, CommittedPosition, SourceReader } from '../io/index.ts';
import { EpochBalance } from './balance.ts';
import { Control, type ControlShape, PARTITION_ACTIVE, PARTITION_DRAINED, PARTITION_ENDED, PARTITION_IDLE } from './control.ts';
import { Decisions } from './decisions.ts';
import { type EpochRecord, Epochs, type ExchangeProgress, positionsOf } from './epochs.ts';
import { describePlan } from './explain.ts';
import { Intake, positionOf } from './intake.ts';
import type { ResolvedOptions } from './options.ts';
import { type OpenSink, Outputs } from './outputs.ts';
import type { Plan, SourcePlan, WatermarkPlan } from './plan.ts';
import { type LedgerSample, WorkerPool } from './pool.ts';
import { COUNTER_NAMES, type CounterName, ProgressLog, type ProgressSources } from './progress.ts';
import { type View, Views } from './view.ts';
import { waitAsync } from './wait.ts';
import { commitMetadata, type Restored, restoreWatermarks, watermarkMetadata } from './watermarks.ts';
import { type WorkerEvents, WorkerLink } from './worker-link.ts';

const EPOCHS_UNDER_WAY_MAX = 2;
const CHUNK_BYTES_MAX = 1 << 20;
const CHUNK_BYTES_MIN = 64 << 10;
const SAMPLES_MAX = 100;
const IDLE_WAIT_MS = 1_000;

export class Coordinator {
  readonly #plan: Plan;
  readonly #url: string;
  readonly #options: ResolvedOptions;
  readonly #memory;
  readonly #slabs: SlabAllocator;
  readonly #abort = new AbortController();
  readonly #intake: Intake;
  readonly #epochs: Epochs;
  readonly #watermarks: Watermark[] = [];
  readonly #links: WorkerLink[] = [];
  readonly #samples: LedgerSample[] = [];
  readonly #readers: SourceReader[] = [];
  readonly #pool: WorkerPool;
  readonly #now: () => number;
  readonly progressLog: ProgressLog;
  #control!: Control;
  #views!: Views;
  #counters: Counters<CounterName>[][] = [];
  #outputs!: Outputs;
  #decisions!: Decisions;
  readonly #balance: EpochBalance;
  #restored!: Restored;
  /** Sources that were asked whether they keep what is committed. */
  #mayForget = new Set<number>();
  #heldUntil: number[] = [];
  #writing: Promise<void> = Promise.resolve();
  #epochStartedAtMs = 0;
  #epochWanted = false;
  /** By epoch under way: the clock at its end. */
  readonly #clockAt = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  /** The partitions' states as of the last epoch; none before the first, which comes also when there is no partition at all. */
  #lastStates: string | undefined;
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
    this.#pool = new WorkerPool(options.workers, (error) => void this.fail(error));
    this.#balance = new EpochBalance(plan);
    this.#epochs = new Epochs(plan.exchanges.map((exchange) => exchange.upstream));
    this.#heldUntil = plan.exchanges.map(() => Number.NEGATIVE_INFINITY);
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
        assigned: () => {},
        failed: (source, error) => this.fail(wrapped(error, 'ERR_MILLRACE_SOURCE', this.#sourceFailed(source))),
      },
      // Idleness is a matter of time that nobody sets.
      () => performance.now(),
    );
    this.progressLog = new ProgressLog(plan, now, () => this.#progressSources());
  }

  /** Opens sources and sinks, starts the workers, and starts reading. */
  async start(): Promise<void> {
    try {
      this.#decisions = await Decisions.open(this.#options.checkpointDir, this.#plan.name, this.#now);
      const sinks = await this.#openSinks();
      const committed = await this.#openSources();
      this.#layControl();
      this.#restored = restoreWatermarks(
        this.#watermarks,
        committed,
        this.#readers.map((reader) => reader.partitionCount),
      );
      await this.#beginEpochs(committed);
      this.#startWorkers(committed, sinks);
      this.#isStarted = true;
      if (this.#failure !== undefined) throw this.#failure;
      for (const [source, reader] of this.#readers.entries()) await guarded('ERR_MILLRACE_SOURCE', this.#sourceFailed(source), () => reader.start());
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
    return this.#samples;
  }

  // ---- setting up

  async #openSinks(): Promise<OpenSink[]> {
    const opened = await Promise.allSettled(
      this.#plan.sinks.map(async ({ sink, schema }) => ({
        name: sink.name,
        writer: await guarded('ERR_MILLRACE_SINK', `The sink ${sink.name} cannot be opened`, () =>
          sink.open({ schema, pipeline: this.#plan.name, signal: this.#abort.signal }),
        ),
      })),
    );
    const sinks = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    // Those that are open are closed with the job, also when another one is not and the job never begins.
    this.#outputs = new Outputs(this.#slabs, sinks, this.#options.sinkDelayMs);
    for (const result of opened) if (result.status === 'rejected') throw result.reason;
    return sinks;
  }

  async #openSources(): Promise<CommittedPosition[][]> {
    for (const [index, { source }] of this.#plan.sources.entries()) {
      const context = this.#intake.context(index, { drain: this.#options.drain, signal: this.#abort.signal });
      const reader = await guarded('ERR_MILLRACE_SOURCE', `The source ${source.name} cannot be opened`, () => source.open(context));
      this.#readers.push(reader);
      this.#intake.addSource(reader.partitionCount, source.offsetBytes, source.frameRows?.bind(source));
    }
    this.#intake.limitChunks(CHUNK_BYTES_MIN);
    return Promise.all(this.#readers.map((reader, source) => guarded('ERR_MILLRACE_SOURCE', this.#sourceFailed(source), () => reader.positions())));
  }

  /** Where the epochs begin: behind what was committed, or with those that the journal has behind that. */
  async #beginEpochs(committed: readonly (readonly CommittedPosition[])[]): Promise<void> {
    const clockMs = this.#watermarks.filter((_, w) => this.#isOfClock(w)).map(({ current }) => current);
    await this.#decisions.begin(
      this.#plan.name,
      this.#plan.sources.map(({ source }) => source.name),
      committed,
      this.#restored.writtenEpoch,
      Math.max(Number.NEGATIVE_INFINITY, ...clockMs),
    );
    committed.flat().forEach(({ offset }, global) => this.#intake.startAt(global, offset));
    this.#epochs.current = this.#decisions.firstEpoch;
    this.#intake.cutAt(this.#decisions.cut);
  }

  #isOfClock(watermark: number): boolean {
    return (this.#plan.watermarks[watermark] as WatermarkPlan).strategy.isProcessingTime;
  }

  #sourceFailed(source: number): string {
    return `The source ${(this.#plan.sources[source] as SourcePlan).source.name} failed`;
  }

  #layControl(): void {
    const shape: ControlShape = {
      workers: this.#options.workers,
      partitions: this.#intake.partitions.length,
      watermarks: this.#plan.watermarks.length,
      exchanges: this.#plan.exchanges.length,
      views: this.#plan.views.length,
      sources: this.#plan.sources.length,
    };
    this.#control = new Control(this.#memory, this.#slabs.alloc(Control.bytesFor(shape)), shape);
    this.#control.clear();
    this.#views = new Views({ slabs: this.#slabs, control: this.#control, isOver: () => this.#isClosed }, this.#plan);
    const regionBytes = Counters.bytesFor(COUNTER_NAMES);
    for (let worker = 0; worker < shape.workers; worker++) {
      this.#links.push(new WorkerLink(this.#slabs, this.#control.workerDoorbell(worker)));
      const at = this.#slabs.alloc(Math.max(64, regionBytes * shape.partitions));
      this.#counters.push(Array.from({ length: shape.partitions }, (_, p) => Counters.create(this.#memory, at + p * regionBytes, COUNTER_NAMES)));
    }
    for (const { strategy, sources } of this.#plan.watermarks) {
      const partitions = this.#intake.partitions.filter((state) => sources.includes(state.source)).map((state) => state.global);
      this.#watermarks.push(new Watermark({ delayMs: strategy.delayMs }, partitions));
    }
  }

  #startWorkers(committed: CommittedPosition[][], sinks: readonly OpenSink[]): void {
    const { codeGeneration } = this.#options;
    this.#links.forEach((link, worker) => {
      this.#pool
        .run(
          {
            url: this.#url,
            params: this.#options.params,
            fingerprint: describePlan(this.#plan),
            worker,
            memory: memoryHandle(this.#memory),
            control: this.#control.address,
            shape: this.#control.shape,
            ringIn: link.ringIn,
            ringOut: link.ringOut,
            counters: (this.#counters[worker] as Counters[])[0]?.address ?? 0,
            partitions: this.#readers.map((reader) => reader.partitionCount),
            committed,
            firstEpoch: this.#decisions.firstEpoch,
            nowMs: this.#decisions.beforeMs,
            sinks: sinks.map(({ writer }) => writer.info),
            batchRows: this.#options.batchRows,
            ...(codeGeneration === undefined ? {} : { codeGeneration }),
          },
          (message) => {
            if (message.kind === 'sample' && this.#samples.length < SAMPLES_MAX) this.#samples.push(message.sample);
          },
        )
        .then(
          () => {
            if (!this.#isOver) void this.fail(new MillraceError('ERR_MILLRACE_WORKER', `Worker ${worker} left before the job was over.`));
          },
          (error) => this.fail(error),
        );
    });
  }

  // ---- chunks and epochs

  /** To the worker that has least to do; which one it is makes no difference to the result. */
  #dispatch(source: number, chunk: Chunk, sequence: number): void {
    let least = this.#links[0] as WorkerLink;
    for (const link of this.#links) if (link.loadBytes < least.loadBytes) least = link;
    this.#balance.give(source, chunk.byteLength);
    least.giveChunk(this.#epochs.current, this.#decisions.startMs, source, chunk, sequence);
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
    return this.#intake.epochBytes > 0 || this.#states().join() !== this.#lastStates || this.#waitsForClock();
  }

  /** Something is open that goes by processing time: it closes when time passes, whether rows come or not. */
  #waitsForClock(): boolean {
    return this.#plan.exchanges.some(
      ({ watermarks, delayMs }, exchange) =>
        watermarks.some((w) => this.#isOfClock(w)) && (this.#heldUntil[exchange] as number) > this.#timeOf(watermarks) - delayMs,
    );
  }

  #timeOf(watermarks: readonly number[]): number {
    return Math.min(Number.POSITIVE_INFINITY, ...watermarks.map((w) => (this.#watermarks[w] as Watermark).current));
  }

  #wantEpochSoon(): void {
    // When everything has ended there is nothing to wait for.
    if (this.#intake.partitions.every((state) => state.ended)) this.#wantEpoch();
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
    const { startMs, nowMs, states, recorded } = this.#decisions.end(epoch, this.#intake.partitions, this.#states());
    this.#lastStates = states.join();
    states.forEach((state, global) => this.#control.setPartition(epoch, global, state));
    this.#clockAt.set(epoch, nowMs);
    this.#balance.end(epoch, this.#intake.takeRows());
    this.#epochs.end(this.#intake.partitions.map(positionOf), this.#epochStartedAtMs, bytes, recorded);
    this.#epochStartedAtMs = performance.now();
    for (const link of this.#links) link.endEpoch(epoch, startMs, nowMs);
    // Behind the end of this epoch: what was held back belongs to the next.
    this.#intake.cutAt(this.#decisions.cut);
  }

  #states(): number[] {
    const idleMs = this.#intake.partitions.map((state) => {
      const strategies = this.#plan.watermarks
        .filter((watermark) => watermark.sources.includes(state.source))
        .map((watermark) => watermark.strategy.idleMs ?? Number.POSITIVE_INFINITY);
      return Math.min(Number.POSITIVE_INFINITY, ...strategies);
    });
    return this.#intake.partitions.map((state, global) => {
      if (state.ended) return this.#options.drain && !(this.#plan.sources[state.source] as SourcePlan).source.bounded ? PARTITION_DRAINED : PARTITION_ENDED;
      return this.#intake.idleForMs(state) >= (idleMs[global] as number) ? PARTITION_IDLE : PARTITION_ACTIVE;
    });
  }

  // ---- what workers tell

  readonly #workerEvents: WorkerEvents = {
    chunkDone: (address) => this.#intake.chunkDone(address),
    output: (epoch, block) => this.#outputs.add(epoch, block),
    epochDone: (epoch) => {
      const record = this.#epochs.get(epoch);
      if (record !== undefined && ++record.workersDone === this.#links.length) this.#merged(record);
    },
  };

  async #listen(): Promise<void> {
    const { i32 } = this.#memory;
    while (!this.#isOver) {
      const seen = Atomics.load(i32, this.#control.coordinatorDoorbell);
      try {
        for (const link of this.#links) link.receive(this.#workerEvents);
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
    const { epoch } = record;
    const { writtenEpoch, readUntil } = this.#restored;
    this.#balance.check(epoch, this.#control);
    for (const [index, watermark] of this.#watermarks.entries()) this.#advanceWatermark(watermark, index, epoch);
    const progress: ExchangeProgress[] = this.#plan.exchanges.map(({ watermarks, delayMs }, exchange) => {
      for (let worker = 0; worker < this.#links.length; worker++) {
        const held = this.#memory.f64[this.#control.held(epoch, worker, exchange)] as number;
        if (held > (this.#heldUntil[exchange] as number)) this.#heldUntil[exchange] = held;
      }
      return {
        heldUntil: this.#heldUntil[exchange] as number,
        // Without event time nothing ever closes.
        watermark: watermarks.length === 0 ? Number.NEGATIVE_INFINITY : this.#timeOf(watermarks) - delayMs,
      };
    });
    const metadata = this.#intake.partitions.map((state) =>
      // Epochs that are repeated had been written, and their rows read, further than this.
      watermarkMetadata(
        Math.max(epoch, writtenEpoch),
        Math.max(record.positions[state.global] as number, readUntil[state.global] as number),
        this.#watermarks,
        state.global,
        (w) => (this.#plan.watermarks[w] as WatermarkPlan).sources.includes(state.source),
      ),
    );
    this.#clockAt.delete(epoch);
    this.#epochs.merged(record, progress, metadata);
    const mergedAtMs = performance.now();
    this.#writing = this.#writing.then(() => this.#finishEpoch(record, mergedAtMs)).catch((error) => this.fail(error));
  }

  /** As the workers do it, but a drained partition keeps its claim: what is committed must not pass what it may still bring. */
  #advanceWatermark(watermark: Watermark, index: number, epoch: number): void {
    for (const state of this.#intake.partitions) {
      if (!(this.#plan.watermarks[index] as WatermarkPlan).sources.includes(state.source)) continue;
      let maxMs = Number.NEGATIVE_INFINITY;
      for (let worker = 0; worker < this.#links.length; worker++) {
        maxMs = Math.max(maxMs, this.#memory.f64[this.#control.maxima(epoch, worker, index) + state.global] as number);
      }
      watermark.observe(state.global, this.#isOfClock(index) ? (this.#clockAt.get(epoch) as number) : maxMs);
      const partition = this.#control.partition(epoch, state.global);
      if (partition === PARTITION_ENDED) watermark.end(state.global);
      else if (partition === PARTITION_IDLE) watermark.idle(state.global);
    }
    watermark.advance();
  }

  async #finishEpoch(record: EpochRecord, mergedAtMs: number): Promise<void> {
    if (this.#isOver) return;
    await record.recorded;
    if (this.#isOver) return;
    // Of an epoch that is repeated for the sake of open windows all that it gave was written before.
    if (record.epoch <= this.#restored.writtenEpoch) this.#outputs.discardEpoch(record.epoch);
    else await this.#outputs.writeEpoch(record.epoch);
    const writtenAtMs = performance.now();
    const commit = this.#epochs.written(record);
    if (commit !== undefined) {
      await this.#commit(
        commit,
        commit.metadata.map((text, global) => commitMetadata(text, record.metadata[global] as string)),
      );
    }
    this.progressLog.epoch({
      epoch: record.epoch,
      bytes: record.bytes,
      startedAtMs: record.startedAtMs,
      mergedAtMs,
      writtenAtMs,
      committedAtMs: performance.now(),
    });
    if (this.#epochWanted) this.#endWantedEpoch();
    if (this.#isFinished()) await this.#over();
    else if (this.#finishing || this.#intake.partitions.every((state) => state.ended)) this.#wantEpoch();
  }

  async #commit(record: EpochRecord, metadata: readonly string[]): Promise<void> {
    let firstGlobal = 0;
    for (const [source, reader] of this.#readers.entries()) {
      const positions = positionsOf(record, firstGlobal, reader.partitionCount, metadata);
      if (positions.length > 0) {
        await guarded('ERR_MILLRACE_SOURCE', `${this.#sourceFailed(source)} to commit its positions`, () => reader.commit(positions));
        await this.#askWhetherKept(source, reader);
      }
      firstGlobal += reader.partitionCount;
    }
    this.#decisions.committed(record.epoch);
  }

  /** Some sources keep no positions, whatever is committed: the journal has to know, as they will begin at their beginning again. */
  async #askWhetherKept(source: number, reader: SourceReader): Promise<void> {
    if (!this.#decisions.isRecording || this.#mayForget.has(source)) return;
    this.#mayForget.add(source);
    const kept = await guarded('ERR_MILLRACE_SOURCE', this.#sourceFailed(source), () => reader.positions());
    if (kept.every(({ metadata }) => metadata === '')) this.#decisions.forgets(source);
  }

  /** Everything that there is to do was done: all ended (or a stop was asked for), no epoch under way, nothing taken in since. */
  #isFinished(): boolean {
    // An epoch that is to be repeated is repeated whole, or read once more at the next start.
    if (this.#decisions.isReplaying) return this.#finishing && this.#epochs.underWay === 0;
    const allEnded = this.#finishing || this.#intake.partitions.every((state) => state.ended);
    return allEnded && this.#epochs.underWay === 0 && this.#intake.epochBytes === 0 && this.#states().join() === this.#lastStates;
  }

  /** Ends everything, in either case; then settles `done`. */
  async #over(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#abort.abort();
    this.#intake.release();
    for (const link of this.#links) link.stop();
    if (this.#failure !== undefined) this.#control?.abort();
    await Promise.allSettled(this.#readers.map(async (reader) => reader.close()));
    await this.#outputs?.close();
    this.progressLog.close();
    await this.#pool.close();
    this.#isClosed = true;
    await this.#decisions?.close();
    if (this.#failure !== undefined) this.#rejectDone(this.#failure);
    else this.#resolveDone();
  }

  #progressSources(): ProgressSources {
    return {
      partitions: this.#intake.partitions,
      counters: this.#counters,
      watermarks: this.#watermarks,
      rowsOut: this.#outputs?.rowsOut ?? 0,
      bytesIn: this.#intake.bytesIn,
      memory: this.#slabs.usage(),
      epoch: this.#epochs.current,
      committedEpoch: this.#epochs.committed,
      samples: this.#samples,
      balance: this.#balance.totals,
    };
  }
}

/** What `call` gives. An error of somebody's own source or sink gets a code, and a message that says whose it is. */
async function guarded<T>(code: ErrorCode, what: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw wrapped(error, code, what);
  }
}

function wrapped(error: unknown, code: ErrorCode, what: string): MillraceError {
  if (error instanceof MillraceError) return error;
  return new MillraceError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
