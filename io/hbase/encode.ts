/**
 * Rows as messages of HBase's REST server, in the worker. A put is one `Row` of its protobuf `CellSet`; as a set is
 * nothing but its rows, a request's body is the records one after the other. A row to delete is its key.
 *
 *   put      0a len  0a len key  12 len cell  12 len cell ...        cell: 12 len family:qualifier  18 version  22 len value
 *   delete   12 key
 *
 * Lengths that are not known before their bytes have a fixed number of bytes, which protobuf allows.
 */

import { type Batch, type Column, crc32c, isValid, type Schema, type SharedMemory } from '../../core/index.ts';
import { bigEndianWriter, bytesLength, bytesStart, type ValueWriter } from '../big-endian.ts';
import type { EncoderContext, RecordEncoder } from '../codec.ts';
import { RowRecords, type RowWriter } from '../delivery/index.ts';
import { NUMBER_BYTES_MAX, writeFixed } from '../text-writer.ts';
import { cellColumns, type HBaseSinkOptions, SEPARATOR } from './options.ts';

export const PUT = 0x0a;
export const DELETE = 0x12;
/** The key of a put begins here. */
export const PUT_KEY_AT = 9;

const KEY = 0x0a;
const CELL = 0x12;
const COLUMN = 0x12;
const VERSION = 0x18;
const VALUE = 0x22;

const ROW_LENGTH_BYTES = 4;
const KEY_LENGTH_BYTES = 3;
const VARINT_BYTES_MAX = 10;
const KEY_BYTES_MAX = 32_767;

const WIDTHS: Readonly<Record<string, number>> = { bool: 1, i8: 1, i16: 2, i32: 4, u32: 8, i64: 8, f32: 4, f64: 8, timestamp: 8 };
/** HBase's true is -1. */
const TRUTH = 0xff;

export function cellsEncoder({ memory }: EncoderContext, schema: Schema, name: string, options: HBaseSinkOptions): RecordEncoder {
  return new RowRecords(memory, schema, [options.key].flat(), new CellsWriter(memory, schema, name, options));
}

interface Cell {
  readonly index: number;
  /** Its tag, and the column's name as a field. */
  readonly head: Uint8Array;
  readonly isVariable: boolean;
  readonly write: ValueWriter;
}

interface KeyPart {
  readonly index: number;
  readonly name: string;
  readonly isVariable: boolean;
  readonly write: ValueWriter;
}

class CellsWriter implements RowWriter {
  fault = '';
  readonly #memory: SharedMemory;
  readonly #u8: Uint8Array;
  readonly #key: readonly KeyPart[];
  readonly #cells: readonly Cell[];
  readonly #version: number;
  readonly #writesNulls: boolean;
  /** The byte between the values of a key, or behind a text of it. */
  readonly #separator: number;
  readonly #isTextKey: boolean;
  readonly #salt: number;
  readonly #saltDigits: number;
  readonly #fixedBytes: number;

  constructor(memory: SharedMemory, schema: Schema, what: string, options: HBaseSinkOptions) {
    const { key, keyEncoding = 'text', separator = SEPARATOR, salt = 0, valueEncoding = 'text', nulls = 'empty', version } = options;
    this.#memory = memory;
    this.#u8 = memory.u8;
    this.#isTextKey = keyEncoding === 'text';
    this.#separator = this.#isTextKey ? separator.charCodeAt(0) : 0;
    this.#salt = salt;
    this.#saltDigits = String(salt - 1).length;
    this.#writesNulls = nulls === 'empty';
    this.#version = version === undefined ? -1 : schema.require(version, what);
    this.#key = [key].flat().map((name) => {
      const index = schema.require(name, what);
      return { index, name, ...writerOf(memory, schema.field(index).type.name, keyEncoding) };
    });
    this.#cells = cellColumns(what, options, schema).map(({ column, family, qualifier }) => {
      const index = schema.require(column, what);
      const path = Buffer.from(`${family}:${qualifier}`);
      const head = Uint8Array.from([COLUMN, ...varint(path.length), ...path]);
      return { index, head, ...writerOf(memory, schema.field(index).type.name, valueEncoding) };
    });
    const cellBytes = this.#cells.reduce((sum, { head }) => sum + head.length + 3 * VARINT_BYTES_MAX + 3 + NUMBER_BYTES_MAX, 0);
    this.#fixedBytes = 2 * VARINT_BYTES_MAX + this.#key.length * (NUMBER_BYTES_MAX + 1) + 8 + cellBytes;
  }

  bytesMax(batch: Batch, row: number): number {
    let bytes = this.#fixedBytes;
    for (const { index, isVariable } of this.#key) if (isVariable) bytes += bytesLength(this.#memory, batch.column(index), row);
    for (const { index, isVariable } of this.#cells) if (isVariable) bytes += bytesLength(this.#memory, batch.column(index), row);
    return bytes;
  }

  write(batch: Batch, row: number, address: number, isGone: boolean): number {
    const u8 = this.#u8;
    if (isGone) {
      u8[address] = DELETE;
      return this.#writeKey(batch, row, address + 1);
    }
    const keyAt = address + PUT_KEY_AT;
    let at = this.#writeKey(batch, row, keyAt);
    if (at < 0) return -1;
    u8[address] = PUT;
    u8[address + 1 + ROW_LENGTH_BYTES] = KEY;
    writePadded(u8, keyAt - KEY_LENGTH_BYTES, KEY_LENGTH_BYTES, at - keyAt);
    const cellsAt = at;
    for (const cell of this.#cells) {
      const column = batch.column(cell.index);
      const isPresent = isValid(this.#memory, column, row);
      if (!isPresent && !this.#writesNulls) continue;
      at = this.#writeCell(batch, row, cell, column, isPresent, at);
      if (at < 0) return -1;
    }
    if (at === cellsAt) return this.#refuse('every column is null, and HBase stores no row without a cell');
    writePadded(u8, address + 1, ROW_LENGTH_BYTES, at - address - 1 - ROW_LENGTH_BYTES);
    return at;
  }

  #writeCell(batch: Batch, row: number, { head, isVariable, write }: Cell, column: Column, isPresent: boolean, address: number): number {
    const u8 = this.#u8;
    u8[address] = CELL;
    // Two bytes where the value is short; where it may be long its length is known.
    const valueBytes = isPresent && isVariable ? bytesLength(this.#memory, column, row) : 0;
    const lengthBytes = valueBytes === 0 ? 2 : VARINT_BYTES_MAX / 2;
    const start = address + 1 + lengthBytes;
    u8.set(head, start);
    let at = start + head.length;
    if (this.#version >= 0) {
      at = this.#writeVersion(batch, row, at);
      if (at < 0) return -1;
    }
    u8[at++] = VALUE;
    if (valueBytes > 0) at = write(column, row, writeVarint(u8, at, valueBytes));
    else {
      const end = isPresent && !isVariable ? write(column, row, at + 1) : at + 1;
      u8[at] = end - at - 1;
      at = end;
    }
    writePadded(u8, address + 1, lengthBytes, at - start);
    return at;
  }

  #writeVersion(batch: Batch, row: number, address: number): number {
    const column = batch.column(this.#version);
    if (!isValid(this.#memory, column, row)) return this.#refuse('the version is null');
    const version = Number(batch.value(this.#version, row));
    if (version < 0) return this.#refuse(`the version is ${version}, and HBase takes none below zero`);
    this.#u8[address] = VERSION;
    if (version <= Number.MAX_SAFE_INTEGER) return writeVarint(this.#u8, address + 1, version);
    let rest = BigInt(batch.value(this.#version, row) as bigint | number);
    let at = address + 1;
    for (; rest >= 0x80n; rest >>= 7n) this.#u8[at++] = Number(rest & 0x7fn) | 0x80;
    this.#u8[at++] = Number(rest);
    return at;
  }

  #writeKey(batch: Batch, row: number, address: number): number {
    const u8 = this.#u8;
    const saltBytes = this.#salt === 0 ? 0 : this.#isTextKey ? this.#saltDigits + 1 : 1;
    const from = address + saltBytes;
    let at = from;
    const last = this.#key.length - 1;
    for (let k = 0; k <= last; k++) {
      const { index, name, isVariable, write } = this.#key[k] as KeyPart;
      const column = batch.column(index);
      if (!isValid(this.#memory, column, row)) return this.#refuse(`the key column ${JSON.stringify(name)} is null`);
      const end = write(column, row, at);
      if (k < last && isVariable && u8.subarray(at, end).includes(this.#separator)) {
        const what = this.#isTextKey ? `the separator ${JSON.stringify(String.fromCharCode(this.#separator))}` : 'a zero byte';
        return this.#refuse(`the key column ${JSON.stringify(name)} has ${what} in it`);
      }
      at = end;
      if (k < last && (this.#isTextKey || isVariable)) u8[at++] = this.#separator;
    }
    if (at === address) return this.#refuse('the key is empty');
    if (at - address > KEY_BYTES_MAX) return this.#refuse(`the key has ${at - address} bytes, and HBase takes ${KEY_BYTES_MAX} at most`);
    if (saltBytes > 0) this.#writeSalt(address, crc32c(this.#memory, from, at - from) % this.#salt);
    return at;
  }

  #writeSalt(address: number, salt: number): void {
    const u8 = this.#u8;
    if (!this.#isTextKey) {
      u8[address] = salt;
      return;
    }
    let rest = salt;
    for (let digit = this.#saltDigits - 1; digit >= 0; digit--) {
      u8[address + digit] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    u8[address + this.#saltDigits] = this.#separator;
  }

  #refuse(message: string): -1 {
    this.fault = message;
    return -1;
  }
}

function writerOf(memory: SharedMemory, type: string, encoding: 'text' | 'binary'): { isVariable: boolean; write: ValueWriter } {
  const { u8 } = memory;
  if (type === 'utf8' || type === 'binary') {
    const write: ValueWriter = (column, row, at) => {
      const start = bytesStart(memory, column, row);
      const length = bytesLength(memory, column, row);
      u8.copyWithin(at, start, start + length);
      return at + length;
    };
    return { isVariable: true, write };
  }
  if (encoding === 'text') return { isVariable: false, write: (column, row, at) => writeFixed(memory, column, row, at, undefined) };
  return { isVariable: false, write: bigEndianWriter(memory, type as 'bool', WIDTHS[type] as number, TRUTH) };
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

function writeVarint(u8: Uint8Array, address: number, value: number): number {
  let at = address;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) u8[at++] = (rest % 128) | 0x80;
  u8[at++] = rest;
  return at;
}

/** A number in so many bytes, whether it needs them or not. */
function writePadded(u8: Uint8Array, address: number, bytes: number, value: number): void {
  let rest = value;
  for (let byte = 0; byte < bytes - 1; byte++) {
    u8[address + byte] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  u8[address + bytes - 1] = rest;
}
