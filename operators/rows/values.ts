/**
 * Values of user-defined functions on their way into columns: whether a value fits its column's type, and the
 * value that a reader of the column sees afterwards. The rules are those of BatchBuilder.setValue. Text is
 * written here, too.
 */

import {
  type BatchBuilder,
  type ColumnSpace,
  type Field,
  kindText,
  listOf,
  MillraceError,
  readText,
  type SharedMemory,
  shown,
  textOfValue,
} from '../../core/index.ts';

const ASCII_LENGTH_MAX = 64;

type WellFormed = string & { toWellFormed(): string };

/** @throws MillraceError ERR_MILLRACE_SCHEMA, always */
export function refuseValue(field: Field, value: unknown): never {
  const wanted = `${kindText(field.type)}${field.type.nullable ? ' or null' : ''}`;
  throw new MillraceError(
    'ERR_MILLRACE_SCHEMA',
    `Column ${shown(field.name)} holds ${wanted}, but the value is ${shown(value)}. Give a ${wanted}, or change the column's type.`,
  );
}

/**
 * The value as it reads back from a column of this type: f32 rounded, timestamp floored, undefined as null.
 *
 * @throws MillraceError ERR_MILLRACE_SCHEMA when the value does not fit
 */
export function fitted(field: Field, value: unknown): unknown {
  const { name, nullable, element } = field.type;
  if (value === null || value === undefined) return nullable ? null : refuseValue(field, value);
  if (element !== undefined) return listOf(element, textOfValue(field.name, field.type, value) as string);
  if (field.type.json) return textOfValue(field.name, field.type, value);
  switch (name) {
    case 'bool':
      return typeof value === 'boolean' ? value : refuseValue(field, value);
    case 'utf8':
      return typeof value === 'string' ? wellFormed(value) : refuseValue(field, value);
    case 'binary':
      return value instanceof Uint8Array ? plainBytes(value) : refuseValue(field, value);
    case 'i64': {
      const whole = typeof value === 'number' ? converted(value) : value;
      return typeof whole === 'bigint' && BigInt.asIntN(64, whole) === whole ? whole : refuseValue(field, value);
    }
  }
  if (name === 'timestamp' && value instanceof Date) return fitted(field, converted(value));
  if (typeof value !== 'number') return refuseValue(field, value);
  switch (name) {
    case 'f64':
      return value;
    case 'f32':
      return Math.fround(value);
    case 'timestamp':
      return Number.isSafeInteger(Math.floor(value)) ? Math.floor(value) + 0 : refuseValue(field, value);
    case 'i8':
      return (value << 24) >> 24 === value ? value | 0 : refuseValue(field, value);
    case 'i16':
      return (value << 16) >> 16 === value ? value | 0 : refuseValue(field, value);
    case 'i32':
      return (value | 0) === value ? value | 0 : refuseValue(field, value);
    case 'u32':
      return value >>> 0 === value ? value >>> 0 : refuseValue(field, value);
  }
}

/** Lone surrogates become U+FFFD, as in UTF-8. */
export function wellFormed(text: string): string {
  return (text as WellFormed).toWellFormed();
}

export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/**
 * The value of a column in what a map function returned. A name that every object inherits must be its own.
 */
export function ownValue(row: object, name: string): unknown {
  return Object.hasOwn(row, name) ? (row as Record<string, unknown>)[name] : undefined;
}

/** @throws TypeError when the value is not a row */
export function requireRow(value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null) throw new TypeError(`the function gave ${shown(value)}, not a row object`);
}

/**
 * The rows that a flatMap function returned, in addition to those it emitted. What is not an object (`false`,
 * a count) adds no row.
 */
export function emitReturned(returned: unknown, emit: (row: unknown) => void): void {
  if (typeof returned !== 'object' || returned === null) return;
  refusePromise(returned);
  if (!(Symbol.iterator in returned)) {
    throw new TypeError(`the function gave ${shown(returned)}, which is no list of rows: return an array of them (or another iterable), or call emit for each`);
  }
  for (const row of returned as Iterable<unknown>) emit(row);
}

/**
 * What is accepted for a timestamp besides a number, and for an i64 besides a bigint: a Date, and a safe
 * integer.
 */
export function converted(value: unknown): unknown {
  if (value instanceof Date) return value.getTime();
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
}

/** A promise is truthy and has no columns: it would pass for an answer. */
export function refusePromise(value: unknown): void {
  if (typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function') {
    throw new TypeError('the function gave a promise; a row function must give its answer at once');
  }
}

/** Writes row `row` of a utf8 column, behind row `row - 1`. Null clears the validity bit. */
export function writeText(builder: BatchBuilder, column: ColumnSpace, row: number, text: string | null): void {
  const { i32, u8 } = builder.memory;
  const ends = (column.offsets >>> 2) + row;
  const start = i32[ends] as number;
  let end = start;
  column.byteLength = start;
  if (text === null) u8[column.validity + (row >>> 3)] = (u8[column.validity + (row >>> 3)] as number) & ~(1 << (row & 7));
  else {
    const { length } = text;
    builder.reserve(column, length);
    let at = 0;
    if (length <= ASCII_LENGTH_MAX) {
      const to = column.data + start;
      for (; at < length; at++) {
        const unit = text.charCodeAt(at);
        if (unit >= 0x80) break;
        u8[to + at] = unit;
      }
    }
    if (at === length) end = start + length;
    else end = start + writeBytes(builder, column, start, Buffer.from(text, 'utf8'));
  }
  column.byteLength = end;
  i32[ends + 1] = end;
}

/** Like {@link writeText}, for columns of lists. */
export function writeList(builder: BatchBuilder, column: ColumnSpace, row: number, value: readonly unknown[] | null): void {
  writeText(builder, column, row, value === null ? null : (textOfValue(column.name, column.type, value) as string));
}

/** Like {@link writeText}, for binary columns. */
export function writeBinary(builder: BatchBuilder, column: ColumnSpace, row: number, bytes: Uint8Array | null): void {
  const { i32, u8 } = builder.memory;
  const ends = (column.offsets >>> 2) + row;
  const start = i32[ends] as number;
  column.byteLength = start;
  if (bytes === null) u8[column.validity + (row >>> 3)] = (u8[column.validity + (row >>> 3)] as number) & ~(1 << (row & 7));
  else column.byteLength = start + writeBytes(builder, column, start, bytes);
  i32[ends + 1] = column.byteLength;
}

function writeBytes(builder: BatchBuilder, column: ColumnSpace, start: number, bytes: Uint8Array): number {
  builder.reserve(column, bytes.length);
  builder.memory.u8.set(bytes, column.data + start);
  return bytes.length;
}

/** `length` of a text in memory, in UTF-16 units as JavaScript counts. */
export function textLength(memory: SharedMemory, start: number, end: number): number {
  const { u8 } = memory;
  for (let at = start; at < end; at++) if ((u8[at] as number) >= 0x80) return readText(memory, start, end).length;
  return end - start;
}

export function bytesAt(memory: SharedMemory, start: number, bytes: Uint8Array): boolean {
  const { u8 } = memory;
  for (let at = 0; at < bytes.length; at++) if (u8[start + at] !== bytes[at]) return false;
  return true;
}

export function bytesWithin(memory: SharedMemory, start: number, end: number, bytes: Uint8Array): boolean {
  const { u8 } = memory;
  const first = bytes[0] as number;
  for (let at = start; at <= end - bytes.length; at++) if (u8[at] === first && bytesAt(memory, at, bytes)) return true;
  return false;
}
