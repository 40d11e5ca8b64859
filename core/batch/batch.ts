/**
 * Batch: columns plus a row count, in Arrow's layout, at addresses of the shared memory.
 *
 * The unit of every call on the hot path. A batch owns nothing: it points at bytes that a slab, a fetch or a
 * scratch arena holds, and is valid as long as these are. For reading and writing batches as bytes see
 * arrow/.
 *
 *   fixed width   values at `data`, `width` bytes each, little endian, `data` a multiple of the width
 *   bool          bit i of the bytes at `data`, least significant bit first
 *   utf8, binary  value i is the bytes data + offsets[i] .. data + offsets[i + 1]; `offsets` is the address
 *                 of rowCount + 1 i32 values and a multiple of 4. offsets[0] need not be 0.
 *   validity      address of one bit per row, 1 = valid, or 0: no row is null. The data of a null row is
 *                 undefined.
 *
 * Layout: Apache Arrow columnar format 1.5.
 */

import { assert } from '../assert.ts';
import { listOf } from '../list-text.ts';
import type { SharedMemory } from '../memory/index.ts';
import { rowObject } from '../nested-row.ts';
import type { AnyRow, DataType, Schema, TypeName } from '../schema.ts';

export interface Column {
  readonly type: DataType;
  readonly data: number;
  readonly offsets: number;
  readonly validity: number;
}

export class Batch {
  readonly memory: SharedMemory;
  readonly schema: Schema;
  readonly rowCount: number;
  readonly columns: readonly Column[];

  constructor(memory: SharedMemory, schema: Schema, rowCount: number, columns: readonly Column[]) {
    assert(columns.length === schema.length, `${columns.length} columns for a schema of ${schema.length}`);
    this.memory = memory;
    this.schema = schema;
    this.rowCount = rowCount;
    this.columns = columns;
  }

  column(index: number): Column {
    const column = this.columns[index];
    assert(column, `column ${index} of ${this.columns.length}`);
    return column;
  }

  /**
   * Rows `from` to `to` over the same bytes. `from` must be a multiple of 8, so that bitmaps start on a byte.
   */
  slice(from: number, to: number): Batch {
    assert(from % 8 === 0 && from <= to && to <= this.rowCount, `slice ${from}..${to} of ${this.rowCount} rows`);
    if (from === 0 && to === this.rowCount) return this;
    return new Batch(
      this.memory,
      this.schema,
      to - from,
      this.columns.map((column) => ({
        type: column.type,
        data: column.offsets !== 0 ? column.data : column.data + (column.type.width === 0 ? from >>> 3 : from * column.type.width),
        offsets: column.offsets === 0 ? 0 : column.offsets + from * 4,
        validity: column.validity === 0 ? 0 : column.validity + (from >>> 3),
      })),
    );
  }

  /**
   * One value as user-defined functions see it. For tests, sinks and the cold path: it makes an object of a
   * string.
   */
  value(columnIndex: number, row: number): unknown {
    return readValue(this.memory, this.column(columnIndex), row);
  }

  /**
   * All rows as objects, for the cold path. Object keys are own properties even where a column is named
   * `__proto__`. Columns of a struct are members of one object.
   */
  toRows(): AnyRow[] {
    const { fields } = this.schema;
    const rows: AnyRow[] = [];
    for (let row = 0; row < this.rowCount; row++) {
      rows.push(
        rowObject(
          fields,
          fields.map((_, c) => this.value(c, row)),
        ),
      );
    }
    return rows;
  }
}

export function isValid(memory: SharedMemory, column: Column, row: number): boolean {
  return column.validity === 0 || (((memory.u8[column.validity + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1;
}

/** The value of a row: null, boolean, number, bigint (i64), string, a copy of the bytes (binary), or an array (list). */
export function readValue(memory: SharedMemory, column: Column, row: number): unknown {
  if (!isValid(memory, column, row)) return null;
  switch (column.type.name) {
    case 'bool':
      return (((memory.u8[column.data + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1;
    case 'i64':
      return memory.i64[(column.data >>> 3) + row];
    case 'timestamp':
      return readTimestamp(memory, column.data, row);
    case 'utf8': {
      const text = readText(memory, column.data + offsetAt(memory, column, row), column.data + offsetAt(memory, column, row + 1));
      return column.type.element === undefined ? text : listOf(column.type.element, text);
    }
    case 'binary':
      return memory.u8.slice(column.data + offsetAt(memory, column, row), column.data + offsetAt(memory, column, row + 1));
    default:
      return readNumber(memory, column.type.name, column.data, row);
  }
}

/** A number of a column of such a type, valid or not. */
export function readNumber(memory: SharedMemory, type: TypeName, data: number, row: number): number {
  switch (type) {
    case 'i8':
      return memory.i8[data + row] as number;
    case 'i16':
      return memory.i16[(data >>> 1) + row] as number;
    case 'i32':
      return memory.i32[(data >>> 2) + row] as number;
    case 'u32':
      return memory.u32[(data >>> 2) + row] as number;
    case 'f32':
      return memory.f32[(data >>> 2) + row] as number;
    default:
      return memory.f64[(data >>> 3) + row] as number;
  }
}

/** A timestamp as a number, from the two halves of its i64, without a BigInt. */
export function readTimestamp(memory: SharedMemory, data: number, row: number): number {
  const at = (data >>> 2) + row * 2;
  return (memory.i32[at + 1] as number) * 4_294_967_296 + (memory.u32[at] as number);
}

function offsetAt(memory: SharedMemory, column: Column, index: number): number {
  return memory.i32[(column.offsets >>> 2) + index] as number;
}

// A leading U+FEFF is part of the text.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const SHORT = 32;

/**
 * The text of UTF-8 bytes in shared memory. Short ASCII, the common case, is not copied through the decoder.
 */
export function readText(memory: SharedMemory, start: number, end: number): string {
  const { u8 } = memory;
  if (end - start <= SHORT) {
    let text = '';
    let at = start;
    while (at < end) {
      const byte = u8[at] as number;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
      at++;
    }
    if (at === end) return text;
  }
  // TextDecoder does not accept a SharedArrayBuffer.
  return decoder.decode(u8.slice(start, end));
}
