/**
 * The text of a .proto file, to messages. protobufjs parses it, an optional peer that is loaded when a text is given.
 * Only what it has understood is taken; records are read and written here.
 */

import { createRequire } from 'node:module';
import { MillraceError, shown } from '../../core/index.ts';
import { type Building, isPackable, type ProtoField, type ProtoFiles, type ProtoKind, type ProtoMessage, protoEnum } from './descriptor.ts';

/** What is used of protobufjs. */
interface Reflection {
  readonly name: string;
  readonly fullName: string;
  readonly nestedArray?: readonly Reflection[];
}
interface TypeReflection extends Reflection {
  readonly fieldsArray: readonly FieldReflection[];
}
interface EnumReflection extends Reflection {
  readonly values: Readonly<Record<string, number>>;
}
interface FieldReflection {
  readonly name: string;
  readonly id: number;
  readonly type: string;
  readonly repeated: boolean;
  readonly required: boolean;
  readonly hasPresence: boolean;
  readonly packed: boolean;
  readonly map: boolean;
  readonly keyType?: string;
  readonly delimited?: boolean;
  readonly partOf: { readonly name: string; readonly fieldsArray: readonly unknown[] } | null;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly resolvedType: TypeReflection | EnumReflection | null;
}
interface Protobufjs {
  readonly Root: new () => Reflection & { resolveAll(): unknown; addJSON(json: object): unknown };
  readonly common: { get(file: string): { readonly nested: object } | null };
  parse(
    text: string,
    root: unknown,
    options: object,
  ): { readonly package?: string; readonly imports?: readonly string[]; readonly weakImports?: readonly string[] };
}

/**
 * @param text of the file with the message
 * @param imports texts of the files that it imports, by the names by which it does; those of google/protobuf are known
 * @throws MillraceError ERR_MILLRACE_SCHEMA when a text is no .proto, or imports what is not given; ERR_MILLRACE_OPTION
 * when protobufjs is missing
 */
export function readProtoText(text: string, imports: Readonly<Record<string, string>>): ProtoFiles {
  const { Root, common, parse } = load();
  const root = new Root();
  const seen = new Set<string>();
  let space = '';
  const read = (file: string, source: string): void => {
    if (/\b__proto__\b/.test(source)) throw refused(`${file} has the name __proto__, which protobufjs leaves out. Give a FileDescriptorSet`);
    let found: ReturnType<Protobufjs['parse']>;
    try {
      found = parse(source, root, { keepCase: true });
    } catch (cause) {
      throw refused(`${file} cannot be parsed: ${(cause as Error).message}`, cause);
    }
    if (file === 'the text') space = found.package ?? '';
    for (const name of [...(found.imports ?? []), ...(found.weakImports ?? [])]) {
      if (seen.has(name)) continue;
      seen.add(name);
      const known = common.get(name);
      if (Object.hasOwn(imports, name)) read(name, imports[name] as string);
      else if (known !== null && known !== undefined) root.addJSON(known.nested);
      else if (name !== 'google/protobuf/descriptor.proto')
        throw refused(`${file} imports ${shown(name)}, which is not given: imports: { ${shown(name)}: '...' }`);
    }
  };
  read('the text', text);
  // What is imported by the first file is not at its top.
  const own = new Root();
  parse(text, own, { keepCase: true });
  try {
    root.resolveAll();
  } catch (cause) {
    throw refused(`a type cannot be found: ${(cause as Error).message}`, cause);
  }
  const made: Building = { messages: new Map(), enums: new Map(), indexes: new Map() };
  const later: (() => void)[] = [];
  walk(root, [], made, later);
  for (const fill of later) fill();
  const at = (from: Reflection, names: readonly string[]): Reflection | undefined =>
    names.reduce<Reflection | undefined>((inner, name) => inner?.nestedArray?.find((one) => one.name === name), from);
  const top = (at(own, space === '' ? [] : space.split('.'))?.nestedArray ?? [])
    .filter(isType)
    .map(({ fullName }) => made.messages.get(bare(fullName)) as ProtoMessage);
  for (const [index, message] of top.entries()) renumber(message.name, [index], made);
  return { messages: made.messages, top, indexes: made.indexes };
}

/** Loaded when a text is given, so that nobody needs it who has a descriptor. */
function load(): Protobufjs {
  try {
    return createRequire(import.meta.url)('protobufjs') as Protobufjs;
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      'protobuf() reads the text of a .proto file with the package protobufjs, which is not there: npm i protobufjs. A FileDescriptorSet needs none.',
      {
        cause,
      },
    );
  }
}

function isType(of: Reflection): of is TypeReflection {
  return (of as Partial<TypeReflection>).fieldsArray !== undefined && (of as { readonly values?: unknown }).values === undefined;
}

function isEnum(of: Reflection): of is EnumReflection {
  return (of as Partial<EnumReflection>).values !== undefined;
}

function bare(fullName: string): string {
  return fullName.replace(/^\./, '');
}

function walk(of: Reflection, index: readonly number[], made: Building, later: (() => void)[]): void {
  let messages = 0;
  for (const inner of of.nestedArray ?? []) {
    const name = bare(inner.fullName);
    if (isEnum(inner)) made.enums.set(name, protoEnum(name, Object.entries(inner.values)));
    else if (isType(inner)) {
      const message = { name, isMapEntry: false, fields: [] as ProtoField[] };
      made.messages.set(name, message);
      made.indexes.set(name, [...index, messages]);
      later.push(() => message.fields.push(...inner.fieldsArray.map((field) => fieldOf(field, name, made))));
      walk(inner, [...index, messages++], made, later);
    } else walk(inner, index, made, later);
  }
}

/** Numbers messages anew, of which that of `name` is `index` in its file. */
function renumber(name: string, index: readonly number[], { indexes }: Building): void {
  const old = indexes.get(name) as readonly number[];
  for (const [other, at] of indexes) if (other === name || other.startsWith(`${name}.`)) indexes.set(other, [...index, ...at.slice(old.length)]);
}

function fieldOf(field: FieldReflection, owner: string, made: Building): ProtoField {
  const { name, id, type, resolvedType, map } = field;
  const kind = kindOf(field);
  const message = resolvedType !== null && isType(resolvedType) ? made.messages.get(bare(resolvedType.fullName)) : undefined;
  const enumeration = resolvedType !== null && isEnum(resolvedType) ? made.enums.get(bare(resolvedType.fullName)) : undefined;
  const isRepeated = field.repeated || map;
  const isProto3Optional = field.options?.['proto3_optional'] === true;
  const own = { name, number: id, isRepeated, isRequired: field.required, oneof: field.partOf === null || isProto3Optional ? undefined : field.partOf.name };
  if (!map) {
    const isPacked = field.repeated && field.packed && isPackable(kind);
    return { ...own, kind, hasPresence: !isRepeated && (field.hasPresence || message !== undefined), isPacked, message, enum: enumeration };
  }
  const plain = { isRepeated: false, isRequired: false, isPacked: false, oneof: undefined };
  const key: ProtoField = { ...plain, name: 'key', number: 1, kind: field.keyType as ProtoKind, hasPresence: false, message: undefined, enum: undefined };
  const value: ProtoField = { ...plain, name: 'value', number: 2, kind, hasPresence: message !== undefined, message, enum: enumeration };
  const entry: ProtoMessage = { name: `${owner}.${type}Entry`, isMapEntry: true, fields: [key, value] };
  return { ...own, kind: 'message', hasPresence: false, isPacked: false, message: entry, enum: undefined };
}

function kindOf({ type, resolvedType, delimited }: FieldReflection): ProtoKind {
  if (resolvedType === null) return type as ProtoKind;
  return isEnum(resolvedType) ? 'enum' : delimited === true ? 'group' : 'message';
}

function refused(why: string, cause?: unknown): MillraceError {
  return new MillraceError('ERR_MILLRACE_SCHEMA', `protobuf(): ${why}.`, { cause });
}
