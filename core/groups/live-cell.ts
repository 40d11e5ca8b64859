/**
 * LiveCell: 64 bytes of shared memory through which the owner of a group table lets other threads read the
 * table while it goes on changing it. It is a sequence lock (as in Linux). The owner makes the version odd,
 * changes the table, and makes the version even again. A reader notes the version, copies what it needs, and
 * trusts the copy only if the version has not changed. The owner never waits for a reader, and does not know
 * of any.
 *
 *   0   i32 version: odd while the owner changes the table
 *   4   u32 address of the table's header (core/groups/header.ts); 0: nothing was published yet
 *   8   i32 epoch that the table is as of
 *   12  i32 1 = the owner failed in the middle of a change: the table is lost
 *
 * What a reader copies meanwhile may be anything: see live-reader.ts. The last look at the version is an
 * atomic addition of 0, since a plain load would not keep the copying before it (Boehm, "Can seqlocks get
 * along with programming language memory models?", MSPC 2012). The owner's are additions too, so that one of
 * the two comes first and the other sees what was before it.
 */

import type { SharedMemory } from '../memory/index.ts';

/** Bytes of a cell: a cache line, so that no two owners share one. */
export const LIVE_CELL_BYTES = 64;

const TABLE = 1;
const EPOCH = 2;
const LOST = 3;

export class LiveCell {
  readonly #i32: Int32Array;
  readonly #u32: Uint32Array;
  readonly #at: number;

  /** @param address of {@link LIVE_CELL_BYTES} bytes that were initially zero */
  constructor(memory: SharedMemory, address: number) {
    this.#i32 = memory.i32;
    this.#u32 = memory.u32;
    this.#at = address >>> 2;
  }

  /** Owner: the table is about to change. */
  begin(): void {
    Atomics.add(this.#i32, this.#at, 1);
  }

  /**
   * Owner: the table, whose header is at `table`, has changed and is now as of `epoch`. After {@link begin}.
   */
  publish(table: number, epoch: number): void {
    this.#u32[this.#at + TABLE] = table;
    this.#i32[this.#at + EPOCH] = epoch;
    Atomics.add(this.#i32, this.#at, 1);
  }

  /** Owner: the change failed half way. Readers will always see this. */
  abandon(): void {
    Atomics.store(this.#i32, this.#at + LOST, 1);
  }

  /** Reader: the version to pass to {@link isStill}; -1: the table is being changed, look again. */
  tryRead(): number {
    const version = Atomics.load(this.#i32, this.#at);
    return (version & 1) === 0 ? version >>> 0 : -1;
  }

  /** Reader: whether everything read since {@link tryRead} gave `version` belongs to one state. */
  isStill(version: number): boolean {
    return Atomics.add(this.#i32, this.#at, 0) >>> 0 === version;
  }

  /** Reader: whether there will never be an answer. */
  get isLost(): boolean {
    return Atomics.load(this.#i32, this.#at + LOST) === 1;
  }

  /** Address of the table's header; 0: none was published yet. Trust it only if `isStill` confirms. */
  get table(): number {
    return this.#u32[this.#at + TABLE] as number;
  }

  /**
   * The epoch that the table is as of; -1 where none was published yet. Trust it only if `isStill` confirms.
   */
  get epoch(): number {
    return this.table === 0 ? -1 : (this.#i32[this.#at + EPOCH] as number);
  }
}
