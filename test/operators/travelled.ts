// Blocks as they come to other processes: cut by shards, copied, and brought to another address. Not a test.

import assert from 'node:assert/strict';
import { SHARD_COUNT, type SlabAllocator } from '../../core/index.ts';
import { type ExchangeOperator, exchangeBlockBytes, exchangeBlockRows } from '../../operators/index.ts';

/** @returns the parts, in place of the blocks, which are freed */
export function travelled(
  slabs: SlabAllocator,
  operator: Pick<ExchangeOperator, 'slice' | 'relocate' | 'piecesOf'>,
  blocks: readonly number[],
  parts: number,
): number[] {
  const { memory } = slabs;
  const came: number[] = [];
  const size = SHARD_COUNT / parts;
  for (const block of blocks) {
    let [rows, pieces] = [0, 0];
    for (let from = 0; from < SHARD_COUNT; from += size) {
      const slice = operator.slice(slabs, block, from, from + size);
      if (slice === 0) continue;
      const bytes = memory.u8.slice(slice, slice + exchangeBlockBytes(memory, slice));
      // What lies there now must not be what is read.
      const address = slabs.alloc(bytes.length);
      memory.u8.fill(0xaa, slice, slice + bytes.length);
      slabs.free(slice);
      memory.u8.set(bytes, address);
      assert.notEqual(operator.relocate?.(memory, address, slice), false);
      rows += exchangeBlockRows(memory, address);
      pieces += operator.piecesOf(memory, address);
      came.push(address);
    }
    assert.deepEqual([rows, pieces], [exchangeBlockRows(memory, block), operator.piecesOf(memory, block)]);
    slabs.free(block);
  }
  return came;
}
