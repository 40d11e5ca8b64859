/**
 * GroupTable: a hash table from key values to accumulators, in shared memory, filled by columns.
 *
 * It takes any key types (nulls are groups of their own) and any accumulators; the slot layout is made from
 * them (slot-layout.ts). It serves as the combiner of a scan, the state of a shard, and the table of a pane.
 * It knows nothing of windows or results: what the accumulators mean is up to the operators.
 *
 *   keys   --images-->  one key image per row (tag, nulls, key; keys.ts, lanes.ts, images.ts)
 *          --probe--->  one slot address per row: found, or inserted with the accumulators' identities
 *                       (probe.ts)
 *   inputs --lane-->    8 bytes per value
 *          --update->   one pass over the slots per accumulator, or per column (inputs.ts, accumulate.ts)
 *
 * Where one pass does everything (count, sum, min, max of one column without nulls) it is part of the probe's
 * loop (fuse.ts).
 *
 * A tile of TILE_ROWS rows passes all phases before the next, so that its images, addresses and slots stay in
 * the first cache levels. Each phase is one loop for one shape of data, so that any mix of keys and
 * aggregates needs few kernels. A probe that finds the table full stops. The rows before it are accumulated,
 * the table grows, and the probe continues.
 *
 * Linear probing at a load of at most 1/2, slots in the order of the hash's top bits, tags in the slot (as in
 * Swiss tables and DuckDB's pointer salt), normalised keys (Graefe; DuckDB's row format). Strings of up to 20
 * or 24 bytes lie in the slot. Longer ones, and the states of sketches, lie in an arena that the table owns.
 * A table whose keys cluster, because of their order or by an attacker's choice, becomes a crowded one: slots
 * in order of arrival, and an index under a secret hash (reference/crowd.ts). Addresses of slots are valid
 * until the next update, merge, subtract or clear.
 */

import { assert } from '../assert.ts';
import { BatchBuilder, type Column } from '../batch/index.ts';
import type { SharedMemory, SlabAllocator, StateReader, StateWriter } from '../memory/index.ts';
import { Schema } from '../schema.ts';
import { groupKernels } from './group-kernels.ts';
import { BLOCK_SLOTS, CAPACITY, FIXED, IDENTITY, LONG_BYTES, MERGES, USED } from './header.ts';
import { checkColumns, fusedLane, type Pass, planPasses, runPasses } from './inputs.ts';
import { type GroupKernels, TILE_ROWS } from './kernel-signatures.ts';
import { writeKeyImages } from './keys.ts';
import { readKeyColumn, readSlot, readValueColumn } from './read.ts';
import { Scratch } from './scratch.ts';
import type { SlotLayout } from './slot-layout.ts';
import { restoreTable, snapshotCleared, snapshotTable } from './slot-state.ts';
import { GroupStorage, type GroupTableOptions } from './storage.ts';

export type { GroupTableOptions };

/**
 * One thread at a time may change a table. While none does, any number may read it.
 *
 * @example
 *   const slabs = new SlabAllocator(createMemory(64 << 20));
 *   const layout = new SlotLayout([u32], [accumulator('count'), accumulator('sum', f64)]);
 *   const table = new GroupTable(slabs, layout);
 *   table.update([batch.column(0)], [undefined, batch.column(1)], 0, batch.rowCount);
 *   const slot = table.find([42]);
 *   if (slot !== 0) console.log(table.valueAt(slot, 1)); // the sum of column 1 where column 0 is 42
 */
export class GroupTable {
  readonly layout: SlotLayout;
  /** Address of the header: what another thread needs to attach. */
  readonly address: number;
  readonly memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #kernels: GroupKernels;
  readonly #storage: GroupStorage;
  readonly #scratch: Scratch;
  readonly #u32: Uint32Array;
  /** Whether runs of slots are merged by one kernel call: all accumulators have a code for it. */
  readonly #mergesRuns: boolean;
  /** Offset of the count by which a group is removed; 0 where groups cannot be subtracted. */
  readonly #counterOffset: number;
  /** Whether accumulators have states in the arena, which leave dead bytes as they grow. */
  readonly #hasStates: boolean;
  #lookup: BatchBuilder | undefined;

  /**
   * A new table or, given the address of a header, the table of that header.
   *
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  constructor(slabs: SlabAllocator, layout: SlotLayout, options: GroupTableOptions | number = {}) {
    this.layout = layout;
    this.memory = slabs.memory;
    this.#slabs = slabs;
    this.#u32 = slabs.memory.u32;
    this.#kernels = groupKernels(slabs.memory);
    this.#scratch = Scratch.of(slabs);
    this.#storage = new GroupStorage(slabs, this.#kernels, layout, options);
    this.address = this.#storage.address;
    this.#mergesRuns = this.#storage.get(MERGES) !== 0;
    const canSubtract = layout.accumulators.every(({ accumulator }) => accumulator.canSubtract);
    this.#counterOffset = (canSubtract ? layout.accumulators.find(({ accumulator }) => accumulator.name === 'count')?.offset : undefined) ?? 0;
    this.#hasStates = layout.accumulators.some(({ accumulator }) => accumulator.pointers.length > 0);
  }

  /** The table whose header is at `address`, made by any thread. */
  static attach(slabs: SlabAllocator, layout: SlotLayout, address: number): GroupTable {
    return new GroupTable(slabs, layout, address);
  }

  /** Number of groups in the table. */
  get size(): number {
    return this.#storage.get(USED);
  }

  /** Number of slots; `size` is at most half of it. */
  get capacity(): number {
    return this.#storage.get(CAPACITY);
  }

  /** Bytes of slabs held. */
  get bytes(): number {
    return this.#storage.bytes;
  }

  /**
   * Adds rows `from` to `to`. With a selection (address of u32 row numbers) `from` and `to` count in the
   * selection. `keys` has one column per key of the layout. `inputs` has one per accumulator (undefined for
   * `count`), then one for each accumulator that has an order. Cost: O(rows).
   *
   * @returns rows consumed: to - from, or fewer when a fixed table is full
   * @throws MillraceError ERR_MILLRACE_MEMORY when it cannot grow; the earlier rows are in the table
   */
  update(keys: readonly Column[], inputs: readonly (Column | undefined)[], from: number, to: number, selection = 0): number {
    return this.#addRows(keys, inputs, from, to, selection, false);
  }

  /**
   * Like {@link update}, but each row is a group of its own, without a look-up. For rows with mostly
   * different keys, on their way to a table that will merge them. For fixed tables; afterwards the table may
   * be used with {@link copyOut} and {@link clear} only.
   *
   * @returns rows consumed: fewer than to - from when all slots are taken
   */
  append(keys: readonly Column[], inputs: readonly (Column | undefined)[], from: number, to: number, selection = 0): number {
    assert(this.#storage.get(FIXED) === 1, 'append to a table that grows');
    return this.#addRows(keys, inputs, from, to, selection, true);
  }

  #addRows(keys: readonly Column[], inputs: readonly (Column | undefined)[], from: number, to: number, selection: number, appends: boolean): number {
    checkColumns(this.layout, keys, inputs);
    const { keyBytes } = this.layout;
    const { slots } = this.#scratch;
    const images = this.#scratch.images(TILE_ROWS * keyBytes);
    const passes = planPasses(this.layout, inputs);
    const identity = this.#storage.get(IDENTITY);
    const only = passes.length === 1 && !appends && passes[0]?.index === -1 ? passes[0] : undefined;
    for (let at = from; at < to; at += TILE_ROWS) {
      const count = Math.min(TILE_ROWS, to - at);
      writeKeyImages(this.#kernels, this.memory, this.layout, images, keys, this.#scratch, at, count, selection);
      for (let done = 0; done < count; ) {
        const tile = images + done * keyBytes;
        let probed: number;
        if (only !== undefined) probed = this.#probeFuse(only, tile, at + done, count - done, selection);
        else {
          probed = appends
            ? this.#kernels.groupAppend(this.address, tile, keyBytes, count - done, slots)
            : this.#kernels.groupProbe(this.address, tile, keyBytes, count - done, slots);
          if (probed > 0) runPasses(this.#kernels, this.layout, passes, this.#scratch, this.#storage, identity, at + done, probed, selection);
        }
        done += probed;
        if (done < count && !this.#storage.makeRoom()) return at + done - from;
      }
      if (this.#hasStates) this.#storage.compactArena();
    }
    return to - from;
  }

  #probeFuse({ column, countAt, sumAt, minAt, maxAt }: Pass, images: number, from: number, count: number, selection: number): number {
    const { slots, lane } = this.#scratch;
    const values = fusedLane(this.#kernels, column as Column, lane, this.#storage.get(IDENTITY), from, count, selection);
    return this.#kernels.groupProbeFuse(this.address, images, this.layout.keyBytes, count, slots, values, countAt, sumAt, minAt, maxAt);
  }

  /**
   * Merges `count` slots of the same layout that lie side by side at `slots`. The strings that they point to
   * are copied.
   *
   * @returns slots consumed: fewer than `count` only when the table is fixed and full
   */
  mergeSlots(slots: number, count: number): number {
    const { slotBytes, accumulators } = this.layout;
    const own = this.#scratch.slots;
    for (let done = 0; done < count; ) {
      const tile = slots + done * slotBytes;
      const wanted = Math.min(TILE_ROWS, count - done);
      let probed: number;
      if (this.#mergesRuns) probed = this.#kernels.groupMergeRun(this.address, tile, wanted, own);
      else {
        probed = this.#kernels.groupProbe(this.address, tile, slotBytes, wanted, own);
        if (probed > 0) {
          for (const { accumulator, offset } of accumulators) accumulator.merge(this.#kernels, own, probed, offset, tile + offset, slotBytes, 1, this.#storage);
          if (this.#hasStates) this.#storage.compactArena();
        }
      }
      done += probed;
      if (probed < TILE_ROWS && done < count && !this.#storage.makeRoom()) return done;
    }
    return count;
  }

  /** Merges the groups of one shard, or of all, of a block that `copyOut` wrote. */
  mergeBlock(block: number, shard?: number): void {
    const { address, count } = blockSlots(this.memory, this.layout, block, shard);
    const merged = this.mergeSlots(address, count);
    assert(merged === count, 'a block merged into a fixed table that is full');
  }

  /** Merges all groups of another table of the same layout. */
  mergeTable(other: GroupTable): void {
    other.#eachPack((pack, count) => {
      const merged = this.mergeSlots(pack, count);
      assert(merged === count, 'a table merged into a fixed table that is full');
    });
  }

  /** Like {@link subtractSlots}, for all groups of another table. */
  subtractTable(other: GroupTable): void {
    other.#eachPack((pack, count) => this.subtractSlots(pack, count));
  }

  /**
   * Subtracts `count` groups that lie side by side at `slots`, each of which must be in this table. A group
   * whose `count` accumulator falls to 0 is removed. All accumulators must support subtraction.
   */
  subtractSlots(slots: number, count: number): void {
    const { slotBytes, accumulators } = this.layout;
    const counter = this.#counterOffset;
    assert(counter > 0, 'subtractSlots needs a count, and accumulators that can subtract');
    const own = this.#scratch.slots;
    for (let done = 0; done < count; done += TILE_ROWS) {
      const run = slots + done * slotBytes;
      const tile = Math.min(TILE_ROWS, count - done);
      let found: number;
      if (this.#mergesRuns) found = this.#kernels.groupSubtractRun(this.address, run, tile, counter, own);
      else {
        found = this.#kernels.groupLookup(this.address, run, slotBytes, tile, own);
        if (found === tile) {
          for (const { accumulator, offset } of accumulators) accumulator.merge(this.#kernels, own, tile, offset, run + offset, slotBytes, -1, this.#storage);
          this.#kernels.groupRemoveEmpty(this.address, run, slotBytes, tile, counter);
        }
      }
      if (found !== tile) assert(false, `${tile - found} groups to subtract are not in the table`);
    }
    this.#storage.compactArena();
  }

  /** Number of bytes that `copyRun` would write now. */
  get runBytes(): number {
    return this.#storage.get(USED) * this.layout.slotBytes + this.#storage.get(LONG_BYTES);
  }

  /**
   * Writes all groups side by side, in slot order, with their long strings behind them, to `address`: a
   * multiple of 8 with room for `runBytes`. Valid only at that address.
   */
  copyRun(address: number): void {
    this.#kernels.groupTableToRun(this.address, address);
  }

  /** Number of bytes that `copyOut` would write now. */
  get blockBytes(): number {
    return BLOCK_SLOTS + this.#storage.get(USED) * this.layout.slotBytes + this.#storage.get(LONG_BYTES);
  }

  /**
   * Writes all groups, ordered by shard, as a block at `address`: a multiple of 8 with room for `blockBytes`.
   * Within a shard they are in slot order, which depends on the order of insertion where hashes are close.
   * The block is valid only at that address: it names its long strings and states by address.
   */
  copyOut(address: number): void {
    this.#kernels.groupCopyOut(this.address, address);
  }

  /**
   * Calls `visit` with tiles of at most 1,024 slot addresses (address of u32[count]), in slot order. Calls
   * may nest; the table must not change.
   */
  eachTile(visit: (slots: number, count: number) => void): void {
    const max = TILE_ROWS - 1;
    const list = this.#scratch.takeList();
    try {
      for (let next = 0; next < this.capacity; next = this.#u32[(list >>> 2) + max] as number) {
        const count = this.#kernels.groupScan(this.address, next, max, list);
        if (count > 0) visit(list, count);
      }
    } finally {
      this.#scratch.returnList(list);
    }
  }

  /**
   * Writes key number `key` of `count` slots to rows `row`.. of a builder's column, which has the key's type.
   * Rows of a string column must come in order.
   */
  readKeys(slots: number, count: number, key: number, out: BatchBuilder, column: number, row: number): void {
    readKeyColumn(this.#kernels, this.layout, slots, count, key, out, column, row, this.#scratch.lane);
  }

  /**
   * Writes the finished value of accumulator `index` to rows `row`.. of a builder's column (of the
   * accumulator's `result` type, or f64). With `validBy` (index of a count or countValid), null where that is
   * 0.
   *
   * @throws MillraceError ERR_MILLRACE_CAPACITY when a sum of i64 does not fit an i64
   */
  readValues(slots: number, count: number, index: number, out: BatchBuilder, column: number, row: number, validBy = -1): void {
    readValueColumn(this.#kernels, this.layout, slots, count, index, out, column, row, validBy, this.#scratch.lane);
  }

  /** The finished values of an accumulator as f64 at `to` (8 * count bytes, a multiple of 8). */
  gatherF64(slots: number, count: number, index: number, to: number): void {
    const field = this.layout.accumulators[index];
    assert(field, `accumulator ${index}`);
    field.accumulator.finish(this.#kernels, slots, count, field.offset, to, false, this.memory);
  }

  /**
   * Looks up the keys of `count` slots (at most 1,024), whose addresses are at `slots`, of a table of the
   * same layout. Writes the slots of this table to `to` (u32[count]); 0 for a missing key.
   *
   * @returns how many were found
   */
  lookupSlots(slots: number, count: number, to: number): number {
    const { slotBytes } = this.layout;
    const pack = this.#scratch.images(TILE_ROWS * slotBytes);
    this.#kernels.groupPack(slots, count, slotBytes, pack);
    return this.#kernels.groupLookup(this.address, pack, slotBytes, count, to);
  }

  /**
   * Looks up the keys in rows `from` to `until` (at most 1,024) of these columns, one per key of the layout.
   * Writes their slots to `to` (u32[until - from]); 0 for a missing key.
   *
   * @returns how many were found
   */
  lookupKeys(keys: readonly Column[], from: number, until: number, to: number): number {
    const count = until - from;
    assert(keys.length === this.layout.keys.length && count <= TILE_ROWS, `${keys.length} key columns, ${count} rows`);
    const images = this.#scratch.images(TILE_ROWS * this.layout.keyBytes);
    writeKeyImages(this.#kernels, this.memory, this.layout, images, keys, this.#scratch, from, count, 0);
    return this.#kernels.groupLookup(this.address, images, this.layout.keyBytes, count, to);
  }

  /**
   * The slot of a key (JavaScript values as in a row), or 0. Cold path: it goes through a batch of one row.
   */
  find(key: readonly unknown[]): number {
    assert(key.length === this.layout.keys.length, `a key of ${key.length} values for ${this.layout.keys.length} columns`);
    this.#lookup ??= new BatchBuilder(this.#slabs, new Schema(this.layout.keys.map(({ type }, k) => ({ name: String(k), type }))), 8);
    const row = this.#lookup;
    row.reset();
    key.forEach((value, k) => row.setValue(k, 0, value));
    const images = this.#scratch.images(TILE_ROWS * this.layout.keyBytes);
    writeKeyImages(this.#kernels, this.memory, this.layout, images, row.finish(1).columns, this.#scratch, 0, 1, 0);
    this.#kernels.groupLookup(this.address, images, this.layout.keyBytes, 1, this.#scratch.slots);
    return this.#u32[this.#scratch.slots >>> 2] as number;
  }

  /** One key value of a slot, as in a row. Cold path. */
  keyAt(slot: number, key: number): unknown {
    const { type } = this.layout.keys[key] as SlotLayout['keys'][number];
    return readSlot(this.#slabs, this.#scratch, slot, type, (slots, out) => this.readKeys(slots, 1, key, out, 0, 0));
  }

  /** One finished value of a slot: of the accumulator's `result` type, as in a row. Cold path. */
  valueAt(slot: number, index: number): unknown {
    const { accumulator } = this.layout.accumulators[index] as SlotLayout['accumulators'][number];
    return readSlot(this.#slabs, this.#scratch, slot, accumulator.result, (slots, out) => this.readValues(slots, 1, index, out, 0, 0));
  }

  /** Writes the table as it is. Cost: O(capacity). */
  snapshot(out: StateWriter): void {
    snapshotTable(this.#storage, out);
  }

  /** Writes the table as it will be after clearing: for one whose next use begins with that. */
  snapshotCleared(out: StateWriter): void {
    snapshotCleared(this.#storage, out);
  }

  /**
   * Fills an empty table, made with the same layout and options, with what `snapshot` wrote: the same slots
   * in the same places.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the bytes are cut off, ERR_MILLRACE_MEMORY when there
   * is no room
   */
  restore(from: StateReader): void {
    restoreTable(this.#storage, from, this.#scratch.images(this.layout.slotBytes));
  }

  /** Empties the table. A table far larger than its content was shrinks. Cost: O(capacity). */
  clear(): void {
    this.#storage.clear();
  }

  /** Gives all memory back. The table must not be used afterwards. */
  release(): void {
    this.#storage.release();
    this.#lookup?.release();
    this.#lookup = undefined;
  }

  /** Calls `visit` with tiles of all slots, copied side by side. */
  #eachPack(visit: (pack: number, count: number) => void): void {
    const { slotBytes } = this.layout;
    const pack = this.#scratch.images(TILE_ROWS * slotBytes);
    const size = this.#storage.get(USED);
    if (size <= TILE_ROWS && this.#storage.get(LONG_BYTES) === 0) {
      if (size === 0) return;
      this.#kernels.groupTableToRun(this.address, pack);
      visit(pack, size);
      return;
    }
    this.eachTile((slots, count) => {
      this.#kernels.groupPack(slots, count, slotBytes, pack);
      visit(pack, count);
    });
  }
}

/** Where the slots of one shard, or of all, begin in a block, and how many there are. */
export function blockSlots(memory: SharedMemory, layout: SlotLayout, block: number, shard?: number): { address: number; count: number } {
  const from = shard === undefined ? 0 : (memory.u32[(block >>> 2) + shard] as number);
  const to = memory.u32[(block >>> 2) + (shard === undefined ? 64 : shard + 1)] as number;
  return { address: block + BLOCK_SLOTS + from * layout.slotBytes, count: to - from };
}
