/**
 * The block that a sink encoder is filling: a slab with a cursor. Shared by the encoders of sinks that write
 * one run of bytes (lines, Arrow messages) and have no partitions.
 */

import type { SinkEncoderContext } from './sink.ts';

const BLOCK_BYTES = 64 * 1_024;

/** Room in a block, for encoders that write runs of rows. */
export interface BlockRoom {
  /** Where the next bytes go, and the end of the room. */
  readonly at: number;
  readonly limit: number;
  /** Makes room for `bytes` at `at`. */
  reserve(bytes: number): void;
  /** Records that rows were written, up to the address `end`. */
  advance(end: number, rowCount: number): void;
  flush(): void;
}

export class BlockWriter implements BlockRoom {
  readonly #context: SinkEncoderContext;
  #slab = 0;
  #rowCount = 0;
  /** Where the next bytes go, and the end of the room. Both are 0 while there is no block. */
  at = 0;
  limit = 0;

  constructor(context: SinkEncoderContext) {
    this.#context = context;
  }

  /** Makes room for `bytes` at `at`. Where the block has less room left, hands it over and begins another. */
  reserve(bytes: number): void {
    if (this.limit - this.at >= bytes && this.#slab !== 0) return;
    this.flush();
    this.#slab = this.#context.slabs.alloc(Math.max(bytes, BLOCK_BYTES));
    this.at = this.#slab;
    this.limit = this.#slab + this.#context.slabs.slabBytes(this.#slab);
  }

  /** Records that rows were written, up to the address `end`. */
  advance(end: number, rowCount: number): void {
    this.at = end;
    this.#rowCount += rowCount;
  }

  /** Hands the block over, if it has rows. */
  flush(): void {
    if (this.#slab === 0) return;
    if (this.#rowCount > 0) this.#context.block(0, this.#rowCount, this.#slab, this.at - this.#slab);
    else this.#context.slabs.free(this.#slab);
    this.#slab = 0;
    this.#rowCount = 0;
    this.at = 0;
    this.limit = 0;
  }
}
