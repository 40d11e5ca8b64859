/**
 * Windows: the cost of a row in sliding windows that are 500 slides long, beside windows of one slide. The
 * slide is 100 ms in both. So the panes are the same, and as many windows are emitted with as many results
 * (1,000 each, with 100,000 rows per pane). The only difference is the cost of keeping the total of 500
 * panes. Rows are in order, a million per second of event time.
 *
 *   sliding-500       sum and count: panes are added and subtracted
 *   sliding-500-min   with a minimum: two stacks; panes of 20,000 rows, and 500 of them
 *   sliding-500-thin  panes of 5,000 rows, 5 per key: the windows emit a fifth as many results as rows
 *
 * Both halves of an aggregation run on one thread, with the chunks and epochs of a job: combiner, exchange
 * blocks, the 64 shards, and all results. The clock covers the steady state: it starts when the first 500
 * panes exist, and stops before the windows that the end of the input cuts off.
 */

import { Batch, type Column, createMemory, f64, SHARD_COUNT, SlabAllocator, schema, timestamp, u32 } from '../../core/index.ts';
import { Combiner, count, min, orderExchangeBlocks, planAggregate, ResultWriter, shardAggregate, sliding, sum } from '../../operators/index.ts';
import { type BenchCase, type Contest, type Digest, type Entry, type Input, ROWS } from '../harness.ts';

const BASE_MS = 1_700_000_000_000;
const SLIDE_MS = 100;
const BATCH_ROWS = 4_096;
const BATCHES_A_CHUNK = 3;
const CHUNKS_AN_EPOCH = 40;
/** Most rows of the naive peer, which updates 500 windows per row. */
const NAIVE_ROWS = { full: 100_000, quick: 20_000, tiny: 2_000 };
const M = 1_000_000;

const input = schema({ at: timestamp, key: u32, value: f64 });

/** The rows of a case: thin panes that fill the first window, with every key in each; then the timed rows. */
interface Shape {
  /** Panes of the long window. */
  readonly panes: number;
  readonly keys: number;
  readonly warmRowsAPane: number;
  readonly rowsAPane: number;
}

function shapeOf(rowsAPane: number, { effort }: Input): Shape {
  return effort === 'tiny' ? { panes: 20, keys: 50, warmRowsAPane: 100, rowsAPane: 2_000 } : { panes: 500, keys: 1_000, warmRowsAPane: 2_000, rowsAPane };
}

interface Rows {
  readonly warmCount: number;
  readonly panes: Uint32Array;
  readonly times: Float64Array;
  readonly keys: Uint32Array;
  readonly values: Float64Array;
}

/** The same rows for every entry. */
function rowsOf(shape: Shape, timedCount: number, isWarm = true): Rows {
  const warmCount = isWarm ? shape.panes * shape.warmRowsAPane : 0;
  const count = warmCount + timedCount;
  const panes = new Uint32Array(count);
  const times = new Float64Array(count);
  const keys = new Uint32Array(count);
  const values = new Float64Array(count);
  let x = 1;
  for (let i = 0; i < count; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    const isThin = i < warmCount;
    const rowsAPane = isThin ? shape.warmRowsAPane : shape.rowsAPane;
    const row = isThin ? i : i - warmCount;
    panes[i] = (isThin ? 0 : warmCount / shape.warmRowsAPane) + Math.floor(row / rowsAPane);
    times[i] = BASE_MS + (panes[i] as number) * SLIDE_MS + Math.floor(((row % rowsAPane) * SLIDE_MS) / rowsAPane);
    keys[i] = isThin ? i % shape.keys : (x >>> 8) % shape.keys;
    values[i] = (x >>> 16) % 1_000;
  }
  return { warmCount, panes, times, keys, values };
}

const numbers = (): Float64Array => new Float64Array(6);
/** Adds one result row to the digest. */
function digestRow(to: Float64Array, key: number, windowStart: number, rows: number, total: number, least: number): void {
  const weight = 1 + key + (((windowStart - BASE_MS) / SLIDE_MS) % 101);
  to[0] = (to[0] as number) + 1;
  to[1] = (to[1] as number) + rows;
  to[2] = (to[2] as number) + total;
  to[3] = (to[3] as number) + least;
  to[4] = (to[4] as number) + weight * rows;
  to[5] = (to[5] as number) + weight * least;
}

/** What is asked: windows of so many slides over the rows of a shape, with or without a minimum. */
interface Question {
  readonly slides: (shape: Shape) => number;
  readonly rowsAPane: number;
  readonly hasMin: boolean;
}

/** Panes as arrays; each window is rebuilt from all of its panes. */
function reference({ slides, hasMin }: Question, shape: Shape, { panes: paneOf, keys, values }: Rows): Digest {
  const paneCount = (paneOf.at(-1) as number) + 1;
  const { keys: keyCount } = shape;
  const counts = new Float64Array(paneCount * keyCount);
  const sums = new Float64Array(paneCount * keyCount);
  const mins = new Float64Array(paneCount * keyCount).fill(Number.POSITIVE_INFINITY);
  for (let i = 0; i < keys.length; i++) {
    const at = (paneOf[i] as number) * keyCount + (keys[i] as number);
    counts[at] = (counts[at] as number) + 1;
    sums[at] = (sums[at] as number) + (values[i] as number);
    mins[at] = Math.min(mins[at] as number, values[i] as number);
  }
  const digest = numbers();
  const panesPerWindow = slides(shape);
  const of = { counts: new Float64Array(keyCount), sums: new Float64Array(keyCount), mins: new Float64Array(keyCount) };
  for (let first = 1 - panesPerWindow; first < paneCount; first++) {
    of.counts.fill(0);
    of.sums.fill(0);
    of.mins.fill(Number.POSITIVE_INFINITY);
    const end = Math.min(paneCount, first + panesPerWindow) * keyCount;
    for (let at = Math.max(0, first) * keyCount, key = 0; at < end; at++) {
      of.counts[key] = (of.counts[key] as number) + (counts[at] as number);
      of.sums[key] = (of.sums[key] as number) + (sums[at] as number);
      if ((mins[at] as number) < (of.mins[key] as number)) of.mins[key] = mins[at] as number;
      if (++key === keyCount) key = 0;
    }
    for (let key = 0; key < keyCount; key++) {
      if (of.counts[key] === 0) continue;
      digestRow(digest, key, BASE_MS + first * SLIDE_MS, of.counts[key] as number, of.sums[key] as number, hasMin ? (of.mins[key] as number) : 0);
    }
  }
  return [...digest];
}

function oursOf(question: Question, of: Input): Contest {
  const shape = shapeOf(question.rowsAPane, of);
  const slabs = new SlabAllocator(createMemory(of.effort === 'tiny' ? 256 << 20 : 2 * 2 ** 30));
  const { memory } = slabs;
  const { u32: words, i32: ints, f64: doubles } = memory;
  const rows = rowsOf(shape, of.size);
  const warm = inputBatches(slabs, rows, 0, rows.warmCount);
  const timed = inputBatches(slabs, rows, rows.warmCount, rows.keys.length);
  const { hasMin } = question;
  const aggregates = { rows: count(), total: sum('value'), ...(hasMin ? { least: min('value') } : {}) };
  const plan = planAggregate({ input, keys: ['key'], aggregates, window: sliding(SLIDE_MS * question.slides(shape), SLIDE_MS), eventTime: 'at' });
  const writer = new ResultWriter(slabs, plan);
  const combiner = new Combiner(slabs, plan);
  let shards: ReturnType<typeof shardAggregate>[] = [];
  let digest = numbers();
  let watermark = Number.NEGATIVE_INFINITY;
  const emit = (batch: Batch): void => {
    const [key, start, , counts, total, least] = batch.columns.map(({ data }) => data) as [number, number, number, number, number, number];
    for (let i = 0; i < batch.rowCount; i++) {
      const at = (start >>> 2) + i * 2;
      const windowStart = (ints[at + 1] as number) * 4_294_967_296 + (words[at] as number);
      const lowest = hasMin ? (doubles[(least >>> 3) + i] as number) : 0;
      digestRow(digest, words[(key >>> 2) + i] as number, windowStart, doubles[(counts >>> 3) + i] as number, doubles[(total >>> 3) + i] as number, lowest);
    }
  };
  const feed = (batches: readonly Batch[]): void => {
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
  };
  return {
    units: of.size,
    before() {
      for (const shard of shards) shard.release();
      shards = Array.from({ length: SHARD_COUNT }, (_, shard) => shardAggregate(slabs, plan, shard, writer));
      watermark = Number.NEGATIVE_INFINITY;
      digest = numbers();
      feed(warm);
    },
    run() {
      feed(timed);
    },
    digest() {
      for (const shard of shards) shard.close(emit);
      return [...digest];
    },
  };
}

/** Rows `from` to `to`, as batches that are in memory before the clock starts. */
function inputBatches(slabs: SlabAllocator, { times, keys, values }: Rows, from: number, to: number): Batch[] {
  const { memory } = slabs;
  const rowCount = to - from;
  const column = (type: Column['type'], bytes: number): Column => ({ type, data: slabs.alloc(bytes), offsets: 0, validity: 0 });
  const at = column(timestamp, rowCount * 8);
  const key = column(u32, rowCount * 4);
  const value = column(f64, rowCount * 8);
  memory.u32.set(keys.subarray(from, to), key.data >>> 2);
  memory.f64.set(values.subarray(from, to), value.data >>> 3);
  const high = Math.floor(BASE_MS / 4_294_967_296);
  for (let i = 0; i < rowCount; i++) {
    memory.i32[(at.data >>> 2) + i * 2] = (times[from + i] as number) - high * 4_294_967_296;
    memory.i32[(at.data >>> 2) + i * 2 + 1] = high;
  }
  const all = new Batch(memory, input, rowCount, [at, key, value]);
  const batches: Batch[] = [];
  for (let row = 0; row < rowCount; row += BATCH_ROWS) batches.push(all.slice(row, Math.min(rowCount, row + BATCH_ROWS)));
  return batches;
}

/**
 * Every row updates each of its windows: a Map from window to a Map from key to an object. It has a cold
 * start and fewer rows.
 */
function naive(question: Question): Entry {
  return {
    expected: (of, units) => reference(question, shapeOf(question.rowsAPane, of), rowsOf(shapeOf(question.rowsAPane, of), units, false)),
    start(of: Input): Contest {
      const shape = shapeOf(question.rowsAPane, of);
      const sizeMs = question.slides(shape) * SLIDE_MS;
      const rowCount = sizeMs > SLIDE_MS ? Math.min(of.size, NAIVE_ROWS[of.effort]) : of.size;
      const { times, keys, values } = rowsOf(shape, rowCount, false);
      let digest = numbers();
      let windows = new Map<number, Map<number, { rows: number; total: number; least: number }>>();
      const close = (before: number): void => {
        for (const [start, groups] of windows) {
          if (start + sizeMs > before) continue;
          for (const [key, { rows, total, least }] of groups) digestRow(digest, key, start, rows, total, question.hasMin ? least : 0);
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
            const time = times[i] as number;
            const newest = time - ((time - BASE_MS) % SLIDE_MS);
            if (newest !== last) close((last = newest));
            for (let start = newest; start > time - sizeMs; start -= SLIDE_MS) add(start, keys[i] as number, values[i] as number);
          }
          close(Number.POSITIVE_INFINITY);
        },
        digest: () => [...digest],
      };
    },
  };
}

const one = (): number => 1;
const long = ({ panes }: Shape): number => panes;
const FULL = { slides: long, rowsAPane: 100_000, hasMin: false };
/**
 * The size is exactly 500 panes: two stacks rebuild once in 500 slides, so a shorter run would have too much
 * or too little of that.
 */
const STACKS = { slides: long, rowsAPane: 20_000, hasMin: true };
const entryOf = (question: Question): Entry => ({
  start: (of) => oursOf(question, of),
  expected: (of, units) => reference(question, shapeOf(question.rowsAPane, of), rowsOf(shapeOf(question.rowsAPane, of), units)),
});

function windowCase(
  name: string,
  question: Question,
  peers: Readonly<Record<string, Entry>>,
  sizes: BenchCase['sizes'] = { full: 8 * M, quick: 4 * M, tiny: 20_000 },
): BenchCase {
  const ours = entryOf(question);
  return {
    name,
    rooms: ['windows'],
    unit: ROWS,
    sizes,
    expected: ours.expected as BenchCase['expected'],
    ours: { start: (of) => oursOf(question, of) },
    peers,
  };
}

/** The same slide, and windows of one slide: the price of 500 slides, as a ratio of speeds; 1 is none. */
const sliding1 = (question: Question): Entry => entryOf({ ...question, slides: one });

export const windowCases: readonly BenchCase[] = [
  windowCase('window/sliding-1', { ...FULL, slides: one }, { map: naive({ ...FULL, slides: one }) }),
  windowCase('window/sliding-500', FULL, { sliding1: sliding1(FULL), map: naive(FULL) }),
  windowCase('window/sliding-500-min', STACKS, { sliding1: sliding1(STACKS) }, { full: 10 * M, quick: 10 * M, tiny: 40_000 }),
  windowCase('window/sliding-500-thin', { ...FULL, rowsAPane: 5_000 }, { sliding1: sliding1({ ...FULL, rowsAPane: 5_000 }) }),
];
