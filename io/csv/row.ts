/** One CSV record into one row of columns. Which field is which column is told beforehand. */

import { type ColumnSpace, kindText, readText, shown } from '../../core/index.ts';
import { type ColumnWriter, literalText } from '../column-writer.ts';
import { JsonScanner } from '../json/scanner.ts';
import { nestedText } from '../nested-text.ts';
import { shownBytes } from '../rejection.ts';
import { utf8Fault } from '../utf8.ts';
import { CsvField, withoutLineEnd } from './field.ts';

const QUOTE = 0x22;
const NOT_WANTED = -1;
const WORDS: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);
const WORD_BYTES_MAX = 9;

/** Reads records into the columns of a writer. */
export class CsvRowReader {
  readonly #writer: ColumnWriter;
  readonly #u8: Uint8Array;
  /** By column of the writer: the texts that stand for null. */
  readonly #nulls: readonly (readonly Uint8Array[])[];
  readonly #field: CsvField;
  readonly #number: JsonScanner;
  /** For each field, the column of the writer, or NOT_WANTED. */
  #wanted: readonly number[] = [];
  /** Columns of the writer that no field is for. */
  #absent: readonly number[] = [];
  #owner = '';
  #fault = '';

  /** @param nulls by column of the writer */
  constructor(writer: ColumnWriter, delimiter: number, nulls: readonly (readonly Uint8Array[])[]) {
    this.#writer = writer;
    this.#u8 = writer.builder.memory.u8;
    this.#nulls = nulls;
    this.#field = new CsvField(this.#u8, delimiter);
    this.#number = new JsonScanner(this.#u8);
  }

  /**
   * Says what the fields of the records to come are.
   *
   * @param fieldOf by column of the writer, its field; negative: none, so each row is null there
   * @param owner who says so, for messages: `the schema`
   */
  setFields(fieldOf: readonly number[], count: number, owner: string): void {
    this.#wanted = Array.from({ length: count }, (_, field) => fieldOf.indexOf(field));
    this.#absent = fieldOf.flatMap((field, w) => (field < 0 ? [w] : []));
    this.#owner = owner;
  }

  /** What was wrong with the last refused record. */
  get fault(): string {
    return this.#fault;
  }

  /**
   * Decodes the record at `from` to `end` into row `row`; false when it is refused. A line end at its end is
   * not part of it.
   */
  read(from: number, end: number, row: number): boolean {
    const to = withoutLineEnd(this.#u8, from, end);
    const bad = utf8Fault(this.#u8, from, to);
    if (bad !== to) return this.#refuse(`expected well-formed UTF-8 at byte ${bad - from}`);
    const count = this.#wanted.length;
    let at = from;
    for (let field = 0; field < count; field++) {
      if (at > to) return this.#refuse(`it has ${field} fields, and ${this.#owner} ${count} columns`);
      const next = this.#field.find(at, to, from);
      if (next < 0) return this.#refuse(this.#field.fault);
      const w = this.#wanted[field] as number;
      if (w !== NOT_WANTED) {
        const problem = this.#value(w, row);
        if (problem !== undefined) {
          const { name, type } = this.#writer.columns[w] as ColumnSpace;
          const found = shownBytes(this.#writer.builder.memory, this.#field.from, this.#field.to);
          return this.#refuse(`column ${shown(name)} holds ${kindText(type)}, but byte ${at - from} has ${found}, ${problem}`);
        }
      }
      at = next + 1;
    }
    for (let i = 0; i < this.#absent.length; i++) this.#writer.setNull(this.#absent[i] as number, row);
    return at > to || this.#refuse(`it has more fields than ${this.#owner}'s ${count} columns, from byte ${at - from} on`);
  }

  /** Writes the field; returns what is wrong with it, or undefined. */
  #value(w: number, row: number): string | undefined {
    const writer = this.#writer;
    const { type } = writer.columns[w] as ColumnSpace;
    const { from, to } = this.#field;
    if (type.nullable && !this.#field.isQuoted && this.#isNull(w, from, to)) {
      writer.setNull(w, row);
      return undefined;
    }
    switch (type.name) {
      case 'utf8': {
        this.#text(w, row);
        return type.json || type.element !== undefined ? this.#nested(w, row) : undefined;
      }
      case 'binary':
        return writer.setBase64(w, row, from, to) ? undefined : 'which is no base64';
      case 'bool': {
        const word = to - from <= 5 ? literalText(this.#u8, from, to).toLowerCase() : '';
        if (word !== 'true' && word !== 'false') return 'which is neither true nor false';
        writer.setBool(w, row, word === 'true');
        return undefined;
      }
      default:
        return this.#numberOrTime(w, row, type.name);
    }
  }

  /** The text that was written, a list or another value as JSON, in the form that its column holds. */
  #nested(w: number, row: number): string | undefined {
    const writer = this.#writer;
    const column = writer.columns[w] as ColumnSpace;
    const { memory } = writer.builder;
    const ends = (column.offsets >>> 2) + row;
    const made = nestedText(column.type, readText(memory, column.data + (memory.i32[ends] as number), column.data + (memory.i32[ends + 1] as number)));
    if ('problem' in made) return `which ${/^is /.test(made.problem) ? '' : 'is no such list: '}${made.problem}`;
    writer.setText(w, row, made.text);
    return undefined;
  }

  #isNull(w: number, from: number, to: number): boolean {
    const nulls = this.#nulls[w] as readonly Uint8Array[];
    for (let n = 0; n < nulls.length; n++) {
      const text = nulls[n] as Uint8Array;
      if (text.length !== to - from) continue;
      let i = 0;
      while (i < text.length && text[i] === this.#u8[from + i]) i++;
      if (i === text.length) return true;
    }
    return false;
  }

  #numberOrTime(w: number, row: number, type: string): string | undefined {
    const { from, to } = this.#field;
    const format = this.#writer.timeFormats[w];
    // Where there is a pattern, digits are what it says: '20260101' is a day.
    if (format?.pattern !== undefined) return this.#writer.setTime(w, row, from, to) ? undefined : `which is no ${format.shown}`;
    const scanner = this.#number;
    scanner.open(from, to);
    if (scanner.number() && scanner.at === to) {
      const problem = this.#writer.setNumber(w, row, from, to, scanner.isInteger);
      return problem === undefined ? undefined : `which ${problem}`;
    }
    if (type === 'timestamp') return this.#writer.setTime(w, row, from, to) ? undefined : 'which is neither milliseconds nor ISO 8601';
    if ((type === 'f64' || type === 'f32') && to - from <= WORD_BYTES_MAX) {
      const value = WORDS.get(literalText(this.#u8, from, to));
      if (value !== undefined) {
        this.#writer.setFloat(w, row, value);
        return undefined;
      }
    }
    if (from < to) return 'which is no number';
    return (this.#writer.columns[w] as ColumnSpace).type.nullable
      ? "which is empty; name '' among the nulls if it stands for null"
      : 'which is empty; make the column nullable if it may be';
  }

  /** Writes text, with doubled quotes made single. */
  #text(w: number, row: number): void {
    const u8 = this.#u8;
    const { from, to, hasQuotes } = this.#field;
    if (!hasQuotes) {
      this.#writer.setBytes(w, row, from, to);
      return;
    }
    const address = this.#writer.roomForBytes(w, row, to - from);
    let at = address;
    for (let p = from; p < to; p++) {
      const byte = u8[p] as number;
      u8[at++] = byte;
      if (byte === QUOTE) p++;
    }
    this.#writer.bytesWritten(w, row, at - address);
    this.#writer.setValid(w, row);
  }

  #refuse(fault: string): false {
    this.#fault = fault;
    return false;
  }
}
