/**
 * The worker end of a source whose frames are runs of text lines: finds the lines and lets a codec decode
 * them. An offset is a byte position, so the row at offset n is the line that begins at byte n.
 */

import type { Batch } from '../core/index.ts';
import type { Codec, RecordDecoder } from './codec.ts';
import { FrameCursor } from './frames.ts';
import { lineBytes, splitLines } from './lines.ts';
import { allocRecordIndex, type RecordSpace } from './record-index.ts';
import type { Chunk, ChunkDecoder, DecoderContext, Offset } from './source.ts';

/** FRAME.flags of the frame that begins with the first line of its partition. */
export const FRAME_STARTS = 1;

/**
 * FRAME.flags of a frame whose body begins with the first line of its partition, wherever the frame begins: a
 * line of FRAME.cut bytes that is none of its own.
 */
export const FRAME_HEADED = 2;

/** Lines listed at a time. */
const INDEX_LINES = 8_192;

export class LineDecoder implements ChunkDecoder {
  readonly #context: DecoderContext;
  readonly #frames: FrameCursor;
  readonly #index: RecordSpace;
  readonly #records: RecordDecoder;
  readonly #breaksAtCr: boolean;
  // The part of the current frame that is not listed yet.
  #address = 0;
  #bytes = 0;
  #offset: Offset = 0;
  #isOpen = false;

  constructor(context: DecoderContext, codec: Codec) {
    this.#context = context;
    this.#frames = new FrameCursor(context.memory);
    this.#index = allocRecordIndex(context.slabs, INDEX_LINES, 'lines');
    this.#records = codec.decoder(context);
    this.#breaksAtCr = codec.breaksAtCr === true;
  }

  open(chunk: Chunk): void {
    this.#frames.open(chunk);
    this.#index.partition = chunk.partition;
    this.#bytes = 0;
    this.#isOpen = false;
  }

  next(): Batch | undefined {
    for (;;) {
      const batch = this.#isOpen ? this.#records.next() : undefined;
      if (batch !== undefined || (this.#isOpen && this.#records.waitsFor !== undefined)) return batch;
      this.#isOpen = this.#list();
      if (!this.#isOpen) return undefined;
    }
  }

  get waitsFor(): Promise<void> | undefined {
    return this.#isOpen ? this.#records.waitsFor : undefined;
  }

  offsetOf(row: number): Offset {
    return this.#context.memory.f64[(this.#index.offsets >>> 3) + this.#records.recordOf(row)] as number;
  }

  /** Lists the next lines of the frame, or of the next frame. False at the end of the chunk. */
  #list(): boolean {
    const { memory } = this.#context;
    while (this.#bytes === 0) {
      if (!this.#frames.advance()) return false;
      const { body, bodyBytes, first, flags, cut } = this.#frames;
      const headerBytes = (flags & FRAME_HEADED) !== 0 ? cut : 0;
      this.#address = body + headerBytes;
      this.#bytes = bodyBytes - headerBytes;
      this.#offset = first;
      this.#index.start = (flags & FRAME_STARTS) !== 0 ? first : -1;
      this.#index.header = body;
      this.#index.headerBytes = headerBytes;
    }
    splitLines(memory, this.#address, this.#bytes, this.#index, this.#offset, this.#breaksAtCr);
    const taken = lineBytes(memory, this.#address, this.#bytes, this.#index);
    this.#address += taken;
    this.#bytes -= taken;
    this.#offset += taken;
    this.#records.open(this.#index);
    return true;
  }
}
