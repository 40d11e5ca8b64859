/**
 * The groups of a pane, and the store that all panes of a shard share. A pane is a hash table only while many slots are
 * being merged into it; before and after, it is a list of runs: slots side by side, in memory that the panes share.
 *
 *   first slots      runs, as they come (a key may be in several)
 *   many more        a table, one of a few that the store has (OPEN_MAX)
 *   another pane     the table least recently used becomes one run again, of exactly its groups, and serves the other pane
 *   the window takes the pane in: one run, which is merged into the window's table now and subtracted when it leaves
 *
 *   run    | u32 address of the next, 0 = last | u32 slots | slots | their long strings and states |
 *
 * So a pane of 16 groups of 40 bytes takes 656 bytes, not a table's two slabs of 4 KiB: 500 panes in 64 shards are 21 MB
 * in place of 262. What is a table when, and so the order of slots, follows from the calls alone. The idea is that of a
 * log-structured merge tree (O'Neil et al., 1996), with one level: append, and merge when that pays.
 */

import { type GroupKernels, groupKernels } from '../groups/group-kernels.ts';
import { GroupTable } from '../groups/group-table.ts';
import type { SlotLayout } from '../groups/slot-layout.ts';
import { restoreSlot, snapshotSlot } from '../groups/slot-state.ts';
import { SLAB_BYTES_MIN, type SlabAllocator } from '../memory/slab.ts';
import type { StateReader, StateWriter } from '../memory/state-bytes.ts';
import { RunArena } from './run-arena.ts';

/** Tables of panes that are being merged into: more such panes at a time share them. */
const OPEN_MAX = 8;
/** A pane becomes a table when it has this many slots more than twice its groups when it last was one. */
const RUN_SLOTS_MAX = 32;
const NEXT = 0;
const COUNT = 4;
const RUN_HEADER_BYTES = 8;
/** In a snapshot, in place of when its table was used: the pane is runs. */
const RUNS = -1;

export interface PaneStoreOptions {
  /** Top bits of the hash that all keys share: GroupTableOptions.skipBits. Default 0. */
  readonly skipBits?: number;
  /** Tables at a time. Default 8. */
  readonly openMax?: number;
}

/** Makes panes, and holds the memory that they share. One thread at a time. */
export class PaneStore {
  readonly layout: SlotLayout;
  readonly slabs: SlabAllocator;
  readonly arena: RunArena;
  readonly u32: Uint32Array;
  readonly #kernels: GroupKernels;
  readonly #skipBits: number;
  readonly #openMax: number;
  /** Panes that are tables. */
  readonly #open: PaneGroups[] = [];
  readonly #spare: GroupTable[] = [];
  readonly #hasStrings: boolean;
  /** Address of a table's header, where kernels find the layout. */
  readonly #model: number;
  #clock = 0;
  /** While it is being restored: the first table, when a pane has it. */
  #unused: GroupTable | undefined;

  constructor(slabs: SlabAllocator, layout: SlotLayout, { skipBits = 0, openMax = OPEN_MAX }: PaneStoreOptions = {}) {
    this.layout = layout;
    this.slabs = slabs;
    this.arena = new RunArena(slabs);
    this.#kernels = groupKernels(slabs.memory);
    this.u32 = slabs.memory.u32;
    this.#skipBits = skipBits;
    this.#openMax = openMax;
    this.#hasStrings = layout.outside.length > 0;
    const table = this.makeTable();
    this.#model = table.address;
    this.#spare.push(table);
  }

  /** Bytes of runs and of tables, without tables kept for reuse. */
  get bytes(): number {
    let bytes = this.arena.bytes;
    for (const pane of this.#open) bytes += (pane.table as GroupTable).bytes;
    return bytes;
  }

  /** A pane without groups. */
  make(): PaneGroups {
    return new PaneGroups(this);
  }

  /** An empty table of the layout. */
  makeTable(): GroupTable {
    return smallTable(this.slabs, this.layout, this.#skipBits);
  }

  /** Copies `count` slots to a run of their own; 0 for none. Freed by {@link freeRuns}. */
  copyRun(slots: number, count: number): number {
    if (count === 0) return 0;
    const run = this.arena.alloc(RUN_HEADER_BYTES + count * this.layout.slotBytes + this.#longBytes(slots, count));
    this.u32[(run + NEXT) >>> 2] = 0;
    this.u32[(run + COUNT) >>> 2] = count;
    this.#kernels.groupCopyRun(this.#model, slots, count, run + RUN_HEADER_BYTES);
    return run;
  }

  /** All groups of a table as a run; 0 for none. */
  runOf(table: GroupTable): number {
    const count = table.size;
    if (count === 0) return 0;
    const run = this.arena.alloc(RUN_HEADER_BYTES + table.runBytes);
    this.u32[(run + NEXT) >>> 2] = 0;
    this.u32[(run + COUNT) >>> 2] = count;
    table.copyRun(run + RUN_HEADER_BYTES);
    return run;
  }

  /** Merges a list of runs into a table. */
  mergeRuns(run: number, into: GroupTable): void {
    for (let at = run; at !== 0; at = this.u32[(at + NEXT) >>> 2] as number) into.mergeSlots(at + RUN_HEADER_BYTES, this.u32[(at + COUNT) >>> 2] as number);
  }

  /** Subtracts a list of runs from a table. */
  subtractRuns(run: number, from: GroupTable): void {
    for (let at = run; at !== 0; at = this.u32[(at + NEXT) >>> 2] as number) from.subtractSlots(at + RUN_HEADER_BYTES, this.u32[(at + COUNT) >>> 2] as number);
  }

  freeRuns(run: number): void {
    for (let at = run; at !== 0; ) {
      const next = this.u32[(at + NEXT) >>> 2] as number;
      this.arena.free(at);
      at = next;
    }
  }

  /** Writes what is of no pane: the tables kept for reuse, whose sizes decide the order of slots, and the time in calls. */
  snapshot(out: StateWriter): void {
    out.number(this.#clock);
    out.number(this.#spare.length);
    for (const table of this.#spare) table.snapshotCleared(out);
  }

  /** Makes a new store what `snapshot` wrote. Its panes come after. */
  restore(from: StateReader): void {
    this.#clock = from.count();
    const count = from.count();
    // There is one table from the start, whose header is the model, wherever it is used.
    if (count === 0) this.#unused = this.#spare.pop();
    for (let i = 0; i < count; i++) {
      const table = this.#spare[i] ?? this.makeTable();
      table.restore(from);
      this.#spare[i] = table;
    }
  }

  /** Writes a list of runs. */
  snapshotRuns(run: number, out: StateWriter): void {
    const { u32, layout } = this;
    const { memory } = this.slabs;
    for (let at = run; at !== 0; at = u32[(at + NEXT) >>> 2] as number) {
      const count = u32[(at + COUNT) >>> 2] as number;
      const slots = at + RUN_HEADER_BYTES;
      out.number(count);
      out.number(this.#longBytes(slots, count));
      for (let i = 0; i < count; i++) snapshotSlot(memory, layout, slots + i * layout.slotBytes, out);
    }
    out.number(0);
  }

  /** Reads a list of runs, calls `each` with every one of them, and returns the first; 0 for none. */
  restoreRuns(from: StateReader, each: (run: number, slotCount: number) => void = () => {}): number {
    const { layout } = this;
    const { memory } = this.slabs;
    let first = 0;
    let last = 0;
    for (let count = from.count(); count > 0; count = from.count()) {
      const slotsEnd = RUN_HEADER_BYTES + count * layout.slotBytes;
      const run = this.arena.alloc(slotsEnd + from.count());
      let at = run + slotsEnd;
      const alloc = (bytes: number) => {
        const address = at;
        at += (bytes + 7) & ~7;
        return address;
      };
      this.u32[(run + NEXT) >>> 2] = 0;
      this.u32[(run + COUNT) >>> 2] = count;
      for (let i = 0; i < count; i++) restoreSlot(memory, layout, from, run + RUN_HEADER_BYTES + i * layout.slotBytes, alloc);
      if (first === 0) first = run;
      else this.u32[(last + NEXT) >>> 2] = run;
      last = run;
      each(run, count);
    }
    return first;
  }

  /** Reads the table of a pane. */
  restoreTable(pane: PaneGroups, from: StateReader): GroupTable {
    const table = this.#unused ?? this.makeTable();
    this.#unused = undefined;
    table.restore(from);
    this.#open.push(pane);
    return table;
  }

  /** A table for a pane: a spare one, or that of the pane that was used longest ago. */
  openFor(pane: PaneGroups): GroupTable {
    if (this.#open.length >= this.#openMax) {
      let oldest = this.#open[0] as PaneGroups;
      for (const other of this.#open) if (other.usedAt < oldest.usedAt) oldest = other;
      oldest.seal();
    }
    this.#open.push(pane);
    return this.#spare.pop() ?? this.makeTable();
  }

  /** Takes a table back. */
  closeOf(pane: PaneGroups, table: GroupTable): void {
    this.#open.splice(this.#open.indexOf(pane), 1);
    table.clear();
    this.#spare.push(table);
  }

  /** Now, in calls. */
  tick(): number {
    return ++this.#clock;
  }

  /** Gives all memory back; the panes must have been dropped. */
  release(): void {
    for (const table of this.#spare.splice(0)) table.release();
    this.arena.release();
  }

  /** Bytes of the long strings and states of slots. */
  #longBytes(slots: number, count: number): number {
    return this.#hasStrings ? this.#kernels.groupRunLongBytes(this.#model, slots, count) : 0;
  }
}

/** The groups of one pane. Made by {@link PaneStore.make}. */
export class PaneGroups {
  readonly #store: PaneStore;
  /** While it is a table. */
  table: GroupTable | undefined;
  /** When the table was last wanted: PaneStore.tick. */
  usedAt = 0;
  // Otherwise: the list of runs, and how many slots they have; and how many groups it had when it last was a table.
  #first = 0;
  #last = 0;
  #slotCount = 0;
  #packedCount = 0;

  constructor(store: PaneStore) {
    this.#store = store;
  }

  /** Groups, at most: a key that is in several runs counts in each. */
  get size(): number {
    return this.table?.size ?? this.#slotCount;
  }

  /** Merges `count` slots that lie side by side, their strings included. */
  add(slots: number, count: number): void {
    if (count === 0) return;
    if (this.table === undefined && this.#slotCount + count <= this.#packedCount * 2 + RUN_SLOTS_MAX) this.#append(this.#store.copyRun(slots, count), count);
    else this.toTable().mergeSlots(slots, count);
  }

  /** Makes it a table, to be read or updated until the next call of anything of this pane or another. */
  toTable(): GroupTable {
    this.usedAt = this.#store.tick();
    if (this.table !== undefined) return this.table;
    const table = this.#store.openFor(this);
    this.table = table;
    this.#store.mergeRuns(this.#first, table);
    this.#dropRuns();
    return table;
  }

  /** Makes it runs: what follows is to be read, not to be merged into. */
  seal(): void {
    const { table } = this;
    if (table === undefined) return;
    const count = table.size;
    const run = this.#store.runOf(table);
    this.table = undefined;
    this.#store.closeOf(this, table);
    if (run !== 0) this.#append(run, count);
    this.#packedCount = count;
  }

  /** Merges its groups into a table. */
  mergeInto(table: GroupTable): void {
    if (this.table === undefined) this.#store.mergeRuns(this.#first, table);
    else table.mergeTable(this.table);
  }

  /** Takes its groups, which were merged into that table, out of it. */
  subtractFrom(table: GroupTable): void {
    if (this.table === undefined) this.#store.subtractRuns(this.#first, table);
    else table.subtractTable(this.table);
  }

  /** Without groups again. */
  clear(): void {
    const { table } = this;
    if (table !== undefined) {
      this.table = undefined;
      this.#store.closeOf(this, table);
    }
    this.#store.freeRuns(this.#first);
    this.#dropped();
    this.#packedCount = 0;
  }

  /** Writes the pane as it is, table or runs. */
  snapshot(out: StateWriter): void {
    out.number(this.#packedCount);
    if (this.table === undefined) {
      out.number(RUNS);
      this.#store.snapshotRuns(this.#first, out);
      return;
    }
    out.number(this.usedAt);
    this.table.snapshot(out);
  }

  /** Makes a pane without groups what `snapshot` wrote. */
  restore(from: StateReader): void {
    this.#packedCount = from.count();
    const usedAt = from.number();
    if (usedAt === RUNS) {
      this.#first = this.#store.restoreRuns(from, (run, slotCount) => {
        this.#last = run;
        this.#slotCount += slotCount;
      });
      return;
    }
    this.usedAt = usedAt;
    this.table = this.#store.restoreTable(this, from);
  }

  #append(run: number, count: number): void {
    if (this.#first === 0) this.#first = run;
    else this.#store.u32[(this.#last + NEXT) >>> 2] = run;
    this.#last = run;
    this.#slotCount += count;
  }

  #dropRuns(): void {
    this.#store.freeRuns(this.#first);
    this.#dropped();
  }

  #dropped(): void {
    this.#first = 0;
    this.#last = 0;
    this.#slotCount = 0;
  }
}

/** An empty table that starts as small as a slab allows: there may be one a shard. */
export function smallTable(slabs: SlabAllocator, layout: SlotLayout, skipBits: number): GroupTable {
  return new GroupTable(slabs, layout, { capacityMin: Math.floor(SLAB_BYTES_MIN / layout.slotBytes), skipBits });
}
