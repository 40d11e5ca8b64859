/** Text, one line or message per record: the column `value`, and nothing parsed. */

import { type Batch, type Column, checkOptionNames, MillraceError, type Schema, type SharedMemory, schema as toSchema, utf8 } from '../core/index.ts';
import type { Codec, RecordDecoder, RecordEncoder, RecordIndex } from './codec.ts';
import { ColumnWriter } from './column-writer.ts';
import { appendRecords } from './record-column.ts';
import { rejectRecord } from './rejection.ts';
import type { DecoderContext } from './source.ts';

const SCHEMA = toSchema({ value: utf8 });

/**
 * The record's value as text. Decoding gives one column, `value`. A record with invalid UTF-8, or without a
 * value, is refused. Encoding writes the utf8 column `value`, or the only column if that is utf8, as it is;
 * null is written as nothing.
 *
 * @example files.source({ path: 'book.txt', value: text() })
 */
export function text(options: Readonly<Record<string, never>> = {}): Codec<{ readonly value: string }> {
  checkOptionNames('text()', options, {});
  return {
    name: 'text',
    isRowPerRecord: true,
    schema: SCHEMA,
    decoder: (context) => new TextRecordDecoder(context),
    encoder: ({ memory }, schema) => new ColumnEncoder(memory, valueColumn(schema)),
  };
}

class TextRecordDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #writer: ColumnWriter;
  readonly #recordOf: Int32Array;
  #records: RecordIndex | undefined;
  #next = 0;

  constructor(context: DecoderContext) {
    this.#context = context;
    // Decoded even where nobody reads it: whether a record is text must not depend on the pipeline.
    this.#writer = new ColumnWriter(context.slabs, SCHEMA, [0], context.batchRows);
    this.#recordOf = new Int32Array(this.#writer.builder.capacity);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (!records) return undefined;
    this.#writer.builder.reset();
    const rows = this.#context.batchRows;
    let row = 0;
    while (row < rows && this.#next < records.count) {
      const count = Math.min(rows - row, records.count - this.#next);
      const done = appendRecords(this.#writer, 0, records.values + this.#next * 4, records.valueLengths + this.#next * 4, count, row);
      for (let i = 0; i < done; i++) this.#recordOf[row + i] = this.#next + i;
      row += done;
      this.#next += done;
      if (done < count) {
        const isNull = (this.#context.memory.i32[(records.valueLengths >>> 2) + this.#next] as number) < 0;
        rejectRecord(this.#context, records, this.#next++, 'text', isNull ? 'it has no value (a tombstone)' : 'it is no well-formed UTF-8; read it with raw()');
      }
    }
    return row === 0 ? undefined : this.#writer.finish(row);
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }
}

/** Writes one utf8 or binary column as it is, one record per row. */
export class ColumnEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #column: number;

  constructor(memory: SharedMemory, column: number) {
    this.#memory = memory;
    this.#column = column;
  }

  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u8, i32, u32 } = this.#memory;
    const { data, offsets, validity } = batch.column(this.#column) as Column;
    let at = address;
    for (let row = from; row < to; row++) {
      const start = data + (i32[(offsets >>> 2) + row] as number);
      const isNull = validity !== 0 && (((u8[validity + (row >>> 3)] as number) >>> (row & 7)) & 1) === 0;
      const length = isNull ? 0 : data + (i32[(offsets >>> 2) + row + 1] as number) - start;
      if (at + length > limit) return row - from;
      u8.copyWithin(at, start, start + length);
      at += length;
      u32[(ends >>> 2) + (row - from)] = at;
    }
    return to - from;
  }
}

/** The column that text() writes. */
function valueColumn(schema: Schema): number {
  const named = schema.indexOf('value');
  if (named >= 0 && schema.field(named).type.name === 'utf8') return named;
  if (schema.length === 1 && schema.field(0).type.name === 'utf8') return 0;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `text() writes the utf8 column value, or the only column when that is utf8, but the columns are ${schema.toString() || '(none)'}. Make one with .map({ value: utf8 }, ...), or write json().`,
  );
}
