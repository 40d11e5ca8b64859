// Cases of windowed and running aggregation that random streams do not reach.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, Batch, BatchBuilder, createMemory, f64, i32, SlabAllocator, schema, timestamp, utf8 } from '../../core/index.ts';
import {
  Combiner,
  count,
  exchangeBlockOrigin,
  max,
  mean,
  min,
  orderExchangeBlocks,
  planAggregate,
  ResultWriter,
  shardAggregate,
  sliding,
  sum,
  tumbling,
} from '../../operators/index.ts';
import { type Epoch, modelEpochs, normal, runEpochs } from './aggregate-harness.ts';

const input = schema({ at: timestamp, page: utf8, user: i32, ms: f64 });
const click = (at: number, page = '/', ms = 1, user = 0): AnyRow => ({ at, page, user, ms });
const alone = { combiners: 1, spread: () => 0, batchRows: 4_096, delayMs: 0, partitions: 1 };
const epochsOf = (...epochs: AnyRow[][]): Epoch[] => {
  let first = 0;
  return epochs.map((rows) => [{ partition: 0, first: (first += 1_000), rows }]);
};

describe('windowed aggregation', () => {
  test('counts 20,000 rows of one key from 4 partitions to exactly 20,000, however they are spread', () => {
    const plan = planAggregate({ input, keys: ['page'], aggregates: { rows: count(), total: sum('ms') }, window: tumbling('1h'), eventTime: 'at' });
    const epoch: Epoch = Array.from({ length: 80 }, (_, i) => ({
      partition: i % 4,
      first: i * 250,
      rows: Array.from({ length: 250 }, (_, r) => click(r, '/hot', 0.1)),
    }));
    const outputs = [1, 2, 3, 4].map((combiners) =>
      runEpochs(plan, [epoch.slice(0, 33), epoch.slice(33)], { ...alone, partitions: 4, combiners, spread: (chunk) => (chunk * 7) % 5 }).results.map(
        ({ row }) => row,
      ),
    );
    for (const output of outputs) {
      assert.equal(output.length, 1);
      assert.equal(output[0]?.rows, 20_000);
      // 20,000 times the double that 0.1 is, correctly rounded.
      assert.equal(output[0]?.total, 2_000);
    }
  });

  test('flushes a full combiner and goes on: 50,000 keys in one chunk', () => {
    const plan = planAggregate({ input, keys: ['user'], aggregates: { rows: count(), most: max('ms') }, window: tumbling(1_000), eventTime: 'at' });
    const rows = Array.from({ length: 60_000 }, (_, i) => click(0, '/', i, i % 50_000));
    const { results } = runEpochs(plan, epochsOf(rows), alone);
    assert.equal(results.length, 50_000);
    for (const { row } of results) assert.deepEqual([row.rows, row.most], (row.user as number) < 10_000 ? [2, (row.user as number) + 50_000] : [1, row.user]);
  });

  test('passes on rows whose keys hardly come again, with the same bytes for any number of combiners', () => {
    const plan = planAggregate({ input, keys: ['user'], aggregates: { rows: count(), total: sum('ms') }, window: sliding(2_000, 1_000), eventTime: 'at' });
    // Chunks of 5,000 keys in two panes, every key twice in the stream; some chunks of one key, which are combined.
    const chunks = Array.from({ length: 8 }, (_, c) => ({
      partition: c % 2,
      first: c * 5_000,
      rows: Array.from({ length: 5_000 }, (_, i) => click(i % 3 === 0 ? 1_500 : 500, '/', 0.1 * i, c % 3 === 2 ? -1 : (c >> 2) * 10_000 + (c % 2) * 5_000 + i)),
    }));
    const stream = [chunks.slice(0, 5), chunks.slice(5)];
    const outputs = [1, 3].map((combiners) => runEpochs(plan, stream, { ...alone, partitions: 2, combiners, spread: (chunk) => chunk }));
    const [one, three] = outputs.map(({ results }) => results);
    assert.deepEqual(three, one);
    const model = modelEpochs(stream, {
      keys: ['user'],
      aggregates: { rows: (rows) => rows.length },
      window: { sizeMs: 2_000, slideMs: 1_000, offsetMs: 0, spec: sliding(2_000, 1_000) },
      delayMs: 0,
      partitions: 2,
    });
    const counted = (results: readonly { readonly row: AnyRow }[]) => results.map(({ row }) => `${row.user} ${row.windowStart} ${row.rows}`).sort();
    assert.deepEqual(counted(one ?? []), counted(model.results));
    for (const { leakedBytes } of outputs) assert.ok(leakedBytes < 1 << 20);
  });

  test('grows a table through all its sizes while keys come again', () => {
    const plan = planAggregate({ input, keys: ['user'], aggregates: { rows: count(), total: sum('ms') }, window: tumbling(1_000), eventTime: 'at' });
    const slabs = new SlabAllocator(createMemory(64 << 20));
    const combiner = new Combiner(slabs, plan);
    const builder = new BatchBuilder(slabs, input, 50);
    combiner.beginEpoch({ watermark: Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
    combiner.beginChunk({ source: 0, partition: 0, first: 0 });
    const model = new Map<number, number>();
    for (let i = 0, user = 1; i < 18_000; i += 50) {
      builder.reset();
      for (let r = 0; r < 50; r++) {
        user = (user * 48_271) % 2_147_483_647;
        const key = user % 6_000;
        builder.appendRow(click(0, '/', i, key));
        model.set(key, (model.get(key) ?? 0) + i);
      }
      combiner.add(builder.finish());
    }
    combiner.endChunk();
    const blocks = combiner.takeBlocks();
    assert.equal(blocks.length, 1, 'all in one table');
    const writer = new ResultWriter(slabs, plan);
    const found = new Map<number, number>();
    for (let s = 0; s < 64; s++) {
      const shard = shardAggregate(slabs, plan, s, writer);
      shard.merge(blocks[0] as number);
      shard.close((batch) => {
        for (const row of batch.toRows()) found.set(row.user as number, row.total as number);
      });
    }
    assert.deepEqual([...found].sort(), [...model].sort());
  });

  test('opens more panes in one chunk than it has tables for', () => {
    const plan = planAggregate({ input, keys: ['page'], aggregates: { rows: count() }, window: sliding(100, 10), eventTime: 'at' });
    const rows = Array.from({ length: 3_000 }, (_, i) => click((i * 7_919) % 20_000));
    const model = modelEpochs(epochsOf(rows), {
      keys: ['page'],
      aggregates: { rows: (r) => r.length },
      window: { sizeMs: 100, slideMs: 10, offsetMs: 0, spec: sliding(100, 10) },
      delayMs: 0,
      partitions: 1,
    });
    assert.deepEqual(normal(runEpochs(plan, epochsOf(rows), alone).results, plan.output), normal(model.results, plan.output));
  });

  test('jumps over empty time: 1 ms slides across 250,000 years', () => {
    for (const aggregates of [{ rows: count() }, { rows: count(), most: max('ms') }]) {
      const plan = planAggregate({ input, keys: ['page'], aggregates, window: sliding(5, 1), eventTime: 'at' });
      const { results } = runEpochs(plan, epochsOf([click(-8_640_000_000_000_000 + 10), click(0), click(8_640_000_000_000_000 - 10)]), alone);
      assert.equal(results.length, 15);
      assert.ok(results.every(({ row }) => row.rows === 1 && (row.windowEnd as number) - (row.windowStart as number) === 5));
    }
  });

  test('bounds the drift of a running sum over thousands of slides', () => {
    const plan = planAggregate({ input, keys: ['page'], aggregates: { total: sum('ms') }, window: sliding(30, 10), eventTime: 'at' });
    assert.equal(plan.strategy, 'running');
    // Each 500th pane is 1e17 times the others: subtracting it must not leave its rounding behind.
    const rows = Array.from({ length: 5_000 }, (_, i) => click(i * 10, '/', i % 500 === 0 ? 1e16 : 0.1 + (i % 7)));
    const { results } = runEpochs(plan, epochsOf(rows), alone);
    const calm = results.filter(({ row }) => (row.total as number) < 1e9);
    assert.ok(calm.length > 4_900);
    for (const { row } of calm) {
      const exact = rows
        .filter((r) => (r.at as number) >= (row.windowStart as number) && (r.at as number) < (row.windowEnd as number))
        .reduce((a, r) => a + (r.ms as number), 0);
      assert.ok(Math.abs((row.total as number) - exact) <= 1e-12 * exact, `${row.total} for ${exact} at ${row.windowStart}`);
    }
  });

  test('hands late rows over by number, counts them, and does not move the watermark by what is beyond the bound', () => {
    const slabs = new SlabAllocator(createMemory(8 << 20));
    const plan = planAggregate({ input, keys: ['page'], aggregates: { rows: count() }, window: sliding(20, 10).lateness(5), eventTime: 'at' });
    const seen: number[][] = [];
    const combiner = new Combiner(slabs, plan, { late: (batch, rows) => seen.push([...rows].map((row) => batch.value(0, row) as number)) });
    const builder = new BatchBuilder(slabs, input, 64);
    for (const at of [94, 95, 99, 100, 80, 101, 1_000_000]) builder.appendRow(click(at));
    // Window [80, 100) is closed from 105 on; 90 .. 109 lies in [90, 110), which is open.
    combiner.beginEpoch({ watermark: 105, timeBound: 500_000 });
    combiner.beginChunk({ source: 0, partition: 0, first: 0 });
    assert.equal(combiner.add(builder.finish()), 1);
    assert.deepEqual(seen, [[80]]);
    assert.deepEqual(combiner.endChunk(), { maxTimeMs: 101, lateCount: 1 });
    combiner.release();
  });

  test('orders blocks by source, partition, offset and sequence', () => {
    const slabs = new SlabAllocator(createMemory(8 << 20));
    const plan = planAggregate({ input, keys: ['page'], aggregates: { rows: count() } });
    const combiner = new Combiner(slabs, plan);
    const builder = new BatchBuilder(slabs, input, 8);
    builder.appendRow(click(0));
    combiner.beginEpoch({ watermark: Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
    const origins = [
      [1, 0, 5],
      [0, 2, 10],
      [0, 2, 9],
      [0, 1, 2 ** 40],
      [0, 1, 3],
    ];
    for (const [source, partition, first] of origins as [number, number, number][]) {
      combiner.beginChunk({ source, partition, first });
      combiner.add(builder.finish());
      combiner.endChunk();
    }
    const blocks = orderExchangeBlocks(slabs.memory, combiner.takeBlocks()).map((block) => exchangeBlockOrigin(slabs.memory, block));
    assert.deepEqual(
      blocks.map(({ source, partition, first }) => [source, partition, first]),
      [
        [0, 1, 3],
        [0, 1, 2 ** 40],
        [0, 2, 9],
        [0, 2, 10],
        [1, 0, 5],
      ],
    );
  });

  test('gives every slab back', () => {
    const windows = [undefined, tumbling(100), sliding(100, 10), sliding(100, 10).emit('update')];
    for (const window of windows) {
      for (const aggregates of [{ rows: count() }, { least: min('ms') }]) {
        const plan = planAggregate({ input, keys: ['page'], aggregates, ...(window ? { window, eventTime: 'at' } : {}) });
        const stream = epochsOf(...Array.from({ length: 20 }, (_, e) => Array.from({ length: 100 }, (_, i) => click(e * 50 + i, `/${'long'.repeat(i % 20)}`))));
        runEpochs(plan, stream, alone); // the scratch of the memory is made once
        assert.equal(runEpochs(plan, stream, alone).leakedBytes, 0);
      }
    }
  });

  test('keeps no more panes than open windows need, and says how much it holds', () => {
    const slabs = new SlabAllocator(createMemory(32 << 20));
    const plan = planAggregate({ input, keys: ['page'], aggregates: { rows: count() }, window: sliding(100, 10), eventTime: 'at' });
    const writer = new ResultWriter(slabs, plan);
    const combiner = new Combiner(slabs, plan);
    const builder = new BatchBuilder(slabs, input, 8);
    const shards = Array.from({ length: 64 }, (_, shard) => shardAggregate(slabs, plan, shard, writer));
    let bytesMax = 0;
    for (let e = 0, watermark = Number.NEGATIVE_INFINITY; e < 500; e++) {
      combiner.beginEpoch({ watermark, timeBound: Number.POSITIVE_INFINITY });
      combiner.beginChunk({ source: 0, partition: 0, first: e });
      builder.reset();
      builder.appendRow(click(e * 10));
      combiner.add(builder.finish());
      watermark = combiner.endChunk().maxTimeMs;
      for (const block of combiner.takeBlocks()) {
        for (const shard of shards) shard.merge(block);
        slabs.free(block);
      }
      for (const shard of shards) shard.advance(watermark, (batch) => assert.ok(batch instanceof Batch));
      const groups = shards.reduce((all, shard) => all + shard.groupCount, 0);
      assert.ok(groups <= 10, `${groups} panes of a key`);
      bytesMax = Math.max(
        bytesMax,
        shards.reduce((all, shard) => all + shard.stateBytes, 0),
      );
    }
    assert.ok(bytesMax > 0 && bytesMax < 4 << 20, `${bytesMax} bytes`);
  });

  test('refuses rows for closed panes: a combiner with an older watermark is a fault of the caller', () => {
    const slabs = new SlabAllocator(createMemory(16 << 20));
    const plan = planAggregate({ input, keys: [], aggregates: { rows: count() }, window: tumbling(10), eventTime: 'at' });
    const combiner = new Combiner(slabs, plan);
    const builder = new BatchBuilder(slabs, input, 8);
    builder.appendRow(click(5));
    combiner.beginEpoch({ watermark: Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
    combiner.beginChunk({ source: 0, partition: 0, first: 0 });
    combiner.add(builder.finish());
    combiner.endChunk();
    const writer = new ResultWriter(slabs, plan);
    const blocks = combiner.takeBlocks();
    assert.throws(() => {
      for (let shard = 0; shard < 64; shard++) {
        const state = shardAggregate(slabs, plan, shard, writer);
        state.advance(10, () => {});
        for (const block of blocks) state.merge(block);
      }
    }, /windows are closed/);
  });
});

describe('emission', () => {
  const of = (window: ReturnType<typeof tumbling>, ...epochs: AnyRow[][]) => {
    const plan = planAggregate({ input, keys: ['page'], aggregates: { rows: count(), avg: mean('ms') }, window, eventTime: 'at' });
    return runEpochs(plan, epochsOf(...epochs), alone)
      .results.map(({ epoch, row }) => [epoch, row.page, row.windowStart, row.rows])
      .sort((a, b) => (String(a) < String(b) ? -1 : 1));
  };

  test('final: a window comes once, when the watermark reaches its end and the lateness', () => {
    const epochs = [[click(1), click(9)], [click(12)], [click(5), click(14)], [click(15)], [click(8), click(16)]];
    assert.deepEqual(of(tumbling(10), ...epochs), [
      [1, '/', 0, 2],
      [5, '/', 10, 4],
    ]);
    assert.deepEqual(of(tumbling(10).lateness(5), ...epochs), [
      [3, '/', 0, 3],
      [5, '/', 10, 4],
    ]);
  });

  test('update: what changed in an epoch comes at its end, corrections within the lateness included', () => {
    const epochs = [[click(1), click(2, '/b')], [click(12)], [click(5)], [click(15)], [click(8), click(16)]];
    assert.deepEqual(of(tumbling(10).lateness(5).emit('update'), ...epochs), [
      [0, '/', 0, 1],
      [0, '/b', 0, 1],
      [1, '/', 10, 1],
      [2, '/', 0, 2],
      [3, '/', 10, 2],
      [4, '/', 10, 3],
    ]);
  });
});
