/**
 * Protocol Buffers, one message per record: the door of the codec. protobuf/decode.ts reads records,
 * protobuf/encode.ts writes them.
 */

import { checkOptionNames, MillraceError, type SharedMemory, shown } from '../core/index.ts';
import type { Codec } from './codec.ts';
import { FramedDecoder } from './framed.ts';
import { protoColumns } from './protobuf/columns.ts';
import { ProtoDecoder } from './protobuf/decode.ts';
import { type ProtoFiles, type ProtoMessage, readDescriptorSet } from './protobuf/descriptor.ts';
import { ProtoEncoder } from './protobuf/encode.ts';
import { readProtoText } from './protobuf/proto-text.ts';
import { mustBeRegistry, preparedId, REGISTRY_BYTES, registryIdAt, registryPrefix, type SchemaRegistry } from './schema-registry.ts';
import { WireWriter } from './wire/writer.ts';

export interface ProtobufOptions {
  /** Full name of the message. Default: the one at the top of the file, where there is one. */
  readonly message?: string;
  /** Of a text: the texts of the files that it imports, by the names by which it does. Those of google/protobuf are known. */
  readonly imports?: Readonly<Record<string, string>>;
  /** What a uint64 or a fixed64 becomes: an i64, and a record with more than that is refused (default), or its digits. */
  readonly uint64?: 'i64' | 'text';
  /**
   * Records begin with a zero byte, the id of their schema in a schema registry, and which message of the file they are.
   * Reading goes by the message that is given, and asks the registry nothing; a record of another message is refused.
   * A sink registers the text of the .proto file.
   */
  readonly registry?: SchemaRegistry;
}

/**
 * One message of Protocol Buffers per record: proto2, proto3 or an edition. Its description is the bytes of a
 * FileDescriptorSet (`protoc --descriptor_set_out=FILE --include_imports`) or the text of a .proto file, which takes
 * `npm i protobufjs`.
 *
 * | field | column |
 * |---|---|
 * | double, float, bool, string, bytes | f64, f32, bool, utf8, binary |
 * | int32, sint32, sfixed32; uint32, fixed32 | i32; u32 |
 * | int64, sint64, sfixed64; uint64, fixed64 | i64 |
 * | an enum | utf8, its name; a number that has none is its digits |
 * | a message | a struct: its members are columns, null where it is not there |
 * | repeated | a list |
 * | a map | jsonText, an object |
 * | a message within itself, or without fields | jsonText |
 * | google.protobuf.Timestamp | timestamp; what is below a millisecond is cut |
 * | a wrapper of google.protobuf | its value, nullable |
 *
 * A field that can tell that it is not there (optional, of a oneof, of a message, of proto2) is nullable. Any other has
 * its default then. Defaults of proto2 are not looked at. Fields come in any order, the last value counts, messages that
 * come twice are merged, of a oneof the last field counts, fields that nobody knows are moved over. A message in the object
 * of a list is jsonText.
 *
 * What is no such message is refused with the byte and the field: also a field of another wire type, text that is no
 * UTF-8 (of proto2, too), a required field that is missing, more than 100 messages inside one another.
 *
 * Writing takes a column where the type of its field holds all of its values. A column without a field is refused
 * when the job starts; null where a field cannot be left out ends the job.
 *
 * @example protobuf<{ page: string; ms: number }>(readFileSync('clicks.binpb'), { message: 'shop.Click' })
 * @example protobuf('syntax = "proto3"; message Click { string page = 1; double ms = 2; }')
 * @throws MillraceError ERR_MILLRACE_SCHEMA when it is no description, or has no such message; ERR_MILLRACE_OPTION
 */
export function protobuf<R = Readonly<Record<string, unknown>>>(description: Uint8Array | string, options: ProtobufOptions = {}): Codec<R> {
  checkOptionNames('protobuf()', options, { message: true, imports: true, uint64: true, registry: true });
  const { imports = {}, uint64 = 'i64', registry } = options;
  mustBeRegistry('protobuf()', registry);
  if (uint64 !== 'i64' && uint64 !== 'text') throw new MillraceError('ERR_MILLRACE_OPTION', `protobuf(): uint64 is ${shown(uint64)}. Give 'i64' or 'text'.`);
  if (typeof description !== 'string' && !(description instanceof Uint8Array))
    throw new MillraceError(
      'ERR_MILLRACE_SCHEMA',
      `protobuf(): the description is ${shown(description)}. Give the bytes of a FileDescriptorSet, or the text of a .proto file.`,
    );
  const files = typeof description === 'string' ? readProtoText(description, imports) : readDescriptorSet(description);
  const message = messageOf(files, options.message);
  const columns = protoColumns(message, uint64 === 'text');
  const codec: Codec<R> = {
    name: 'protobuf',
    isRowPerRecord: true,
    schema: columns.schema,
    decoder: (context) => new ProtoDecoder(context, columns),
    encoder: (context, of) => new ProtoEncoder(context.memory, of, message, new Uint8Array(0)),
  };
  if (registry === undefined) return codec;
  const path = pathBytes(files.indexes.get(message.name) ?? [0]);
  return {
    ...codec,
    prepare: ({ topic, schema: _, ...wait }) => {
      if (typeof description === 'string') return registry.idOf({ topic, record: message.name, type: 'PROTOBUF', schema: description }, wait);
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        'protobuf(): a registry takes the text of a .proto file, and a FileDescriptorSet is given. Give the text to write with.',
      );
    },
    decoder: (context) =>
      new FramedDecoder(context, codec, {
        shown: `a zero byte, the id of a schema, 4 bytes, and the place of ${message.name} in its file`,
        bytesAt: (at, length) => frameBytes(context.memory, at, length, path),
      }),
    encoder(context, of) {
      const prefix = registryPrefix(preparedId('protobuf()', context));
      return new ProtoEncoder(context.memory, of, message, new Uint8Array([...prefix, ...path]));
    },
  };
}

function messageOf({ messages, top }: ProtoFiles, name: string | undefined): ProtoMessage {
  const found = name === undefined ? (top.length === 1 ? top[0] : undefined) : messages.get(name.replace(/^\./, ''));
  if (found !== undefined) return found;
  const names = top.map((message) => message.name).join(', ');
  throw new MillraceError(
    'ERR_MILLRACE_SCHEMA',
    name === undefined
      ? `protobuf(): the file has ${top.length === 0 ? 'no message' : `several messages: ${names}`}. Name one: message: 'shop.Click'.`
      : `protobuf(): there is no message ${shown(name)}. At the top of the file there are: ${names || 'none'}.`,
  );
}

/** Which message of its file it is: a count and numbers, zigzag; the first one of a file is a zero. */
function pathBytes(path: readonly number[]): Uint8Array {
  const writer = new WireWriter();
  if (path.length === 1 && path[0] === 0) writer.byte(0);
  else for (const number of [path.length, ...path]) writer.zigzag32(number);
  return writer.bytes();
}

/** How many bytes precede the message; -1: they are not those. */
function frameBytes(memory: SharedMemory, at: number, length: number, path: Uint8Array): number {
  const bytes = REGISTRY_BYTES + path.length;
  if (length < bytes || registryIdAt(memory, at, length) < 0) return -1;
  for (let i = 0; i < path.length; i++) {
    if (memory.u8[at + REGISTRY_BYTES + i] === path[i]) continue;
    // The first message of a file may be written out: one number, 0.
    const isWritten = path.length === 1 && length >= bytes + 1 && memory.u8[at + REGISTRY_BYTES] === 2 && memory.u8[at + REGISTRY_BYTES + 1] === 0;
    return isWritten ? bytes + 1 : -1;
  }
  return bytes;
}
