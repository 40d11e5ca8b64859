/**
 * Changes of a database, as Debezium writes them: the envelope of a change, to a row that is new, or that goes. Another
 * codec reads the envelope; this one takes the row before or after it.
 */

import {
  type Batch,
  bool,
  type Column,
  type ColumnSpace,
  checkOptionNames,
  copyBytes,
  type Field,
  isValid,
  kindText,
  MillraceError,
  nullable,
  pathOf,
  type RowOf,
  Schema,
  type SchemaFields,
  shown,
  schema as toSchema,
  utf8,
} from '../core/index.ts';
import type { Codec, RecordDecoder, RecordIndex } from './codec.ts';
import { ColumnWriter } from './column-writer.ts';
import { type JsonOptions, json } from './json.ts';
import { rejectRecord } from './rejection.ts';
import type { DecoderContext } from './source.ts';

export interface DebeziumOptions {
  /** Records have the members `schema` and `payload`, as Kafka Connect's JSON has them unless `schemas.enable` is false. Default false. */
  readonly schemas?: boolean;
  /** What numbers stand for in columns of type timestamp: see `json`. */
  readonly unit?: 's' | 'ms' | 'us' | 'ns';
}

/** The columns besides those of the row. */
export interface Change {
  /** `c` (a new row), `u` (changed), `r` (as a snapshot has read it), `d` (gone). */
  readonly op: string;
  readonly deleted: boolean;
}

/** The row of an envelope. */
export type ChangedRow<R> = (R extends { readonly after: infer A } ? NonNullable<A> : unknown) & Omit<R, 'before' | 'after'> & Change;

const SIDES = ['before', 'after'] as const;
const OP = { create: 0x63, update: 0x75, read: 0x72, delete: 0x64, truncate: 0x74, message: 0x6d } as const;

/**
 * Rows of a table of a database, by the changes that Debezium has seen. Given are the columns of the table, which are read
 * as JSON, or a codec of the whole envelope: with the structs `before` and `after` and the text `op`; its other columns are kept.
 *
 * A row is that of `after`; of one that was deleted it is that of `before`, and `deleted` is true. What the envelope does not
 * tell of a deleted row (all but its key, as PostgreSQL has it by default) is null, or the zero of its type. Behind it, the
 * record without a value is no row: it is `control` in the ledger, as are Debezium's messages. An envelope without the
 * row that it has to have is refused, and so is that of a truncated table: make its rows go in another way.
 *
 * @example
 * const users = pipeline('users')
 *   .from(kafka.source({ brokers, topic: 'shop.public.users', group: 'users', value: debezium({ id: i64, name: nullable(utf8) }) }))
 *   .keyBy('id')
 *   .table({ delete: (r) => r.deleted });
 * @example debezium(avro(envelope, { registry }))
 * @throws MillraceError ERR_MILLRACE_SCHEMA when the codec reads no envelope, or a column has the name `op` or `deleted`; ERR_MILLRACE_OPTION
 */
export function debezium<R>(envelope: Codec<R>): Codec<ChangedRow<R>>;
export function debezium<S extends SchemaFields>(fields: S, options?: DebeziumOptions): Codec<RowOf<S> & Change>;
export function debezium(given: Codec | SchemaFields, options: DebeziumOptions = {}): Codec {
  checkOptionNames('debezium()', options, { schemas: true, unit: true });
  const isCodec = typeof (given as Partial<Codec> | undefined)?.decoder === 'function';
  if (isCodec && Object.keys(options).length > 0)
    throw new MillraceError('ERR_MILLRACE_OPTION', 'debezium(): options are for columns. A codec of the envelope has its own.');
  const inner = isCodec ? (given as Codec) : envelopeOf(given as SchemaFields, options);
  const layout = layoutOf(inner, isCodec ? undefined : toSchema(given as SchemaFields));
  return {
    name: 'debezium',
    // A record without a value is counted as control, so each gives a row or is in the ledger.
    isRowPerRecord: true,
    schema: layout.schema,
    decoder: (context) => new DebeziumDecoder(context, inner, layout),
    encoder() {
      throw new MillraceError('ERR_MILLRACE_PIPELINE', 'debezium() only reads. Write rows with json() or avro().');
    },
  };
}

/** The codec of an envelope of JSON. */
function envelopeOf(fields: SchemaFields, { schemas = false, unit }: DebeziumOptions): Codec {
  if (typeof schemas !== 'boolean') throw new MillraceError('ERR_MILLRACE_OPTION', `debezium(): schemas is ${shown(schemas)}. Give true or false.`);
  const columns = { before: nullable(fields), after: nullable(fields), op: utf8 } as unknown as SchemaFields;
  const from = schemas ? Object.fromEntries(toSchema(columns).fields.map((field) => [field.name, ['payload', ...pathOf(field)]])) : {};
  return json(columns, { from, ...(unit !== undefined && { unit }) } as JsonOptions<SchemaFields>) as Codec;
}

/** A column of the rows, and where it is in envelopes. */
interface Place {
  readonly field: Field;
  /** Columns of the envelope: the same twice where it is not of the row. -1: made here. */
  readonly before: number;
  readonly after: number;
}

function isOfRow({ before, after }: Place): boolean {
  return before !== after;
}

interface Layout {
  readonly schema: Schema;
  readonly places: readonly Place[];
  readonly op: number;
}

/** @param own the columns of the rows as they were given: those of the envelope may all be null */
function layoutOf({ name, schema }: Codec, own: Schema | undefined): Layout {
  const refuse = (why: string): MillraceError =>
    new MillraceError(
      'ERR_MILLRACE_SCHEMA',
      `debezium(): ${why}. Give the columns of the table, or a codec of the envelope: { before: nullable({ ... }), after: nullable({ ... }), op: utf8 }.`,
    );
  if (schema === undefined) throw refuse(`the codec ${name} has no columns to read`);
  const op = schema.indexOf('op');
  if (op < 0 || schema.field(op).type.name !== 'utf8') throw refuse('the envelope has no text op');
  const places: Place[] = [];
  for (const [c, field] of schema.fields.entries()) {
    const [side, ...path] = pathOf(field);
    if (side === 'before' && path.length > 0) continue;
    if (side !== 'after' || path.length === 0) {
      if (c !== op) places.push({ field, before: c, after: c });
      continue;
    }
    const column = path.join('.');
    const { nested: _, ...plain } = field.type;
    const type = own?.field(own.indexOf(column)).type ?? (path.length > 1 ? field.type : Object.freeze(plain));
    places.push({ field: { name: column, type }, before: schema.indexOf(`before.${column}`), after: c });
  }
  if (places.length === 0 || !places.some(isOfRow)) throw refuse('the envelope has no struct after');
  const added = [
    { name: 'op', type: utf8 },
    { name: 'deleted', type: bool },
  ];
  for (const { field } of places)
    if (added.some((other) => other.name === field.name))
      throw refuse(`a column is named ${shown(field.name)}, which is what debezium() adds: rename it by the codec's option from`);
  return { schema: new Schema([...places.map(({ field }) => field), ...added]), places, op };
}

class DebeziumDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #layout: Layout;
  readonly #inner: RecordDecoder;
  readonly #writer: ColumnWriter;
  readonly #recordOf: Int32Array;
  #records: RecordIndex | undefined;
  /** Rows of the envelopes' batch, and 1 where it is the row before. */
  readonly #rows: Int32Array;
  readonly #sides: Uint8Array;

  constructor(context: DecoderContext, inner: Codec, layout: Layout) {
    this.#context = context;
    this.#layout = layout;
    this.#writer = new ColumnWriter(context.slabs, layout.schema, context.columns, context.batchRows);
    // Whether a row is there is told by all of its columns, whoever wants them.
    const wanted = new Set([layout.op]);
    for (const [at, place] of layout.places.entries()) if (isOfRow(place) || context.columns.includes(at)) for (const side of SIDES) wanted.add(place[side]);
    wanted.delete(-1);
    this.#inner = inner.decoder({
      ...context,
      columns: [...wanted].sort((a, b) => a - b),
      reject: (rejection) =>
        context.reject(
          this.#isTombstone(rejection.offset)
            ? { reason: 'control', offset: rejection.offset, rows: 1, message: 'A record without a value, behind that of a deleted row.' }
            : rejection,
        ),
    });
    this.#recordOf = new Int32Array(this.#writer.builder.capacity);
    this.#rows = new Int32Array(this.#writer.builder.capacity);
    this.#sides = new Uint8Array(this.#writer.builder.capacity);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#inner.open(records);
  }

  get waitsFor(): Promise<void> | undefined {
    return this.#inner.waitsFor;
  }

  next(): Batch | undefined {
    for (let batch = this.#inner.next(); batch !== undefined; batch = this.#inner.next()) {
      const count = this.#choose(batch);
      if (count === 0) continue;
      this.#writer.builder.reset();
      this.#context.columns.forEach((at, w) => this.#fill(batch, at, w, count));
      return this.#writer.finish(count);
    }
    return undefined;
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }

  /** Which rows of a batch of envelopes are rows, and of which side. */
  #choose(batch: Batch): number {
    const { memory } = this.#context;
    const op = batch.columns[this.#layout.op] as Column;
    let count = 0;
    for (let row = 0; row < batch.rowCount; row++) {
      const record = this.#inner.recordOf(row);
      const from = memory.i32[(op.offsets >>> 2) + row] as number;
      const length = (memory.i32[(op.offsets >>> 2) + row + 1] as number) - from;
      const code = length === 1 && isValid(memory, op, row) ? (memory.u8[op.data + from] as number) : 0;
      if (code === OP.message) {
        this.#context.reject({ reason: 'control', offset: this.#offset(record), rows: 1, message: 'A message of Debezium, which is of no row.' });
        continue;
      }
      const fault = this.#faultOf(batch, row, code);
      if (fault !== undefined) {
        rejectRecord(this.#context, this.#records as RecordIndex, record, 'debezium', fault);
        continue;
      }
      this.#sides[count] = code === OP.delete ? 1 : 0;
      this.#rows[count] = row;
      this.#recordOf[count++] = record;
    }
    return count;
  }

  #faultOf(batch: Batch, row: number, code: number): string | undefined {
    if (code === OP.truncate) return 'the table was truncated (op "t"), which is a change of rows that the envelope does not name';
    if (code !== OP.create && code !== OP.update && code !== OP.read && code !== OP.delete) return 'its op is none of c, u, r, d';
    const side = code === OP.delete ? 'before' : 'after';
    let isThere = false;
    let missing: string | undefined;
    for (const place of this.#layout.places) {
      if (!isOfRow(place) || place[side] < 0) continue;
      const isHere = isValid(this.#context.memory, batch.columns[place[side]] as Column, row);
      isThere ||= isHere;
      const { name, type } = place.field;
      if (!isHere && !type.nullable && side === 'after') missing ??= `column ${shown(name)} holds ${kindText(type)}, but ${side} has none`;
    }
    return isThere ? missing : `its op is ${String.fromCharCode(code)}, but ${side} has no row`;
  }

  /** Fills a column of the rows from those of the envelopes. */
  #fill(batch: Batch, at: number, w: number, count: number): void {
    const writer = this.#writer;
    const place = this.#layout.places[at];
    const { length } = this.#layout.places;
    for (let row = 0; row < count; row++) {
      const from = this.#rows[row] as number;
      if (at === length + 1) writer.setBool(w, row, this.#sides[row] === 1);
      else {
        const column = place === undefined ? this.#layout.op : this.#sides[row] === 1 ? place.before : place.after;
        const source = batch.columns[column];
        if (source !== undefined && isValid(this.#context.memory, source, from)) this.#copy(source, from, w, row);
        else if (!writer.setNull(w, row)) this.#zero(w, row);
      }
    }
  }

  #copy({ type, data, offsets }: Column, from: number, w: number, row: number): void {
    const { memory } = this.#context;
    const writer = this.#writer;
    if (offsets !== 0) {
      const at = (offsets >>> 2) + from;
      writer.setBytes(w, row, data + (memory.i32[at] as number), data + (memory.i32[at + 1] as number));
    } else if (type.width === 0) writer.setBool(w, row, (((memory.u8[data + (from >>> 3)] as number) >>> (from & 7)) & 1) === 1);
    else {
      const target = writer.columns[w] as ColumnSpace;
      copyBytes(memory, target.data + row * type.width, data + from * type.width, type.width);
      writer.setValid(w, row);
    }
  }

  /** Of a deleted row, what the envelope does not tell. */
  #zero(w: number, row: number): void {
    const { type, data, offsets } = this.#writer.columns[w] as ColumnSpace;
    if (offsets !== 0) {
      if (type.element === undefined && type.json === undefined) this.#writer.setBytes(w, row, 0, 0);
      else this.#writer.setText(w, row, type.json ? 'null' : '[]');
    } else if (type.width === 0) this.#writer.setBool(w, row, false);
    else this.#context.memory.u8.fill(0, data + row * type.width, data + (row + 1) * type.width);
  }

  #offset(record: number): number {
    return this.#context.memory.f64[((this.#records as RecordIndex).offsets >>> 3) + record] as number;
  }

  #isTombstone(offset: number): boolean {
    const records = this.#records;
    const { f64, i32 } = this.#context.memory;
    if (records === undefined) return false;
    for (let i = 0; i < records.count; i++) if (f64[(records.offsets >>> 3) + i] === offset) return (i32[(records.valueLengths >>> 2) + i] as number) < 0;
    return false;
  }
}
