/**
 * The encoder of sinks that write each row themselves, in the server's own bytes, without a codec. It knows which
 * rows of a table's changes are written, deleted, or left out because the row behind replaces them. A row that
 * cannot be written (its key is null) becomes a record that says so: the transport hands it to the ledger.
 */

import { type Batch, isValid, readValue, type Schema, type SharedMemory, SIGN } from '../../core/index.ts';
import type { RecordEncoder } from '../codec.ts';

export interface RowWriter {
  /** Most bytes that `write` needs for the row. */
  bytesMax(batch: Batch, row: number): number;
  /**
   * Writes the record of a row, or the one that deletes it. The first byte must not be 0xff.
   *
   * @returns the address behind it; -1 when the row cannot be written: `fault` says why
   */
  write(batch: Batch, row: number, at: number, isGone: boolean): number;
  readonly fault: string;
}

/** The first byte of a record that stands for a row that cannot be written. */
const REFUSED = 0xff;

export class RowRecords implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #sign: number;
  readonly #key: readonly number[];
  readonly #writer: RowWriter;

  /**
   * @param schema of the batches to come, with the hidden column where the stream is a table's changes
   * @param key columns that name a row; may be empty for facts
   */
  constructor(memory: SharedMemory, schema: Schema, key: readonly string[], writer: RowWriter) {
    this.#memory = memory;
    this.#sign = schema.indexOf(SIGN);
    this.#key = key.map((name) => schema.require(name, 'The key of the sink'));
    this.#writer = writer;
  }

  /** A row that is left out ends where the one before it does. */
  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u32, u8 } = this.#memory;
    const writer = this.#writer;
    let at = address;
    for (let row = from; row < to; row++) {
      const isGone = this.#sign >= 0 && this.#isTakenBack(batch, row);
      if (!(isGone && this.#isReplaced(batch, row))) {
        if (at + writer.bytesMax(batch, row) > limit) return row - from;
        let end = writer.write(batch, row, at, isGone);
        if (end < 0) {
          const record = refusedRecord(writer.fault, rowText(batch, row));
          if (at + record.length > limit) return row - from;
          u8.set(record, at);
          end = at + record.length;
        }
        at = end;
      }
      u32[(ends >>> 2) + (row - from)] = at;
    }
    return to - from;
  }

  #isTakenBack(batch: Batch, row: number): boolean {
    return readValue(this.#memory, batch.column(this.#sign), row) === true;
  }

  /** The new row comes directly behind the old one of its key. */
  #isReplaced(batch: Batch, row: number): boolean {
    if (row + 1 >= batch.rowCount || this.#isTakenBack(batch, row + 1)) return false;
    return this.#key.every((column) => {
      const here = isValid(this.#memory, batch.column(column), row) ? batch.value(column, row) : null;
      const next = isValid(this.#memory, batch.column(column), row + 1) ? batch.value(column, row + 1) : null;
      if (here instanceof Uint8Array && next instanceof Uint8Array) return Buffer.compare(here, next) === 0;
      return Object.is(here, next);
    });
  }
}

/** Why a record cannot be sent, and its row as text, where the worker could not write it. */
export function refusalOf(record: Uint8Array): { readonly message: string; readonly row: string } | undefined {
  if (record[0] !== REFUSED) return undefined;
  const [message, row] = JSON.parse(Buffer.from(record.subarray(1)).toString()) as [string, string];
  return { message, row };
}

function refusedRecord(message: string, row: string): Uint8Array {
  const text = Buffer.from(JSON.stringify([message, row]));
  const record = new Uint8Array(text.length + 1);
  record[0] = REFUSED;
  record.set(text, 1);
  return record;
}

function rowText(batch: Batch, row: number): string {
  const shownValue = (value: unknown): unknown => {
    if (typeof value === 'bigint') return value.toString();
    return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
  };
  return JSON.stringify(Object.fromEntries(batch.schema.fields.flatMap(({ name }, c) => (name === SIGN ? [] : [[name, shownValue(batch.value(c, row))]]))));
}
