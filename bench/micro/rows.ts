/**
 * Row functions beside the hand-written loop: filter, map, sum by a small integer key, over columns.
 *
 *   node --import tsx bench/micro/rows.ts [--rows 1048576] [--tiny]
 *
 * Every variant's sums are compared with a plain loop over JavaScript objects before anything is timed. The
 * variants share one process, but each compiled program has its own code. `row objects` is the cost of a
 * chain of array methods. `unwatched`: without the word that says at which row a function is; what it costs is
 * then printed as nanoseconds of CPU time per row, the least and the median of 60 rounds that alternate.
 */

import { bench, do_not_optimize, run, summary } from 'mitata';
import { type Batch, BatchBuilder, createMemory, f64, i32, SlabAllocator, schema } from '../../core/index.ts';
import { planRows, type RowOperation, type RowPlanOptions } from '../../operators/rows/rows.ts';

const BATCH_ROWS = 4096;
const KEYS = 64;
const isTiny = process.argv.includes('--tiny');
const rowsAt = process.argv.indexOf('--rows');
const rowCount = isTiny ? BATCH_ROWS * 4 : rowsAt > 0 ? Number(process.argv[rowsAt + 1]) : 1 << 20;

const slabs = new SlabAllocator(createMemory(isTiny ? 16 << 20 : Math.max(64 << 20, rowCount * 48)));
const { memory } = slabs;
const input = schema({ key: i32, price: f64, qty: f64, unused: f64 });
const results = schema({ key: i32, revenue: f64 });

const atWork = slabs.alloc(64);
const builders: BatchBuilder[] = [];
let seed = 42;
const random = (): number => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return seed / 2 ** 32;
};
for (let at = 0; at < rowCount; at += BATCH_ROWS) {
  const builder = new BatchBuilder(slabs, input, BATCH_ROWS);
  const [key, price, qty] = builder.columns.map((column) => column.data) as [number, number, number];
  for (let i = 0; i < BATCH_ROWS; i++) {
    memory.i32[(key >>> 2) + i] = Math.floor(random() * KEYS);
    memory.f64[(price >>> 3) + i] = Math.floor(random() * 100);
    memory.f64[(qty >>> 3) + i] = Math.floor(random() * 12);
  }
  builder.rowCount = BATCH_ROWS;
  builders.push(builder);
}
const batches: Batch[] = builders.map((builder) => builder.finish());

const limit = 20;
const expression: RowOperation[] = [
  { kind: 'filter', fn: (r) => r.price > 20 && r.qty < 8 },
  { kind: 'map', schema: results, fn: (r) => ({ key: r.key, revenue: r.price * r.qty }) },
];
const capturing: RowOperation[] = [
  { kind: 'filter', fn: (r) => r.price > limit && r.qty < 8 },
  { kind: 'map', schema: results, fn: (r) => ({ key: r.key, revenue: limit === 20 ? r.price * r.qty : 0 }) },
];

function compiled(operations: readonly RowOperation[], options: RowPlanOptions = {}): () => Float64Array {
  const program = planRows(input, operations, 'all', options).instantiate({
    memory,
    slabs,
    batchRows: BATCH_ROWS,
    onError: () => 'fail',
    atWork: new Int32Array(memory.i32.buffer, atWork, 2),
  });
  const sums = new Float64Array(KEYS);
  const { i32: ints, f64: doubles } = memory;
  const add = (out: Batch): void => {
    const key = out.column(0).data >>> 2;
    const revenue = out.column(1).data >>> 3;
    for (let i = 0; i < out.rowCount; i++) {
      const k = ints[key + i] as number;
      sums[k] = (sums[k] as number) + (doubles[revenue + i] as number);
    }
  };
  return () => {
    sums.fill(0);
    for (const batch of batches) program.run(batch, add);
    return sums;
  };
}

/** What one would write by hand for this query: one loop, nothing in between. */
function byHand(): () => Float64Array {
  const sums = new Float64Array(KEYS);
  const loop = (ints: Int32Array, doubles: Float64Array, key: number, price: number, qty: number, rows: number): void => {
    for (let i = 0; i < rows; i++) {
      const p = doubles[price + i] as number;
      const q = doubles[qty + i] as number;
      if (p > 20 && q < 8) {
        const k = ints[key + i] as number;
        sums[k] = (sums[k] as number) + p * q;
      }
    }
  };
  return () => {
    sums.fill(0);
    for (const batch of batches)
      loop(memory.i32, memory.f64, batch.column(0).data >>> 2, batch.column(1).data >>> 3, batch.column(2).data >>> 3, batch.rowCount);
    return sums;
  };
}

function byObjects(): () => Float64Array {
  const sums = new Float64Array(KEYS);
  return () => {
    sums.fill(0);
    for (const batch of batches) {
      const rows = batch.toRows() as { key: number; price: number; qty: number }[];
      for (const row of rows.filter((r) => r.price > 20 && r.qty < 8).map((r) => ({ key: r.key, revenue: r.price * r.qty })))
        sums[row.key] = (sums[row.key] as number) + row.revenue;
    }
    return sums;
  };
}

const variants: [name: string, run: () => Float64Array][] = [
  ['by hand, one loop', byHand()],
  ['expressions emitted', compiled(expression)],
  ['closures that capture', compiled(capturing)],
  ['closures, unwatched', compiled(capturing, { watched: false })],
];
const slow: typeof variants = [
  ['interpreted', compiled(expression, { codeGeneration: false })],
  ['row objects', byObjects()],
];

const expected = byObjects()().join();
for (const [name, sums] of [...variants, ...slow]) if (sums().join() !== expected) throw new Error(`bench/rows: ${name} gives wrong sums`);
console.log(`verified: ${variants.length + slow.length} variants agree on ${rowCount} rows`);
if (!isTiny) {
  summary(() => {
    for (const [name, sums] of variants) bench(name, () => do_not_optimize(sums()));
  });
  const { benchmarks } = await run();
  const p50 = benchmarks.map((trial) => trial.runs[0]?.stats?.p50 ?? Number.NaN);
  benchmarks.forEach((trial, at) =>
    console.log(
      `${trial.alias}: ${((rowCount / (p50[at] as number)) * 1000).toFixed(0)} M rows/s, ${((p50[0] as number) / (p50[at] as number)).toFixed(2)} of the hand-written loop`,
    ),
  );
  const pair = ['closures that capture', 'closures, unwatched'].map((name) => variants.find(([of]) => of === name)?.[1] as () => Float64Array);
  const times: number[][] = [[], []];
  for (let round = 0; round < 60; round++) {
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const before = process.cpuUsage();
      do_not_optimize((pair[which] as () => Float64Array)());
      const { user, system } = process.cpuUsage(before);
      times[which]?.push(((user + system) / rowCount) * 1_000);
    }
  }
  const [watched, unwatched] = times.map((of) => of.sort((a, b) => a - b)).map((of) => `${of[0]?.toFixed(2)} to ${of[30]?.toFixed(2)}`);
  console.log(`closures: ${watched} ns/row; unwatched: ${unwatched}`);
}
