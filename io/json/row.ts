/**
 * One JSON record into one row of columns. It is the reference of the kernel (core/kernels/json.ts), and the
 * path for records that the kernel hands back. It is complete: it takes whatever the kernel takes, to the
 * same bytes.
 */

import { type ColumnSpace, shown } from '../../core/index.ts';
import type { ColumnWriter } from '../column-writer.ts';
import { shownBytes } from '../rejection.ts';
import { JsonScanner, unescapeString } from './scanner.ts';

const MISSING = 0;
const WRITTEN = 1;
const FAULTY = 2;
const NOT_WANTED = -1;
const KEY_BYTES_FIRST = 256;

/**
 * Reads the wanted keys of a record into the columns of a writer. The keys are the column names, in the
 * writer's order.
 */
export class JsonRowReader {
  readonly #writer: ColumnWriter;
  readonly #u8: Uint8Array;
  readonly #scanner: JsonScanner;
  readonly #keys: readonly Uint8Array[];
  readonly #states: Uint8Array;
  readonly #faults: string[];
  #scratch = new Uint8Array(KEY_BYTES_FIRST);
  #likely = 0;
  #from = 0;
  #fault = '';

  constructor(writer: ColumnWriter) {
    this.#writer = writer;
    this.#u8 = writer.builder.memory.u8;
    this.#scanner = new JsonScanner(this.#u8);
    // UTF-8 cannot hold a name with a lone surrogate, so such a key is never found.
    this.#keys = writer.columns.map(({ name }) => (Buffer.from(name).toString() === name ? Buffer.from(name) : new Uint8Array([0xff])));
    this.#states = new Uint8Array(writer.columns.length);
    this.#faults = writer.columns.map(() => '');
  }

  /** What was wrong with the record when `read` last returned false. */
  get fault(): string {
    return this.#fault;
  }

  /**
   * Decodes the record at `from` to `to` into row `row`. False when it is refused; the row may be written
   * again then.
   */
  read(from: number, to: number, row: number): boolean {
    this.#from = from;
    this.#states.fill(MISSING);
    const scanner = this.#scanner;
    scanner.open(from, to);
    if (!this.#object(row)) {
      this.#fault = `expected ${scanner.fault} at byte ${scanner.faultAt - from}, but ${this.#found(scanner.faultAt, to)}`;
      return false;
    }
    for (let w = 0; w < this.#states.length; w++) {
      if (this.#states[w] === WRITTEN) continue;
      if (this.#states[w] === MISSING) {
        if (this.#writer.setNull(w, row)) continue;
        this.#fault = `${this.#wants(w)}, but the key is missing; make the column nullable if it may be`;
      } else this.#fault = this.#faults[w] as string;
      return false;
    }
    return true;
  }

  /** Reads the record's object; false when it is not JSON, or no object. */
  #object(row: number): boolean {
    const scanner = this.#scanner;
    scanner.skipSpace();
    if (!scanner.expect(0x7b, 'an object')) return false;
    scanner.skipSpace();
    if (scanner.peek() === 0x7d) scanner.at++;
    else {
      for (;;) {
        if (!scanner.key()) return false;
        const w = this.#column(scanner.stringFrom, scanner.stringTo, scanner.hasEscape);
        scanner.skipSpace();
        if (w === NOT_WANTED ? !scanner.value(1) : !this.#value(w, row)) return false;
        scanner.skipSpace();
        const next = scanner.peek();
        if (next === 0x7d) break;
        if (next !== 0x2c) return scanner.refuse(scanner.at, "a comma or the object's end");
        scanner.at++;
        scanner.skipSpace();
      }
      scanner.at++;
    }
    scanner.skipSpace();
    return scanner.at === scanner.end || scanner.refuse(scanner.at, 'the end of the record');
  }

  /**
   * Reads the value of a wanted key. False when it is invalid JSON. A value of the wrong type is noted, and a
   * later one of the same key may replace it.
   */
  #value(w: number, row: number): boolean {
    const scanner = this.#scanner;
    const writer = this.#writer;
    const start = scanner.at;
    const kind = scanner.kind();
    if (!scanner.value(1)) return false;
    const type = (writer.columns[w] as ColumnSpace).type.name;
    let problem: string | undefined;
    let isWritten = false;
    if (kind === 'null') isWritten = writer.setNull(w, row);
    else if (kind === 'true' || kind === 'false') {
      isWritten = type === 'bool';
      if (isWritten) writer.setBool(w, row, kind === 'true');
    } else if (kind === 'number') {
      if (type !== 'bool' && type !== 'utf8' && type !== 'binary') {
        problem = writer.setNumber(w, row, start, scanner.at, scanner.isInteger);
        isWritten = problem === undefined;
      }
    } else if (kind === 'string') {
      isWritten = this.#string(w, row, type);
      if (!isWritten && type === 'timestamp') problem = `is no ${writer.timeFormats[w]?.shown ?? 'ISO 8601 time'}`;
      if (!isWritten && type === 'binary') problem = 'is no base64';
    }
    if (!isWritten)
      this.#faults[w] =
        `${this.#wants(w)}, but byte ${start - this.#from} has ${shownBytes(writer.builder.memory, start, scanner.at)}${problem ? `, which ${problem}` : ''}`;
    this.#states[w] = isWritten ? WRITTEN : FAULTY;
    return true;
  }

  #string(w: number, row: number, type: string): boolean {
    const writer = this.#writer;
    let { stringFrom: from, stringTo: to } = this.#scanner;
    if (type !== 'utf8' && type !== 'binary' && type !== 'timestamp') return false;
    if (!this.#scanner.hasEscape) {
      if (type === 'binary') return writer.setBase64(w, row, from, to);
      if (type === 'timestamp') return writer.setTime(w, row, from, to);
      writer.setBytes(w, row, from, to);
      return true;
    }
    if (type === 'timestamp') {
      const length = this.#unescape(from, to);
      return writer.setTime(w, row, 0, length, this.#scratch);
    }
    const address = writer.roomForBytes(w, row, to - from);
    to = unescapeString(this.#u8, from, to, address);
    from = address;
    if (type === 'binary') return writer.setBase64(w, row, from, to);
    writer.bytesWritten(w, row, to - from);
    writer.setValid(w, row);
    return true;
  }

  /**
   * The column of a key, or NOT_WANTED. Keys mostly come in the same order in every record, so the key after
   * the last one found is tried first.
   */
  #column(from: number, to: number, hasEscape: boolean): number {
    const keys = this.#keys;
    const length = hasEscape ? this.#unescape(from, to) : to - from;
    const start = hasEscape ? 0 : from;
    const source = hasEscape ? this.#scratch : this.#u8;
    for (let i = 0, w = this.#likely; i < keys.length; i++, w++) {
      if (w >= keys.length) w = 0;
      if (isKey(keys[w] as Uint8Array, source, start, length)) {
        this.#likely = w + 1 < keys.length ? w + 1 : 0;
        return w;
      }
    }
    return NOT_WANTED;
  }

  /** Resolves a string with escapes into the scratch bytes; returns its length. */
  #unescape(from: number, to: number): number {
    const raw = this.#u8.slice(from, to);
    if (this.#scratch.length < raw.length) this.#scratch = new Uint8Array(raw.length * 2);
    this.#scratch.set(raw);
    // In place: writing never overtakes reading.
    return unescapeString(this.#scratch, 0, raw.length, 0);
  }

  #wants(w: number): string {
    const { name, type } = this.#writer.columns[w] as ColumnSpace;
    return `column ${shown(name)} holds ${type.name}${type.nullable ? ' or null' : ''}`;
  }

  #found(at: number, to: number): string {
    return at >= to ? 'the record ends' : `there is ${shownBytes(this.#writer.builder.memory, at, to)}`;
  }
}

function isKey(key: Uint8Array, bytes: Uint8Array, from: number, length: number): boolean {
  if (key.length !== length) return false;
  for (let i = 0; i < length; i++) if (key[i] !== bytes[from + i]) return false;
  return true;
}
