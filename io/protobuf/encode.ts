/**
 * The encoder of `protobuf()`: the rows of a batch to messages, one for each row, fields in the order of the file. No
 * object is made for a row, but where it has lists or JSON.
 */

import {
  type Batch,
  type Column,
  type Field,
  isValid,
  kindText,
  MillraceError,
  pathOf,
  readNumber,
  readText,
  type Schema,
  type SharedMemory,
  shown,
  type TypeName,
} from '../../core/index.ts';
import type { RecordEncoder } from '../codec.ts';
import { FULL, WireWriter } from '../wire/writer.ts';
import { isWrapper } from './columns.ts';
import type { ProtoField, ProtoMessage } from './descriptor.ts';
import { enumNumber, longOf, tag, Unfit, unsigned, writeBytes, writeInstant, writeInt, writeJson, writeLong, writeWords } from './values.ts';
import { TIMESTAMP } from './wire.ts';

/** Writes the field of a row, its tag included, or nothing. */
type Put = (writer: WireWriter, row: number) => void;

type Members = Map<string, number | Members>;

const INTEGERS: ReadonlySet<string> = new Set(['i8', 'i16', 'i32']);

export class ProtoEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #schema: Schema;
  readonly #prefix: Uint8Array;
  readonly #writer: WireWriter;
  readonly #puts: readonly Put[];
  /** Bytes of messages within messages, by depth. */
  readonly #scratch: WireWriter[] = [];
  #columns: readonly Column[] = [];
  #at = 0;

  /**
   * @param prefix what precedes each record
   * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that the message has no field for
   */
  constructor(memory: SharedMemory, schema: Schema, message: ProtoMessage, prefix: Uint8Array) {
    this.#memory = memory;
    this.#schema = schema;
    this.#prefix = prefix;
    this.#writer = new WireWriter(memory.u8);
    const root: Members = new Map();
    schema.fields.forEach((field, c) => addMember(root, pathOf(field), c));
    this.#puts = this.#message(message, root, '', 0);
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
        for (let i = 0; i < this.#puts.length; i++) (this.#puts[i] as Put)(writer, row);
        this.#memory.u32[(ends >>> 2) + row - from] = writer.at;
      }
    } catch (error) {
      if (error instanceof Unfit) {
        const { name } = this.#schema.field(this.#at);
        throw new MillraceError(
          'ERR_MILLRACE_CODEC',
          `protobuf() cannot write row ${row} of a batch: column ${shown(name)} ${error.message}. Correct the value by map or filter, or write another message.`,
        );
      }
      if (error !== FULL) throw error;
    }
    return row - from;
  }

  #message(message: ProtoMessage, members: Members, at: string, depth: number): readonly Put[] {
    const puts: Put[] = [];
    const left = new Set(members.keys());
    for (const field of message.fields) {
      const of = members.get(field.name);
      left.delete(field.name);
      if (of !== undefined)
        puts.push(typeof of === 'number' ? this.#column(field, of, `${at}${field.name}`) : this.#struct(field, of, `${at}${field.name}`, depth));
      else if (field.isRequired)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', `protobuf() has no column for the required field ${shown(`${at}${field.name}`)}. Add the column.`);
    }
    const [first] = left;
    if (first === undefined) return puts;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `protobuf() cannot write the column ${shown(`${at}${first}`)}: the message ${message.name} has no such field. Select the columns of the message, or add the field.`,
    );
  }

  /** A message whose columns are all null is not there. */
  #struct(field: ProtoField, members: Members, name: string, depth: number): Put {
    const { message } = field;
    if (message === undefined || field.isRepeated)
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `protobuf() cannot write the columns of ${shown(name)}: the field has to be a message, once.`);
    const puts = this.#message(message, members, `${name}.`, depth + 1);
    const columns = columnsOf(members);
    const scratch = (this.#scratch[depth] ??= new WireWriter());
    return (writer, row) => {
      if (!field.isRequired && columns.every((c) => !isValid(this.#memory, this.#columns[c] as Column, row))) return;
      scratch.at = 0;
      for (let i = 0; i < puts.length; i++) (puts[i] as Put)(scratch, row);
      writeBytes(writer, field, scratch.u8, 0, scratch.at);
    };
  }

  #column(field: ProtoField, c: number, name: string): Put {
    const of = this.#schema.field(c);
    const put = this.#value(field, c, of);
    if (put === undefined) {
      const kind = field.message?.name ?? field.kind;
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `protobuf() cannot write column ${shown(name)} of ${kindText(of.type)} as ${field.isRepeated ? `repeated ${kind}` : kind}. Convert it with map, or change the message.`,
      );
    }
    const isOptional = field.hasPresence && !field.isRequired;
    return (writer, row) => {
      this.#at = c;
      if (isValid(this.#memory, this.#columns[c] as Column, row)) put(writer, row);
      // A field of a message that is null in part: without presence it reads as its default.
      else if (!isOptional) throw new Unfit(`is null, and the field ${field.isRequired ? 'is required' : 'cannot tell that it is not there'}`);
    };
  }

  /** Undefined: the column does not fit. Without presence, a default is not written. */
  #value(field: ProtoField, c: number, { type }: Field): Put | undefined {
    if (field.isRepeated || type.json || type.element !== undefined) return this.#text(field, c, type);
    const { message } = field;
    if (message?.name === TIMESTAMP) return type.name === 'timestamp' ? (writer, row) => writeInstant(writer, field, this.#ms(c, row)) : undefined;
    if (message !== undefined) {
      const inner = isWrapper(message) ? this.#value(message.fields[0] as ProtoField, c, { name: '', type }) : undefined;
      if (inner === undefined) return undefined;
      const scratch = new WireWriter();
      return (writer, row) => {
        scratch.at = 0;
        inner(scratch, row);
        writeBytes(writer, field, scratch.u8, 0, scratch.at);
      };
    }
    return this.#scalar(field, c, type.name);
  }

  #scalar(field: ProtoField, c: number, type: TypeName): Put | undefined {
    const memory = this.#memory;
    const { kind, hasPresence } = field;
    const data = (): number => (this.#columns[c] as Column).data;
    switch (kind) {
      case 'bool':
        if (type !== 'bool') return undefined;
        return (writer, row) => {
          const bit = ((memory.u8[data() + (row >>> 3)] as number) >>> (row & 7)) & 1;
          if (bit === 0 && !hasPresence) return;
          tag(writer, field);
          writer.byte(bit);
        };
      case 'string':
      case 'bytes':
        if (type !== 'utf8' && !(kind === 'bytes' && type === 'binary')) return undefined;
        return (writer, row) => {
          const [from, to] = this.#range(c, row);
          if (from < to || hasPresence) writeBytes(writer, field, memory.u8, from, to);
        };
      case 'enum':
        if (type !== 'utf8') return undefined;
        return (writer, row) => {
          const [from, to] = this.#range(c, row);
          const number = enumNumber(field, readText(memory, from, to));
          if (number === 0 && !hasPresence) return;
          tag(writer, field);
          writer.varint(number, number >> 31);
        };
      case 'double':
      case 'float': {
        const fits =
          kind === 'double' ? type === 'f64' || type === 'f32' || type === 'u32' || INTEGERS.has(type) : type === 'f32' || type === 'i8' || type === 'i16';
        if (!fits) return undefined;
        return (writer, row) => {
          const value = readNumber(memory, type, data(), row);
          // -0 is no default.
          if (Object.is(value, 0) && !hasPresence) return;
          tag(writer, field);
          if (kind === 'double') writer.f64(value);
          else writer.f32(value);
        };
      }
      case 'int32':
      case 'sint32':
      case 'sfixed32':
        return INTEGERS.has(type) ? (writer, row) => this.#word(writer, field, readNumber(memory, type, data(), row)) : undefined;
      case 'uint32':
      case 'fixed32':
        if (type === 'u32') return (writer, row) => this.#word(writer, field, readNumber(memory, type, data(), row));
        return INTEGERS.has(type) ? (writer, row) => this.#word(writer, field, unsigned(readNumber(memory, type, data(), row))) : undefined;
      default: {
        const isUnsigned = kind === 'uint64' || kind === 'fixed64';
        if (type === 'utf8' && isUnsigned)
          return (writer, row) => {
            const [from, to] = this.#range(c, row);
            writeLong(writer, field, longOf(kind, readText(memory, from, to)));
          };
        if (type === 'u32') return (writer, row) => writeWords(writer, field, memory.i32[(data() >>> 2) + row] as number, 0);
        if (INTEGERS.has(type))
          return (writer, row) => {
            const value = readNumber(memory, type, data(), row);
            writeWords(writer, field, isUnsigned ? unsigned(value) : value, value >> 31);
          };
        if (type !== 'i64' && type !== 'timestamp') return undefined;
        return (writer, row) => {
          const at = (data() >>> 2) + row * 2;
          const hi = memory.i32[at + 1] as number;
          if (hi < 0 && isUnsigned) throw new Unfit('is below 0, and the field is unsigned');
          writeWords(writer, field, memory.i32[at] as number, hi);
        };
      }
    }
  }

  #word(writer: WireWriter, field: ProtoField, value: number): void {
    if (value === 0 && !field.hasPresence) return;
    tag(writer, field);
    writeInt(writer, field.kind, value);
  }

  #ms(c: number, row: number): number {
    const at = ((this.#columns[c] as Column).data >>> 2) + row * 2;
    return (this.#memory.i32[at + 1] as number) * 4_294_967_296 + (this.#memory.u32[at] as number);
  }

  #range(c: number, row: number): readonly [from: number, to: number] {
    const { data, offsets } = this.#columns[c] as Column;
    const at = (offsets >>> 2) + row;
    return [data + (this.#memory.i32[at] as number), data + (this.#memory.i32[at + 1] as number)];
  }

  /** Lists, maps and messages, by their text. */
  #text(field: ProtoField, c: number, type: Field['type']): Put | undefined {
    const isMap = field.message?.isMapEntry === true;
    if (field.isRepeated && !isMap ? !type.json && type.element === undefined : !type.json || (field.message === undefined && field.kind !== 'string'))
      return undefined;
    return (writer, row) => {
      const [from, to] = this.#range(c, row);
      const text = readText(this.#memory, from, to);
      if (field.kind === 'string' && !field.isRepeated) writeBytes(writer, field, this.#memory.u8, from, to);
      else writeJson(writer, field, text, type.element);
    };
  }
}

function addMember(members: Members, [name, ...rest]: readonly string[], c: number): void {
  if (rest.length === 0) {
    members.set(name as string, c);
    return;
  }
  const known = members.get(name as string);
  const inner: Members = known instanceof Map ? known : new Map();
  members.set(name as string, inner);
  addMember(inner, rest, c);
}

function columnsOf(members: Members): number[] {
  return [...members.values()].flatMap((of) => (typeof of === 'number' ? [of] : columnsOf(of)));
}
