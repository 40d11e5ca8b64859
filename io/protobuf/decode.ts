/** The decoder of `protobuf()`: records to batches. */

import type { Batch } from '../../core/index.ts';
import type { RecordDecoder, RecordIndex } from '../codec.ts';
import { ColumnWriter } from '../column-writer.ts';
import { rejectRecord } from '../rejection.ts';
import type { DecoderContext } from '../source.ts';
import { Refusal } from '../wire/cursor.ts';
import type { ProtoColumns } from './columns.ts';
import { ProtoRowReader } from './row.ts';

export class ProtoDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #writer: ColumnWriter;
  readonly #rows: ProtoRowReader;
  readonly #recordOf: Int32Array;
  #records: RecordIndex | undefined;
  #next = 0;

  constructor(context: DecoderContext, columns: ProtoColumns) {
    this.#context = context;
    this.#writer = new ColumnWriter(context.slabs, columns.schema, context.columns, context.batchRows);
    this.#rows = new ProtoRowReader(this.#writer, context.slabs, columns, context.columns);
    this.#recordOf = new Int32Array(this.#writer.builder.capacity);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (!records) return undefined;
    const { batchRows, memory } = this.#context;
    this.#writer.builder.reset();
    let row = 0;
    for (; row < batchRows && this.#next < records.count; this.#next++) {
      const record = this.#next;
      const from = memory.u32[(records.values >>> 2) + record] as number;
      const length = memory.i32[(records.valueLengths >>> 2) + record] as number;
      const fault = length < 0 ? 'it has no value (a tombstone)' : this.#read(from, length, row);
      if (fault === undefined) this.#recordOf[row++] = record;
      else rejectRecord(this.#context, records, record, 'protobuf', fault);
    }
    return row === 0 ? undefined : this.#writer.finish(row);
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }

  /** Reads a record into a row, or says why not. */
  #read(from: number, length: number, row: number): string | undefined {
    this.#rows.cursor.open(from, from + length);
    try {
      this.#rows.read(row);
      return undefined;
    } catch (error) {
      if (error instanceof Refusal) return `${this.#rows.field}at byte ${error.byte}: ${error.message}`;
      throw error;
    }
  }
}
