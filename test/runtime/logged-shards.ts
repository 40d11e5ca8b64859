// Shards of a running aggregate, and the log of their state in memory. Not a test.

import assert from 'node:assert/strict';
import { serialize } from 'node:v8';
import { type AnyRow, BatchBuilder, createMemory, f64, nullable, SHARD_COUNT, SlabAllocator, schema, timestamp, utf8 } from '../../core/index.ts';
import {
  AggregateExchange,
  approxCountDistinct,
  count,
  countDistinct,
  type ExchangeShard,
  first,
  max,
  type OpenShard,
  orderExchangeBlocks,
  planAggregate,
  quantile,
  sum,
  topK,
} from '../../operators/index.ts';
import { type OpenSegment, type SegmentRange, type StateLog, type StateReader, StateWriter, segmentName, stateBytesOf } from '../../runtime/state-log/index.ts';

const input = schema({ key: utf8, text: nullable(utf8), n: f64, at: timestamp });
const LONG = 'a text that has more bytes than a slot has room for, so that it lies outside of it: ';
const rowAt = (id: number): AnyRow => ({
  key: id % 3 === 0 ? `${LONG}${id % 7}` : `k${id % 5}`,
  text: id % 4 === 0 ? null : `${id % 2 === 0 ? LONG : ''}${id % 11}`,
  n: id % 13,
  at: 1_000 + id,
});

/** `all`: with everything that lies outside of slots. */
function exchange(all: boolean): AggregateExchange {
  const few = { rows: count(), most: max('text') };
  const aggregates = {
    ...few,
    n: sum('n'),
    opened: first('text'),
    texts: countDistinct('text'),
    about: approxCountDistinct('text'),
    median: quantile('n', 0.5),
    often: topK('text', 2),
  };
  return new AggregateExchange(planAggregate({ input, keys: ['key'], aggregates: all ? aggregates : few, eventTime: 'at' }));
}

export class World {
  readonly slabs = new SlabAllocator(createMemory(64 << 20));
  readonly operator: AggregateExchange;
  readonly rows: AnyRow[] = [];
  readonly open: OpenShard;
  shards: ExchangeShard[] = [];

  constructor(all = true) {
    this.operator = exchange(all);
    this.open = this.operator.openShards({
      slabs: this.slabs,
      clock: { epoch: 0, nowMs: 0, watermark: Number.NEGATIVE_INFINITY },
      emit: (batch) => void this.rows.push(...batch.toRows()),
      failures: { areSkipped: false, skip: () => {} },
      located: (error) => error,
      carriesOrder: false,
    });
  }

  /** Blocks of two chunks of one epoch. */
  scan(epoch: number): number[] {
    const scatter = this.operator.scatter(this.slabs, 0, {});
    scatter.beginEpoch({ watermark: Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
    for (const partition of [0, 1]) {
      scatter.beginChunk({ source: 0, partition, first: epoch * 40 });
      const builder = new BatchBuilder(this.slabs, input, 64);
      for (let i = 0; i < 40; i++) builder.appendRow(rowAt(epoch * 80 + partition * 40 + i));
      scatter.add(builder.finish());
      scatter.endChunk();
      builder.release();
    }
    return orderExchangeBlocks(this.slabs.memory, scatter.takeBlocks());
  }

  merge(blocks: readonly number[]): void {
    for (const shard of this.shards) {
      shard.merge(blocks);
      shard.advance(Number.NEGATIVE_INFINITY);
    }
  }
}

export const EPOCHS = 5;
export const ranges: readonly SegmentRange[] = [{ name: segmentName({ run: 1, worker: 0, from: 0 }), from: 0, to: EPOCHS }];

/** A log of five epochs, and the shards at its end. */
export function logged(shardCount = SHARD_COUNT, all = true): { readonly bytes: Uint8Array; readonly world: World } {
  const world = new World(all);
  world.shards = Array.from({ length: shardCount }, (_, shard) => world.open(shard));
  const pieces: Uint8Array[] = [];
  const log: StateLog = { roll: () => {}, append: (more) => void pieces.push(...more.map((piece) => piece.slice())) };
  const shards = world.shards.map((shard, number) => ({ exchange: 0, shard: number, stateBytes: () => stateBytesOf(shard.snapshot()), base: undefined }));
  const head = { workers: 1, nowMs: 0, before: [Number.NEGATIVE_INFINITY], after: [Number.NEGATIVE_INFINITY] };
  const writer = new StateWriter(world.slabs.memory, log, 0, shards, 1, { ...head, epoch: 0 });
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    const blocks = world.scan(epoch);
    world.merge(blocks);
    writer.endEpoch({ ...head, epoch }, [{ exchange: 0, blocks }]);
  }
  return { bytes: Uint8Array.from(Buffer.concat(pieces)), world };
}

export const opened =
  (bytes: Uint8Array): OpenSegment =>
  () => ({
    size: bytes.length,
    read(into, position) {
      assert.ok(position >= 0 && position + into.length <= bytes.length, 'a read beyond the file');
      into.set(bytes.subarray(position, position + into.length));
    },
    close: () => {},
  });

/** All that a log says. */
export function contentOf(reader: StateReader, shardCount: number): unknown {
  const bases = Array.from({ length: shardCount }, (_, shard) => [reader.baseOf(0, shard), serialize(reader.stateOf(0, shard))] as const);
  const epochs = [...reader.epochs(Number.NEGATIVE_INFINITY)].map((head) => {
    const blocks = reader.blocks(head.epoch, 0).map(({ bodyBytes, address }, at) => {
      const bytes = new Uint8Array(bodyBytes);
      reader.readBlock(head.epoch, 0, at, bytes);
      return [address, bytes] as const;
    });
    return [head, blocks] as const;
  });
  return [bases, epochs];
}
