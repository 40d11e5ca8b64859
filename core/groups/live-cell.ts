/**
 * LiveCell: 64 bytes of shared memory through which the owner of a group table lets other threads read it while it goes on
 * changing it. A sequence lock (as in Linux): the owner makes the version odd, changes, and makes it even again; a reader notes
 * the version, copies what it needs, and takes the copy for good only if the version is still what it was. The owner never waits
 * for a reader, nor knows of one.
 *
 *   0   i32 version: odd while the owner changes the table
 *   4   u32 address of the table's header (core/groups/header.ts); 0: nothing was published yet
 *   8   i32 epoch that the table is as of
 *   12  i32 1 = the owner failed in the middle of a change: the table is lost
 *
 * What a reader copies meanwhile may be anything: live-reader.ts copes with that. The last look at the version is an atomic
 * addition of 0, since a plain load would not keep the copying before it (Boehm, "Can seqlocks get along with programming language memory
 * models?", MSPC 2012); the owner's are additions too, so that one of the two comes first and the other sees what was before it.
 */

import type { SharedMemory } from '../memory/index.ts';

/** Bytes of a cell: a cache line, so that owners do not share one. */
export const LIVE_CELL_BYTES = 64;

const TABLE = 1;
const EPOCH = 2;
const LOST = 3;

export class LiveCell {
  readonly #i32: Int32Array;
  readonly #u32: Uint32Array;
  readonly #at: number;

  /** @param address of {@link LIVE_CELL_BYTES} bytes that were zero at first */
  constructor(memory: SharedMemory, address: number) {
    this.#i32 = memory.i32;
    this.#u32 = memory.u32;
    this.#at = address >>> 2;
  }

  /** Owner: the table is about to change. */
  begin(): void {
    Atomics.add(this.#i32, this.#at, 1);
  }

  /** Owner: the table, whose header is at `table`, has changed and is now as of `epoch`. After {@link begin}. */
  publish(table: number, epoch: number): void {
    this.#u32[this.#at + TABLE] = table;
    this.#i32[this.#at + EPOCH] = epoch;
    Atomics.add(this.#i32, this.#at, 1);
  }

  /** Owner: the change failed half way. Readers are told for good. */
  abandon(): void {
    Atomics.store(this.#i32, this.#at + LOST, 1);
  }

  /** Reader: the version to give to {@link isStill}; -1: the table is being changed, look again. */
  tryRead(): number {
    const version = Atomics.load(this.#i32, this.#at);
    return (version & 1) === 0 ? version >>> 0 : -1;
  }

  /** Reader: whether all that was read since {@link tryRead} gave `version` is of one state. */
  isStill(version: number): boolean {
    return Atomics.add(this.#i32, this.#at, 0) >>> 0 === version;
  }

  /** Reader: whether there will never be an answer. */
  get isLost(): boolean {
    return Atomics.load(this.#i32, this.#at + LOST) === 1;
  }

  /** Address of the table's header; 0: none was published yet. To be trusted once `isStill` says so. */
  get table(): number {
    return this.#u32[this.#at + TABLE] as number;
  }

  /** The epoch that the table is as of; -1 where none was published yet. To be trusted once `isStill` says so. */
  get epoch(): number {
    return this.table === 0 ? -1 : (this.#i32[this.#at + EPOCH] as number);
  }
}
