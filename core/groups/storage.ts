/**
 * The memory of one group table: header, slot array, arena of long strings and states. Allocates, grows,
 * shrinks and frees them. What the slots mean is up to the table (group-table.ts). All state is in shared
 * memory, so any thread can attach.
 */

import { assert } from '../assert.ts';
import { MillraceError } from '../errors.ts';
import { copyBytes, fillBytes, type SharedMemory, type SlabAllocator } from '../memory/index.ts';
import { newSecret } from '../secret-hash.ts';
import type { StateArena } from './accumulators/accumulator.ts';
import {
  ARENA_AT,
  ARENA_BYTES,
  ARENA_END,
  ARENA_NEED,
  ARENA_SLAB,
  BASE,
  CAPACITY,
  CAPACITY_MIN,
  CROWDING,
  FIXED,
  HEADER_BYTES,
  IDENTITY,
  INDEX,
  INDEX_MASK,
  KEY_BYTES,
  LIMIT,
  LONG_BYTES,
  MAGIC,
  MAGIC_VALUE,
  MERGES,
  OUTSIDE_COUNT,
  SECRET,
  SKIP_BITS,
  SLOT_BYTES,
  STRING_COUNT,
  STRING_FIELDS,
  USED,
} from './header.ts';
import type { GroupKernels } from './kernel-signatures.ts';
import type { SlotLayout } from './slot-layout.ts';

const CAPACITY_DEFAULT = 1_024;
const CAPACITY_LEAST = 8;
const LOAD_MAX = 1 / 2;
/**
 * A table that fits the cache is limited by mispredicted collisions, not by memory, so it is kept emptier
 * (measured at 10,000 groups: 8.2 ns per probe at a load of 0.46, 4.5 at 0.23).
 */
const LOAD_MAX_SPARSE = 3 / 8;
const SPARSE_BYTES_MAX = 4 << 20;
const ARENA_SLAB_BYTES_MAX = 1 << 20;
const ARENA_LINK_BYTES = 8;
/** Dead bytes that an arena may hold before a compaction pays. */
const ARENA_SLACK_BYTES = 64 << 10;

export interface GroupTableOptions {
  /**
   * Initial number of slots (default 1,024). A growing table uses all slots for which the slab has room. At
   * most half of them are used.
   */
  readonly capacityMin?: number;
  /**
   * Number of top bits of the hash that all keys of this table share (SHARD_BITS for a shard's table).
   * Default 0.
   */
  readonly skipBits?: number;
  /** True: the table never grows; `update` and `mergeSlots` stop when it is full. Default false. */
  readonly fixed?: boolean;
}

export class GroupStorage implements StateArena {
  readonly layout: SlotLayout;
  /** Address of the header. */
  readonly address: number;
  readonly #slabs: SlabAllocator;
  readonly memory: SharedMemory;
  readonly #kernels: GroupKernels;
  readonly #u32: Uint32Array;

  /** New memory or, given the address of a header, the memory of that header. */
  constructor(slabs: SlabAllocator, kernels: GroupKernels, layout: SlotLayout, options: GroupTableOptions | number) {
    this.layout = layout;
    this.#slabs = slabs;
    this.memory = slabs.memory;
    this.#kernels = kernels;
    this.#u32 = slabs.memory.u32;
    this.address = typeof options === 'number' ? options : slabs.alloc(headerBytes(layout));
    if (typeof options !== 'number') this.#format(options);
    assert(
      this.get(MAGIC) === MAGIC_VALUE && this.get(SLOT_BYTES) === layout.slotBytes && this.get(KEY_BYTES) === layout.keyBytes,
      `no group table of this layout at ${this.address}`,
    );
  }

  /** A field of the header (header.ts). */
  get(field: number): number {
    return this.#u32[(this.address + field) >>> 2] as number;
  }

  /** Bytes of slabs held. */
  get bytes(): number {
    const index = this.get(INDEX);
    return (
      this.#slabs.slabBytes(this.address) + this.#slabs.slabBytes(this.get(BASE)) + this.get(ARENA_BYTES) + (index === 0 ? 0 : this.#slabs.slabBytes(index))
    );
  }

  /** Empties the table. A table far larger than its content was shrinks. Cost: O(capacity). */
  clear(): void {
    const size = this.get(USED);
    if (size === 0) return;
    this.#set(USED, 0);
    this.#set(LONG_BYTES, 0);
    this.#freeArena();
    this.#freeIndex();
    const capacity = this.get(CAPACITY);
    const wanted = this.#wantedFor(size, capacity);
    if (wanted < capacity) {
      this.#slabs.free(this.get(BASE));
      this.#allocSlots(wanted);
    } else {
      fillBytes(this.memory, this.get(BASE), capacity * this.layout.slotBytes);
    }
  }

  /**
   * The least number of slots that the table would have if it were cleared now: what to pass to {@link
   * reserve} for one like it.
   */
  get clearedCapacity(): number {
    const size = this.get(USED);
    return size === 0 ? this.get(CAPACITY) : this.#wantedFor(size, this.get(CAPACITY));
  }

  /** Gives an empty table as many slots as a slab for `capacity` of them holds. */
  reserve(capacity: number): void {
    assert(this.get(USED) === 0, 'other slots for a table that has groups');
    if (capacity === this.get(CAPACITY)) return;
    this.#slabs.free(this.get(BASE));
    this.#allocSlots(capacity);
  }

  /** Gives all memory back. The table must not be used afterwards. */
  release(): void {
    this.#freeArena();
    this.#freeIndex();
    this.#slabs.free(this.get(BASE));
    this.#set(MAGIC, 0);
    this.#slabs.free(this.address);
  }

  alloc(bytes: number): number {
    const need = roundUp8(bytes);
    if (need > this.get(ARENA_END) - this.get(ARENA_AT)) this.#addArenaSlab(Math.max(need, Math.min(ARENA_SLAB_BYTES_MAX, this.get(ARENA_BYTES))));
    const address = this.get(ARENA_AT);
    this.#set(ARENA_AT, address + need);
    this.#set(LONG_BYTES, this.get(LONG_BYTES) + need);
    return address;
  }

  discard(bytes: number): void {
    this.#set(LONG_BYTES, this.get(LONG_BYTES) - roundUp8(bytes));
  }

  /** Makes room for what stopped a probe. False: the table is fixed and full. */
  makeRoom(): boolean {
    const need = this.get(ARENA_NEED);
    if (need > 0) {
      this.#set(ARENA_NEED, 0);
      this.#addArenaSlab(Math.max(need, Math.min(ARENA_SLAB_BYTES_MAX, this.get(ARENA_BYTES))));
      return true;
    }
    if (this.get(CROWDING) === 1) {
      this.crowd();
      return true;
    }
    if (this.get(FIXED) === 1) return false;
    const formerBase = this.get(BASE);
    const formerCapacity = this.get(CAPACITY);
    // Twice the slots need a slab of twice the size, which may have room for one more.
    this.#allocSlots(formerCapacity * 2, true);
    if (this.isCrowded) {
      const used = this.get(USED) * this.layout.slotBytes;
      copyBytes(this.memory, this.get(BASE), formerBase, used);
      fillBytes(this.memory, this.get(BASE) + used, this.get(CAPACITY) * this.layout.slotBytes - used);
      this.crowd();
    } else this.#kernels.groupRehash(this.address, formerBase, formerCapacity);
    this.#slabs.free(formerBase);
    return true;
  }

  /** Slots are in order of arrival and found by an index: see reference/crowd.ts. */
  get isCrowded(): boolean {
    return this.get(INDEX) !== 0;
  }

  /** Makes the table a crowded one, or gives a crowded one an index for its present slots. */
  crowd(): void {
    this.#freeIndex();
    const entries = 2 ** Math.ceil(Math.log2(this.get(LIMIT) * 2));
    this.#set(INDEX, this.#slabs.alloc(entries * 8));
    this.#set(INDEX_MASK, entries - 1);
    this.#set(SECRET, newSecret());
    this.#set(SECRET + 4, newSecret());
    this.#kernels.groupCrowd(this.address);
  }

  #freeIndex(): void {
    if (this.get(INDEX) !== 0) this.#slabs.free(this.get(INDEX));
    this.#set(INDEX, 0);
    this.#set(CROWDING, 0);
  }

  /**
   * Number of slots for a cleared table of this capacity that held `size` groups: fewer where it is far too
   * large.
   */
  #wantedFor(size: number, capacity: number): number {
    const wanted = Math.max(this.get(CAPACITY_MIN), size * 4);
    return wanted * 4 <= capacity ? wanted : capacity;
  }

  /**
   * Room for at least `capacity` slots: as many as the slab holds or, in a fixed table, no more.
   * `isLaterZeroed`: the caller zeroes it.
   */
  #allocSlots(capacity: number, isLaterZeroed = false): void {
    const { slotBytes } = this.layout;
    if (capacity * slotBytes > this.memory.byteLength) {
      throw new MillraceError(
        'ERR_MILLRACE_MEMORY',
        `A group table needs ${capacity * slotBytes} bytes for ${capacity} slots, and the whole memory has ${this.memory.byteLength}. Raise the memory option, shorten the windows, or reduce the number of distinct keys.`,
      );
    }
    const base = this.#slabs.alloc(capacity * slotBytes);
    const count = this.get(FIXED) === 1 ? capacity : Math.floor(this.#slabs.slabBytes(base) / slotBytes);
    if (!isLaterZeroed) fillBytes(this.memory, base, count * slotBytes);
    this.#set(BASE, base);
    this.#set(CAPACITY, count);
    const isSparse = count * slotBytes <= SPARSE_BYTES_MAX && this.get(FIXED) === 0;
    this.#set(LIMIT, Math.floor(count * (isSparse ? LOAD_MAX_SPARSE : LOAD_MAX)));
  }

  #addArenaSlab(bytes: number): void {
    const slab = this.#slabs.alloc(bytes + ARENA_LINK_BYTES);
    const slabBytes = this.#slabs.slabBytes(slab);
    this.#u32[slab >>> 2] = this.get(ARENA_SLAB);
    this.#set(ARENA_SLAB, slab);
    this.#set(ARENA_AT, slab + ARENA_LINK_BYTES);
    this.#set(ARENA_END, slab + slabBytes);
    this.#set(ARENA_BYTES, this.get(ARENA_BYTES) + slabBytes);
  }

  /** Frees the arena slabs. The rest of the header's slab is the initial arena. */
  #freeArena(): void {
    this.#freeArenaSlabs(this.get(ARENA_SLAB));
    this.#set(ARENA_SLAB, 0);
    this.#set(ARENA_BYTES, 0);
    this.#set(ARENA_NEED, 0);
    this.#set(ARENA_AT, this.address + headerBytes(this.layout));
    this.#set(ARENA_END, this.address + this.#slabs.slabBytes(this.address));
  }

  #freeArenaSlabs(newest: number): void {
    for (let slab = newest; slab !== 0; ) {
      const before = this.#u32[slab >>> 2] as number;
      this.#slabs.free(slab);
      slab = before;
    }
  }

  /** Drops the strings and states of removed groups, and states that were given up, when they are many. */
  compactArena(): void {
    if (this.get(ARENA_BYTES) <= 2 * this.get(LONG_BYTES) + ARENA_SLACK_BYTES) return;
    const former = this.get(ARENA_SLAB);
    this.#set(ARENA_SLAB, 0);
    this.#set(ARENA_BYTES, 0);
    this.#addArenaSlab(Math.max(1, this.get(LONG_BYTES)));
    this.#kernels.groupMoveStrings(this.address);
    this.#freeArenaSlabs(former);
  }

  #format({ capacityMin = CAPACITY_DEFAULT, skipBits = 0, fixed = false }: GroupTableOptions): void {
    const { layout, address } = this;
    const { memory } = this;
    fillBytes(memory, address, headerBytes(layout));
    layout.outside.forEach(({ offset, inlineBytes }, s) => {
      this.#set(STRING_FIELDS + s * 8, offset);
      this.#set(STRING_FIELDS + s * 8 + 4, inlineBytes);
    });
    const identity = address + HEADER_BYTES;
    for (const { accumulator, offset } of layout.accumulators) accumulator.identity(memory, identity + offset);
    const codes = layout.accumulators.map(({ accumulator }) => accumulator.mergeCode);
    if (codes.every((code) => code !== undefined)) {
      const merges = identity + layout.slotBytes;
      this.#u32[merges >>> 2] = codes.length;
      layout.accumulators.forEach(({ offset }, a) => {
        this.#u32[(merges >>> 2) + 1 + a * 2] = codes[a] as number;
        this.#u32[(merges >>> 2) + 2 + a * 2] = offset;
      });
      this.#set(MERGES, merges);
    }
    this.#set(STRING_COUNT, layout.keys.filter(({ shape }) => shape === 'bytes').length);
    this.#set(OUTSIDE_COUNT, layout.outside.length);
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

  #set(field: number, value: number): void {
    this.#u32[(this.address + field) >>> 2] = value;
  }
}

/** Bytes of a header slab before the first arena: a multiple of 8. */
function headerBytes({ slotBytes, accumulators }: SlotLayout): number {
  return HEADER_BYTES + slotBytes + 8 + accumulators.length * 8;
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
