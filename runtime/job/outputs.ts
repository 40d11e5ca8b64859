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
  rowsOut = 0;

  constructor(slabs: SlabAllocator) {
    this.#slabs = slabs;
  }

  add(epoch: number, block: OutputBlock): void {
    const blocks = this.#blocks.get(epoch);
    if (blocks === undefined) this.#blocks.set(epoch, [block]);
    else blocks.push(block);
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
  }
}
