/**
 * Outputs: the blocks that workers hand over for the sinks. They are kept until their epoch is complete, put in an order
 * that does not depend on threads (stage, then partition or shard, then number), written, and made final by the sinks'
 * `commit`. The slabs are freed when that is done: a slow sink holds memory and, through the epochs under way, the sources.
 */

import type { SlabAllocator } from '../../core/index.ts';
import type { SinkInfo, SinkWriter } from '../../io/index.ts';
import type { Plan } from '../plan/plan.ts';
import { type OutputBlock, orderBlocks } from '../shared/output-block.ts';
import { guarded } from './endpoint-error.ts';

interface OpenSink {
  readonly name: string;
  readonly writer: SinkWriter;
}

export class Outputs {
  readonly #slabs: SlabAllocator;
  #sinks: readonly OpenSink[] = [];
  readonly #delayMs: number;
  readonly #blocks = new Map<number, OutputBlock[]>();
  rowsOut = 0;

  /** @param delayMs waits this long before each epoch's write: to see what a slow sink does */
  constructor(slabs: SlabAllocator, delayMs: number) {
    this.#slabs = slabs;
    this.#delayMs = delayMs;
  }

  /**
   * Opens the sinks of a plan. Those that are open are closed by `close`, also when another one cannot be opened.
   *
   * @throws MillraceError ERR_MILLRACE_SINK when a sink fails with an error that has no code of its own
   */
  async open({ sinks, name: pipeline }: Plan, signal: AbortSignal): Promise<void> {
    const opened = await Promise.allSettled(
      sinks.map(async ({ sink, schema }) => ({
        name: sink.name,
        writer: await guarded('ERR_MILLRACE_SINK', `The sink ${sink.name} cannot be opened`, () => sink.open({ schema, pipeline, signal })),
      })),
    );
    this.#sinks = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    for (const result of opened) if (result.status === 'rejected') throw result.reason;
  }

  /** What the sinks have told of themselves. */
  get infos(): SinkInfo[] {
    return this.#sinks.map(({ writer }) => writer.info);
  }

  add(epoch: number, block: OutputBlock): void {
    const blocks = this.#blocks.get(epoch);
    if (blocks === undefined) this.#blocks.set(epoch, [block]);
    else blocks.push(block);
  }

  /**
   * Writes and commits all of an epoch's blocks. Epochs in order, one call at a time.
   *
   * @throws MillraceError ERR_MILLRACE_SINK when a sink fails with an error that has no code of its own
   */
  async writeEpoch(epoch: number): Promise<void> {
    const blocks = orderBlocks(this.#blocks.get(epoch) ?? []);
    if (this.#delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#delayMs));
    const { u8 } = this.#slabs.memory;
    const touched = new Set<number>();
    const writes: Promise<void>[] = [];
    for (const block of blocks) {
      touched.add(block.sink);
      const { writer } = this.#sinks[block.sink] as OpenSink;
      const bytes = u8.subarray(block.address, block.address + block.bytes);
      writes.push(this.#guard(block.sink, () => writer.write({ epoch, shard: block.unit, partition: block.outputPartition, rowCount: block.rows, bytes })));
    }
    await Promise.all(writes);
    for (const sink of [...touched].sort((a, b) => a - b)) await this.#guard(sink, () => (this.#sinks[sink] as OpenSink).writer.commit(epoch));
    for (const block of blocks) {
      this.rowsOut += block.rows;
      this.#slabs.free(block.address);
    }
    this.#blocks.delete(epoch);
  }

  /** Drops an epoch's blocks: they had been written before a restart, and it was said so. */
  discardEpoch(epoch: number): void {
    for (const block of this.#blocks.get(epoch) ?? []) this.#slabs.free(block.address);
    this.#blocks.delete(epoch);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#sinks.map(async ({ writer }) => writer.close()));
  }

  async #guard(sink: number, call: () => Promise<void>): Promise<void> {
    await guarded('ERR_MILLRACE_SINK', `The sink ${(this.#sinks[sink] as OpenSink).name} failed`, call);
  }
}
