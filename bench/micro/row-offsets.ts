/**
 * What it costs that rows on their way to functions by key carry where they were read: batches behind a filter
 * through the row partitioner, with offsets and without, in rounds that alternate.
 *
 *   node --import tsx bench/micro/row-offsets.ts [--rows 1048576] [--tiny]
 *
 * The offset of every row of the last block is compared with the one that it was given.
 */

import { type Batch, BatchBuilder, createMemory, f64, SHARD_COUNT, SlabAllocator, schema, utf8 } from '../../core/index.ts';
import { offsetInShard, planRows, RowPartitioner, shardRows } from '../../operators/index.ts';

const BATCH_ROWS = 4_096;
const ROUNDS = 60;
const isTiny = process.argv.includes('--tiny');
const rowsAt = process.argv.indexOf('--rows');
const rowCount = isTiny ? BATCH_ROWS * 4 : rowsAt > 0 ? Number(process.argv[rowsAt + 1]) : 1 << 20;

const slabs = new SlabAllocator(createMemory(256 << 20));
const { memory } = slabs;
const input = schema({ key: utf8, offset: f64, n: f64 });
const builder = new BatchBuilder(slabs, input, BATCH_ROWS);
for (let row = 0; row < BATCH_ROWS; row++) builder.appendRow({ key: `user-${(row * 7_919) % 1_000}`, offset: row * 2, n: row % 10 });
const batch = builder.finish();
const offsets = batch.column(1).data >>> 3;
const program = planRows(input, [{ kind: 'filter', fn: (r) => r.n !== 3 }], 'all').instantiate({ memory, slabs, batchRows: BATCH_ROWS, onError: () => 'fail' });
const stage = {
  inputs: [{ schema: input, keys: [0], columns: [0, 1, 2], eventTime: -1, timeShiftMs: 0 as const }],
  lateBefore: () => Number.NEGATIVE_INFINITY,
};
const offsetOf = (row: number): number => memory.f64[offsets + program.originOf(row)] as number;
const partitioners = [new RowPartitioner(slabs, stage, 0), new RowPartitioner(slabs, stage, 0, { offsetOf })];

function round(partitioner: RowPartitioner): void {
  partitioner.beginEpoch({ watermark: Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
  for (let from = 0; from < rowCount; from += BATCH_ROWS) {
    partitioner.beginChunk({ source: 0, partition: 0, first: 0 });
    program.run(batch, (out: Batch) => void partitioner.add(out));
    partitioner.endChunk();
    for (const block of partitioner.takeBlocks()) {
      if (partitioner === partitioners[1]) verify(block, from === 0);
      slabs.free(block);
    }
  }
}

let verified = 0;
function verify(block: number, isFirst: boolean): void {
  if (verified > 0 || !isFirst) return;
  for (let shard = 0; shard < SHARD_COUNT; shard++) {
    const rows = shardRows(memory, stage.inputs[0] as (typeof stage.inputs)[0], block, shard);
    for (let row = 0; row < (rows?.rowCount ?? 0); row++, verified++) {
      if (offsetInShard(memory, block, shard, row) !== rows?.value(1, row))
        throw new Error(`bench/row-offsets: row ${row} of shard ${shard} has another offset`);
    }
  }
}

const times: number[][] = [[], []];
for (let n = 0; n < (isTiny ? 2 : ROUNDS); n++) {
  for (const which of n % 2 === 0 ? [0, 1] : [1, 0]) {
    const before = process.cpuUsage();
    round(partitioners[which] as RowPartitioner);
    const { user, system } = process.cpuUsage(before);
    times[which]?.push(((user + system) / rowCount) * 1_000);
  }
}
const [without, carried] = times.map((of) => of.sort((a, b) => a - b)).map((of) => `${of[0]?.toFixed(1)} to ${of[of.length >> 1]?.toFixed(1)}`);
console.log(`verified: ${verified} offsets. CPU time a row, least to median: ${without} ns without offsets, ${carried} with`);
