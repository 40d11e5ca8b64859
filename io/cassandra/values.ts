/** Which types of Cassandra a column can be written as, and the bytes of its values there (CQL protocol, section 6). */

import type { SharedMemory, TypeName } from '../../core/index.ts';
import { bigEndianWriter, bytesLength, bytesStart, FIXED_BYTES_MAX, type ValueWriter, writeLong, writeWord } from '../big-endian.ts';

/**
 * By type of a column: the types of Cassandra that it can be written as. The first is the usual one. They take all its
 * values, but for doubles as integers (counts and sums of whole numbers are doubles), dates and uuids: a value that
 * is none is refused.
 */
export const TARGETS: Readonly<Record<string, readonly string[]>> = {
  bool: ['boolean'],
  i8: ['tinyint', 'smallint', 'int', 'bigint', 'varint'],
  i16: ['smallint', 'int', 'bigint', 'varint'],
  i32: ['int', 'bigint', 'varint'],
  u32: ['bigint', 'varint'],
  i64: ['bigint', 'varint'],
  f32: ['float', 'double'],
  f64: ['double', 'bigint', 'int', 'varint'],
  utf8: ['text', 'varchar', 'ascii', 'uuid', 'timeuuid'],
  binary: ['blob'],
  timestamp: ['timestamp', 'date', 'bigint', 'varint'],
};

const WIDTHS: Readonly<Record<string, number>> = { boolean: 1, tinyint: 1, smallint: 2, int: 4, float: 4, bigint: 8, double: 8, timestamp: 8 };
const DAY_MS = 86_400_000;
/** 1970-01-01 as a date of CQL. */
const EPOCH_DAY = 2 ** 31;
const UUID_CHARS = 36;
const UUID_BYTES = 16;

export interface CqlWriter {
  /** Returns the address behind the value; -1 for text that is none of the type. */
  readonly write: ValueWriter;
  /** Whether the column's own bytes are the value. */
  readonly isVariable: boolean;
  readonly bytesMax: number;
}

/** @param target one of TARGETS for the type */
export function cqlWriter(memory: SharedMemory, type: TypeName, target: string): CqlWriter {
  const { u8 } = memory;
  if (target === 'uuid' || target === 'timeuuid') {
    return {
      isVariable: false,
      bytesMax: UUID_BYTES,
      write: (column, row, at) => (bytesLength(memory, column, row) === UUID_CHARS ? writeUuid(u8, bytesStart(memory, column, row), at) : -1),
    };
  }
  if (type === 'utf8' || type === 'binary') {
    const write: ValueWriter = (column, row, at) => {
      const start = bytesStart(memory, column, row);
      const length = bytesLength(memory, column, row);
      u8.copyWithin(at, start, start + length);
      return at + length;
    };
    return { isVariable: true, bytesMax: 0, write };
  }
  if (target === 'varint') {
    const writeFull = type === 'f64' ? wholeWriter(memory, 8) : bigEndianWriter(memory, type, 8);
    return { isVariable: false, bytesMax: FIXED_BYTES_MAX, write: varintWriter(u8, writeFull) };
  }
  if (type === 'f64' && target !== 'double') return { isVariable: false, bytesMax: FIXED_BYTES_MAX, write: wholeWriter(memory, WIDTHS[target] as number) };
  if (target === 'date') return { isVariable: false, bytesMax: 4, write: dateWriter(memory) };
  return { isVariable: false, bytesMax: FIXED_BYTES_MAX, write: bigEndianWriter(memory, type, WIDTHS[target] as number) };
}

/** As few bytes as hold the number: with more, a key would be another one. */
function varintWriter(u8: Uint8Array, writeFull: ValueWriter): ValueWriter {
  return (column, row, at) => {
    const end = writeFull(column, row, at);
    if (end < 0) return -1;
    const sign = (u8[at] as number) >>> 7 === 1 ? 0xff : 0;
    let from = at;
    while (from < end - 1 && u8[from] === sign && (u8[from + 1] as number) >>> 7 === sign >>> 7) from++;
    u8.copyWithin(at, from, end);
    return at + end - from;
  };
}

/** Doubles as integers of so many bytes. */
function wholeWriter({ u8, f64 }: SharedMemory, width: number): ValueWriter {
  const limit = 2 ** (width * 8 - 1);
  return ({ data }, row, at) => {
    const value = f64[(data >>> 3) + row] as number;
    if (!Number.isInteger(value) || value < -limit || value >= limit) return -1;
    return width === 4 ? writeWord(u8, value, at) : writeLong(u8, Math.floor(value / 2 ** 32), value, at);
  };
}

function dateWriter({ u8, u32, i32 }: SharedMemory): ValueWriter {
  return ({ data }, row, at) => {
    const word = (data >>> 2) + row * 2;
    const day = Math.floor(((i32[word + 1] as number) * 2 ** 32 + (u32[word] as number)) / DAY_MS) + EPOCH_DAY;
    return day >= 0 && day < 2 ** 32 ? writeWord(u8, day, at) : -1;
  };
}

/** `123e4567-e89b-12d3-a456-426614174000` as sixteen bytes. */
function writeUuid(u8: Uint8Array, from: number, address: number): number {
  let at = address;
  for (let char = 0; char < UUID_CHARS; char++) {
    const isDash = char === 8 || char === 13 || char === 18 || char === 23;
    if (isDash) {
      if (u8[from + char] !== 0x2d) return -1;
      continue;
    }
    const high = hexDigit(u8[from + char] as number);
    const low = hexDigit(u8[from + ++char] as number);
    if (high < 0 || low < 0) return -1;
    u8[at++] = high * 16 + low;
  }
  return at;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
