// Panes as runs and tables, against a Map a pane; and the arena that the runs lie in, against a Map of what was written.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  accumulator,
  attachMemory,
  createMemory,
  f64,
  GroupTable,
  PaneGroups,
  PaneStore,
  RunArena,
  SlabAllocator,
  SlotLayout,
  StateReader,
  StateWriter,
  utf8,
} from '../../core/index.ts';
import { kernelExports } from '../../core/memory/kernel-module.ts';
import { caseCount, fc } from '../seed.ts';
import { columnsOf } from './group-table-model.ts';

const MEMORY_BYTES = 48 << 20;
const RUNS = caseCount(60);
const wasmMemory = createMemory(MEMORY_BYTES);
const ENGINES: readonly { name: string; skip: boolean; slabs: SlabAllocator }[] = [
  { name: 'TypeScript', skip: false, slabs: new SlabAllocator(attachMemory(new SharedArrayBuffer(MEMORY_BYTES))) },
  { name: 'WebAssembly', skip: kernelExports(wasmMemory) === undefined, slabs: new SlabAllocator(wasmMemory) },
];

const LONG = 'more bytes than a slot has room for, so that they lie behind the slots: ';
const KEYS = ['', 'a', 'b', `${LONG}1`, `${LONG}2`, ...Array.from({ length: 40 }, (_, i) => `key ${i}`)];
const PANE_COUNT = 5;

type Totals = Map<string, { rows: number; total: number }>;

function addTo(totals: Totals, key: string, rows: number, total: number): void {
  const known = totals.get(key) ?? { rows: 0, total: 0 };
  totals.set(key, { rows: known.rows + rows, total: known.total + total });
}

function contentsOf(table: GroupTable): Totals {
  const found: Totals = new Map();
  table.eachTile((slots, count) => {
    for (let i = 0; i < count; i++) {
      const slot = table.memory.u32[(slots >>> 2) + i] as number;
      found.set(table.keyAt(slot, 0) as string, { rows: Number(table.valueAt(slot, 0)), total: table.valueAt(slot, 1) as number });
    }
  });
  return found;
}

const sorted = (totals: Totals) => [...totals].filter(([, { rows }]) => rows !== 0).sort(([a], [b]) => (a < b ? -1 : 1));

const rows = fc.array(fc.tuple(fc.constantFrom(...KEYS), fc.integer({ min: -100, max: 100 })), { minLength: 1, maxLength: 60 });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('add' as const), fc.nat(PANE_COUNT - 1), rows) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('table' as const), fc.nat(PANE_COUNT - 1), fc.constant([])) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('seal' as const), fc.nat(PANE_COUNT - 1), fc.constant([])) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('clear' as const), fc.nat(PANE_COUNT - 1), fc.constant([])) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('move' as const), fc.nat(PANE_COUNT - 1), fc.constant([])) },
);

for (const { name, skip, slabs } of ENGINES) {
  describe(`panes, ${name}`, { skip }, () => {
    const layout = new SlotLayout([utf8], [accumulator('count'), accumulator('sum', f64)]);

    /** The rows as a run, as a block has it: where it lies, how many slots, and how to give it back. */
    function runOf(of: readonly (readonly [string, number])[]): { slots: number; count: number; free(): void } {
      const table = new GroupTable(slabs, layout, { capacityMin: 8 });
      const { batch, release } = columnsOf(slabs, [utf8, f64], of);
      table.update([batch.column(0)], [undefined, batch.column(1)], 0, of.length);
      release();
      const count = table.size;
      const slots = slabs.alloc(table.runBytes);
      table.copyRun(slots);
      table.release();
      return {
        slots,
        count,
        free() {
          // Who keeps a slot or a string of it keeps rubbish.
          slabs.memory.u8.fill(0xee, slots, slots + slabs.slabBytes(slots));
          slabs.free(slots);
        },
      };
    }

    /** All panes, through their bytes, in another store; both are in the same state, to the byte. */
    function moved(store: PaneStore, panes: readonly PaneGroups[], openMax: number): { store: PaneStore; panes: PaneGroups[] } {
      const bytesOf = (of: PaneStore, its: readonly PaneGroups[]) => {
        const out = new StateWriter();
        of.snapshot(out);
        for (const pane of its) pane.snapshot(out);
        return out.finish();
      };
      const bytes = bytesOf(store, panes);
      const from = new StateReader(bytes);
      const other = new PaneStore(slabs, layout, { openMax });
      other.restore(from);
      const restored = panes.map(() => {
        const pane = new PaneGroups(other);
        pane.restore(from);
        return pane;
      });
      from.end();
      for (const pane of panes) pane.clear();
      store.release();
      assert.deepEqual(bytesOf(other, restored), bytes);
      return { store: other, panes: restored };
    }

    test('hold what a Map holds, as runs and as tables, and give all memory back', () => {
      // Work space is made at the first use, and kept.
      const [warm, other] = [new GroupTable(slabs, layout), new GroupTable(slabs, layout)];
      const run = runOf([['', 1]]);
      warm.mergeSlots(run.slots, run.count);
      run.free();
      other.mergeTable(warm);
      contentsOf(other);
      for (const table of [warm, other]) table.release();
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (steps, openMax) => {
          const before = slabs.usage().usedBytes;
          let store = new PaneStore(slabs, layout, { openMax });
          let panes = Array.from({ length: PANE_COUNT }, () => new PaneGroups(store));
          const model: Totals[] = panes.map(() => new Map());
          for (const [what, p, of] of steps) {
            const pane = panes[p] as (typeof panes)[number];
            const totals = model[p] as Totals;
            if (what === 'add') {
              const run = runOf(of);
              pane.add(run.slots, run.count);
              run.free();
              for (const [key, value] of of) addTo(totals, key, 1, value);
            } else if (what === 'table') assert.deepEqual(sorted(contentsOf(pane.toTable())), sorted(totals));
            else if (what === 'seal') pane.seal();
            else if (what === 'clear') {
              pane.clear();
              totals.clear();
            } else ({ store, panes } = moved(store, panes, openMax));
          }
          // All panes in, and out again one by one.
          const window = store.makeTable();
          const left: Totals = new Map();
          for (const pane of panes) pane.mergeInto(window);
          for (const totals of model) for (const [key, { rows: n, total }] of totals) addTo(left, key, n, total);
          assert.deepEqual(sorted(contentsOf(window)), sorted(left));
          panes.forEach((pane, p) => {
            assert.ok(pane.size >= (model[p] as Totals).size);
            pane.subtractFrom(window);
            for (const [key, { rows: n, total }] of model[p] as Totals) addTo(left, key, -n, -total);
            assert.deepEqual(sorted(contentsOf(window)), sorted(left));
            pane.clear();
          });
          assert.equal(window.size, 0);
          window.release();
          store.release();
          assert.equal(slabs.usage().usedBytes, before);
        }),
        { numRuns: RUNS },
      );
    });

    test('many thin panes take the bytes of their groups, not of tables', () => {
      const store = new PaneStore(slabs, layout);
      const run = runOf(KEYS.slice(0, 16).map((key) => [key, 1]));
      const panes = Array.from({ length: 500 }, () => {
        const pane = new PaneGroups(store);
        pane.add(run.slots, run.count);
        return pane;
      });
      const groupBytes = 500 * (16 * layout.slotBytes + 2 * 80);
      assert.ok(store.bytes < groupBytes * 1.3, `${store.bytes} for ${groupBytes}`);
      for (const pane of panes) pane.clear();
      assert.ok(store.bytes <= 64 << 10);
      run.free();
      store.release();
    });
  });
}

test('RunArena: pieces keep what is written to them, and slabs go when their pieces have gone', () => {
  const slabs = new SlabAllocator(createMemory(16 << 20));
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer({ min: 1, max: 9_000 }), fc.constantFrom(-1, -2, -7)), { maxLength: 200 }), (steps) => {
      const arena = new RunArena(slabs);
      const pieces: { address: number; bytes: number; mark: number }[] = [];
      let mark = 0;
      const check = ({ address, bytes, mark: own }: (typeof pieces)[number]) => {
        for (const at of [address, address + bytes - 1]) assert.equal(slabs.memory.u8[at], own);
      };
      for (const bytes of steps) {
        if (bytes > 0) {
          const address = arena.alloc(bytes);
          assert.equal(address % 8, 0);
          mark = (mark + 1) & 0xff;
          slabs.memory.u8.fill(mark, address, address + bytes);
          pieces.push({ address, bytes, mark });
        } else if (pieces.length > 0) {
          const [gone] = pieces.splice((-bytes * 31) % pieces.length, 1);
          check(gone as (typeof pieces)[number]);
          arena.free((gone as (typeof pieces)[number]).address);
        }
        assert.equal(arena.bytes, slabs.usage().usedBytes);
      }
      for (const piece of pieces) check(piece);
      for (const { address } of pieces) arena.free(address);
      arena.release();
      assert.equal(slabs.usage().usedBytes, 0);
    }),
    { numRuns: RUNS },
  );
});
