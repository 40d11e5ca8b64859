/**
 * Row functions: filter, map, and a sum by a small integer key, over columns. The same query as one
 * hand-written loop, compiled from the user's functions (ours), with functions that the compiler must call,
 * and as array methods over objects.
 */

import { Batch, type Column, createMemory, f64, i32, SlabAllocator, schema } from '../../core/index.ts';
import { planRows, type RowOperation, type RowPlanOptions } from '../../operators/index.ts';
import { type BenchCase, type Contest, type Digest, type Entry, type Input, ROWS } from '../harness.ts';

const KEYS = 64;
const BATCH_ROWS = 4_096;
const M = 1_000_000;

const input = schema({ key: i32, price: f64, qty: f64, unused: f64 });
const results = schema({ key: i32, revenue: f64 });

interface Rows {
  readonly keys: Int32Array;
  readonly prices: Float64Array;
  readonly quantities: Float64Array;
}

function rowsOf(rowCount: number): Rows {
  const rows = { keys: new Int32Array(rowCount), prices: new Float64Array(rowCount), quantities: new Float64Array(rowCount) };
  let x = 42;
  for (let i = 0; i < rowCount; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    rows.keys[i] = (x >>> 8) % KEYS;
    rows.prices[i] = (x >>> 14) % 100;
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    rows.quantities[i] = (x >>> 8) % 12;
  }
  return rows;
}

/** The right answer, by objects and array methods. */
function reference(rowCount: number): Digest {
  return [...sumsOfObjects(objectsOf(rowsOf(rowCount)))];
}

interface Sale {
  readonly key: number;
  readonly price: number;
  readonly qty: number;
}
const objectsOf = ({ keys, prices, quantities }: Rows): Sale[] =>
  Array.from(keys, (key, i) => ({ key, price: prices[i] as number, qty: quantities[i] as number }));

function sumsOfObjects(rows: readonly Sale[]): Float64Array {
  const sums = new Float64Array(KEYS);
  for (const { key, revenue } of rows.filter((r) => r.price > 20 && r.qty < 8).map((r) => ({ key: r.key, revenue: r.price * r.qty }))) {
    sums[key] = (sums[key] as number) + revenue;
  }
  return sums;
}

interface Columns {
  readonly slabs: SlabAllocator;
  readonly batches: readonly Batch[];
}

function columnsOf(rowCount: number): Columns {
  const { keys, prices, quantities } = rowsOf(rowCount);
  const slabs = new SlabAllocator(createMemory((64 << 20) + rowCount * 80));
  const { memory } = slabs;
  const column = (type: Column['type']): Column => ({ type, data: slabs.alloc(rowCount * type.width), offsets: 0, validity: 0 });
  const columns = input.fields.map(({ type }) => column(type));
  const [key, price, qty] = columns as [Column, Column, Column];
  memory.i32.set(keys, key.data >>> 2);
  memory.f64.set(prices, price.data >>> 3);
  memory.f64.set(quantities, qty.data >>> 3);
  const all = new Batch(memory, input, rowCount, columns);
  const batches: Batch[] = [];
  for (let from = 0; from < rowCount; from += BATCH_ROWS) batches.push(all.slice(from, Math.min(rowCount, from + BATCH_ROWS)));
  return { slabs, batches };
}

const limit = 20;
const expressions: readonly RowOperation[] = [
  { kind: 'filter', fn: (r) => r.price > 20 && r.qty < 8 },
  { kind: 'map', schema: results, fn: (r) => ({ key: r.key, revenue: r.price * r.qty }) },
];
/** They read a variable from outside, so their source text is not enough to compile them. */
const capturing: readonly RowOperation[] = [
  { kind: 'filter', fn: (r) => r.price > limit && r.qty < 8 },
  { kind: 'map', schema: results, fn: (r) => ({ key: r.key, revenue: limit === 20 ? r.price * r.qty : 0 }) },
];

function compiled(operations: readonly RowOperation[], options: RowPlanOptions = {}): Entry {
  return {
    start({ size }): Contest {
      const { slabs, batches } = columnsOf(size);
      const { memory } = slabs;
      const program = planRows(input, operations, 'all', options).instantiate({ memory, slabs, batchRows: BATCH_ROWS, onError: () => 'fail' });
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
      return {
        units: size,
        before: () => void sums.fill(0),
        run() {
          for (const batch of batches) program.run(batch, add);
        },
        digest: () => [...sums],
      };
    },
  };
}

/** What one would write by hand for this query: one loop, nothing in between. */
function handWritten({ size }: Input): Contest {
  const { slabs, batches } = columnsOf(size);
  const { memory } = slabs;
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
  return {
    units: size,
    before: () => void sums.fill(0),
    run() {
      for (const batch of batches)
        loop(memory.i32, memory.f64, batch.column(0).data >>> 2, batch.column(1).data >>> 3, batch.column(2).data >>> 3, batch.rowCount);
    },
    digest: () => [...sums],
  };
}

function objects({ size }: Input): Contest {
  const rows = objectsOf(rowsOf(size));
  let sums = new Float64Array(KEYS);
  return {
    units: size,
    run() {
      sums = sumsOfObjects(rows) as Float64Array<ArrayBuffer>;
    },
    digest: () => [...sums],
  };
}

export const rowCases: readonly BenchCase[] = [
  {
    name: 'rows/filter-map-aggregate',
    rooms: ['rows'],
    unit: ROWS,
    sizes: { full: 8 * M, quick: 4 * M, tiny: 20_000 },
    expected: (_, units) => reference(units),
    ours: compiled(expressions),
    peers: {
      handWritten: { start: handWritten },
      closures: compiled(capturing),
      interpreted: compiled(expressions, { codeGeneration: false }),
      objects: { start: objects },
    },
  },
];
