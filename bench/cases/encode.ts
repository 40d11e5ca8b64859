/**
 * Encoding result columns to JSON records, as a windowed count does: key, window, count, mean. Means have all
 * the digits of a division (encode/json) or few (encode/json-short), which decides how much work a number is.
 * Checked by JSON.parse.
 */

import { type Batch, BatchBuilder, createMemory, f64, SlabAllocator, schema, timestamp, utf8 } from '../../core/index.ts';
import { json } from '../../io/index.ts';
import { type BenchCase, type Contest, type Digest, type Input, RECORDS } from '../harness.ts';

const BATCH_ROWS = 4_096;
const START_MS = 1_767_225_600_000;
const result = schema({ page: utf8, windowStart: timestamp, windowEnd: timestamp, clicks: f64, meanMs: f64 });

interface Result {
  readonly page: string;
  readonly windowStart: number;
  readonly windowEnd: number;
  readonly clicks: number;
  readonly meanMs: number;
}

function resultAt(row: number, isShort: boolean): Result {
  const clicks = 1 + ((row * 7_919) % 1_009);
  const windowStart = START_MS + Math.floor(row / 1_000) * 60_000;
  const total = (row * 31) % 100_003;
  return { page: `/page/${row % 1_000}`, windowStart, windowEnd: windowStart + 60_000, clicks, meanMs: isShort ? total / 8 : total / clicks };
}

function addResult(to: number[], { page, windowStart, windowEnd, clicks, meanMs }: Result): void {
  to[0] = (to[0] as number) + 1;
  to[1] = (to[1] as number) + page.length * clicks;
  to[2] = (to[2] as number) + (windowStart - START_MS) + 2 * (windowEnd - START_MS);
  to[3] = (to[3] as number) + clicks;
  // To the last bit: a sum of rounded numbers would not notice a difference.
  const bits = new Float64Array([meanMs]);
  to[4] = (to[4] as number) + (new Uint32Array(bits.buffer)[0] as number);
}

function digestOf(rows: Iterable<Result>): Digest {
  const digest = [0, 0, 0, 0, 0];
  for (const row of rows) addResult(digest, row);
  return digest;
}

const resultsOf = (count: number, isShort: boolean): Result[] => Array.from({ length: count }, (_, row) => resultAt(row, isShort));

function ours({ size }: Input, isShort: boolean): Contest {
  const slabs = new SlabAllocator(createMemory((64 << 20) + size * 512));
  const batches: Batch[] = [];
  for (let from = 0; from < size; from += BATCH_ROWS) {
    const builder = new BatchBuilder(slabs, result, BATCH_ROWS);
    for (let row = from; row < Math.min(size, from + BATCH_ROWS); row++) builder.appendRow({ ...resultAt(row, isShort) });
    batches.push(builder.finish());
  }
  const room = 1 << 20;
  const address = slabs.alloc(room);
  const ends = slabs.alloc(BATCH_ROWS * 4);
  const encoder = json().encoder({ memory: slabs.memory, slabs }, result);
  const eachRun = (visit: (count: number) => void): void => {
    for (const batch of batches) {
      for (let from = 0; from < batch.rowCount; ) {
        const count = encoder.encode(batch, from, batch.rowCount, address, address + room, ends);
        visit(count);
        from += count;
      }
    }
  };
  return {
    units: size,
    run() {
      let rows = 0;
      eachRun((count) => {
        rows += count;
      });
      if (rows !== size) throw new Error(`bench: ${rows} records of ${size} rows`);
    },
    digest() {
      const digest = [0, 0, 0, 0, 0];
      eachRun((count) => {
        let from = address;
        for (let i = 0; i < count; i++) {
          const end = slabs.memory.u32[(ends >>> 2) + i] as number;
          addResult(digest, JSON.parse(Buffer.from(slabs.memory.u8.slice(from, end)).toString()) as Result);
          from = end;
        }
      });
      return digest;
    },
  };
}

/** Columns (arrays) to one object per row, JSON.stringify, bytes in a buffer. */
function jsonStringify({ size }: Input, isShort: boolean): Contest {
  const rows = resultsOf(size, isShort);
  const pages = rows.map((row) => row.page);
  const [starts, stops, clicks, means] = (['windowStart', 'windowEnd', 'clicks', 'meanMs'] as const).map((name) =>
    Float64Array.from(rows, (row) => row[name]),
  ) as [Float64Array, Float64Array, Float64Array, Float64Array];
  const out = Buffer.alloc(size * 256);
  const ends = new Uint32Array(size);
  return {
    units: size,
    run() {
      let at = 0;
      for (let row = 0; row < size; row++) {
        const text = JSON.stringify({ page: pages[row], windowStart: starts[row], windowEnd: stops[row], clicks: clicks[row], meanMs: means[row] });
        at += out.write(text, at);
        ends[row] = at;
      }
    },
    digest: () => digestOf(Array.from(ends, (end, row) => JSON.parse(out.toString('utf8', row === 0 ? 0 : ends[row - 1], end)) as Result)),
  };
}

function jsonCase(name: string, isShort: boolean): BenchCase {
  return {
    name,
    rooms: ['encode'],
    unit: RECORDS,
    sizes: { full: 200_000, quick: 100_000, tiny: 5_000 },
    expected: ({ size }) => digestOf(resultsOf(size, isShort)),
    ours: { start: (input) => ours(input, isShort) },
    peers: { jsonStringify: { start: (input) => jsonStringify(input, isShort) } },
  };
}

export const jsonEncodeCases: readonly BenchCase[] = [jsonCase('encode/json', false), jsonCase('encode/json-short', true)];
