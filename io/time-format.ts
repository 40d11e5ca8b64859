/**
 * Instants as a column of text has them: by a pattern, and by the clocks of a zone where the text names no
 * offset. Without a pattern the text is ISO 8601.
 *
 * The letters are those of Unicode (and of Java's DateTimeFormatter):
 *
 *   yyyy yy            year; yy is 2000 to 2099
 *   MM M MMM MMMM      month: two digits, one or two, Jan, January
 *   dd d               day of the month
 *   EEE EEEE           Mon, Monday: read over
 *   HH H hh h a        hour of the day; of the half day, with AM or PM
 *   mm m ss s          minute, second
 *   S ... SSSSSSSSS    digits of a second's fraction, cut to milliseconds
 *   X Z                an offset: Z, +02, +0200, +02:00
 *   'text' ''          text as it is; a quote
 *
 * All else but letters stands for itself. Names are English, in any case.
 */

import { MillraceError, shown, ZoneOffsets } from '../core/index.ts';
import { daysFromCivil, daysOfMonth, hasIsoOffset, offsetMs, offsetWidth, parseIsoTime } from './iso-time.ts';
import type { TimeUnit } from './time-unit.ts';

const DAY_MS = 86_400_000;
const MONTHS = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november', 'december'];
const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const SHORT_LETTERS = 3;
const FRACTION_DIGITS_MAX = 9;

const YEAR = 0;
const MONTH = 1;
const DAY = 2;
const HOUR = 3;
const HALF_DAY_HOUR = 4;
const MINUTE = 5;
const SECOND = 6;
const FIELDS = 7;
const NAMES = ['year', 'month', 'day', 'hour', 'hour', 'minute', 'second'];

/** One piece of a pattern: reads at `at`, and returns where the next one begins, or -1. */
type Part = (u8: Uint8Array, at: number, to: number, found: Found) => number;

/** What the parts of one text have found. */
interface Found {
  readonly fields: Int32Array;
  ms: number;
  isPm: boolean;
  /** NaN: the text names no offset. */
  offset: number;
}

export class TimeFormat {
  /** Undefined: ISO 8601. */
  readonly pattern: string | undefined;
  /** Of instants that are numbers. */
  readonly unit: TimeUnit;
  /** Texts are ISO 8601, without an offset UTC. */
  readonly isIso: boolean;
  readonly #parts: readonly Part[];
  readonly #hasHalfDays: boolean;
  readonly #zone: LocalClock;
  readonly #found: Found = { fields: new Int32Array(FIELDS), ms: 0, isPm: false, offset: Number.NaN };

  /**
   * @param what names the option in messages: `csv(): column "at"`
   * @param zone of texts that name no offset: a name of the IANA database, or an offset; default UTC
   * @throws MillraceError ERR_MILLRACE_OPTION for a pattern or a zone that is none
   */
  constructor(what: string, pattern: string | undefined, zone: string | undefined, unit: TimeUnit = 'ms') {
    this.pattern = pattern;
    this.unit = unit;
    this.isIso = pattern === undefined && zone === undefined;
    this.#zone = new LocalClock(what, zone);
    const letters = pattern === undefined ? { parts: [], hasHalfDays: false } : partsOf(what, pattern);
    this.#parts = letters.parts;
    this.#hasHalfDays = letters.hasHalfDays;
  }

  /** What a text has to be, as in `no ...`. */
  get shown(): string {
    return this.pattern === undefined ? 'ISO 8601 time' : `time like ${shown(this.pattern)}`;
  }

  /** Milliseconds since 1970 of the text from `from` to `to`, or NaN when it is no such instant. */
  parse(u8: Uint8Array, from: number, to: number): number {
    if (this.pattern === undefined) {
      const ms = parseIsoTime(u8, from, to);
      return Number.isNaN(ms) || hasIsoOffset(u8, from, to) ? ms : this.#zone.toUtc(ms);
    }
    const found = this.#found;
    const { fields } = found;
    fields.fill(0);
    fields[MONTH] = 1;
    fields[DAY] = 1;
    found.ms = 0;
    found.isPm = false;
    found.offset = Number.NaN;
    let at = from;
    for (const part of this.#parts) {
      at = part(u8, at, to, found);
      if (at < 0) return Number.NaN;
    }
    return at === to ? this.#instant(found) : Number.NaN;
  }

  #instant({ fields, ms, isPm, offset }: Found): number {
    const year = fields[YEAR] as number;
    const month = fields[MONTH] as number;
    const day = fields[DAY] as number;
    const hourOfHalf = fields[HALF_DAY_HOUR] as number;
    const minute = fields[MINUTE] as number;
    const second = fields[SECOND] as number;
    if (month < 1 || month > 12 || day < 1 || day > daysOfMonth(year, month)) return Number.NaN;
    if (this.#hasHalfDays && (hourOfHalf < 1 || hourOfHalf > 12)) return Number.NaN;
    const hour = this.#hasHalfDays ? (hourOfHalf % 12) + (isPm ? 12 : 0) : (fields[HOUR] as number);
    if (hour > 23 || minute > 59 || second > 59) return Number.NaN;
    const local = daysFromCivil(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + ms;
    return Number.isNaN(offset) ? this.#zone.toUtc(local) : local - offset;
  }
}

/**
 * Local time to UTC. Where clocks were put on, a time that they never showed is taken as if they had not been
 * yet; where they were put back, a time that they showed twice is the first of the two. So do Java and
 * Temporal.
 */
class LocalClock {
  readonly #fixedMs: number;
  readonly #offsets: ZoneOffsets | undefined;
  /** The last stretch without a change of the clocks within a day: local times, and their offset. */
  #from = 0;
  #until = 0;
  #offsetMs = 0;

  constructor(what: string, zone: string | undefined) {
    const bytes = new TextEncoder().encode(String(zone));
    const isOffset = typeof zone === 'string' && bytes.length > 0 && offsetWidth(bytes, 0, bytes.length) === bytes.length;
    this.#fixedMs = isOffset ? offsetMs(bytes, 0, bytes.length) : 0;
    if (zone === undefined || isOffset) return;
    try {
      this.#offsets = new ZoneOffsets(zone);
    } catch (cause) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `${what}: zone is ${shown(zone)}, which is no time zone. Give a name of the IANA database, such as 'Europe/Berlin', or an offset, such as '+02:00'.`,
        { cause },
      );
    }
  }

  toUtc(local: number): number {
    if (this.#offsets === undefined) return local - this.#fixedMs;
    if (local >= this.#from && local < this.#until) return local - this.#offsetMs;
    const before = this.#offsets.spanAt(local - DAY_MS);
    const after = this.#offsets.spanAt(local + DAY_MS);
    if (before === after) {
      this.#from = before.from + DAY_MS;
      this.#until = before.until - DAY_MS;
      this.#offsetMs = before.offsetMs;
    }
    const early = local - before.offsetMs;
    const late = local - after.offsetMs;
    if (before.offsetMs === after.offsetMs || this.#offsets.spanAt(early).offsetMs === before.offsetMs) return early;
    return this.#offsets.spanAt(late).offsetMs === after.offsetMs ? late : early;
  }
}

/** @throws MillraceError ERR_MILLRACE_OPTION with what is wrong */
function partsOf(what: string, pattern: string): { readonly parts: readonly Part[]; readonly hasHalfDays: boolean } {
  const refused = (fault: string): MillraceError =>
    new MillraceError(
      'ERR_MILLRACE_OPTION',
      `${what}: time is ${shown(pattern)}; ${fault}. Write it like 'yyyy-MM-dd HH:mm:ss.SSS', 'dd/MMM/yyyy:HH:mm:ss Z' or 'M/d/yyyy h:mm a'.`,
    );
  if (typeof pattern !== 'string') throw refused('it has to be a text');
  const parts: Part[] = [];
  const seen = new Set<number>();
  let [halfDays, fractions, offsets] = [0, 0, 0];
  const once = (field: number, least: number, most: number, base = 0): void => {
    if (seen.has(field)) throw refused(`it names the ${NAMES[field]} twice`);
    seen.add(field);
    parts.push(numberPart(field, least, most, base));
  };
  for (const [piece, letter] of pattern.matchAll(/([A-Za-z])\1*|'[^']*'?|[^A-Za-z']+/g)) {
    const count = piece.length;
    const [least, most] = [count, count === 1 ? 2 : count];
    if (letter === undefined) {
      if (piece.startsWith("'") && (count === 1 || !piece.endsWith("'"))) throw refused('a quote in it does not end');
      parts.push(textPart(piece === "''" ? "'" : piece.startsWith("'") ? piece.slice(1, -1) : piece));
    } else if (letter === 'y' && count === 4) once(YEAR, 4, 4);
    else if (letter === 'y' && count === 2) once(YEAR, 2, 2, 2_000);
    else if (letter === 'M' && count <= 2) once(MONTH, least, most);
    else if (letter === 'M' && count <= 4) {
      once(MONTH, 1, 1);
      parts[parts.length - 1] = namePart(MONTHS, count > SHORT_LETTERS, MONTH);
    } else if (letter === 'd' && count <= 2) once(DAY, least, most);
    else if (letter === 'E' && count <= 4) parts.push(namePart(WEEKDAYS, count > SHORT_LETTERS, undefined));
    else if (letter === 'H' && count <= 2) once(HOUR, least, most);
    else if (letter === 'h' && count <= 2) once(HALF_DAY_HOUR, least, most);
    else if (letter === 'm' && count <= 2) once(MINUTE, least, most);
    else if (letter === 's' && count <= 2) once(SECOND, least, most);
    else if (letter === 'S' && count <= FRACTION_DIGITS_MAX && fractions++ === 0) parts.push(fractionPart(count));
    else if (letter === 'a' && count === 1 && halfDays++ === 0) parts.push(halfDayPart);
    else if (/[XxZ]/.test(letter) && count <= 5 && offsets++ === 0) parts.push(offsetPart);
    else throw refused(`${shown(piece)} in it stands for nothing`);
  }
  if (!seen.has(YEAR)) throw refused('it has no year');
  if (seen.has(DAY) && !seen.has(MONTH)) throw refused('it has a day and no month');
  if (seen.has(HALF_DAY_HOUR) !== halfDays > 0 || (seen.has(HALF_DAY_HOUR) && seen.has(HOUR))) throw refused('h goes with a (AM, PM), and H without');
  return { parts, hasHalfDays: halfDays > 0 };
}

function numberPart(field: number, least: number, most: number, base: number): Part {
  return (u8, at, to, found) => {
    let value = 0;
    let p = at;
    for (; p < to && p - at < most; p++) {
      const digit = (u8[p] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (p - at < least) return -1;
    found.fields[field] = base + value;
    return p;
  };
}

function fractionPart(count: number): Part {
  return (u8, at, to, found) => {
    if (at + count > to) return -1;
    let ms = 0;
    let unit = 100;
    for (let p = at; p < at + count; p++, unit = Math.floor(unit / 10)) {
      const digit = (u8[p] as number) - 0x30;
      if (digit < 0 || digit > 9) return -1;
      ms += digit * unit;
    }
    found.ms = ms;
    return at + count;
  };
}

function textPart(text: string): Part {
  const bytes = new TextEncoder().encode(text);
  return (u8, at, to) => {
    if (at + bytes.length > to) return -1;
    for (let i = 0; i < bytes.length; i++) if (u8[at + i] !== bytes[i]) return -1;
    return at + bytes.length;
  };
}

/** A name, in full or by its first three letters. `May` is both. */
function namePart(names: readonly string[], isFull: boolean, field: number | undefined): Part {
  const all = names.map((name) => new TextEncoder().encode(isFull ? name : name.slice(0, SHORT_LETTERS)));
  return (u8, at, to, found) => {
    const which = all.findIndex((name) => at + name.length <= to && name.every((letter, i) => ((u8[at + i] as number) | 0x20) === letter));
    if (which < 0) return -1;
    if (field !== undefined) found.fields[field] = which + 1;
    return at + (all[which] as Uint8Array).length;
  };
}

const halfDayPart: Part = (u8, at, to, found) => {
  const first = (u8[at] as number) | 0x20;
  if (at + 2 > to || (first !== 0x61 && first !== 0x70) || ((u8[at + 1] as number) | 0x20) !== 0x6d) return -1;
  found.isPm = first === 0x70;
  return at + 2;
};

const offsetPart: Part = (u8, at, to, found) => {
  const width = offsetWidth(u8, at, to);
  if (width === 0) return -1;
  found.offset = offsetMs(u8, at, at + width);
  return Number.isNaN(found.offset) ? -1 : at + width;
};
