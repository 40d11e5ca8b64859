/** Rows as CSV records. */

import { type Batch, type Column, isValid, type SharedMemory } from '../../core/index.ts';
import { encodeBase64 } from '../base64.ts';
import type { EncoderContext, RecordEncoder } from '../codec.ts';
import { NUMBER_BYTES_MAX, variableBytes, writeAscii, writeFixed } from '../text-writer.ts';

const QUOTE = 0x22;
/** Most bytes of a field per byte of its text: a quote is doubled. */
const QUOTE_FACTOR = 2;

export class CsvEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #delimiter: number;

  constructor(context: EncoderContext, delimiter: number) {
    this.#memory = context.memory;
    this.#delimiter = delimiter;
  }

  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u8, u32 } = this.#memory;
    const { columns } = batch;
    let at = address;
    for (let row = from; row < to; row++) {
      if (at + this.#bound(columns, row) > limit) return row - from;
      for (let c = 0; c < columns.length; c++) {
        if (c > 0) u8[at++] = this.#delimiter;
        at = this.#value(columns[c] as Column, row, at);
      }
      u32[(ends >>> 2) + (row - from)] = at;
    }
    return to - from;
  }

  /** An upper bound of the row's bytes. */
  #bound(columns: readonly Column[], row: number): number {
    return columns.length * (NUMBER_BYTES_MAX + 1) + variableBytes(this.#memory, columns, row, QUOTE_FACTOR);
  }

  #value(column: Column, row: number, at: number): number {
    const memory = this.#memory;
    const { data, offsets, type } = column;
    if (!isValid(memory, column, row)) return at;
    if (offsets === 0) return writeFixed(memory, column, row, at, undefined);
    const from = data + (memory.i32[(offsets >>> 2) + row] as number);
    const to = data + (memory.i32[(offsets >>> 2) + row + 1] as number);
    if (type.name === 'utf8') return this.#text(at, from, to);
    return from === to ? writeAscii(memory.u8, at, '""') : encodeBase64(memory.u8, from, to, at);
  }

  #text(address: number, from: number, to: number): number {
    const { u8 } = this.#memory;
    let isPlain = from < to;
    for (let i = from; i < to && isPlain; i++) {
      const byte = u8[i] as number;
      isPlain = byte !== QUOTE && byte !== this.#delimiter && byte !== 0x0a && byte !== 0x0d;
    }
    let at = address;
    if (!isPlain) u8[at++] = QUOTE;
    for (let i = from; i < to; i++) {
      const byte = u8[i] as number;
      if (byte === QUOTE) u8[at++] = QUOTE;
      u8[at++] = byte;
    }
    if (!isPlain) u8[at++] = QUOTE;
    return at;
  }
}
