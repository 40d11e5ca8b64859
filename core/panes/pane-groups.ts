/**
 * The groups of a pane. A pane is a hash table only while many slots are being merged into it. Before and
 * after, it is a list of runs: slots side by side, in memory that the panes of a shard share (slot-runs.ts).
 *
 *   first slots      runs, as they come (a key may be in several)
 *   many more        a table, one of a few that the store has (pane-store.ts)
 *   another pane     the least recently used table becomes one run again, of exactly its groups, and serves
 *                    the other pane
 *   a window         takes the pane in as one run, merged into its table now and subtracted when the pane
 *                    leaves
 *
 * So a pane of 16 groups of 40 bytes takes 656 bytes, not a table's two slabs of 4 KiB: 500 panes in 64
 * shards are 21 MB instead of 262. What is a table when, and so the order of slots, follows from the calls
 * alone. The idea is that of a log-structured merge tree (O'Neil et al., 1996), with one level: append, and
 * merge when that pays.
 */

import type { GroupTable } from '../groups/index.ts';
import type { StateReader, StateWriter } from '../memory/index.ts';
import type { PaneStore, TableBorrower } from './pane-store.ts';

/**
 * A pane becomes a table when it has this many slots more than twice the groups of its last time as a table.
 */
const RUN_SLOTS_MAX = 32;
/** In a snapshot, in place of the last use of its table: the pane is runs. */
const RUNS = -1;

/** The groups of one pane. */
export class PaneGroups implements TableBorrower {
  readonly #store: PaneStore;
  /** While it is a table. */
  table: GroupTable | undefined;
  /** When the table was last used: {@link PaneStore.tick}. */
  usedAt = 0;
  // Otherwise: the list of runs, the number of their slots, and the number of groups when it last was a
  // table.
  #first = 0;
  #last = 0;
  #slotCount = 0;
  #packedCount = 0;

  constructor(store: PaneStore) {
    this.#store = store;
  }

  /** Number of groups, at most: a key that is in several runs counts in each. */
  get size(): number {
    return this.table?.size ?? this.#slotCount;
  }

  /** Merges `count` slots that lie side by side, their strings included. */
  add(slots: number, count: number): void {
    if (count === 0) return;
    if (this.table === undefined && this.#slotCount + count <= this.#packedCount * 2 + RUN_SLOTS_MAX) this.#append(this.#store.runs.copy(slots, count), count);
    else this.toTable().mergeSlots(slots, count);
  }

  /**
   * Makes the pane a table, to be read or updated until the next call of any method of this pane or another.
   */
  toTable(): GroupTable {
    this.usedAt = this.#store.tick();
    if (this.table !== undefined) return this.table;
    const table = this.#store.openFor(this);
    this.table = table;
    this.#store.runs.mergeInto(this.#first, table);
    this.#dropRuns();
    return table;
  }

  /** Makes the pane runs: it will be read, not merged into. */
  seal(): void {
    const { table } = this;
    if (table === undefined) return;
    const count = table.size;
    const run = this.#store.runs.of(table);
    this.table = undefined;
    this.#store.closeOf(this, table);
    if (run !== 0) this.#append(run, count);
    this.#packedCount = count;
  }

  /** Merges its groups into a table. */
  mergeInto(table: GroupTable): void {
    if (this.table === undefined) this.#store.runs.mergeInto(this.#first, table);
    else table.mergeTable(this.table);
  }

  /** Subtracts its groups, which were merged into that table, from it. */
  subtractFrom(table: GroupTable): void {
    if (this.table === undefined) this.#store.runs.subtractFrom(this.#first, table);
    else table.subtractTable(this.table);
  }

  /** Removes all groups. */
  clear(): void {
    const { table } = this;
    if (table !== undefined) {
      this.table = undefined;
      this.#store.closeOf(this, table);
    }
    this.#store.runs.free(this.#first);
    this.#dropped();
    this.#packedCount = 0;
  }

  /** Writes the pane as it is, table or runs. */
  snapshot(out: StateWriter): void {
    out.number(this.#packedCount);
    if (this.table === undefined) {
      out.number(RUNS);
      this.#store.runs.snapshot(this.#first, out);
      return;
    }
    out.number(this.usedAt);
    this.table.snapshot(out);
  }

  /** Fills a pane without groups with what `snapshot` wrote. */
  restore(from: StateReader): void {
    this.#packedCount = from.count();
    const usedAt = from.number();
    if (usedAt === RUNS) {
      this.#first = this.#store.runs.restore(from, (run, slotCount) => {
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
    else this.#store.runs.append(this.#last, run);
    this.#last = run;
    this.#slotCount += count;
  }

  #dropRuns(): void {
    this.#store.runs.free(this.#first);
    this.#dropped();
  }

  #dropped(): void {
    this.#first = 0;
    this.#last = 0;
    this.#slotCount = 0;
  }
}
