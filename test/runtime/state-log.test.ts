/** The state log: what is written of shards and blocks is what comes back, in another memory, too. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHARD_COUNT } from '../../core/index.ts';
import { orderExchangeBlocks } from '../../operators/index.ts';
import { StateReader } from '../../runtime/state-log/index.ts';
import { EPOCHS, logged, opened, ranges, World } from './logged-shards.ts';

test('bases and blocks, in another memory: the same results, with long texts, sets and sketches', () => {
  const { bytes, world: first } = logged();
  const reader = new StateReader(ranges, EPOCHS, opened(bytes));
  const world = new World();
  // Everything lies elsewhere here.
  world.slabs.alloc(4_096);
  world.slabs.alloc(123_456);
  const bases = Array.from({ length: SHARD_COUNT }, (_, shard) => reader.baseOf(0, shard));
  world.shards = bases.map((_, shard) => world.open(shard, reader.stateOf(0, shard)));
  assert.ok(Math.min(...bases) < EPOCHS, 'there is something to do again');
  for (const { epoch } of reader.epochs(Math.min(...bases))) {
    const { memory } = world.slabs;
    const blocks = reader.blocks(epoch, 0).map(({ bodyBytes, address: was }, at) => {
      const address = world.slabs.alloc(bodyBytes);
      reader.readBlock(epoch, 0, at, memory.u8.subarray(address, address + bodyBytes));
      assert.ok(world.operator.relocate(memory, address, was));
      return address;
    });
    orderExchangeBlocks(memory, blocks);
    world.shards.forEach((shard, number) => {
      if ((bases[number] as number) >= epoch) return;
      shard.merge(blocks);
      shard.advance(Number.NEGATIVE_INFINITY);
    });
    for (const block of blocks) world.slabs.free(block);
  }
  // Rows of all groups, in one more epoch.
  for (const one of [first, world]) {
    one.rows.length = 0;
    one.merge(one.scan(EPOCHS + 1));
  }
  assert.ok(world.rows.length > 10);
  assert.deepEqual(world.rows, first.rows);
});
