/**
 * Frames for sources whose rows are JavaScript objects on the coordinator's thread (memory, iterable). Each
 * frame is one Arrow record batch message. The coordinator makes it in a small scratch memory; a worker reads
 * it in place, without a copy.
 */

import { ArrowReader, attachMemory, type Batch, BatchBuilder, batchBytes, MillraceError, type Schema, SlabAllocator, writeBatch } from '../core/index.ts';
import { FrameCursor } from './frames.ts';
import { RowWriter } from './row-writer.ts';
import type { Chunk, ChunkDecoder, DecoderContext, Offset } from './source.ts';

/** Reserved, not used: untouched pages cost nothing. */
const SCRATCH_BYTES = 128 << 20;
const FRAME_ROWS = 4_096;
const FRAME_BYTES = 512 * 1_024;

/** Coordinator end. `append` rows until `isFull`, then `take` the frame. */
export class RowFrameWriter {
  readonly #slabs: SlabAllocator;
  readonly #builder: BatchBuilder;
  readonly #writer: RowWriter;
  readonly #what: string;

  /** @param what names the source in messages */
  constructor(schema: Schema, what: string) {
    this.#slabs = new SlabAllocator(attachMemory(new SharedArrayBuffer(SCRATCH_BYTES)));
    this.#builder = new BatchBuilder(this.#slabs, schema, FRAME_ROWS);
    this.#writer = new RowWriter(this.#builder);
    this.#what = what;
  }

  get rowCount(): number {
    return this.#builder.rowCount;
  }

  /** True when the frame should be taken: at 4096 rows, or half a MiB of text. */
  get isFull(): boolean {
    const builder = this.#builder;
    if (builder.rowCount === builder.capacity) return true;
    let bytes = 0;
    for (const column of builder.columns) bytes += column.byteLength;
    return bytes >= FRAME_BYTES;
  }

  /** @throws MillraceError ERR_MILLRACE_SCHEMA that names the row, when the row does not fit */
  append(row: object, number: number): void {
    try {
      this.#writer.append(row as Readonly<Record<string, unknown>>);
    } catch (cause) {
      if (!(cause instanceof MillraceError) || cause.code !== 'ERR_MILLRACE_SCHEMA') throw cause;
      throw new MillraceError('ERR_MILLRACE_SCHEMA', `${this.#what}: row ${number} does not fit the schema. ${cause.message}`, { cause });
    }
  }

  /** Calls `use` with the bytes of the frame, valid during that call, and begins the next frame. */
  take(use: (bytes: Uint8Array) => void): void {
    const batch = this.#builder.finish();
    const bytes = batchBytes(batch);
    const slab = this.#slabs.alloc(bytes);
    writeBatch(batch, slab, slab + bytes);
    use(this.#slabs.memory.u8.subarray(slab, slab + bytes));
    this.#slabs.free(slab);
    this.#builder.reset();
  }
}

/** Worker end: the rows of a frame have the offsets first, first + 1, ... */
export class RowFrameDecoder implements ChunkDecoder {
  readonly #frames: FrameCursor;
  readonly #reader: ArrowReader;
  readonly #batchRows: number;
  #batch: Batch | undefined;
  #first: Offset = 0;
  #from = 0;
  #to = 0;

  constructor(context: DecoderContext, schema: Schema) {
    this.#frames = new FrameCursor(context.memory);
    this.#reader = new ArrowReader(context.memory, schema, context.columns);
    this.#batchRows = context.batchRows;
  }

  open(chunk: Chunk): void {
    this.#frames.open(chunk);
    this.#batch = undefined;
  }

  next(): Batch | undefined {
    while (this.#batch === undefined || this.#to === this.#batch.rowCount) {
      if (!this.#frames.advance()) return undefined;
      this.#batch = this.#reader.read(this.#frames.body, this.#frames.bodyBytes)[0];
      this.#first = this.#frames.first;
      this.#to = 0;
    }
    this.#from = this.#to;
    this.#to = Math.min(this.#from + this.#batchRows, this.#batch.rowCount);
    return this.#batch.slice(this.#from, this.#to);
  }

  offsetOf(row: number): Offset {
    return this.#first + this.#from + row;
  }
}
