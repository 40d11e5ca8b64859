/**
 * CSV, one record per line (RFC 4180). Fields are in the order of the schema's columns.
 *
 * The source decides what a record is. In a Kafka record a quoted field may hold line ends. A source of lines
 * cuts at every line end, also within quotes, so such a field does not survive there. A line ends with \n,
 * \r\n or \r.
 */

import {
  type Batch,
  type Column,
  checkOptionNames,
  isValid,
  MillraceError,
  type RowOf,
  type Schema,
  type SchemaFields,
  type SharedMemory,
  shown,
  schema as toSchema,
} from '../core/index.ts';
import { encodeBase64 } from './base64.ts';
import type { Codec, EncoderContext, RecordDecoder, RecordEncoder, RecordIndex } from './codec.ts';
import { ColumnWriter } from './column-writer.ts';
import { CsvRowReader } from './csv/row.ts';
import { rejectRecord } from './rejection.ts';
import type { DecoderContext } from './source.ts';
import { NUMBER_BYTES_MAX, variableBytes, writeAscii, writeFixed } from './text-writer.ts';

export interface CsvOptions {
  /**
   * The first record of a partition (in a file: after the lines of `skipLines`) names the columns. It is
   * checked against the schema and left out. Default false. Encoding writes no header.
   */
  readonly header?: boolean;
  /** One ASCII character. Default: a comma. */
  readonly delimiter?: string;
}

/**
 * One line of comma-separated values per record.
 *
 * Decoding expects as many fields as columns. An empty unquoted field is null where the column is nullable;
 * otherwise it is the empty text, or refused. Numbers are as in JSON (floats may also be NaN, Infinity,
 * -Infinity), bools `true` or `false`, timestamps milliseconds or ISO 8601, binary base64. A quote may only
 * appear in a quoted field, doubled.
 *
 * Encoding writes null as nothing, an empty text as `""`, quotes where the text needs them, a timestamp as
 * milliseconds.
 *
 * @example csv({ page: utf8, ms: nullable(f64) }, { header: true })
 * @throws MillraceError ERR_MILLRACE_OPTION for a delimiter that cannot be one
 */
export function csv<S extends SchemaFields>(fields: S, options?: CsvOptions): Codec<RowOf<S>>;
export function csv(fields: Schema, options?: CsvOptions): Codec;
export function csv(fields?: undefined, options?: CsvOptions): Codec<never>;
export function csv(fields?: SchemaFields | Schema, options: CsvOptions = {}): Codec {
  checkOptionNames('csv()', options, { header: true, delimiter: true });
  const schema = fields === undefined ? undefined : toSchema(fields);
  const { delimiter = ',', header = false } = options;
  if (typeof delimiter !== 'string' || !/^[\x20-\x7e\t]$/.test(delimiter) || /["\w.+-]/.test(delimiter)) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `The delimiter of csv() is ${shown(delimiter)}. Use one ASCII character that is no letter, digit, quote, point or sign: ',' ';' '|' or '\\t'.`,
    );
  }
  const byte = delimiter.charCodeAt(0);
  return {
    name: 'csv',
    isRowPerRecord: true,
    breaksAtCr: true,
    schema,
    decoder(context) {
      if (!schema)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'csv() without a schema can only write. Name the columns to read: csv({ page: utf8, ms: f64 }).');
      return new CsvDecoder(context, schema, byte, header);
    },
    encoder(context, of) {
      if (of.length === 0) throw new MillraceError('ERR_MILLRACE_PIPELINE', 'csv() cannot write rows without columns. Select at least one.');
      return new CsvEncoder(context, byte);
    },
  };
}

class CsvDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #writer: ColumnWriter;
  readonly #reader: CsvRowReader;
  readonly #header: boolean;
  readonly #recordOf: Int32Array;
  #records: RecordIndex | undefined;
  #next = 0;

  constructor(context: DecoderContext, schema: Schema, delimiter: number, header: boolean) {
    this.#context = context;
    this.#writer = new ColumnWriter(context.slabs, schema, context.columns, context.batchRows);
    this.#reader = new CsvRowReader(this.#writer, schema, context.columns, delimiter);
    this.#header = header;
    this.#recordOf = new Int32Array(this.#writer.builder.capacity);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (!records) return undefined;
    const { u32, i32, f64 } = this.#context.memory;
    this.#writer.builder.reset();
    let row = 0;
    for (; row < this.#context.batchRows && this.#next < records.count; this.#next++) {
      const record = this.#next;
      const from = u32[(records.values >>> 2) + record] as number;
      const length = i32[(records.valueLengths >>> 2) + record] as number;
      const offset = f64[(records.offsets >>> 3) + record] as number;
      if (this.#header && offset === records.start) this.#checkHeader(records, record, from, length);
      else if (length >= 0 && this.#reader.read(from, from + length, row)) this.#recordOf[row++] = record;
      else rejectRecord(this.#context, records, record, 'csv', length < 0 ? 'it has no value (a tombstone)' : this.#reader.fault);
    }
    return row === 0 ? undefined : this.#writer.finish(row);
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }

  #checkHeader(records: RecordIndex, record: number, from: number, length: number): void {
    const fault = this.#reader.headerFault(from, from + Math.max(length, 0));
    if (fault === undefined) this.#context.reject({ reason: 'filtered', offset: records.start, rows: 1, message: 'The header line of the CSV file.' });
    else rejectRecord(this.#context, records, record, 'csv', fault);
  }
}

const QUOTE = 0x22;
/** Most bytes of a field per byte of its text: a quote is doubled. */
const QUOTE_FACTOR = 2;

class CsvEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #delimiter: number;

  constructor(context: EncoderContext, delimiter: number) {
    this.#memory = context.memory;
    this.#delimiter = delimiter;
  }

  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u8, u32 } = this.#memory;
    const { columns } = batch;
    let at = address;
    for (let row = from; row < to; row++) {
      if (at + this.#bound(columns, row) > limit) return row - from;
      for (let c = 0; c < columns.length; c++) {
        if (c > 0) u8[at++] = this.#delimiter;
        at = this.#value(columns[c] as Column, row, at);
      }
      u32[(ends >>> 2) + (row - from)] = at;
    }
    return to - from;
  }

  /** An upper bound of the row's bytes. */
  #bound(columns: readonly Column[], row: number): number {
    return columns.length * (NUMBER_BYTES_MAX + 1) + variableBytes(this.#memory, columns, row, QUOTE_FACTOR);
  }

  #value(column: Column, row: number, at: number): number {
    const memory = this.#memory;
    const { data, offsets, type } = column;
    if (!isValid(memory, column, row)) return at;
    if (offsets === 0) return writeFixed(memory, column, row, at, undefined);
    const from = data + (memory.i32[(offsets >>> 2) + row] as number);
    const to = data + (memory.i32[(offsets >>> 2) + row + 1] as number);
    if (type.name === 'utf8') return this.#text(at, from, to);
    return from === to ? writeAscii(memory.u8, at, '""') : encodeBase64(memory.u8, from, to, at);
  }

  #text(address: number, from: number, to: number): number {
    const { u8 } = this.#memory;
    let isPlain = from < to;
    for (let i = from; i < to && isPlain; i++) {
      const byte = u8[i] as number;
      isPlain = byte !== QUOTE && byte !== this.#delimiter && byte !== 0x0a && byte !== 0x0d;
    }
    let at = address;
    if (!isPlain) u8[at++] = QUOTE;
    for (let i = from; i < to; i++) {
      const byte = u8[i] as number;
      if (byte === QUOTE) u8[at++] = QUOTE;
      u8[at++] = byte;
    }
    if (!isPlain) u8[at++] = QUOTE;
    return at;
  }
}
