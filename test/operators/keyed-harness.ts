// A single-threaded harness around row partitioners and the shards of a keyed operator: what the engine does, with chunks
// spread over several partitioners, and shards that can be taken out and restored between epochs. Not a test.

import { type AnyRow, type Batch, BatchBuilder, createMemory, SHARD_COUNT, SlabAllocator, Watermark } from '../../core/index.ts';
import {
  blockInput,
  type EpochClock,
  exchangeBlockOrigin,
  type KeyedInput,
  type KeyedOperator,
  type KeyedOperatorPlan,
  orderExchangeBlocks,
  RowOutput,
  RowPartitioner,
  shardRows,
} from '../../operators/index.ts';

export interface KeyedChunk {
  readonly partition: number;
  readonly first: number;
  /** Input of the operator; default 0. */
  readonly input?: number;
  readonly rows: readonly AnyRow[];
}

export interface KeyedEpoch {
  readonly chunks: readonly KeyedChunk[];
  readonly nowMs: number;
}

export interface KeyedRunOptions {
  /** Partitioners that scan; which one takes the n-th chunk. */
  readonly workers: number;
  readonly spread: (chunk: number) => number;
  readonly batchRows: number;
  readonly partitions: number;
  /** Undefined: no event time. */
  readonly delayMs?: number;
  /** Replaces all shards by new ones made from their snapshots, in another memory, after this epoch. */
  readonly restoreAfter?: number;
  /** The watermark at the start: as committed, after a restart. */
  readonly watermark?: number;
  /** The rows of these first epochs are read again after a restart. Default: of none. */
  readonly replayedEpochs?: number;
  /** End of the input behind the last epoch; default true. */
  readonly closes?: boolean;
}

export interface KeyedRun {
  readonly results: { readonly epoch: number; readonly row: AnyRow }[];
  readonly late: AnyRow[];
  readonly leakedBytes: number;
  readonly stateBytes: number;
}

/** Where runs begin, and where they go on after a restore: two memories, so that no snapshot can name what lies in the first. */
let memories: readonly [SlabAllocator, SlabAllocator] | undefined;

/** Everything of a run that lies in one memory. */
class Site {
  readonly slabs: SlabAllocator;
  readonly workers: readonly (readonly RowPartitioner[])[];
  readonly builders: readonly BatchBuilder[];
  readonly output: RowOutput;
  shards: readonly KeyedOperator[];
  readonly #before: number;

  constructor(
    slabs: SlabAllocator,
    plan: KeyedOperatorPlan,
    options: KeyedRunOptions,
    clock: EpochClock,
    late: (batch: Batch, rows: Uint32Array) => void,
    isReplayed: () => boolean,
    emit: (batch: Batch) => void,
    from?: readonly unknown[],
  ) {
    this.#before = slabs.usage().usedBytes;
    this.slabs = slabs;
    this.workers = Array.from({ length: options.workers }, () => plan.inputs.map((_, input) => new RowPartitioner(slabs, plan, input, { late, isReplayed })));
    this.builders = plan.inputs.map((input) => new BatchBuilder(slabs, input.schema, options.batchRows));
    this.output = new RowOutput(slabs, plan.output, emit);
    const skip = (error: unknown): never => {
      throw error;
    };
    const { output } = this;
    this.shards = Array.from({ length: SHARD_COUNT }, (_, shard) =>
      plan.open({ slabs, shard, clock, output, failures: { areSkipped: false, skip }, atWork: new Int32Array(1) }, structuredClone(from?.[shard])),
    );
  }

  /** Gives everything back. Returns the bytes that are still held. */
  release(): number {
    for (const operator of this.shards) operator.release?.();
    this.output.release();
    for (const builder of this.builders) builder.release();
    for (const worker of this.workers) for (const scatter of worker) scatter.release();
    return this.slabs.usage().usedBytes - this.#before;
  }
}

/** Runs epochs of chunks through an operator. Chunks of an epoch may stand in any order: (source, partition, first, input) decides. */
export function runKeyed(plan: KeyedOperatorPlan, epochs: readonly KeyedEpoch[], options: KeyedRunOptions): KeyedRun {
  memories ??= [new SlabAllocator(createMemory(128 << 20)), new SlabAllocator(createMemory(128 << 20))];
  const [first, second] = memories;
  const late: AnyRow[] = [];
  const results: { epoch: number; row: AnyRow }[] = [];
  const clock = { epoch: 0, nowMs: 0, watermark: options.watermark ?? Number.NEGATIVE_INFINITY };
  const site = (slabs: SlabAllocator, from?: readonly unknown[]) =>
    new Site(
      slabs,
      plan,
      options,
      clock,
      (batch, rows) => {
        const all = batch.toRows();
        for (const row of rows) late.push(all[row] as AnyRow);
      },
      () => clock.epoch < (options.replayedEpochs ?? 0),
      (batch) => results.push(...batch.toRows().map((row) => ({ epoch: clock.epoch, row }))),
      from,
    );
  let at = site(first);
  let leakedBytes = 0;
  const watermark = options.delayMs === undefined ? undefined : new Watermark({ delayMs: options.delayMs }, options.partitions);
  const timeOf = plan.inputs.map((input) => input.schema.indexOf('at'));
  let chunkNumber = 0;
  const endEpoch = (next: number, nowMs: number, blocks: readonly number[]): void => {
    const { memory } = at.slabs;
    clock.nowMs = nowMs;
    const start = clock.watermark;
    at.shards.forEach((operator, shard) => {
      clock.watermark = start;
      for (const block of blocks) {
        const input = blockInput(memory, block);
        const rows = shardRows(memory, plan.inputs[input] as KeyedInput, block, shard);
        if (rows !== undefined) operator.onBatch(rows, input, exchangeBlockOrigin(memory, block));
      }
      clock.watermark = next;
      operator.onWatermark(next);
      at.output.flush();
    });
    clock.watermark = next;
    clock.epoch++;
  };
  epochs.forEach((epoch, e) => {
    for (const worker of at.workers) for (const scatter of worker) scatter.beginEpoch({ watermark: clock.watermark, timeBound: Number.POSITIVE_INFINITY });
    const blocks: number[] = [];
    for (const { partition, first, input = 0, rows } of epoch.chunks) {
      const scatter = (at.workers[options.spread(chunkNumber++) % options.workers] as RowPartitioner[])[input] as RowPartitioner;
      scatter.beginChunk({ source: 0, partition, first });
      const builder = at.builders[input] as BatchBuilder;
      for (let from = 0; from < rows.length; from += builder.capacity) {
        builder.reset();
        for (const row of rows.slice(from, from + builder.capacity)) builder.appendRow(row);
        scatter.add(builder.finish());
      }
      scatter.endChunk();
      if ((timeOf[input] as number) >= 0) for (const row of rows) if (row.at !== null) watermark?.observe(partition, row.at as number);
    }
    for (const worker of at.workers) for (const scatter of worker) blocks.push(...scatter.takeBlocks());
    endEpoch(Math.max(clock.watermark, watermark?.advance() ?? Number.NEGATIVE_INFINITY), epoch.nowMs, orderExchangeBlocks(at.slabs.memory, blocks));
    for (const block of blocks) at.slabs.free(block);
    if (options.restoreAfter === e) {
      const snapshots = at.shards.map((operator) => operator.snapshot());
      leakedBytes += at.release();
      at = site(second, structuredClone(snapshots));
    }
  });
  if (options.closes !== false) endEpoch(Number.POSITIVE_INFINITY, epochs.at(-1)?.nowMs ?? 0, []);
  const stateBytes = at.shards.reduce((sum, operator) => sum + operator.stateBytes, 0);
  return { results, late, leakedBytes: leakedBytes + at.release(), stateBytes };
}

/** The rows of an epoch in the order in which the shards see them. */
export function inOrder(epoch: KeyedEpoch): { readonly row: AnyRow; readonly input: number; readonly partition: number }[] {
  return [...epoch.chunks]
    .sort((a, b) => a.partition - b.partition || a.first - b.first || (a.input ?? 0) - (b.input ?? 0))
    .flatMap(({ rows, input = 0, partition }) => rows.map((row) => ({ row, input, partition })));
}

/** A value as text in which all values that differ differ. -0 counts as 0. */
export function shownValue(value: unknown): string {
  if (typeof value === 'number') return `n${value === 0 ? 0 : value}`;
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('hex')}`;
  return `${typeof value}${String(value)}`;
}

/** Results with their epochs, in a normal order: keys of one epoch have none. */
export function normalized(results: readonly { readonly epoch: number; readonly row: AnyRow }[], columns: readonly string[]): string[] {
  return results.map(({ epoch, row }) => `${String(epoch).padStart(4, '0')} ${columns.map((column) => shownValue(row[column])).join(' | ')}`).sort();
}
