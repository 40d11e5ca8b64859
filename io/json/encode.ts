/**
 * The encoder of `json()`: the rows of a batch to JSON objects, one per record, byte for byte as
 * `JSON.stringify` writes them. No object is made per row. The kernel writes runs of rows; a row that it
 * hands back (text with invalid UTF-8) is written here.
 */

import { type Batch, type Column, copyBytes, isValid, kernelExports, pathOf, type Schema, type SharedMemory } from '../../core/index.ts';
import { encodeBase64 } from '../base64.ts';
import type { EncoderContext, RecordEncoder } from '../codec.ts';
import { ESCAPE_FACTOR, NUMBER_BYTES_MAX, variableBytes, writeAscii, writeFixed, writeJsonString } from '../text-writer.ts';
import { COLUMN, PROGRAM, writtenCode } from './program.ts';

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
  /** Columns in the order in which they are written: those of an object together. */
  readonly #order: readonly number[];
  /** The bytes before each value: `{"a":`, `,"b":`, `},"c":{"d":`. */
  readonly #prefixes: readonly Uint8Array[];
  /** Braces that close the row. */
  readonly #braces: number;
  /** Most bytes of a row without its text and binary values. */
  readonly #fixedBytes: number;
  readonly #kernels: JsonEncodeKernels | undefined;
  #program = 0;

  constructor(context: EncoderContext, schema: Schema) {
    this.#memory = context.memory;
    this.#schema = schema;
    const { order, prefixes, braces } = outline(schema);
    this.#order = order;
    this.#prefixes = prefixes.map((prefix) => Buffer.from(prefix));
    this.#braces = braces;
    this.#fixedBytes = this.#prefixes.reduce((sum, prefix) => sum + prefix.length + NUMBER_BYTES_MAX, 1 + braces);
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
      at = this.#value(batch.columns[this.#order[c] as number] as Column, row, at + prefix.length);
    }
    for (let i = 0; i < this.#braces; i++) u8[at++] = 0x7d;
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
    if (type.json || type.element !== undefined) {
      copyBytes(memory, at, from, to - from);
      return at + to - from;
    }
    if (type.name === 'utf8') return writeJsonString(u8, at, from, to);
    u8[at] = 0x22;
    const end = encodeBase64(u8, from, to, at + 1);
    u8[end] = 0x22;
    return end + 1;
  }

  /**
   * Writes header and columns as in program.ts, with these differences: the prefix takes the place of a
   * column's key, the fixed bytes that of the table, the braces that of the stamp, and the powers are powers of ten.
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
    set(PROGRAM.stamp, this.#braces);
    set(PROGRAM.columns, program + columnsAt);
    set(PROGRAM.powers, program + powersAt);
    memory.u8.set(powers, program + powersAt);
    let keyAt = program + keysAt;
    this.#prefixes.forEach((prefix, c) => {
      const at = columnsAt + c * COLUMN.bytes;
      set(at + COLUMN.type, writtenCode(this.#schema.field(this.#order[c] as number).type));
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
      const { data, offsets, validity } = batch.columns[this.#order[c] as number] as Column;
      const at = (this.#program + PROGRAM.bytes + c * COLUMN.bytes) >>> 2;
      u32[at + (COLUMN.data >>> 2)] = data;
      u32[at + (COLUMN.offsets >>> 2)] = offsets;
      u32[at + (COLUMN.validity >>> 2)] = validity;
    }
  }
}

/** What stands between the values of a row, and in which order these come. */
function outline(schema: Schema): { readonly order: readonly number[]; readonly prefixes: readonly string[]; readonly braces: number } {
  const paths = schema.fields.map(pathOf);
  const order = together(
    paths,
    paths.map((_, c) => c),
    0,
  );
  let open: readonly string[] = [];
  const prefixes = order.map((c, n) => {
    const path = paths[c] as readonly string[];
    const objects = path.slice(0, -1);
    let shared = 0;
    while (shared < open.length && shared < objects.length && open[shared] === objects[shared]) shared++;
    const opened = objects.slice(shared).map((name) => `${JSON.stringify(name)}:{`);
    const text = `${'}'.repeat(open.length - shared)}${n === 0 ? '{' : ','}${opened.join('')}${JSON.stringify(path.at(-1))}:`;
    open = objects;
    return text;
  });
  return { order, prefixes, braces: open.length + 1 };
}

/** Columns of one object next to each other, where the first of them stands. */
function together(paths: readonly (readonly string[])[], columns: readonly number[], depth: number): number[] {
  const groups = new Map<string, number[]>();
  for (const c of columns) {
    const path = paths[c] as readonly string[];
    const key = path.length > depth + 1 ? `object ${path[depth]}` : `column ${c}`;
    groups.set(key, [...(groups.get(key) ?? []), c]);
  }
  return [...groups.values()].flatMap((group) => (group.length > 1 ? together(paths, group, depth + 1) : group));
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
