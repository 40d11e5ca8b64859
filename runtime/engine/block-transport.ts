/**
 * The way of exchange blocks from scans to shards: the seam between engines. An engine publishes the blocks
 * that its scans have left for an exchange, and gathers those of all engines, in the order in which shards
 * merge them. Nothing else of the engines meets on this way, so another transport, such as a topic between
 * processes, takes this one's place behind the same three calls.
 *
 *   publish(epoch, exchange, blocks) | all engines have | gather(epoch, exchange)
 *   | all have merged | takeBack(epoch)
 *
 * In shared memory a block does not move: each engine writes a list of the addresses of its blocks, and where
 * the list lies, into its place of the control block's directory. Blocks are lent until takeBack, and then
 * freed by their owner.
 */

import type { SlabAllocator } from '../../core/index.ts';
import { orderExchangeBlocks } from '../../operators/index.ts';
import type { Control } from '../shared/index.ts';

export interface BlockTransport {
  /** Shows blocks, which the transport owns from here on, to all engines. Once per exchange and epoch. */
  publish(epoch: number, exchange: number, blocks: readonly number[]): void;
  /**
   * The blocks of all engines for an exchange, in the order in which shards merge them. They are good until
   * `takeBack`.
   */
  gather(epoch: number, exchange: number): number[];
  /** Every engine has merged the blocks of the epoch. */
  takeBack(epoch: number): void;
}

/** Between the threads of one process. One per engine. */
export class SharedMemoryTransport implements BlockTransport {
  readonly #slabs: SlabAllocator;
  readonly #control: Control;
  readonly #worker: number;
  /** Blocks of ours, and lists of them, that other workers may still read, by parity. */
  readonly #lent: [number[], number[]] = [[], []];

  constructor(slabs: SlabAllocator, control: Control, worker: number) {
    this.#slabs = slabs;
    this.#control = control;
    this.#worker = worker;
  }

  publish(epoch: number, exchange: number, blocks: readonly number[]): void {
    const { u32 } = this.#slabs.memory;
    const at = this.#control.directory(epoch, this.#worker, exchange);
    const list = blocks.length === 0 ? 0 : this.#slabs.alloc(blocks.length * 4);
    blocks.forEach((block, i) => {
      u32[(list >>> 2) + i] = block;
    });
    u32[at] = list;
    u32[at + 1] = blocks.length;
    const lent = this.#lent[(epoch & 1) as 0 | 1];
    lent.push(...blocks);
    if (list !== 0) lent.push(list);
  }

  gather(epoch: number, exchange: number): number[] {
    const { u32 } = this.#slabs.memory;
    const blocks: number[] = [];
    for (let worker = 0; worker < this.#control.shape.workers; worker++) {
      const at = this.#control.directory(epoch, worker, exchange);
      const list = (u32[at] as number) >>> 2;
      const count = u32[at + 1] as number;
      for (let i = 0; i < count; i++) blocks.push(u32[list + i] as number);
    }
    return orderExchangeBlocks(this.#slabs.memory, blocks);
  }

  takeBack(epoch: number): void {
    const lent = this.#lent[(epoch & 1) as 0 | 1];
    for (const address of lent) this.#slabs.free(address);
    lent.length = 0;
  }
}
