/**
 * An execution: one coordinator in the world of a job. It gives the coordinator worker threads, shared
 * memory, clocks and a timer. It opens sources and sinks, and does what the coordinator asks for: the
 * promises are here. It never blocks. It wakes when a worker rings, when a source emits, when something asked
 * for is done, or when the trigger's time is up.
 */

import { setMaxListeners } from 'node:events';
import { createMemory, MillraceError, SlabAllocator } from '../../core/index.ts';
import type { Holdings } from '../../io/index.ts';
import type { CheckpointId } from '../checkpoint/index.ts';
import type { JobState, JobWatch, ProgressLog } from '../observe/index.ts';
import { identityOf, type Plan } from '../plan/index.ts';
import { waitAsync } from '../shared/index.ts';
import { asPassing, Workers } from '../workers/index.ts';
import { Checkpoints, type CheckpointsParts } from './checkpoints.ts';
import { Coordinator } from './coordinator.ts';
import type { CheckpointCut } from './coordinator-parts.ts';
import type { ResolvedOptions } from './options.ts';
import { Sinks } from './sinks.ts';
import { Sources } from './sources.ts';
import { SpillFolder } from './spill-folder.ts';
import { thoughSpilled } from './state-limit.ts';
import type { View } from './view.ts';

const CHUNK_BYTES_MAX = 1 << 20;
/** For thousands of partitions, each of which has an open chunk. */
const CHUNK_BYTES_MIN = 4 << 10;
const CREDIT_BYTES_MAX = 64 << 20;
/** Rows under way need the rest of the memory. */
const PAUSE_SHARE = 0.75;
/** Rings, batches of decoders and results. */
const OWN_BYTES = 6 << 20;
const SPILL_SHARE = 0.6;
const IDLE_WAIT_MS = 1_000;
/** How often to look whether the job stands still. */
const WATCH_MS = 1_000;

/** What executions of the job before this one leave to it. */
interface Before {
  /** Checkpoints that it must not resume from. */
  readonly damaged: readonly CheckpointId[];
  readonly holdings: Holdings;
}

export class Execution {
  readonly #plan: Plan;
  readonly #url: string;
  readonly #options: ResolvedOptions;
  readonly #wall: () => number;
  readonly #slabs: SlabAllocator;
  readonly #abort = new AbortController();
  readonly #sources: Sources;
  readonly #sinks: Sinks;
  readonly #workers: Workers;
  #checkpoints: Checkpoints | undefined;
  /** Where state goes that memory has no room for. */
  #spill: SpillFolder | undefined;
  readonly #before: Before;
  readonly #watch: JobWatch;
  readonly #coordinator: Coordinator;
  #timer: NodeJS.Timeout | undefined;
  #watchTimer: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #failure: unknown;
  /** Everything is open, and the workers have their tasks. `start` throws what fails before. */
  #isStarted = false;
  #isOver = false;
  /** Another process is at work, and this one waits. */
  #isStandingBy = false;
  /** It was stopped while it waited. */
  #isLeaving = false;
  /** How it ended; undefined until everything is closed. */
  #outcome: 'stopped' | 'failed' | undefined;
  /** Gets what a person should know, though the job goes on. */
  onWarning: (message: string) => void = () => {};
  #resolveDone!: () => void;
  #rejectDone!: (error: unknown) => void;
  /**
   * Settles when the job is over: resolved after everything was written and committed, rejected with the
   * first fatal error.
   */
  readonly done: Promise<void>;

  constructor(plan: Plan, url: string, options: ResolvedOptions, wall: () => number, before: Before, watch: JobWatch) {
    this.#before = before;
    this.#watch = watch;
    this.#plan = plan;
    this.#url = url;
    this.#options = options;
    this.#wall = wall;
    // Every sink and source listens for the end.
    setMaxListeners(0, this.#abort.signal);
    this.#slabs = new SlabAllocator(createMemory(options.memoryBytes));
    this.#sources = new Sources(plan.sources);
    this.#sinks = new Sinks(this.#slabs.memory, options.sinkDelayMs, watch);
    this.#workers = new Workers(this.#slabs, options.workers, heapMiB(options.memoryBytes), (error) => void this.fail(error));
    this.#workers.onWaiting = (worker, source, what) => this.#coordinator.scanWaits(worker, source, what);
    this.#workers.onTail = (sink, rows) => this.#watch?.tailed(plan.sinks[sink]?.sink.name ?? '', rows);
    this.#coordinator = this.#makeCoordinator();
    this.done = new Promise((resolve, reject) => {
      this.#resolveDone = resolve;
      this.#rejectDone = reject;
    });
    // Who does not use `done` learns of a failure through the job's events.
    this.done.catch(() => {});
  }

  /** Opens sources and sinks, starts the workers, and starts reading. */
  async start(): Promise<void> {
    try {
      const { checkpoint, guarantee, drain, triggerMs } = this.#options;
      const { bounded } = drain;
      const coordinator = this.#coordinator;
      const { signal } = this.#abort;
      const warn = (message: string) => this.onWarning(message);
      const plan = this.#plan;
      if (checkpoint !== undefined) this.#checkpoints = await this.#openCheckpoints(checkpoint);
      // It was stopped in the moment in which there was nobody left to wait for.
      signal.throwIfAborted();
      const checkpoints = this.#checkpoints;
      const { transaction, deposed } = checkpoints?.store ?? {};
      await this.#sinks.open(plan, { signal, guarantee, transaction, deposed, warn });
      if (guarantee === 'exactly-once') await this.#sinks.recover(checkpoints?.written ?? -1);
      await this.#sources.open(coordinator.intake, { drain: bounded, signal, deposed, holdings: this.#before.holdings, watch: this.#watch }, (source) =>
        checkpoints?.from(source),
      );
      const positions = await this.#sources.positions();
      const committed = checkpoints?.begin(positions, warn) ?? positions;
      coordinator.lay(this.#sources.partitionCounts);
      const stored = coordinator.begin(committed, checkpoints?.decisions, checkpoints?.resume);
      coordinator.intake.loadFirst(
        this.#plan.sources.map(({ behind }) => behind),
        this.#plan.sources.map(({ source }) => source.bounded),
        this.#plan.task?.source,
      );
      this.#tellOpen();
      if (stored !== undefined) await checkpoints?.dir.journal.begin(stored.head, stored.kept);
      if (checkpoints?.manifest === undefined && checkpoints !== undefined) await this.#checkpoint(checkpoints, coordinator.firstCut);
      if (this.#options.atLimit === 'spill') this.#spill = await SpillFolder.open(checkpoints?.dir.dir);
      else if (checkpoints !== undefined) await SpillFolder.clear(checkpoints.dir.dir);
      this.#startWorkers();
      this.#isStarted = true;
      if (this.#failure !== undefined) throw this.#failure;
      await this.#sources.start();
      if (this.#isOver) return;
      this.#timer = setInterval(() => this.#guard(() => coordinator.tick()), triggerMs);
      this.#watchTimer = setInterval(() => this.#guard(() => coordinator.look()), WATCH_MS);
      void this.#listen();
      // A folder without files has no partition whose end could be reported.
      coordinator.wantEpochIfEnded();
    } catch (error) {
      if (!this.#isLeaving) this.#failure ??= error;
      await this.#end();
      throw this.#failure ?? error;
    }
  }

  #openCheckpoints({ dir, kafka, allowed }: NonNullable<ResolvedOptions['checkpoint']>): Promise<Checkpoints> {
    const { guarantee, standby, sessionMs } = this.#options;
    // Tasks of a shared job change hands all the time.
    const isOfMany = this.#options.task !== undefined;
    const store: CheckpointsParts['store'] = {
      dir,
      kafka,
      sessionMs,
      signal: this.#abort.signal,
      warn: (message) => this.onWarning(message),
      say: (message) => (isOfMany ? this.#watch.log.info({}, message) : this.onWarning(message)),
      reportOf: (name) => this.#watch.reportOf(name),
      ...this.#before,
      lost: (error) => void this.fail(error),
      standBy: standby
        ? () => {
            this.#isStandingBy = false;
          }
        : undefined,
    };
    this.#isStandingBy = standby;
    return Checkpoints.open({ plan: this.#plan, guarantee, allowed, store });
  }

  #tellOpen(): void {
    const counts = this.#sources.partitionCounts;
    const sources = this.#plan.sources.map(({ source }, index) => ({ name: source.name, partitions: counts[index] ?? 0 }));
    const manifest = this.#checkpoints?.manifest;
    const from = manifest && { checkpoint: manifest.checkpoint, ageMs: Math.max(0, this.#wall() - manifest.writtenAtMs), stateBytes: manifest.stateBytes };
    this.#watch.opened(sources, from);
  }

  async #checkpoint(checkpoints: Checkpoints, cut: CheckpointCut): Promise<void> {
    const sinceMs = performance.now();
    await checkpoints.make(cut, this.#sinks, this.#sources);
    this.#watch.checkpointDone({ checkpoint: cut.checkpoint, ms: performance.now() - sinceMs, stateBytes: cut.state.stateBytes });
  }

  /** Takes in nothing more, or again. */
  pause(isPaused: boolean): void {
    if (this.#isOver) return;
    this.#coordinator.pause(isPaused);
  }

  /** Stops reading; with `drain` everything taken in is finished, written and committed first. */
  async stop({ drain }: { readonly drain: boolean | 'hold' | 'emit' }): Promise<void> {
    if (this.#isOver) {
      await this.done.catch(() => {});
      return;
    }
    if (this.#isStandingBy) {
      // Nothing has begun.
      this.#isLeaving = true;
      this.#abort.abort(new MillraceError('ERR_MILLRACE_OPTION', 'The job was stopped while it stood by.'));
      return;
    }
    // First: a job that has nothing left to do ends within the call.
    if (drain !== false) this.#drainTimer ??= setTimeout(() => void this.fail(this.#stopsTooLong()), this.#options.drainTimeoutMs);
    this.#coordinator.stop({ drain: drain === true ? this.#options.drain.open : drain });
    if (drain !== false) await this.done;
    else await this.#end();
  }

  /** The first fatal error ends the job. Uncommitted work is dropped. */
  async fail(error: unknown): Promise<void> {
    if (this.#failure !== undefined || this.#outcome !== undefined) return;
    const isFull = this.#spill !== undefined && error instanceof MillraceError && error.code === 'ERR_MILLRACE_MEMORY';
    this.#failure = isFull ? thoughSpilled(error, this.#coordinator.control.stateBytes()) : error;
    // `#end` handles what fails while everything is being closed.
    if (this.#isStarted) await this.#end();
  }

  /** The checkpoint that it resumed from; undefined: none. */
  get resumedFrom(): CheckpointId | undefined {
    const manifest = this.#checkpoints?.manifest;
    return manifest === undefined ? undefined : { run: manifest.run, checkpoint: manifest.checkpoint };
  }

  get state(): JobState {
    return this.#outcome ?? (this.#isStandingBy ? 'standby' : this.#coordinator.state);
  }

  get progressLog(): ProgressLog {
    return this.#coordinator.progressLog;
  }

  /** State to read, while the job runs and when it is over. */
  view<R>(name: string): View<R> {
    return this.#coordinator.views.get<R>(name);
  }

  #makeCoordinator(): Coordinator {
    const { memoryBytes, atLimit, epochBytes, drain, badRows, checkpoint, restarts } = this.#options;
    const done = (work: Promise<void> | undefined, tell: () => void): void => {
      work?.then(tell).catch((error) => this.fail(error));
    };
    const coordinator: Coordinator = new Coordinator({
      plan: this.#plan,
      slabs: this.#slabs,
      crew: this.#workers,
      // Durations and idleness go by a clock that cannot be set.
      clocks: { wall: this.#wall, elapsed: () => performance.now() },
      limits: {
        chunkBytes: CHUNK_BYTES_MAX,
        chunkBytesMin: CHUNK_BYTES_MIN,
        creditBytes: creditBytes(memoryBytes),
        epochBytes,
        // Slabs may be twice as large as what is in them, and three epochs may be under way.
        outputBytes: memoryBytes / 16,
        firstEpochBytes: memoryBytes / 16_384,
        stateBytes: atLimit === 'pause' ? memoryBytes * PAUSE_SHARE : memoryBytes,
        atLimit,
      },
      drain,
      badRows,
      watch: this.#watch,
      checkpointMs: checkpoint?.intervalMs,
      hangMs: checkpoint === undefined ? undefined : restarts.hangMs,
      effects: {
        record: (record) => done(this.#checkpoints?.record(record), () => coordinator.recorded(record.epoch)),
        write: (epoch, blocks) => done(this.#write(epoch, blocks), () => coordinator.written(epoch)),
        checkpoint: (cut) => done(this.#checkpoints && this.#checkpoint(this.#checkpoints, cut), () => coordinator.checkpointed()),
        commit: (source, positions) => done(this.#commit(source, positions), () => coordinator.committed(source)),
        finished: () => void this.#end(),
        sinks: () => this.#sinks.progress,
        // Samples of the ledger do not come with the end of an epoch, but a turn later.
        refuse: (reason) => void setImmediate(() => void this.fail(reason())),
        warn: (message) => this.onWarning(message),
        hangs: (message) => void this.fail(hangs(message)),
        failed: (error, source) => void this.fail(source === undefined ? error : this.#sources.errorOf(source, error)),
      },
      later: (call) => queueMicrotask(() => this.#guard(call)),
    });
    return coordinator;
  }

  async #write(epoch: number, blocks: Parameters<Sinks['writeEpoch']>[1]): Promise<void> {
    await this.#checkpoints?.store.mustBeOurs();
    await this.#sinks.writeEpoch(epoch, blocks);
  }

  async #commit(source: number, positions: Parameters<Sources['commit']>[1]): Promise<void> {
    if (this.#checkpoints?.store.commitsPositionsOf(this.#sources.domainOf(source)) === true) return;
    await this.#sources.commit(source, positions);
  }

  #startWorkers(): void {
    const { params, batchRows, failedRows, codeGeneration, memoryBytes, epochBytes, task } = this.#options;
    const coordinator = this.#coordinator;
    this.#workers.start(coordinator.control, {
      url: this.#url,
      params,
      identity: identityOf(this.#plan),
      partitions: this.#sources.partitionCounts,
      restored: coordinator.restored,
      firstEpoch: coordinator.first.epoch,
      nowMs: coordinator.first.nowMs,
      sinks: this.#sinks.infos,
      tail: this.#options.dashboard !== undefined,
      batchRows,
      failedRows,
      stored: this.#checkpoints?.task,
      spill: this.#spill && { dir: this.#spill.dir, limitBytes: stateBytesBeside(memoryBytes, epochBytes) },
      codeGeneration,
      task,
    });
  }

  async #listen(): Promise<void> {
    const { i32 } = this.#slabs.memory;
    const { control } = this.#coordinator;
    while (!this.#isOver) {
      const seen = Atomics.load(i32, control.coordinatorDoorbell);
      if (!this.#guard(() => this.#coordinator.receive())) return;
      await waitAsync(i32, control.coordinatorDoorbell, seen, IDLE_WAIT_MS);
    }
  }

  /** Ends the job with what the coordinator throws. */
  #guard(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      void this.fail(error);
      return false;
    }
  }

  #stopsTooLong(): MillraceError {
    return new MillraceError(
      'ERR_MILLRACE_WORKER',
      `The job could not finish within ${this.#options.drainTimeoutMs} ms what it had read when it was stopped: ${this.#coordinator.outstanding}. It ends without it: what was not committed is read again at the next start. Mend what takes so long, or give a longer drainTimeout.`,
    );
  }

  /** Ends everything, after success or failure; then settles `done`. */
  async #end(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    const coordinator = this.#coordinator;
    clearInterval(this.#timer);
    clearInterval(this.#watchTimer);
    clearTimeout(this.#drainTimer);
    this.#abort.abort();
    coordinator.progressLog.end();
    coordinator.end();
    if (this.#failure !== undefined) {
      coordinator.control?.abort();
      // Whatever it failed of, that is the reason.
      this.#failure = (await this.#checkpoints?.store.takenOver(this.#failure)) ?? this.#failure;
    }
    // Each is closed even if closing another fails: a lock that stays would keep the next start out.
    for (const close of [
      () => this.#sources.close(),
      () => this.#sinks.close(),
      () => this.#workers.close(),
      () => this.#spill?.remove(),
      () => coordinator.lookBack(),
      () => (this.#failure === undefined ? this.#checkpoints?.store.rest() : undefined),
      () => this.#checkpoints?.store.close(),
    ]) {
      try {
        await close();
      } catch (error) {
        this.#failure ??= error;
      }
    }
    coordinator.isAtRest = true;
    this.#outcome = this.#failure === undefined ? 'stopped' : 'failed';
    coordinator.progressLog.close(this.#outcome);
    if (this.#failure !== undefined) this.#rejectDone(this.#failure);
    else this.#resolveDone();
  }
}

function creditBytes(memoryBytes: number): number {
  return Math.min(memoryBytes / 4, CREDIT_BYTES_MAX);
}

/**
 * How much of the memory is for state where the rest of it is put away. Rows under way take the credit of the
 * sources; two epochs of blocks, tables of scans and output are about six times the bytes of an epoch, in
 * slabs. Tables that grow, and slabs that are larger than what is in them, need some of what is left.
 */
function stateBytesBeside(memoryBytes: number, epochBytes: number): number {
  return Math.max(memoryBytes - OWN_BYTES - creditBytes(memoryBytes) - 6 * epochBytes, memoryBytes / 8) * SPILL_SHARE;
}

function hangs(what: string): MillraceError {
  return asPassing(
    new MillraceError('ERR_MILLRACE_WORKER', `${what}. It does not return, so its thread is ended. The option restarts says after how long (hangs).`),
  );
}

/**
 * What the heap of a worker may grow to, MiB. State in it counts against the memory of the job by an
 * estimate, which may be low.
 */
function heapMiB(memoryBytes: number): number {
  return 1_024 + Math.ceil((3 * memoryBytes) / 1024 ** 2);
}
