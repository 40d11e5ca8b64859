/**
 * Blocks of Arrow messages, for sinks that want rows as objects (collect, the console). Workers write
 * columns; the coordinator makes objects only of the rows that it shows or keeps.
 */

import { ArrowReader, attachMemory, type Batch, batchBytes, type Schema, type SharedMemory, writeBatch } from '../core/index.ts';
import { type BlockRoom, BlockWriter } from './block-writer.ts';
import type { SinkBlock, SinkEncoder, SinkEncoderContext } from './sink.ts';

/** Worker end: one message per batch; a block holds one or more messages. */
export function arrowSinkEncoder(context: SinkEncoderContext, block: BlockRoom = new BlockWriter(context)): SinkEncoder {
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

/**
 * Coordinator end: reads the blocks of one sink. The batches are views of the block's bytes and live as long
 * as they do.
 */
export class ArrowBlockReader {
  readonly #schema: Schema;
  #memory: SharedMemory | undefined;
  #reader: ArrowReader | undefined;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  read(block: SinkBlock): Batch[] {
    return this.readBytes(block.bytes);
  }

  /** @param bytes messages, in shared memory, at a multiple of 8 */
  readBytes(bytes: Uint8Array): Batch[] {
    const buffer = bytes.buffer as SharedArrayBuffer;
    if (this.#memory?.buffer !== buffer || this.#reader === undefined) {
      this.#memory = attachMemory(buffer);
      this.#reader = new ArrowReader(this.#memory, this.#schema);
    }
    return this.#reader.read(bytes.byteOffset, bytes.byteLength);
  }
}
