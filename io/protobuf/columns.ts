/**
 * Which columns a message of Protocol Buffers becomes. A message in it is a struct: its members are columns, null
 * where it is not there. What has no column of its own is text: repeated fields are lists, maps and messages that
 * contain themselves are the JSON of their value.
 */

import {
  binary,
  bool,
  type DataType,
  type ElementType,
  type Field,
  f32,
  f64,
  i32,
  i64,
  isType,
  jsonText,
  list,
  MillraceError,
  nullable,
  Schema,
  shown,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import type { ProtoField, ProtoKind, ProtoMessage } from './descriptor.ts';
import { TIMESTAMP } from './wire.ts';

/** A message whose value is one of its field, or null where it is not there. */
const WRAPPERS: ReadonlySet<string> = new Set(
  ['Double', 'Float', 'Int64', 'UInt64', 'Int32', 'UInt32', 'Bool', 'String', 'Bytes'].map((kind) => `google.protobuf.${kind}Value`),
);
const TYPES: Readonly<Record<Exclude<ProtoKind, 'message' | 'group'>, DataType>> = {
  double: f64,
  float: f32,
  int64: i64,
  uint64: i64,
  int32: i32,
  fixed64: i64,
  fixed32: u32,
  bool: bool,
  string: utf8,
  bytes: binary,
  uint32: u32,
  enum: utf8,
  sfixed32: i32,
  sfixed64: i64,
  sint32: i32,
  sint64: i64,
};

/** How a field is kept, whatever its kind on the wire. */
export type ProtoShape =
  /** A value of its own type. */
  | 'value'
  /** A Timestamp. */
  | 'instant'
  /** A wrapper. */
  | 'wrapped'
  /** Members. */
  | 'struct'
  /** A list, a map, or a message as JSON. */
  | 'text';

/** A field of the message, or of one in it, with what it becomes. */
export interface ProtoPlace {
  readonly field: ProtoField;
  readonly shape: ProtoShape;
  /** Position among the columns; -1: a struct. */
  readonly column: number;
  readonly members: readonly ProtoPlace[];
}

export interface ProtoColumns {
  readonly schema: Schema;
  readonly places: readonly ProtoPlace[];
  /** Whether a uint64 is text. */
  readonly isText64: boolean;
}

/** @throws MillraceError ERR_MILLRACE_SCHEMA when the message has no fields */
export function protoColumns(message: ProtoMessage, isText64: boolean): ProtoColumns {
  const fields: Field[] = [];
  const places = placesOf(message, '', false, isText64, new Set([message]), fields);
  if (fields.length === 0) throw new MillraceError('ERR_MILLRACE_SCHEMA', `protobuf(): the message ${message.name} has no fields, so there is no column.`);
  return { schema: new Schema(fields), places, isText64 };
}

function placesOf(message: ProtoMessage, at: string, mayBeNull: boolean, isText64: boolean, open: ReadonlySet<ProtoMessage>, fields: Field[]): ProtoPlace[] {
  return message.fields.map((field): ProtoPlace => {
    const name = `${at}${field.name}`;
    if (field.name.includes('.') || field.name === '')
      throw new MillraceError('ERR_MILLRACE_SCHEMA', `protobuf(): the message ${message.name} has a field ${shown(field.name)}.`);
    const shape = shapeOf(field, open);
    const inner = field.message as ProtoMessage;
    if (shape === 'struct') {
      const members = placesOf(inner, `${name}.`, true, isText64, new Set([...open, inner]), fields);
      return { field, shape, column: -1, members };
    }
    const isNull = mayBeNull || (field.hasPresence && !field.isRequired);
    const type = typeOf(field, shape, isText64, open);
    const own = isNull ? nullable(type) : type;
    fields.push({ name, type: Object.freeze(at === '' ? own : { ...own, nested: true as const }) });
    return { field, shape, column: fields.length - 1, members: [] };
  });
}

/** Whether a message stands for the value of its one field. */
export function isWrapper(message: ProtoMessage): boolean {
  return WRAPPERS.has(message.name) && message.fields.length === 1;
}

/** @param open messages around the field */
export function shapeOf({ isRepeated, message }: ProtoField, open: ReadonlySet<ProtoMessage>): ProtoShape {
  if (isRepeated) return 'text';
  if (message === undefined) return 'value';
  if (message.name === TIMESTAMP) return 'instant';
  if (isWrapper(message)) return 'wrapped';
  return open.has(message) || message.fields.length === 0 ? 'text' : 'struct';
}

function typeOf(field: ProtoField, shape: ProtoShape, isText64: boolean, open: ReadonlySet<ProtoMessage>): DataType {
  if (shape === 'text' && !field.isRepeated) return jsonText;
  if (field.isRepeated && field.message?.isMapEntry === true) return jsonText;
  const of = elementOf(field, isText64, open);
  return field.isRepeated ? list(of as DataType) : (of as DataType);
}

/** What one value of a field is, in a list or alone. */
export function elementOf(field: ProtoField, isText64: boolean, open: ReadonlySet<ProtoMessage>): ElementType {
  const { message, kind } = field;
  if (message === undefined) return kind === 'uint64' || kind === 'fixed64' ? (isText64 ? utf8 : i64) : TYPES[kind as keyof typeof TYPES];
  if (message.name === TIMESTAMP) return timestamp;
  if (isWrapper(message)) return elementOf(message.fields[0] as ProtoField, isText64, open);
  if (open.has(message) || message.fields.length === 0) return jsonText;
  const inner = new Set([...open, message]);
  return Object.fromEntries(
    message.fields.map((member) => {
      if (member.isRepeated) return [member.name, member.message?.isMapEntry === true ? jsonText : list(elementOf(member, isText64, inner) as DataType)];
      const of = elementOf(member, isText64, inner);
      if (member.message === undefined) return [member.name, member.hasPresence && !member.isRequired ? nullable(of as DataType) : of];
      // An object in a list's object cannot be null, so a message that may be missing is text there.
      return [member.name, nullable(isType(of) ? of : jsonText)];
    }),
  );
}
