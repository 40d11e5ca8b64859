/**
 * GroupTable: a hash table from key values to accumulators, in shared memory, filled by columns.
 *
 * Any key types (nulls are groups of their own) and any accumulators; the slot layout is made from them (slot-layout.ts).
 * It is the combiner of a scan, the state of a shard, the table of a pane. It says nothing about windows or results:
 * what the accumulators mean is the operators' affair.
 *
 *   keys  --images-->  key image a row (tag, nulls, key; keys.ts, lanes.ts, images.ts)
 *         --probe--->  slot address a row: found, or inserted with the accumulators' identities (probe.ts)
 *   inputs --lane-->  8 bytes a value
 *          --update->  one pass over the slots per accumulator, or per column (inputs.ts, accumulate.ts)
 *
 * A tile of TILE_ROWS rows passes all phases before the next, so that its images, addresses and slots stay in the first
 * cache levels; and each phase is one loop for one shape of data, so that any mix of keys and aggregates needs few kernels.
 * A probe that finds the table full stops; the rows before it are accumulated, the table grows, the probe goes on.
 *
 * Linear probing at a load of at most 1/2, slots in the order of the hash's top bits, tags in the slot (as Swiss tables
 * and DuckDB's pointer salt do), normalised keys (Graefe; DuckDB's row format). Strings of up to 20 or 24 bytes lie in the slot,
 * longer ones in an arena that the table owns. Addresses of slots are good until the next update, merge, subtract or clear.
 */

import { assert } from './assert.ts';
import type { Column } from './batch.ts';
import { BatchBuilder, type ColumnSpace } from './batch-builder.ts';
import { MillraceError } from './errors.ts';
import {
  ARENA_AT, ARENA_BYTES, ARENA_END, ARENA_NEED, ARENA_SLAB, BASE, BLOCK_SLOTS, CAPACITY, CAPACITY_MIN, FIXED, HEADER_BYTES, IDENTITY, KEY_BYTES, LIMIT, LONG_BYTES, MAGIC, MAGIC_VALUE, SKIP_BITS, SLOT_BYTES, STRING_COUNT, STRING_FIELDS, USED,
} from './group/header.ts';
import { planPasses, runPasses } from './group/inputs.ts';
import { type GroupKernels, groupKernels, TILE_ROWS } from './group/kernels.ts';
import { writeKeyImages } from './group/keys.ts';
import { readKeyColumn, readValueColumn } from './group/read.ts';
import { Scratch } from './group/scratch.ts';
import type { SharedMemory } from './memory.ts';
import { Schema } from './schema.ts';
import type { SlabAllocator } from './slab.ts';
import type { SlotLayout } from './slot-layout.ts';

const CAPACITY_DEFAULT = 1_024;
const CAPACITY_LEAST = 8;
const LOAD_MAX = 1 / 2;
/**
 * A table that lies in the cache is bound by mispredicted collisions, not by memory, so it is kept emptier (10,000 groups:
 * 8.2 ns a probe at a load of 0.46, 4.5 at 0.23, measured).
 */
const LOAD_MAX_SPARSE = 3 / 8;
const SPARSE_BYTES_MAX = 4 << 20;
const ARENA_SLAB_BYTES_MAX = 1 << 20;
const ARENA_LINK_BYTES = 8;
/** Dead bytes that an arena may hold before they are worth a compaction. */
const ARENA_SLACK_BYTES = 64 << 10;

export interface GroupTableOptions {
  /** Slots to start with (default 1,024); a growing table takes as many more as the slab has room for. At most half of them are used. */
  readonly capacityMin?: number;
  /** Top bits of the hash that all keys of this table share (SHARD_BITS for a shard's table). Default 0. */
  readonly skipBits?: number;
  /** True: the table never grows; `update` and `mergeSlots` stop when it is full. Default false. */
  readonly fixed?: boolean;
}

/**
 * One thread at a time may change a table; while none does, any number may read it.
 *
 * @example
 * const slabs = new SlabAllocator(createMemory(64 << 20));
 * const layout = new SlotLayout([u32], [accumulator('count'), accumulator('sum', f64)]);
 * const table = new GroupTable(slabs, layout);
 * table.update([batch.column(0)], [undefined, batch.column(1)], 0, batch.rowCount);
 * const slot = table.find([42]);
 * if (slot !== 0) console.log(table.valueAt(slot, 1)); // the sum of column 1 where column 0 is 42
 */
export class GroupTable {
  readonly layout: SlotLayout;
  /** Address of the header: what another thread needs to attach. */
  readonly address: number;
  readonly memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #kernels: GroupKernels;
  readonly #scratch: Scratch;
  readonly #u32: Uint32Array;
  #lookup: BatchBuilder | undefined;

  /**
   * A new table, or, given the address of one, that table.
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
    this.address = typeof options === 'number' ? options : slabs.alloc(HEADER_BYTES + layout.slotBytes);
    if (typeof options !== 'number') this.#format(options);
    assert(
      this.#get(MAGIC) === MAGIC_VALUE && this.#get(SLOT_BYTES) === layout.slotBytes && this.#get(KEY_BYTES) === layout.keyBytes,
      `no group table of this layout at ${this.address}`,
    );
  }

  /** The table whose header is at `address`, made by any thread. */
  static attach(slabs: SlabAllocator, layout: SlotLayout, address: number): GroupTable {
    return new GroupTable(slabs, layout, address);
  }

  /** Groups in the table. */
  get size(): number {
    return this.#get(USED);
  }

  /** Slots; `size` is at most half of it. */
  get capacity(): number {
    return this.#get(CAPACITY);
  }

  /** Bytes of slabs held. */
  get bytes(): number {
    return this.#slabs.slabBytes(this.address) + this.#slabs.slabBytes(this.#get(BASE)) + this.#get(ARENA_BYTES);
  }

  /**
   * Adds rows `from` to `to`. With a selection (address of u32 row numbers) `from` and `to` count in the selection.
   * `keys` has a column for each key of the layout, `inputs` one for each accumulator (undefined for `count`).
   * Cost: O(rows).
   *
   * @returns rows consumed: to - from, or fewer when a fixed table is full
   * @throws MillraceError ERR_MILLRACE_MEMORY when it cannot grow; the rows before are in the table
   */
  update(keys: readonly Column[], inputs: readonly (Column | undefined)[], from: number, to: number, selection = 0): number {
    this.#check(keys, inputs);
    const { keyBytes } = this.layout;
    const { slots } = this.#scratch;
    const images = this.#scratch.images(TILE_ROWS * keyBytes);
    const passes = planPasses(this.layout, inputs);
    const identity = this.#get(IDENTITY);
    for (let at = from; at < to; at += TILE_ROWS) {
      const count = Math.min(TILE_ROWS, to - at);
      writeKeyImages(this.#kernels, this.memory, this.layout, images, keys, this.#scratch, at, count, selection);
      for (let done = 0; done < count; ) {
        const probed = this.#kernels.groupProbe(this.address, images + done * keyBytes, keyBytes, count - done, slots);
        if (probed > 0) runPasses(this.#kernels, this.layout, passes, this.#scratch, identity, at + done, probed, selection);
        done += probed;
        if (done < count && !this.#makeRoom()) return at + done - from;
      }
    }
    return to - from;
  }

  /**
   * Merges `count` slots of the same layout that lie side by side at `slots`; the strings that they point to are copied.
   *
   * @returns slots consumed: fewer than `count` only when the table is fixed and full
   */
  mergeSlots(slots: number, count: number): number {
    const { slotBytes, accumulators } = this.layout;
    const own = this.#scratch.slots;
    for (let done = 0; done < count; ) {
      const tile = slots + done * slotBytes;
      const probed = this.#kernels.groupProbe(this.address, tile, slotBytes, Math.min(TILE_ROWS, count - done), own);
      if (probed > 0) {
        for (const { accumulator, offset } of accumulators) accumulator.merge(this.#kernels, own, probed, offset, tile + offset, slotBytes, 1);
      }
      done += probed;
      if (probed < TILE_ROWS && done < count && !this.#makeRoom()) return done;
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

  /**
   * Takes the groups of another table, each of which must be in this one, out again. A group whose first `count`
   * accumulator falls to 0 is removed. All accumulators must be ones that can subtract.
   */
  subtractTable(other: GroupTable): void {
    const { slotBytes, accumulators } = this.layout;
    const counter = accumulators.find(({ accumulator }) => accumulator.name === 'count');
    assert(counter !== undefined && accumulators.every(({ accumulator }) => accumulator.canSubtract), 'subtractTable needs a count, and accumulators that can subtract');
    const own = this.#scratch.slots;
    other.#eachPack((pack, count) => {
      const found = this.#kernels.groupLookup(this.address, pack, slotBytes, count, own);
      assert(found === count, `${count - found} groups to subtract are not in the table`);
      for (const { accumulator, offset } of accumulators) accumulator.merge(this.#kernels, own, count, offset, pack + offset, slotBytes, -1);
      this.#kernels.groupRemoveEmpty(this.address, pack, slotBytes, count, counter.offset);
    });
    if (this.#get(ARENA_BYTES) > 2 * this.#get(LONG_BYTES) + ARENA_SLACK_BYTES) this.#compactArena();
  }

  /** Bytes that `copyOut` writes now. */
  get blockBytes(): number {
    return BLOCK_SLOTS + this.#get(USED) * this.layout.slotBytes + this.#get(LONG_BYTES);
  }

  /**
   * Writes all groups, ordered by shard, as a block at `address`: a multiple of 8 with room for `blockBytes`. Within a
   * shard they stand in slot order, which depends on the order of insertion where hashes are close. The block is good
   * where it lies: its long strings are named by address.
   */
  copyOut(address: number): void {
    this.#kernels.groupCopyOut(this.address, address);
  }

  /** Calls `visit` with tiles of at most 1,024 slot addresses (address of u32[count]), in slot order. Calls may nest; the table must not change. */
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

  /** Writes key number `key` of `count` slots to rows `row`.. of a builder's column, which has the key's type. Rows of a string column must come in order. */
  readKeys(slots: number, count: number, key: number, out: BatchBuilder, column: number, row: number): void {
    readKeyColumn(this.#kernels, this.layout, slots, count, key, out, column, row, this.#scratch.lane);
  }

  /**
   * Writes the finished value of accumulator `index` to rows `row`.. of a builder's column (of the accumulator's `result`
   * type, or f64). With `validBy` (index of a count or countValid), null where that is 0.
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
    field.accumulator.finish(this.#kernels, slots, count, field.offset, to, false);
  }

  /**
   * Writes to `to` (u32[count]) the slots of this table that have the keys of `count` slots (at most 1,024) of a table of the same
   * layout, whose addresses are at `slots`; 0 where there is none.
   *
   * @returns how many there are
   */
  lookupSlots(slots: number, count: number, to: number): number {
    const { slotBytes } = this.layout;
    const pack = this.#scratch.images(TILE_ROWS * slotBytes);
    this.#kernels.groupPack(slots, count, slotBytes, pack);
    return this.#kernels.groupLookup(this.address, pack, slotBytes, count, to);
  }

  /** The slot of a key (JavaScript values as in a row), or 0. Cold path: it goes through a batch of one row. */
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
    return this.#readOne(slot, type, (slots, out) => this.readKeys(slots, 1, key, out, 0, 0));
  }

  /** One finished value of a slot: of the accumulator's `result` type, as in a row. Cold path. */
  valueAt(slot: number, index: number): unknown {
    const { accumulator } = this.layout.accumulators[index] as SlotLayout['accumulators'][number];
    return this.#readOne(slot, accumulator.result, (slots, out) => this.readValues(slots, 1, index, out, 0, 0));
  }

  /** Empty again. A table far larger than its content was shrinks. Cost: O(capacity). */
  clear(): void {
    const size = this.#get(USED);
    if (size === 0) return;
    this.#set(USED, 0);
    this.#set(LONG_BYTES, 0);
    this.#freeArena();
    const capacity = this.#get(CAPACITY);
    const wanted = Math.max(this.#get(CAPACITY_MIN), size * 4);
    if (wanted * 4 <= capacity) {
      this.#slabs.free(this.#get(BASE));
      this.#allocSlots(wanted);
    } else {
      this.memory.u8.fill(0, this.#get(BASE), this.#get(BASE) + capacity * this.layout.slotBytes);
    }
  }

  /** Gives all memory back. The table must not be used after. */
  release(): void {
    this.#freeArena();
    this.#slabs.free(this.#get(BASE));
    this.#set(MAGIC, 0);
    this.#slabs.free(this.address);
    this.#lookup?.release();
    this.#lookup = undefined;
  }

  #get(field: number): number {
    return this.#u32[(this.address + field) >>> 2] as number;
  }

  #set(field: number, value: number): void {
    this.#u32[(this.address + field) >>> 2] = value;
  }

  #format({ capacityMin = CAPACITY_DEFAULT, skipBits = 0, fixed = false }: GroupTableOptions): void {
    const { layout, memory, address } = this;
    memory.u8.fill(0, address, address + HEADER_BYTES + layout.slotBytes);
    const strings = layout.keys.filter(({ shape }) => shape === 'bytes');
    strings.forEach(({ offset, inlineBytes }, s) => {
      this.#set(STRING_FIELDS + s * 8, offset);
      this.#set(STRING_FIELDS + s * 8 + 4, inlineBytes);
    });
    const identity = address + HEADER_BYTES;
    for (const { accumulator, offset } of layout.accumulators) accumulator.identity(memory, identity + offset);
    this.#set(STRING_COUNT, strings.length);
    this.#set(IDENTITY, identity);
    this.#set(SLOT_BYTES, layout.slotBytes);
    this.#set(KEY_BYTES, layout.keyBytes);
    this.#set(SKIP_BITS, skipBits);
    this.#set(FIXED, fixed ? 1 : 0);
    this.#set(MAGIC, MAGIC_VALUE);
    this.#freeArena();
    const capacity = Math.max(CAPACITY_LEAST, capacityMin);
    this.#set(CAPACITY_MIN, capacity);
    this.#allocSlots(capacity);
  }

  #check(keys: readonly Column[], inputs: readonly (Column | undefined)[]): void {
    const { layout } = this;
    assert(keys.length === layout.keys.length && inputs.length === layout.accumulators.length, `${keys.length} key and ${inputs.length} input columns for ${layout.keys.length} and ${layout.accumulators.length}`);
    for (let k = 0; k < keys.length; k++) {
      const { type } = layout.keys[k] as SlotLayout['keys'][number];
      const column = keys[k] as Column;
      assert(column.type.name === type.name && (type.nullable || column.validity === 0), `key column ${k} is ${column.type.name}, the layout has ${type.name}${type.nullable ? '?' : ''}`);
    }
    for (let a = 0; a < inputs.length; a++) {
      const { accumulator } = layout.accumulators[a] as SlotLayout['accumulators'][number];
      assert(accumulator.lane === 'none' || inputs[a]?.type.name === accumulator.input?.name, `input column ${a} is ${inputs[a]?.type.name}, the layout has ${accumulator.input?.name}`);
    }
  }

  /** Makes room for what stopped a probe. False: the table is fixed and full. */
  #makeRoom(): boolean {
    const need = this.#get(ARENA_NEED);
    if (need > 0) {
      this.#set(ARENA_NEED, 0);
      this.#addArenaSlab(Math.max(need, Math.min(ARENA_SLAB_BYTES_MAX, this.#get(ARENA_BYTES))));
      return true;
    }
    if (this.#get(FIXED) === 1) return false;
    const formerBase = this.#get(BASE);
    const formerCapacity = this.#get(CAPACITY);
    // Twice the slots need a slab of twice the size, which may have room for one more.
    this.#allocSlots(formerCapacity * 2);
    this.#kernels.groupRehash(this.address, formerBase, formerCapacity);
    this.#slabs.free(formerBase);
    return true;
  }

  /** Room for at least `capacity` slots: as many as the slab holds, or, in a fixed table, no more. */
  #allocSlots(capacity: number): void {
    const { slotBytes } = this.layout;
    if (capacity * slotBytes > this.memory.byteLength) {
      throw new MillraceError('ERR_MILLRACE_MEMORY', `A group table needs ${capacity * slotBytes} bytes for ${capacity} slots, and the whole memory has ${this.memory.byteLength}. Raise the memory option, shorten the windows, or reduce the number of distinct keys.`);
    }
    const base = this.#slabs.alloc(capacity * slotBytes);
    const count = this.#get(FIXED) === 1 ? capacity : Math.floor(this.#slabs.slabBytes(base) / slotBytes);
    this.memory.u8.fill(0, base, base + count * slotBytes);
    this.#set(BASE, base);
    this.#set(CAPACITY, count);
    const isSparse = count * slotBytes <= SPARSE_BYTES_MAX && this.#get(FIXED) === 0;
    this.#set(LIMIT, Math.floor(count * (isSparse ? LOAD_MAX_SPARSE : LOAD_MAX)));
  }

  #addArenaSlab(bytes: number): void {
    const slab = this.#slabs.alloc(bytes + ARENA_LINK_BYTES);
    const slabBytes = this.#slabs.slabBytes(slab);
    this.#u32[slab >>> 2] = this.#get(ARENA_SLAB);
    this.#set(ARENA_SLAB, slab);
    this.#set(ARENA_AT, slab + ARENA_LINK_BYTES);
    this.#set(ARENA_END, slab + slabBytes);
    this.#set(ARENA_BYTES, this.#get(ARENA_BYTES) + slabBytes);
  }

  /** Frees the arena slabs; what is left of the header's slab is the arena to start with. */
  #freeArena(): void {
    this.#freeArenaSlabs(this.#get(ARENA_SLAB));
    this.#set(ARENA_SLAB, 0);
    this.#set(ARENA_BYTES, 0);
    this.#set(ARENA_NEED, 0);
    this.#set(ARENA_AT, this.address + HEADER_BYTES + this.layout.slotBytes);
    this.#set(ARENA_END, this.address + this.#slabs.slabBytes(this.address));
  }

  #freeArenaSlabs(newest: number): void {
    for (let slab = newest; slab !== 0; ) {
      const before = this.#u32[slab >>> 2] as number;
      this.#slabs.free(slab);
      slab = before;
    }
  }

  /** Leaves the strings of removed groups behind. */
  #compactArena(): void {
    const former = this.#get(ARENA_SLAB);
    this.#set(ARENA_SLAB, 0);
    this.#set(ARENA_BYTES, 0);
    this.#addArenaSlab(Math.max(1, this.#get(LONG_BYTES)));
    this.#kernels.groupMoveStrings(this.address);
    this.#freeArenaSlabs(former);
  }

  /** Calls `visit` with tiles of all slots, copied side by side. */
  #eachPack(visit: (pack: number, count: number) => void): void {
    const { slotBytes } = this.layout;
    const pack = this.#scratch.images(TILE_ROWS * slotBytes);
    this.eachTile((slots, count) => {
      this.#kernels.groupPack(slots, count, slotBytes, pack);
      visit(pack, count);
    });
  }

  #readOne(slot: number, type: ColumnSpace['type'], read: (slots: number, out: BatchBuilder) => void): unknown {
    const out = new BatchBuilder(this.#slabs, new Schema([{ name: 'value', type }]), 8);
    const list = this.#scratch.takeList();
    try {
      this.#u32[list >>> 2] = slot;
      read(list, out);
      return out.finish(1).value(0, 0);
    } finally {
      this.#scratch.returnList(list);
      out.release();
    }
  }
}

/** Where the slots of one shard, or of all, of a block begin, and how many they are. */
export function blockSlots(memory: SharedMemory, layout: SlotLayout, block: number, shard?: number): { address: number; count: number } {
  const from = shard === undefined ? 0 : (memory.u32[(block >>> 2) + shard] as number);
  const to = memory.u32[(block >>> 2) + (shard === undefined ? 64 : shard + 1)] as number;
  return { address: block + BLOCK_SLOTS + from * layout.slotBytes, count: to - from };
}
