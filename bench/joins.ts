/**
 * Interval join and session windows of one thread, without the rest of a job: rows to blocks, blocks to the shards, results
 * counted. 100,000 keys; text or number keys. The join's rows meet 0.5 or 2 others; the count is checked.
 *
 *   npx tsx bench/joins.ts [rows]
 */

import { type Batch, BatchBuilder, createMemory, f64, type Schema, SHARD_COUNT, SlabAllocator, schema, timestamp, u32, utf8 } from '../core/index.ts';
import {
  blockInput,
  count,
  type KeyedInput,
  type KeyedOperatorPlan,
  orderExchangeBlocks,
  planIntervalJoin,
  planSession,
  RowOutput,
  RowPartitioner,
  session,
  shardRows,
  sum,
} from '../operators/index.ts';

const ROWS = Number(process.argv[2] ?? 1_000_000);
const KEYS = 100_000;
const BATCH_ROWS = 4_096;
const EPOCH_BATCHES = 16;
const ROUNDS = 3;

interface Batches {
  readonly at: (row: number) => number;
  readonly keyOf: (row: number) => string | number;
}

/** Rows a second, and the results of the last round. */
function measure(plan: KeyedOperatorPlan, of: readonly Batches[]): { rowsPerSecond: number; results: number; stateBytes: number } {
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
    });
    const failed = (error: unknown): never => {
      throw error;
    };
    const shards = Array.from({ length: SHARD_COUNT }, (_, shard) => plan.open({ slabs, shard, clock, output, failed }));
    const scatters = plan.inputs.map((_, input) => new RowPartitioner(slabs, plan, input));
    const builders = plan.inputs.map(({ schema }: { schema: Schema }) => new BatchBuilder(slabs, schema, BATCH_ROWS));
    let ms = 0;
    for (let from = 0; from < ROWS; from += BATCH_ROWS * EPOCH_BATCHES) {
      let newest = 0;
      const blocks: number[] = [];
      for (const scatter of scatters) scatter.beginEpoch({ watermark: clock.watermark, timeBound: Number.POSITIVE_INFINITY });
      for (let first = from; first < Math.min(ROWS, from + BATCH_ROWS * EPOCH_BATCHES); first += BATCH_ROWS) {
        scatters.forEach((scatter, input) => {
          const builder = builders[input] as BatchBuilder;
          const { at, keyOf } = of[input] as Batches;
          builder.reset();
          for (let row = first; row < Math.min(ROWS, first + BATCH_ROWS); row++) builder.appendRow({ key: keyOf(row), at: at(row), value: row });
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
          const rows = shardRows(memory, (plan.inputs[input] as KeyedInput).schema, block, shard);
          if (rows !== undefined) operator.onBatch(rows, input);
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
  return { rowsPerSecond: (ROWS * of.length * 1_000) / best, results, stateBytes };
}

function say(name: string, { rowsPerSecond, results, stateBytes }: ReturnType<typeof measure>): void {
  console.log(`${name.padEnd(44)} ${(rowsPerSecond / 1e6).toFixed(2)} M rows/s, ${results} results, state at most ${(stateBytes / (1 << 20)).toFixed(0)} MiB`);
}

/** A row a millisecond, so a key comes every KEYS ms: pairs of rows with equal keys, the right's `behind` to `behind + span` rows after. */
function pairCount(spanMs: number): number {
  let pairs = 0;
  for (let gap = 0; gap <= spanMs; gap += KEYS) pairs += Math.max(0, ROWS - gap);
  return pairs;
}

for (const keyType of [u32, utf8]) {
  const keyOf = keyType === u32 ? (row: number) => (row * 7_919) % KEYS : (row: number) => `customer-${(row * 7_919) % KEYS}`;
  const side = { schema: schema({ key: keyType, at: timestamp, value: f64 }), keys: ['key'], eventTime: 'at', timeShiftMs: 0 } as const;
  const rows = { at: (row: number) => row, keyOf };
  for (const spanMs of [50_000, 150_000]) {
    const plan = planIntervalJoin({ left: side, right: side, type: 'inner', suffix: '_right', beforeMs: 0, afterMs: spanMs });
    const measured = measure(plan, [rows, rows]);
    if (measured.results !== pairCount(spanMs)) throw new Error(`${measured.results} results, ${pairCount(spanMs)} expected`);
    say(`interval join of ${spanMs / 1_000} s, ${keyType.name} keys`, measured);
  }
  const plan = planSession({
    input: side.schema,
    keys: ['key'],
    aggregates: { rows: count(), total: sum('value') },
    window: session(KEYS / 2),
    eventTime: 'at',
  });
  // Each key in runs of ten rows, then a pause.
  const runs = { at: (row: number) => row, keyOf: (row: number) => keyOf(Math.floor(row / 20_000) * 2_000 + (row % 2_000)) };
  say(`sessions, ${keyType.name} keys`, measure(plan, [runs]));
}
