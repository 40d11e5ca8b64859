/**
 * Lists of runs: slots side by side in memory that the panes of a shard share, their long strings and states
 * behind them.
 *
 *   run    | u32 address of the next, 0 = last | u32 slots | slots | their long strings and states |
 *
 * A list is the address of its first run; 0 is the list without runs.
 */

import { type GroupKernels, type GroupTable, groupKernels, restoreSlot, type SlotLayout, snapshotSlot } from '../groups/index.ts';
import type { SharedMemory, SlabAllocator, StateReader, StateWriter } from '../memory/index.ts';
import { RunArena } from './run-arena.ts';

const NEXT = 0;
const COUNT = 4;
const RUN_HEADER_BYTES = 8;

export class SlotRuns {
  readonly #layout: SlotLayout;
  readonly #memory: SharedMemory;
  readonly #u32: Uint32Array;
  readonly #arena: RunArena;
  readonly #kernels: GroupKernels;
  readonly #hasStrings: boolean;
  readonly #model: number;

  /** @param model address of a table's header, where kernels find the layout */
  constructor(slabs: SlabAllocator, layout: SlotLayout, model: number) {
    this.#layout = layout;
    this.#memory = slabs.memory;
    this.#u32 = slabs.memory.u32;
    this.#arena = new RunArena(slabs);
    this.#kernels = groupKernels(slabs.memory);
    this.#hasStrings = layout.outside.length > 0;
    this.#model = model;
  }

  /** Bytes of slabs held. */
  get bytes(): number {
    return this.#arena.bytes;
  }

  /** A list of one run, copied from `count` slots; 0 for none. Freed by {@link free}. */
  copy(slots: number, count: number): number {
    if (count === 0) return 0;
    const run = this.#make(count, count * this.#layout.slotBytes + this.#longBytes(slots, count));
    this.#kernels.groupCopyRun(this.#model, slots, count, run + RUN_HEADER_BYTES);
    return run;
  }

  /** A list of one run of all groups of a table; 0 for none. */
  of(table: GroupTable): number {
    if (table.size === 0) return 0;
    const run = this.#make(table.size, table.runBytes);
    table.copyRun(run + RUN_HEADER_BYTES);
    return run;
  }

  /** Appends a list to a run, which must be the last of its list. */
  append(last: number, list: number): void {
    this.#u32[(last + NEXT) >>> 2] = list;
  }

  /** Merges all slots of a list into a table. */
  mergeInto(list: number, table: GroupTable): void {
    for (let run = list; run !== 0; run = this.#next(run)) table.mergeSlots(run + RUN_HEADER_BYTES, this.#count(run));
  }

  /** Subtracts all slots of a list from a table. */
  subtractFrom(list: number, table: GroupTable): void {
    for (let run = list; run !== 0; run = this.#next(run)) table.subtractSlots(run + RUN_HEADER_BYTES, this.#count(run));
  }

  free(list: number): void {
    for (let run = list; run !== 0; ) {
      const next = this.#next(run);
      this.#arena.free(run);
      run = next;
    }
  }

  snapshot(list: number, out: StateWriter): void {
    const { slotBytes } = this.#layout;
    for (let run = list; run !== 0; run = this.#next(run)) {
      const count = this.#count(run);
      const slots = run + RUN_HEADER_BYTES;
      out.number(count);
      out.number(this.#longBytes(slots, count));
      for (let i = 0; i < count; i++) snapshotSlot(this.#memory, this.#layout, slots + i * slotBytes, out);
    }
    out.number(0);
  }

  /** Reads a list that `snapshot` wrote, calls `each` with every one of its runs, and returns the list. */
  restore(from: StateReader, each: (run: number, slotCount: number) => void = () => {}): number {
    const { slotBytes } = this.#layout;
    let first = 0;
    let last = 0;
    for (let count = from.count(); count > 0; count = from.count()) {
      const run = this.#make(count, count * slotBytes + from.count());
      const slots = run + RUN_HEADER_BYTES;
      let at = slots + count * slotBytes;
      const alloc = (bytes: number) => {
        const address = at;
        at += (bytes + 7) & ~7;
        return address;
      };
      for (let i = 0; i < count; i++) restoreSlot(this.#memory, this.#layout, from, slots + i * slotBytes, alloc);
      if (first === 0) first = run;
      else this.append(last, run);
      last = run;
      each(run, count);
    }
    return first;
  }

  /** Gives all memory back. */
  release(): void {
    this.#arena.release();
  }

  #make(count: number, bytes: number): number {
    const run = this.#arena.alloc(RUN_HEADER_BYTES + bytes);
    this.#u32[(run + NEXT) >>> 2] = 0;
    this.#u32[(run + COUNT) >>> 2] = count;
    return run;
  }

  #next(run: number): number {
    return this.#u32[(run + NEXT) >>> 2] as number;
  }

  #count(run: number): number {
    return this.#u32[(run + COUNT) >>> 2] as number;
  }

  /** Bytes of the long strings and states of slots. */
  #longBytes(slots: number, count: number): number {
    return this.#hasStrings ? this.#kernels.groupRunLongBytes(this.#model, slots, count) : 0;
  }
}
