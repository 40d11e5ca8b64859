/**
 * The edges of a pipeline in a test (testing.ts): a source whose chunks are rows that were sent by hand, and a sink that keeps its rows.
 */

import { type AnyRow, type Batch, BatchBuilder, type Schema } from '../../core/index.ts';
import type { ChunkDecoder, DecoderContext, Sink, Source } from '../../io/index.ts';

/** The rows of a chunk, and the offset of the first. */
export interface SentRows {
  readonly rows: readonly AnyRow[];
  readonly first: number;
}

/** A source whose decoders take the chunks that wait in `pending`, one after the other. */
export function handFed(source: Source, pending: SentRows[]): Source {
  return {
    ...source,
    name: source.name,
    schema: source.schema,
    bounded: true,
    open: source.open,
    decoder: (context) => new HandFedDecoder(context, source.schema, pending),
  };
}

/** A sink that puts the rows of each batch behind `kept`, and gives their place there as the address of a block. */
export function keptRows(sink: Sink, kept: (readonly AnyRow[])[]): Sink {
  return {
    ...sink,
    name: sink.name,
    check: () => {},
    open: sink.open,
    encoder: (context) => ({ write: (batch) => context.block(0, batch.rowCount, kept.push(batch.toRows()) - 1, 0), flush: () => {} }),
  };
}

class HandFedDecoder implements ChunkDecoder {
  readonly #builder: BatchBuilder;
  readonly #pending: SentRows[];
  #rows: readonly AnyRow[] = [];
  #at = 0;
  #first = 0;
  #batchAt = 0;

  constructor(context: DecoderContext, schema: Schema, pending: SentRows[]) {
    this.#builder = new BatchBuilder(context.slabs, schema, context.batchRows);
    this.#pending = pending;
  }

  open(): void {
    const { rows, first } = this.#pending.shift() as SentRows;
    this.#rows = rows;
    this.#first = first;
    this.#at = 0;
  }

  next(): Batch | undefined {
    if (this.#at >= this.#rows.length) return undefined;
    this.#builder.reset();
    this.#batchAt = this.#at;
    while (this.#at < this.#rows.length && this.#builder.rowCount < this.#builder.capacity) this.#builder.appendRow(this.#rows[this.#at++] as AnyRow);
    return this.#builder.finish();
  }

  offsetOf(row: number): number {
    return this.#first + this.#batchAt + row;
  }
}
