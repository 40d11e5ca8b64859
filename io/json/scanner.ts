/**
 * JSON tokens in shared memory: finds where a value ends and whether it is well formed. It writes nothing.
 *
 * It accepts and refuses what `JSON.parse` accepts and refuses of well-formed UTF-8 (RFC 8259). It also
 * refuses invalid UTF-8, which never reaches JSON.parse as such, and nesting deeper than DEPTH_MAX, which it
 * skips without recursion. A refusal is a `false` with `fault` and `faultAt`, not an exception.
 */

import { utf8Fault, writeCodePoint } from '../utf8.ts';

/** Most nested objects and arrays, the record's own object included. */
export const DEPTH_MAX = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const REPLACEMENT = 0xfffd;

const CONTAINER_END = new Uint8Array(DEPTH_MAX);
/** For the byte after a backslash, the byte it stands for; 0 where it is invalid. */
const ESCAPES = new Uint8Array(256);
for (const [letter, byte] of [
  ['"', 0x22],
  ['\\', 0x5c],
  ['/', 0x2f],
  ['b', 8],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
] as const)
  ESCAPES[letter.charCodeAt(0)] = byte;
const LITERALS: readonly (readonly number[])[] = ['true', 'false', 'null'].map((word) => [...Buffer.from(word)]);

/** The kind of a value, by its first byte. */
export type JsonKind = 'string' | 'number' | 'object' | 'array' | 'true' | 'false' | 'null';

export class JsonScanner {
  readonly u8: Uint8Array;
  at = 0;
  end = 0;
  fault = '';
  faultAt = 0;
  /** The last string: its bytes between the quotes, whether they hold a backslash. */
  stringFrom = 0;
  stringTo = 0;
  hasEscape = false;
  /** The last number: its literal, and whether it has neither fraction nor exponent. */
  numberFrom = 0;
  isInteger = false;

  constructor(u8: Uint8Array) {
    this.u8 = u8;
  }

  open(from: number, to: number): void {
    this.at = from;
    this.end = to;
  }

  skipSpace(): void {
    const { u8, end } = this;
    let at = this.at;
    while (at < end) {
      const byte = u8[at] as number;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
      at++;
    }
    this.at = at;
  }

  /** The byte here, or -1 at the end. */
  peek(): number {
    return this.at < this.end ? (this.u8[this.at] as number) : -1;
  }

  /** The kind of the value that starts here, or undefined when none does. */
  kind(): JsonKind | undefined {
    const byte = this.peek();
    switch (byte) {
      case QUOTE:
        return 'string';
      case OPEN_OBJECT:
        return 'object';
      case OPEN_ARRAY:
        return 'array';
      case 0x74:
        return 'true';
      case 0x66:
        return 'false';
      case 0x6e:
        return 'null';
      default:
        return byte === MINUS || (byte >= ZERO && byte <= NINE) ? 'number' : undefined;
    }
  }

  /** Skips `byte`, or refuses. */
  expect(byte: number, what: string): boolean {
    if (this.peek() !== byte) return this.refuse(this.at, what);
    this.at++;
    return true;
  }

  /** Skips a string and checks it; the place is at its opening quote. */
  string(): boolean {
    const { u8, end } = this;
    if (!this.expect(QUOTE, 'a string')) return false;
    const from = this.at;
    let at = from;
    let high = 0;
    this.hasEscape = false;
    for (;;) {
      if (at >= end) return this.refuse(at, "the string's closing quote");
      const byte = u8[at] as number;
      if (byte === QUOTE) break;
      if (byte < 0x20) return this.refuse(at, 'a character of a string (control characters must be escaped)');
      high |= byte;
      at++;
      if (byte === BACKSLASH) {
        this.hasEscape = true;
        const letter = at < end ? (u8[at] as number) : 0;
        if (letter === 0x75) {
          if (hex4(u8, at + 1, end) < 0) return this.refuse(at + 1, 'four hexadecimal digits');
          at += 5;
        } else {
          if (ESCAPES[letter] === 0) return this.refuse(at, 'one of "\\/bfnrtu behind the backslash');
          at++;
        }
      }
    }
    this.stringFrom = from;
    this.stringTo = at;
    if (high >= 0x80) {
      const bad = utf8Fault(u8, from, at);
      if (bad !== at) return this.refuse(bad, 'well-formed UTF-8');
    }
    this.at = at + 1;
    return true;
  }

  /** Skips a number and checks it. */
  number(): boolean {
    const { u8, end } = this;
    this.numberFrom = this.at;
    let at = this.at;
    if (at < end && u8[at] === MINUS) at++;
    const first = at < end ? (u8[at] as number) : 0;
    if (first < ZERO || first > NINE) return this.refuse(at, 'a digit');
    at = first === ZERO ? at + 1 : this.#digits(at);
    this.isInteger = true;
    if (at < end && u8[at] === 0x2e) {
      this.isInteger = false;
      const from = at + 1;
      at = this.#digits(from);
      if (at === from) return this.refuse(at, 'a digit behind the decimal point');
    }
    if (at < end && ((u8[at] as number) | 0x20) === 0x65) {
      this.isInteger = false;
      let from = at + 1;
      if (from < end && (u8[from] === MINUS || u8[from] === 0x2b)) from++;
      at = this.#digits(from);
      if (at === from) return this.refuse(at, 'a digit of the exponent');
    }
    this.at = at;
    return true;
  }

  /** Skips true, false or null and checks it. */
  literal(): boolean {
    const { u8, at, end } = this;
    for (const word of LITERALS) {
      if (word[0] !== u8[at]) continue;
      if (at + word.length > end || word.some((byte, i) => u8[at + i] !== byte)) break;
      this.at = at + word.length;
      return true;
    }
    return this.refuse(at, 'a value');
  }

  /** Skips a value of any kind and checks it, within `depth` open containers. */
  value(depth: number): boolean {
    let open = depth;
    for (;;) {
      // A value starts here.
      this.skipSpace();
      const byte = this.peek();
      if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        if (open >= DEPTH_MAX) return this.refuse(this.at, `at most ${DEPTH_MAX} objects and arrays inside one another`);
        const close = byte === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY;
        CONTAINER_END[open++] = close;
        this.at++;
        this.skipSpace();
        if (this.peek() !== close) {
          if (close === CLOSE_OBJECT && !this.key()) return false;
          continue;
        }
        // Empty: its end is found below.
      } else if (!this.#scalar(byte)) return false;
      // A value has ended here, or a container is about to.
      for (;;) {
        if (open === depth) return true;
        this.skipSpace();
        const next = this.peek();
        if (next === CONTAINER_END[open - 1]) {
          open--;
          this.at++;
          continue;
        }
        const isObject = CONTAINER_END[open - 1] === CLOSE_OBJECT;
        if (next !== COMMA) return this.refuse(this.at, isObject ? "a comma or the object's end" : "a comma or the array's end");
        this.at++;
        this.skipSpace();
        if (isObject && !this.key()) return false;
        break;
      }
    }
  }

  /** Skips a key and its colon. */
  key(): boolean {
    if (this.peek() !== QUOTE) return this.refuse(this.at, 'a key in double quotes');
    if (!this.string()) return false;
    this.skipSpace();
    return this.expect(COLON, 'a colon');
  }

  /** Notes what was expected where; returns false. */
  refuse(at: number, expected: string): false {
    this.fault = expected;
    this.faultAt = at;
    return false;
  }

  #scalar(first: number): boolean {
    if (first === QUOTE) return this.string();
    if (first === MINUS || (first >= ZERO && first <= NINE)) return this.number();
    return this.literal();
  }

  #digits(from: number): number {
    const { u8, end } = this;
    let at = from;
    while (at < end && (u8[at] as number) >= ZERO && (u8[at] as number) <= NINE) at++;
    return at;
  }
}

/**
 * Writes the text of a checked string to `target` as UTF-8, escapes resolved; never longer than the literal.
 * A lone surrogate becomes U+FFFD, as in TextEncoder.
 *
 * @returns the address after it
 */
export function unescapeString(u8: Uint8Array, from: number, to: number, target: number): number {
  let at = from;
  let out = target;
  while (at < to) {
    const byte = u8[at++] as number;
    if (byte !== BACKSLASH) {
      u8[out++] = byte;
      continue;
    }
    const letter = u8[at++] as number;
    if (letter !== 0x75) {
      u8[out++] = ESCAPES[letter] as number;
      continue;
    }
    let code = hex4(u8, at, to);
    at += 4;
    if (code >= 0xd800 && code < 0xe000) {
      const low = code < 0xdc00 && u8[at] === BACKSLASH && u8[at + 1] === 0x75 && at + 6 <= to ? hex4(u8, at + 2, to) : 0;
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      } else code = REPLACEMENT;
    }
    out = writeCodePoint(u8, out, code);
  }
  return out;
}

/** The value of four hexadecimal digits, or -1. */
function hex4(u8: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -1;
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const byte = u8[at + i] as number;
    const lower = byte | 0x20;
    const digit = byte >= ZERO && byte <= NINE ? byte - ZERO : lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}
