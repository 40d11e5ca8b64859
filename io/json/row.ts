/**
 * One JSON record into one row of columns. It is the reference of the kernel (core/kernels/json.ts), and the
 * path for records that the kernel hands back. It is complete: it takes whatever the kernel takes, to the
 * same bytes.
 */

import { type ColumnSpace, kindText, type SlabAllocator, shown } from '../../core/index.ts';
import type { ColumnWriter } from '../column-writer.ts';
import { listOfJson } from '../nested-text.ts';
import { shownBytes } from '../rejection.ts';
import { type JsonColumn, type JsonMember, membersOf } from './layout.ts';
import { JsonScanner, unescapeString } from './scanner.ts';

const MISSING = 0;
const WRITTEN = 1;
const FAULTY = 2;
const KEY_BYTES_FIRST = 256;

/** A member that is wanted, with the bytes of its key. */
interface Wanted {
  readonly key: Uint8Array;
  /** Position among the writer's columns, or -1: an object of members. */
  readonly column: number;
  readonly isPlain: boolean;
  readonly inner: WantedMembers;
  /** How messages name it. */
  readonly path: string;
  /** Columns in it, by position. */
  readonly columns: readonly number[];
}

interface WantedMembers {
  readonly list: readonly Wanted[];
  /** The one that is tried first: keys mostly come in the same order in every record. */
  likely: number;
}

/** Reads the wanted members of a record into the columns of a writer. */
export class JsonRowReader {
  readonly #writer: ColumnWriter;
  readonly #u8: Uint8Array;
  readonly #scanner: JsonScanner;
  readonly #members: WantedMembers;
  /** For columns with a default, the addresses of its JSON and behind it. */
  readonly #defaults: readonly (readonly [from: number, to: number] | undefined)[];
  readonly #states: Uint8Array;
  /** 1: the value is that of the member which has the column's whole name. */
  readonly #isPlain: Uint8Array;
  readonly #faults: string[];
  /** By column, whether there are two ways to it. */
  readonly #hasWays: readonly boolean[];
  #hasPath = false;
  #scratch = new Uint8Array(KEY_BYTES_FIRST);
  #from = 0;
  #fault = '';

  /** @param columns those of the writer, in its order */
  constructor(writer: ColumnWriter, slabs: SlabAllocator, columns: readonly JsonColumn[]) {
    this.#writer = writer;
    this.#u8 = writer.builder.memory.u8;
    this.#scanner = new JsonScanner(this.#u8);
    this.#members = wantedOf(
      membersOf(
        columns.map((column, position) => ({ column, position })),
        'both',
      ),
      '',
    );
    this.#defaults = columns.map(({ default: literal }) => {
      if (literal === undefined) return undefined;
      const at = slabs.alloc(literal.length);
      this.#u8.set(literal, at);
      return [at, at + literal.length];
    });
    this.#states = new Uint8Array(columns.length);
    this.#isPlain = new Uint8Array(columns.length);
    this.#faults = columns.map(() => '');
    this.#hasWays = columns.map(({ plain }) => plain !== undefined);
  }

  /** What was wrong with the record when `read` last returned false. */
  get fault(): string {
    return this.#fault;
  }

  /** Which of the two ways to a column with dots in its name the last record had; undefined: none. */
  get way(): 'plain' | 'path' | undefined {
    return this.#isPlain.includes(1) ? 'plain' : this.#hasPath ? 'path' : undefined;
  }

  /**
   * Decodes the record at `from` to `to` into row `row`. False when it is refused; the row may be written
   * again then.
   */
  read(from: number, to: number, row: number): boolean {
    this.#from = from;
    this.#states.fill(MISSING);
    this.#isPlain.fill(0);
    this.#hasPath = false;
    const scanner = this.#scanner;
    scanner.open(from, to);
    if (!this.#record(row)) {
      this.#fault = `expected ${scanner.fault} at byte ${scanner.faultAt - from}, but ${this.#found(scanner.faultAt, to)}`;
      return false;
    }
    for (let w = 0; w < this.#states.length; w++) {
      if (this.#states[w] === WRITTEN) continue;
      if (this.#states[w] === MISSING) {
        if (this.#missing(w, row)) continue;
        this.#fault = `${this.#wants(w)}, but the key is missing; make the column nullable if it may be`;
      } else this.#fault = this.#faults[w] as string;
      return false;
    }
    return true;
  }

  /** Writes the default, or null; false where there is neither. */
  #missing(w: number, row: number): boolean {
    const literal = this.#defaults[w];
    if (literal === undefined) return this.#writer.setNull(w, row);
    this.#scanner.open(literal[0], literal[1]);
    this.#value(w, row, 1);
    return this.#states[w] === WRITTEN;
  }

  /** Reads the record's object; false when it is not JSON, or no object. */
  #record(row: number): boolean {
    const scanner = this.#scanner;
    scanner.skipSpace();
    if (!scanner.expect(0x7b, 'an object')) return false;
    if (!this.#object(this.#members, row, 1)) return false;
    scanner.skipSpace();
    return scanner.at === scanner.end || scanner.refuse(scanner.at, 'the end of the record');
  }

  /** Reads the members of an object, from behind its opening brace to behind its closing one. */
  #object(members: WantedMembers, row: number, depth: number): boolean {
    const scanner = this.#scanner;
    scanner.skipSpace();
    if (scanner.peek() === 0x7d) {
      scanner.at++;
      return true;
    }
    for (;;) {
      if (!scanner.key()) return false;
      const member = this.#member(members, scanner.stringFrom, scanner.stringTo, scanner.hasEscape);
      scanner.skipSpace();
      if (member === undefined ? !scanner.value(depth) : !this.#wanted(member, row, depth)) return false;
      scanner.skipSpace();
      const next = scanner.peek();
      if (next === 0x7d) break;
      if (next !== 0x2c) return scanner.refuse(scanner.at, "a comma or the object's end");
      scanner.at++;
      scanner.skipSpace();
    }
    scanner.at++;
    return true;
  }

  /** Reads the value of a wanted key. False when it is invalid JSON. */
  #wanted(member: Wanted, row: number, depth: number): boolean {
    const scanner = this.#scanner;
    const w = member.column;
    if (w >= 0) {
      if (this.#isPlain[w] === 1 && !member.isPlain) return scanner.value(depth);
      if (member.isPlain) this.#isPlain[w] = 1;
      else if (this.#hasWays[w] === true) this.#hasPath = true;
      return this.#value(w, row, depth);
    }
    // The last of objects under one key counts, whatever was in the others.
    for (const column of member.columns) if (this.#isPlain[column] === 0) this.#states[column] = MISSING;
    const kind = scanner.kind();
    if (kind === 'object') {
      scanner.at++;
      return this.#object(member.inner, row, depth + 1);
    }
    const start = scanner.at;
    if (!scanner.value(depth)) return false;
    if (kind === 'null') return true;
    for (const column of member.columns) {
      if (this.#isPlain[column] === 1) continue;
      this.#states[column] = FAULTY;
      this.#faults[column] =
        `${this.#wants(column)} in the object ${shown(member.path)}, but byte ${start - this.#from} has ${shownBytes(this.#writer.builder.memory, start, scanner.at)}`;
    }
    return true;
  }

  /**
   * Reads the value of a column. False when it is invalid JSON. A value of the wrong type is noted, and a
   * later one of the same key may replace it.
   */
  #value(w: number, row: number, depth: number): boolean {
    const scanner = this.#scanner;
    const writer = this.#writer;
    const start = scanner.at;
    const kind = scanner.kind();
    if (!scanner.value(depth)) return false;
    const { type } = writer.columns[w] as ColumnSpace;
    let problem: string | undefined;
    let isWritten = false;
    if (kind === 'null' && type.nullable) isWritten = writer.setNull(w, row);
    else if (kind === 'null' && this.#defaults[w] !== undefined) {
      // As a missing one. Where a default is read, it is no null.
      this.#states[w] = MISSING;
      return true;
    } else if (type.json) {
      writer.setJson(w, row, start, scanner.at);
      isWritten = true;
    } else if (type.element !== undefined) {
      if (kind === 'array') {
        const made = listOfJson(type.element, jsonAt(this.#u8, start, scanner.at));
        if ('text' in made) writer.setText(w, row, made.text);
        else problem = `is no such list: ${made.problem}`;
        isWritten = 'text' in made;
      }
    } else if (kind === 'true' || kind === 'false') {
      isWritten = type.name === 'bool';
      if (isWritten) writer.setBool(w, row, kind === 'true');
    } else if (kind === 'number') {
      if (type.name !== 'bool' && type.name !== 'utf8' && type.name !== 'binary') {
        problem = writer.setNumber(w, row, start, scanner.at, scanner.isInteger);
        isWritten = problem === undefined;
      }
    } else if (kind === 'string') {
      isWritten = this.#string(w, row, type.name);
      if (!isWritten && type.name === 'timestamp') problem = `is no ${writer.timeFormats[w]?.shown ?? 'ISO 8601 time'}`;
      if (!isWritten && type.name === 'binary') problem = 'is no base64';
    }
    this.#states[w] = isWritten ? WRITTEN : FAULTY;
    if (!isWritten)
      this.#faults[w] =
        `${this.#wants(w)}, but byte ${start - this.#from} has ${shownBytes(writer.builder.memory, start, scanner.at)}${problem ? `, which ${problem}` : ''}`;
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

  /** The wanted member of a key; undefined: it is not wanted. */
  #member(members: WantedMembers, from: number, to: number, hasEscape: boolean): Wanted | undefined {
    const { list } = members;
    const length = hasEscape ? this.#unescape(from, to) : to - from;
    const start = hasEscape ? 0 : from;
    const source = hasEscape ? this.#scratch : this.#u8;
    for (let i = 0, m = members.likely; i < list.length; i++, m++) {
      if (m >= list.length) m = 0;
      const member = list[m] as Wanted;
      if (isKey(member.key, source, start, length)) {
        members.likely = m + 1 < list.length ? m + 1 : 0;
        return member;
      }
    }
    return undefined;
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
    return `column ${shown(name)} holds ${kindText(type)}${type.nullable ? ' or null' : ''}`;
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

function wantedOf(members: readonly JsonMember[], at: string): WantedMembers {
  const list = members.map((member): Wanted => {
    const path = `${at}${member.key}`;
    const inner = wantedOf(member.members, `${path}.`);
    const columns = member.column >= 0 ? [member.column] : inner.list.flatMap((wanted) => wanted.columns);
    // UTF-8 cannot hold a name with a lone surrogate, so such a key is never found.
    const isWellFormed = Buffer.from(member.key).toString() === member.key;
    const key = isWellFormed ? new Uint8Array(Buffer.from(member.key)) : new Uint8Array([0xff]);
    return { key, column: member.column, isPlain: member.isPlain, inner, path, columns };
  });
  return { list, likely: 0 };
}

/** JSON that has been checked, as text. */
function jsonAt(u8: Uint8Array, from: number, to: number): string {
  return Buffer.from(u8.slice(from, to)).toString();
}
