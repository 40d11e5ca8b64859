/** What json(schema) makes of a record, told by JSON.parse: the model of its tests. */

import { type DataType, type ElementType, isType, type SchemaFields } from '../../core/index.ts';

export const REFUSED = Symbol('refused');
/** JSON.parse cannot tell: integers of 64 bits, which are read from the text. */
export const UNKNOWN = Symbol('unknown');
/** Doubles below it tell whether a number has a fraction. */
const EXACT_MAX = 2 ** 52;

export interface ModelOptions {
  readonly from?: Readonly<Record<string, string | readonly string[]>>;
  readonly defaults?: Readonly<Record<string, unknown>>;
  readonly unit?: string;
}

/**
 * The row that a record gives, as JSON.parse tells it: what the codec promises. UNKNOWN stands where it
 * cannot tell.
 *
 * @param given the record's bytes, or what JSON.parse has made of it
 */
export function modelRow(fields: SchemaFields, given: Uint8Array | object, options: ModelOptions = {}): Record<string, unknown> | typeof REFUSED {
  let record: unknown = given;
  if (given instanceof Uint8Array) {
    try {
      record = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(given));
    } catch {
      return REFUSED;
    }
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return REFUSED;
  return modelMembers(fields, record, options, [], options.defaults ?? {});
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** `path`: of the struct that the fields are members of. */
function modelMembers(
  fields: SchemaFields,
  record: object,
  options: ModelOptions,
  path: readonly string[],
  defaults: Readonly<Record<string, unknown>>,
): Record<string, unknown> | typeof REFUSED {
  const row: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(fields)) {
    if (!isType(type)) {
      const members = modelMembers(type, record, options, [...path, name], (defaults[name] ?? {}) as Record<string, unknown>);
      if (members === REFUSED) return REFUSED;
      row[name] = members;
      continue;
    }
    const from = options.from?.[[...path, name].join('.')];
    const way = typeof from === 'string' ? from.split('.') : (from ?? (path.length > 0 ? [...path, name] : name.split('.')));
    const plain = typeof from === 'string' ? from : from === undefined && path.length === 0 ? name : undefined;
    let value: unknown;
    if (plain !== undefined && Object.hasOwn(record, plain)) value = (record as Record<string, unknown>)[plain];
    else {
      let at: unknown = record;
      for (const key of way) {
        if (at === null || at === undefined) at = undefined;
        else if (!isObject(at)) return REFUSED;
        else at = Object.hasOwn(at, key) ? at[key] : undefined;
      }
      value = at;
    }
    if (value === undefined && defaults[name] !== undefined) value = defaults[name];
    else if (value === undefined) value = type.json && !type.nullable ? undefined : null;
    else if (value === null && !type.nullable && defaults[name] !== undefined) value = defaults[name];
    const held =
      value === undefined
        ? REFUSED
        : value === null && (type.nullable || !type.json)
          ? type.nullable
            ? null
            : REFUSED
          : modelValue(type, value, options.unit ?? 'ms');
    if (held === REFUSED) return REFUSED;
    row[name] = held;
  }
  return row;
}

function modelElement(element: ElementType, value: unknown): unknown {
  if (isType(element)) {
    if (value === null || value === undefined) return element.nullable ? null : REFUSED;
    if (element.name === 'i64') return Number.isSafeInteger(value) ? BigInt(value as number) : REFUSED;
    const held = modelValue(element, value, 'ms');
    // Lists have no -0, and no number that JSON has not.
    if (typeof held !== 'number') return held;
    return Number.isFinite(held) ? held + 0 : element.nullable ? null : Number.NaN;
  }
  if (!isObject(value)) return REFUSED;
  const row: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(element)) {
    row[name] = modelElement(member as ElementType, Object.hasOwn(value, name) ? value[name] : undefined);
    if (row[name] === REFUSED) return REFUSED;
  }
  return row;
}

function modelValue(of: DataType, value: unknown, unit: string): unknown {
  const { name: type, element } = of;
  if (of.json) return JSON.stringify(value);
  if (element !== undefined) {
    if (!Array.isArray(value)) return REFUSED;
    const held = value.map((each) => modelElement(element, each));
    return held.includes(REFUSED) ? REFUSED : held;
  }
  const integer = (min: number, max: number): unknown =>
    typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value + 0 : REFUSED;
  switch (type) {
    case 'utf8':
      return typeof value === 'string' ? new TextDecoder().decode(new TextEncoder().encode(`x${value}`)).slice(1) : REFUSED;
    case 'f64':
      return typeof value === 'number' ? value : REFUSED;
    case 'f32':
      return typeof value === 'number' ? Math.fround(value) : REFUSED;
    case 'bool':
      return typeof value === 'boolean' ? value : REFUSED;
    case 'i8':
      return integer(-128, 127);
    case 'i16':
      return integer(-32768, 32767);
    case 'i32':
      return integer(-(2 ** 31), 2 ** 31 - 1);
    case 'u32':
      return integer(0, 2 ** 32 - 1);
    case 'timestamp':
      if (typeof value === 'number' && unit === 's') return Number.isSafeInteger(secondsMs(value)) ? secondsMs(value) : REFUSED;
      return typeof value === 'number'
        ? Number.isSafeInteger(Math.floor(value))
          ? Math.floor(value) + 0
          : REFUSED
        : typeof value === 'string'
          ? modelTime(value)
          : REFUSED;
    case 'binary':
      return typeof value === 'string' ? modelBase64(value) : REFUSED;
    case 'i64':
      return typeof value !== 'number' || (Math.abs(value) < EXACT_MAX && !Number.isInteger(value)) ? REFUSED : UNKNOWN;
    default:
      throw new Error(type);
  }
}

/** Milliseconds of seconds, by the digits that JavaScript writes. */
function secondsMs(seconds: number): number {
  const [, sign, whole = '', fraction = '', exponent = '0'] = /^(-?)(\d+)\.?(\d*)(?:e([+-]\d+))?$/.exec(String(seconds)) ?? [];
  if (whole === '') return Number.NaN;
  const scale = Number(exponent) + 3 - fraction.length;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  if (scale >= 0) return Number(digits * 10n ** BigInt(scale)) + 0;
  const by = 10n ** BigInt(-scale);
  return Number(digits / by - (digits < 0n && digits % by !== 0n ? 1n : 0n));
}

function modelTime(text: string): unknown {
  const parts = /^(\d{4}|[+-]\d{6})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?([Zz]|[+-]\d\d:?\d\d)?)?$/.exec(text);
  if (!parts || text.startsWith('-000000')) return REFUSED;
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] = parts as unknown as string[];
  if (Number(hour) > 23) return REFUSED;
  const offset = zone.toUpperCase() === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${`${fraction}000`.slice(0, 3)}Z`);
  if (Number.isNaN(ms) || new Date(ms).getUTCDate() !== Number(day)) return REFUSED;
  if (offset === 'Z') return ms;
  const [hours, minutes] = [Number(offset.slice(1, 3)), Number(offset.slice(4))];
  return hours > 23 || minutes > 59 ? REFUSED : ms - (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

function modelBase64(text: string): unknown {
  const standard = text.replaceAll('-', '+').replaceAll('_', '/');
  const bare = text.length % 4 === 0 ? standard.replace(/={1,2}$/, '') : standard;
  const bytes = Buffer.from(bare, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === bare ? new Uint8Array(bytes) : REFUSED;
}
