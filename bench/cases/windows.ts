/**
 * Windows: the cost of a row in sliding windows of ten seconds, where windows follow each other (sliding-1, a row is in one)
 * and where one begins every 20 ms (sliding-500, a row is in 500). Count, sum and min of 1,000 keys; rows in order, a
 * million for each second of event time.
 *
 * The two halves of an aggregation on one thread, with the chunks and epochs that a job would have: combiner, exchange
 * blocks, the 64 shards, and all that the windows emit, which is 1,000 rows each.
 */

import { Batch, type Column, createMemory, f64, SHARD_COUNT, SlabAllocator, schema, timestamp, u32 } from '../../core/index.ts';
import { Combiner, count, min, orderExchangeBlocks, planAggregate, ResultWriter, shardAggregate, sliding, sum } from '../../operators/index.ts';
import { type BenchCase, type Contest, type Digest, type Entry, type Input, ROWS } from '../harness.ts';

const KEYS = 1_000;
const SIZE_MS = 10_000;
const SLIDE_MS = 20;
const ROWS_A_MS = 1_000;
const BASE_MS = 1_700_000_000_000;
const BATCH_ROWS = 4_096;
const BATCHES_A_CHUNK = 3;
const CHUNKS_AN_EPOCH = 40;
/** Rows of the naive peer at most: it updates 500 windows a row. */
const NAIVE_ROWS = { full: 100_000, quick: 10_000, tiny: 2_000 };
const M = 1_000_000;

interface Question {
  readonly slideMs: number;
  /** Count, sum and min; false: count and sum. */
  readonly withMin: boolean;
}

const input = schema({ at: timestamp, key: u32, value: f64 });

/** The same rows for everybody: key and value of row `i`; its time is BASE_MS + floor(i / ROWS_A_MS). */
function rowsOf(rowCount: number): { keys: Uint32Array; values: Float64Array } {
  const keys = new Uint32Array(rowCount);
  const values = new Float64Array(rowCount);
  let x = 1;
  for (let i = 0; i < rowCount; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    keys[i] = (x >>> 8) % KEYS;
    values[i] = (x >>> 16) % 1_000;
  }
  return { keys, values };
}

const numbers = (): Float64Array => new Float64Array(6);
/** One result row into the digest. Window numbers count from BASE_MS. */
function digestRow(to: Float64Array, key: number, windowStart: number, rows: number, total: number, least: number): void {
  const weight = 1 + key + (((windowStart - BASE_MS) / SLIDE_MS) % 101);
  to[0] = (to[0] as number) + 1;
  to[1] = (to[1] as number) + rows;
  to[2] = (to[2] as number) + total;
  to[3] = (to[3] as number) + least;
  to[4] = (to[4] as number) + weight * rows;
  to[5] = (to[5] as number) + weight * least;
}

/** Panes as arrays; each window is put together from all of its panes, anew. */
function reference({ slideMs, withMin }: Question, rowCount: number): Digest {
  const { keys, values } = rowsOf(rowCount);
  const paneRows = slideMs * ROWS_A_MS;
  const panes = Array.from({ length: Math.ceil(rowCount / paneRows) }, (_, pane) => {
    const of = { counts: new Float64Array(KEYS), sums: new Float64Array(KEYS), mins: new Float64Array(KEYS).fill(Number.POSITIVE_INFINITY) };
    for (let i = pane * paneRows; i < Math.min(rowCount, (pane + 1) * paneRows); i++) {
      const key = keys[i] as number;
      of.counts[key] = (of.counts[key] as number) + 1;
      of.sums[key] = (of.sums[key] as number) + (values[i] as number);
      of.mins[key] = Math.min(of.mins[key] as number, values[i] as number);
    }
    return of;
  });
  const digest = numbers();
  const panesPerWindow = SIZE_MS / slideMs;
  for (let first = 1 - panesPerWindow; first < panes.length; first++) {
    const counts = new Float64Array(KEYS);
    const sums = new Float64Array(KEYS);
    const mins = new Float64Array(KEYS).fill(Number.POSITIVE_INFINITY);
    for (const pane of panes.slice(Math.max(0, first), first + panesPerWindow)) {
      for (let key = 0; key < KEYS; key++) {
        counts[key] = (counts[key] as number) + (pane.counts[key] as number);
        sums[key] = (sums[key] as number) + (pane.sums[key] as number);
        mins[key] = Math.min(mins[key] as number, pane.mins[key] as number);
      }
    }
    for (let key = 0; key < KEYS; key++) {
      if (counts[key] !== 0) digestRow(digest, key, BASE_MS + first * slideMs, counts[key] as number, sums[key] as number, withMin ? (mins[key] as number) : 0);
    }
  }
  return [...digest];
}

function oursOf({ slideMs, withMin }: Question, { size, effort }: Input): Contest {
  const slabs = new SlabAllocator(createMemory(effort === 'tiny' ? 256 << 20 : 3 * 2 ** 30));
  const { memory } = slabs;
  const { u32: words, i32: ints, f64: doubles } = memory;
  const batches = inputBatches(slabs, size);
  const plan = planAggregate({
    input,
    keys: ['key'],
    aggregates: { rows: count(), total: sum('value'), ...(withMin ? { least: min('value') } : {}) },
    window: sliding(SIZE_MS, slideMs),
    eventTime: 'at',
  });
  const writer = new ResultWriter(slabs, plan);
  const combiner = new Combiner(slabs, plan);
  let shards: ReturnType<typeof shardAggregate>[] = [];
  let digest = numbers();
  const emit = (batch: Batch): void => {
    const [key, start, , rows, total, least] = batch.columns.map(({ data }) => data) as [number, number, number, number, number, number?];
    for (let i = 0; i < batch.rowCount; i++) {
      const at = (start >>> 2) + i * 2;
      const windowStart = (ints[at + 1] as number) * 4_294_967_296 + (words[at] as number);
      digestRow(
        digest,
        words[(key >>> 2) + i] as number,
        windowStart,
        doubles[(rows >>> 3) + i] as number,
        doubles[(total >>> 3) + i] as number,
        least === undefined ? 0 : (doubles[(least >>> 3) + i] as number),
      );
    }
  };
  return {
    units: size,
    before() {
      for (const shard of shards) shard.release();
      shards = Array.from({ length: SHARD_COUNT }, (_, shard) => shardAggregate(slabs, plan, shard, writer));
      digest = numbers();
    },
    run() {
      let watermark = Number.NEGATIVE_INFINITY;
      for (let at = 0; at < batches.length; ) {
        combiner.beginEpoch({ watermark, timeBound: Number.POSITIVE_INFINITY });
        for (let chunk = 0; chunk < CHUNKS_AN_EPOCH && at < batches.length; chunk++) {
          combiner.beginChunk({ source: 0, partition: 0, first: at });
          for (let b = 0; b < BATCHES_A_CHUNK && at < batches.length; b++) combiner.add(batches[at++] as Batch);
          watermark = combiner.endChunk().maxTimeMs;
        }
        const blocks = orderExchangeBlocks(memory, combiner.takeBlocks());
        for (const shard of shards) {
          for (const block of blocks) shard.merge(block);
          shard.advance(watermark, emit);
        }
        for (const block of blocks) slabs.free(block);
      }
      for (const shard of shards) shard.close(emit);
    },
    digest: () => [...digest],
  };
}

/** All rows, as batches that lie in memory before the clock starts. */
function inputBatches(slabs: SlabAllocator, rowCount: number): Batch[] {
  const { memory } = slabs;
  const { keys, values } = rowsOf(rowCount);
  const column = (type: Column['type'], bytes: number): Column => ({ type, data: slabs.alloc(bytes), offsets: 0, validity: 0 });
  const at = column(timestamp, rowCount * 8);
  const key = column(u32, rowCount * 4);
  const value = column(f64, rowCount * 8);
  memory.u32.set(keys, key.data >>> 2);
  memory.f64.set(values, value.data >>> 3);
  const high = Math.floor(BASE_MS / 4_294_967_296);
  for (let i = 0; i < rowCount; i++) {
    const time = BASE_MS + Math.floor(i / ROWS_A_MS);
    memory.i32[(at.data >>> 2) + i * 2] = time - high * 4_294_967_296;
    memory.i32[(at.data >>> 2) + i * 2 + 1] = high;
  }
  const all = new Batch(memory, input, rowCount, [at, key, value]);
  const batches: Batch[] = [];
  for (let from = 0; from < rowCount; from += BATCH_ROWS) batches.push(all.slice(from, Math.min(rowCount, from + BATCH_ROWS)));
  return batches;
}

/** Every row updates every window that it is in: a Map from window to a Map from key to an object. */
function naive({ slideMs, withMin }: Question): Entry {
  return {
    expected: (_, units) => reference({ slideMs, withMin }, units),
    start({ size, effort }): Contest {
      const rowCount = slideMs < SIZE_MS ? Math.min(size, NAIVE_ROWS[effort]) : size;
      const { keys, values } = rowsOf(rowCount);
      let digest = numbers();
      let windows = new Map<number, Map<number, { rows: number; total: number; least: number }>>();
      const close = (before: number): void => {
        for (const [start, groups] of windows) {
          if (start + SIZE_MS > before) continue;
          for (const [key, { rows, total, least }] of groups) digestRow(digest, key, start, rows, total, withMin ? least : 0);
          windows.delete(start);
        }
      };
      const add = (start: number, key: number, value: number): void => {
        let groups = windows.get(start);
        if (groups === undefined) windows.set(start, (groups = new Map()));
        const group = groups.get(key);
        if (group === undefined) groups.set(key, { rows: 1, total: value, least: value });
        else {
          group.rows++;
          group.total += value;
          if (value < group.least) group.least = value;
        }
      };
      return {
        units: rowCount,
        before() {
          digest = numbers();
          windows = new Map();
        },
        run() {
          let last = 0;
          for (let i = 0; i < rowCount; i++) {
            const time = BASE_MS + Math.floor(i / ROWS_A_MS);
            const newest = time - ((time - BASE_MS) % slideMs);
            if (newest !== last) close((last = newest));
            for (let start = newest; start > time - SIZE_MS; start -= slideMs) add(start, keys[i] as number, values[i] as number);
          }
          close(Number.POSITIVE_INFINITY);
        },
        digest: () => [...digest],
      };
    },
  };
}

function windowCase(name: string, question: Question): BenchCase {
  const inOne: Question = { ...question, slideMs: SIZE_MS };
  return {
    name,
    rooms: ['windows'],
    unit: ROWS,
    sizes: { full: 20 * M, quick: 12 * M, tiny: 50_000 },
    expected: (_, units) => reference(question, units),
    ours: { start: (of) => oursOf(question, of) },
    peers: {
      // The price of 500 windows a row, as a ratio of speeds: 1 is none.
      ...(question.slideMs < SIZE_MS
        ? { sliding1: { start: (of: Input) => oursOf(inOne, of), expected: (_: Input, units: number) => reference(inOne, units) } }
        : {}),
      ...(question.withMin ? { map: naive(question) } : {}),
    },
  };
}

export const windowCases: readonly BenchCase[] = [
  windowCase('window/sliding-1', { slideMs: SIZE_MS, withMin: true }),
  windowCase('window/sliding-500', { slideMs: SLIDE_MS, withMin: true }),
  // Without the minimum: all can be subtracted, so a running total serves.
  windowCase('window/sliding-500-sums', { slideMs: SLIDE_MS, withMin: false }),
];
