/**
 * The decoder of `json(schema)`: records to batches. The kernel decodes runs of records. A record that it
 * cannot take whole (a number of more than 19 digits, no room left in a column, anything invalid) goes to the
 * row reader, which decodes or refuses it.
 */

import { type Batch, kernelExports, type Schema } from '../../core/index.ts';
import type { RecordDecoder, RecordIndex } from '../codec.ts';
import { ColumnWriter } from '../column-writer.ts';
import { rejectRecord } from '../rejection.ts';
import type { DecoderContext } from '../source.ts';
import type { TimeFormat } from '../time-format.ts';
import { type JsonColumn, membersOf } from './layout.ts';
import { JsonProgram } from './program.ts';
import { JsonRowReader } from './row.ts';

/** See core/kernels/json.ts. */
export interface JsonKernels {
  jsonPrepare(program: number): void;
  jsonDecode(program: number, values: number, lengths: number, count: number, row: number): number;
}

/** Most room that each column keeps for the next record. */
const ROOM_BYTES_MAX = 1 << 20;
const ROOM_SLACK_BYTES = 64;

/** The kernel takes a lone surrogate in a name for U+FFFD; such a column is left to the row reader. */
const isWellFormed = (name: string): boolean => Buffer.from(name).toString() === name;

export class JsonDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #writer: ColumnWriter;
  readonly #reader: JsonRowReader;
  readonly #kernels: JsonKernels | undefined;
  readonly #recordOf: Int32Array;
  readonly #columns: readonly JsonColumn[];
  #program: JsonProgram | undefined;
  #way: 'plain' | 'path' = 'plain';
  /** Records that had the other way, and how many of them change the program. */
  #others = 0;
  #patience = 1;
  #records: RecordIndex | undefined;
  #next = 0;

  constructor(context: DecoderContext, schema: Schema, columns: readonly JsonColumn[], timeFormats: readonly (TimeFormat | undefined)[]) {
    this.#context = context;
    this.#writer = new ColumnWriter(context.slabs, schema, context.columns, context.batchRows, timeFormats);
    const wanted = context.columns.map((at) => columns[at] as JsonColumn);
    this.#columns = wanted;
    this.#reader = new JsonRowReader(this.#writer, context.slabs, wanted);
    this.#recordOf = new Int32Array(this.#writer.builder.capacity);
    // The kernel knows ISO 8601 only.
    const isPlain = this.#writer.timeFormats.every((format) => format === undefined || format.isIso);
    const kernels = isPlain ? kernelExports<JsonKernels>(context.memory) : undefined;
    if (kernels && wanted.every(({ path }) => path.every(isWellFormed))) {
      this.#kernels = kernels;
      this.#program = this.#makeProgram('plain');
    }
  }

  /** Columns with dots in their names are read in one of the two ways; a record that has the other is handed back. */
  #makeProgram(way: 'plain' | 'path'): JsonProgram {
    const { slabs } = this.#context;
    const writer = this.#writer;
    const members = membersOf(
      this.#columns.map((column, position) => ({ column, position })),
      way,
    );
    const facts = this.#columns.map((column, w) => ({ default: column.default, unit: writer.timeFormats[w]?.unit ?? 'ms' }));
    const program = new JsonProgram(slabs, members, writer.columns, facts);
    program.prepare(this.#kernels as JsonKernels);
    this.#way = way;
    return program;
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (!records || this.#next >= records.count) return undefined;
    const { builder } = this.#writer;
    builder.reset();
    const rows = Math.min(builder.capacity, this.#context.batchRows);
    let row = 0;
    while (row < rows && this.#next < records.count) {
      row = this.#run(records, row, rows);
      if (row < rows && this.#next < records.count && this.#one(records, row)) row++;
    }
    return row === 0 ? undefined : this.#writer.finish(row);
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }

  /**
   * Runs the kernel from the next record on, starting at row `row`; returns the row after the last decoded
   * one.
   */
  #run(records: RecordIndex, row: number, rows: number): number {
    if (!this.#kernels) return row;
    const count = Math.min(rows - row, records.count - this.#next);
    const done = this.#kernels.jsonDecode(
      (this.#program as JsonProgram).address,
      records.values + this.#next * 4,
      records.valueLengths + this.#next * 4,
      count,
      row,
    );
    for (let i = 0; i < done; i++) this.#recordOf[row + i] = this.#next + i;
    this.#next += done;
    return row + done;
  }

  /** Decodes the next record with the row reader; false when it is refused. */
  #one(records: RecordIndex, row: number): boolean {
    const { memory } = this.#context;
    const record = this.#next++;
    const from = memory.u32[(records.values >>> 2) + record] as number;
    const length = memory.i32[(records.valueLengths >>> 2) + record] as number;
    if (length < 0) {
      rejectRecord(this.#context, records, record, 'json', 'it has no value (a tombstone)');
      return false;
    }
    const isGood = this.#reader.read(from, from + length, row);
    if (isGood) this.#recordOf[row] = record;
    else rejectRecord(this.#context, records, record, 'json', this.#reader.fault);
    if (this.#program !== undefined) {
      // The kernel needs room for a whole record in each column. Provide it for the next record of this size.
      this.#writer.reserveBytes(isGood ? row + 1 : row, Math.min(length, ROOM_BYTES_MAX) + ROOM_SLACK_BYTES);
      const { way } = this.#reader;
      // In a topic that has both, the program changes less and less often.
      if (way !== undefined && way !== this.#way && ++this.#others >= this.#patience) {
        this.#others = 0;
        this.#patience *= 2;
        this.#program.release(this.#context.slabs);
        this.#program = this.#makeProgram(way);
      } else this.#program.refresh();
    }
    return isGood;
  }
}
