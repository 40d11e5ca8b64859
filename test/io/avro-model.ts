/**
 * Random schemas of Avro with random values, and what they have to become, for the tests of the codec: a model that
 * shares nothing with it. avsc writes the bytes.
 */

import avsc from 'avsc';

export type Json = { readonly [name: string]: unknown };

/** A small generator of numbers, so that one seed gives one schema and its values. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  int(count: number): number {
    return Math.floor(this.next() * count);
  }

  of<T>(items: readonly T[]): T {
    return items[this.int(items.length)] as T;
  }
}

const PRIMITIVES = ['boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;
let names = 0;

export function randomRecord(dice: Dice, depth = 0): Json {
  const fields = Array.from({ length: 1 + dice.int(5) }, (_, i) => ({ name: `f${i}`, type: randomType(dice, depth + 1) }));
  return { type: 'record', name: `R${names++}`, namespace: dice.of(['shop', 'a.b']), fields };
}

/** One whose fields are numbers, texts and bytes, nullable or not, in structs or not. */
export function flatRecord(dice: Dice, depth = 0): Json {
  const of = (): unknown => {
    if (depth === 0 && dice.int(6) === 0) return flatRecord(dice, 1);
    const plain = dice.int(6) === 0 ? { type: 'fixed', name: `F${names++}`, size: dice.int(9) } : dice.of(PRIMITIVES);
    return [plain, ['null', plain], [plain, 'null']][dice.int(3)];
  };
  return { type: 'record', name: `R${names++}`, fields: Array.from({ length: 1 + dice.int(6) }, (_, i) => ({ name: `f${i}`, type: of() })) };
}

function randomType(dice: Dice, depth: number): unknown {
  const kind = dice.int(depth > 3 ? 9 : 14);
  if (kind < 7) return dice.of(PRIMITIVES);
  if (kind === 7) return { type: 'enum', name: `E${names++}`, symbols: ['RED', 'GREEN', 'BLUE'] };
  if (kind === 8) return { type: 'fixed', name: `F${names++}`, size: dice.int(9) };
  if (kind === 9) return { type: 'array', items: randomType(dice, depth + 1) };
  if (kind === 10) return { type: 'map', values: randomType(dice, depth + 1) };
  if (kind === 11) return randomRecord(dice, depth + 1);
  if (kind === 12) {
    const inner = notUnion(dice, depth);
    return dice.int(2) === 0 ? ['null', inner] : [inner, 'null'];
  }
  const branches = new Map<string, unknown>();
  for (let i = 0; i < 3; i++) {
    const branch = dice.int(4) === 0 ? 'null' : notUnion(dice, depth);
    branches.set(branchOf(branch), branch);
  }
  return [...branches.values()];
}

function notUnion(dice: Dice, depth: number): unknown {
  for (;;) {
    const type = randomType(dice, depth + 1);
    if (!Array.isArray(type)) return type;
  }
}

export function branchOf(type: unknown): string {
  if (typeof type === 'string') return type;
  const { type: kind, name, namespace } = type as { type: string; name?: string; namespace?: string };
  return name === undefined ? kind : namespace === undefined ? name : `${namespace}.${name}`;
}

const TEXTS = ['', 'a', 'page "1"\n', 'Grüße', '\u0001\u001f', '日本', '😀', 'x'.repeat(70)];
const NUMBERS = [0, 1, -1, 0.5, 1e300, -1.5e-7, 123_456_789.25];

/** A value as avsc takes it, unions wrapped. The names of types in a union are by their full names. */
export function randomValue(type: unknown, dice: Dice, space = ''): unknown {
  if (Array.isArray(type)) {
    const branch = dice.of(type as unknown[]);
    return branch === 'null' ? null : { [full(branch, space)]: randomValue(branch, dice, space) };
  }
  const of = (typeof type === 'string' ? { type } : type) as Json;
  switch (of['type']) {
    case 'null':
      return null;
    case 'boolean':
      return dice.int(2) === 1;
    case 'int':
      return dice.of([0, 1, -1, 63, 64, -65, 2_147_483_647, -2_147_483_648, dice.int(1e6)]);
    case 'long':
      return dice.of([0n, -1n, 127n, -128n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, 2n ** 31n, -(2n ** 31n) - 1n, BigInt(dice.int(1e9)) ** 2n]);
    case 'float':
      return Math.fround(dice.of(NUMBERS.filter((value) => Math.abs(value) < 1e30)));
    case 'double':
      return dice.of(NUMBERS);
    case 'bytes':
      return Buffer.from(Array.from({ length: dice.int(6) }, () => dice.int(256)));
    case 'string':
      return dice.of(TEXTS);
    case 'enum':
      return dice.of(of['symbols'] as string[]);
    case 'fixed':
      return Buffer.from(Array.from({ length: of['size'] as number }, () => dice.int(256)));
    case 'array':
      return Array.from({ length: dice.int(4) }, () => randomValue(of['items'], dice, space));
    case 'map':
      return Object.fromEntries(Array.from({ length: dice.int(4) }, (_, i) => [dice.of([`k${i}`, `"${i}"`, `ü${i}`]), randomValue(of['values'], dice, space)]));
    default: {
      const own = (of['namespace'] as string | undefined) ?? space;
      return Object.fromEntries((of['fields'] as { name: string; type: unknown }[]).map(({ name, type: inner }) => [name, randomValue(inner, dice, own)]));
    }
  }
}

/** Names without a namespace are in that of the record around them. */
function full(type: unknown, space: string): string {
  const name = branchOf(type);
  const isNamed = typeof type === 'object' && (type as { name?: string }).name !== undefined;
  return isNamed && !name.includes('.') && space !== '' ? `${space}.${name}` : name;
}

/** The members of a row that a record has to give. */
export function modelRow(record: Json, value: Json | null): Json {
  return Object.fromEntries(
    (record['fields'] as { name: string; type: unknown }[]).map(({ name, type }) => [name, modelColumn(type, value === null ? null : value[name], record)]),
  );
}

function modelColumn(type: unknown, value: unknown, around: Json): unknown {
  const branches = Array.isArray(type) ? (type as unknown[]).filter((branch) => branch !== 'null') : [type];
  if (branches.length !== 1) return value === null ? null : modelJson(type, value);
  const [sole] = branches;
  const own = Array.isArray(type) && value !== null ? Object.values(value as object)[0] : value;
  const of = (typeof sole === 'string' ? { type: sole } : sole) as Json;
  if (of['type'] === 'record') return modelRow(of, own as Json | null);
  if (own === null || own === undefined) return null;
  if (of['type'] === 'array') return (own as unknown[]).map((item) => modelElement(of['items'], item, around));
  if (of['type'] === 'map') return modelJson(sole, own);
  return own instanceof Uint8Array ? new Uint8Array(own) : own;
}

function modelElement(type: unknown, value: unknown, around: Json): unknown {
  if (!Array.isArray(type)) {
    const of = (typeof type === 'string' ? { type } : type) as Json;
    if (of['type'] === 'record')
      return Object.fromEntries(
        (of['fields'] as { name: string; type: unknown }[]).map(({ name, type: inner }) => [name, modelElement(inner, (value as Json)[name], of)]),
      );
    return modelColumn(type, value, around);
  }
  const [sole, ...more] = (type as unknown[]).filter((branch) => branch !== 'null');
  if (value === null) return null;
  if (more.length > 0 || sole === undefined) return modelJson(type, value);
  const inner = (type as unknown[]).length === 1 ? Object.values(value as object)[0] : Object.values(value as object)[0];
  const isRecord = typeof sole === 'object' && (sole as Json)['type'] === 'record';
  // A struct in a list cannot be null as a whole, so it is text.
  if (isRecord && (type as unknown[]).length > 1) return modelJson(sole, inner);
  return modelElement(sole, inner, around);
}

/** The JSON of a value: unions of several types with the name of the type. */
function modelJson(type: unknown, value: unknown): string {
  if (Array.isArray(type)) {
    if (value === null) return 'null';
    const [name, inner] = Object.entries(value as object)[0] as [string, unknown];
    const branches = (type as unknown[]).filter((branch) => branch !== 'null');
    const branch = branches.find((other) => name === branchOf(other) || name.endsWith(`.${branchOf(other)}`));
    return branches.length === 1 ? modelJson(branch, inner) : `{${JSON.stringify(name)}:${modelJson(branch, inner)}}`;
  }
  const of = (typeof type === 'string' ? { type } : type) as Json;
  switch (of['type']) {
    case 'array':
      return `[${(value as unknown[]).map((item) => modelJson(of['items'], item)).join(',')}]`;
    case 'map':
      return `{${Object.entries(value as object)
        .map(([key, item]) => `${JSON.stringify(key)}:${modelJson(of['values'], item)}`)
        .join(',')}}`;
    case 'record':
      return `{${(of['fields'] as { name: string; type: unknown }[]).map(({ name, type: inner }) => `${JSON.stringify(name)}:${modelJson(inner, (value as Json)[name])}`).join(',')}}`;
    case 'bytes':
    case 'fixed':
      return JSON.stringify(Buffer.from(value as Uint8Array).toString('base64'));
    case 'long':
      return String(value);
    default:
      return JSON.stringify(value);
  }
}

/** avsc with longs that are bigints, and unions with the names of their types. */
export function modelType(schema: unknown): avsc.Type {
  const long = avsc.types.LongType.__with({
    fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
    toBuffer: (value: bigint) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigInt64LE(value);
      return buffer;
    },
    fromJSON: (value: number) => BigInt(value),
    toJSON: (value: bigint) => Number(value),
    isValid: (value: unknown) => typeof value === 'bigint',
    compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
  });
  return avsc.Type.forSchema(structuredClone(schema) as avsc.Schema, { registry: { long }, wrapUnions: true });
}
