/**
 * The names of a sink's files, by a pattern: `averages/{windowStart:yyyy-MM-dd_HH-mm}`.
 *
 *   {epoch} {part}       the number of the epoch, ten digits; of the part, five
 *   {column}             the value of a column of text, whole numbers or bool
 *   {column:pattern}     a timestamp in UTC: yyyy MM dd HH mm ss SSS; all else in it stands for itself
 *   {column:ms}          a timestamp as milliseconds
 *
 * A name without {epoch} is that of the first file that has it. Rows of it that come in a later epoch have a
 * second file, with the epoch behind the name, so no file is ever changed or lost:
 *
 *   2026-01-01_00-00.txt   2026-01-01_00-00-0000000042.txt
 *
 * A file is put aside under the second form in any case, which says what epoch it is of. Workers fill in
 * columns, which gives a stem; this end fills in the rest.
 */

import { createHash } from 'node:crypto';
import { type Batch, MillraceError, readTimestamp, readValue, type Schema, shown } from '../../core/index.ts';

/** Stand for {epoch} and {part} in a stem. No value of a column has them. */
const EPOCH = '\u0001';
const PART = '\u0002';
const EPOCH_DIGITS = 10;
const PART_DIGITS = 5;
const SEGMENT = /^[A-Za-z0-9_=][A-Za-z0-9_.=-]*$/;
const SEGMENT_MAX = 100;
/** Bytes of a value in a name; of a longer one there is the beginning, and a digest. */
const VALUE_MAX = 150;
const VALUES_KEPT = 4_096;
/** As Hive and Spark name the partition of rows without a value. */
const NO_VALUE = '__HIVE_DEFAULT_PARTITION__';
/** By the letters of a time, what they can be. */
const TIME_SOURCES: ReadonlyMap<string, string> = new Map([
  ['yyyy', '-?\\d{4,6}'],
  ['MM', '\\d\\d'],
  ['dd', '\\d\\d'],
  ['HH', '\\d\\d'],
  ['mm', '\\d\\d'],
  ['ss', '\\d\\d'],
  ['SSS', '\\d{3}'],
]);

interface ColumnPiece {
  readonly column: string;
  /** Undefined: the value itself. */
  readonly time: 'ms' | readonly string[] | undefined;
}

type Piece = string | ColumnPiece;

/** What a name of ours says. */
export interface NameFacts {
  /** Undefined: the first file of its name. */
  readonly epoch: number | undefined;
}

export class FileNames {
  /** With `*` for what differs, for messages and locks: `part-*.jsonl`. */
  readonly shown: string;
  /** Columns that names are made of. */
  readonly columns: readonly string[];
  readonly isDeep: boolean;
  /** Whether each epoch has names of its own. */
  readonly hasEpoch: boolean;
  readonly hasPart: boolean;
  readonly #what: string;
  readonly #pieces: readonly Piece[];
  readonly #ext: string;
  readonly #regex: RegExp;

  /**
   * @param what whose option it is, as messages begin
   * @param ext with its dot, or empty
   * @throws MillraceError ERR_MILLRACE_OPTION
   */
  constructor(what: string, pattern: string, ext: string) {
    this.#what = what;
    this.#ext = ext;
    this.#pieces = typeof pattern === 'string' ? piecesOf(what, pattern) : refuse(what, pattern, 'it must be a text');
    const sample = `${this.#pieces.map((piece) => (typeof piece === 'string' ? piece.replace(EPOCH, '0000000000').replace(PART, '00000') : 'x')).join('')}${ext}`;
    for (const segment of sample.split('/')) {
      if (!SEGMENT.test(segment) || segment.length > SEGMENT_MAX)
        refuse(what, pattern, 'use letters, digits, "_", "=", "-", "." and, between folders, "/", with no "." or "-" in front of a name');
    }
    this.columns = [...new Set(this.#pieces.flatMap((piece) => (typeof piece === 'string' ? [] : [piece.column])))];
    this.isDeep = sample.includes('/');
    this.hasEpoch = this.#pieces.includes(EPOCH);
    this.hasPart = this.#pieces.includes(PART);
    const stars = this.#pieces.map((piece) => (typeof piece === 'string' && piece !== EPOCH && piece !== PART ? piece : '*')).join('');
    this.shown = `${stars.replace(/\*(?:-?\*)+/g, '*')}${ext}`;
    const source = this.#pieces.map((piece) =>
      piece === EPOCH ? '(\\d{10,})' : piece === PART ? '\\d{5}' : typeof piece === 'string' ? escaped(piece) : sourceOf(piece),
    );
    this.#regex = new RegExp(`^${source.join('')}${this.hasEpoch ? '' : '(?:-(\\d{10,}))?'}${escaped(ext)}$`);
  }

  /** A name for a lock that only this pattern has. */
  get lock(): string {
    return `.${this.shown.replaceAll('-*', '').replaceAll('*', '@').replaceAll('/', '%2F')}`;
  }

  /** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there, or cannot be in a name */
  check(schema: Schema): void {
    for (const piece of this.#pieces) {
      if (typeof piece === 'string') continue;
      const { type } = schema.field(schema.require(piece.column, `The name of ${this.#what}`));
      const isTime = type.name === 'timestamp';
      if (isTime && piece.time === undefined)
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `${this.#what}: name has the timestamp ${shown(piece.column)}. Say how it is written: '{${piece.column}:yyyy-MM-dd_HH-mm}', or '{${piece.column}:ms}'.`,
        );
      if (!isTime && piece.time !== undefined)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', `${this.#what}: name writes ${shown(piece.column)} as a time, and it is ${type.name}.`);
      if (['f32', 'f64', 'binary'].includes(type.name) || (!isTime && !['bool', 'i8', 'i16', 'i32', 'u32', 'i64', 'utf8'].includes(type.name)))
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `${this.#what}: name has the column ${shown(piece.column)}, which is ${type.name}. Names are made of text, whole numbers, bool and timestamps.`,
        );
    }
  }

  /** The stem of names without columns. */
  get fixedStem(): string {
    return this.#pieces.join('');
  }

  /** Finds the stem of a row. For one worker. */
  stems(schema: Schema): (batch: Batch, row: number) => string {
    const parts = this.#pieces.map((piece) => (typeof piece === 'string' ? piece : valueTexts(piece, schema.require(piece.column, this.#what))));
    return (batch, row) => {
      let stem = '';
      for (const part of parts) stem += typeof part === 'string' ? part : part(batch, row);
      return stem;
    };
  }

  /** The name that says its epoch: under which the file is put aside. */
  unique(stem: string, epoch: number, part: number): string {
    const number = String(epoch).padStart(EPOCH_DIGITS, '0');
    const filled = stem.replaceAll(PART, String(part).padStart(PART_DIGITS, '0'));
    return this.hasEpoch ? `${filled.replaceAll(EPOCH, number)}${this.#ext}` : `${filled}-${number}${this.#ext}`;
  }

  /** The name of a file that was put aside, without the epoch; undefined: it has no other. */
  first(unique: string): string | undefined {
    if (this.hasEpoch) return undefined;
    const stem = unique.slice(0, unique.length - this.#ext.length);
    return `${stem.slice(0, stem.lastIndexOf('-'))}${this.#ext}`;
  }

  /** What a name says; undefined: it is none of ours. */
  read(name: string): NameFacts | undefined {
    const found = this.#regex.exec(name);
    if (found === null) return undefined;
    const epoch = found[1];
    return { epoch: epoch === undefined ? undefined : Number(epoch) };
  }
}

function refuse(what: string, pattern: unknown, fault: string): never {
  throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: name is ${shown(pattern)}; ${fault}.`);
}

function piecesOf(what: string, pattern: string): Piece[] {
  return pattern.split(/(\{[^}]*\})/).flatMap((text): Piece[] => {
    if (text === '') return [];
    if (!text.startsWith('{')) return text.includes(EPOCH) || text.includes(PART) ? refuse(what, pattern, 'it has control characters') : [text];
    const inside = text.slice(1, -1);
    if (inside === 'epoch') return [EPOCH];
    if (inside === 'part') return [PART];
    const colon = inside.indexOf(':');
    const column = colon < 0 ? inside : inside.slice(0, colon);
    if (column === '') refuse(what, pattern, 'braces hold the name of a column, as in {windowStart:yyyy-MM-dd}, {epoch} or {part}');
    return [{ column, time: colon < 0 ? undefined : timeOf(what, pattern, inside.slice(colon + 1)) }];
  });
}

function timeOf(what: string, pattern: string, time: string): 'ms' | readonly string[] {
  if (time === 'ms') return 'ms';
  const parts = time.match(/([A-Za-z])\1*|[^A-Za-z]+/g) ?? [];
  const wrong = parts.find((part) => /[A-Za-z]/.test(part) && !TIME_SOURCES.has(part));
  if (wrong !== undefined || !parts.some((part) => part === 'yyyy'))
    refuse(
      what,
      pattern,
      `the time ${shown(time)} ${wrong === undefined ? 'has no year' : `has ${shown(wrong)}`}; use ${[...TIME_SOURCES.keys()].join(', ')}, or ms alone`,
    );
  if (parts.some((part) => !/^[A-Za-z0-9_.=/-]+$/.test(part))) refuse(what, pattern, `the time ${shown(time)} has a character that names do not have`);
  return parts;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** What a value can be in a name. The shortest one counts, so that an epoch behind it is seen. */
function sourceOf({ time }: ColumnPiece): string {
  if (time === undefined) return '(?:[^/]+?)';
  // A time that has no calendar is written in milliseconds.
  const text = time === 'ms' ? '-?\\d+' : `${time.map((part) => (/[A-Za-z]/.test(part) ? TIME_SOURCES.get(part) : escaped(part))).join('')}|-?\\d{16,}`;
  return `(?:${text}|${NO_VALUE})`;
}

/** The text of a column's value in a name. Neighbouring rows mostly have the same. */
function valueTexts({ time }: ColumnPiece, index: number): (batch: Batch, row: number) => string {
  const texts = new Map<unknown, string>();
  return (batch, row) => {
    const column = batch.column(index);
    const value =
      column.type.name === 'timestamp' && column.validity === 0 ? readTimestamp(batch.memory, column.data, row) : readValue(batch.memory, column, row);
    let text = texts.get(value);
    if (text === undefined) {
      if (texts.size >= VALUES_KEPT) texts.clear();
      texts.set(value, (text = value === null || value === '' ? NO_VALUE : time === undefined ? safe(String(value)) : timeText(value as number, time)));
    }
    return text;
  };
}

function timeText(ms: number, time: 'ms' | readonly string[]): string {
  const date = new Date(ms);
  // Such a time has no calendar.
  if (time === 'ms' || Number.isNaN(date.getTime())) return String(ms);
  const year = date.getUTCFullYear();
  const two = (value: number): string => String(value).padStart(2, '0');
  return time
    .map((part) => {
      switch (part) {
        case 'yyyy':
          return `${year < 0 ? '-' : ''}${String(Math.abs(year)).padStart(4, '0')}`;
        case 'MM':
          return two(date.getUTCMonth() + 1);
        case 'dd':
          return two(date.getUTCDate());
        case 'HH':
          return two(date.getUTCHours());
        case 'mm':
          return two(date.getUTCMinutes());
        case 'ss':
          return two(date.getUTCSeconds());
        case 'SSS':
          return String(date.getUTCMilliseconds()).padStart(3, '0');
        default:
          return part;
      }
    })
    .join('');
}

/** A value as a part of a name, in any file system: what could be misread is written as %XX. */
function safe(value: string): string {
  const text = value.replace(/[^A-Za-z0-9_.=-]+/gu, (odd) =>
    [...Buffer.from(odd)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
  // Neither hidden, nor like a name with an epoch.
  const shownText = text.replace(/^\./, '%2E').replace(/-(?=\d{10}|$)/g, '%2D');
  if (shownText.length <= VALUE_MAX) return shownText;
  return `${shownText.slice(0, VALUE_MAX)}~${createHash('sha256').update(value).digest('hex').slice(0, 16)}`;
}
