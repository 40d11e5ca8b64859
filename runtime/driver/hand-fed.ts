/**
 * The edges of a pipeline without an outside: a source whose frames are rows, or raw records, handed over on
 * this thread, and a sink that keeps its rows here. Everything between them is as in a job.
 */

import { type AnyRow, type Batch, BatchBuilder, MillraceError, type Schema } from '../../core/index.ts';
import { type Chunk, type ChunkDecoder, type Codec, type CodedSource, type DecoderContext, FrameCursor, type Sink, type Source } from '../../io/index.ts';
import { RawRecordDecoder } from './raw-records.ts';

/**
 * What a frame holds: the number of a run of rows, or raw records. It travels as the frame's flags, and its
 * cut.
 */
export const FRAME_OF_ROWS = 0;
export const FRAME_OF_RECORDS = 1;

/** Things that stay on this thread, while a number travels in their place. */
export class Held<T> {
  readonly #things = new Map<number, T>();
  #next = 0;

  hold(thing: T): number {
    this.#things.set(this.#next, thing);
    return this.#next++;
  }

  get(number: number): T {
    return this.#things.get(number) as T;
  }

  /** Returns it, and holds it no longer. */
  take(number: number): T {
    const thing = this.get(number);
    this.#things.delete(number);
    return thing;
  }
}

/** The codec of a source that has one. */
export function codecOf(source: Source): Codec | undefined {
  return (source as Partial<CodedSource>).codec;
}

/** `source`, reading the frames that are handed over. */
export function handFed(source: Source, rows: Held<readonly AnyRow[]>): Source {
  const codec = codecOf(source);
  return {
    name: source.name,
    schema: source.schema,
    bounded: true,
    frameRows: (_bytes, first, next, kind) => (kind === FRAME_OF_ROWS || codec?.isRowPerRecord === true ? next - first : undefined),
    open: source.open,
    decoder: (context) => new HandFedDecoder(context, source, codec, rows),
  };
}

/** `sink`, but its blocks hold a number for what `kept` holds. */
export function keptRows(sink: Sink, kept: Held<readonly AnyRow[]>): Sink {
  return {
    name: sink.name,
    check: () => {},
    open: sink.open,
    encoder: ({ slabs, memory, block }) => ({
      write(batch) {
        const slab = slabs.alloc(4);
        memory.u32[slab >>> 2] = kept.hold(batch.toRows());
        block(0, batch.rowCount, slab, 4);
      },
      flush: () => {},
    }),
  };
}

class HandFedDecoder implements ChunkDecoder {
  readonly #context: DecoderContext;
  readonly #frames: FrameCursor;
  readonly #source: Source;
  readonly #codec: Codec | undefined;
  readonly #held: Held<readonly AnyRow[]>;
  readonly #builder: BatchBuilder;
  /** Made when the first raw record comes. */
  #records: RawRecordDecoder | undefined;
  #partition = 0;
  #isRaw = false;
  /** Of a frame of rows: the rows, how far they are read, and which of them are in the batch. */
  #rows: readonly AnyRow[] = [];
  #at = 0;
  readonly #taken: number[] = [];

  constructor(context: DecoderContext, source: Source, codec: Codec | undefined, held: Held<readonly AnyRow[]>) {
    this.#context = context;
    this.#frames = new FrameCursor(context.memory);
    this.#source = source;
    this.#codec = codec;
    this.#held = held;
    this.#builder = new BatchBuilder(context.slabs, source.schema as Schema, context.batchRows);
  }

  open(chunk: Chunk): void {
    this.#partition = chunk.partition;
    this.#frames.open(chunk);
    this.#isRaw = false;
    this.#rows = [];
    this.#at = 0;
  }

  next(): Batch | undefined {
    for (;;) {
      const batch = this.#isRaw ? this.#records?.next() : this.#nextRows();
      if (batch !== undefined || this.waitsFor !== undefined) return batch;
      if (!this.#frames.advance()) return undefined;
      this.#openFrame();
    }
  }

  get waitsFor(): Promise<void> | undefined {
    return this.#isRaw ? this.#records?.waitsFor : undefined;
  }

  offsetOf(row: number): number {
    return this.#isRaw ? (this.#records as RawRecordDecoder).offsetOf(row) : this.#frames.first + (this.#taken[row] as number);
  }

  #openFrame(): void {
    const { body, first, flags } = this.#frames;
    this.#isRaw = flags === FRAME_OF_RECORDS;
    if (this.#isRaw) {
      const { name } = this.#source;
      this.#records ??= new RawRecordDecoder(this.#context, this.#codec as Codec, name.slice(name.indexOf(' ') + 1));
      this.#records.open(body, first, this.#partition);
    } else {
      this.#rows = this.#held.take(this.#context.memory.u32[body >>> 2] as number);
      this.#at = 0;
    }
  }

  #nextRows(): Batch | undefined {
    const builder = this.#builder;
    builder.reset();
    this.#taken.length = 0;
    for (; this.#at < this.#rows.length && builder.rowCount < builder.capacity; this.#at++) {
      try {
        builder.appendRow(this.#rows[this.#at] as AnyRow);
        this.#taken.push(this.#at);
      } catch (error) {
        this.#refuse(error);
      }
    }
    return builder.rowCount === 0 ? undefined : builder.finish();
  }

  /**
   * A row that does not fit is treated as a record that cannot be decoded. It ends the job where a source has
   * rows and no records.
   */
  #refuse(error: unknown): void {
    if (this.#codec === undefined || !(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_SCHEMA') throw error;
    this.#context.reject({ reason: 'undecodable', offset: this.#frames.first + this.#at, rows: 1, message: error.message });
  }
}
