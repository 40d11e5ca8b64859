/** The rows of the sink benchmarks: as objects, and as batches of columns in shared memory. */

import { type Batch, BatchBuilder, createMemory, f64, i32, i64, SlabAllocator, schema, timestamp, utf8 } from '../../core/index.ts';

export interface BenchRow {
  readonly id: number;
  readonly page: string;
  readonly n: bigint;
  readonly ms: number;
  readonly at: number;
}

/** How many there are; they come again and again. */
export const ROWS_MADE = 16_384;
const BATCH_ROWS = 4_096;

export const SCHEMA = schema({ id: i32, page: utf8, n: i64, ms: f64, at: timestamp });

export function rows(): BenchRow[] {
  return Array.from({ length: ROWS_MADE }, (_, id) => ({
    id,
    page: `/page/${id % 1_000}${id % 97 === 0 ? '\t"odd"\\' : ''}`,
    n: BigInt(id) * 1_000_003n,
    ms: ((id * 7_919) % 100_000) / 64,
    at: 1_767_225_600_000 + id * 1_000,
  }));
}

export function batches(): { slabs: SlabAllocator; batches: Batch[] } {
  const slabs = new SlabAllocator(createMemory(256 << 20));
  const all = rows();
  const made: Batch[] = [];
  for (let from = 0; from < all.length; from += BATCH_ROWS) {
    const builder = new BatchBuilder(slabs, SCHEMA, BATCH_ROWS);
    for (const row of all.slice(from, from + BATCH_ROWS)) builder.appendRow({ ...row });
    made.push(builder.finish());
  }
  return { slabs, batches: made };
}
