/**
 * ISO 8601 instants as text, for the codecs of text formats.
 *
 * Accepted are `YYYY-MM-DD`, optionally with `T` (or a space) `HH:MM`, `:SS`, a fraction of any number of
 * digits (cut to milliseconds), and `Z` or an offset `+HH:MM`, `+HHMM`; years beyond four digits as
 * `±YYYYYY`. Without an offset the time is UTC, not the machine's zone as in `Date.parse`: a result must not
 * depend on where it was computed. Leap seconds are refused.
 */

const DAY_MS = 86_400_000;
const MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const ZERO = 0x30;
/** Bytes of `+HH`, which patterns take and ISO 8601 here does not. */
const HOURS_WIDTH = 3;

/** Milliseconds since 1970 of the ASCII text from `from` to `to`, or NaN when it is no such instant. */
export function parseIsoTime(u8: Uint8Array, from: number, to: number): number {
  let at = from;
  const sign = u8[at];
  let year: number;
  if (sign === 0x2b || sign === 0x2d) {
    year = digits(u8, at + 1, 6, to);
    if (sign === 0x2d) year = year === 0 ? Number.NaN : -year;
    at += 7;
  } else {
    year = digits(u8, at, 4, to);
    at += 4;
  }
  const month = u8[at] === 0x2d ? digits(u8, at + 1, 2, to) : Number.NaN;
  const day = u8[at + 3] === 0x2d ? digits(u8, at + 4, 2, to) : Number.NaN;
  at += 6;
  if (!(month >= 1 && month <= 12 && day >= 1) || Number.isNaN(year) || !(day <= daysOfMonth(year, month))) return Number.NaN;
  const dayMs = daysFromCivil(year, month, day) * DAY_MS;
  if (at === to) return dayMs;
  const between = u8[at] as number;
  if (between !== 0x54 && between !== 0x74 && between !== 0x20) return Number.NaN;
  return dayMs + timeOfDay(u8, at + 1, to);
}

/** `HH:MM[:SS[.f]][zone]` in milliseconds, minus the zone's offset; NaN when it is none. */
function timeOfDay(u8: Uint8Array, from: number, to: number): number {
  const hour = digits(u8, from, 2, to);
  const minute = u8[from + 2] === 0x3a ? digits(u8, from + 3, 2, to) : Number.NaN;
  if (!(hour <= 23 && minute <= 59)) return Number.NaN;
  let at = from + 5;
  let ms = (hour * 60 + minute) * 60_000;
  if (at < to && u8[at] === 0x3a) {
    const second = digits(u8, at + 1, 2, to);
    if (!(second <= 59)) return Number.NaN;
    ms += second * 1000;
    at += 3;
    if (at < to && u8[at] === 0x2e) {
      const start = ++at;
      let unit = 100;
      while (at < to && isDigit(u8[at] as number)) {
        ms += unit >= 1 ? ((u8[at] as number) - ZERO) * unit : 0;
        unit /= 10;
        at++;
      }
      if (at === start) return Number.NaN;
    }
  }
  return ms - zoneOffset(u8, at, to);
}

function zoneOffset(u8: Uint8Array, at: number, to: number): number {
  if (at === to) return 0;
  const width = offsetWidth(u8, at, to);
  return width === to - at && width !== HOURS_WIDTH ? offsetMs(u8, at, to) : Number.NaN;
}

/** Bytes of the offset at `at`: `Z`, `+HH`, `+HHMM` or `+HH:MM`; 0 when there is none. Its digits are not checked. */
export function offsetWidth(u8: Uint8Array, at: number, to: number): number {
  if (at >= to) return 0;
  const sign = u8[at];
  if (sign === 0x5a || sign === 0x7a) return 1;
  if ((sign !== 0x2b && sign !== 0x2d) || at + 3 > to) return 0;
  if (at + 6 <= to && u8[at + 3] === 0x3a) return 6;
  return at + 5 <= to && isDigit(u8[at + 3] as number) ? 5 : HOURS_WIDTH;
}

/** Milliseconds of an offset of that width, or NaN. */
export function offsetMs(u8: Uint8Array, from: number, to: number): number {
  const sign = u8[from];
  if (sign === 0x5a || sign === 0x7a) return 0;
  const hours = digits(u8, from + 1, 2, to);
  const minutes = to - from === HOURS_WIDTH ? 0 : digits(u8, to - 2, 2, to);
  if (!(hours <= 23 && minutes <= 59)) return Number.NaN;
  return (hours * 60 + minutes) * 60_000 * (sign === 0x2d ? -1 : 1);
}

/** Does an ISO 8601 time, which has been parsed, name its offset? */
export function hasIsoOffset(u8: Uint8Array, from: number, to: number): boolean {
  const isLong = u8[from] === 0x2b || u8[from] === 0x2d;
  for (let at = from + (isLong ? 13 : 10); at < to; at++) {
    const byte = u8[at];
    if (byte === 0x5a || byte === 0x7a || byte === 0x2b || byte === 0x2d) return true;
  }
  return false;
}

export function daysOfMonth(year: number, month: number): number {
  if (month !== 2) return MONTH_DAYS[month - 1] as number;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/**
 * Days since 1970-01-01 in the proleptic Gregorian calendar. Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms".
 */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39;
}

function digits(u8: Uint8Array, at: number, count: number, to: number): number {
  if (at + count > to) return Number.NaN;
  let value = 0;
  for (let i = 0; i < count; i++) {
    const byte = u8[at + i] as number;
    if (!isDigit(byte)) return Number.NaN;
    value = value * 10 + byte - ZERO;
  }
  return value;
}
