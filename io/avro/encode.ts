/**
 * The encoder of `avro()`: the rows of a batch to records of a schema, one for each row. It is a program of steps as
 * the decoder is. No object is made for a row, but where it has lists or JSON.
 */

import {
  type Batch,
  type Column,
  type Field,
  isValid,
  MillraceError,
  pathOf,
  readNumber,
  readText,
  readTimestamp,
  type Schema,
  type SharedMemory,
  shown,
} from '../../core/index.ts';
import type { RecordEncoder } from '../codec.ts';
import { FULL, WireWriter } from '../wire/writer.ts';
import { columnText } from './columns.ts';
import { encodedDefault, instantOf, logicalBytes, NoSuchValue, writeJsonValue } from './json-value.ts';
import { type AvroField, type AvroType, branchName, isUnionOfNull, soleBranch, unitOf } from './schema.ts';

const DAY_MS = 86_400_000;
const WHOLE: ReadonlySet<string> = new Set(['i8', 'i16', 'i32']);

/** Writes the value of a row; the writer's place is behind it then. */
type Put = (row: number) => void;

interface Members {
  /** By name, the column of a member, or the members of a struct. */
  readonly columns: Map<string, number | Members>;
}

export class AvroEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #schema: Schema;
  readonly #prefix: Uint8Array;
  readonly #writer: WireWriter;
  readonly #put: Put;
  #columns: readonly Column[] = [];
  /** The column that is written, for messages. */
  #at = 0;

  /**
   * @param prefix what precedes each record
   * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that the type has no field for, and a field without a column
   */
  constructor(memory: SharedMemory, schema: Schema, type: AvroType, prefix: Uint8Array) {
    this.#memory = memory;
    this.#schema = schema;
    this.#prefix = prefix;
    this.#writer = new WireWriter(memory.u8);
    const root: Members = { columns: new Map() };
    schema.fields.forEach((field, c) => addMember(root, pathOf(field), c));
    this.#put = this.#record(type, root, '');
  }

  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const writer = this.#writer;
    this.#columns = batch.columns;
    writer.at = address;
    writer.limit = limit;
    let row = from;
    try {
      for (; row < to; row++) {
        writer.copy(this.#prefix, 0, this.#prefix.length);
        this.#put(row);
        this.#memory.u32[(ends >>> 2) + row - from] = writer.at;
      }
    } catch (error) {
      if (error instanceof NoSuchValue) throw this.#refused(row, error.message);
      if (error !== FULL) throw error;
    }
    return row - from;
  }

  #refused(row: number, why: string): MillraceError {
    return new MillraceError(
      'ERR_MILLRACE_CODEC',
      `avro() cannot write row ${row} of a batch: ${columnText(this.#schema.field(this.#at))} ${why}. Correct the value by map or filter, or write it with another schema.`,
    );
  }

  #record(type: AvroType, members: Members, at: string): Put {
    const puts: Put[] = [];
    const left = new Set(members.columns.keys());
    for (const field of type.fields as readonly AvroField[]) {
      left.delete(field.name);
      puts.push(this.#field(field, members.columns.get(field.name), `${at}${field.name}`));
    }
    const [first] = left;
    if (first !== undefined)
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `avro() cannot write the column ${shown(`${at}${first}`)}: the record ${type.name} has no such field. Select the columns of the schema, or add the field.`,
      );
    return (row) => {
      for (let i = 0; i < puts.length; i++) (puts[i] as Put)(row);
    };
  }

  #field(field: AvroField, of: number | Members | undefined, name: string): Put {
    const writer = this.#writer;
    if (of === undefined) {
      const bytes = field.default === undefined ? undefined : encodedDefault(field.type, field.default);
      if (bytes === undefined)
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `avro() has no column for the field ${shown(name)}, which has no default. Add the column, or give the field a default.`,
        );
      return () => writer.copy(bytes, 0, bytes.length);
    }
    if (typeof of !== 'number') return this.#struct(field.type, of, name);
    return this.#column(field.type, of, this.#schema.field(of));
  }

  /** A struct whose columns are all null is null where it may be. */
  #struct(type: AvroType, members: Members, name: string): Put {
    const sole = type.kind === 'union' ? soleBranch(type) : type;
    if (sole?.kind !== 'record')
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `avro() cannot write the columns of ${shown(name)}: the field is ${branchName(type)}, and it has to be a record.`,
      );
    const put = this.#record(sole, members, `${name}.`);
    if (type.kind !== 'union') return put;
    const branches = type.branches as readonly AvroType[];
    const [full, none] = [branches.indexOf(sole), branches.findIndex(({ kind }) => kind === 'null')];
    const columns = columnsOf(members);
    const writer = this.#writer;
    return (row) => {
      const isNull = none >= 0 && columns.every((c) => !isValid(this.#memory, this.#columns[c] as Column, row));
      writer.zigzag32(isNull ? none : full);
      if (!isNull) put(row);
    };
  }

  #column(type: AvroType, c: number, field: Field): Put {
    const writer = this.#writer;
    const isUnion = type.kind === 'union';
    const sole = isUnion ? soleBranch(type) : type;
    const put = sole === undefined ? this.#text(type, c, field) : this.#value(sole, c, field);
    if (put === undefined)
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `avro() cannot write ${columnText(field)} as ${nameOf(sole ?? type)}. Convert it with map, or change the schema.`,
      );
    const branches = isUnion ? (type.branches as readonly AvroType[]) : [];
    const none = isUnionOfNull(type) ? branches.findIndex(({ kind }) => kind === 'null') : -1;
    const full = sole === undefined || !isUnion ? -1 : branches.indexOf(sole);
    return (row) => {
      this.#at = c;
      if (!isValid(this.#memory, this.#columns[c] as Column, row)) {
        if (none < 0) throw new NoSuchValue(`is null, and the field ${type.kind === 'union' ? 'has no null in its union' : `is ${nameOf(type)}`}`);
        writer.zigzag32(none);
        return;
      }
      if (full >= 0) writer.zigzag32(full);
      put(row);
    };
  }

  /** Writes a value that is not null; undefined: the column does not fit. */
  #value(type: AvroType, c: number, field: Field): Put | undefined {
    const memory = this.#memory;
    const writer = this.#writer;
    const { name, json, element } = field.type;
    const data = (): number => (this.#columns[c] as Column).data;
    if (element !== undefined || (json && type.kind !== 'string')) return this.#text(type, c, field);
    switch (type.kind) {
      case 'boolean':
        if (name !== 'bool') return undefined;
        return (row) => writer.byte(((memory.u8[data() + (row >>> 3)] as number) >>> (row & 7)) & 1);
      case 'int':
        if (type.logical === 'date' && name === 'timestamp') return (row) => this.#days(data(), row);
        if (!WHOLE.has(name)) return undefined;
        return (row) => writer.zigzag32(readNumber(memory, name, data(), row));
      case 'long': {
        const unit = unitOf(type.logical);
        if (unit !== undefined && unit !== 1 && name === 'timestamp') return (row) => writer.zigzagOf(instantOf(readTimestamp(memory, data(), row), unit));
        if (name === 'i64' || name === 'timestamp')
          return (row) => writer.zigzag(memory.i32[(data() >>> 2) + row * 2] as number, memory.i32[(data() >>> 2) + row * 2 + 1] as number);
        if (name === 'u32') return (row) => writer.zigzag(memory.i32[(data() >>> 2) + row] as number, 0);
        if (!WHOLE.has(name)) return undefined;
        return (row) => writer.zigzag32(readNumber(memory, name, data(), row));
      }
      case 'float':
        if (name !== 'f32' && name !== 'i8' && name !== 'i16') return undefined;
        return (row) => writer.f32(readNumber(memory, name, data(), row));
      case 'double':
        if (name !== 'f32' && name !== 'f64' && name !== 'u32' && !WHOLE.has(name)) return undefined;
        return (row) => writer.f64(readNumber(memory, name, data(), row));
      case 'enum':
        return name === 'utf8' ? this.#symbol(type, c) : undefined;
      case 'string':
        return name === 'utf8' ? (row) => this.#bytes(c, row, -1) : undefined;
      case 'bytes':
      case 'fixed': {
        if (type.logical !== undefined) return name === 'utf8' ? (row) => this.#logical(type, c, row) : undefined;
        const size = type.kind === 'fixed' ? (type.size as number) : -1;
        return name === 'binary' || (name === 'utf8' && size < 0) ? (row) => this.#bytes(c, row, size) : undefined;
      }
      default:
        return undefined;
    }
  }

  #days(data: number, row: number): void {
    const days = Math.floor(readTimestamp(this.#memory, data, row) / DAY_MS);
    if ((days | 0) !== days) throw new NoSuchValue(`is ${days} days from 1970, which is no date of 32 bits`);
    this.#writer.zigzag32(days);
  }

  #bytes(c: number, row: number, size: number): void {
    const { data, offsets } = this.#columns[c] as Column;
    const { i32, u8 } = this.#memory;
    const from = i32[(offsets >>> 2) + row] as number;
    const to = i32[(offsets >>> 2) + row + 1] as number;
    if (size < 0) this.#writer.zigzag32(to - from);
    else if (to - from !== size) throw new NoSuchValue(`has ${to - from} bytes, and the fixed has ${size}`);
    this.#writer.copy(u8, data + from, data + to);
  }

  #textAt(c: number, row: number): string {
    const { data, offsets } = this.#columns[c] as Column;
    const { i32 } = this.#memory;
    return readText(this.#memory, data + (i32[(offsets >>> 2) + row] as number), data + (i32[(offsets >>> 2) + row + 1] as number));
  }

  #symbol(type: AvroType, c: number): Put {
    const symbols = type.symbols as readonly string[];
    const indices = new Map(symbols.map((symbol, index) => [symbol, index]));
    return (row) => {
      const symbol = this.#textAt(c, row);
      const index = indices.get(symbol);
      if (index === undefined) throw new NoSuchValue(`is ${shown(symbol)}, which is no symbol of the enum ${type.name}: ${symbols.join(', ')}`);
      this.#writer.zigzag32(index);
    };
  }

  #logical(type: AvroType, c: number, row: number): void {
    const bytes = logicalBytes(type, this.#textAt(c, row));
    if (type.kind === 'bytes') this.#writer.zigzag32(bytes.length);
    this.#writer.copy(bytes, 0, bytes.length);
  }

  /** Lists and JSON, by their text. */
  #text(type: AvroType, c: number, field: Field): Put | undefined {
    if (!field.type.json && field.type.element === undefined) return undefined;
    const scratch = new WireWriter();
    return (row) => {
      scratch.at = 0;
      writeJsonValue(scratch, type, this.#textAt(c, row), field.type);
      this.#writer.copy(scratch.u8, 0, scratch.at);
    };
  }
}

function addMember(members: Members, [name, ...rest]: readonly string[], c: number): void {
  if (rest.length === 0) {
    members.columns.set(name as string, c);
    return;
  }
  const known = members.columns.get(name as string);
  const inner: Members = typeof known === 'object' ? known : { columns: new Map() };
  members.columns.set(name as string, inner);
  addMember(inner, rest, c);
}

function columnsOf(members: Members): number[] {
  return [...members.columns.values()].flatMap((of) => (typeof of === 'number' ? [of] : columnsOf(of)));
}

function nameOf(type: AvroType): string {
  return type.logical ?? branchName(type);
}
