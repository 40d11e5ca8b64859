/** The name of an index by time: `clicks-{yyyy.MM.dd}`. */

import { MillraceError, shown } from '../../core/index.ts';

const HOUR_MS = 3_600_000;

type Piece = string | ((time: Date) => string);

export class IndexName {
  readonly #pieces: readonly Piece[];
  #hour = Number.NaN;
  #name = '';

  /** @throws MillraceError ERR_MILLRACE_OPTION for letters that say no part of a time */
  constructor(what: string, pattern: string) {
    this.#pieces = pattern.split(/(\{[^}]*\})/).flatMap((part): Piece[] => (part.startsWith('{') ? timePieces(what, part.slice(1, -1)) : [part]));
  }

  /** The name for a time, ms. */
  at(ms: number): string {
    // All parts of a time change at most once an hour.
    const hour = Math.floor(ms / HOUR_MS);
    if (hour !== this.#hour) {
      const time = new Date(ms);
      this.#name = this.#pieces.map((piece) => (typeof piece === 'string' ? piece : piece(time))).join('');
      this.#hour = hour;
    }
    return this.#name;
  }
}

function timePieces(what: string, pattern: string): Piece[] {
  return (pattern.match(/([A-Za-z])\1*|[^A-Za-z]+/g) ?? []).map((part): Piece => {
    if (part === 'yyyy') return (time) => String(time.getUTCFullYear()).padStart(4, '0');
    if (part === 'MM') return (time) => two(time.getUTCMonth() + 1);
    if (part === 'dd') return (time) => two(time.getUTCDate());
    if (part === 'HH') return (time) => two(time.getUTCHours());
    if (!/[A-Za-z]/.test(part)) return part;
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: index has ${shown(part)} in the time ${shown(`{${pattern}}`)}. Use yyyy, MM, dd and HH.`);
  });
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
