/**
 * Outputs: the blocks that the crew hands over for the sinks. They are kept until their epoch is complete,
 * and are handed out in an order that does not depend on threads (output-block.ts). Their slabs are freed
 * when they are written. So a slow sink holds memory and, through the epochs under way, the sources. Writing
 * them is up to sinks.ts, or a test driver.
 */

import type { SlabAllocator } from '../../core/index.ts';
import { type OutputBlock, orderBlocks } from '../shared/index.ts';

export class Outputs {
  readonly #slabs: SlabAllocator;
  readonly #blocks = new Map<number, OutputBlock[]>();
  readonly #bytes = new Map<number, number>();
  /** Of all blocks that are not released yet. */
  bytes = 0;
  rowsOut = 0;

  constructor(slabs: SlabAllocator) {
    this.#slabs = slabs;
  }

  add(epoch: number, block: OutputBlock): void {
    this.#bytes.set(epoch, this.bytesOf(epoch) + block.bytes);
    this.bytes += block.bytes;
    const blocks = this.#blocks.get(epoch);
    if (blocks === undefined) this.#blocks.set(epoch, [block]);
    else blocks.push(block);
  }

  /** Bytes of an epoch's blocks so far. */
  bytesOf(epoch: number): number {
    return this.#bytes.get(epoch) ?? 0;
  }

  /** The blocks of an epoch that have come so far, in the order in which they are written. */
  blocksOf(epoch: number): readonly OutputBlock[] {
    return orderBlocks(this.#blocks.get(epoch) ?? []);
  }

  /** All blocks that are not released yet, epoch by epoch. */
  get pending(): OutputBlock[] {
    return [...this.#blocks.keys()].sort((a, b) => a - b).flatMap((epoch) => this.blocksOf(epoch));
  }

  /** The epoch's blocks are no longer needed: they are written, or were written before a restart. */
  release(epoch: number, { written }: { readonly written: boolean }): void {
    for (const block of this.#blocks.get(epoch) ?? []) {
      if (written) this.rowsOut += block.rows;
      this.#slabs.free(block.address);
    }
    this.#blocks.delete(epoch);
    this.bytes -= this.bytesOf(epoch);
    this.#bytes.delete(epoch);
  }
}
