// Rows through the row exchange: every row arrives once, whole, in its shard, in the order of the source; the shard is the
// one that a group table gives the key.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type AnyRow,
  BatchBuilder,
  binary,
  bool,
  createMemory,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  nullable,
  type Schema,
  SHARD_COUNT,
  SlabAllocator,
  schema,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import { eachPaneOf } from '../../operators/aggregate/group-block.ts';
import {
  type BlockColumns,
  Combiner,
  count,
  KeyedExchange,
  type KeyedOperatorPlan,
  orderExchangeBlocks,
  planAggregate,
  RowPartitioner,
  rowBlockMaxTime,
  shardRows,
} from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { travelled } from './travelled.ts';

const RUNS = caseCount(150);
const slabs = new SlabAllocator(createMemory(64 << 20));
const { memory } = slabs;

const input = schema({
  at: nullable(timestamp),
  page: nullable(utf8),
  flag: nullable(bool),
  on: bool,
  tiny: i8,
  short: i16,
  id: nullable(i32),
  size: u32,
  big: nullable(i64),
  ratio: f32,
  ms: nullable(f64),
  raw: binary,
  name: utf8,
});

const everything = { schema: input, columns: input.fields.map((_, c) => c) };

function planOf(keys: readonly string[], options: { eventTime?: boolean; columns?: number[] } = {}): KeyedOperatorPlan {
  const eventTime = options.eventTime ? input.indexOf('at') : -1;
  return {
    name: 'rows',
    inputs: [
      { schema: input, keys: keys.map((key) => input.indexOf(key)), columns: options.columns ?? input.fields.map((_, c) => c), eventTime, timeShiftMs: 0 },
    ],
    output: input,
    outputTime: undefined,
    lateBefore: (watermark) => watermark,
    heldUntil: (time) => time,
    state: { format: 1, facts: null },
    open: () => assert.fail('not opened'),
    whole: 'it is a test',
    describe: () => 'rows',
  };
}

const LONG = 'x'.repeat(10_000);
const text = fc.constantFrom('', 'a', 'b', '__proto__', 'constructor', 'é', '🙂', LONG, `${LONG}y`);
const row = fc.record({
  // Often at the watermark of 0, or a millisecond from it: there the border of what is late lies.
  at: fc.oneof(
    { weight: 7, arbitrary: fc.integer({ min: -5_000, max: 5_000 }) },
    { weight: 2, arbitrary: fc.constantFrom(-1, 0, 1) },
    { weight: 1, arbitrary: fc.constant(null) },
  ),
  page: fc.option(text, { nil: null }),
  flag: fc.option(fc.boolean(), { nil: null }),
  on: fc.boolean(),
  tiny: fc.integer({ min: -128, max: 127 }),
  short: fc.integer({ min: -32_768, max: 32_767 }),
  id: fc.option(fc.integer(), { nil: null }),
  size: fc.nat(),
  big: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { nil: null }),
  ratio: fc.float(),
  ms: fc.option(fc.double(), { nil: null }),
  raw: fc.uint8Array({ maxLength: 60 }),
  name: text,
});

function batches(rows: readonly AnyRow[], of: Schema, size: number): BatchBuilder[] {
  const builders: BatchBuilder[] = [];
  for (let at = 0; at < rows.length; at += size) {
    const builder = new BatchBuilder(slabs, of, Math.min(size, rows.length - at));
    for (const one of rows.slice(at, at + size)) builder.appendRow(one);
    builders.push(builder);
  }
  return builders;
}

const plain = (rows: readonly AnyRow[]) =>
  rows.map((one) => ({ ...one, raw: one.raw === undefined ? undefined : Buffer.from(one.raw as Uint8Array).toString('hex') }));

describe('row exchange', () => {
  test('brings every row that is not late to the shard of its key, whole and in order', () => {
    fc.assert(
      fc.property(
        fc.array(row, { maxLength: 120 }),
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom<string[][]>(['page'], ['id'], ['page', 'id'], ['ms'], ['big', 'flag'], ['ratio', 'tiny', 'short', 'size', 'on', 'raw'], []),
        fc.constantFrom(undefined, Number.NEGATIVE_INFINITY, 0),
        fc.constantFrom(undefined, 1, 4, 64),
        (rows, size, keys, watermark, parts) => {
          const before = slabs.usage().usedBytes;
          const late: AnyRow[] = [];
          const partitioner = new RowPartitioner(slabs, planOf(keys, { eventTime: watermark !== undefined }), 0, {
            late: (batch, numbers) => numbers.forEach((n) => late.push(batch.toRows()[n] as AnyRow)),
          });
          partitioner.beginEpoch({ watermark: watermark ?? Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
          partitioner.beginChunk({ source: 0, partition: 0, first: 0 });
          const built = batches(rows, input, size);
          for (const builder of built) partitioner.add(builder.finish());
          partitioner.endChunk();
          const left = partitioner.takeBlocks().reverse();
          const blocks = orderExchangeBlocks(
            memory,
            parts === undefined ? left : travelled(slabs, new KeyedExchange(planOf(keys, { eventTime: watermark !== undefined })), left, parts),
          );
          // The model: the rows as they read back, in order, by key.
          const all = built.flatMap((builder) => builder.finish().toRows());
          const isLate = (one: AnyRow) => watermark !== undefined && (one.at === null || (one.at as number) < watermark);
          const byKey = new Map<string, AnyRow[]>();
          const keyOf = (one: AnyRow) =>
            keys.map((key) => (typeof one[key] === 'number' && one[key] === 0 ? '0' : `${typeof one[key]}${String(one[key])}`)).join(' ');
          for (const one of all) if (!isLate(one)) byKey.set(keyOf(one), [...(byKey.get(keyOf(one)) ?? []), one]);
          const seen = new Map<string, AnyRow[]>();
          const shardOfKey = new Map<string, number>();
          for (let shard = 0; shard < SHARD_COUNT; shard++) {
            for (const block of blocks) {
              for (const one of shardRows(memory, everything, block, shard)?.toRows() ?? []) {
                const key = keyOf(one);
                assert.equal(shardOfKey.get(key) ?? shard, shard);
                shardOfKey.set(key, shard);
                seen.set(key, [...(seen.get(key) ?? []), one]);
              }
            }
          }
          assert.deepEqual([...seen.keys()].sort(), [...byKey.keys()].sort());
          for (const [key, expected] of byKey) assert.deepEqual(plain(seen.get(key) as AnyRow[]), plain(expected));
          assert.deepEqual(plain(late), plain(all.filter(isLate)));
          const times = all.filter((one) => !isLate(one)).map((one) => one.at as number);
          const expectedTime = watermark === undefined ? Number.POSITIVE_INFINITY : Math.max(...times);
          if (blocks.length > 0) assert.equal(Math.max(...blocks.map((block) => rowBlockMaxTime(memory, block))), expectedTime);
          for (const block of blocks) slabs.free(block);
          for (const builder of built) builder.release();
          assert.equal(slabs.usage().usedBytes, before);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('takes the shards that partial aggregates take', () => {
    fc.assert(
      fc.property(
        row,
        fc.constantFrom<string[][]>(['page'], ['name'], ['id'], ['big'], ['ms'], ['ratio'], ['tiny'], ['on'], ['flag', 'page', 'ms'], ['at', 'size', 'short']),
        (one, keys) => {
          const [builder] = batches([one], input, 1) as [BatchBuilder];
          const partitioner = new RowPartitioner(slabs, planOf(keys), 0);
          const plan = planAggregate({ input, keys, aggregates: { rows: count() } });
          const combiner = new Combiner(slabs, plan);
          for (const scatter of [partitioner, combiner]) {
            scatter.beginEpoch({ watermark: Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
            scatter.beginChunk({ source: 0, partition: 0, first: 0 });
            scatter.add(builder.finish());
            scatter.endChunk();
          }
          const [rows] = partitioner.takeBlocks() as [number];
          const [groups] = combiner.takeBlocks() as [number];
          const shards = Array.from({ length: SHARD_COUNT }, (_, shard) => shard);
          const ofGroups = shards.filter((shard) => {
            let has = false;
            eachPaneOf(memory, plan.layout, groups, shard, () => (has = true));
            return has;
          });
          assert.deepEqual(
            shards.filter((shard) => shardRows(memory, everything, rows, shard) !== undefined),
            ofGroups,
          );
          slabs.free(rows);
          slabs.free(groups);
          combiner.release();
          builder.release();
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('leaves columns behind that nobody asked for', () => {
    const [builder] = batches([{ at: 1, page: 'a', on: true, tiny: 1, short: 1, size: 1, ratio: 1, raw: new Uint8Array(), name: 'n' }], input, 1) as [
      BatchBuilder,
    ];
    const columns = [input.indexOf('page'), input.indexOf('name')];
    const partitioner = new RowPartitioner(slabs, planOf(['page'], { columns }), 0);
    partitioner.beginChunk({ source: 0, partition: 0, first: 0 });
    partitioner.add(builder.finish());
    partitioner.endChunk();
    const [block] = partitioner.takeBlocks() as [number];
    const rowsOf = (of: BlockColumns) =>
      Array.from({ length: SHARD_COUNT }, (_, shard) => shardRows(memory, of, block, shard)).find((rows) => rows !== undefined);
    const batch = rowsOf({ schema: input, columns });
    assert.equal(batch?.value(input.indexOf('name'), 0), 'n');
    assert.equal(batch?.column(input.indexOf('at')).data, 0);
    // Nor does the block depend on them: a state log is read where the stream has lost or got some.
    const other = schema({ name_: f64, page: nullable(utf8), more: utf8, name: utf8, at: f64 });
    assert.deepEqual(
      [1, 3].map((column) => rowsOf({ schema: other, columns: [1, 3] })?.value(column, 0)),
      ['a', 'n'],
    );
    slabs.free(block);
    builder.release();
  });
});
