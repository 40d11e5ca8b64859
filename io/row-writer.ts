/**
 * Writes rows that are JavaScript objects into the columns of a BatchBuilder, for the sources that have
 * objects (generator, memory, iterable). It reads the wanted columns only, and makes nothing per row.
 */

import { type AnyRow, type BatchBuilder, type ColumnSpace, MillraceError, memberOf, shown } from '../core/index.ts';

const encoder = new TextEncoder();

export class RowWriter {
  readonly #builder: BatchBuilder;
  readonly #columns: readonly number[];
  readonly #ownOnly: readonly boolean[];
  readonly #isPlainText: readonly boolean[];

  /** @param columns positions of the columns to write; the others stay unchanged */
  constructor(builder: BatchBuilder, columns: readonly number[] = builder.columns.map((_, c) => c)) {
    this.#builder = builder;
    this.#columns = columns;
    // A missing `toString` must read as missing, and `__proto__` as a column: these names are looked up as
    // own properties only.
    this.#ownOnly = builder.columns.map(({ name, type }) => type.nested === true || name in Object.prototype);
    this.#isPlainText = builder.columns.map(({ type }) => type.name === 'utf8' && type.json === undefined && type.element === undefined);
  }

  /**
   * Appends a row.
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA when it is no object, or a value does not fit; reset the
   * builder then
   */
  append(row: AnyRow): void {
    if (typeof row !== 'object' || row === null) {
      throw new MillraceError('ERR_MILLRACE_SCHEMA', `A row is ${shown(row)}. It must be an object with a property for each column.`);
    }
    const builder = this.#builder;
    const columns = this.#columns;
    const at = builder.rowCount;
    for (let n = 0; n < columns.length; n++) {
      const c = columns[n] as number;
      const column = builder.columns[c] as ColumnSpace;
      const value = this.#ownOnly[c] === true ? memberOf(row, column) : row[column.name];
      if (typeof value === 'string' && this.#isPlainText[c] === true) this.#setText(column, at, value);
      else builder.setValue(c, at, value);
    }
    builder.rowCount = at + 1;
  }

  /**
   * Writes text without making a Buffer. The builder marks rows valid when it is reset, so the bit is right
   * already.
   */
  #setText(column: ColumnSpace, row: number, text: string): void {
    const builder = this.#builder;
    const { memory } = builder;
    builder.reserve(column, text.length * 3);
    let at = column.data + column.byteLength;
    const { u8 } = memory;
    let i = 0;
    for (; i < text.length && i < 64; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) break;
      u8[at++] = code;
    }
    if (i < text.length) at += encoder.encodeInto(text.slice(i), u8.subarray(at, column.data + column.byteCapacity)).written;
    column.byteLength = at - column.data;
    memory.i32[(column.offsets >>> 2) + row + 1] = column.byteLength;
  }
}
