/**
 * Keys in the order of the hash, and keys chosen against it, through a whole plan: what comes out is right,
 * and the same bytes for any number of shards' owners.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mix32 } from '../../core/index.ts';
import { collect, count, countDistinct, i32, memory, pipeline, sum } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const COUNT = 6_000;

/**
 * What our own output looks like that is read again: keys in the order of their hashes, of a part of all
 * there are.
 */
const ordered = Array.from({ length: COUNT * 30 }, (_, i) => i)
  .sort((a, b) => mix32(a) - mix32(b))
  .slice(0, COUNT);

test('an aggregate of keys in the order of the hash, and one behind it', () => {
  const outputs = [1, 3].map((shards) => {
    const totals = collect();
    const numbers = pipeline('ordered').from(memory([], { schema: { k: i32 } }));
    const driver = testDriver(
      numbers
        .keyBy('k')
        .aggregate({ rows: count(), sum: sum('k'), different: countDistinct('k') })
        .to(totals),
      { shards },
    );
    for (let epoch = 0; epoch < 2; epoch++) {
      driver.send(ordered.map((k) => ({ k })));
      driver.endEpoch();
    }
    return driver.output(totals);
  });
  const [one, three] = outputs as [Record<string, unknown>[], Record<string, unknown>[]];
  assert.deepEqual(one, three);
  const last = new Map(one.map((row) => [row['k'] as number, row]));
  assert.equal(last.size, COUNT);
  for (const [k, row] of last) assert.deepEqual({ ...row }, { k, rows: 2, sum: 2 * k, different: row['different'] });
  assert.ok([...last.values()].every(({ different }) => Number(different) === 1));
});
