/**
 * Messages of Protocol Buffers: what is known of them, however it was given. From a FileDescriptorSet (`protoc
 * --descriptor_set_out --include_imports`) they are read here; from the text of a .proto file by proto-text.ts.
 */

import { MillraceError, shown } from '../../core/index.ts';

export type ProtoKind =
  | 'double'
  | 'float'
  | 'int64'
  | 'uint64'
  | 'int32'
  | 'fixed64'
  | 'fixed32'
  | 'bool'
  | 'string'
  | 'group'
  | 'message'
  | 'bytes'
  | 'uint32'
  | 'enum'
  | 'sfixed32'
  | 'sfixed64'
  | 'sint32'
  | 'sint64';

export interface ProtoEnum {
  readonly name: string;
  /** The first name of a number counts. */
  readonly names: ReadonlyMap<number, string>;
  readonly numbers: ReadonlyMap<string, number>;
  /** That of the first value. */
  readonly first: string;
}

export interface ProtoField {
  readonly name: string;
  readonly number: number;
  readonly kind: ProtoKind;
  readonly isRepeated: boolean;
  readonly isRequired: boolean;
  /** Whether a record tells a field that is not there from one that has the default. */
  readonly hasPresence: boolean;
  /** Of repeated numbers: they are written in one piece. */
  readonly isPacked: boolean;
  /** The oneof that it is in. */
  readonly oneof: string | undefined;
  /** Of a message or a group; of a map the entry. */
  readonly message: ProtoMessage | undefined;
  readonly enum: ProtoEnum | undefined;
}

export interface ProtoMessage {
  /** Full name, without a dot before it. */
  readonly name: string;
  readonly isMapEntry: boolean;
  /** In the order of the file. Filled when all messages are known, as they may be circles. */
  readonly fields: readonly ProtoField[];
}

/** The messages of some files. */
export interface ProtoFiles {
  /** All, by full name. */
  readonly messages: ReadonlyMap<string, ProtoMessage>;
  /** Those at the top of the last file, which the others are imported by. */
  readonly top: readonly ProtoMessage[];
  /** By full name: where a message is in its file, as Confluent's wire format has it. */
  readonly indexes: ReadonlyMap<string, readonly number[]>;
}

export interface Building {
  readonly messages: Map<string, ProtoMessage & { fields: ProtoField[] }>;
  readonly enums: Map<string, ProtoEnum>;
  readonly indexes: Map<string, readonly number[]>;
}

/** By the numbers of FieldDescriptorProto.Type. */
const KINDS: readonly (ProtoKind | undefined)[] = [
  undefined,
  'double',
  'float',
  'int64',
  'uint64',
  'int32',
  'fixed64',
  'fixed32',
  'bool',
  'string',
  'group',
  'message',
  'bytes',
  'uint32',
  'enum',
  'sfixed32',
  'sfixed64',
  'sint32',
  'sint64',
];
const REQUIRED = 2;
const REPEATED = 3;
/** Numbers of fields in descriptor.proto. */
const FILE = { name: 1, package: 2, messages: 4, enums: 5, options: 8, syntax: 12, edition: 14 } as const;
const MESSAGE = { name: 1, fields: 2, nested: 3, enums: 4, options: 7, mapEntry: 7 } as const;
const FIELD = { name: 1, number: 3, label: 4, type: 5, typeName: 6, options: 8, packed: 2, oneof: 9, proto3Optional: 17, features: 21 } as const;
const FEATURES_OF_FILE = 50;
const FEATURES = { presence: 1, repeated: 3, explicit: 1, implicit: 2, required: 3, expanded: 2 } as const;

/** An enum, from its names and numbers in their order. */
export function protoEnum(name: string, values: readonly (readonly [name: string, number: number])[]): ProtoEnum {
  const names = new Map<number, string>();
  for (const [value, number] of values) if (!names.has(number)) names.set(number, value);
  return { name, names, numbers: new Map(values), first: values[0]?.[0] ?? '0' };
}

/**
 * @param bytes a FileDescriptorSet
 * @throws MillraceError ERR_MILLRACE_SCHEMA when they are none
 */
export function readDescriptorSet(bytes: Uint8Array): ProtoFiles {
  const files = parts(bytes, 'a FileDescriptorSet')
    .bytes(1)
    .map((file) => parts(file, 'a FileDescriptorProto'));
  if (files.length === 0) throw refused('the bytes are no FileDescriptorSet: there is no file in them');
  const made: Building = { messages: new Map(), enums: new Map(), indexes: new Map() };
  const later: (() => void)[] = [];
  for (const file of files) {
    const space = file.text(FILE.package);
    const rules = rulesOf(file);
    file.bytes(FILE.enums).forEach((one) => readEnum(one, space, made));
    file.bytes(FILE.messages).forEach((one, index) => readMessage(one, space, rules, [index], made, later));
  }
  for (const fill of later) fill();
  const last = files.at(-1) as Parts;
  const top = last
    .bytes(FILE.messages)
    .map((one) => made.messages.get(joined(last.text(FILE.package), parts(one, 'a message').text(MESSAGE.name))) as ProtoMessage);
  return { messages: made.messages, top, indexes: made.indexes };
}

/** What a file says of fields that do not say it themselves. */
interface Rules {
  readonly isExplicit: boolean;
  readonly isPacked: boolean;
}

function rulesOf(file: Parts): Rules {
  const isProto3 = file.text(FILE.syntax) === 'proto3';
  if (file.number(FILE.edition) === undefined) return { isExplicit: !isProto3, isPacked: isProto3 };
  const features = file.inner(FILE.options)?.inner(FEATURES_OF_FILE);
  return { isExplicit: features?.number(FEATURES.presence) !== FEATURES.implicit, isPacked: features?.number(FEATURES.repeated) !== FEATURES.expanded };
}

function readEnum(bytes: Uint8Array, space: string, { enums }: Building): void {
  const of = parts(bytes, 'an enum');
  const name = joined(space, of.text(1));
  const values = of.bytes(2).map((value) => {
    const one = parts(value, 'a value of an enum');
    return [one.text(1), (one.number(2) ?? 0) | 0] as const;
  });
  enums.set(name, protoEnum(name, values));
}

function readMessage(bytes: Uint8Array, space: string, rules: Rules, index: readonly number[], made: Building, later: (() => void)[]): void {
  const of = parts(bytes, 'a message');
  const name = joined(space, of.text(MESSAGE.name));
  const isMapEntry = of.inner(MESSAGE.options)?.number(MESSAGE.mapEntry) === 1;
  const message = { name, isMapEntry, fields: [] as ProtoField[] };
  made.messages.set(name, message);
  made.indexes.set(name, index);
  of.bytes(MESSAGE.enums).forEach((one) => readEnum(one, name, made));
  of.bytes(MESSAGE.nested).forEach((one, at) => readMessage(one, name, rules, [...index, at], made, later));
  later.push(() => message.fields.push(...of.bytes(MESSAGE.fields).map((field) => readField(parts(field, 'a field'), name, rules, made))));
}

function readField(of: Parts, owner: string, rules: Rules, { messages, enums }: Building): ProtoField {
  const name = of.text(FIELD.name);
  const number = of.number(FIELD.number) ?? 0;
  const kind = KINDS[of.number(FIELD.type) ?? 0];
  if (kind === undefined) throw refused(`the field ${owner}.${name} has the type ${of.number(FIELD.type)}`);
  const typeName = of.text(FIELD.typeName);
  const message = kind === 'message' || kind === 'group' ? inScope(messages, typeName, owner) : undefined;
  const enumeration = kind === 'enum' ? inScope(enums, typeName, owner) : undefined;
  if ((kind === 'message' || kind === 'group' || kind === 'enum') && message === undefined && enumeration === undefined)
    throw refused(`the field ${owner}.${name} has the type ${shown(typeName)}, which is in none of the files (protoc --include_imports)`);
  const label = of.number(FIELD.label);
  const options = of.inner(FIELD.options);
  const features = options?.inner(FIELD.features);
  const presence = features?.number(FEATURES.presence);
  const isProto3Optional = of.number(FIELD.proto3Optional) === 1;
  const oneof = of.number(FIELD.oneof);
  const isRepeated = label === REPEATED;
  const packed = options?.number(FIELD.packed);
  const encoding = features?.number(FEATURES.repeated);
  const isExplicit = presence === undefined ? rules.isExplicit : presence !== FEATURES.implicit;
  return {
    name,
    number,
    kind,
    isRepeated,
    isRequired: label === REQUIRED || presence === FEATURES.required,
    hasPresence: !isRepeated && (isExplicit || isProto3Optional || oneof !== undefined || message !== undefined),
    isPacked:
      isRepeated && isPackable(kind) && (packed !== undefined ? packed === 1 : encoding !== undefined ? encoding !== FEATURES.expanded : rules.isPacked),
    oneof: oneof === undefined || isProto3Optional ? undefined : String(oneof),
    message,
    enum: enumeration,
  };
}

/** What a name means within a message: a dot before it makes it a full one. */
function inScope<T>(known: ReadonlyMap<string, T>, name: string, owner: string): T | undefined {
  if (name.startsWith('.')) return known.get(name.slice(1));
  for (let space = owner; ; space = space.slice(0, Math.max(0, space.lastIndexOf('.')))) {
    const found = known.get(joined(space, name));
    if (found !== undefined || space === '') return found;
  }
}

export function isPackable(kind: ProtoKind): boolean {
  return kind !== 'string' && kind !== 'bytes' && kind !== 'message' && kind !== 'group';
}

function joined(space: string, name: string): string {
  return space === '' ? name : `${space}.${name}`;
}

function refused(why: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_SCHEMA', `protobuf(): ${why}. Give the bytes of a FileDescriptorSet, or the text of a .proto file.`);
}

/** The fields of a small message, by number: numbers of up to 32 bits, and bytes. */
class Parts {
  readonly #values = new Map<number, (number | Uint8Array)[]>();

  constructor(values: Map<number, (number | Uint8Array)[]>) {
    this.#values = values;
  }

  number(field: number): number | undefined {
    const value = this.#values.get(field)?.at(-1);
    return typeof value === 'number' ? value : undefined;
  }

  text(field: number): string {
    const value = this.#values.get(field)?.at(-1);
    return value instanceof Uint8Array ? Buffer.from(value).toString() : '';
  }

  bytes(field: number): Uint8Array[] {
    return (this.#values.get(field) ?? []).filter((value) => value instanceof Uint8Array);
  }

  inner(field: number): Parts | undefined {
    const value = this.#values.get(field)?.at(-1);
    return value instanceof Uint8Array ? parts(value, 'options') : undefined;
  }
}

function parts(bytes: Uint8Array, what: string): Parts {
  const values = new Map<number, (number | Uint8Array)[]>();
  let at = 0;
  const broken = (): never => {
    throw refused(`the bytes are no ${what.replace(/^an? /, '')}: byte ${at} is not as it has to be`);
  };
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      if (at >= bytes.length) broken();
      const byte = bytes[at++] as number;
      if (i < 5) value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    return broken();
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    let value: number | Uint8Array = 0;
    if (wire === 0) value = varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      value = bytes.subarray(at, at + length);
      at += length;
    } else broken();
    if (at > bytes.length || tag < 8) broken();
    const field = Math.floor(tag / 8);
    const known = values.get(field);
    if (known === undefined) values.set(field, [value]);
    else known.push(value);
  }
  return new Parts(values);
}
