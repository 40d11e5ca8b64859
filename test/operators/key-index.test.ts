/** KeyIndex against a Map, with keys that all have one hash: the same ids as for any others. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, createMemory, i64, Schema, SlabAllocator, seededRng, utf8 } from '../../core/index.ts';
import { KeyIndex } from '../../operators/by-key/key-index.ts';

const slabs = new SlabAllocator(createMemory(32 << 20));
const KEYS = 2_000;

for (const [name, hashOf] of [
  ['hashes that differ', (n: number) => Math.imul(n, 0x9e37_79b1) >>> 0],
  ['one hash', () => 0x1234_5678],
  ['neighbouring hashes', (n: number) => n >> 3],
] as const) {
  test(`keys come and go: ${name}`, () => {
    const builder = new BatchBuilder(
      slabs,
      new Schema([
        { name: 'k', type: i64 },
        { name: 't', type: utf8 },
      ]),
      KEYS,
    );
    for (let n = 0; n < KEYS; n++) {
      builder.setValue(0, n, BigInt(n));
      builder.setValue(1, n, `key ${n}`.repeat(1 + (n % 5)));
    }
    const { columns } = builder.finish(KEYS);
    const index = new KeyIndex(slabs, [i64, utf8]);
    const model = new Map<number, number>();
    const free: number[] = [];
    let used = 0;
    const random = seededRng(7);
    for (let step = 0; step < 12_000; step++) {
      const n = random.int(step < 4_000 ? KEYS : 600);
      if (model.has(n) && random.chance(0.45)) {
        index.remove(model.get(n) as number);
        free.push(model.get(n) as number);
        model.delete(n);
      } else {
        const expected = model.get(n) ?? free.pop() ?? used++;
        assert.equal(index.intern(columns, n, hashOf(n)), expected);
        assert.equal(index.hashOf(expected), hashOf(n));
        model.set(n, expected);
      }
      assert.equal(index.size, model.size);
    }
    for (const [n, id] of model) assert.equal(index.internRecord(index.copyOut(id), hashOf(n)), id);
    index.release();
    builder.release();
  });
}
