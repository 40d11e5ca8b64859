/**
 * `millrace/testing`: a pipeline on the calling thread, with a manual clock, for tests. It is the same plan and the same
 * engines as a job's, without threads, sources and sinks: rows go in by hand, epochs end by hand, results are arrays.
 * Needs no test runner.
 */

import { type AnyRow, Counters, createMemory, MillraceError, type SeekableRng, SlabAllocator, seededRng, shown } from '../core/index.ts';
import type { Sink, Source } from '../io/index.ts';
import { type DriverSnapshot, resolved, type TestDriverOptions } from './driver/driver-options.ts';
import { endpointIndex } from './driver/endpoint-name.ts';
import { handFed, keptRows, type SentRows } from './driver/hand-fed.ts';
import { Engine } from './engine/engine.ts';
import { headOf, joinStates, type StateHead } from './engine/state-snapshot.ts';
import { idleMsOf } from './epoch/partition-states.ts';
import { type View, Views } from './job/view.ts';
import { graphOf, type PipelineLike } from './plan/graph.ts';
import { makePlan, type Plan, type SinkPlan, type SourcePlan } from './plan/plan.ts';
import { EpochBalance } from './shared/balance.ts';
import { Control } from './shared/control.ts';
import type { LedgerSample } from './shared/ledger.ts';
import { COUNTER_NAMES, type CounterName } from './shared/ledger.ts';
import { type OutputBlock, orderBlocks } from './shared/output-block.ts';
import { PARTITION_ACTIVE, PARTITION_ENDED, PARTITION_IDLE } from './shared/partition-codes.ts';
import { nothingRestored } from './shared/restored.ts';

export type { DriverSnapshot, TestDriverOptions } from './driver/driver-options.ts';

/**
 * @param pipeline what a pipeline module exports by default: a pipeline or a stream of one
 * @throws MillraceError ERR_MILLRACE_PIPELINE when it cannot be run as written, ERR_MILLRACE_OPTION, ERR_MILLRACE_CHECKPOINT when `from` is of
 *   another pipeline or version
 * @example
 * const driver = testDriver(pipeline('t').from(memory([], { schema: { page: utf8 } })).keyBy('page').count().to(collect()));
 * driver.send([{ page: '/a' }, { page: '/a' }]);
 * driver.endEpoch();
 * driver.output(); // [{ page: '/a', count: 2 }]
 */
export function testDriver(pipeline: PipelineLike, options: TestDriverOptions = {}): TestDriver {
  const graph = graphOf(pipeline);
  if (graph === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', `testDriver() got ${shown(pipeline)}, which is no pipeline.`);
  return new TestDriver(makePlan(graph, options.codeGeneration === undefined ? {} : { codeGeneration: options.codeGeneration }), options);
}

export class TestDriver {
  /** As the pipeline says: with its own sources and sinks. */
  readonly #given: Plan;
  /** With sources that are fed by hand, and sinks that keep rows. */
  readonly #plan: Plan;
  readonly #head: StateHead;
  readonly #engines: readonly Engine[];
  readonly #control: Control;
  readonly #views: Views;
  readonly #partitions: number;
  readonly #counters: Counters<CounterName>[];
  readonly #pending: SentRows[] = [];
  readonly #positions: number[];
  readonly #sequences: number[];
  readonly #lastRowsAt: number[];
  /** By sink: the rows of the epochs that have ended. */
  readonly #outputs: AnyRow[][];
  /** Batches of the epoch that is under way, and the blocks that stand for them. */
  readonly #kept: (readonly AnyRow[])[] = [];
  readonly #blocks: OutputBlock[] = [];
  readonly #seed: number | undefined;
  readonly #partitionRng: SeekableRng;
  readonly #engineRng: SeekableRng;
  /** Some of the rows that no result counts: of each reason at most ten a shard. A snapshot has none of them. */
  readonly samples: LedgerSample[] = [];
  readonly #balance: EpochBalance;
  /** By source: rows of the epoch. */
  #rowsSent: number[];
  #rowsDrawn: number;
  #chunks: number;
  #epoch: number;
  #now: number;
  #isBetweenEpochs = true;
  /** Also when a call has failed half way. */
  #isWorking = false;
  /** The clock at the first rows of the epoch. */
  #startMs: number | undefined;
  #isOver = false;

  constructor(plan: Plan, options: TestDriverOptions) {
    this.#head = headOf(plan);
    const { from, shards, partitions, seed, now, memoryBytes } = resolved(options, this.#head);
    this.#partitions = partitions;
    this.#now = now;
    this.#epoch = from?.state.epoch ?? 0;
    this.#outputs = plan.sinks.map(() => []);
    this.#seed = seed;
    this.#partitionRng = seededRng(seed ?? 0);
    this.#engineRng = seededRng((seed ?? 0) + 0.5);
    this.#rowsDrawn = from?.rowsDrawn ?? 0;
    this.#chunks = from?.chunks ?? 0;
    this.#given = plan;
    this.#plan = {
      ...plan,
      sources: plan.sources.map((source): SourcePlan => ({ ...source, source: handFed(source.source, this.#pending) })),
      sinks: plan.sinks.map((sink): SinkPlan => ({ ...sink, sink: keptRows(sink.sink, this.#kept) })),
    };
    const globals = Array.from({ length: plan.sources.length * partitions }, (_, global) => from?.inputs[global]);
    this.#positions = globals.map((input) => input?.position ?? 0);
    this.#sequences = globals.map((input) => input?.sequence ?? 0);
    this.#lastRowsAt = globals.map((input) => input?.lastRowsAtMs ?? now);
    this.#balance = new EpochBalance(this.#plan);
    this.#rowsSent = plan.sources.map(() => 0);
    const memory = createMemory(memoryBytes);
    const slabs = new SlabAllocator(memory);
    this.#control = Control.lay(slabs, plan, shards, globals.length);
    this.#views = new Views({ slabs, control: this.#control, isOver: () => true }, this.#plan);
    this.#counters = globals.map((input) => {
      const counters = Counters.create(memory, slabs.alloc(Counters.bytesFor(COUNTER_NAMES)), COUNTER_NAMES);
      for (const [name, count] of input?.counts ?? []) counters.add(name, count);
      return counters;
    });
    this.#engines = Array.from(
      { length: shards },
      (_, worker) =>
        new Engine({
          plan: this.#plan,
          memory,
          // One for each, as workers have: work space goes by it.
          slabs: new SlabAllocator(memory),
          control: this.#control,
          worker,
          partitions: plan.sources.map(() => partitions),
          restored: nothingRestored(globals.length),
          sinks: plan.sinks.map(() => ({ partitionCount: 1 })),
          counters: this.#counters,
          batchRows: 4_096,
          firstEpoch: this.#epoch,
          nowMs: from?.state.nowMs ?? now,
          from: from?.state,
          output: (_epoch, block) => this.#blocks.push(block),
          sample: (sample) => this.samples.push(sample),
        }),
    );
  }

  /**
   * Rows of a source, in order, into one of its partitions (default: drawn from the seed for each row, or 0 without a seed). `source` is
   * the source itself, its number, its name or its topic; it may be left out where there is one source.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when a row does not fit the source's schema; what user functions throw
   */
  send(rows: readonly AnyRow[], options?: { partition?: number }): void;
  send(source: Source | number | string, rows: readonly AnyRow[], options?: { partition?: number }): void;
  send(first: Source | number | string | readonly AnyRow[], second?: readonly AnyRow[] | { partition?: number }, third?: { partition?: number }): void {
    const isShort = Array.isArray(first);
    const rows = (isShort ? first : second) as readonly AnyRow[];
    const source = isShort
      ? 0
      : endpointIndex(
          this.#given.sources.map((plan) => plan.source),
          first as Source | number | string,
          'send() names the source',
        );
    const partition = ((isShort ? second : third) as { partition?: number } | undefined)?.partition;
    if (partition === undefined && this.#seed !== undefined) {
      this.#spread(source, rows);
      return;
    }
    const chosen = partition ?? 0;
    if (!(Number.isInteger(chosen) && chosen >= 0 && chosen < this.#partitions)) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `send() names partition ${shown(chosen)}; there are ${this.#partitions}. Make more with testDriver(pipeline, { partitions }).`,
      );
    }
    this.#scan(source, chosen, rows);
  }

  /**
   * Moves the clock on.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION when it is no whole number of milliseconds, or would move back
   */
  advanceTime(ms: number): void {
    if (!(Number.isSafeInteger(ms) && ms >= 0)) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `advanceTime() got ${shown(ms)}. Give whole milliseconds, from 0 on: the clock of a job never goes back.`);
    }
    this.#now += ms;
  }

  /** Ends the epoch: windows close as far as the watermark allows, and results come out. */
  endEpoch(): void {
    this.#end((global) =>
      this.#now - (this.#lastRowsAt[global] as number) >= idleMsOf(this.#plan, Math.floor(global / this.#partitions)) ? PARTITION_IDLE : PARTITION_ACTIVE,
    );
  }

  /** The end of all input: everything that is open comes out. */
  close(): void {
    this.#end(() => PARTITION_ENDED);
    this.#isOver = true;
  }

  /**
   * What came out so far at a sink, by the sink itself, its number, its name or its topic; default the first. A restored driver begins with nothing: what came out before
   * the snapshot came out of the first one.
   */
  output(sink: Sink | number | string = 0): readonly AnyRow[] {
    const index = endpointIndex(
      this.#given.sinks.map((plan) => plan.sink),
      sink,
      'output() names the sink',
    );
    const rows = this.#outputs[index] as readonly AnyRow[];
    const underWay = this.#blocks.filter((block) => block.sink === index);
    return underWay.length === 0 ? rows : [...rows, ...orderBlocks(underWay).flatMap(({ address }) => this.#kept[address] as readonly AnyRow[])];
  }

  /** The state of a running aggregate that the pipeline names with `.as(name)`, as of the last epoch that was ended: as `job.view`. */
  view<R = AnyRow>(name: string): View<R> {
    return this.#views.get<R>(name);
  }

  /** Rows that no result counts, by reason, and rows in. */
  get counts(): ReadonlyMap<CounterName, number> {
    return new Map(COUNTER_NAMES.map((name) => [name, this.#counters.reduce((sum, counters) => sum + counters.get(name), 0)]));
  }

  /**
   * The whole state as of the end of the last epoch. A driver that goes on from it gives the same results as this one, with any number of
   * shards. Taking it changes nothing.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION between `send` and `endEpoch`, after `close`, and after a failure; ERR_MILLRACE_USER_FUNCTION when the
   *   state of a user function cannot be copied
   * @example
   * const perPage = pipeline('t').from(memory([], { schema: { page: utf8 } })).keyBy('page').count().to(collect());
   * const driver = testDriver(perPage);
   * driver.send([{ page: '/a' }, { page: '/a' }]);
   * driver.endEpoch();
   * const restored = testDriver(perPage, { from: structuredClone(driver.snapshot()), shards: 4 });
   * restored.send([{ page: '/a' }]);
   * restored.endEpoch();
   * restored.output(); // [{ page: '/a', count: 3 }]
   */
  snapshot(): DriverSnapshot {
    if (this.#isOver || this.#isWorking || !this.#isBetweenEpochs) {
      const reason = this.#isOver
        ? 'of a driver that was closed: its input has ended, and nothing can go on from it'
        : this.#isWorking
          ? 'after a failure: what failed has changed a part of the state. Take it before'
          : 'within an epoch: rows were sent since the last endEpoch(), and state is whole between two epochs only. Call endEpoch() first';
      throw new MillraceError('ERR_MILLRACE_OPTION', `snapshot() ${reason}.`);
    }
    return {
      ...this.#head,
      clockMs: this.#now,
      partitions: this.#partitions,
      seed: this.#seed,
      rowsDrawn: this.#rowsDrawn,
      chunks: this.#chunks,
      inputs: this.#positions.map((position, global) => ({
        position,
        sequence: this.#sequences[global] as number,
        lastRowsAtMs: this.#lastRowsAt[global] as number,
        counts: [...(this.#counters[global] as Counters<CounterName>).snapshot()],
      })),
      state: joinStates(this.#engines.map((engine) => engine.snapshot())),
    };
  }

  #spread(source: number, rows: readonly AnyRow[]): void {
    const parts = Array.from({ length: this.#partitions }, (): AnyRow[] => []);
    for (const row of rows) {
      this.#partitionRng.seek(this.#rowsDrawn++);
      (parts[this.#partitionRng.int(this.#partitions)] as AnyRow[]).push(row);
    }
    parts.forEach((part, partition) => {
      if (part.length > 0) this.#scan(source, partition, part);
    });
  }

  #scan(source: number, partition: number, rows: readonly AnyRow[]): void {
    this.#mustBeWhole();
    const global = source * this.#partitions + partition;
    const first = this.#positions[global] as number;
    const next = first + rows.length;
    this.#pending.push({ rows, first });
    this.#positions[global] = next;
    this.#lastRowsAt[global] = this.#now;
    this.#engineRng.seek(this.#chunks++);
    const engine = this.#engines[this.#engineRng.int(this.#engines.length)] as Engine;
    this.#isBetweenEpochs = false;
    this.#isWorking = true;
    this.#rowsSent[source] = (this.#rowsSent[source] as number) + rows.length;
    this.#balance.give(source, 0);
    this.#startMs ??= this.#now;
    engine.stampAt(this.#startMs);
    engine.scan(source, { partition, address: 0, byteLength: 0, first, next }, this.#sequences[global] as number);
    this.#isWorking = false;
    (this.#sequences[global] as number)++;
  }

  #end(state: (global: number) => number): void {
    if (this.#isOver) throw new MillraceError('ERR_MILLRACE_OPTION', 'The driver was closed: its input has ended.');
    this.#mustBeWhole();
    for (let global = 0; global < this.#positions.length; global++) this.#control.setPartition(this.#epoch, global, state(global));
    for (const engine of this.#engines) engine.stampAt(this.#startMs ?? this.#now);
    this.#startMs = undefined;
    this.#isWorking = true;
    const steps = this.#engines.map((engine) => engine.endEpoch(this.#epoch, this.#now));
    // What a barrier is between workers: each takes a step before any takes the next one.
    while (steps.map((step) => step.next().done === true).includes(false));
    this.#balance.end(this.#epoch, this.#rowsSent);
    this.#rowsSent = this.#rowsSent.map(() => 0);
    this.#balance.check(this.#epoch, this.#control);
    this.#epoch++;
    for (const { sink, address } of orderBlocks(this.#blocks)) (this.#outputs[sink] as AnyRow[]).push(...(this.#kept[address] as readonly AnyRow[]));
    this.#blocks.length = 0;
    this.#kept.length = 0;
    this.#isWorking = false;
    this.#isBetweenEpochs = true;
  }

  #mustBeWhole(): void {
    if (!this.#isWorking) return;
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      'This driver has failed before, half way through some rows, as a job does that ends. Make another one; from: a snapshot, to go on from there.',
    );
  }
}
