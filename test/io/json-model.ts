/** What json(schema) makes of a record, told by JSON.parse: the model of its tests. */

import type { SchemaFields } from '../../core/index.ts';

export const REFUSED = Symbol('refused');
/** JSON.parse cannot tell: integers of 64 bits, which are read from the text. */
export const UNKNOWN = Symbol('unknown');
/** Doubles below it tell whether a number has a fraction. */
const EXACT_MAX = 2 ** 52;

/**
 * The row that a record gives, as JSON.parse tells it: what the codec promises. UNKNOWN stands where it
 * cannot tell.
 */
export function modelRow(fields: SchemaFields, bytes: Uint8Array): Record<string, unknown> | typeof REFUSED {
  let record: unknown;
  try {
    record = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return REFUSED;
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return REFUSED;
  const row: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(fields)) {
    const value = Object.hasOwn(record, name) ? (record as Record<string, unknown>)[name] : null;
    const held = value === null ? (type.nullable ? null : REFUSED) : modelValue(type.name, value);
    if (held === REFUSED) return REFUSED;
    row[name] = held;
  }
  return row;
}

function modelValue(type: string, value: unknown): unknown {
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
