/**
 * Random .proto files with random values, and what they have to become, for the tests of the codec: a model that shares
 * nothing with it. protobufjs writes the bytes.
 */

import type { Dice, Json } from './avro-model.ts';

export interface Spec {
  readonly name: string;
  readonly fields: readonly SpecField[];
  readonly inner: readonly Spec[];
}

export interface SpecField {
  readonly name: string;
  readonly number: number;
  /** A scalar, `E`, `T` (Timestamp), `W` (a wrapper of a text), or the name of a message. */
  readonly type: string;
  readonly label: 'plain' | 'optional' | 'repeated' | 'map' | 'oneof';
  readonly message: Spec | undefined;
}

const SCALARS = [
  'double',
  'float',
  'int32',
  'int64',
  'uint32',
  'uint64',
  'sint32',
  'sint64',
  'fixed32',
  'fixed64',
  'sfixed32',
  'sfixed64',
  'bool',
  'string',
  'bytes',
] as const;
let count = 0;

export function randomSpec(dice: Dice, depth = 0): Spec {
  const inner: Spec[] = [];
  const numbers = new Set<number>();
  const fields = Array.from({ length: 1 + dice.int(7) }, (_, i): SpecField => {
    let number: number;
    do number = dice.of([1 + dice.int(15), 1 + dice.int(600), 1 + dice.int(536_870_911)]);
    while (numbers.has(number) || (number >= 19_000 && number <= 19_999));
    numbers.add(number);
    const kind = dice.int(depth > 2 ? 18 : 22);
    let message: Spec | undefined;
    if (kind >= 18) inner.push((message = randomSpec(dice, depth + 1)));
    const type = kind < 15 ? (SCALARS[kind] as string) : kind === 15 ? 'E' : kind === 16 ? 'T' : kind === 17 ? 'W' : (message as Spec).name;
    const label = dice.of(
      message !== undefined || kind > 15 ? (['plain', 'repeated', 'oneof', 'map'] as const) : (['plain', 'optional', 'repeated', 'map', 'oneof'] as const),
    );
    return { name: `f${i}`, number, type, label, message };
  });
  return { name: `M${count++}`, fields, inner };
}

/** The text of a file of proto3 with the message at its top. */
export function protoText(spec: Spec): string {
  return `syntax = "proto3";\npackage t.p;\nimport "google/protobuf/timestamp.proto";\nimport "google/protobuf/wrappers.proto";\nenum E { ZERO = 0; ONE = 1; BELOW = -5; }\n${messageText(spec)}`;
}

function messageText({ name, fields, inner }: Spec): string {
  const of = ({ type }: SpecField): string => (type === 'T' ? 'google.protobuf.Timestamp' : type === 'W' ? 'google.protobuf.StringValue' : type);
  const line = (field: SpecField): string => {
    const { label, number } = field;
    const start = label === 'map' ? `map<string, ${of(field)}>` : label === 'optional' || label === 'repeated' ? `${label} ${of(field)}` : of(field);
    return `${start} ${field.name} = ${number};`;
  };
  const one = fields.filter(({ label }) => label === 'oneof');
  const others = fields.filter(({ label }) => label !== 'oneof').map(line);
  return `message ${name} { ${inner.map(messageText).join(' ')} ${others.join(' ')} ${one.length > 0 ? `oneof choice { ${one.map(line).join(' ')} }` : ''} }`;
}

/** The fields in the order in which the file has them. */
export function inOrder({ fields }: Spec): readonly SpecField[] {
  return [...fields.filter(({ label }) => label !== 'oneof'), ...fields.filter(({ label }) => label === 'oneof')];
}

const TEXTS = ['', 'a', 'x "y"\n', 'Grüße', '😀', 'z'.repeat(70)];

/** A value as protobufjs's fromObject takes it. */
export function randomMessage(spec: Spec, dice: Dice): Json {
  const value: Record<string, unknown> = {};
  const choices = spec.fields.filter(({ label }) => label === 'oneof');
  const chosen = choices.length > 0 && dice.int(4) > 0 ? dice.of(choices) : undefined;
  for (const field of spec.fields) {
    const { name, label } = field;
    if (label === 'repeated') value[name] = Array.from({ length: dice.int(4) }, () => randomOne(field, dice));
    else if (label === 'map')
      value[name] = Object.fromEntries(Array.from({ length: dice.int(3) }, (_, i) => [dice.of([`k${i}`, `"${i}"`]), randomOne(field, dice)]));
    else if (label === 'oneof' ? field === chosen : label === 'plain' && field.message === undefined && !isMessage(field) ? true : dice.int(3) > 0)
      value[name] = randomOne(field, dice);
  }
  return value;
}

function randomOne({ type, message }: SpecField, dice: Dice): unknown {
  if (message !== undefined) return randomMessage(message, dice);
  switch (type) {
    case 'double':
      return dice.of([0, 1.5, -2.25, 1e300]);
    case 'float':
      return dice.of([0, 1.5, -2.25]);
    case 'int32':
    case 'sint32':
    case 'sfixed32':
      return dice.of([0, 1, -1, 2_147_483_647, -2_147_483_648, 300]);
    case 'uint32':
    case 'fixed32':
      return dice.of([0, 1, 4_294_967_295, 300]);
    case 'int64':
    case 'sint64':
    case 'sfixed64':
      return dice.of(['0', '1', '-1', '9223372036854775807', '-9223372036854775808', '4294967296']);
    case 'uint64':
    case 'fixed64':
      return dice.of(['0', '1', '9223372036854775807', '4294967296']);
    case 'bool':
      return dice.int(2) === 1;
    case 'string':
      return dice.of(TEXTS);
    case 'bytes':
      return Buffer.from(Array.from({ length: dice.int(5) }, () => dice.int(256)));
    case 'E':
      return dice.of([0, 1, -5, 77]);
    case 'T':
      return { seconds: dice.of(['0', '-1', '1767225600', '253402300799']), nanos: dice.of([0, 1_000_000, 999_999_999]) };
    default:
      return { value: dice.of(TEXTS) };
  }
}

const ENUM: Readonly<Record<number, string>> = { 0: 'ZERO', 1: 'ONE', [-5]: 'BELOW' };
const IS_LONG = /^(u?int64|sint64|s?fixed64)$/;

/** The members of a row that a message has to give; undefined: it is not there. */
export function modelRow(spec: Spec, value: Json | undefined): Json {
  return Object.fromEntries(
    inOrder(spec).map((field) => {
      const { name, label, message } = field;
      const own = value?.[name];
      if (label === 'repeated') return [name, value === undefined ? null : ((own ?? []) as unknown[]).map((item) => modelElement(field, item))];
      if (label === 'map') return [name, value === undefined ? null : modelMap(field, (own ?? {}) as Json)];
      if (message !== undefined) return [name, modelRow(message, own as Json | undefined)];
      if (own !== undefined) return [name, modelOne(field, own)];
      return [name, value !== undefined && label === 'plain' && !isMessage(field) ? modelOne(field, defaultOf(field)) : null];
    }),
  );
}

function defaultOf({ type }: SpecField): unknown {
  return type === 'string' ? '' : type === 'bytes' ? new Uint8Array(0) : type === 'bool' ? false : IS_LONG.test(type) ? '0' : 0;
}

function modelOne({ type }: SpecField, value: unknown): unknown {
  if (type === 'E') return ENUM[value as number] ?? String(value);
  if (type === 'T') return Number((value as Json)['seconds']) * 1_000 + Math.floor(((value as Json)['nanos'] as number) / 1e6);
  if (type === 'W') return (value as Json)['value'];
  if (IS_LONG.test(type)) return BigInt(value as string);
  return value instanceof Uint8Array ? new Uint8Array(value) : value;
}

/** An object in a list: messages in it are text. */
function modelElement(field: SpecField, value: unknown): unknown {
  const { message } = field;
  if (message === undefined) return modelOne(field, value);
  return Object.fromEntries(
    inOrder(message).map((member) => {
      const own = (value as Json)[member.name];
      const { name, label } = member;
      if (label === 'repeated') return [name, ((own ?? []) as unknown[]).map((item) => modelElement(member, item))];
      if (label === 'map') return [name, modelMap(member, (own ?? {}) as Json)];
      if (member.message !== undefined) return [name, own === undefined ? null : modelJson(member, own)];
      if (own !== undefined) return [name, modelOne(member, own)];
      return [name, label === 'plain' && !isMessage(member) ? modelOne(member, defaultOf(member)) : null];
    }),
  );
}

function modelMap(field: SpecField, value: Json): string {
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}:${modelJson(field, item)}`)
    .join(',')}}`;
}

function modelJson(field: SpecField, value: unknown): string {
  const { message, type } = field;
  if (message === undefined) {
    const one = modelOne(field, value);
    if (one instanceof Uint8Array) return JSON.stringify(Buffer.from(one).toString('base64'));
    return IS_LONG.test(type) ? String(one) : JSON.stringify(one);
  }
  const members = inOrder(message).map((member) => {
    const { name, label } = member;
    const own = (value as Json)[name];
    const key = `${JSON.stringify(name)}:`;
    if (label === 'repeated') return `${key}[${((own ?? []) as unknown[]).map((item) => modelJson(member, item)).join(',')}]`;
    if (label === 'map') return `${key}${modelMap(member, (own ?? {}) as Json)}`;
    if (own !== undefined) return `${key}${modelJson(member, own)}`;
    return `${key}${label === 'plain' && member.message === undefined && !isMessage(member) ? modelJson(member, defaultOf(member)) : 'null'}`;
  });
  return `{${members.join(',')}}`;
}

/** A Timestamp or a wrapper, which may not be there. */
function isMessage({ type }: SpecField): boolean {
  return type === 'T' || type === 'W';
}
