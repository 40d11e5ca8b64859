/** The state log: what is written of shards and blocks is what comes back, in another memory, too. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHARD_COUNT } from '../../core/index.ts';
import { orderExchangeBlocks } from '../../operators/index.ts';
import { type StateLog, StateReader, StateWriter, segmentName, segmentRanges, stateBytesOf } from '../../runtime/state-log/index.ts';
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

test('a shard that is large is written over several epochs, and read as of the one of its snapshot', () => {
  const world = new World(false);
  const blocks = world.scan(1);
  let epoch = 0;
  const stateOf = (shard: number, of: number) => ({
    shard,
    of,
    bytes: Uint8Array.from({ length: 300_000 + shard * 250_000 }, (_, i) => (i * (of + 7) + shard) & 255),
  });
  const shards = [0, 1, 2].map((shard) => ({ exchange: 0, shard, base: undefined, stateBytes: () => stateBytesOf(stateOf(shard, epoch)) }));
  const segments = new Map<string, Uint8Array[]>();
  let open: Uint8Array[] = [];
  const log: StateLog = {
    roll: (from) => void segments.set(segmentName({ run: 1, worker: 0, from }), (open = [])),
    append: (pieces) => void open.push(...pieces.map((piece) => piece.slice())),
  };
  const head = { workers: 1, nowMs: 0, before: [Number.NEGATIVE_INFINITY], after: [Number.NEGATIVE_INFINITY] };
  const writer = new StateWriter(world.slabs.memory, log, 0, shards, 1, { ...head, epoch: 0 });
  const atStart = writer.bytesWritten;
  const seen = new Set<number>();
  let most = 0;
  for (epoch = 1; epoch <= 1_500; epoch++) {
    const before = writer.bytesWritten;
    writer.endEpoch({ ...head, epoch }, [{ exchange: 0, blocks }]);
    most = Math.max(most, writer.bytesWritten - before);
    if (epoch % 37 !== 0 && !(writer.bytesWritten - before > 200_000)) continue;
    // What a crash may have left behind the checkpoint does not matter.
    const torn = open;
    const files = new Map(
      [...segments].map(([name, pieces]) => [name, Uint8Array.from(Buffer.concat(pieces === torn ? [...pieces, Buffer.from('torn')] : pieces))]),
    );
    const found = segmentRanges([...files.keys()], 1, [], epoch, writer.oldestBase);
    const reader = new StateReader(found, epoch, (name) => opened(files.get(name) as Uint8Array)(name));
    for (const { shard } of shards) {
      const base = reader.baseOf(0, shard);
      assert.ok(base >= writer.oldestBase && base <= epoch);
      assert.deepEqual(reader.stateOf(0, shard), stateOf(shard, base));
      seen.add(base);
    }
    reader.close();
  }
  assert.ok(seen.size > 6, 'several rounds');
  assert.ok(segments.size > 1, 'several segments');
  // The last piece of one shard, and the first of the next.
  assert.ok(most < 600_000, `${most} bytes in one epoch, of ${atStart} at the start`);
});
