/**
 * Memory for runs of slots (slot-runs.ts): a page pool whose pieces know their page, so that an address is
 * enough to free one. A shard's panes may have tens of thousands of them.
 *
 *   piece  | u32 its page | u32 unused | the owner's bytes ...
 */

import { PagePool, type SlabAllocator } from '../memory/index.ts';

/** Bytes before the owner's bytes. */
const PIECE_HEADER_BYTES = 8;

export class RunArena {
  readonly #pool: PagePool;
  readonly #u32: Uint32Array;

  constructor(slabs: SlabAllocator) {
    this.#pool = new PagePool(slabs, { pageBytesMax: 64 << 10, pageShare: 1 / 8 });
    this.#u32 = slabs.memory.u32;
  }

  /** Bytes of slabs held. */
  get bytes(): number {
    return this.#pool.bytes;
  }

  /**
   * The address of `bytes` bytes, a multiple of 8, with undefined content. Cost: O(1).
   *
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  alloc(bytes: number): number {
    const piece = this.#pool.take(PIECE_HEADER_BYTES + bytes);
    this.#u32[piece >>> 2] = this.#pool.page;
    return piece + PIECE_HEADER_BYTES;
  }

  /** Frees what `alloc` returned. */
  free(address: number): void {
    this.#pool.drop(this.#u32[(address - PIECE_HEADER_BYTES) >>> 2] as number);
  }

  /** Gives all memory back. */
  release(): void {
    this.#pool.release();
  }
}
