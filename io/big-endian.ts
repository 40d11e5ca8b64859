/**
 * Values of columns as big-endian bytes, as CQL's protocol and HBase's `Bytes` have them. A writer is chosen once per
 * column; it takes values that are not null.
 */

import { assert, type Column, type SharedMemory, type TypeName } from '../core/index.ts';

/** Writes the value of a row at an address; returns the address behind it. */
export type ValueWriter = (column: Column, row: number, at: number) => number;

/** Most bytes of a value of fixed width. */
export const FIXED_BYTES_MAX = 8;

/**
 * A writer of a column that is no text and no binary.
 *
 * @param type of the column; `bool` gives one byte, 0 or `truth`
 * @param width in bytes: of an integer any from that of its type to 8; 4 or 8 of an f32
 */
export function bigEndianWriter(memory: SharedMemory, type: TypeName, width: number, truth = 1): ValueWriter {
  const { u8, i8, i16, i32, u32, f32 } = memory;
  switch (type) {
    case 'bool':
      return ({ data }, row, at) => {
        u8[at] = (((u8[data + (row >>> 3)] as number) >>> (row & 7)) & 1) * truth;
        return at + 1;
      };
    case 'i8':
      return ({ data }, row, at) => writeInteger(u8, i8[data + row] as number, at, width);
    case 'i16':
      return ({ data }, row, at) => writeInteger(u8, i16[(data >>> 1) + row] as number, at, width);
    case 'i32':
      return ({ data }, row, at) => writeInteger(u8, i32[(data >>> 2) + row] as number, at, width);
    case 'u32':
      assert(width === 8, 'an unsigned word takes eight bytes');
      return ({ data }, row, at) => writeLong(u8, 0, u32[(data >>> 2) + row] as number, at);
    case 'f32':
      if (width === 4) return ({ data }, row, at) => writeWord(u8, u32[(data >>> 2) + row] as number, at);
      return ({ data }, row, at) => {
        DOUBLE[0] = f32[(data >>> 2) + row] as number;
        return writeLong(u8, WORDS[1] as number, WORDS[0] as number, at);
      };
    case 'i64':
    case 'f64':
    case 'timestamp':
      assert(width === 8, 'a long takes eight bytes');
      return ({ data }, row, at) => writeLong(u8, u32[(data >>> 2) + row * 2 + 1] as number, u32[(data >>> 2) + row * 2] as number, at);
    default:
      assert(false, `${type} has no fixed width`);
  }
}

/** The address of a text or binary value. */
export function bytesStart({ i32 }: SharedMemory, { data, offsets }: Column, row: number): number {
  return data + (i32[(offsets >>> 2) + row] as number);
}

/** The length of a text or binary value. */
export function bytesLength({ i32 }: SharedMemory, { offsets }: Column, row: number): number {
  return (i32[(offsets >>> 2) + row + 1] as number) - (i32[(offsets >>> 2) + row] as number);
}

// Columns are little-endian, as every machine is that runs this.
const DOUBLE = new Float64Array(1);
const WORDS = new Uint32Array(DOUBLE.buffer);

function writeInteger(u8: Uint8Array, value: number, at: number, width: number): number {
  if (width === 8) return writeLong(u8, value >> 31, value, at);
  if (width === 4) return writeWord(u8, value, at);
  if (width === 2) u8[at] = value >>> 8;
  u8[at + width - 1] = value;
  return at + width;
}

export function writeWord(u8: Uint8Array, value: number, at: number): number {
  u8[at] = value >>> 24;
  u8[at + 1] = value >>> 16;
  u8[at + 2] = value >>> 8;
  u8[at + 3] = value;
  return at + 4;
}

export function writeLong(u8: Uint8Array, high: number, low: number, at: number): number {
  return writeWord(u8, low, writeWord(u8, high, at));
}
