/**
 * The engine: what one worker does, without its thread. It scans a chunk, and ends an epoch. It waits for
 * nobody: where all engines of a job must have arrived before any goes on, it yields to its caller. So the
 * same engines run in workers, with a barrier there, and in a test driver, one after the other.
 *
 *   scan        chunk -> decoder -> flow (row functions, watermark) -> combiners, or encoders of sinks
 *   endEpoch    publish blocks and event times | all are here | watermarks | for each exchange, in order:
 *               [publish | all are here, when others feed it] merge own shards, close windows
 *               -> flow -> encoders, or the next exchange
 *
 * Shards come in groups of neighbours. One worker handles a group as a unit, so its output is one run of
 * blocks, whichever worker that is.
 */

import { type Counters, MillraceError, SHARD_COUNT, type SharedMemory, type SlabAllocator, type WatermarkState } from '../../core/index.ts';
import type { Chunk, ChunkDecoder, SinkInfo } from '../../io/index.ts';
import { exchangeBlockBytes, exchangeBlockRows, type Scatter } from '../../operators/index.ts';
import type { ExchangePlan, Plan, Predecessor } from '../plan/index.ts';
import {
  type Control,
  type CounterName,
  type FailedRowsPolicy,
  type LedgerSample,
  nothingRestored,
  OF_EXCHANGE,
  OF_SOURCE,
  type OutputBlock,
  type Restored,
  restoreWatermarks,
  WorkerBalance,
} from '../shared/index.ts';
import { type LoggedBlocks, type StateLog, type StateReader, StateWriter } from '../state-log/index.ts';
import { type BlockTransport, SharedMemoryTransport } from './block-transport.ts';
import { EventTimes } from './event-times.ts';
import { ExchangeRunner, ownGroups, type ShardOrigin } from './exchange-runner.ts';
import { FailedRows } from './failed-rows.ts';
import { Failures } from './failures.ts';
import type { Flow } from './flow.ts';
import { Flows } from './flows.ts';
import { Place } from './place.ts';
import { originInLog, redo } from './redo.ts';
import { Rejects } from './rejects.ts';
import { type SpillPlace, StateBudget } from './state-budget.ts';
import { type EngineState, type ShardState, stateOfShard } from './state-snapshot.ts';
import type { TailTaker } from './tail.ts';
import { TaskExchange } from './task-exchange.ts';
import { WatermarkRunner } from './watermark-runner.ts';

/** How often bytes of state are shown to progress. */
const STATE_SHOWN_MS = 500;

export interface EngineContext {
  readonly plan: Plan;
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly control: Control;
  readonly worker: number;
  /** Partitions of each source. */
  readonly partitions: readonly number[];
  readonly restored: Restored;
  /** The number of the first epoch, and the clock at the end of the one before. */
  readonly firstEpoch: number;
  readonly nowMs: number;
  readonly sinks: readonly SinkInfo[];
  /** One region per global partition. */
  readonly counters: readonly Counters<CounterName>[];
  readonly batchRows: number;
  /** What happens to rows on which a function fails. */
  readonly failedRows: FailedRowsPolicy;
  /** The state to resume from, of all shards; `restored` is ignored then. */
  readonly from?: EngineState | undefined;
  /** The log to resume from, which has the state as of the epoch before the first; `restored` is ignored. */
  readonly stored?: StoredState | undefined;
  /** Where the state is logged; undefined: nowhere. */
  readonly stateLog?: StateLog | undefined;
  /** Where state goes that memory has no room for; undefined: all of it stays in memory. */
  readonly spill?: SpillPlace | undefined;
  /** Shows some of the rows that go to sinks; undefined: nobody watches. */
  readonly tail?: TailTaker | undefined;
  /** What the scan of a source waits for outside; undefined when that is over. */
  waiting?(source: number, what: string | undefined): void;
  output(epoch: number, block: OutputBlock): void;
  sample(sample: LedgerSample): void;
}

/** State as an earlier run has left it. */
export interface StoredState {
  readonly log: StateReader;
  readonly watermarks: readonly WatermarkState[];
  /**
   * By exchange: whose state it goes on with, where the plan has changed since. The state is then written anew.
   */
  readonly predecessors?: readonly (Predecessor | undefined)[] | undefined;
}

export class Engine {
  readonly #context: EngineContext;
  readonly #memory: SharedMemory;
  readonly #place: Place;
  readonly #firstGlobal: number[] = [];
  readonly #watermarks: WatermarkRunner[];
  readonly #times: EventTimes;
  readonly #flows: Flows;
  readonly #failures: Failures;
  readonly #exchanges: ExchangeRunner<Flow>[];
  readonly #decoders: ChunkDecoder[];
  readonly #balance: WorkerBalance;
  readonly #transport: BlockTransport;
  /** The way to other tasks of the job; undefined: there are none. */
  readonly #tasks: TaskExchange | undefined;
  readonly #writer: StateWriter | undefined;
  /** Which shards are in memory; undefined: all. */
  readonly #budget: StateBudget | undefined;
  /** What the scans of this epoch have left, by exchange, for the log. */
  #blocks: LoggedBlocks[] = [];
  /** By exchange: its event time as of the end of the last epoch; behind them what the tasks have told each other. */
  #before: number[] = [];
  /** The clock as of the end of the last epoch. */
  #nowMs = 0;
  /** When bytes of state were last shown. */
  #stateShownMs = Number.NEGATIVE_INFINITY;

  constructor(context: EngineContext) {
    this.#context = context;
    this.#memory = context.memory;
    const { plan, slabs, memory } = context;
    this.#transport = new SharedMemoryTransport(slabs, context.control, context.worker);
    this.#balance = new WorkerBalance(plan.sources.length, plan.exchanges.length);
    let global = 0;
    for (const count of context.partitions) {
      this.#firstGlobal.push(global);
      global += count;
    }
    this.#watermarks = plan.watermarks.map((watermark, index) => new WatermarkRunner(watermark, index, context, this.#firstGlobal));
    const names = plan.sources.map(({ source }) => source.name);
    this.#place = new Place(names, context.counters, this.#restoreWatermarks(), context.control.rowAtWork(context.worker));
    const failed = new FailedRows(context.failedRows, this.#place, (sample) => context.sample(sample));
    this.#times = new EventTimes(context, this.#watermarks, this.#firstGlobal);
    this.#flows = new Flows(context, this.#place, this.#watermarks, this.#balance, failed);
    const { task } = plan;
    this.#tasks = task && new TaskExchange(plan, task, slabs, this.#flows.encoderOf(task.sink));
    this.#times.follow(this.#tasks);
    this.#failures = new Failures(plan, slabs, this.#place, failed, this.#flows.ofFailures);
    this.#budget = this.#makeBudget();
    this.#exchanges = plan.exchanges.map((exchange, index) => this.#runner(exchange, index));
    const rejects = new Rejects(slabs, this.#place, this.#balance, this.#flows.ofRejects, (sample) => context.sample(sample));
    this.#decoders = plan.sources.map(({ source, flow, rejects: takers }, index) =>
      source.decoder({
        memory,
        slabs,
        columns: flow.rows.columnsRead,
        batchRows: context.batchRows,
        workers: context.control.shape.workers,
        // A dead letter has all of its bytes.
        ...(takers.length > 0 ? { sampleBytesMax: memory.byteLength } : {}),
        waiting: (what) => context.waiting?.(this.#place.source, what),
        reject: (rejection) => {
          if (index === task?.source) this.#tasks?.mustNotLose(rejection);
          rejects.take(rejection);
        },
      }),
    );
    if (context.stored !== undefined) redo(context.stored.log, this.#exchanges, slabs, (exchange) => this.#times.numberInLog(exchange));
    this.#before = this.#times.logged(undefined);
    if (context.stateLog !== undefined) {
      const { firstEpoch, nowMs, control, stored } = context;
      const shards = this.#exchanges.flatMap((exchange, index) => exchange.logged(index));
      const before = this.#before;
      const goesOn = stored !== undefined && stored.predecessors === undefined;
      const start = goesOn ? undefined : { epoch: firstEpoch - 1, workers: control.shape.workers, nowMs, before, after: before };
      this.#writer = new StateWriter(memory, context.stateLog, context.worker, shards, firstEpoch, start);
      this.#showLog(context.firstEpoch - 1);
    }
    this.#beginEpoch(context.firstEpoch, context.nowMs);
  }

  /**
   * Sets the clock at the start of the current epoch, which stamps rows that go by processing time. Before
   * each call below.
   */
  stampAt(startMs: number): void {
    for (const watermark of this.#watermarks) watermark.stampMs = startMs;
  }

  /**
   * Scans one chunk of the current epoch.
   *
   * @returns what has to be waited for before the next call, where rows wait for functions of the user, or records for
   * their schema
   * @throws MillraceError of a user function, with the coordinates of the chunk in the message
   */
  scan(source: number, chunk: Chunk, sequence: number): Promise<void> | undefined {
    const decoder = this.#decoders[source] as ChunkDecoder;
    const flow = this.#flows.ofSources[source] as Flow;
    const flows = [flow, ...(this.#flows.ofRejects[source] as readonly Flow[])];
    this.#place.atChunk(source, chunk, sequence, (this.#firstGlobal[source] as number) + chunk.partition, decoder);
    this.#balance.ofSource(source, OF_SOURCE.chunks, 1);
    this.#balance.ofSource(source, OF_SOURCE.bytes, chunk.byteLength);
    this.#flows.begin(flows, { source, partition: chunk.partition, first: chunk.first });
    let rows = 0;
    const { control, worker, plan } = this.#context;
    const isOfTasks = source === plan.task?.source;
    const begin = (): void => control.beginWork(worker, 0, source, chunk.partition, chunk.first, chunk.next);
    const read = (): Promise<void> | undefined => {
      try {
        for (let batch = decoder.next(); batch !== undefined; batch = decoder.next()) {
          rows += batch.rowCount;
          if (isOfTasks) this.#tasks?.take(batch);
          else flow.run(batch);
          control.goOn(worker);
        }
      } catch (error) {
        throw located(error, this.#place.sourceName, chunk);
      }
      if (decoder.waitsFor === undefined) return this.#endScan(chunk, finish);
      control.endWork(worker);
      return decoder.waitsFor.then(() => {
        begin();
        return read();
      });
    };
    const finish = (): void => {
      this.#flows.end(flows);
      this.#flows.flush(flows);
      control.endWork(worker);
      if (!isOfTasks) this.#place.count('rowsIn', rows);
      this.#balance.ofSource(source, OF_SOURCE.decoded, rows);
    };
    begin();
    try {
      decoder.open(chunk);
    } catch (error) {
      throw located(error, this.#place.sourceName, chunk);
    }
    return read();
  }

  /** All rows of the chunk are read. */
  #endScan(chunk: Chunk, finish: () => void): Promise<void> | undefined {
    if (this.#flows.lookups.some(({ isWaiting }) => isWaiting)) return this.#lookUpChunk(chunk, finish);
    finish();
    return undefined;
  }

  /** Rows that have their answers may go on to functions that are asked in turn. */
  #lookUpChunk(chunk: Chunk, finish: () => void): Promise<void> | undefined {
    const { control, worker } = this.#context;
    for (;;) {
      const lookups = this.#flows.lookups.find(({ isWaiting }) => isWaiting);
      if (lookups === undefined) {
        finish();
        return undefined;
      }
      control.endWork(worker);
      const answers = lookups.ask();
      const release = (): void => {
        control.beginWork(worker, 0, this.#place.source, chunk.partition, chunk.first, chunk.next);
        try {
          lookups.release(0);
        } catch (error) {
          throw located(error, this.#place.sourceName, chunk);
        }
      };
      if (answers !== undefined) return answers.then(release).then(() => this.#lookUpChunk(chunk, finish));
      release();
    }
  }

  /**
   * Ends the epoch together with all other engines of the job, in steps. It yields where all must have
   * arrived before any goes on. The number of steps is the same in every engine.
   *
   * @param nowMs the coordinator's clock when it ended the epoch, the same for all
   * @returns its steps. A promise has to be waited for, and is no step of the others: rows wait for functions of the user
   */
  *endEpoch(epoch: number, nowMs: number): Generator<Promise<void> | undefined, void, void> {
    this.#place.epoch = epoch;
    for (const watermark of this.#watermarks) watermark.publish(epoch);
    for (const [index, exchange] of this.#exchanges.entries()) if (exchange.upstream.length === 0) this.#publish(epoch, index);
    yield undefined;
    // All engines are past the merges of the epoch before.
    this.#transport.takeBack(epoch - 1);
    for (const watermark of this.#watermarks) watermark.advance(epoch, nowMs);
    this.#tasks?.advance();
    this.#budget?.beginEpoch(epoch, this.#viewedBytes);
    for (const [index, exchange] of this.#exchanges.entries()) {
      if (exchange.upstream.length > 0) {
        this.#publish(epoch, index);
        yield undefined;
      }
      yield* this.#merge(exchange, index, epoch, nowMs);
    }
    this.#tellTasks(epoch);
    this.#log(epoch, nowMs);
    this.#showStateBytes(nowMs);
    this.#balance.publish(this.#context.control, epoch, this.#context.worker);
    this.#beginEpoch(epoch + 1, nowMs);
  }

  /**
   * The state between two epochs, of the shards that this engine owns. Any number of engines can resume from
   * the states of all (state-snapshot.ts). To be called between `endEpoch` and the next `scan`. Cost:
   * O(state); it changes nothing.
   */
  snapshot(): EngineState {
    return {
      epoch: this.#place.epoch,
      nowMs: this.#nowMs,
      watermarks: this.#watermarks.map((runner) => runner.watermark.snapshotAll()),
      exchanges: this.#exchanges.map((exchange) => exchange.snapshot()),
    };
  }

  /** Bytes of state in memory, of the shards that this engine owns. */
  get stateBytes(): number {
    return this.#exchanges.reduce((sum, exchange) => sum + exchange.stateBytes, 0);
  }

  /** Of these: of exchanges that are viewed. */
  get #viewedBytes(): number {
    return this.#exchanges.reduce((sum, exchange) => sum + (exchange.isViewed ? exchange.stateBytes : 0), 0);
  }

  /** Writes the merged epoch to the state log, while its blocks are still there. */
  #log(epoch: number, nowMs: number): void {
    if (this.#writer === undefined) return;
    const { control } = this.#context;
    const after = this.#times.logged(epoch);
    this.#writer.endEpoch({ epoch, workers: control.shape.workers, nowMs, before: this.#before, after }, this.#blocks);
    this.#before = after;
    this.#blocks = [];
    this.#showLog(epoch);
  }

  #showLog(epoch: number): void {
    if (this.#writer !== undefined) this.#context.control.setLog(epoch, this.#context.worker, this.#writer.oldestBase, this.#writer.bytesWritten);
  }

  /** Not in every short epoch, as looking at all shards costs something. A budget knows them. */
  #showStateBytes(nowMs: number): void {
    const { control, worker } = this.#context;
    const budget = this.#budget;
    if (budget === undefined && nowMs < this.#stateShownMs + STATE_SHOWN_MS) return;
    this.#stateShownMs = nowMs;
    const viewed = this.#viewedBytes;
    control.setStateBytes(worker, { held: budget === undefined ? this.stateBytes : budget.bytes, away: budget?.bytesAway ?? 0, viewed });
  }

  *#merge(exchange: ExchangeRunner<Flow>, index: number, epoch: number, nowMs: number): Generator<Promise<void>, void, void> {
    const blocks = this.#transport.gather(epoch, index);
    for (const block of blocks) this.#balance.ofExchange(index, OF_EXCHANGE.found, exchangeBlockRows(this.#memory, block));
    const watermark = this.#times.atEnd(index, epoch);
    const { control, worker } = this.#context;
    control.beginWork(worker, 1 + index, 0, 0, 0, 0);
    exchange.beginEpoch(epoch, nowMs);
    let merged = exchange.settle(blocks);
    const flows = [exchange.flow, ...(this.#flows.ofFailures[index] as readonly Flow[])];
    exchange.await(blocks, watermark);
    for (const group of exchange.groups) {
      this.#place.atShards(index, group.number);
      for (const own of group.shards) {
        this.#flows.begin(flows, { source: this.#decoders.length + index, partition: own.number, first: epoch });
        for (const lookups of this.#flows.lookups) lookups.origin = own.number;
        merged += exchange.pass(own, blocks, watermark);
        this.#flows.end(flows);
        control.goOn(worker);
      }
      this.#flows.flush(flows);
    }
    for (const lookups of this.#flows.lookups) lookups.origin = 0;
    yield* this.#lookUpShards(exchange, index, epoch, flows);
    this.#balance.ofExchange(index, OF_EXCHANGE.merged, merged);
    exchange.held?.account(blocks, watermark);
    this.#balance.ofExchange(index, OF_EXCHANGE.held, exchange.held?.held ?? 0);
    this.#balance.ofExchange(index, OF_EXCHANGE.released, exchange.held?.released ?? 0);
    exchange.endEpoch(watermark);
    control.endWork(worker);
  }

  /** Rows that the shards have put out may wait for functions of the user: all of them at a time. */
  *#lookUpShards(exchange: ExchangeRunner<Flow>, index: number, epoch: number, flows: readonly Flow[]): Generator<Promise<void>, void, void> {
    const { control, worker } = this.#context;
    for (let round = 1; ; round++) {
      const lookups = this.#flows.lookups.find(({ isWaiting }) => isWaiting);
      if (lookups === undefined) return;
      control.endWork(worker);
      const answers = lookups.ask();
      if (answers !== undefined) yield answers;
      control.beginWork(worker, 1 + index, 0, 0, 0, 0);
      for (const group of exchange.groups) {
        this.#place.goOnAtShards(index, group.number, round);
        for (const own of group.shards) {
          this.#flows.begin(flows, { source: this.#decoders.length + index, partition: own.number, first: epoch });
          for (const each of this.#flows.lookups) each.origin = own.number;
          lookups.release(own.number);
          this.#flows.end(flows);
        }
        this.#flows.flush(flows);
      }
      for (const each of this.#flows.lookups) each.origin = 0;
    }
  }

  #beginEpoch(epoch: number, nowMs: number): void {
    this.#place.epoch = epoch;
    this.#nowMs = nowMs;
    for (const watermark of this.#watermarks) watermark.begin(nowMs);
    this.#exchanges.forEach((_, index) => {
      const start = { watermark: this.#times.lateBefore(index), timeBound: Number.POSITIVE_INFINITY };
      for (const scatter of this.#flows.scatters[index] as readonly Scatter[]) scatter.beginEpoch(start);
    });
  }

  /** Publishes the blocks that our scans left for an exchange, and until when their rows are held. */
  #publish(epoch: number, exchange: number): void {
    const { control, worker } = this.#context;
    const left = (this.#flows.scatters[exchange] as readonly Scatter[]).flatMap((scatter) => scatter.takeBlocks());
    const blocks = this.#tasks === undefined ? left : this.#passOn(this.#tasks, exchange, left);
    const runner = this.#exchanges[exchange] as ExchangeRunner;
    this.#balance.ofExchange(exchange, OF_EXCHANGE.pieces, runner.piecesOf(blocks));
    for (const block of blocks) this.#balance.ofExchange(exchange, OF_EXCHANGE.bytes, exchangeBlockBytes(this.#memory, block));
    this.#memory.f64[control.held(epoch, worker, exchange)] = runner.heldUntil(blocks);
    if (this.#writer !== undefined) this.#blocks.push({ exchange, blocks });
    this.#transport.publish(epoch, exchange, blocks);
  }

  /**
   * Blocks go to the tasks that have their shards.
   *
   * @returns those that have come from there: rows of these count as put in
   */
  #passOn(tasks: TaskExchange, exchange: number, left: readonly number[]): number[] {
    const rowsOf = (blocks: readonly number[]): number => blocks.reduce((rows, block) => rows + exchangeBlockRows(this.#memory, block), 0);
    const came = tasks.taken(exchange);
    this.#balance.ofExchange(exchange, OF_EXCHANGE.put, rowsOf(came) - rowsOf(left));
    this.#place.atTasks(this.#exchanges.length, exchange);
    tasks.send(exchange, left);
    return came;
  }

  /** Tells the other tasks how far this one is, with the epoch. */
  #tellTasks(epoch: number): void {
    const { plan, control } = this.#context;
    if (this.#tasks === undefined) return;
    this.#place.atTasks(plan.exchanges.length, plan.exchanges.length);
    this.#tasks.tell(this.#times.ofOwnRows(epoch), control.isLoaded(epoch));
    if (this.#tasks.areLoaded) control.setAllLoaded();
  }

  /** @returns what had been read before the restart */
  #restoreWatermarks(): Restored {
    const { from, stored, restored, partitions } = this.#context;
    const watermarks = this.#watermarks.map((runner) => runner.watermark);
    const states = (from ?? stored)?.watermarks;
    if (states === undefined) {
      restoreWatermarks(watermarks, restored);
      return restored;
    }
    watermarks.forEach((watermark, index) => watermark.restoreAll(states[index] as WatermarkState));
    // What was read before is in the state, and does not come again.
    return nothingRestored(partitions.reduce((sum, count) => sum + count, 0));
  }

  #runner(exchange: ExchangePlan, index: number): ExchangeRunner<Flow> {
    const { plan, slabs, control, worker, firstEpoch } = this.#context;
    const groups = ownGroups(control.shape.workers, worker);
    const view = plan.views.findIndex((of) => of.exchange === index);
    const viewed = view < 0 ? undefined : { firstEpoch, cell: (shard: number) => control.live(view, shard) };
    return new ExchangeRunner(
      exchange,
      index,
      slabs,
      this.#times.of(index),
      this.#flows.ofExchanges[index] as Flow,
      groups,
      this.#failures.of(index),
      control.rowAtWork(worker),
      this.#origin(index, this.#times.of(index)),
      viewed,
      this.#budget,
    );
  }

  #makeBudget(): StateBudget | undefined {
    const { spill, control, worker, slabs } = this.#context;
    if (spill === undefined) return undefined;
    const { workers } = control.shape;
    const shards = ownGroups(workers, worker).reduce((count, group) => count + group.length, 0);
    return new StateBudget(slabs, spill, shards / SHARD_COUNT, () => control.stateBytes(worker).held);
  }

  /** What the shards of an exchange are opened from; undefined: they begin with nothing. */
  #origin(exchange: number, watermark: number): ShardOrigin | undefined {
    const { from, stored } = this.#context;
    if (from !== undefined) return { stateOf: (shard) => stateOfShard(from.exchanges[exchange] as readonly ShardState[], shard) };
    const number = this.#times.numberInLog(exchange);
    if (stored === undefined || number === undefined) return undefined;
    const { log, predecessors } = stored;
    return originInLog(log, number, this.#context.plan.exchanges[exchange] as ExchangePlan, predecessors?.[exchange], watermark);
  }
}

function located(error: unknown, source: string, chunk: Chunk): unknown {
  if (!(error instanceof MillraceError)) return error;
  return new MillraceError(error.code, `${error.message} (${source}, partition ${chunk.partition}, in the rows from offset ${chunk.first} to ${chunk.next})`, {
    cause: error.cause ?? error,
  });
}
