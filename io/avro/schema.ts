/**
 * Schemas of Avro 1.12: from their JSON to a tree of types, checked, names resolved. A type that contains itself is
 * a circle in the tree. The fingerprint of a schema is that of its Parsing Canonical Form.
 */

import { MillraceError, shown } from '../../core/index.ts';

export type AvroPrimitive = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string';

/** Logical types that are understood; others are as if they were not there, as the specification has it. */
export type AvroLogical =
  | 'date'
  | 'time-millis'
  | 'time-micros'
  | 'timestamp-millis'
  | 'timestamp-micros'
  | 'timestamp-nanos'
  | 'local-timestamp-millis'
  | 'local-timestamp-micros'
  | 'local-timestamp-nanos'
  | 'uuid'
  | 'decimal';

export interface AvroField {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: AvroType;
  /** JSON of the default, parsed; undefined: there is none. */
  readonly default: unknown;
}

/** One type. Which members it has is up to `kind`. */
export interface AvroType {
  readonly kind: AvroPrimitive | 'record' | 'enum' | 'fixed' | 'array' | 'map' | 'union';
  readonly logical?: AvroLogical | undefined;
  /** Of a decimal. */
  readonly precision?: number;
  readonly scale?: number;
  /** Full name of a record, an enum or a fixed, and the full names by which it is known, too. */
  readonly name?: string;
  readonly aliases?: readonly string[];
  /** Of a record. */
  readonly fields?: readonly AvroField[];
  /** Of an enum; `symbolDefault` stands for symbols that are not in it. */
  readonly symbols?: readonly string[];
  readonly symbolDefault?: string | undefined;
  /** Of a fixed, in bytes. */
  readonly size?: number;
  /** Of an array or a map. */
  readonly items?: AvroType;
  /** Of a union. */
  readonly branches?: readonly AvroType[];
}

const PRIMITIVES: ReadonlySet<string> = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string']);
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Which types carry a logical type. */
const CARRIERS: Readonly<Record<AvroLogical, readonly string[]>> = {
  date: ['int'],
  'time-millis': ['int'],
  'time-micros': ['long'],
  'timestamp-millis': ['long'],
  'timestamp-micros': ['long'],
  'timestamp-nanos': ['long'],
  'local-timestamp-millis': ['long'],
  'local-timestamp-micros': ['long'],
  'local-timestamp-nanos': ['long'],
  uuid: ['string', 'fixed'],
  decimal: ['bytes', 'fixed'],
};
const UUID_BYTES = 16;
/** Deeper schemas are refused: their types are walked by recursion. */
const DEPTH_MAX = 64;

type Json = Readonly<Record<string, unknown>>;
type Building = { -readonly [K in keyof AvroType]: AvroType[K] };

/**
 * @param what whose schema it is, as messages begin: `avro()`
 * @param schema as parsed JSON, or its text; a name alone stands for a primitive type
 * @param known named types that the schema may refer to (the references of a registry); types of this schema are added
 * @throws MillraceError ERR_MILLRACE_SCHEMA when it is no schema
 */
export function parseAvroSchema(what: string, schema: unknown, known: Map<string, AvroType> = new Map()): AvroType {
  let json = schema;
  if (typeof schema === 'string' && !PRIMITIVES.has(schema)) {
    try {
      json = JSON.parse(schema);
    } catch (error) {
      throw refused(what, `the text ${shown(schema)} is no JSON`, error);
    }
  }
  return new Parser(what, known).type(json, '', 0);
}

function refused(what: string, why: string, cause?: unknown): MillraceError {
  return new MillraceError('ERR_MILLRACE_SCHEMA', `${what}: ${why}. Give an Avro schema, such as { type: 'record', name: 'Click', fields: [...] }.`, { cause });
}

class Parser {
  readonly #what: string;
  readonly #named: Map<string, AvroType>;

  constructor(what: string, named: Map<string, AvroType>) {
    this.#what = what;
    this.#named = named;
  }

  /** @param space the namespace around it */
  type(json: unknown, space: string, depth: number): AvroType {
    if (depth > DEPTH_MAX) throw refused(this.#what, `the schema has more than ${DEPTH_MAX} types inside one another`);
    if (typeof json === 'string') return this.#byName(json, space);
    if (Array.isArray(json)) return this.#union(json, space, depth);
    if (typeof json !== 'object' || json === null) throw refused(this.#what, `${shown(json)} is no type`);
    const of = json as Json;
    const { type } = of;
    if (type === 'record' || type === 'error') return this.#record(of, space, depth);
    if (type === 'enum') return this.#enum(of, space);
    if (type === 'fixed') return this.#fixed(of, space);
    if (type === 'array') return { kind: 'array', items: this.#inner(of, 'items', space, depth) };
    if (type === 'map') return { kind: 'map', items: this.#inner(of, 'values', space, depth) };
    const inner = this.type(type, space, depth + 1);
    // { type: 'long', logicalType: 'timestamp-millis' }, and needless braces: { type: { type: 'string' } }.
    return PRIMITIVES.has(inner.kind) ? { ...inner, ...logicalOf(of, inner.kind, undefined) } : inner;
  }

  #byName(name: string, space: string): AvroType {
    if (PRIMITIVES.has(name)) return { kind: name as AvroPrimitive };
    const found = this.#named.get(fullName(name, space)) ?? this.#named.get(name);
    if (found === undefined) throw refused(this.#what, `the type ${shown(name)} is defined nowhere before it is used`);
    return found;
  }

  #inner(of: Json, member: string, space: string, depth: number): AvroType {
    if (of[member] === undefined) throw refused(this.#what, `the ${String(of['type'])} ${shown(of)} has no ${member}`);
    return this.type(of[member], space, depth + 1);
  }

  #union(json: readonly unknown[], space: string, depth: number): AvroType {
    const branches = json.map((branch) => this.type(branch, space, depth + 1));
    if (branches.length === 0) throw refused(this.#what, 'a union has no types');
    const keys = new Set<string>();
    for (const branch of branches) {
      if (branch.kind === 'union') throw refused(this.#what, 'a union is in a union, which Avro does not know');
      const key = branchName(branch);
      if (keys.has(key)) throw refused(this.#what, `a union has ${shown(key)} twice`);
      keys.add(key);
    }
    return { kind: 'union', branches };
  }

  #define(of: Json, space: string, kind: 'record' | 'enum' | 'fixed'): { readonly type: Building; readonly space: string } {
    const { name, namespace, aliases = [] } = of;
    if (typeof name !== 'string') throw refused(this.#what, `a ${kind} has the name ${shown(name)}`);
    if (namespace !== undefined && namespace !== null && typeof namespace !== 'string')
      throw refused(this.#what, `${shown(name)} has the namespace ${shown(namespace)}`);
    const full = fullName(name, typeof namespace === 'string' ? namespace : space);
    if (!full.split('.').every((part) => NAME.test(part))) throw refused(this.#what, `${shown(full)} is no name of a type`);
    if (PRIMITIVES.has(full)) throw refused(this.#what, `a ${kind} has the name of a primitive type: ${shown(full)}`);
    if (this.#named.has(full)) throw refused(this.#what, `the type ${shown(full)} is defined twice`);
    const own = full.slice(0, Math.max(0, full.lastIndexOf('.')));
    const type: Building = { kind, name: full, aliases: namesOf(this.#what, full, aliases).map((alias) => fullName(alias, own)) };
    this.#named.set(full, type);
    return { type, space: own };
  }

  #record(of: Json, space: string, depth: number): AvroType {
    const { type, space: own } = this.#define(of, space, 'record');
    const { fields } = of;
    if (!Array.isArray(fields)) throw refused(this.#what, `the record ${type.name} has the fields ${shown(fields)}`);
    const seen = new Set<string>();
    type.fields = fields.map((field: unknown): AvroField => {
      if (typeof field !== 'object' || field === null) throw refused(this.#what, `the record ${type.name} has the field ${shown(field)}`);
      const { name, type: inner, aliases = [] } = field as Json;
      if (typeof name !== 'string' || !NAME.test(name)) throw refused(this.#what, `the record ${type.name} has a field with the name ${shown(name)}`);
      if (seen.has(name)) throw refused(this.#what, `the record ${type.name} has two fields ${shown(name)}`);
      seen.add(name);
      const made = this.type(inner, own, depth + 1);
      // Some writers put the logical type beside the type: { name: 'at', type: 'long', logicalType: 'timestamp-millis' }. It is none then.
      return { name, aliases: namesOf(this.#what, `${type.name}.${name}`, aliases), type: made, default: (field as Json)['default'] };
    });
    return type;
  }

  #enum(of: Json, space: string): AvroType {
    const { type } = this.#define(of, space, 'enum');
    const { symbols, default: other } = of;
    if (!Array.isArray(symbols) || !symbols.every((symbol) => typeof symbol === 'string' && NAME.test(symbol)) || new Set(symbols).size !== symbols.length)
      throw refused(this.#what, `the enum ${type.name} has the symbols ${shown(symbols)}`);
    if (other !== undefined && !symbols.includes(other))
      throw refused(this.#what, `the enum ${type.name} has the default ${shown(other)}, which is no symbol of it`);
    type.symbols = symbols as string[];
    type.symbolDefault = other as string | undefined;
    return type;
  }

  #fixed(of: Json, space: string): AvroType {
    const { type } = this.#define(of, space, 'fixed');
    const { size } = of;
    if (typeof size !== 'number' || !Number.isInteger(size) || size < 0 || size > 0x7fff_ffff)
      throw refused(this.#what, `the fixed ${type.name} has the size ${shown(size)}`);
    type.size = size;
    return Object.assign(type, logicalOf(of, 'fixed', size));
  }
}

/** What is no valid logical type is none. */
function logicalOf(of: Json, kind: string, size: number | undefined): Pick<AvroType, 'logical' | 'precision' | 'scale'> {
  const { logicalType, precision, scale = 0 } = of;
  if (typeof logicalType !== 'string' || !Object.hasOwn(CARRIERS, logicalType)) return {};
  const logical = logicalType as AvroLogical;
  if (!CARRIERS[logical].includes(kind)) return {};
  if (logical === 'uuid' && kind === 'fixed' && size !== UUID_BYTES) return {};
  if (logical !== 'decimal') return { logical };
  const isWhole = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value);
  if (!isWhole(precision) || !isWhole(scale) || precision < 1 || scale < 0 || scale > precision) return {};
  return { logical, precision, scale };
}

function namesOf(what: string, owner: string, names: unknown): readonly string[] {
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names as string[];
  throw refused(what, `${owner} has the aliases ${shown(names)}`);
}

function fullName(name: string, space: string): string {
  return name.includes('.') || space === '' ? name : `${space}.${name}`;
}

/** The last part of a full name. */
export function bareName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** How a branch of a union is named: that of a named type by its full name, others by their kind. */
export function branchName(type: AvroType): string {
  return type.name ?? type.kind;
}

/** Whether it may be null. */
export function isUnionOfNull(type: AvroType): boolean {
  return type.kind === 'union' && (type.branches as readonly AvroType[]).some((branch) => branch.kind === 'null');
}

/** The one branch of a union besides null; undefined: it has more than one, or none. */
export function soleBranch(type: AvroType): AvroType | undefined {
  const others = (type.branches as readonly AvroType[]).filter((branch) => branch.kind !== 'null');
  return others.length === 1 ? others[0] : undefined;
}

const UNITS: Readonly<Record<string, number>> = { millis: 1, micros: 1_000, nanos: 1_000_000 };

/** Of an instant's logical type, how many of its unit are a millisecond; undefined: it is no instant. */
export function unitOf(logical: string | undefined): number | undefined {
  return logical?.includes('timestamp') ? UNITS[logical.slice(logical.lastIndexOf('-') + 1)] : undefined;
}

/** The Parsing Canonical Form: what is left of a schema when all is taken away that does not matter to reading. */
export function canonicalForm(type: AvroType, seen: Set<string> = new Set()): string {
  const { kind, name } = type;
  if (name !== undefined) {
    if (seen.has(name)) return JSON.stringify(name);
    seen.add(name);
  }
  switch (kind) {
    case 'record': {
      const fields = (type.fields as readonly AvroField[]).map((field) => `{"name":${JSON.stringify(field.name)},"type":${canonicalForm(field.type, seen)}}`);
      return `{"name":${JSON.stringify(name)},"type":"record","fields":[${fields.join(',')}]}`;
    }
    case 'enum':
      return `{"name":${JSON.stringify(name)},"type":"enum","symbols":${JSON.stringify(type.symbols)}}`;
    case 'fixed':
      return `{"name":${JSON.stringify(name)},"type":"fixed","size":${type.size}}`;
    case 'array':
      return `{"type":"array","items":${canonicalForm(type.items as AvroType, seen)}}`;
    case 'map':
      return `{"type":"map","values":${canonicalForm(type.items as AvroType, seen)}}`;
    case 'union':
      return `[${(type.branches as readonly AvroType[]).map((branch) => canonicalForm(branch, seen)).join(',')}]`;
    default:
      return JSON.stringify(kind);
  }
}

const EMPTY = 0xc15d_213a_a4d7_a795n;
let table: BigUint64Array | undefined;

/** CRC-64-AVRO of the schema's canonical form: the Rabin fingerprint by which single-object encoding names it. */
export function fingerprint(type: AvroType): bigint {
  if (table === undefined) {
    table = new BigUint64Array(256);
    for (let i = 0; i < 256; i++) {
      let word = BigInt(i);
      for (let bit = 0; bit < 8; bit++) word = (word >> 1n) ^ (EMPTY & -(word & 1n) & 0xffff_ffff_ffff_ffffn);
      table[i] = word;
    }
  }
  let print = EMPTY;
  for (const byte of new TextEncoder().encode(canonicalForm(type))) print = (print >> 8n) ^ (table[Number((print ^ BigInt(byte)) & 0xffn)] as bigint);
  return print;
}
