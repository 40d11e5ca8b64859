/**
 * Memory for runs: pieces of shared memory of any size, much smaller than a slab, that come and go in about the order of
 * time. One owner; for the runs of slots of a shard's panes (pane-groups.ts), of which there may be tens of thousands.
 *
 *   slab   | u32 pieces in use | u32 0 | piece | piece | ...
 *   piece  | u32 address of its slab | the owner's bytes ...
 *
 * Pieces are cut from the newest slab one behind the other, and a slab is given back when its last piece is: no lists, no
 * search, and what is written together lies together. A piece that is kept long keeps its slab; with panes, which close
 * in order, that is rare.
 */

import { assert } from '../assert.ts';
import { SLAB_BYTES_MIN, type SlabAllocator } from '../memory/slab.ts';

const SLAB_HEADER_BYTES = 8;
/** What comes before the owner's bytes. */
const PIECE_HEADER_BYTES = 8;
const SLAB_BYTES_MAX = 64 << 10;
/** A new slab is this part of what is held: small arenas stay small, large ones have few slabs. */
const SLAB_SHARE = 1 / 8;

export class RunArena {
  readonly #slabs: SlabAllocator;
  readonly #u32: Uint32Array;
  #slab = 0;
  #at = 0;
  #end = 0;
  #bytes = 0;

  constructor(slabs: SlabAllocator) {
    this.#slabs = slabs;
    this.#u32 = slabs.memory.u32;
  }

  /** Bytes of slabs held. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The address of `bytes` bytes, a multiple of 8. Their content is whatever was there. Cost: O(1).
   *
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  alloc(bytes: number): number {
    const need = PIECE_HEADER_BYTES + ((bytes + 7) & ~7);
    if (this.#end - this.#at < need) this.#addSlab(need);
    const piece = this.#at;
    this.#at = piece + need;
    this.#u32[piece >>> 2] = this.#slab;
    this.#u32[this.#slab >>> 2] = (this.#u32[this.#slab >>> 2] as number) + 1;
    return piece + PIECE_HEADER_BYTES;
  }

  /** Gives back what `alloc` returned. */
  free(address: number): void {
    const slab = this.#u32[(address - PIECE_HEADER_BYTES) >>> 2] as number;
    const inUse = (this.#u32[slab >>> 2] as number) - 1;
    if (inUse < 0) assert(false, `free of ${address}, which is no piece in use`);
    this.#u32[slab >>> 2] = inUse;
    if (inUse > 0) return;
    if (slab === this.#slab) this.#at = slab + SLAB_HEADER_BYTES;
    else this.#giveBack(slab);
  }

  /** Gives back the slab that nothing lies in; all pieces must have been freed. */
  release(): void {
    if (this.#slab !== 0 && this.#u32[this.#slab >>> 2] === 0) this.#giveBack(this.#slab);
    this.#slab = 0;
    this.#at = 0;
    this.#end = 0;
  }

  #addSlab(need: number): void {
    // A slab without pieces, too small for this one, is not left behind.
    if (this.#slab !== 0 && this.#u32[this.#slab >>> 2] === 0) this.#giveBack(this.#slab);
    this.#slab = 0;
    const wanted = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, this.#bytes * SLAB_SHARE));
    const slab = this.#slabs.alloc(Math.max(wanted, SLAB_HEADER_BYTES + need));
    const bytes = this.#slabs.slabBytes(slab);
    this.#u32[slab >>> 2] = 0;
    this.#slab = slab;
    this.#at = slab + SLAB_HEADER_BYTES;
    this.#end = slab + bytes;
    this.#bytes += bytes;
  }

  #giveBack(slab: number): void {
    this.#bytes -= this.#slabs.slabBytes(slab);
    this.#slabs.free(slab);
  }
}
