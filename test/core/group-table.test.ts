import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  accumulator,
  attachMemory,
  binary,
  blockSlots,
  bool,
  createMemory,
  type DataType,
  f32,
  f64,
  GroupTable,
  i8,
  i16,
  i32,
  i64,
  MillraceError,
  nullable,
  SHARD_BITS,
  SHARD_COUNT,
  SlabAllocator,
  SlotLayout,
  shardOf,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import { kernelExports } from '../../core/memory/kernel-module.ts';
import { caseCount, fc } from '../seed.ts';
import { columnsOf, contentsOf, GroupModel, INPUT_POOLS, KEY_POOLS, type ModelRow, type ModelSpec } from './group-table-model.ts';

const MEMORY_BYTES = 48 << 20;
const TYPES = [bool, i8, i16, i32, u32, i64, f32, f64, utf8, binary, timestamp];
const RUNS = caseCount(60);

const wasmMemory = createMemory(MEMORY_BYTES);
const ENGINES: readonly { name: string; skip: boolean; slabs: SlabAllocator }[] = [
  { name: 'TypeScript', skip: false, slabs: new SlabAllocator(attachMemory(new SharedArrayBuffer(MEMORY_BYTES))) },
  { name: 'WebAssembly', skip: kernelExports(wasmMemory) === undefined, slabs: new SlabAllocator(wasmMemory) },
];

/** The accumulators of the spec, and behind them a countValid for each. */
function layoutOf({ keyTypes, aggregates }: ModelSpec): SlotLayout {
  return new SlotLayout(keyTypes, [
    ...aggregates.map(({ name, type }) => accumulator(name, type)),
    ...aggregates.map(({ type }) => accumulator('countValid', type)),
  ]);
}

function addRows(
  slabs: SlabAllocator,
  table: GroupTable,
  spec: ModelSpec,
  rows: readonly ModelRow[],
  selection?: readonly number[],
  how: 'update' | 'append' = 'update',
): void {
  const { keyTypes, aggregates } = spec;
  const { batch, release } = columnsOf(slabs, [...keyTypes, ...aggregates.map(({ type }) => type)], rows);
  const inputs = aggregates.map((_, a) => batch.column(keyTypes.length + a));
  let address = 0;
  if (selection !== undefined) {
    address = slabs.alloc(Math.max(1, selection.length * 4));
    selection.forEach((row, i) => {
      slabs.memory.u32[(address >>> 2) + i] = row;
    });
  }
  const to = selection?.length ?? rows.length;
  const half = to >>> 1;
  const keys = batch.columns.slice(0, keyTypes.length);
  // In two calls, so that a tile begins in the middle of a byte of a bitmap.
  assert.equal(table[how](keys, [...inputs, ...inputs], 0, half, address), half);
  assert.equal(table[how](keys, [...inputs, ...inputs], half, to, address), to - half);
  if (address !== 0) slabs.free(address);
  release();
}

const typeOf = fc.tuple(fc.constantFrom(...TYPES), fc.boolean()).map(([type, isNullable]): DataType => (isNullable ? nullable(type as DataType) : type));
const aggregateOf = fc
  .tuple(fc.constantFrom('count', 'countValid', 'sum', 'min', 'max'), typeOf)
  .filter(([name, { name: type }]) => name === 'count' || name === 'countValid' || (type !== 'utf8' && type !== 'binary'))
  .map(([name, type]) => ({ name, type }) as ModelSpec['aggregates'][number]);
const specOf = fc.record({ keyTypes: fc.array(typeOf, { maxLength: 4 }), aggregates: fc.array(aggregateOf, { maxLength: 4 }) });

function valueOf(type: DataType, pools: Readonly<Record<string, readonly unknown[]>>): fc.Arbitrary<unknown> {
  const value = fc.constantFrom(...(pools[type.name] as unknown[]));
  return type.nullable ? fc.oneof({ weight: 4, arbitrary: value }, { weight: 1, arbitrary: fc.constant(null) }) : value;
}

function rowOf({ keyTypes, aggregates }: ModelSpec): fc.Arbitrary<ModelRow> {
  return fc.tuple(...keyTypes.map((type) => valueOf(type, KEY_POOLS)), ...aggregates.map(({ type }) => valueOf(type, INPUT_POOLS)));
}

const caseOf = specOf.chain((spec) =>
  fc.record({ spec: fc.constant(spec), parts: fc.array(fc.array(rowOf(spec), { maxLength: 60 }), { minLength: 1, maxLength: 4 }) }),
);

for (const { name, skip, slabs } of ENGINES) {
  describe(`GroupTable, ${name}`, { skip }, () => {
    test('update, with and without a selection, holds what a Map of rows holds', () => {
      const before = slabs.usage().usedBytes;
      fc.assert(
        fc.property(caseOf, fc.boolean(), ({ spec, parts }, selects) => {
          const table = new GroupTable(slabs, layoutOf(spec), { capacityMin: 8 });
          const model = new GroupModel(spec);
          for (const rows of parts) {
            const selection = selects ? rows.map((_, i) => i).filter((i) => i % 3 !== 1) : undefined;
            addRows(slabs, table, spec, rows, selection);
            rows.forEach((row, i) => {
              if (!selects || i % 3 !== 1) model.add(row);
            });
          }
          assert.deepEqual(contentsOf(slabs, table, spec), model.contents());
          assert.equal(table.size, model.groups.size);
          for (const { key } of model.groups.values()) assert.notEqual(table.find(key), 0);
          table.release();
        }),
        { numRuns: RUNS },
      );
      // Scratch is kept; nothing else is.
      assert.ok(slabs.usage().usedBytes - before < 1 << 20);
    });

    test('merging blocks and tables holds what one table would', () => {
      fc.assert(
        fc.property(caseOf, fc.boolean(), ({ spec, parts }, appends) => {
          const layout = layoutOf(spec);
          const whole = new GroupTable(slabs, layout, { capacityMin: 8 });
          const shards = Array.from({ length: SHARD_COUNT }, () => new GroupTable(slabs, layout, { capacityMin: 8, skipBits: SHARD_BITS }));
          const model = new GroupModel(spec);
          for (const rows of parts) {
            // As many slots as rows are enough, when each row takes the next.
            const part = new GroupTable(slabs, layout, appends ? { capacityMin: Math.max(8, rows.length), fixed: true } : { capacityMin: 8 });
            addRows(slabs, part, spec, rows, undefined, appends ? 'append' : 'update');
            if (appends) assert.equal(part.size, rows.length);
            for (const row of rows) model.add(row);
            const block = slabs.alloc(part.blockBytes);
            part.copyOut(block);
            part.release();
            shards.forEach((shard, s) => {
              const { address, count } = blockSlots(slabs.memory, layout, block, s);
              for (let i = 0; i < count; i++) assert.equal(shardOf(slabs.memory.u32[(address + i * layout.slotBytes) >>> 2] as number), s);
              shard.mergeBlock(block, s);
            });
            // The merge copied what it needs.
            slabs.memory.u8.fill(0xee, block, block + slabs.slabBytes(block));
            slabs.free(block);
          }
          for (const shard of shards) whole.mergeTable(shard);
          assert.deepEqual(contentsOf(slabs, whole, spec), model.contents());
          const own = new Map(shards.flatMap((shard) => [...contentsOf(slabs, shard, spec)]));
          assert.deepEqual(own, model.contents());
          for (const table of [whole, ...shards]) table.release();
        }),
        { numRuns: RUNS },
      );
    });

    test('subtracting a table takes back what merging it added, and removes groups without rows', () => {
      fc.assert(
        fc.property(caseOf, ({ spec: { keyTypes, aggregates }, parts }) => {
          const spec: ModelSpec = {
            keyTypes,
            aggregates: [{ name: 'count', type: i32 }, ...aggregates.filter(({ name }) => name !== 'min' && name !== 'max')],
          };
          const layout = layoutOf(spec);
          const running = new GroupTable(slabs, layout, { capacityMin: 8 });
          // The rows were made for other aggregates: take the pool's values over again.
          const chunks = parts.map((rows, p) =>
            rows.map((row, r) => [
              ...row.slice(0, keyTypes.length),
              ...spec.aggregates.map(({ type }, a) =>
                type.nullable && (r + a) % 4 === 0 ? null : INPUT_POOLS[type.name][(p + r + a) % INPUT_POOLS[type.name].length],
              ),
            ]),
          );
          const tables = chunks.map((rows) => {
            const table = new GroupTable(slabs, layout, { capacityMin: 8 });
            addRows(slabs, table, spec, rows);
            return table;
          });
          // A window of two chunks.
          tables.forEach((table, t) => {
            running.mergeTable(table);
            if (t >= 2) running.subtractTable(tables[t - 2] as GroupTable);
            const model = new GroupModel(spec);
            for (const row of chunks.slice(Math.max(0, t - 1), t + 1).flat()) model.add(row);
            assert.deepEqual(contentsOf(slabs, running, spec), model.contents());
          });
          for (const table of tables.slice(-2)) running.subtractTable(table);
          assert.equal(running.size, 0);
          for (const table of [running, ...tables]) table.release();
        }),
        { numRuns: RUNS },
      );
    });

    test('grows over many rebuilds, by integers in a pattern and by strings of all lengths', () => {
      const keyOf = [(i: number) => [(i << 16) >>> 0, `${i}`], (i: number) => [i * 8, 'k'.repeat(i % 50) + i]];
      for (const key of keyOf) {
        const spec: ModelSpec = { keyTypes: [u32, utf8], aggregates: [{ name: 'sum', type: f64 }] };
        const rows = Array.from({ length: 20_000 }, (_, i) => [...key(i % 7_000), i]);
        const table = new GroupTable(slabs, layoutOf(spec), { capacityMin: 8 });
        addRows(slabs, table, spec, rows);
        const model = new GroupModel(spec);
        for (const row of rows) model.add(row);
        assert.deepEqual(contentsOf(slabs, table, spec), model.contents());
        assert.ok(table.size * 2 <= table.capacity && table.capacity < table.size * 8);
        const { bytes } = table;
        table.clear();
        assert.equal(table.size, 0);
        assert.equal(table.find(rows[0]?.slice(0, 2) as unknown[]), 0);
        addRows(slabs, table, spec, rows.slice(0, 10));
        assert.equal(table.size, 10);
        table.clear();
        assert.ok(table.bytes < bytes, 'a table that is far too large shrinks');
        table.release();
      }
    });

    test('a fixed table says how many rows it took', () => {
      const layout = new SlotLayout([i32], [accumulator('count')]);
      const table = new GroupTable(slabs, layout, { capacityMin: 64, fixed: true });
      const rows = Array.from({ length: 3_000 }, (_, i) => [i < 2_000 ? i % 32 : i]);
      const { batch, release } = columnsOf(slabs, [i32], rows);
      assert.equal(table.update(batch.columns, [undefined], 0, rows.length), 2_000);
      assert.equal(table.size, 32);
      assert.equal(table.capacity, 64);
      assert.equal(table.update(batch.columns, [undefined], 2_000, 3_000), 0);
      assert.equal(table.valueAt(table.find([5]), 0), 63n);
      table.clear();
      assert.equal(table.update(batch.columns, [undefined], 2_000, 3_000), 32);
      table.release();
      release();
    });

    test('another allocator over the same memory attaches', () => {
      const layout = new SlotLayout([nullable(utf8)], [accumulator('max', i64)]);
      const table = new GroupTable(slabs, layout, { capacityMin: 8 });
      const { batch, release } = columnsOf(
        slabs,
        [nullable(utf8), i64],
        [
          ['a', 5n],
          [null, 7n],
          ['b'.repeat(100), 9n],
        ],
      );
      table.update([batch.column(0)], [batch.column(1)], 0, 3);
      const other = GroupTable.attach(new SlabAllocator(slabs.memory), layout, table.address);
      assert.equal(other.valueAt(other.find([null]), 0), 7n);
      assert.equal(other.valueAt(other.find(['b'.repeat(100)]), 0), 9n);
      assert.equal(other.keyAt(other.find(['b'.repeat(100)]), 0), 'b'.repeat(100));
      assert.equal(other.find(['b'.repeat(101)]), 0);
      assert.throws(() => GroupTable.attach(slabs, new SlotLayout([utf8, i64], []), table.address), /no group table of this layout/);
      table.release();
      release();
    });

    test('sums of f64 do not depend on the order of rows and merges', () => {
      const layout = new SlotLayout([], [accumulator('sum', f64)]);
      // In plain f64 additions the small ones are lost beside the large ones.
      const values = [1e16, 1, -1e16, 0.5, 1e9, 1, -1e9, 2 ** -20, 3e-320, -3e-320];
      fc.assert(
        fc.property(fc.shuffledSubarray(values, { minLength: values.length }), fc.nat(values.length), (order, cut) => {
          const { batch, release } = columnsOf(
            slabs,
            [f64],
            order.map((value) => [value]),
          );
          const tables = [new GroupTable(slabs, layout), new GroupTable(slabs, layout)] as const;
          tables[0].update([], [batch.column(0)], 0, cut);
          tables[1].update([], [batch.column(0)], cut, order.length);
          tables[0].mergeTable(tables[1]);
          const sum = tables[0].valueAt(tables[0].find([]), 0);
          for (const table of tables) table.release();
          release();
          assert.equal(sum, 2.5 + 2 ** -20);
        }),
        { numRuns: RUNS },
      );
    });

    test('infinity and NaN in sums, minima and maxima', () => {
      const layout = new SlotLayout([], [accumulator('sum', f64), accumulator('min', f64), accumulator('max', f64)]);
      const cases: [values: number[], sum: number, min: number, max: number][] = [
        [[1, Number.POSITIVE_INFINITY, 2], Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY],
        [[Number.NEGATIVE_INFINITY, 1, Number.POSITIVE_INFINITY], Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
        [[3, Number.NaN, 1], Number.NaN, 1, Number.NaN],
        [[Number.NaN, Number.NaN], Number.NaN, Number.NaN, Number.NaN],
        [[-0], 0, 0, 0],
      ];
      for (const [values, ...expected] of cases) {
        const { batch, release } = columnsOf(
          slabs,
          [f64],
          values.map((value) => [value]),
        );
        const table = new GroupTable(slabs, layout);
        table.update([], [batch.column(0), batch.column(0), batch.column(0)], 0, values.length);
        assert.deepEqual(
          [0, 1, 2].map((a) => table.valueAt(table.find([]), a)),
          expected,
        );
        table.release();
        release();
      }
    });

    test('a sum of i64 is exact, and says when it does not fit', () => {
      const layout = new SlotLayout([], [accumulator('sum', i64)]);
      const most = 0x7fff_ffff_ffff_ffffn;
      const sumOf = (values: bigint[]) => {
        const { batch, release } = columnsOf(
          slabs,
          [i64],
          values.map((value) => [value]),
        );
        const table = new GroupTable(slabs, layout);
        table.update([], [batch.column(0)], 0, values.length);
        try {
          return table.valueAt(table.find([]), 0);
        } finally {
          table.release();
          release();
        }
      };
      assert.equal(sumOf([most, most, -most, -5n]), most - 5n);
      assert.equal(sumOf([-most, -1n]), -most - 1n);
      assert.throws(
        () => sumOf([most, 1n]),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_CAPACITY',
      );
      assert.throws(
        () => sumOf([-most, -2n]),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_CAPACITY',
      );
    });

    test('dead strings do not pile up under merge and subtract', () => {
      const layout = new SlotLayout([utf8], [accumulator('count')]);
      const running = new GroupTable(slabs, layout);
      for (let round = 0; round < 60; round++) {
        const { batch, release } = columnsOf(
          slabs,
          [utf8],
          Array.from({ length: 100 }, (_, i) => [`${round} ${i} ${'long'.repeat(100)}`]),
        );
        const pane = new GroupTable(slabs, layout);
        pane.update(batch.columns, [undefined], 0, 100);
        release();
        running.mergeTable(pane);
        assert.equal(running.size, 100);
        assert.equal(running.keyAt(running.find([`${round} 7 ${'long'.repeat(100)}`]), 0), `${round} 7 ${'long'.repeat(100)}`);
        running.subtractTable(pane);
        pane.release();
      }
      assert.ok(running.bytes < 400_000, `${running.bytes} bytes for an empty table`);
      running.release();
    });
  });
}

test('the kernels write the same bytes in TypeScript and in WebAssembly', { skip: ENGINES[1]?.skip }, () => {
  fc.assert(
    fc.property(caseOf, ({ spec, parts }) => {
      const layout = layoutOf(spec);
      const blocks = [attachMemory(new SharedArrayBuffer(MEMORY_BYTES >> 2)), createMemory(MEMORY_BYTES >> 2)].map((memory) => {
        const slabs = new SlabAllocator(memory);
        const table = new GroupTable(slabs, layout, { capacityMin: 8 });
        for (const rows of parts) addRows(slabs, table, spec, rows);
        const pane = new GroupTable(slabs, layout, { capacityMin: 8 });
        addRows(slabs, pane, spec, parts[0] as ModelRow[]);
        table.mergeTable(pane);
        const block = slabs.alloc(table.blockBytes);
        table.copyOut(block);
        return Buffer.from(memory.u8.slice(block, block + table.blockBytes)).toString('hex');
      });
      assert.equal(blocks[0], blocks[1]);
    }),
    { numRuns: Math.min(RUNS, 25) },
  );
});

test('a memory that is too small says so, and what was added before stays', () => {
  const slabs = new SlabAllocator(createMemory(1 << 20));
  const layout = new SlotLayout([u32], [accumulator('count')]);
  const table = new GroupTable(slabs, layout);
  const rows = Array.from({ length: 4_096 }, (_, i) => [i]);
  assert.throws(
    () => {
      for (let base = 0; ; base += rows.length) {
        const { batch, release } = columnsOf(
          slabs,
          [u32],
          rows.map(([i]) => [(i as number) + base]),
        );
        try {
          table.update(batch.columns, [undefined], 0, rows.length);
        } finally {
          release();
        }
      }
    },
    (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_MEMORY',
  );
  assert.ok(table.size > 4_096);
  let found = 0;
  table.eachTile((_, count) => {
    found += count;
  });
  assert.equal(found, table.size);
  assert.equal(table.valueAt(table.find([4_095]), 0), 1n);
});

test('slots of a usual query are small', () => {
  const four = [accumulator('count'), accumulator('sum', f64), accumulator('min', f64), accumulator('max', f64)];
  assert.equal(new SlotLayout([u32], four).slotBytes, 48);
  assert.equal(new SlotLayout([utf8], four).slotBytes, 72);
  assert.equal(new SlotLayout([nullable(utf8)], four).slotBytes, 72);
  assert.equal(new SlotLayout([i64, u32], four).slotBytes, 56);
  assert.throws(() => new SlotLayout(new Array(33).fill(u32), []), /at most 32/);
  assert.throws(() => accumulator('sum', utf8), /sum of a utf8 column/);
});
