/**
 * Values of Protocol Buffers, written with their tags: numbers, bytes, instants, and what columns have as JSON. What is
 * JSON is off the hot path.
 */

import { type ElementType, elementTexts, isType, memberTexts, shown } from '../../core/index.ts';
import { WireWriter } from '../wire/writer.ts';
import { isWrapper } from './columns.ts';
import type { ProtoField, ProtoKind } from './descriptor.ts';
import { TIMESTAMP, WIRE, wireOf } from './wire.ts';

/** Bytes of one Timestamp. */
const INSTANT = new WireWriter();

/** A value that does not fit; the message goes on behind the column. */
export class Unfit extends Error {}

/** Writes the JSON of a field: of a list its items, of a map its entries, of a message its members. */
export function writeJson(writer: WireWriter, field: ProtoField, text: string, element: ElementType | undefined): void {
  if (text === 'null') return;
  const { message } = field;
  if (!field.isRepeated) {
    writeOne(writer, field, text, undefined);
    return;
  }
  if (message?.isMapEntry === true) {
    if (text[0] !== '{') throw new Unfit(`is ${shown(text)}, which is no object`);
    const [key, value] = message.fields as readonly [ProtoField, ProtoField];
    for (const [name, member] of memberTexts(text)) {
      const entry = new WireWriter();
      writeOne(entry, key, key.kind === 'string' ? JSON.stringify(name) : name, undefined);
      if (member !== 'null') writeOne(entry, value, member, undefined);
      writeBytes(writer, field, entry.u8, 0, entry.at);
    }
    return;
  }
  if (text[0] !== '[') throw new Unfit(`is ${shown(text)}, which is no array`);
  const items = elementTexts(text);
  if (!field.isPacked) {
    for (const item of items) writeOne(writer, { ...field, isRepeated: false, hasPresence: true }, item, element);
    return;
  }
  if (items.length === 0) return;
  const packed = new WireWriter();
  for (const item of items) writeScalar(packed, field, item, false, element);
  writeBytes(writer, field, packed.u8, 0, packed.at);
}

/** One value with its tag. */
function writeOne(writer: WireWriter, field: ProtoField, text: string, of: ElementType | undefined): void {
  const { message } = field;
  if (message === undefined) {
    writeScalar(writer, field, text, true, of);
    return;
  }
  if (message.name === TIMESTAMP) {
    const ms: unknown = JSON.parse(text);
    if (typeof ms !== 'number' || !Number.isSafeInteger(ms)) throw new Unfit(`has ${shown(text)}, which is no instant in milliseconds`);
    writeInstant(writer, field, ms);
    return;
  }
  const inner = new WireWriter();
  if (isWrapper(message)) writeOne(inner, message.fields[0] as ProtoField, text, of);
  else {
    if (text[0] !== '{') throw new Unfit(`has ${shown(text)}, which is no object`);
    const members = memberTexts(text);
    for (const name of members.keys())
      if (!message.fields.some((member) => member.name === name)) throw new Unfit(`has ${shown(name)}, and the message ${message.name} does not`);
    for (const member of message.fields) {
      const own = members.get(member.name);
      const type = of === undefined || isType(of) ? undefined : (of[member.name] as ElementType | undefined);
      if (own === undefined || own === 'null') {
        if (member.isRequired) throw new Unfit(`has no ${shown(member.name)}, which the message ${message.name} requires`);
      } else if (!member.hasPresence && !member.isRepeated && isDefault(member, own)) continue;
      else if (member.isRepeated) writeJson(inner, member, own, type !== undefined && isType(type) ? type.element : undefined);
      else writeOne(inner, member, own, type);
    }
  }
  writeBytes(writer, field, inner.u8, 0, inner.at);
}

/** Whether a value is the one that a field has where it is not there. */
function isDefault({ kind, enum: of }: ProtoField, text: string): boolean {
  if (kind === 'enum') return of !== undefined && text === JSON.stringify(of.names.get(0) ?? '0');
  return text === (kind === 'bool' ? 'false' : kind === 'string' || kind === 'bytes' ? '""' : '0') || (kind.endsWith('64') && text === '"0"');
}

function writeScalar(writer: WireWriter, field: ProtoField, text: string, isTagged: boolean, of: ElementType | undefined): void {
  const { kind } = field;
  const value: unknown = kind.endsWith('64') && /^-?\d+$/.test(text) ? text : of !== undefined && isType(of) && of.json ? text : JSON.parse(text);
  const no = (): never => {
    throw new Unfit(`has ${shown(text)}, which is no ${field.enum?.name ?? kind}`);
  };
  if (kind === 'string' || kind === 'bytes') {
    if (typeof value !== 'string') no();
    const bytes = Buffer.from(value as string, kind === 'string' ? 'utf8' : 'base64');
    writeBytes(writer, field, bytes, 0, bytes.length);
    return;
  }
  if (isTagged) tag(writer, field);
  switch (kind) {
    case 'bool':
      if (typeof value !== 'boolean') no();
      writer.byte(value === true ? 1 : 0);
      return;
    case 'double':
    case 'float': {
      const number = value === null ? Number.NaN : value;
      if (typeof number !== 'number') no();
      if (kind === 'double') writer.f64(number as number);
      else writer.f32(number as number);
      return;
    }
    case 'enum': {
      const number = typeof value === 'string' ? enumNumber(field, value) : no();
      writer.varint(number, number >> 31);
      return;
    }
    case 'int64':
    case 'sint64':
    case 'sfixed64':
    case 'uint64':
    case 'fixed64': {
      const wide = longOf(kind, String(value));
      writeLongValue(writer, kind, Number(BigInt.asIntN(32, wide)), Number(BigInt.asIntN(32, wide >> 32n)));
      return;
    }
    default: {
      const isUnsigned = kind === 'uint32' || kind === 'fixed32';
      if (
        typeof value !== 'number' ||
        !Number.isInteger(value) ||
        value < (isUnsigned ? 0 : -2_147_483_648) ||
        value > (isUnsigned ? 4_294_967_295 : 2_147_483_647)
      )
        no();
      writeInt(writer, kind, value as number);
    }
  }
}

export function tag(writer: WireWriter, { number, kind }: ProtoField): void {
  writer.varint((number << 3) | wireOf(kind), 0);
}

/** Bytes with their tag and length; of a group between its tags. */
export function writeBytes(writer: WireWriter, field: ProtoField, u8: Uint8Array, from: number, to: number): void {
  if (field.kind === 'group') {
    tag(writer, field);
    writer.copy(u8, from, to);
    writer.varint((field.number << 3) | WIRE.groupEnd, 0);
    return;
  }
  writer.varint((field.number << 3) | WIRE.bytes, 0);
  writer.varint(to - from, 0);
  writer.copy(u8, from, to);
}

export function writeInt(writer: WireWriter, kind: ProtoKind, value: number): void {
  if (kind === 'fixed32' || kind === 'sfixed32') writer.u32(value >>> 0);
  else if (kind === 'sint32') writer.varint((value << 1) ^ (value >> 31), 0);
  else writer.varint(value, kind === 'uint32' ? 0 : value >> 31);
}

export function writeWords(writer: WireWriter, field: ProtoField, lo: number, hi: number): void {
  if (lo === 0 && hi === 0 && !field.hasPresence) return;
  tag(writer, field);
  writeLongValue(writer, field.kind, lo, hi);
}

export function writeLong(writer: WireWriter, field: ProtoField, value: bigint): void {
  writeWords(writer, field, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
}

function writeLongValue(writer: WireWriter, kind: ProtoKind, lo: number, hi: number): void {
  if (kind === 'sint64') writer.zigzag(lo, hi);
  else if (kind === 'fixed64' || kind === 'sfixed64') {
    writer.u32(lo >>> 0);
    writer.u32(hi >>> 0);
  } else writer.varint(lo, hi);
}

export function writeInstant(writer: WireWriter, field: ProtoField, ms: number): void {
  const seconds = Math.floor(ms / 1_000);
  const nanos = (ms - seconds * 1_000) * 1_000_000;
  const inner = INSTANT;
  inner.at = 0;
  if (seconds !== 0) {
    const hi = Math.floor(seconds / 4_294_967_296);
    inner.byte(0x08);
    inner.varint(seconds - hi * 4_294_967_296, hi);
  }
  if (nanos !== 0) {
    inner.byte(0x10);
    inner.varint(nanos, 0);
  }
  writeBytes(writer, field, inner.u8, 0, inner.at);
}

/** The number of an enum's name; a number that it does not have is its digits. */
export function enumNumber({ enum: of }: ProtoField, name: string): number {
  const number = of?.numbers.get(name) ?? (/^-?\d{1,10}$/.test(name) ? Number(name) : Number.NaN);
  if ((number | 0) !== number) throw new Unfit(`is ${shown(name)}, which is no name of the enum ${of?.name}`);
  return number;
}

export function longOf(kind: ProtoKind, text: string): bigint {
  const isUnsigned = kind === 'uint64' || kind === 'fixed64';
  const value = /^-?\d{1,20}$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || (isUnsigned ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value)) !== value)
    throw new Unfit(`has ${shown(text)}, which is no ${kind}`);
  return value;
}

export function unsigned(value: number): number {
  if (value < 0) throw new Unfit('is below 0, and the field is unsigned');
  return value;
}
