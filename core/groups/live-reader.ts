/**
 * LiveReader: groups of a table that another thread may be changing, copied into the reader's own memory,
 * where the usual code can read them safely. What is copied during a change may be anything, so nothing is
 * trusted before the cell confirms it (live-cell.ts). Probing takes at most as many steps as there are slots.
 * Addresses are used only within the memory. States are followed only from slots that are confirmed. No call
 * goes on for long with a state that is gone.
 *
 *   find     the slot of a key --copy--> own slot, its long strings and states behind it
 *   tile     up to 1,023 used slots from a slot number on --copy--> the same, side by side
 *
 * It never writes to the table and takes no lock. It does not wait either: TORN says that the table changed
 * meanwhile; whether to look again is up to the caller. One reader serves all tables of one layout, one after
 * the other; one thread.
 */

import { assert } from '../assert.ts';
import { BatchBuilder } from '../batch/index.ts';
import { shardOf } from '../hash.ts';
import { copyBytes, fillBytes, type SharedMemory, type SlabAllocator } from '../memory/index.ts';
import { type Field, Schema } from '../schema.ts';
import { groupKernels } from './group-kernels.ts';
import { BASE, CAPACITY, HEADER_BYTES, INDEX, KEY_BYTES, MAGIC, MAGIC_VALUE, SKIP_BITS, SLOT_BYTES, USED } from './header.ts';
import { type GroupKernels, TILE_ROWS } from './kernel-signatures.ts';
import { writeKeyImages } from './keys.ts';
import type { LiveCell } from './live-cell.ts';
import { Scratch } from './scratch.ts';
import type { SlotLayout } from './slot-layout.ts';

/** The table changed while it was read: nothing that was read is valid. */
export const TORN = -1;

const RUN_BYTES_MAX = 256 << 10;
const STATES_BYTES_FIRST = 64 << 10;
/** Room for states that is kept between calls. */
const STATES_BYTES_KEPT = 1 << 20;
/** Steps of a probe between two checks of the version. Runs of used slots are far shorter. */
const STEPS_A_LOOK = 256;

export class LiveReader {
  readonly layout: SlotLayout;
  readonly memory: SharedMemory;
  /** Address of u32[..]: the slots copied last. */
  readonly slots: number;
  /** Address of u32[..]: where these were in the table at that time. */
  readonly places: number;
  /** After {@link tryTile}: the slot number to continue with. */
  next = 0;
  readonly #slabs: SlabAllocator;
  readonly #kernels: GroupKernels;
  readonly #scratch: Scratch;
  readonly #u32: Uint32Array;
  readonly #key: BatchBuilder;
  readonly #image: number;
  /** A header for the kernels, with checked values: the table's own header may change under them. */
  readonly #header: number;
  readonly #run: number;
  readonly #tileMax: number;
  readonly #fixed: number;
  #states = 0;
  #statesBytes = 0;

  /** @param keys the key columns, for messages; their types are those of the layout */
  constructor(slabs: SlabAllocator, layout: SlotLayout, keys: readonly Field[]) {
    assert(keys.length === layout.keys.length, `${keys.length} names for ${layout.keys.length} keys`);
    this.layout = layout;
    this.memory = slabs.memory;
    this.#slabs = slabs;
    this.#u32 = slabs.memory.u32;
    this.#kernels = groupKernels(slabs.memory);
    this.#scratch = Scratch.of(slabs);
    this.#key = new BatchBuilder(slabs, new Schema(keys), 8);
    this.#tileMax = Math.max(1, Math.min(TILE_ROWS - 1, Math.floor(RUN_BYTES_MAX / layout.slotBytes)));
    const listBytes = (this.#tileMax + 2) * 4;
    const imageAt = HEADER_BYTES + Math.ceil((listBytes * 2) / 8) * 8;
    this.#fixed = slabs.alloc(imageAt + layout.keyBytes + this.#tileMax * layout.slotBytes);
    this.#header = this.#fixed;
    fillBytes(this.memory, this.#header, HEADER_BYTES);
    this.#u32[(this.#header + SLOT_BYTES) >>> 2] = layout.slotBytes;
    this.slots = this.#fixed + HEADER_BYTES;
    this.places = this.slots + listBytes;
    this.#image = this.#fixed + imageAt;
    this.#run = this.#image + layout.keyBytes;
  }

  /**
   * Sets the key that {@link tryFind} looks for: one JavaScript value per key column, as in a row.
   *
   * @returns its shard
   * @throws MillraceError ERR_MILLRACE_SCHEMA when a value does not fit its column
   */
  setKey(values: readonly unknown[]): number {
    assert(values.length === this.layout.keys.length, `a key of ${values.length} values for ${this.layout.keys.length} columns`);
    const row = this.#key;
    row.reset();
    values.forEach((value, k) => row.setValue(k, 0, value));
    writeKeyImages(this.#kernels, this.memory, this.layout, this.#image, row.finish(1).columns, this.#scratch, 0, 1, 0);
    return shardOf(this.#u32[this.#image >>> 2] as number);
  }

  /**
   * Copies the group of the key. Returns 1; 0: there is none; or TORN. `version` is what `cell.tryRead`
   * returned.
   */
  tryFind(cell: LiveCell, version: number): number {
    if (cell.table === 0) return cell.isStill(version) ? 0 : TORN;
    if (!this.#attach(cell.table)) return TORN;
    const slot = this.#find(cell, version);
    if (slot === TORN) return TORN;
    return slot === 0 ? (cell.isStill(version) ? 0 : TORN) : this.tryCopy(cell, version, slot);
  }

  /**
   * Copies the group in the slot at an address of {@link places} as of the same version. Returns 1 or TORN.
   */
  tryCopy(cell: LiveCell, version: number, slot: number): number {
    if (slot + this.layout.slotBytes > this.memory.byteLength) return TORN;
    copyBytes(this.memory, this.#run, slot, this.layout.slotBytes);
    this.#u32[this.slots >>> 2] = this.#run;
    this.#u32[this.places >>> 2] = slot;
    return this.#copyStates(cell, version, 1);
  }

  /**
   * Copies used slots from slot number `from` on. Returns how many (0: there are no more), with {@link next}
   * to continue with; or TORN.
   *
   * @param withStates false: what lies outside the slots (long strings, sketches, lists) is left out, and
   * must not be read
   */
  tryTile(cell: LiveCell, version: number, from: number, withStates: boolean): number {
    this.next = 0;
    if (cell.table === 0) return cell.isStill(version) ? 0 : TORN;
    if (!this.#attach(cell.table)) return TORN;
    const { slotBytes } = this.layout;
    const count = this.#kernels.groupScan(this.#header, from, this.#tileMax, this.places);
    this.next = this.#u32[(this.places >>> 2) + this.#tileMax] as number;
    this.#kernels.groupPack(this.places, count, slotBytes, this.#run);
    for (let i = 0; i < count; i++) this.#u32[(this.slots >>> 2) + i] = this.#run + i * slotBytes;
    if (!withStates || this.layout.outside.length === 0) return cell.isStill(version) ? count : TORN;
    const copied = this.#copyStates(cell, version, count);
    if (copied === TORN || copied === count) return copied;
    // There is no room for the states of all slots: the others come with the next tile.
    this.next = ((this.#u32[(this.places >>> 2) + copied] as number) - (this.#u32[(this.#header + BASE) >>> 2] as number)) / slotBytes;
    return copied;
  }

  /** Groups in the table, or TORN. */
  trySize(cell: LiveCell, version: number): number {
    const { table } = cell;
    const size = table === 0 || table + HEADER_BYTES > this.memory.byteLength ? 0 : (this.#u32[(table + USED) >>> 2] as number);
    return cell.isStill(version) ? size : TORN;
  }

  /** Frees memory that only large states needed. */
  trim(): void {
    if (this.#statesBytes > STATES_BYTES_KEPT) this.#dropStates();
  }

  /** Gives all memory back. The reader must not be used afterwards. */
  release(): void {
    this.#dropStates();
    this.#key.release();
    this.#slabs.free(this.#fixed);
  }

  /** Takes the place of the slots from the table's header. False: the header is not valid. */
  #attach(table: number): boolean {
    const { byteLength } = this.memory;
    const u32 = this.#u32;
    const { slotBytes, keyBytes } = this.layout;
    if (table % 8 !== 0 || table + HEADER_BYTES > byteLength) return false;
    if (u32[(table + MAGIC) >>> 2] !== MAGIC_VALUE || u32[(table + SLOT_BYTES) >>> 2] !== slotBytes) return false;
    if (u32[(table + KEY_BYTES) >>> 2] !== keyBytes) return false;
    const base = u32[(table + BASE) >>> 2] as number;
    const capacity = u32[(table + CAPACITY) >>> 2] as number;
    if (base === 0 || base % 8 !== 0 || capacity === 0 || base + capacity * slotBytes > byteLength) return false;
    u32[(this.#header + BASE) >>> 2] = base;
    u32[(this.#header + CAPACITY) >>> 2] = capacity;
    u32[(this.#header + SKIP_BITS) >>> 2] = u32[(table + SKIP_BITS) >>> 2] as number;
    return true;
  }

  /**
   * Address of the key's slot, 0, or TORN. Probes as the kernels do (reference/probe.ts), but bounded. In a
   * crowded table it goes through all slots.
   */
  #find(cell: LiveCell, version: number): number {
    const u32 = this.#u32;
    const { slotBytes } = this.layout;
    const base = u32[(this.#header + BASE) >>> 2] as number;
    const capacity = u32[(this.#header + CAPACITY) >>> 2] as number;
    const tag = u32[this.#image >>> 2] as number;
    let at = Math.floor((((tag << (u32[(this.#header + SKIP_BITS) >>> 2] as number)) >>> 6) * capacity) / 2 ** 26);
    if (u32[(cell.table + INDEX) >>> 2] !== 0) at = 0;
    for (let step = 1; step <= capacity; step++) {
      const slot = base + at * slotBytes;
      const there = u32[slot >>> 2] as number;
      if (there === 0) return 0;
      if (there === tag && this.#isKey(slot)) return slot;
      if (step % STEPS_A_LOOK === 0 && !cell.isStill(version)) return TORN;
      at = at + 1 === capacity ? 0 : at + 1;
    }
    return TORN;
  }

  /** Whether a slot has the key that was set: word by word, strings that lie outside by their bytes. */
  #isKey(slot: number): boolean {
    const { keys, nullsOffset, keyBytes } = this.layout;
    const { u8 } = this.memory;
    const u32 = this.#u32;
    const image = this.#image;
    if (nullsOffset !== 0 && u32[(image + nullsOffset) >>> 2] !== u32[(slot + nullsOffset) >>> 2]) return false;
    for (const { offset, shape, inlineBytes } of keys) {
      const length = u32[(image + offset) >>> 2] as number;
      if (length !== u32[(slot + offset) >>> 2]) return false;
      if (shape === 'word') continue;
      if (shape === 'long') {
        if (u32[(image + offset + 4) >>> 2] !== u32[(slot + offset + 4) >>> 2]) return false;
      } else if (length <= inlineBytes) {
        for (let at = 4; at < 4 + inlineBytes && offset + at < keyBytes; at += 4) {
          if (u32[(image + offset + at) >>> 2] !== u32[(slot + offset + at) >>> 2]) return false;
        }
      } else {
        const ours = u32[(image + offset + 4) >>> 2] as number;
        const theirs = u32[(slot + offset + 4) >>> 2] as number;
        // Beyond the memory a byte is undefined, and so equals no byte of ours.
        for (let i = 0; i < length; i++) if (u8[ours + i] !== u8[theirs + i]) return false;
      }
    }
    return true;
  }

  /**
   * Copies what the first `count` slots of the run have outside, and points them to the copies. Returns how
   * many there was room for, at least 1; or TORN.
   */
  #copyStates(cell: LiveCell, version: number, count: number): number {
    const { outside, slotBytes } = this.layout;
    // From here on the run is valid: its lengths and addresses were those of a table at rest.
    if (!cell.isStill(version)) return TORN;
    if (outside.length === 0) return count;
    const u32 = this.#u32;
    let used = 0;
    for (let i = 0; i < count; i++) {
      const slot = this.#run + i * slotBytes;
      let need = 0;
      for (const { offset, inlineBytes } of outside) {
        const length = u32[(slot + offset) >>> 2] as number;
        if (length > inlineBytes) need += roundUp8(length);
      }
      if (used + need > this.#statesBytes) {
        if (used > 0) return cell.isStill(version) ? i : TORN;
        this.#makeRoom(need);
      }
      for (const { offset, inlineBytes } of outside) {
        const field = (slot + offset) >>> 2;
        const length = u32[field] as number;
        if (length <= inlineBytes) continue;
        copyBytes(this.memory, this.#states + used, u32[field + 1] as number, length);
        u32[field + 1] = this.#states + used;
        used += roundUp8(length);
      }
    }
    return cell.isStill(version) ? count : TORN;
  }

  #makeRoom(bytes: number): void {
    this.#dropStates();
    this.#states = this.#slabs.alloc(Math.max(bytes, STATES_BYTES_FIRST));
    this.#statesBytes = this.#slabs.slabBytes(this.#states);
  }

  #dropStates(): void {
    if (this.#states !== 0) this.#slabs.free(this.#states);
    this.#states = 0;
    this.#statesBytes = 0;
  }
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
