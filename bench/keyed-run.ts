/**
 * A keyed operator on one thread, without the rest of a job: rows to blocks, blocks to the 64 shards, results
 * counted. The best of three rounds. It is used by the benches joins.ts, micro/aggregators.ts and micro/over.ts.
 */

import { type Batch, BatchBuilder, createMemory, type Schema, SHARD_COUNT, SlabAllocator } from '../core/index.ts';
import {
  blockInput,
  exchangeBlockOrigin,
  type KeyedInput,
  type KeyedOperatorPlan,
  orderExchangeBlocks,
  RowOutput,
  RowPartitioner,
  shardRows,
} from '../operators/index.ts';

const BATCH_ROWS = 4_096;
const EPOCH_BATCHES = 16;
const ROUNDS = 3;

export interface Batches {
  readonly at: (row: number) => number;
  readonly keyOf: (row: number) => string | number;
}

/** Rows per second, and the results of the last round. `see` receives every batch of results. */
export function measure(
  plan: KeyedOperatorPlan,
  of: readonly Batches[],
  rowCount: number,
  see: (batch: Batch) => void = () => {},
): { rowsPerSecond: number; results: number; stateBytes: number } {
  let best = Number.POSITIVE_INFINITY;
  let results = 0;
  let stateBytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const slabs = new SlabAllocator(createMemory(1 << 30));
    const { memory } = slabs;
    results = 0;
    const clock = { epoch: 0, nowMs: 0, watermark: Number.NEGATIVE_INFINITY };
    const output = new RowOutput(slabs, plan.output, (batch: Batch) => {
      results += batch.rowCount;
      see(batch);
    });
    const failed = (error: unknown): never => {
      throw error;
    };
    const shards = Array.from({ length: SHARD_COUNT }, (_, shard) =>
      plan.open({ slabs, shard, clock, output, atWork: new Int32Array(1), failures: { areSkipped: false, skip: failed } }),
    );
    const scatters = plan.inputs.map((_, input) => new RowPartitioner(slabs, plan, input));
    const builders = plan.inputs.map(({ schema }: { schema: Schema }) => new BatchBuilder(slabs, schema, BATCH_ROWS));
    let ms = 0;
    for (let from = 0; from < rowCount; from += BATCH_ROWS * EPOCH_BATCHES) {
      let newest = 0;
      const blocks: number[] = [];
      for (const scatter of scatters) scatter.beginEpoch({ watermark: clock.watermark, timeBound: Number.POSITIVE_INFINITY });
      for (let first = from; first < Math.min(rowCount, from + BATCH_ROWS * EPOCH_BATCHES); first += BATCH_ROWS) {
        scatters.forEach((scatter, input) => {
          const builder = builders[input] as BatchBuilder;
          const { at, keyOf } = of[input] as Batches;
          builder.reset();
          for (let row = first; row < Math.min(rowCount, first + BATCH_ROWS); row++) builder.appendRow({ key: keyOf(row), at: at(row), value: row });
          const batch = builder.finish();
          const start = performance.now();
          scatter.beginChunk({ source: input, partition: 0, first });
          scatter.add(batch);
          scatter.endChunk();
          ms += performance.now() - start;
        });
        newest = first;
      }
      const start = performance.now();
      for (const scatter of scatters) blocks.push(...scatter.takeBlocks());
      orderExchangeBlocks(memory, blocks);
      shards.forEach((operator, shard) => {
        for (const block of blocks) {
          const input = blockInput(memory, block);
          const rows = shardRows(memory, plan.inputs[input] as KeyedInput, block, shard);
          if (rows !== undefined) operator.onBatch(rows, input, exchangeBlockOrigin(memory, block));
        }
        operator.onWatermark(newest);
        output.flush();
      });
      clock.watermark = newest;
      for (const block of blocks) slabs.free(block);
      ms += performance.now() - start;
      stateBytes = Math.max(
        stateBytes,
        shards.reduce((bytes, operator) => bytes + operator.stateBytes, 0),
      );
    }
    best = Math.min(best, ms);
  }
  return { rowsPerSecond: (rowCount * of.length * 1_000) / best, results, stateBytes };
}

export function say(name: string, { rowsPerSecond, results, stateBytes }: ReturnType<typeof measure>): void {
  console.log(`${name.padEnd(44)} ${(rowsPerSecond / 1e6).toFixed(2)} M rows/s, ${results} results, state at most ${(stateBytes / (1 << 20)).toFixed(0)} MiB`);
}
