/**
 * The encoder of `json()`: the rows of a batch to JSON objects, one per record, byte for byte as
 * `JSON.stringify` writes them. No object is made per row. The kernel writes runs of rows; a row that it
 * hands back (text with invalid UTF-8) is written here.
 */

import { type Batch, type Column, isValid, kernelExports, type Schema, type SharedMemory } from '../../core/index.ts';
import { encodeBase64 } from '../base64.ts';
import type { EncoderContext, RecordEncoder } from '../codec.ts';
import { ESCAPE_FACTOR, NUMBER_BYTES_MAX, variableBytes, writeAscii, writeFixed, writeJsonString } from '../text-writer.ts';
import { COLUMN, PROGRAM, TYPE_CODES } from './program.ts';

/** See core/kernels/json-encode.ts. */
export interface JsonEncodeKernels {
  jsonEncode(program: number, from: number, to: number, address: number, limit: number, ends: number): number;
}

const POWER_MIN = -292;
const POWER_MAX = 324;
const OVERREAD = 64;

export class JsonEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #schema: Schema;
  /** The bytes before each value: `{"a":`, `,"b":`. */
  readonly #prefixes: readonly Uint8Array[];
  /** Most bytes of a row without its text and binary values. */
  readonly #fixedBytes: number;
  readonly #kernels: JsonEncodeKernels | undefined;
  #program = 0;

  constructor(context: EncoderContext, schema: Schema) {
    this.#memory = context.memory;
    this.#schema = schema;
    this.#prefixes = schema.fields.map(({ name }, c) => Buffer.from(`${c === 0 ? '{' : ','}${JSON.stringify(name)}:`));
    this.#fixedBytes = this.#prefixes.reduce((sum, prefix) => sum + prefix.length + NUMBER_BYTES_MAX, 2);
    const kernels = kernelExports<JsonEncodeKernels>(context.memory);
    if (kernels?.jsonEncode && schema.length > 0) {
      this.#kernels = kernels;
      this.#program = this.#writeProgram(context);
    }
  }

  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    if (this.#program !== 0) this.#refreshProgram(batch);
    let at = address;
    let row = from;
    while (row < to) {
      if (this.#kernels) {
        const done = this.#kernels.jsonEncode(this.#program, row, to, at, limit, ends + (row - from) * 4);
        row += done;
        if (done > 0) at = this.#memory.u32[(ends >>> 2) + (row - from) - 1] as number;
        if (row === to) break;
      }
      if (at + this.#bound(batch, row) > limit) break;
      at = this.#row(batch, row, at);
      this.#memory.u32[(ends >>> 2) + (row - from)] = at;
      row++;
    }
    return row - from;
  }

  /** An upper bound of the row's bytes. */
  #bound(batch: Batch, row: number): number {
    return this.#fixedBytes + variableBytes(this.#memory, batch.columns, row, ESCAPE_FACTOR);
  }

  #row(batch: Batch, row: number, address: number): number {
    const { u8 } = this.#memory;
    let at = address;
    if (this.#prefixes.length === 0) u8[at++] = 0x7b;
    for (let c = 0; c < this.#prefixes.length; c++) {
      const prefix = this.#prefixes[c] as Uint8Array;
      u8.set(prefix, at);
      at = this.#value(batch.columns[c] as Column, row, at + prefix.length);
    }
    u8[at++] = 0x7d;
    return at;
  }

  #value(column: Column, row: number, at: number): number {
    const memory = this.#memory;
    const { u8, i32 } = memory;
    const { data, offsets, type } = column;
    if (!isValid(memory, column, row)) return writeAscii(u8, at, 'null');
    if (offsets === 0) return writeFixed(memory, column, row, at, 'null');
    const from = data + (i32[(offsets >>> 2) + row] as number);
    const to = data + (i32[(offsets >>> 2) + row + 1] as number);
    if (type.name === 'utf8') return writeJsonString(u8, at, from, to);
    u8[at] = 0x22;
    const end = encodeBase64(u8, from, to, at + 1);
    u8[end] = 0x22;
    return end + 1;
  }

  /**
   * Writes header and columns as in program.ts, with these differences: the prefix takes the place of a
   * column's key, the fixed bytes that of the table, and the powers are powers of ten.
   */
  #writeProgram({ memory, slabs }: EncoderContext): number {
    const columnsAt = PROGRAM.bytes;
    const powersAt = columnsAt + this.#prefixes.length * COLUMN.bytes;
    const powers = new Uint8Array(powersOfTen().buffer);
    const keysAt = powersAt + powers.length;
    const program = slabs.alloc(keysAt + this.#prefixes.reduce((sum, prefix) => sum + prefix.length, 0) + OVERREAD);
    const set = (at: number, value: number): void => {
      memory.u32[(program + at) >>> 2] = value;
    };
    set(PROGRAM.columnCount, this.#prefixes.length);
    set(PROGRAM.tableMask, this.#fixedBytes);
    set(PROGRAM.columns, program + columnsAt);
    set(PROGRAM.powers, program + powersAt);
    memory.u8.set(powers, program + powersAt);
    let keyAt = program + keysAt;
    this.#prefixes.forEach((prefix, c) => {
      const at = columnsAt + c * COLUMN.bytes;
      set(at + COLUMN.type, TYPE_CODES[this.#schema.field(c).type.name]);
      set(at + COLUMN.key, keyAt);
      set(at + COLUMN.keyLength, prefix.length);
      memory.u8.set(prefix, keyAt);
      keyAt += prefix.length;
    });
    return program;
  }

  #refreshProgram(batch: Batch): void {
    const { u32 } = this.#memory;
    for (let c = 0; c < batch.columns.length; c++) {
      const { data, offsets, validity } = batch.columns[c] as Column;
      const at = (this.#program + PROGRAM.bytes + c * COLUMN.bytes) >>> 2;
      u32[at + (COLUMN.data >>> 2)] = data;
      u32[at + (COLUMN.offsets >>> 2)] = offsets;
      u32[at + (COLUMN.validity >>> 2)] = validity;
    }
  }
}

let tens: BigUint64Array | undefined;

/**
 * 10^-292 to 10^324 to 128 bits, the top bit set, rounded up. The kernel multiplies with them to find the
 * shortest digits of a double.
 */
function powersOfTen(): BigUint64Array {
  if (tens) return tens;
  tens = new BigUint64Array((POWER_MAX - POWER_MIN + 1) * 2);
  for (let power = POWER_MIN; power <= POWER_MAX; power++) {
    const ten = 10n ** BigInt(Math.abs(power));
    const bits = BigInt(ten.toString(2).length);
    // The power as a fraction above / below, scaled into the range 2^127 to 2^128.
    const [above, below] = power >= 0 ? (bits <= 128n ? [ten << (128n - bits), 1n] : [ten, 1n << (bits - 128n)]) : [1n << (127n + bits), ten];
    const value = (above + below - 1n) / below;
    tens[(power - POWER_MIN) * 2] = value >> 64n;
    tens[(power - POWER_MIN) * 2 + 1] = value & 0xffff_ffff_ffff_ffffn;
  }
  return tens;
}
