/**
 * Columns to write into: room for a fixed number of rows in slabs of the shared memory. Decoders, emitted row
 * functions and results fill it; then it is read as a Batch.
 *
 * The fast path writes straight to the addresses in `columns`. `setValue` and `appendRow` are the cold path,
 * for rows that are JavaScript objects already. Validity is 1 bit per row; `reset` marks every row valid.
 */

import { assert } from '../assert.ts';
import { MillraceError, shown } from '../errors.ts';
import { textOfValue } from '../list-text.ts';
import { copyBytes, fillBytes, type SharedMemory, type SlabAllocator } from '../memory/index.ts';
import { memberOf } from '../nested-row.ts';
import { type AnyRow, kindText, type Schema, type TypeName } from '../schema.ts';
import { Batch, type Column } from './batch.ts';

/** A column under construction. Addresses as in Column; `validity` is 0 for a type that is not nullable. */
export interface ColumnSpace {
  readonly name: string;
  readonly type: Column['type'];
  data: number;
  readonly offsets: number;
  readonly validity: number;
  /** Bytes written so far and room, for utf8 and binary. Other types have room for `capacity` rows. */
  byteLength: number;
  byteCapacity: number;
}

const FIRST_BYTES_A_ROW = 16;

export class BatchBuilder {
  readonly memory: SharedMemory;
  readonly schema: Schema;
  /** Rows that fit: a multiple of 8. */
  readonly capacity: number;
  readonly columns: readonly ColumnSpace[];
  readonly #slabs: SlabAllocator;
  readonly #owned = new Set<number>();
  rowCount = 0;

  /** @param capacity most rows per batch, rounded up to a multiple of 8 */
  constructor(slabs: SlabAllocator, schema: Schema, capacity: number) {
    this.memory = slabs.memory;
    this.schema = schema;
    this.capacity = Math.ceil(capacity / 8) * 8;
    this.#slabs = slabs;
    // One slab for everything of fixed size, each part at a multiple of 64.
    const sizes: number[] = [];
    for (const { type } of schema.fields) {
      const isBytes = type.name === 'utf8' || type.name === 'binary';
      sizes.push(isBytes ? 0 : type.name === 'bool' ? this.capacity / 8 : this.capacity * type.width);
      sizes.push(isBytes ? (this.capacity + 1) * 4 : 0);
      sizes.push(type.nullable ? this.capacity / 8 : 0);
    }
    let total = 64;
    const places = sizes.map((size) => {
      const place = size === 0 ? -1 : total;
      total += Math.ceil(size / 64) * 64;
      return place;
    });
    const base = this.#alloc(total);
    this.columns = schema.fields.map(({ name, type }, c) => {
      const at = (part: number) => ((places[c * 3 + part] as number) < 0 ? 0 : base + (places[c * 3 + part] as number));
      const isBytes = type.name === 'utf8' || type.name === 'binary';
      const byteCapacity = isBytes ? this.capacity * FIRST_BYTES_A_ROW : 0;
      return { name, type, data: isBytes ? this.#alloc(byteCapacity) : at(0), offsets: at(1), validity: at(2), byteLength: 0, byteCapacity };
    });
    this.reset();
  }

  /** Empties the builder: no rows, and every future row valid. */
  reset(): void {
    this.rowCount = 0;
    for (const column of this.columns) {
      column.byteLength = 0;
      if (column.offsets !== 0) this.memory.i32[column.offsets >>> 2] = 0;
      if (column.validity !== 0) fillBytes(this.memory, column.validity, this.capacity / 8, 0xff);
    }
  }

  /** Makes room for `more` bytes after what is written of a utf8 or binary column. May move `data`. */
  reserve(column: ColumnSpace, more: number): void {
    const needed = column.byteLength + more;
    if (needed <= column.byteCapacity) return;
    const room = Math.max(needed, column.byteCapacity * 2);
    const data = this.#alloc(room);
    copyBytes(this.memory, data, column.data, column.byteLength);
    this.#owned.delete(column.data);
    this.#slabs.free(column.data);
    column.data = data;
    column.byteCapacity = this.#slabs.slabBytes(data);
  }

  /**
   * Sets one value of row `row`. The rows of a utf8 or binary column must be set in order.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when the value does not fit the column's type
   */
  setValue(columnIndex: number, row: number, value: unknown): void {
    const column = this.columns[columnIndex];
    assert(column && row < this.capacity, `column ${columnIndex}, row ${row}`);
    const { memory } = this;
    const { name } = column.type;
    const isNull = value === null || value === undefined;
    if (isNull && !column.type.nullable) refuse(column, value);
    if (column.validity !== 0) setBit(memory.u8, column.validity, row, !isNull);
    switch (name) {
      case 'bool':
        if (!isNull && typeof value !== 'boolean') refuse(column, value);
        setBit(memory.u8, column.data, row, value === true);
        return;
      case 'utf8': {
        const text = isNull ? value : textOfValue(column.name, column.type, value);
        this.#setBytes(column, row, isNull ? undefined : typeof text === 'string' ? Buffer.from(text, 'utf8') : refuse(column, value));
        return;
      }
      case 'binary':
        this.#setBytes(column, row, isNull ? undefined : value instanceof Uint8Array ? value : refuse(column, value));
        return;
      case 'i64': {
        const whole = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
        if (!isNull && (typeof whole !== 'bigint' || BigInt.asIntN(64, whole) !== whole)) refuse(column, value);
        memory.i64[(column.data >>> 3) + row] = isNull ? 0n : (whole as bigint);
        return;
      }
      case 'timestamp': {
        const ms = value instanceof Date ? value.getTime() : value;
        if (!isNull && (typeof ms !== 'number' || !Number.isSafeInteger(Math.floor(ms)))) refuse(column, value);
        memory.i64[(column.data >>> 3) + row] = isNull ? 0n : BigInt(Math.floor(ms as number));
        return;
      }
      case 'f64':
        if (!isNull && typeof value !== 'number') refuse(column, value);
        memory.f64[(column.data >>> 3) + row] = isNull ? 0 : (value as number);
        return;
      case 'f32':
        if (!isNull && typeof value !== 'number') refuse(column, value);
        memory.f32[(column.data >>> 2) + row] = isNull ? 0 : (value as number);
        return;
      default:
        if (!isNull && !fitsInteger(name, value)) refuse(column, value);
        setInteger(memory, name, column.data, row, isNull ? 0 : (value as number));
    }
  }

  /**
   * Appends a row given as an object. All or nothing: a value that does not fit throws and leaves the batch
   * as it was.
   */
  appendRow(row: AnyRow): void {
    assert(this.rowCount < this.capacity, 'a row more than fits');
    const lengths = this.columns.map((column) => column.byteLength);
    try {
      for (let c = 0; c < this.columns.length; c++) {
        const column = this.columns[c] as ColumnSpace;
        this.setValue(c, this.rowCount, column.type.nested ? memberOf(row, column) : Object.hasOwn(row, column.name) ? row[column.name] : undefined);
      }
    } catch (error) {
      this.columns.forEach((column, c) => {
        column.byteLength = lengths[c] as number;
        if (column.validity !== 0) setBit(this.memory.u8, column.validity, this.rowCount, true);
      });
      throw error;
    }
    this.rowCount++;
  }

  /** Takes back the rows from `rowCount` on, which were set in order. */
  truncate(rowCount: number): void {
    this.rowCount = rowCount;
    for (const column of this.columns) if (column.offsets !== 0) column.byteLength = this.memory.i32[(column.offsets >>> 2) + rowCount] as number;
  }

  /**
   * The first `rowCount` rows as a batch over the same bytes, valid until the builder is written to again.
   */
  finish(rowCount: number = this.rowCount): Batch {
    return new Batch(
      this.memory,
      this.schema,
      rowCount,
      this.columns.map(({ type, data, offsets, validity }) => ({ type, data, offsets, validity })),
    );
  }

  /** Gives the slabs back. */
  release(): void {
    for (const address of this.#owned) this.#slabs.free(address);
    this.#owned.clear();
  }

  #setBytes(column: ColumnSpace, row: number, bytes: Uint8Array | undefined): void {
    if (bytes !== undefined) {
      this.reserve(column, bytes.length);
      this.memory.u8.set(bytes, column.data + column.byteLength);
      column.byteLength += bytes.length;
    }
    this.memory.i32[(column.offsets >>> 2) + row + 1] = column.byteLength;
  }

  #alloc(bytes: number): number {
    const address = this.#slabs.alloc(Math.max(bytes, 64));
    this.#owned.add(address);
    return address;
  }
}

function setBit(u8: Uint8Array, address: number, bit: number, on: boolean): void {
  const at = address + (bit >>> 3);
  const mask = 1 << (bit & 7);
  u8[at] = on ? (u8[at] as number) | mask : (u8[at] as number) & ~mask;
}

const INTEGER_RANGE: ReadonlyMap<TypeName, readonly [number, number]> = new Map([
  ['i8', [-128, 127]],
  ['i16', [-32_768, 32_767]],
  ['i32', [-2_147_483_648, 2_147_483_647]],
  ['u32', [0, 4_294_967_295]],
] as const);

function fitsInteger(name: TypeName, value: unknown): boolean {
  const range = INTEGER_RANGE.get(name) as readonly [number, number];
  return typeof value === 'number' && Number.isInteger(value) && value >= range[0] && value <= range[1];
}

function setInteger(memory: SharedMemory, name: TypeName, data: number, row: number, value: number): void {
  if (name === 'i8') memory.i8[data + row] = value;
  else if (name === 'i16') memory.i16[(data >>> 1) + row] = value;
  else if (name === 'i32') memory.i32[(data >>> 2) + row] = value;
  else memory.u32[(data >>> 2) + row] = value;
}

function refuse(column: ColumnSpace, value: unknown): never {
  const wanted = `${kindText(column.type)}${column.type.nullable ? ' or null' : ''}`;
  throw new MillraceError(
    'ERR_MILLRACE_SCHEMA',
    `Column ${shown(column.name)} holds ${wanted}, but the value is ${shown(value)}. Give a ${wanted}, or change the column's type.`,
  );
}
