// A single-threaded harness around combiners and shards, and the naive model that they are compared with. Not a test.

import { deserialize, serialize } from 'node:v8';
import { type AnyRow, type Batch, BatchBuilder, createMemory, type Schema, SHARD_COUNT, SlabAllocator, Watermark } from '../../core/index.ts';
import {
  AggregateExchange,
  type AggregatePlan,
  Combiner,
  orderExchangeBlocks,
  ResultWriter,
  type ShardAggregate,
  type ShardSnapshot,
  shardAggregate,
  type WindowSpec,
} from '../../operators/index.ts';
import { travelled } from './travelled.ts';

export interface Chunk {
  readonly partition: number;
  readonly first: number;
  readonly rows: readonly AnyRow[];
}
export type Epoch = readonly Chunk[];

export interface Result {
  readonly epoch: number;
  readonly shard: number;
  readonly row: AnyRow;
}

export interface RunOptions {
  readonly combiners: number;
  /** Which combiner takes the n-th chunk, and in which order the chunks of an epoch are scanned. */
  readonly spread: (chunk: number) => number;
  readonly batchRows: number;
  readonly delayMs: number;
  readonly partitions: number;
  /** Take the state out, as bytes, and go on in new shards after this epoch. */
  readonly restoreAfter?: number;
  readonly slabs?: SlabAllocator;
  /** Blocks travel in so many parts, as between processes. Default: they stay where they are. */
  readonly parts?: number;
}

export interface RunOutcome {
  readonly results: Result[];
  readonly late: AnyRow[];
  readonly leakedBytes: number;
}

let shared: SlabAllocator | undefined;

/** Runs the epochs through `combiners` combiners and 64 shards. */
export function runEpochs(plan: AggregatePlan, epochs: readonly Epoch[], options: RunOptions): RunOutcome {
  shared ??= new SlabAllocator(createMemory(256 << 20));
  const slabs = options.slabs ?? shared;
  const { memory } = slabs;
  const before = slabs.usage().usedBytes;
  const late: AnyRow[] = [];
  const results: Result[] = [];
  const combiners = Array.from(
    { length: options.combiners },
    () =>
      new Combiner(slabs, plan, {
        late(batch, rows) {
          const all = batch.toRows();
          for (const row of rows) late.push(all[row] as AnyRow);
        },
      }),
  );
  const writer = new ResultWriter(slabs, plan);
  const makeShards = (from?: ShardSnapshot[]) => Array.from({ length: SHARD_COUNT }, (_, shard) => shardAggregate(slabs, plan, shard, writer, from?.[shard]));
  let shards: ShardAggregate[] = makeShards();
  const watermark = new Watermark({ delayMs: options.delayMs }, options.partitions);
  const builder = new BatchBuilder(slabs, plan.input, options.batchRows);
  let chunkIndex = 0;
  const emitTo = (epoch: number, shard: number) => (batch: Batch) => {
    for (const row of batch.toRows()) results.push({ epoch, shard, row });
  };
  epochs.forEach((epoch, e) => {
    for (const combiner of combiners) combiner.beginEpoch({ watermark: watermark.current, timeBound: Number.POSITIVE_INFINITY });
    let blocks: number[] = [];
    for (const chunk of epoch) {
      const combiner = combiners[options.spread(chunkIndex++) % options.combiners] as Combiner;
      combiner.beginChunk({ source: 0, partition: chunk.partition, first: chunk.first });
      for (const batch of batchesOf(builder, chunk.rows)) combiner.add(batch);
      watermark.observe(chunk.partition, combiner.endChunk().maxTimeMs);
    }
    for (const combiner of combiners) blocks.push(...combiner.takeBlocks());
    if (options.parts !== undefined) blocks = travelled(slabs, new AggregateExchange(plan), blocks, options.parts);
    orderExchangeBlocks(memory, blocks);
    const now = watermark.advance();
    shards.forEach((shard, s) => {
      for (const block of blocks) shard.merge(block);
      shard.advance(now, emitTo(e, s));
    });
    for (const block of blocks) slabs.free(block);
    if (options.restoreAfter === e) {
      const snapshots = shards.map((shard) => deserialize(serialize(shard.snapshot())) as ShardSnapshot);
      for (const shard of shards) shard.release();
      shards = makeShards(snapshots);
    }
  });
  shards.forEach((shard, s) => {
    shard.close(emitTo(epochs.length, s));
    shard.release();
  });
  for (const combiner of combiners) combiner.release();
  builder.release();
  writer.release();
  return { results, late, leakedBytes: slabs.usage().usedBytes - before };
}

function* batchesOf(builder: BatchBuilder, rows: readonly AnyRow[]): Generator<Batch> {
  for (let at = 0; at < rows.length; at += builder.capacity) {
    builder.reset();
    for (const row of rows.slice(at, at + builder.capacity)) builder.appendRow(row);
    yield builder.finish();
  }
}

/** `bounds`: of the window; 0, 0 where there is none. */
export type ModelAggregate = (rows: readonly AnyRow[], bounds: { readonly start: number; readonly end: number }) => unknown;

export interface ModelOptions {
  readonly keys: readonly string[];
  readonly aggregates: Readonly<Record<string, ModelAggregate>>;
  /** `stepMs`: cumulative windows, whose size is a multiple of it; then the slide is the size. */
  readonly window?: { readonly sizeMs: number; readonly slideMs: number; readonly offsetMs: number; readonly stepMs?: number; readonly spec: WindowSpec };
  readonly delayMs: number;
  readonly partitions: number;
}

interface ModelWindow {
  readonly start: number;
  readonly end: number;
  readonly groups: Map<string, { rows: AnyRow[]; changed: boolean }>;
  /** It has come out on time. */
  isOut?: boolean;
}

/** The meaning of windows, written down with arrays: every row is put into every window that it belongs to. */
export function modelEpochs(epochs: readonly Epoch[], options: ModelOptions): { results: { epoch: number; row: AnyRow }[]; late: AnyRow[] } {
  const { keys, aggregates, window } = options;
  const late: AnyRow[] = [];
  const results: { epoch: number; row: AnyRow }[] = [];
  const windows = new Map<string, ModelWindow>();
  const latenessMs = window?.spec.latenessMs ?? 0;
  const maxima = new Array<number>(options.partitions).fill(Number.NEGATIVE_INFINITY);
  let watermark = Number.NEGATIVE_INFINITY;
  const emit = (epoch: number, of: ModelWindow, rows: readonly AnyRow[]) => {
    const row: Record<string, unknown> = Object.fromEntries(keys.map((key) => [key, (rows[0] as AnyRow)[key]]));
    if (window !== undefined) Object.assign(row, { windowStart: of.start, windowEnd: of.end });
    for (const name of Object.keys(aggregates)) row[name] = (aggregates[name] as ModelAggregate)(rows, of);
    results.push({ epoch, row });
  };
  const endEpoch = (epoch: number) => {
    const emission = window?.spec.emission ?? 'update';
    for (const one of [...windows.values()].sort((a, b) => a.start - b.start)) {
      const isClosed = window !== undefined && one.end + latenessMs <= watermark;
      const isOnTime = one.isOut !== true && one.end <= watermark;
      one.isOut ||= isOnTime;
      for (const group of one.groups.values()) {
        const isDue = emission === 'final' ? isClosed : emission === 'update' ? group.changed : isOnTime || (one.isOut && group.changed);
        if (isDue) emit(epoch, one, group.rows);
        group.changed = false;
      }
      if (isClosed) windows.delete(`${one.start} ${one.end}`);
    }
  };
  epochs.forEach((epoch, e) => {
    for (const { partition, rows } of epoch) {
      for (const row of rows) {
        const time = row.at as number | null;
        if (time !== null && time > (maxima[partition] as number)) maxima[partition] = time;
        const spans: [number, number][] = [];
        if (window === undefined) spans.push([0, 0]);
        else if (time !== null) {
          for (
            let start = Math.floor((time - window.offsetMs) / window.slideMs) * window.slideMs + window.offsetMs;
            start > time - window.sizeMs;
            start -= window.slideMs
          ) {
            for (let end = start + (window.stepMs ?? window.sizeMs); end <= start + window.sizeMs; end += window.stepMs ?? window.sizeMs) {
              if (end > time && end + latenessMs > watermark) spans.push([start, end]);
            }
          }
        }
        if (spans.length === 0) late.push(row);
        for (const [start, end] of spans) {
          const of = windows.get(`${start} ${end}`) ?? { start, end, groups: new Map() };
          windows.set(`${start} ${end}`, of);
          const key = keyText(row, keys);
          const group = of.groups.get(key) ?? { rows: [], changed: false };
          of.groups.set(key, group);
          group.rows.push(row);
          group.changed = true;
        }
      }
    }
    watermark = Math.max(watermark, Math.min(...maxima) - options.delayMs);
    endEpoch(e);
  });
  watermark = Number.POSITIVE_INFINITY;
  endEpoch(epochs.length);
  return { results, late };
}

/** A row's key, or a whole row, as text in which all values that differ differ. -0 counts as 0. */
export function keyText(row: AnyRow, columns: readonly string[]): string {
  return columns
    .map((column) => {
      const value = row[column];
      if (typeof value === 'number') return `n${value === 0 ? 0 : value}`;
      return `${typeof value}${String(value)}`;
    })
    .map((text) => JSON.stringify(text))
    .join(' ');
}

/** All results of an epoch in a normal order, as text. */
export function normal(results: readonly { readonly epoch: number; readonly row: AnyRow }[], schema: Schema): string[] {
  const columns = schema.fields.map((field) => field.name);
  return results.map(({ epoch, row }) => `${String(epoch).padStart(4, '0')} ${keyText(row, columns)}`).sort();
}
