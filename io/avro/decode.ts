/**
 * The decoder of `avro()`: records to batches. What precedes a record tells which schema it was written with; the
 * steps that read it are made when such a schema first comes.
 */

import { type Batch, kernelExports } from '../../core/index.ts';
import type { RecordDecoder, RecordIndex } from '../codec.ts';
import { ColumnWriter } from '../column-writer.ts';
import { rejectRecord } from '../rejection.ts';
import type { DecoderContext } from '../source.ts';
import { Refusal } from '../wire/cursor.ts';
import type { AvroColumns } from './columns.ts';
import { type AvroKernels, FlatProgram } from './flat.ts';
import type { AvroFrame } from './frames.ts';
import { Resolution, Unresolvable } from './resolution.ts';
import { AvroRowReader } from './row.ts';
import type { AvroType } from './schema.ts';
import type { Step } from './steps.ts';

type Program = { readonly step: Step; readonly flat: FlatProgram | undefined } | { readonly fault: string };

/** Most room that each column keeps for the next record. */
const ROOM_BYTES_MAX = 1 << 20;
const ROOM_SLACK_BYTES = 64;

export class AvroDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #reader: AvroType;
  readonly #columns: AvroColumns;
  readonly #frame: AvroFrame;
  readonly #writer: ColumnWriter;
  readonly #rows: AvroRowReader;
  readonly #recordOf: Int32Array;
  readonly #kernels: AvroKernels | undefined;
  readonly #programs = new Map<number, Program>();
  #lastSchema = -1;
  #last: Program | undefined;
  #records: RecordIndex | undefined;
  #next = 0;
  waitsFor: Promise<void> | undefined;

  constructor(context: DecoderContext, reader: AvroType, columns: AvroColumns, frame: AvroFrame) {
    this.#context = context;
    this.#reader = reader;
    this.#columns = columns;
    this.#frame = frame;
    this.#writer = new ColumnWriter(context.slabs, columns.schema, context.columns, context.batchRows);
    this.#rows = new AvroRowReader(this.#writer, context.slabs);
    this.#recordOf = new Int32Array(this.#writer.builder.capacity);
    this.#kernels = kernelExports<AvroKernels>(context.memory);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    this.waitsFor = undefined;
    if (!records) return undefined;
    const { batchRows, memory } = this.#context;
    const values = records.values >>> 2;
    const lengths = records.valueLengths >>> 2;
    this.#writer.builder.reset();
    let row = 0;
    for (; row < batchRows && this.#next < records.count; this.#next++) {
      const taken = this.#run(records, row, Math.min(batchRows - row, records.count - this.#next));
      row += taken;
      if (row === batchRows || this.#next === records.count) break;
      const record = this.#next;
      const length = memory.i32[lengths + record] as number;
      const fault = length < 0 ? 'it has no value (a tombstone)' : this.#read(memory.u32[values + record] as number, length, row);
      if (fault === undefined) this.#recordOf[row++] = record;
      else if (typeof fault === 'string') rejectRecord(this.#context, records, record, 'avro', fault);
      else {
        // The rows before it go first.
        if (row === 0) this.waitsFor = fault;
        break;
      }
    }
    return row === 0 ? undefined : this.#writer.finish(row);
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }

  /** Runs the kernel from the next record on, where it knows their schema; returns how many records it took. */
  #run(records: RecordIndex, row: number, count: number): number {
    const program = this.#last;
    if (this.#kernels === undefined || program === undefined || 'fault' in program || program.flat?.isReady !== true) return 0;
    program.flat.refresh();
    const at = this.#next;
    const done = this.#kernels.avroDecode(program.flat.address, records.values + at * 4, records.valueLengths + at * 4, count, row);
    for (let i = 0; i < done; i++) this.#recordOf[row + i] = at + i;
    this.#next += done;
    return done;
  }

  /** Reads a record into a row. A text says why it is refused, a promise what has to be there first. */
  #read(from: number, length: number, row: number): string | Promise<void> | undefined {
    const { bytes, shown: wanted } = this.#frame;
    const schema = this.#frame.schemaAt(this.#context.memory, from, length);
    if (schema < 0) return `expected ${wanted} at byte 0`;
    const program = schema === this.#lastSchema ? (this.#last as Program) : this.#program(schema);
    if (program instanceof Promise) return program;
    if ('fault' in program) return program.fault;
    const { cursor } = this.#rows;
    cursor.open(from, from + length);
    cursor.at = from + bytes;
    try {
      this.#rows.read(program.step, row);
      if (program.flat !== undefined && this.#kernels !== undefined) {
        program.flat.setPrefix(from, bytes);
        // The kernel needs room for a whole record in each column.
        this.#writer.reserveBytes(row + 1, Math.min(length, ROOM_BYTES_MAX) + ROOM_SLACK_BYTES);
      }
      return undefined;
    } catch (error) {
      if (error instanceof Refusal) return `${this.#rows.field}at byte ${error.byte}: ${error.message}`;
      throw error;
    }
  }

  #program(schema: number): Program | Promise<void> {
    let program = this.#programs.get(schema);
    if (program === undefined) {
      const found = this.#frame.find(schema, this.#context);
      // One that is not there may come.
      if (found instanceof Promise || 'fault' in found) return found;
      program = this.#resolve(found.name, found.type);
      this.#programs.set(schema, program);
    }
    this.#lastSchema = schema;
    this.#last = program;
    return program;
  }

  #resolve(name: string, writer: AvroType): Program {
    const resolution = new Resolution(this.#context.slabs, this.#context.columns);
    try {
      const step = resolution.record(writer, this.#reader, this.#columns);
      const { slabs } = this.#context;
      return { step, flat: this.#kernels === undefined ? undefined : FlatProgram.of(slabs, step, this.#writer.columns) };
    } catch (error) {
      resolution.release();
      if (!(error instanceof Unresolvable)) throw error;
      return { fault: `it was written with a schema${name === '' ? '' : `, ${name},`} that the reader's cannot take: ${error.message}` };
    }
  }
}
