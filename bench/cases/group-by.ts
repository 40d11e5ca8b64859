/**
 * Group-by: SUM, COUNT, MIN and MAX of an f64 by key, through core's GroupTable, in calls of 8,192 rows.
 *
 * Every engine is timed from the rows in its own memory to the moment when each group's four values have been
 * read once. With `-growing` our table starts with 1,024 slots, and its slabs come from the run before (warm
 * pages). Otherwise the table has its size from the start. DuckDB and Polars size their tables themselves.
 */

import {
  accumulator,
  BatchBuilder,
  type Column,
  createMemory,
  type DataType,
  f64,
  GroupTable,
  i32,
  i64,
  Schema,
  type SharedMemory,
  SlabAllocator,
  SlotLayout,
  u32,
  utf8,
} from '../../core/index.ts';
import { type BenchCase, type Contest, type Input, ROWS } from '../harness.ts';
import { cppGroupBy } from '../peers/cpp.ts';
import { duckdbGroupBy } from '../peers/duckdb.ts';
import { mapGroupBy } from '../peers/map.ts';
import { polarsGroupBy } from '../peers/polars.ts';
import {
  type GroupByQuestion,
  GroupDigest,
  groupByReference,
  highOf,
  type KeyKind,
  pairOf,
  readRows,
  textOf,
  weightOfLong,
  weightOfText,
  weightOfWord,
  wordOf,
  writeRows,
} from './group-by-input.ts';

const CALL_ROWS = 8_192;
const TILE = 1_024;
const M = 1_000_000;

function groupByCase(name: string, rooms: readonly string[], question: GroupByQuestion, full: number, quick: number): BenchCase {
  const { kind, keyCount } = question;
  const asked = ({ size, effort }: Input): GroupByQuestion => (effort === 'tiny' ? { ...question, keyCount: Math.min(keyCount, size / 2) } : question);
  const isHuge = keyCount > 5 * M;
  return {
    name,
    rooms,
    unit: ROWS,
    sizes: { full, quick, tiny: 20_000 },
    setup: (input) => writeRows(input, asked(input).keyCount),
    expected: (input) => groupByReference(input, asked(input)),
    ours: { start: (input) => oursOf(input, asked(input)) },
    peers: {
      duckdb1: duckdbGroupBy(kind, 1),
      duckdb2: duckdbGroupBy(kind, 2),
      polars1: polarsGroupBy(kind),
      cpp: cppGroupBy(question, 'same'),
      ...(kind === 'u32' ? { cppPlain: cppGroupBy(question, 'plain') } : {}),
      // The kernels' TypeScript reference, for places where WebAssembly may not run.
      typescript: {
        isHeavy: true,
        env: { MILLRACE_KERNELS: 'typescript' },
        start: (input) => oursOf(input, asked(input)),
        tooSlow: isHuge ? { efforts: ['quick', 'full'], why: 'only up to 1M keys' } : { efforts: ['quick'], why: 'not in --quick' },
      },
      map: { ...mapGroupBy(kind), ...(isHuge ? { tooSlow: { efforts: ['quick'], why: '10 s a run: not in --quick' } } : {}) },
    },
  };
}

export const groupByCases: readonly BenchCase[] = [
  groupByCase('group-by/u32/100', ['group-by'], { kind: 'u32', keyCount: 100, isGrowing: false }, 20 * M, 3 * M),
  groupByCase('group-by/u32/10k', ['group-by'], { kind: 'u32', keyCount: 10_000, isGrowing: false }, 20 * M, 3 * M),
  groupByCase('group-by/u32/1M-growing', ['group-by'], { kind: 'u32', keyCount: M, isGrowing: true }, 20 * M, 4 * M),
  groupByCase('group-by/u32/10M-growing', ['group-by'], { kind: 'u32', keyCount: 10 * M, isGrowing: true }, 20 * M, 10 * M),
  groupByCase('group-by/i64/1M', ['group-by'], { kind: 'i64', keyCount: M, isGrowing: false }, 20 * M, 3 * M),
  groupByCase('group-by/utf8/10k', ['group-by', 'strings'], { kind: 'utf8', keyCount: 10_000, isGrowing: false }, 10 * M, 2 * M),
  groupByCase('group-by/utf8/1M', ['group-by', 'strings'], { kind: 'utf8', keyCount: M, isGrowing: false }, 10 * M, 3 * M),
  groupByCase('group-by/utf8+i32/100k', ['group-by', 'strings'], { kind: 'utf8+i32', keyCount: 100_000, isGrowing: false }, 10 * M, 2 * M),
];

const KEY_TYPES: Readonly<Record<KeyKind, readonly DataType[]>> = { u32: [u32], i64: [i64], utf8: [utf8], 'utf8+i32': [utf8, i32] };

function oursOf(input: Input, { kind, keyCount, isGrowing }: GroupByQuestion): Contest {
  const { ids, values } = readRows(input);
  const rowCount = ids.length;
  // A table beyond half of the memory needs the other half for its next size. The rows then stay outside, and
  // each call copies its own in first, as a source does.
  const isHuge = keyCount > 5_000_000;
  const slabs = new SlabAllocator(createMemory(input.effort === 'tiny' ? 64 << 20 : isHuge ? 65_535 * 65_536 : 2 ** 31));
  const { memory } = slabs;
  const held = isHuge ? CALL_ROWS : rowCount;
  const keys = KEY_TYPES[kind].map((type): { column: Column; fill(from: number, to: number): void } => keyColumn(slabs, type, kind, ids, held));
  const value: Column = { type: f64, data: slabs.alloc(held * 8), offsets: 0, validity: 0 };
  const fill = (from: number, to: number): void => {
    for (const key of keys) key.fill(from, to);
    memory.f64.set(values.subarray(from, to), value.data >>> 3);
  };
  if (!isHuge) fill(0, rowCount);
  const layout = new SlotLayout(KEY_TYPES[kind], [accumulator('count'), accumulator('sum', f64), accumulator('min', f64), accumulator('max', f64)]);
  const columns = keys.map(({ column }) => column);
  const inputs = [undefined, value, value, value];
  const lane = slabs.alloc(TILE * 8 * 4);
  let table: GroupTable | undefined;
  let read = 0;
  return {
    units: rowCount,
    before() {
      table?.release();
      table = new GroupTable(slabs, layout, isGrowing ? {} : { capacityMin: keyCount * 2 });
    },
    run() {
      const of = table as GroupTable;
      for (let from = 0; from < rowCount; from += CALL_ROWS) {
        const to = Math.min(rowCount, from + CALL_ROWS);
        if (isHuge) {
          fill(from, to);
          of.update(columns, inputs, 0, to - from);
        } else of.update(columns, inputs, from, to);
      }
      read = 0;
      of.eachTile((slots, count) => {
        for (let a = 0; a < 4; a++) of.gatherF64(slots, count, a, lane + a * TILE * 8);
        read += sumOf(memory, lane, count);
      });
      if (Number.isNaN(read)) throw new Error('bench: a value is no number');
    },
    digest: () => digestOf(slabs, table as GroupTable, kind, lane),
  };
}

function sumOf({ f64: doubles }: SharedMemory, lane: number, count: number): number {
  let sum = 0;
  for (let a = 0; a < 4; a++) {
    const at = (lane >>> 3) + a * TILE;
    for (let i = 0; i < count; i++) sum += doubles[at + i] as number;
  }
  return sum;
}

/**
 * A column of keys with room for `held` rows, and the function that puts rows `from` to `to` at its start.
 */
function keyColumn(
  slabs: SlabAllocator,
  type: DataType,
  kind: KeyKind,
  ids: Uint32Array,
  held: number,
): { column: Column; fill(from: number, to: number): void } {
  const { u8, u32: words, i32: ints } = slabs.memory;
  if (type.name === 'utf8') {
    const text = kind === 'utf8' ? textOf : (id: number) => pairOf(id).text;
    const known = new Map<number, Uint8Array>();
    const bytesOf = (id: number): Uint8Array => {
      let bytes = known.get(id);
      if (bytes === undefined) known.set(id, (bytes = Buffer.from(text(id))));
      return bytes;
    };
    let total = 0;
    for (const id of ids) total += bytesOf(id).length;
    const column: Column = { type, data: slabs.alloc(total), offsets: slabs.alloc((held + 1) * 4), validity: 0 };
    return {
      column,
      fill(from, to) {
        let at = 0;
        const offsets = column.offsets >>> 2;
        ints[offsets] = 0;
        for (let row = from; row < to; row++) {
          const bytes = bytesOf(ids[row] as number);
          u8.set(bytes, column.data + at);
          at += bytes.length;
          ints[offsets + row - from + 1] = at;
        }
      },
    };
  }
  const column: Column = { type, data: slabs.alloc(held * type.width), offsets: 0, validity: 0 };
  const data = column.data >>> 2;
  // Made once, so that filling is just a copy.
  const made = new Uint32Array(ids.length * (type.width >>> 2));
  ids.forEach((id, row) => {
    if (type.width === 8) {
      made[row * 2] = wordOf(id);
      made[row * 2 + 1] = highOf(id);
    } else made[row] = kind === 'u32' ? wordOf(id) : pairOf(id).number;
  });
  const step = type.width >>> 2;
  return { column, fill: (from, to) => words.set(made.subarray(from * step, to * step), data) };
}

function digestOf(slabs: SlabAllocator, table: GroupTable, kind: KeyKind, lane: number): readonly number[] {
  const { u8, u32: words, i32: ints, f64: doubles } = slabs.memory;
  const out = new BatchBuilder(slabs, new Schema(KEY_TYPES[kind].map((type, k) => ({ name: `k${k}`, type }))), TILE);
  const digest = new GroupDigest();
  const weightAt = (i: number): number => {
    const [first, second] = out.columns;
    if (first === undefined) throw new Error('bench: no key');
    const { data } = first;
    if (kind === 'u32') return weightOfWord(words[(data >>> 2) + i] as number);
    if (kind === 'i64') return weightOfLong(words[(data >>> 2) + i * 2 + 1] as number, words[(data >>> 2) + i * 2] as number);
    const from = ints[(first.offsets >>> 2) + i] as number;
    const to = ints[(first.offsets >>> 2) + i + 1] as number;
    return weightOfText(to - from, u8[data + from + 1] as number) + (second === undefined ? 0 : (ints[(second.data >>> 2) + i] as number));
  };
  table.eachTile((slots, count) => {
    out.reset();
    for (let k = 0; k < out.columns.length; k++) table.readKeys(slots, count, k, out, k, 0);
    for (let a = 0; a < 4; a++) table.gatherF64(slots, count, a, lane + a * TILE * 8);
    const at = lane >>> 3;
    for (let i = 0; i < count; i++) {
      digest.add(
        weightAt(i),
        doubles[at + i] as number,
        doubles[at + TILE + i] as number,
        doubles[at + 2 * TILE + i] as number,
        doubles[at + 3 * TILE + i] as number,
      );
    }
  });
  out.release();
  return digest.digest();
}
