/**
 * Blocks of Arrow messages, for sinks that want rows as objects at the edge (collect, the console): workers write
 * columns, and only the coordinator, for the few rows that are looked at, makes objects of them.
 */

import { ArrowReader, attachMemory, type Batch, batchBytes, type Schema, type SharedMemory, writeBatch } from '../core/index.ts';
import { BlockWriter } from './block-writer.ts';
import type { SinkBlock, SinkEncoder, SinkEncoderContext } from './sink.ts';

/** Worker end: each batch is one message; a block holds one or more. */
export function arrowSinkEncoder(context: SinkEncoderContext): SinkEncoder {
  const block = new BlockWriter(context);
  return {
    write(batch: Batch): void {
      if (batch.rowCount === 0) return;
      const bytes = batchBytes(batch);
      block.reserve(bytes);
      block.advance(block.at + writeBatch(batch, block.at, block.limit), batch.rowCount);
    },
    flush: () => block.flush(),
  };
}

/** Coordinator end: reads the blocks of one sink. The batches point at the block's bytes, and are good as long as they are. */
export class ArrowBlockReader {
  readonly #schema: Schema;
  #memory: SharedMemory | undefined;
  #reader: ArrowReader | undefined;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  read(block: SinkBlock): Batch[] {
    const buffer = block.bytes.buffer as SharedArrayBuffer;
    if (this.#memory?.buffer !== buffer || this.#reader === undefined) {
      this.#memory = attachMemory(buffer);
      this.#reader = new ArrowReader(this.#memory, this.#schema);
    }
    return this.#reader.read(block.bytes.byteOffset, block.bytes.byteLength);
  }
}
