// Reading a table that another thread changes all the time: what is read is the state as of the epoch that was published with it, to the
// last byte of the last list, or it is refused. And reading memory that holds anything at all: refused, and in time.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import {
  type AnyRow,
  BatchBuilder,
  createMemory,
  f64,
  i64,
  LIVE_CELL_BYTES,
  LiveCell,
  memoryHandle,
  nullable,
  SlabAllocator,
  schema,
  seededRng,
} from '../../core/index.ts';
import { LiveRanks, LiveRows } from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { keyAt, keysAt, LiveState, plan, rowAt } from './live-state.ts';

const RUNS = caseCount(100);
const KEYS_MAX = 2_000;

function checkTop(rows: readonly AnyRow[], epoch: number, n: number): void {
  const counts = Array.from({ length: keysAt(epoch) }, (_, k) => rowAt(k, epoch)?.rows as number).sort((a, b) => b - a);
  assert.deepEqual(
    rows.map((row) => row.rows),
    counts.slice(0, n),
  );
  for (const row of rows) assert.deepEqual(row, rowAt(row.side as number, epoch));
}

test('a reader beside an owner that never pauses', async (t) => {
  const memory = createMemory(128 << 20);
  const slabs = new SlabAllocator(memory);
  const cellAt = slabs.alloc(LIVE_CELL_BYTES * 2);
  memory.u8.fill(0, cellAt, cellAt + LIVE_CELL_BYTES * 2);
  const stopAt = cellAt + LIVE_CELL_BYTES;
  const cell = new LiveCell(memory, cellAt);
  const rows = new LiveRows(slabs, plan);
  const ranking = rows.ranking('rows');
  const states = rows.ranking('different');
  const owner = new Worker(new URL('./fixtures/live-owner.js', import.meta.url), { workerData: { handle: memoryHandle(memory), cellAt, stopAt } });
  const failed = once(owner, 'error');
  try {
    await Promise.race([once(owner, 'message'), failed.then(([error]) => Promise.reject(error))]);
    const rng = seededRng(1);
    const epochs = new Set<number>();
    let answers = 0;
    let refused = 0;
    const wanted = RUNS * 50;
    for (let question = 0; answers < wanted; question++) {
      const version = cell.tryRead();
      if (version < 0) continue;
      const { epoch } = cell;
      const k = rng.int(KEYS_MAX);
      let row: AnyRow | null | undefined;
      if (question % 97 === 0) {
        const all = rows.tryRows(cell, version);
        if (all !== undefined) {
          assert.equal(all.length, epoch < 0 ? 0 : keysAt(epoch));
          for (const one of all) assert.deepEqual(one, rowAt(one.side as number, epoch));
        }
        row = all === undefined ? undefined : null;
      } else if (question % 31 === 0) {
        const found = rows.tryRanks(cell, version, question % 2 === 0 ? ranking : states, new LiveRanks(7, 'desc'));
        const top = found?.first().map((candidate) => rows.tryCandidate(candidate));
        if (top?.every((one) => one !== undefined) && epoch >= 0) checkTop(top as AnyRow[], epoch, 7);
        row = top?.every((one) => one !== undefined) ? null : undefined;
      } else {
        rows.setKey(keyAt(k));
        row = rows.tryRow(cell, version);
        if (row !== undefined) assert.deepEqual(row ?? undefined, epoch < 0 ? undefined : rowAt(k, epoch), `key ${k} as of epoch ${epoch}`);
      }
      if (row === undefined) refused++;
      else {
        answers++;
        epochs.add(epoch);
      }
    }
    t.diagnostic(`${answers} answers as of ${epochs.size} epochs, ${refused} refused`);
    assert.ok(epochs.size > 1);
  } finally {
    Atomics.store(memory.i32, stopAt >>> 2, 1);
    await once(owner, 'exit');
  }
});

test('memory that holds anything is refused, or read without harm', () => {
  const memory = createMemory(16 << 20);
  const slabs = new SlabAllocator(memory);
  const cellAt = slabs.alloc(LIVE_CELL_BYTES);
  memory.u8.fill(0, cellAt, cellAt + LIVE_CELL_BYTES);
  const cell = new LiveCell(memory, cellAt);
  const state = new LiveState(slabs);
  const rows = new LiveRows(slabs, plan);
  const ranking = rows.ranking('most');
  for (let epoch = 0; epoch < 3; epoch++) state.step();
  cell.begin();
  cell.publish(state.table.address, 2);
  const image = memory.u8.slice();
  const used = slabs.usage().usedBytes;
  const read = (): boolean => {
    const version = cell.tryRead();
    // As if the owner began at once and was never done: what is read is read, and nothing of it is believed.
    cell.begin();
    const answers = [
      rows.tryRow(cell, version),
      rows.tryRows(cell, version),
      rows.tryRanks(cell, version, ranking, new LiveRanks(3, 'desc')),
      rows.trySize(cell, version),
    ];
    cell.publish(cell.table, 2);
    return answers.every((answer) => answer === undefined);
  };
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 200 }),
      fc.array(fc.record({ place: fc.nat(), word: fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 1, 0xffff_ffff, 0x7fff_fff8)) }), {
        maxLength: 40,
      }),
      fc.boolean(),
      (k, faults, inHeader) => {
        rows.setKey(keyAt(k));
        const slab = state.table.address;
        const base = memory.u32[slab >>> 2] as number;
        const before = memory.u32.slice();
        for (const { place, word } of faults) {
          const span = inHeader ? 128 : plan.layout.slotBytes * 300;
          memory.u32[((inHeader ? slab : base) >>> 2) + (place % (span / 4))] = word;
        }
        const isRefused = read();
        memory.u32.set(before.subarray(slab >>> 2, (slab >>> 2) + 1_024), slab >>> 2);
        memory.u32.set(before.subarray(base >>> 2, (base >>> 2) + plan.layout.slotBytes * 75), base >>> 2);
        assert.ok(isRefused);
      },
    ),
    { numRuns: RUNS },
  );
  // Nothing of the table was changed, nothing kept.
  const { address } = state.table;
  assert.deepEqual(memory.u8.slice(address, address + 4_096), image.slice(address, address + 4_096));
  rows.trim();
  assert.ok(slabs.usage().usedBytes <= used + (128 << 10));
  rows.setKey(keyAt(3));
  assert.deepEqual(rows.tryRow(cell, cell.tryRead()), rowAt(3, 2));
});

test('ranks: numbers in order, NaN and null last, whatever the order', () => {
  const memory = createMemory(1 << 20);
  const slabs = new SlabAllocator(memory);
  const cell = new LiveCell(memory, slabs.alloc(LIVE_CELL_BYTES));
  const places = slabs.alloc(64);
  const ranked = (type: typeof f64 | typeof i64, ranks: readonly unknown[], n: number, order: 'desc' | 'asc') => {
    const rows = new BatchBuilder(slabs, schema({ rank: nullable(type as typeof f64) }), 8);
    const all = new LiveRanks(n, order);
    // In two parts, as of two shards.
    for (const part of [ranks.slice(0, 3), ranks.slice(3)]) {
      rows.reset();
      for (const rank of part) rows.appendRow({ rank });
      const some = all.fork();
      some.takeBatch(rows.finish(), cell, 0, places);
      all.takeAll(some);
    }
    return all.first().map(({ rank }) => rank);
  };
  const some = [3, null, Number.NaN, -1, Number.POSITIVE_INFINITY, 0, Number.NEGATIVE_INFINITY];
  const descending = [Number.POSITIVE_INFINITY, 3, 0, -1, Number.NEGATIVE_INFINITY, Number.NaN, undefined];
  const ascending = [Number.NEGATIVE_INFINITY, -1, 0, 3, Number.POSITIVE_INFINITY, Number.NaN, undefined];
  for (const n of [1, 2, 6, 7, 9]) {
    assert.deepEqual(ranked(f64, some, n, 'desc'), descending.slice(0, n));
    assert.deepEqual(ranked(f64, some, n, 'asc'), ascending.slice(0, n));
    assert.deepEqual(ranked(i64, [2n ** 60n, 2n ** 60n + 1n, null, -1n], n, 'desc'), [2n ** 60n + 1n, 2n ** 60n, -1n, undefined].slice(0, n));
  }
});
