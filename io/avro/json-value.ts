/**
 * Values that are JSON, to bytes of Avro: defaults as a schema has them, and the texts of lists and JSON columns.
 * This is off the hot path.
 */

import { type ElementType, elementTexts, isType, memberTexts, shown } from '../../core/index.ts';
import { WireWriter } from '../wire/writer.ts';
import { type AvroField, type AvroType, branchName, isUnionOfNull, soleBranch, unitOf } from './schema.ts';

const DAY_MS = 86_400_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A value that is none of the type; the message goes on behind the value's place. */
export class NoSuchValue extends Error {}

/** The bytes of a field's default; undefined: it is no value of the type. */
export function encodedDefault(type: AvroType, value: unknown): Uint8Array | undefined {
  const writer = new WireWriter();
  try {
    writeDefault(writer, type, value);
  } catch (error) {
    if (error instanceof NoSuchValue) return undefined;
    throw error;
  }
  return writer.bytes();
}

/** Bytes are texts of code points to 255; of a union it is the first branch that takes the value. */
function writeDefault(writer: WireWriter, type: AvroType, value: unknown): void {
  switch (type.kind) {
    case 'union': {
      const at = writer.at;
      for (const [index, branch] of (type.branches as readonly AvroType[]).entries()) {
        writer.at = at;
        writer.zigzag32(index);
        try {
          writeDefault(writer, branch, value);
          return;
        } catch (error) {
          if (!(error instanceof NoSuchValue)) throw error;
        }
      }
      throw new NoSuchValue('is of no type of the union');
    }
    case 'record':
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NoSuchValue('is no object');
      for (const { name, type: inner, default: other } of type.fields as readonly AvroField[]) {
        const own = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : other;
        if (own === undefined) throw new NoSuchValue(`has no ${shown(name)}`);
        writeDefault(writer, inner, own);
      }
      return;
    case 'array':
      if (!Array.isArray(value)) throw new NoSuchValue('is no array');
      writeBlock(writer, value, (item) => writeDefault(writer, type.items as AvroType, item));
      return;
    case 'map':
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NoSuchValue('is no object');
      writeBlock(writer, Object.entries(value), ([key, item]) => {
        writeText(writer, key);
        writeDefault(writer, type.items as AvroType, item);
      });
      return;
    case 'bytes':
    case 'fixed': {
      if (typeof value !== 'string' || /[^\0-\xff]/.test(value)) throw new NoSuchValue('is no text of bytes');
      const bytes = Buffer.from(value, 'latin1');
      writeBytes(writer, type, bytes);
      return;
    }
    default:
      writeScalar(writer, type, value, false);
  }
}

/**
 * The text of a value in a list or a JSON column.
 *
 * @param of what the list holds; undefined: any JSON
 * @throws NoSuchValue
 */
export function writeJsonValue(writer: WireWriter, type: AvroType, text: string, of: ElementType | undefined): void {
  if (of !== undefined && isType(of) && of.json && type.kind === 'string') {
    writeText(writer, text);
    return;
  }
  const element = of === undefined || !isType(of) ? undefined : of.element;
  switch (type.kind) {
    case 'union':
      writeUnion(writer, type, text, of);
      return;
    case 'array':
      if (text[0] !== '[') throw new NoSuchValue(`is ${shown(text)}, which is no array`);
      writeBlock(writer, elementTexts(text), (item) => writeJsonValue(writer, type.items as AvroType, item, element));
      return;
    case 'map':
      if (text[0] !== '{') throw new NoSuchValue(`is ${shown(text)}, which is no object`);
      writeBlock(writer, [...memberTexts(text)], ([key, item]) => {
        writeText(writer, key);
        writeJsonValue(writer, type.items as AvroType, item, undefined);
      });
      return;
    case 'record': {
      if (text[0] !== '{') throw new NoSuchValue(`is ${shown(text)}, which is no object`);
      const members = memberTexts(text);
      const fields = type.fields as readonly AvroField[];
      for (const name of members.keys())
        if (!fields.some((field) => field.name === name)) throw new NoSuchValue(`has ${shown(name)}, and the record ${type.name} does not`);
      for (const field of fields) {
        const member = members.get(field.name);
        const inner = of === undefined || isType(of) ? undefined : (of[field.name] as ElementType | undefined);
        if (member !== undefined) writeJsonValue(writer, field.type, member, inner);
        else if (field.default !== undefined) writeDefault(writer, field.type, field.default);
        else throw new NoSuchValue(`has no ${shown(field.name)}`);
      }
      return;
    }
    case 'long':
      if (/^-?\d+$/.test(text) && unitOf(type.logical) === undefined) {
        const value = BigInt(text);
        if (BigInt.asIntN(64, value) !== value) throw new NoSuchValue(`is ${text}, which is not within 64 bits`);
        writer.zigzagOf(value);
        return;
      }
      writeScalar(writer, type, JSON.parse(text), true);
      return;
    default:
      writeScalar(writer, type, JSON.parse(text), true);
      return;
  }
}

function writeUnion(writer: WireWriter, type: AvroType, text: string, of: ElementType | undefined): void {
  const branches = type.branches as readonly AvroType[];
  if (text === 'null') {
    if (!isUnionOfNull(type)) throw new NoSuchValue('is null, which the union does not have');
    writer.zigzag32(branches.findIndex(({ kind }) => kind === 'null'));
    return;
  }
  const sole = soleBranch(type);
  if (sole !== undefined) {
    writer.zigzag32(branches.indexOf(sole));
    writeJsonValue(writer, sole, text, of);
    return;
  }
  const [tagged, ...more] = text[0] === '{' ? [...memberTexts(text)] : [];
  const index = tagged === undefined || more.length > 0 ? -1 : branches.findIndex((branch) => branchName(branch) === tagged[0]);
  if (tagged === undefined || index < 0)
    throw new NoSuchValue(
      `is ${shown(text)}; a value of a union is an object with its type: {${JSON.stringify(branchName(branches[0] as AvroType))}: ...}, one of ${branches.map(branchName).join(', ')}`,
    );
  writer.zigzag32(index);
  writeJsonValue(writer, branches[index] as AvroType, tagged[1], undefined);
}

/** @param isColumn as columns have it: instants are milliseconds, bytes base64, decimals text */
function writeScalar(writer: WireWriter, type: AvroType, value: unknown, isColumn: boolean): void {
  const no = (): never => {
    throw new NoSuchValue(`is ${shown(value)}, which is no ${type.logical ?? type.name ?? type.kind}`);
  };
  const unit = unitOf(type.logical);
  switch (type.kind) {
    case 'null':
      value === null ? undefined : no();
      return;
    case 'boolean':
      typeof value === 'boolean' ? writer.byte(value ? 1 : 0) : no();
      return;
    case 'int': {
      const whole = isColumn && type.logical === 'date' && typeof value === 'number' ? Math.floor(value / DAY_MS) : value;
      typeof whole === 'number' && (whole | 0) === whole ? writer.zigzag32(whole) : no();
      return;
    }
    case 'long':
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
        no();
        return;
      }
      writer.zigzagOf(isColumn && unit !== undefined ? instantOf(value, unit) : value);
      return;
    case 'float':
    case 'double': {
      const number = value === null && isColumn ? Number.NaN : value;
      if (typeof number !== 'number') {
        no();
        return;
      }
      type.kind === 'float' ? writer.f32(number) : writer.f64(number);
      return;
    }
    case 'string':
      typeof value === 'string' ? writeText(writer, value) : no();
      return;
    case 'enum': {
      const index = (type.symbols as readonly unknown[]).indexOf(value);
      index < 0 ? no() : writer.zigzag32(index);
      return;
    }
    default:
      if (typeof value !== 'string') {
        no();
        return;
      }
      writeBytes(writer, type, type.logical === undefined ? Buffer.from(value, 'base64') : logicalBytes(type, value));
      return;
  }
}

/** The number that stands for milliseconds in a unit. */
export function instantOf(ms: number, unit: number): bigint {
  const value = BigInt(ms) * BigInt(unit);
  if (BigInt.asIntN(64, value) !== value) throw new NoSuchValue(`is ${ms} ms, which is not within 64 bits in its unit`);
  return value;
}

/** The bytes of a decimal's or a UUID's text. */
export function logicalBytes(type: AvroType, text: string): Uint8Array {
  if (type.logical === 'uuid') {
    if (!UUID.test(text)) throw new NoSuchValue(`is ${shown(text)}, which is no UUID`);
    return Buffer.from(text.replaceAll('-', ''), 'hex');
  }
  const { precision = 0, scale = 0 } = type;
  const [, sign, whole, fraction = ''] = /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined) throw new NoSuchValue(`is ${shown(text)}, which is no decimal`);
  const kept = fraction.replace(/0+$/, '');
  const digits = `${whole}${kept.padEnd(scale, '0')}`.replace(/^0+/, '');
  if (kept.length > scale || digits.length > precision) throw new NoSuchValue(`is ${text}, which is no decimal(${precision}, ${scale})`);
  return twosComplement(BigInt(`${digits || '0'}`) * (sign === '-' ? -1n : 1n), type.kind === 'fixed' ? (type.size as number) : 0);
}

/** Big endian, as few bytes as hold it, or `size` of them. */
function twosComplement(value: bigint, size: number): Uint8Array {
  let length = 1;
  while (BigInt.asIntN(length * 8, value) !== value) length++;
  if (size > 0 && length > size) throw new NoSuchValue(`takes ${length} bytes, and the fixed has ${size}`);
  const bytes = new Uint8Array(Math.max(length, size));
  let rest = value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(BigInt.asUintN(8, rest));
    rest >>= 8n;
  }
  return bytes;
}

function writeBytes(writer: WireWriter, type: AvroType, bytes: Uint8Array): void {
  if (type.kind === 'fixed') {
    if (bytes.length !== type.size) throw new NoSuchValue(`has ${bytes.length} bytes, and the fixed ${type.name} has ${type.size}`);
  } else writer.zigzag32(bytes.length);
  writer.copy(bytes, 0, bytes.length);
}

function writeText(writer: WireWriter, text: string): void {
  const bytes = Buffer.from(text);
  writer.zigzag32(bytes.length);
  writer.copy(bytes, 0, bytes.length);
}

function writeBlock<T>(writer: WireWriter, items: readonly T[], write: (item: T) => void): void {
  if (items.length > 0) {
    writer.zigzag32(items.length);
    for (const item of items) write(item);
  }
  writer.zigzag32(0);
}
