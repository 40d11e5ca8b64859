/**
 * Group tables whose keys were chosen against the hash, or come in its order: the same groups as any others,
 * the same bytes from kernels and reference, no time spent.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INDEX } from '../../core/groups/header.ts';
import {
  accumulator,
  attachMemory,
  BatchBuilder,
  binary,
  createMemory,
  type DataType,
  f64,
  GroupTable,
  hashBytes,
  hashLong,
  hashWord,
  i32,
  i64,
  mix32,
  nullable,
  Schema,
  type SharedMemory,
  SlabAllocator,
  SlotLayout,
  StateReader,
  StateWriter,
  seededRng,
  u32,
  utf8,
} from '../../core/index.ts';
import { kernelExports } from '../../core/kernels.ts';
import { caseCount, seedOf } from '../seed.ts';

const MEMORY_BYTES = 64 << 20;
const RUNS = caseCount(30);
const LONG_SEED = 0x9e37_79b9;
const wasm = createMemory(MEMORY_BYTES);
const memories: readonly SharedMemory[] = [attachMemory(new SharedArrayBuffer(MEMORY_BYTES)), ...(kernelExports(wasm) === undefined ? [] : [wasm])];
const engines = memories.map((memory) => new SlabAllocator(memory));

/** The odd number by which another one, times it, is 1 modulo 2^32. */
function inverse(odd: number): number {
  let x = odd;
  for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}
const unshift = (value: number, by: number): number => {
  let x = value;
  for (let i = 0; i < 3; i++) x = value ^ (x >>> by);
  return x;
};
/** The word that mix32 makes this of. */
function unmix32(hash: number): number {
  let x = unshift(hash, 15);
  x = unshift(Math.imul(x, inverse(0x73_5a_2d_97)), 15);
  x = Math.imul(x, inverse(0x21_f0_aa_ad));
  return (x ^ (x >>> 16)) >>> 0;
}
const lane = (word: number, factor: number): number => {
  const k = Math.imul(word, factor);
  return Math.imul((k << 15) | (k >>> 17), 0x1b_87_35_93);
};
const unlane = (sum: number, factor: number): number => {
  const k = Math.imul(sum, inverse(0x1b_87_35_93));
  return Math.imul((k >>> 15) | (k << 17), inverse(factor)) >>> 0;
};

/** Strings, each with a hash that has the same top bits: found by trying. */
function textsAlike(count: number, prefix: string): string[] {
  const texts: string[] = [];
  const bytes = new Uint8Array(256);
  for (let n = 0; texts.length < count; n++) {
    const text = `${prefix}${n.toString(36)}`;
    const { written } = new TextEncoder().encodeInto(text, bytes);
    if (hashBytes(bytes, 0, written, 0) >>> 25 === 5) texts.push(text);
  }
  return texts;
}

interface Chosen {
  readonly types: readonly DataType[];
  keys(count: number): readonly (readonly unknown[])[];
}

const halves = new DataView(new ArrayBuffer(8));
/** Longs whose whole hash is the same. */
function longsAlike(count: number, read: () => unknown): (readonly unknown[])[] {
  return Array.from({ length: count }, (_, high) => {
    halves.setUint32(4, high, true);
    halves.setUint32(0, unmix32(0x1234_5678) ^ mix32(high ^ LONG_SEED), true);
    return [read()];
  });
}
const CHOSEN: Readonly<Record<string, Chosen>> = {
  'i32 of neighbouring hashes': { types: [i32], keys: (count) => Array.from({ length: count }, (_, i) => [unmix32(0x4000_0000 + i) | 0]) },
  'u32 of neighbouring hashes': { types: [u32], keys: (count) => Array.from({ length: count }, (_, i) => [unmix32(0xffff_ffff - i)]) },
  'i64 of one hash': { types: [i64], keys: (count) => longsAlike(count, () => halves.getBigInt64(0, true)) },
  'f64 of one hash': { types: [nullable(f64)], keys: (count) => longsAlike(count, () => halves.getFloat64(0, true)) },
  'binary of one hash': {
    types: [binary],
    keys: (count) =>
      Array.from({ length: count }, (_, i) => {
        halves.setUint32(0, i, true);
        halves.setUint32(4, unlane((0x0bad_cafe - lane(i, 0xcc_9e_2d_51)) | 0, 0x85_eb_ca_6b), true);
        return [new Uint8Array(halves.buffer.slice(0))];
      }),
  },
  'short texts': { types: [utf8], keys: (count) => textsAlike(count, '').map((text) => [text]) },
  'long texts': { types: [nullable(utf8)], keys: (count) => textsAlike(count, 'a text that does not fit into a slot ').map((text) => [text]) },
  'a text and a number': {
    types: [utf8, i32],
    keys: (count) => {
      const bytes = new TextEncoder().encode('page');
      const seed = hashBytes(bytes, 0, bytes.length, 0);
      return Array.from({ length: count }, (_, i) => ['page', (unmix32(0x7000_0000 + i) ^ seed) | 0]);
    },
  },
  'the order of the hash': {
    types: [i32],
    keys: (count) =>
      Array.from({ length: count * 40 }, (_, i) => i)
        .sort((a, b) => mix32(a) - mix32(b))
        .slice(0, count)
        .map((key) => [key]),
  },
};

function batchOf(slabs: SlabAllocator, types: readonly DataType[], keys: readonly (readonly unknown[])[]) {
  const builder = new BatchBuilder(slabs, new Schema(types.map((type, c) => ({ name: `k${c}`, type }))), Math.max(8, keys.length));
  keys.forEach((key, row) => {
    types.forEach((_, c) => builder.setValue(c, row, key[c]));
  });
  return { columns: builder.finish(keys.length).columns, release: () => builder.release() };
}

const isCrowded = (table: GroupTable): boolean => table.memory.u32[(table.address + INDEX) >>> 2] !== 0;
const textOf = (key: readonly unknown[]): string =>
  key.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value))).join('|');

/** Keys and counts in the order of the slots. */
function contentsOf(table: GroupTable, types: readonly DataType[]): [string, bigint][] {
  const contents: [string, bigint][] = [];
  table.eachTile((slots, count) => {
    for (let i = 0; i < count; i++) {
      const slot = table.memory.u32[(slots >>> 2) + i] as number;
      contents.push([textOf(types.map((_, k) => table.keyAt(slot, k))), table.valueAt(slot, 0) as bigint]);
    }
  });
  return contents;
}

test('the chosen keys are what they are said to be', () => {
  for (let i = 0; i < 1_000; i++) assert.equal(mix32(unmix32(i * 4_000_001)), (i * 4_000_001) >>> 0);
  const keys = (name: string) => (CHOSEN[name] as Chosen).keys(50).map(([key]) => key);
  for (const [i, key] of keys('i32 of neighbouring hashes').entries()) assert.equal(hashWord(key as number, 0), 0x4000_0000 + i);
  for (const key of keys('i64 of one hash')) assert.equal(hashLong(Number(BigInt.asUintN(32, key as bigint)), Number((key as bigint) >> 32n), 0), 0x1234_5678);
  assert.equal(new Set(keys('binary of one hash').map((key) => hashBytes(key as Uint8Array, 0, 8, 0))).size, 1);
  for (const [name, { keys: make }] of Object.entries(CHOSEN)) assert.equal(new Set(make(500).map(textOf)).size, 500, name);
});

for (const [name, { types, keys: make }] of Object.entries(CHOSEN)) {
  test(`${name}: a table is crowded after a few, has every group, and is an ordinary one when it is cleared`, () => {
    const keys = make(4_000);
    const orders: [string, bigint][][] = [];
    for (const [turn, slabs] of [...engines, ...engines].entries()) {
      // What tables share stays with the allocator from the first turn on.
      const before = slabs.usage().usedBytes;
      const table = new GroupTable(slabs, new SlotLayout(types, [accumulator('count'), accumulator('sum', f64)]), { capacityMin: 64 });
      const { columns, release } = batchOf(slabs, types, keys);
      const values = batchOf(
        slabs,
        [f64],
        keys.map((_, i) => [i]),
      );
      const update = (from: number, to: number) => table.update(columns, [undefined, values.columns[0]], from, to);
      update(0, 300);
      assert.ok(isCrowded(table));
      update(300, keys.length);
      update(0, 1_000);
      assert.equal(table.size, keys.length);
      const contents = contentsOf(table, types);
      assert.deepEqual(new Map(contents), new Map(keys.map((key, i) => [textOf(key), i < 1_000 ? 2n : 1n])));
      for (const i of [0, 777, 3_999]) assert.equal(table.valueAt(table.find(keys[i] as unknown[]), 1), i < 1_000 ? i * 2 : i);
      orders.push(contents);

      // What it has written is what another one has that is made from it.
      const state = new StateWriter();
      table.snapshot(state);
      const twin = new GroupTable(slabs, table.layout, { capacityMin: 64 });
      twin.restore(new StateReader(state.finish()));
      assert.ok(isCrowded(twin));
      assert.deepEqual(contentsOf(twin, types), contents);
      twin.subtractTable(table);
      assert.equal(twin.size, 0);
      twin.mergeTable(table);
      assert.deepEqual(new Map(contentsOf(twin, types)), new Map(contents));

      table.clear();
      assert.ok(!isCrowded(table));
      update(0, 10);
      assert.equal(table.size, 10);
      for (const resource of [twin, table]) resource.release();
      release();
      values.release();
      if (turn >= engines.length) assert.equal(slabs.usage().usedBytes, before, 'all memory is given back');
    }
    assert.deepEqual(orders.at(-1), orders[0], 'kernels and reference leave the groups in one order');
  });
}

test('a fixed table is crowded too, and says when it is full', () => {
  for (const slabs of engines) {
    const keys = (CHOSEN['i32 of neighbouring hashes'] as Chosen).keys(4_000);
    const table = new GroupTable(slabs, new SlotLayout([i32], [accumulator('count')]), { capacityMin: 2_048, fixed: true });
    const { columns, release } = batchOf(slabs, [i32], keys);
    assert.equal(table.update(columns, [undefined], 0, keys.length), 1_024);
    assert.ok(isCrowded(table));
    const block = slabs.alloc(table.blockBytes);
    table.copyOut(block);
    const other = new GroupTable(slabs, table.layout);
    other.mergeBlock(block);
    assert.deepEqual(new Map(contentsOf(other, [i32])), new Map(contentsOf(table, [i32])));
    slabs.free(block);
    for (const resource of [table, other]) resource.release();
    release();
  }
});

test('random updates, merges, subtractions, snapshots and clears of crowded tables, against a Map', () => {
  const random = seededRng(seedOf(20_261_130));
  const names = Object.keys(CHOSEN);
  for (let run = 0; run < RUNS; run++) {
    const { types, keys: make } = CHOSEN[names[run % names.length] as string] as Chosen;
    const pool = make(600);
    const tables = engines.map((slabs) => {
      const layout = new SlotLayout(types, [accumulator('count'), accumulator('sum', f64)]);
      return { slabs, table: new GroupTable(slabs, layout, { capacityMin: 32 }), part: new GroupTable(slabs, layout, { capacityMin: 32 }) };
    });
    const model = new Map<string, bigint>();
    const parts: (readonly unknown[])[][] = [];
    const feed = (slabs: SlabAllocator, table: GroupTable, keys: readonly (readonly unknown[])[]) => {
      const { columns, release } = batchOf(slabs, types, keys);
      const values = batchOf(
        slabs,
        [f64],
        keys.map(() => [1]),
      );
      table.update(columns, [undefined, values.columns[0]], 0, keys.length);
      release();
      values.release();
    };
    let wasCrowded = false;
    for (let step = 0; step < 12; step++) {
      const action = random.int(8);
      const from = random.int(pool.length);
      const keys = step === 0 ? pool : pool.slice(from, from + 1 + random.int(400));
      if (action < 5 || step === 0) {
        for (const { slabs, table, part } of tables) {
          feed(slabs, part, keys);
          table.mergeTable(part);
          part.clear();
        }
        for (const key of keys) model.set(textOf(key), (model.get(textOf(key)) ?? 0n) + 1n);
        parts.push([...keys]);
      } else if (action < 7 && parts.length > 0) {
        const [gone] = parts.splice(random.int(parts.length), 1) as [(readonly unknown[])[]];
        for (const { slabs, table, part } of tables) {
          feed(slabs, part, gone);
          table.subtractTable(part);
          part.clear();
        }
        for (const key of gone) {
          const left = (model.get(textOf(key)) as bigint) - 1n;
          if (left === 0n) model.delete(textOf(key));
          else model.set(textOf(key), left);
        }
      } else {
        for (const entry of tables) {
          const state = new StateWriter();
          entry.table.snapshot(state);
          entry.table.release();
          entry.table = new GroupTable(entry.slabs, entry.part.layout, { capacityMin: 32 });
          entry.table.restore(new StateReader(state.finish()));
        }
      }
      const [first, ...others] = tables.map(({ table }) => contentsOf(table, types));
      for (const other of others) assert.deepEqual(other, first);
      assert.deepEqual(new Map(first), model);
      wasCrowded ||= tables.every(({ table }) => isCrowded(table));
    }
    assert.ok(wasCrowded);
    for (const { table, part } of tables) for (const resource of [table, part]) resource.release();
  }
});
