import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupReference } from '../../core/groups/group-kernels.ts';
import { type GroupKernels, TILE_ROWS } from '../../core/groups/kernel-signatures.ts';
import {
  accumulator,
  createMemory,
  type DataType,
  f64,
  GroupTable,
  i32,
  i64,
  nullable,
  SlabAllocator,
  SlotLayout,
  seededRng,
  u32,
  utf8,
} from '../../core/index.ts';
import { kernelExports } from '../../core/memory/kernel-module.ts';

// The fused kernel beside its reference, over the same memory from the same bytes; values of every awkward kind.

const SPECIAL = [Number.NaN, -0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e308, -1e308, 5e-324];
const KEYS: readonly (readonly DataType[])[] = [[u32], [nullable(u32)], [i64], [utf8], [utf8, i32], [i32, utf8], [utf8, utf8], [u32, i64], []];
const AGGREGATES = [['count', 'sum', 'min', 'max'], ['count', 'sum', 'max', 'min'], ['sum'], ['min'], ['max', 'count']] as const;

const memory = createMemory(16 << 20);
const wasm = kernelExports<GroupKernels>(memory);

for (const keys of KEYS) {
  for (const names of AGGREGATES) {
    const title = `${names.join('+')} by ${keys.map(({ name, nullable: isNull }) => name + (isNull ? '?' : '')).join('+') || 'nothing'}`;
    test(`fused: ${title}`, { skip: wasm === undefined }, () => {
      const rng = seededRng(title.length);
      const slabs = new SlabAllocator(memory);
      const layout = new SlotLayout(
        keys,
        names.map((name) => (name === 'count' ? accumulator('count') : accumulator(name, f64))),
      );
      const { keyBytes, slotBytes } = layout;
      const table = new GroupTable(slabs, layout, { capacityMin: 64 });
      const images = slabs.alloc(TILE_ROWS * keyBytes);
      const slots = slabs.alloc(TILE_ROWS * 4);
      const values = slabs.alloc(TILE_ROWS * 8);
      const text = slabs.alloc(64);
      const at = (name: string) => layout.accumulators.find(({ accumulator: { name: other } }) => other === name)?.offset ?? 0;
      // Images of 40 keys whose tags crowd: few homes, some the same tag, some at the last slot.
      for (let i = 0; i < TILE_ROWS; i++) {
        const key = rng.int(40);
        const image = images + i * keyBytes;
        memory.u8.fill(0, image, image + keyBytes);
        memory.u32[image >>> 2] = (key % 3 === 0 ? 0xffff_ff00 + key : key % 3 === 1 ? 0x8000_0000 + (key << 20) : 0x1234_5677) | 1;
        for (const { offset, shape, inlineBytes } of layout.keys) {
          if (shape !== 'bytes' || key % 5 !== 0) {
            memory.u32[(image + offset) >>> 2] = shape === 'bytes' ? 4 : key;
            memory.u32[(image + offset + 4) >>> 2] = shape === 'bytes' ? key : (memory.u32[(image + offset + 4) >>> 2] as number);
          } else {
            // A string that lies outside: the same bytes at one of two places.
            memory.u32[(image + offset) >>> 2] = inlineBytes + 1 + (key % 7);
            memory.u32[(image + offset + 4) >>> 2] = text + (i % 2) * 8;
          }
        }
        memory.f64[(values >>> 3) + i] = rng.int(8) === 0 ? (SPECIAL[rng.int(SPECIAL.length)] as number) : (rng.int(2_000_000) - 1e6) / 7;
      }
      const before = memory.u8.slice();
      const run = (kernels: GroupKernels): { done: number; bytes: Uint8Array } => {
        memory.u8.set(before);
        const done = kernels.groupProbeFuse(table.address, images, keyBytes, TILE_ROWS, slots, values, at('count'), at('sum'), at('min'), at('max'));
        memory.u8.fill(0, slots, slots + TILE_ROWS * 4);
        return { done, bytes: memory.u8.slice() };
      };
      const expected = run(groupReference(memory));
      const actual = run(wasm as GroupKernels);
      assert.equal(actual.done, expected.done);
      assert.ok(expected.done > 20, `${expected.done} rows at ${slotBytes} bytes a slot`);
      assert.equal(firstDifference(actual.bytes, expected.bytes), -1, 'address of the first difference');
    });
  }
}

/** Where two copies of the memory differ first; -1: nowhere. A NaN is a NaN: which sign an infinity less itself has is the engine's affair. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return -1;
  const [wordsA, wordsB] = [new BigUint64Array(a.buffer, a.byteOffset, a.length / 8), new BigUint64Array(b.buffer, b.byteOffset, b.length / 8)];
  const [floatsA, floatsB] = [new Float64Array(wordsA.buffer, a.byteOffset), new Float64Array(wordsB.buffer, b.byteOffset)];
  const at = wordsA.findIndex((word, i) => word !== wordsB[i] && !(Number.isNaN(floatsA[i]) && Number.isNaN(floatsB[i])));
  return at < 0 ? -1 : at * 8;
}
