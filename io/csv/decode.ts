/** The decoder of `csv(schema)`: records to batches. */

import type { Batch, Schema } from '../../core/index.ts';
import type { RecordDecoder, RecordIndex } from '../codec.ts';
import { ColumnWriter } from '../column-writer.ts';
import { rejectRecord } from '../rejection.ts';
import type { DecoderContext } from '../source.ts';
import { type CsvHeader, headerByName, headerInOrder } from './header.ts';
import type { CsvLayout } from './layout.ts';
import { CsvRowReader } from './row.ts';

export class CsvDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #schema: Schema;
  readonly #layout: CsvLayout;
  readonly #writer: ColumnWriter;
  readonly #reader: CsvRowReader;
  readonly #recordOf: Int32Array;
  /** With `byName`: the header that the records now are under, as it was read and as it is written. */
  #header: CsvHeader | undefined;
  #headerBytes = new Uint8Array(0);
  #records: RecordIndex | undefined;
  #next = 0;

  constructor(context: DecoderContext, schema: Schema, layout: CsvLayout) {
    this.#context = context;
    this.#schema = schema;
    this.#layout = layout;
    this.#writer = new ColumnWriter(context.slabs, schema, context.columns, context.batchRows, layout.timeFormats);
    this.#reader = new CsvRowReader(
      this.#writer,
      layout.delimiter,
      context.columns.map((c) => layout.nulls[c] as readonly Uint8Array[]),
    );
    this.#reader.setFields(context.columns, schema.length, 'the schema');
    this.#recordOf = new Int32Array(this.#writer.builder.capacity);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
    if (this.#layout.header === 'byName') this.#openHeader(records);
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (!records) return undefined;
    const { u32, i32, f64 } = this.#context.memory;
    const isHeaded = this.#layout.header !== false;
    const headerFault = this.#header?.fault;
    this.#writer.builder.reset();
    let row = 0;
    for (; row < this.#context.batchRows && this.#next < records.count; this.#next++) {
      const record = this.#next;
      const from = u32[(records.values >>> 2) + record] as number;
      const length = i32[(records.valueLengths >>> 2) + record] as number;
      const offset = f64[(records.offsets >>> 3) + record] as number;
      if (isHeaded && offset === records.start) this.#checkHeader(records, record, from, length);
      else if (headerFault !== undefined) rejectRecord(this.#context, records, record, 'csv', headerFault);
      else if (length >= 0 && this.#reader.read(from, from + length, row)) this.#recordOf[row++] = record;
      else rejectRecord(this.#context, records, record, 'csv', length < 0 ? 'it has no value (a tombstone)' : this.#reader.fault);
    }
    return row === 0 ? undefined : this.#writer.finish(row);
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }

  #checkHeader(records: RecordIndex, record: number, from: number, length: number): void {
    const header = this.#header ?? headerInOrder(this.#context.memory.u8.slice(from, from + Math.max(length, 0)), this.#layout.delimiter, this.#schema);
    if (header.fault === undefined) this.#context.reject({ reason: 'control', offset: records.start, rows: 1, message: 'The header line of the CSV file.' });
    else rejectRecord(this.#context, records, record, 'csv', header.fault);
  }

  /** Finds the columns in the header of these records. Mostly it is that of the last ones. */
  #openHeader(records: RecordIndex): void {
    const { u8 } = this.#context.memory;
    const { header: from, headerBytes: length } = records;
    if (this.#header !== undefined && Buffer.compare(this.#headerBytes, u8.subarray(from, from + length)) === 0) return;
    this.#headerBytes = u8.slice(from, from + length);
    const header = headerByName(this.#headerBytes, this.#layout.delimiter, this.#schema);
    this.#header = header;
    if (header.fault !== undefined) return;
    const { names, fieldOf } = header;
    this.#reader.setFields(
      this.#context.columns.map((c) => fieldOf[c] as number),
      names.length,
      'the header',
    );
  }
}
