/**
 * Sets and tables of values in aggregates, where the values were chosen to meet: exact still, and in the
 * order in which they came.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addLong, eachLong, longCount } from '../../core/groups/accumulators/long-set.ts';
import type { StateArena } from '../../core/groups/accumulators/state.ts';
import { addValue, eachValue, valueCount } from '../../core/groups/accumulators/value-table.ts';
import { attachMemory, mix32 } from '../../core/index.ts';

const COUNT = 3_000;

function arenaOf(): StateArena & { field: number } {
  const memory = attachMemory(new SharedArrayBuffer(32 << 20));
  let at = 4_096;
  return {
    memory,
    field: 64,
    alloc(bytes) {
      const address = at;
      at += Math.ceil(bytes / 8) * 8;
      return address;
    },
    discard() {},
  };
}

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
function unmix32(hash: number): number {
  let x = unshift(Math.imul(unshift(hash, 15), inverse(0x73_5a_2d_97)), 15);
  x = Math.imul(x, inverse(0x21_f0_aa_ad));
  return (x ^ (x >>> 16)) >>> 0;
}
/** Halves of longs that a hash mix32(low ^ mix32(high ^ seed)) gives one value. */
const alike = (seed: number) => Array.from({ length: COUNT }, (_, i) => [(unmix32(77) ^ mix32((i + 1) ^ seed)) >>> 0, i + 1] as const);

test('a set of longs that all have one hash', () => {
  const arena = arenaOf();
  const values = alike(0x5b_d1_e9_95);
  for (let round = 0; round < 2; round++)
    for (const [n, [low, high]] of values.entries()) {
      addLong(arena, arena.field, low, high);
      if (round === 0 && n % 500 === 0) assert.equal(longCount(arena.memory, arena.field), n + 1);
    }
  addLong(arena, arena.field, 0, 0);
  assert.equal(longCount(arena.memory, arena.field), COUNT + 1);
  assert.ok((arena.memory.u32[((arena.memory.u32[(arena.field >>> 2) + 1] as number) >>> 2) + 2] as number) > 1, 'it has a secret');
  const seen = new Set<string>();
  eachLong(arena.memory, arena.field, (low, high) => seen.add(`${low} ${high}`));
  assert.deepEqual(seen, new Set([...values, [0, 0] as const].map(([low, high]) => `${low} ${high}`)));
});

test('a table of values that all have one hash keeps counts, and the order in which they came', () => {
  const arena = arenaOf();
  const { u8, u32 } = arena.memory;
  const at = 128;
  const values = alike(0x3c_6e_f3_72);
  const add = (low: number, high: number, count: number) => {
    u32[at >>> 2] = low;
    u32[(at >>> 2) + 1] = high;
    addValue(arena, arena.field, at, 8, count);
  };
  for (const [low, high] of values) add(low, high, 1);
  for (const [low, high] of values.slice(0, 100)) add(low, high, 2);
  u8.set(Buffer.from('a text'), at);
  addValue(arena, arena.field, at, 6, 5);
  assert.equal(valueCount(arena.memory, arena.field), COUNT + 1);
  assert.ok((u32[((u32[(arena.field >>> 2) + 1] as number) + 24) >>> 2] as number) > 0, 'it has a secret');
  const seen: string[] = [];
  eachValue(arena.memory, arena.field, (start, length, count) =>
    seen.push(length === 8 ? `${u32[start >>> 2]} ${u32[(start >>> 2) + 1]}: ${count}` : `${Buffer.from(u8.slice(start, start + length))}: ${count}`),
  );
  assert.deepEqual(seen, [...values.map(([low, high], i) => `${low} ${high}: ${i < 100 ? 3 : 1}`), 'a text: 5']);
});
