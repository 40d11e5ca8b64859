/**
 * How far the clocks of a time zone are ahead of UTC, at any time. An offset is constant between two clock
 * changes, so known offsets are kept as spans of time, each found once. A block of 32 days is sampled every
 * four days; where two samples differ, the change is found by bisection. (No zone has put its clocks on and
 * back again within four days.)
 *
 * The zones are those of the ICU data that Node was built with, so `Intl.DateTimeFormat` knows them all. Two
 * versions of Node may differ about recently decided changes.
 */

import { MillraceError, shown } from '../errors.ts';

const DAY_MS = 86_400_000;
const LOOK_MS = 4 * DAY_MS;
const BLOCK_MS = 8 * LOOK_MS;
const TIME_MAX = 8_640_000_000_000_000;
/**
 * Number of blocks that are kept: some 90 years. A stream does not need more, and hostile times should cost
 * no memory.
 */
const BLOCKS_MAX = 1_024;

/**
 * A stretch of time with one offset. The offset may be the same before and after it: spans also end where
 * blocks do.
 */
export interface ZoneSpan {
  readonly from: number;
  readonly until: number;
  /** Local time minus UTC, in ms. */
  readonly offsetMs: number;
}

export class ZoneOffsets {
  readonly zone: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #blocks = new Map<number, readonly ZoneSpan[]>();

  /** @throws MillraceError ERR_MILLRACE_OPTION when there is no such zone */
  constructor(zone: string) {
    try {
      if (typeof zone !== 'string') throw new TypeError('no text');
      this.#format = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        calendar: 'gregory',
        numberingSystem: 'latn',
        hourCycle: 'h23',
        era: 'short',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      });
    } catch (cause) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `${shown(zone)} is no time zone. Give a name of the IANA database, such as 'Europe/Berlin'.`, { cause });
    }
    this.zone = zone;
  }

  /** The span of a time within 8.64e15 ms of 1970. */
  spanAt(timeMs: number): ZoneSpan {
    const spans = this.#block(Math.floor(timeMs / BLOCK_MS));
    let at = spans.length - 1;
    while (at > 0 && (spans[at] as ZoneSpan).from > timeMs) at--;
    return spans[at] as ZoneSpan;
  }

  #block(number: number): readonly ZoneSpan[] {
    const known = this.#blocks.get(number);
    if (known !== undefined) return known;
    const spans: ZoneSpan[] = [];
    const end = (number + 1) * BLOCK_MS;
    let from = number * BLOCK_MS;
    let offsetMs = this.#offsetAt(from);
    for (let at = from; at < end; at += LOOK_MS) {
      const next = this.#offsetAt(at + LOOK_MS);
      if (next === offsetMs) continue;
      const until = this.#change(at, at + LOOK_MS, offsetMs);
      if (until < end) {
        spans.push({ from, until, offsetMs });
        from = until;
        offsetMs = next;
      }
    }
    spans.push({ from, until: end, offsetMs });
    if (this.#blocks.size >= BLOCKS_MAX) this.#blocks.clear();
    this.#blocks.set(number, spans);
    return spans;
  }

  /** The first time after `low` whose offset is not `offsetMs`; that of `high` differs. */
  #change(low: number, high: number, offsetMs: number): number {
    let before = low;
    let at = high;
    while (at - before > 1) {
      const middle = before + Math.floor((at - before) / 2);
      if (this.#offsetAt(middle) === offsetMs) before = middle;
      else at = middle;
    }
    return at;
  }

  #offsetAt(timeMs: number): number {
    // Beyond the calendar the clocks keep the offset of its end. Clocks show seconds.
    const time = Math.floor(Math.max(-TIME_MAX, Math.min(TIME_MAX, timeMs)) / 1_000) * 1_000;
    let [year, month, day, hour, minute, second] = [0, 0, 0, 0, 0, 0];
    let isBeforeChrist = false;
    for (const { type, value } of this.#format.formatToParts(time)) {
      if (type === 'year') year = Number(value);
      else if (type === 'month') month = Number(value);
      else if (type === 'day') day = Number(value);
      else if (type === 'hour') hour = Number(value);
      else if (type === 'minute') minute = Number(value);
      else if (type === 'second') second = Number(value);
      else if (type === 'era') isBeforeChrist = value.startsWith('B');
    }
    // Fields may be a day outside the range of a Date, so the days of the year 2000 stand for those of any
    // year, shifted by multiples of 400 years.
    const cycles = Math.floor((isBeforeChrist ? 1 - year : year) / 400) - 5;
    const inCycle = (isBeforeChrist ? 1 - year : year) - cycles * 400;
    return Date.UTC(inCycle, month - 1, day, hour, minute, second) + cycles * 146_097 * DAY_MS - time;
  }
}
