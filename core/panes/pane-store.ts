/**
 * What the panes of a shard share: the memory of their runs, and a few tables, each on loan to a pane that is
 * being merged into. One thread at a time.
 */

import { GroupTable, type SlotLayout } from '../groups/index.ts';
import { SLAB_BYTES_MIN, type SlabAllocator, type StateReader, type StateWriter } from '../memory/index.ts';
import { SlotRuns } from './slot-runs.ts';

/** Number of tables for panes that are being merged into. More such panes at a time share them. */
const OPEN_MAX = 8;

export interface PaneStoreOptions {
  /** Number of top bits of the hash that all keys share: GroupTableOptions.skipBits. Default 0. */
  readonly skipBits?: number;
  /** Number of tables at a time. Default 8. */
  readonly openMax?: number;
}

/** A pane, as seen by the store. */
export interface TableBorrower {
  readonly table: GroupTable | undefined;
  /** When the table was last used: {@link PaneStore.tick}. */
  readonly usedAt: number;
  /** Returns the table, keeping its groups as runs. */
  seal(): void;
}

export class PaneStore {
  readonly layout: SlotLayout;
  readonly slabs: SlabAllocator;
  readonly runs: SlotRuns;
  readonly #skipBits: number;
  readonly #openMax: number;
  /** Panes that are tables. */
  readonly #open: TableBorrower[] = [];
  readonly #spare: GroupTable[] = [];
  #clock = 0;
  /** While it is being restored: the first table, when a pane has it. */
  #unused: GroupTable | undefined;

  constructor(slabs: SlabAllocator, layout: SlotLayout, { skipBits = 0, openMax = OPEN_MAX }: PaneStoreOptions = {}) {
    this.layout = layout;
    this.slabs = slabs;
    this.#skipBits = skipBits;
    this.#openMax = openMax;
    const table = this.makeTable();
    this.#spare.push(table);
    this.runs = new SlotRuns(slabs, layout, table.address);
  }

  /** Bytes of runs and of tables, without tables kept for reuse. */
  get bytes(): number {
    let { bytes } = this.runs;
    for (const pane of this.#open) bytes += (pane.table as GroupTable).bytes;
    return bytes;
  }

  /** An empty table of the layout. */
  makeTable(): GroupTable {
    return smallTable(this.slabs, this.layout, this.#skipBits);
  }

  /** A table for a pane: a spare one, or that of the least recently used pane. */
  openFor(pane: TableBorrower): GroupTable {
    if (this.#open.length >= this.#openMax) {
      let oldest = this.#open[0] as TableBorrower;
      for (const other of this.#open) if (other.usedAt < oldest.usedAt) oldest = other;
      oldest.seal();
    }
    this.#open.push(pane);
    return this.#spare.pop() ?? this.makeTable();
  }

  /** Takes a table back. */
  closeOf(pane: TableBorrower, table: GroupTable): void {
    this.#open.splice(this.#open.indexOf(pane), 1);
    table.clear();
    this.#spare.push(table);
  }

  /** The current time, in calls. */
  tick(): number {
    return ++this.#clock;
  }

  /**
   * Writes what belongs to no pane: the spare tables, whose sizes decide the order of slots, and the time in
   * calls.
   */
  snapshot(out: StateWriter): void {
    out.number(this.#clock);
    out.number(this.#spare.length);
    for (const table of this.#spare) table.snapshotCleared(out);
  }

  /** Fills a new store with what `snapshot` wrote. Its panes follow. */
  restore(from: StateReader): void {
    this.#clock = from.count();
    const count = from.count();
    // There is one table from the start. Its header serves as the model of the runs, wherever it is used.
    if (count === 0) this.#unused = this.#spare.pop();
    for (let i = 0; i < count; i++) {
      const table = this.#spare[i] ?? this.makeTable();
      table.restore(from);
      this.#spare[i] = table;
    }
  }

  /** Reads the table of a pane. */
  restoreTable(pane: TableBorrower, from: StateReader): GroupTable {
    const table = this.#unused ?? this.makeTable();
    this.#unused = undefined;
    table.restore(from);
    this.#open.push(pane);
    return table;
  }

  /** Gives all memory back; the panes must have been dropped. */
  release(): void {
    for (const table of this.#spare.splice(0)) table.release();
    this.runs.release();
  }
}

/** An empty table that starts as small as a slab allows: there may be one per shard. */
export function smallTable(slabs: SlabAllocator, layout: SlotLayout, skipBits: number): GroupTable {
  return new GroupTable(slabs, layout, { capacityMin: Math.floor(SLAB_BYTES_MIN / layout.slotBytes), skipBits });
}
