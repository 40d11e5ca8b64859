// State as bytes: what is written is read again, in another memory; and a group table that comes back from its bytes is the
// same table: each slot where it was, and the same slots again after the same updates.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import {
  accumulator,
  attachMemory,
  createMemory,
  f64,
  GroupTable,
  nullable,
  SlabAllocator,
  SlotLayout,
  StateReader,
  StateWriter,
  utf8,
} from '../../core/index.ts';
import { caseCount, fc } from '../seed.ts';
import { columnsOf } from './group-table-model.ts';

const MEMORY_BYTES = 32 << 20;
const RUNS = caseCount(60);
const plain = () => new SlabAllocator(attachMemory(new SharedArrayBuffer(MEMORY_BYTES)));
/** With the kernels in TypeScript, and in WebAssembly where there is any: bytes of the one are read by the other. */
const [first, second] = [plain(), new SlabAllocator(createMemory(MEMORY_BYTES))] as const;

describe('state as bytes', () => {
  test('numbers and pieces come back in their order, whatever their length, in another memory', () => {
    const item = fc.oneof(fc.double(), fc.uint8Array({ maxLength: 300 }));
    fc.assert(
      fc.property(fc.array(item, { maxLength: 60 }), fc.nat(7), (items, shift) => {
        const { memory } = first;
        const from = first.alloc(4_096);
        const to = second.alloc(4_096);
        const out = new StateWriter();
        for (const value of items) {
          if (typeof value === 'number') out.number(value);
          else {
            memory.u8.set(value, from);
            out.copy(memory, from, value.length);
          }
        }
        // As a message or a file may have them: at any place.
        const finished = out.finish();
        const bytes = new Uint8Array(finished.length + shift).subarray(shift);
        bytes.set(finished);
        const reader = new StateReader(bytes);
        for (const value of items) {
          if (typeof value === 'number') assert.ok(Object.is(reader.number(), value));
          else {
            reader.copy(second.memory, to, value.length);
            assert.deepEqual(second.memory.u8.slice(to, to + value.length), new Uint8Array(value));
          }
        }
        reader.end();
        assert.throws(() => reader.number(), { code: 'ERR_MILLRACE_CHECKPOINT' });
        first.free(from);
        second.free(to);
      }),
      { numRuns: RUNS },
    );
  });

  test('bytes that are cut off, or too many, are refused', () => {
    const out = new StateWriter();
    out.number(1);
    out.number(2);
    const bytes = out.finish();
    const cut = new StateReader(bytes.subarray(0, 8));
    cut.number();
    assert.throws(() => cut.number(), { code: 'ERR_MILLRACE_CHECKPOINT', message: /ends too early/ });
    assert.throws(() => cut.copy(second.memory, 0, 8), { code: 'ERR_MILLRACE_CHECKPOINT', message: /ends too early/ });
    assert.throws(() => new StateReader(bytes.subarray(0, 9)), { code: 'ERR_MILLRACE_CHECKPOINT' });
    assert.throws(() => new StateReader(bytes).end(), { code: 'ERR_MILLRACE_CHECKPOINT', message: /16 bytes too many/ });
    const half = new StateWriter();
    half.number(0.5);
    assert.throws(() => new StateReader(half.finish()).count(), { code: 'ERR_MILLRACE_CHECKPOINT', message: /0\.5/ });
  });
});

describe('a group table from its bytes', () => {
  const LONG = 'more bytes than a slot has room for, so that they lie outside: ';
  const layouts = [
    new SlotLayout([f64], [accumulator('count')]),
    new SlotLayout([utf8, nullable(f64)], [accumulator('count'), accumulator('sum', f64), accumulator('min', utf8)]),
    new SlotLayout([utf8], [accumulator('distinct', utf8), accumulator('quantiles', f64, { parameter: 0.01 }), accumulator('list', f64, { parameter: 4 })]),
  ];
  const TYPES = [
    { types: [f64], columns: (batch: Columns) => [[batch(0)], [undefined]] as const },
    {
      types: [utf8, nullable(f64)],
      columns: (batch: Columns) =>
        [
          [batch(0), batch(1)],
          [undefined, batch(1), batch(0)],
        ] as const,
    },
    { types: [utf8, f64], columns: (batch: Columns) => [[batch(0)], [batch(0), batch(1), batch(1)]] as const },
  ];
  type Columns = ReturnType<typeof columnsOf>['batch']['column'];
  type Row = readonly [key: string, value: number];

  const valueOf = ([key, value]: Row, which: number): unknown[] => {
    if (which === 0) return [value];
    return which === 1 ? [key, value % 5 === 0 ? null : value] : [key, value];
  };

  function add(table: GroupTable, slabs: SlabAllocator, which: number, rows: readonly Row[]): void {
    const { types, columns } = TYPES[which] as (typeof TYPES)[number];
    const { batch, release } = columnsOf(
      slabs,
      types,
      rows.map((row) => valueOf(row, which)),
    );
    const [keys, inputs] = columns((c) => batch.column(c));
    table.update(keys, inputs, 0, rows.length);
    release();
  }

  /** Number of the slot, keys and values of each group, in the order of the slots. */
  function walk(table: GroupTable): unknown[] {
    const found: unknown[] = [];
    const { keys, accumulators, slotBytes } = table.layout;
    const { u32 } = table.memory;
    let base = 0;
    table.eachTile((slots, count) => {
      for (let i = 0; i < count; i++) {
        const slot = u32[(slots >>> 2) + i] as number;
        if (base === 0) base = slot;
        const isText = (a: number) => accumulators[a]?.accumulator.name !== 'list';
        found.push([(slot - base) / slotBytes, keys.map((_, k) => table.keyAt(slot, k)), accumulators.map((_, a) => (isText(a) ? table.valueAt(slot, a) : 0))]);
      }
    });
    return found;
  }

  const bytesOf = (table: GroupTable) => {
    const out = new StateWriter();
    table.snapshot(out);
    return out.finish();
  };

  const rows = fc.array(
    fc.tuple(
      fc.oneof(
        fc.constantFrom('', 'a', '__proto__', `${LONG}1`, `${LONG}2`),
        fc.nat(400).map((n) => `${n % 7 === 0 ? LONG : ''}${n}`),
      ),
      fc.integer({ min: -300, max: 300 }),
    ),
    { maxLength: 400 },
  );

  test('has each slot where it was, and goes on as the first one does', () => {
    fc.assert(
      fc.property(fc.nat(2), rows, rows, fc.boolean(), fc.boolean(), (which, before, after, fromWasm, clears) => {
        const layout = layouts[which] as SlotLayout;
        const [home, abroad] = fromWasm ? [second, first] : [first, second];
        const one = new GroupTable(home, layout, { capacityMin: 8 });
        add(one, home, which, before);
        if (clears) one.clear();
        const walked = walk(one);
        const bytes = bytesOf(one);
        assert.deepEqual(walk(one), walked, 'a snapshot changes nothing');
        const other = new GroupTable(abroad, layout, { capacityMin: 8 });
        const reader = new StateReader(deserialize(serialize(bytes)) as Uint8Array);
        other.restore(reader);
        reader.end();
        assert.equal(other.capacity, one.capacity);
        assert.deepEqual(walk(other), walked);
        assert.deepEqual(bytesOf(other), bytes);
        add(one, home, which, after);
        add(other, abroad, which, after);
        assert.deepEqual(walk(other), walk(one));
        // And as one that will be cleared before its next use.
        const cleared = new StateWriter();
        one.snapshotCleared(cleared);
        one.clear();
        other.clear();
        const third = new GroupTable(home, layout, { capacityMin: 8 });
        third.restore(new StateReader(cleared.finish()));
        assert.deepEqual([other.capacity, third.capacity], [one.capacity, one.capacity]);
        for (const table of [one, other, third]) table.release();
      }),
      { numRuns: RUNS },
    );
  });

  test('a damaged table is refused', () => {
    const table = new GroupTable(first, layouts[0] as SlotLayout);
    const out = new StateWriter();
    out.number(16);
    out.number(1_000_000);
    assert.throws(() => table.restore(new StateReader(out.finish())), { code: 'ERR_MILLRACE_CHECKPOINT', message: /damaged/ });
    table.release();
  });
});
