/**
 * Group by a key: count, sum, min and max of an f64 column. The group table with its WebAssembly kernels, with its
 * TypeScript kernels, and a JavaScript Map of objects.
 *
 *   node --import tsx bench/group-by.ts [--rows 4000000] [--keys u32,i64,utf8] [--json] [--tiny]
 *
 * Batches of 4,096 rows; every table starts with 1,024 slots and grows. Before anything is timed, every variant's groups
 * are compared with the Map's. A sum of the table is compensated (accumulators.ts); the Map's is not. One iteration is all
 * rows: divide. Variants share a process; `--keys` runs one key type alone. The Map has its keys as JavaScript values already,
 * strings included: what it would take to make them is left out, in its favour.
 */

import { bench, do_not_optimize, run, summary } from 'mitata';
import {
  accumulator,
  attachMemory,
  BatchBuilder,
  type Column,
  createMemory,
  type DataType,
  f64,
  GroupTable,
  i64,
  Schema,
  SlabAllocator,
  SlotLayout,
  u32,
  utf8,
} from '../core/index.ts';

const BATCH_ROWS = 4_096;
const isTiny = process.argv.includes('--tiny');
const option = (name: string): string | undefined => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined);
const rowCount = isTiny ? 20_000 : Number(option('--rows') ?? 4_000_000);
const cardinalities = isTiny ? [100, 5_000] : [100, 10_000, 1_000_000];
const keyTypes = (option('--keys') ?? 'u32,i64,utf8').split(',');
const memoryBytes = isTiny ? 16 << 20 : Math.max(768 << 20, rowCount * 96);

interface Group {
  count: number;
  sum: number;
  min: number;
  max: number;
}
type Key = number | bigint | string;

/** Rows as JavaScript values and, for each engine, as columns of its memory. */
class Input {
  readonly type: DataType;
  readonly keys: Key[];
  readonly values: Float64Array;

  constructor(type: DataType, cardinality: number) {
    this.type = type;
    let seed = 42;
    const random = () => {
      seed ^= seed << 13;
      seed ^= seed >>> 17;
      seed ^= seed << 5;
      return seed >>> 0;
    };
    const keyOf = (k: number): Key =>
      type.name === 'i64' ? BigInt(k) * 1_000_003n : type.name === 'utf8' ? `user-${k}-${'abcdefghijkl'.slice(0, k % 12)}` : k;
    const names = Array.from({ length: cardinality }, (_, k) => keyOf(k));
    this.keys = Array.from({ length: rowCount }, () => names[random() % cardinality] as Key);
    // Quarters: sums are exact, so that every engine's must be the same.
    this.values = Float64Array.from({ length: rowCount }, () => (random() % 4_000) / 4 - 500);
  }

  columns(slabs: SlabAllocator): { key: Column; value: Column; release(): void } {
    const builder = new BatchBuilder(
      slabs,
      new Schema([
        { name: 'key', type: this.type },
        { name: 'value', type: f64 },
      ]),
      rowCount,
    );
    this.keys.forEach((key, row) => builder.setValue(0, row, key));
    slabs.memory.f64.set(this.values, (builder.columns[1]?.data as number) >>> 3);
    const batch = builder.finish(rowCount);
    return { key: batch.column(0), value: batch.column(1), release: () => builder.release() };
  }
}

function byMap({ keys, values }: Input): Map<Key, Group> {
  const groups = new Map<Key, Group>();
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as Key;
    const value = values[i] as number;
    const group = groups.get(key);
    if (group === undefined) {
      groups.set(key, { count: 1, sum: value, min: value, max: value });
    } else {
      group.count++;
      group.sum += value;
      if (value < group.min) group.min = value;
      if (value > group.max) group.max = value;
    }
  }
  return groups;
}

const FOUR = [accumulator('count'), accumulator('sum', f64), accumulator('min', f64), accumulator('max', f64)];

function byTable(slabs: SlabAllocator, { type }: Input, key: Column, value: Column): GroupTable {
  const table = new GroupTable(slabs, new SlotLayout([type], FOUR));
  for (let from = 0; from < rowCount; from += BATCH_ROWS) table.update([key], [undefined, value, value, value], from, Math.min(rowCount, from + BATCH_ROWS));
  return table;
}

/** @throws Error when the table's groups are not the Map's */
function verify(name: string, table: GroupTable, expected: ReadonlyMap<Key, Group>): void {
  if (table.size !== expected.size) throw new Error(`${name}: ${table.size} groups in place of ${expected.size}`);
  const step = Math.ceil(expected.size / 2_000);
  let rows = 0;
  let index = 0;
  for (const [key, { count, sum, min, max }] of expected) {
    rows += count;
    if (index++ % step !== 0) continue;
    const slot = table.find([key]);
    const actual = slot === 0 ? undefined : FOUR.map((_, a) => Number(table.valueAt(slot, a)));
    if (actual === undefined || [count, sum, min, max].some((wanted, a) => actual[a] !== wanted))
      throw new Error(`${name}: the group ${String(key)} is ${actual} in place of ${[count, sum, min, max]}`);
  }
  if (rows !== rowCount) throw new Error(`${name}: the model has ${rows} rows`);
}

const engines = [
  { name: 'WebAssembly', slabs: new SlabAllocator(createMemory(memoryBytes)) },
  { name: 'TypeScript', slabs: new SlabAllocator(attachMemory(new SharedArrayBuffer(memoryBytes))) },
];

for (const type of [u32, i64, utf8] as const) {
  if (!keyTypes.includes(type.name)) continue;
  for (const cardinality of cardinalities) {
    const title = `${type.name} key, ${cardinality} groups`;
    const input = new Input(type as DataType, cardinality);
    const expected = byMap(input);
    summary(() => {
      for (const { name, slabs } of engines) {
        // Columns are made once for the check and once for the timing, so that only one input is in memory at a time.
        const check = input.columns(slabs);
        const table = byTable(slabs, input, check.key, check.value);
        verify(`${title}, ${name}`, table, expected);
        table.release();
        check.release();
        bench(`${title}: ${name}`, function* () {
          const { key, value, release } = input.columns(slabs);
          yield () => byTable(slabs, input, key, value).release();
          release();
        });
      }
      bench(`${title}: Map`, () => do_not_optimize(byMap(input)));
    });
  }
}

if (isTiny) {
  // Verified above; the timing itself is not what a test of this size is for.
  console.log(JSON.stringify({ bench: 'group-by', rows: rowCount, verified: true }));
} else {
  console.log(`${rowCount} rows an iteration`);
  await run(process.argv.includes('--json') ? { format: 'json' } : {});
}
