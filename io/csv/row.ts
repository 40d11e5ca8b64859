/** One CSV record into one row of columns: fields by position, RFC 4180 quotes. */

import { type ColumnSpace, type Schema, shown } from '../../core/index.ts';
import { type ColumnWriter, literalText } from '../column-writer.ts';
import { JsonScanner } from '../json/scanner.ts';
import { shownBytes } from '../rejection.ts';
import { utf8Fault } from '../utf8.ts';

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
  readonly #schema: Schema;
  readonly #delimiter: number;
  /** For each field, the column of the writer, or NOT_WANTED. */
  readonly #wanted: readonly number[];
  readonly #number: JsonScanner;
  /**
   * The last field found: its bytes without the quotes, whether it is quoted, whether it has doubled quotes.
   */
  #from = 0;
  #to = 0;
  #isQuoted = false;
  #hasQuotes = false;
  #fault = '';

  constructor(writer: ColumnWriter, schema: Schema, positions: readonly number[], delimiter: number) {
    this.#writer = writer;
    this.#u8 = writer.builder.memory.u8;
    this.#schema = schema;
    this.#delimiter = delimiter;
    this.#wanted = schema.fields.map((_, c) => positions.indexOf(c));
    this.#number = new JsonScanner(this.#u8);
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
    const to = this.#withoutLineEnd(from, end);
    const bad = utf8Fault(this.#u8, from, to);
    if (bad !== to) return this.#refuse(`expected well-formed UTF-8 at byte ${bad - from}`);
    const count = this.#wanted.length;
    let at = from;
    for (let field = 0; field < count; field++) {
      if (at > to) return this.#refuse(`it has ${field} fields, and the schema ${count} columns`);
      const next = this.#field(at, to, from);
      if (next < 0) return false;
      const w = this.#wanted[field] as number;
      if (w !== NOT_WANTED) {
        const problem = this.#value(w, row);
        if (problem !== undefined)
          return this.#refuse(
            `column ${shown(this.#schema.field(field).name)} holds ${this.#schema.field(field).type.name}, but byte ${at - from} has ${shownBytes(this.#writer.builder.memory, this.#from, this.#to)}, ${problem}`,
          );
      }
      at = next + 1;
    }
    return at > to || this.#refuse(`it has more fields than the schema's ${count} columns, from byte ${at - from} on`);
  }

  /** What is wrong with a header line, or undefined. It must name the columns of the schema, in order. */
  headerFault(from: number, end: number): string | undefined {
    const to = this.#withoutLineEnd(from, end);
    // A file may begin with a byte order mark.
    let at = this.#u8[from] === 0xef && this.#u8[from + 1] === 0xbb && this.#u8[from + 2] === 0xbf ? from + 3 : from;
    const names: string[] = [];
    while (at <= to) {
      const next = this.#field(at, to, from);
      if (next < 0) return this.#fault;
      names.push(
        Buffer.from(this.#u8.slice(this.#from, this.#to))
          .toString('utf8')
          .replaceAll('""', this.#hasQuotes ? '"' : '""'),
      );
      at = next + 1;
    }
    const wanted = this.#schema.fields.map((field) => field.name);
    return names.length === wanted.length && names.every((name, i) => name === wanted[i])
      ? undefined
      : `its header names ${shown(names)}, and the schema ${shown(wanted)}; name the columns in the order of the file`;
  }

  #withoutLineEnd(from: number, end: number): number {
    let to = end;
    if (to > from && this.#u8[to - 1] === 0x0a) to--;
    if (to > from && this.#u8[to - 1] === 0x0d) to--;
    return to;
  }

  /** Finds the end of the field at `at`: the delimiter after it, or `to`; -1 when it is refused. */
  #field(at: number, to: number, recordFrom: number): number {
    const u8 = this.#u8;
    this.#isQuoted = at < to && u8[at] === QUOTE;
    this.#hasQuotes = false;
    let p = at;
    if (!this.#isQuoted) {
      for (; p < to && u8[p] !== this.#delimiter; p++) {
        if (u8[p] === QUOTE) {
          this.#refuse(`a quote at byte ${p - recordFrom} in a field that is not quoted; quote the field and double the quote`);
          return -1;
        }
      }
      this.#from = at;
      this.#to = p;
      return p;
    }
    p++;
    for (; ; p++) {
      if (p >= to) {
        this.#refuse(`the quoted field at byte ${at - recordFrom} does not end`);
        return -1;
      }
      if (u8[p] !== QUOTE) continue;
      if (p + 1 >= to || u8[p + 1] !== QUOTE) break;
      this.#hasQuotes = true;
      p++;
    }
    this.#from = at + 1;
    this.#to = p;
    if (p + 1 < to && u8[p + 1] !== this.#delimiter) {
      this.#refuse(`expected a delimiter behind the closing quote at byte ${p - recordFrom}`);
      return -1;
    }
    return p + 1;
  }

  /** Writes the field; returns what is wrong with it, or undefined. */
  #value(w: number, row: number): string | undefined {
    const writer = this.#writer;
    const { type } = writer.columns[w] as ColumnSpace;
    const from = this.#from;
    const to = this.#to;
    if (from === to && !this.#isQuoted && type.nullable) {
      writer.setNull(w, row);
      return undefined;
    }
    switch (type.name) {
      case 'utf8':
        this.#text(w, row);
        return undefined;
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

  #numberOrTime(w: number, row: number, type: string): string | undefined {
    const from = this.#from;
    const to = this.#to;
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
    return from === to ? 'which is empty; make the column nullable if it may be' : 'which is no number';
  }

  /** Writes text, with doubled quotes made single. */
  #text(w: number, row: number): void {
    const u8 = this.#u8;
    if (!this.#hasQuotes) {
      this.#writer.setBytes(w, row, this.#from, this.#to);
      return;
    }
    const address = this.#writer.roomForBytes(w, row, this.#to - this.#from);
    let at = address;
    for (let p = this.#from; p < this.#to; p++) {
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
