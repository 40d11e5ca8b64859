// The snapshot of a shard as bytes, and back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateBytesOf, stateOfBytes } from '../../runtime/state-log/index.ts';

test('arrays of bytes are of their own size when they come back, and everything is as it was', () => {
  const state = {
    entries: Array.from({ length: 50 }, (_, i) => ({ id: `k${i}`, bytes: new Uint8Array(i).fill(i), words: Float64Array.of(i, -i) })),
    map: new Map<unknown, unknown>([[1n, new Set([undefined, null, Number.NaN])]]),
    at: new Date(7),
  };
  const back = stateOfBytes(stateBytesOf(state)) as typeof state;
  assert.deepEqual(back, state);
  for (const { bytes } of back.entries) assert.equal(bytes.buffer.byteLength, bytes.length);
});
