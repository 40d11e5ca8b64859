/**
 * `millrace/testing`: a pipeline on the calling thread, with a manual clock, for tests. It is the same plan and the same
 * engine as a job's, without threads, sources and sinks: rows go in by hand, epochs end by hand, results are arrays.
 * Needs no test runner.
 */

import { type AnyRow, type Batch, BatchBuilder, Counters, createMemory, MillraceError, type Schema, SlabAllocator, shown } from '../core/index.ts';
import type { ChunkDecoder, DecoderContext, Sink, Source } from '../io/index.ts';
import { Control, PARTITION_ACTIVE, PARTITION_ENDED, PARTITION_IDLE } from './control.ts';
import { Engine } from './engine.ts';
import { graphOf, type PipelineLike } from './graph.ts';
import { makePlan, type Plan, type SinkPlan, type SourcePlan } from './plan.ts';
import type { LedgerSample } from './pool.ts';
import { COUNTER_NAMES, type CounterName } from './progress.ts';

export interface TestDriverOptions {
  /** Partitions that each source has (default 4). */
  readonly partitions?: number;
  /** The clock at the start, ms since 1970 (default 0). */
  readonly now?: number;
  /** Shared memory, bytes (default 64 MiB). */
  readonly memoryBytes?: number;
  /** False: run user functions without generated code. */
  readonly codeGeneration?: boolean;
}

/**
 * @param pipeline what a pipeline module exports by default: a pipeline or a stream of one
 * @throws MillraceError ERR_MILLRACE_PIPELINE when it cannot be run as written
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
  readonly #plan: Plan;
  readonly #engine: Engine;
  readonly #control: Control;
  readonly #partitions: number;
  readonly #counters: Counters<CounterName>[];
  readonly #pending: { rows: readonly AnyRow[]; first: number }[] = [];
  readonly #positions: number[];
  readonly #sequences: number[];
  readonly #lastRowsAt: number[];
  readonly #outputs: AnyRow[][];
  readonly samples: LedgerSample[] = [];
  #epoch = 0;
  #now: number;
  #isOver = false;

  constructor(plan: Plan, options: TestDriverOptions) {
    this.#partitions = options.partitions ?? 4;
    this.#now = options.now ?? 0;
    this.#outputs = plan.sinks.map(() => []);
    this.#plan = {
      ...plan,
      sources: plan.sources.map((source): SourcePlan => ({ ...source, source: handFed(source.source, this.#pending) })),
      sinks: plan.sinks.map((sink, index): SinkPlan => ({ ...sink, sink: kept(sink.sink, this.#outputs[index] as AnyRow[]) })),
    };
    const memory = createMemory(options.memoryBytes ?? 64 << 20);
    const slabs = new SlabAllocator(memory);
    const partitionCount = plan.sources.length * this.#partitions;
    this.#positions = Array(partitionCount).fill(0);
    this.#sequences = Array(partitionCount).fill(0);
    this.#lastRowsAt = Array(partitionCount).fill(this.#now);
    const shape = { workers: 1, partitions: partitionCount, watermarks: plan.watermarks.length, exchanges: plan.exchanges.length };
    this.#control = new Control(memory, slabs.alloc(Control.bytesFor(shape)), shape);
    this.#control.clear();
    this.#counters = Array.from({ length: partitionCount }, () => Counters.create(memory, slabs.alloc(Counters.bytesFor(COUNTER_NAMES)), COUNTER_NAMES));
    this.#engine = new Engine({
      plan: this.#plan,
      memory,
      slabs,
      control: this.#control,
      worker: 0,
      partitions: plan.sources.map(() => this.#partitions),
      committed: plan.sources.map(() => []),
      sinks: plan.sinks.map(() => ({ partitionCount: 1 })),
      counters: this.#counters,
      batchRows: 4_096,
      output: () => {},
      sample: (sample) => this.samples.push(sample),
    });
  }

  /**
   * Rows of a source, in order, into one of its partitions (default 0). `source` is its number or name; it may be left
   * out where there is one source.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when a row does not fit the source's schema; what user functions throw
   */
  send(rows: readonly AnyRow[], options?: { partition?: number }): void;
  send(source: number | string, rows: readonly AnyRow[], options?: { partition?: number }): void;
  send(first: number | string | readonly AnyRow[], second?: readonly AnyRow[] | { partition?: number }, third?: { partition?: number }): void {
    const isShort = Array.isArray(first);
    const rows = (isShort ? first : second) as readonly AnyRow[];
    const source = isShort ? 0 : this.#sourceIndex(first as number | string);
    const partition = ((isShort ? second : third) as { partition?: number } | undefined)?.partition ?? 0;
    if (!(Number.isInteger(partition) && partition >= 0 && partition < this.#partitions)) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `send() names partition ${shown(partition)}; there are ${this.#partitions}. Make more with testDriver(pipeline, { partitions }).`,
      );
    }
    const global = source * this.#partitions + partition;
    const from = this.#positions[global] as number;
    const next = from + rows.length;
    this.#pending.push({ rows, first: from });
    this.#positions[global] = next;
    this.#lastRowsAt[global] = this.#now;
    this.#engine.scan(source, { partition, address: 0, byteLength: 0, first: from, next }, this.#sequences[global] as number);
    (this.#sequences[global] as number)++;
  }

  /** Moves the clock on. */
  advanceTime(ms: number): void {
    this.#now += ms;
  }

  /** Ends the epoch: windows close as far as the watermark allows, and results come out. */
  endEpoch(): void {
    this.#end((global) =>
      this.#now - (this.#lastRowsAt[global] as number) >= this.#idleMs(Math.floor(global / this.#partitions)) ? PARTITION_IDLE : PARTITION_ACTIVE,
    );
  }

  /** The end of all input: everything that is open comes out. */
  close(): void {
    this.#end(() => PARTITION_ENDED);
    this.#isOver = true;
  }

  /** What came out so far at a sink, by its number or name; default the first. */
  output(sink: number | string = 0): readonly AnyRow[] {
    const index = typeof sink === 'number' ? sink : this.#plan.sinks.findIndex((plan) => plan.sink.name === sink);
    const rows = this.#outputs[index];
    if (rows === undefined)
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `output() names the sink ${shown(sink)}; there are ${this.#plan.sinks.map((plan) => plan.sink.name).join(', ')}.`,
      );
    return rows;
  }

  /** Rows that no result counts, by reason, and rows in. */
  get counts(): ReadonlyMap<CounterName, number> {
    return new Map(COUNTER_NAMES.map((name) => [name, this.#counters.reduce((sum, counters) => sum + counters.get(name), 0)]));
  }

  #end(state: (global: number) => number): void {
    if (this.#isOver) throw new MillraceError('ERR_MILLRACE_OPTION', 'The driver was closed: its input has ended.');
    for (let global = 0; global < this.#positions.length; global++) this.#control.setPartition(this.#epoch, global, state(global));
    this.#engine.endEpoch(this.#epoch, this.#now);
    this.#epoch++;
  }

  #idleMs(source: number): number {
    return Math.min(
      Number.POSITIVE_INFINITY,
      ...this.#plan.watermarks
        .filter((watermark) => watermark.sources.includes(source))
        .map((watermark) => watermark.strategy.idleMs ?? Number.POSITIVE_INFINITY),
    );
  }

  #sourceIndex(source: number | string): number {
    const index = typeof source === 'number' ? source : this.#plan.sources.findIndex((plan) => plan.source.name === source);
    if (this.#plan.sources[index] === undefined)
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `send() names the source ${shown(source)}; there are ${this.#plan.sources.map((plan) => plan.source.name).join(', ')}.`,
      );
    return index;
  }
}

/** A source whose chunks are the rows that were sent by hand. */
function handFed(source: Source, pending: { rows: readonly AnyRow[]; first: number }[]): Source {
  return {
    ...source,
    name: source.name,
    schema: source.schema,
    bounded: true,
    open: source.open,
    decoder: (context) => new HandFedDecoder(context, source.schema, pending),
  };
}

class HandFedDecoder implements ChunkDecoder {
  readonly #builder: BatchBuilder;
  readonly #pending: { rows: readonly AnyRow[]; first: number }[];
  #rows: readonly AnyRow[] = [];
  #at = 0;
  #first = 0;
  #batchAt = 0;

  constructor(context: DecoderContext, schema: Schema, pending: { rows: readonly AnyRow[]; first: number }[]) {
    this.#builder = new BatchBuilder(context.slabs, schema, context.batchRows);
    this.#pending = pending;
  }

  open(): void {
    const { rows, first } = this.#pending.shift() as { rows: readonly AnyRow[]; first: number };
    this.#rows = rows;
    this.#first = first;
    this.#at = 0;
  }

  next(): Batch | undefined {
    if (this.#at >= this.#rows.length) return undefined;
    this.#builder.reset();
    this.#batchAt = this.#at;
    while (this.#at < this.#rows.length && this.#builder.rowCount < this.#builder.capacity) this.#builder.appendRow(this.#rows[this.#at++] as AnyRow);
    return this.#builder.finish();
  }

  offsetOf(row: number): number {
    return this.#first + this.#batchAt + row;
  }
}

/** A sink that keeps its rows. */
function kept(sink: Sink, rows: AnyRow[]): Sink {
  return {
    ...sink,
    name: sink.name,
    check: () => {},
    open: sink.open,
    encoder: () => ({ write: (batch) => void rows.push(...batch.toRows()), flush: () => {} }),
  };
}
