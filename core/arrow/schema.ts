/**
 * Schemas between the wire and memory: which Arrow types map to which of ours, the Schema message read and
 * written, and how many buffers a column of a foreign type takes, so that unused columns can be skipped.
 *
 * Schema messages are rare. They are read through the generated accessors, over a private copy of the
 * metadata. So a broken offset leads to undefined, which counts as 0, and never to bytes of other data.
 */

import * as flatbuffers from 'flatbuffers';
import { unreachable } from '../assert.ts';
import { binary, bool, type DataType, f32, f64, i8, i16, i32, i64, nullable, Schema, timestamp, u32, utf8 } from '../schema.ts';
import * as wire from './generated/index.ts';
import { CONTINUATION, invalid, KIND, type MessageFrame, PREFIX_BYTES } from './message.ts';

/** A column as a message declares it. */
export interface WireField {
  readonly name: string;
  /** Undefined for a type that a batch cannot hold. */
  readonly type: DataType | undefined;
  /** The type as Arrow names it, for messages: `large_utf8`, `timestamp[us]`, `dictionary of utf8`. */
  readonly arrowType: string;
  /** How many nodes and buffers it takes in a record batch, children included; NaN when unknown. */
  readonly nodes: number;
  readonly buffers: number;
  /** Of a struct its members, of a list its element. */
  readonly children: readonly WireField[];
}

/**
 * The type, and its own number of buffers, by number in the format's union `Type`. NaN: not a fixed number.
 */
const TYPES: readonly (readonly [name: string, buffers: number])[] = [
  ['no type', Number.NaN],
  ['null', 0],
  ['int', 2],
  ['float', 2],
  ['binary', 3],
  ['utf8', 3],
  ['bool', 2],
  ['decimal', 2],
  ['date', 2],
  ['time', 2],
  ['timestamp', 2],
  ['interval', 2],
  ['list', 2],
  ['struct', 1],
  ['union', Number.NaN],
  ['fixed_size_binary', 2],
  ['fixed_size_list', 1],
  ['map', 2],
  ['duration', 2],
  ['large_binary', 3],
  ['large_utf8', 3],
  ['large_list', 2],
  ['run_end_encoded', 0],
  ['binary_view', Number.NaN],
  ['utf8_view', Number.NaN],
  ['list_view', 3],
  ['large_list_view', 3],
];
const INTEGERS: ReadonlyMap<string, DataType> = new Map<string, DataType>([
  ['int8', i8],
  ['int16', i16],
  ['int32', i32],
  ['uint32', u32],
  ['int64', i64],
]);
const UNITS = ['s', 'ms', 'us', 'ns'];
const DEPTH_MAX = 32;

/** The total limit for the fields of one schema message: the guard against fields that contain each other. */
interface Budget {
  fields: number;
  nameLength: number;
}

/** The columns that a Schema message declares. @throws MillraceError ERR_MILLRACE_BATCH */
export function readWireFields(frame: MessageFrame): WireField[] {
  const metadata = frame.memory.u8.slice(frame.metadata, frame.metadataEnd);
  const message = wire.Message.getRootAsMessage(new flatbuffers.ByteBuffer(metadata));
  const schema: wire.Schema | null = message.header(new wire.Schema());
  if (schema === null) return invalid('a schema message without a schema');
  if (schema.endianness() !== wire.Endianness.Little) invalid('the values are big-endian');
  const count = schema.fieldsLength();
  const budget = { fields: metadata.length / 4, nameLength: metadata.length };
  if (!(count >= 0 && count <= budget.fields)) invalid(`a schema of ${count} columns in ${metadata.length} bytes of metadata`);
  const fields: WireField[] = [];
  for (let i = 0; i < count; i++) fields.push(readField(schema.fields(i), budget, 0));
  return fields;
}

function readField(field: wire.Field | null, budget: Budget, depth: number): WireField {
  if (field === null) return invalid('a column without a description');
  const name = field.name() ?? '';
  budget.fields--;
  budget.nameLength -= name.length;
  if (budget.fields < 0 || budget.nameLength < 0 || depth > DEPTH_MAX) invalid('the schema refers to itself');
  const number = field.typeType();
  const known = TYPES[number];
  if (known === undefined) invalid(`column ${JSON.stringify(name)} has a type of number ${number}`);
  const childCount = field.childrenLength();
  if (!(childCount >= 0 && childCount <= budget.fields)) invalid(`column ${JSON.stringify(name)} has ${childCount} children`);
  let [arrowType, buffers] = known;
  let nodes = 1;
  const children: WireField[] = [];
  for (let i = 0; i < childCount; i++) {
    const child = readField(field.children(i), budget, depth + 1);
    children.push(child);
    nodes += child.nodes;
    buffers += child.buffers;
  }
  let type: DataType | undefined;
  [type, arrowType] = readType(field, number, arrowType);
  if (childCount > 0) type = undefined;
  // The batch holds indexes into the dictionary: integers.
  if (field.dictionary() !== null) return { name, type: undefined, arrowType: `dictionary of ${arrowType}`, nodes: 1, buffers: 2, children: [] };
  return { name, type: type && field.nullable() ? nullable(type) : type, arrowType, nodes, buffers, children };
}

function readType(field: wire.Field, number: number, name: string): [DataType | undefined, string] {
  switch (number) {
    case wire.Type.Bool:
      return [bool, name];
    case wire.Type.Utf8:
      return [utf8, name];
    case wire.Type.Binary:
      return [binary, name];
    case wire.Type.Int: {
      const int: wire.Int | null = field.type(new wire.Int());
      const arrowType = int === null ? 'int without a width' : `${int.isSigned() ? '' : 'u'}int${int.bitWidth()}`;
      return [INTEGERS.get(arrowType), arrowType];
    }
    case wire.Type.FloatingPoint: {
      const float: wire.FloatingPoint | null = field.type(new wire.FloatingPoint());
      const precision = float?.precision();
      return precision === wire.Precision.DOUBLE
        ? [f64, 'float64']
        : precision === wire.Precision.SINGLE
          ? [f32, 'float32']
          : [undefined, precision === wire.Precision.HALF ? 'float16' : 'float without a precision'];
    }
    case wire.Type.Timestamp: {
      const stamp: wire.Timestamp | null = field.type(new wire.Timestamp());
      const unit = stamp?.unit() ?? -1;
      return [unit === wire.TimeUnit.MILLISECOND ? timestamp : undefined, `timestamp[${UNITS[unit] ?? `unit ${unit}`}]`];
    }
    default:
      return [undefined, name];
  }
}

/** What to do about a column of a type that a batch cannot hold. */
export function typeAdvice(field: WireField): string {
  if (field.arrowType.startsWith('timestamp')) return "cast it to timestamp('ms') before it is written";
  if (field.arrowType.startsWith('dictionary')) return 'write it without dictionary encoding';
  if (field.arrowType.startsWith('large_') || field.arrowType.endsWith('_view'))
    return `cast it to ${field.arrowType.includes('utf8') ? 'utf8 (string)' : 'binary'} before it is written`;
  return 'cast it to bool, int8, int16, int32, uint32, int64, float32, float64, utf8, binary or timestamp[ms] before it is written';
}

/**
 * The schema of the declared columns. @throws MillraceError ERR_MILLRACE_BATCH when a column's type is not
 * supported
 */
export function schemaOfWire(fields: readonly WireField[]): Schema {
  return new Schema(
    fields.map((field, i) => {
      if (field.type === undefined) invalid(`column ${JSON.stringify(field.name)} is ${field.arrowType}, which is not supported: ${typeAdvice(field)}`);
      if (fields.findIndex(({ name }) => name === field.name) !== i) invalid(`two columns are named ${JSON.stringify(field.name)}`);
      return { name: field.name, type: field.type as DataType };
    }),
  );
}

/** The columns of messages with this schema. */
export function wireFieldsOf(schema: Schema): WireField[] {
  return schema.fields.map(({ name, type }) => ({
    name,
    type,
    arrowType: type.name,
    nodes: 1,
    buffers: type.name === 'utf8' || type.name === 'binary' ? 3 : 2,
    children: [],
  }));
}

const messages = new WeakMap<Schema, Uint8Array>();

/** The Schema message, frame included: a multiple of 8 bytes. Made once per schema. */
export function schemaMessage(schema: Schema): Uint8Array {
  let message = messages.get(schema);
  if (message === undefined) {
    const builder = new flatbuffers.Builder(1024);
    const fields = schema.fields.map(({ name, type }) => {
      const nameAt = builder.createString(name);
      const children = wire.Field.createChildrenVector(builder, []);
      const [typeNumber, typeAt] = writeType(builder, type);
      wire.Field.startField(builder);
      wire.Field.addName(builder, nameAt);
      wire.Field.addNullable(builder, type.nullable);
      wire.Field.addTypeType(builder, typeNumber);
      wire.Field.addType(builder, typeAt);
      wire.Field.addChildren(builder, children);
      return wire.Field.endField(builder);
    });
    const fieldsAt = wire.Schema.createFieldsVector(builder, fields);
    wire.Schema.startSchema(builder);
    wire.Schema.addFields(builder, fieldsAt);
    const header = wire.Schema.endSchema(builder);
    message = framed(builder, KIND.schema, header);
    messages.set(schema, message);
  }
  return message;
}

/** Finishes a Message and frames it. The body length is present, also as 0, to be patched. */
export function framed(builder: flatbuffers.Builder, kind: number, header: number, bodyBytes = 0): Uint8Array {
  wire.Message.startMessage(builder);
  // The writer patches the body length, so it must be present although it is 0.
  builder.forceDefaults(true);
  wire.Message.addBodyLength(builder, BigInt(bodyBytes));
  wire.Message.addHeader(builder, header);
  wire.Message.addVersion(builder, wire.MetadataVersion.V5);
  wire.Message.addHeaderType(builder, kind);
  builder.finish(wire.Message.endMessage(builder));
  const metadata = builder.asUint8Array();
  const metadataBytes = Math.ceil(metadata.length / 8) * 8;
  const message = new Uint8Array(PREFIX_BYTES + metadataBytes);
  const view = new DataView(message.buffer);
  view.setUint32(0, CONTINUATION, true);
  view.setInt32(4, metadataBytes, true);
  message.set(metadata, PREFIX_BYTES);
  return message;
}

export function writeType(builder: flatbuffers.Builder, type: DataType): [number, flatbuffers.Offset] {
  switch (type.name) {
    case 'bool':
      wire.Bool.startBool(builder);
      return [wire.Type.Bool, wire.Bool.endBool(builder)];
    case 'i8':
    case 'i16':
    case 'i32':
    case 'i64':
      return [wire.Type.Int, wire.Int.createInt(builder, type.width * 8, true)];
    case 'u32':
      return [wire.Type.Int, wire.Int.createInt(builder, 32, false)];
    case 'f32':
      return [wire.Type.FloatingPoint, wire.FloatingPoint.createFloatingPoint(builder, wire.Precision.SINGLE)];
    case 'f64':
      return [wire.Type.FloatingPoint, wire.FloatingPoint.createFloatingPoint(builder, wire.Precision.DOUBLE)];
    case 'utf8':
      wire.Utf8.startUtf8(builder);
      return [wire.Type.Utf8, wire.Utf8.endUtf8(builder)];
    case 'binary':
      wire.Binary.startBinary(builder);
      return [wire.Type.Binary, wire.Binary.endBinary(builder)];
    case 'timestamp': {
      const zone = builder.createString('UTC');
      return [wire.Type.Timestamp, wire.Timestamp.createTimestamp(builder, wire.TimeUnit.MILLISECOND, zone)];
    }
    default:
      return unreachable(type.name, 'type');
  }
}
