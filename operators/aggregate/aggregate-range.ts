/**
 * How far back an aggregate of `over` reaches from a row: the rows of a time, a number of rows, or both. It is
 * written behind the column, `sum('amount', '1h')`, or beside the aggregate, `[sum('amount'), '1h']`. Outside of
 * `over` an aggregate has none.
 */

import { type Duration, durationMs, MillraceError, shown } from '../../core/index.ts';

/** At most `rows` rows, and none of a time of `withinMs` or more before. Undefined: no such limit. */
export interface AggregateRange {
  readonly rows: number | undefined;
  readonly withinMs: number | undefined;
}

/** A range as a user writes it: a time, a number of rows, or both, where the nearer one counts. */
export type Range = Duration | RangeOptions;
export type RangeOptions = { readonly rows: number; readonly within?: Duration } | { readonly rows?: number; readonly within: Duration };
/** Marks an aggregate with a range, which only `over` takes. */
export interface Ranged {
  readonly range: AggregateRange;
}

const ROWS_MAX = 10_000_000;

/** @throws MillraceError ERR_MILLRACE_OPTION when it is no range */
export function rangeOf(given: Range, what: string): AggregateRange {
  if (typeof given === 'number' || typeof given === 'string') return Object.freeze({ rows: undefined, withinMs: durationMs(given, `The range of ${what}`, 1) });
  const { rows, within } = given ?? {};
  if (rows !== undefined && !(Number.isSafeInteger(rows) && rows >= 1 && rows <= ROWS_MAX)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `The range of ${what} has rows: ${shown(rows)}. Give a whole number from 1 to ${ROWS_MAX}.`);
  }
  if (rows === undefined && within === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `The range of ${what} is ${shown(given)}. Give a time, such as '1h', or { rows: 5 }, or { rows: 5, within: '1h' }.`,
    );
  }
  return Object.freeze({ rows, withinMs: within === undefined ? undefined : durationMs(within, `The range of ${what}`, 1) });
}

/** An argument that may be a range, options, or both, taken apart. */
export function splitRange(given: unknown, what: string): { readonly options: object; readonly range: Partial<Ranged> } {
  if (given === undefined || given === null) return { options: {}, range: {} };
  if (typeof given === 'number' || typeof given === 'string') return { options: {}, range: { range: rangeOf(given as Range, what) } };
  const { rows, within, ...options } = given as Partial<{ rows: number; within: Duration }>;
  if (rows === undefined && within === undefined) return { options: given as object, range: {} };
  return { options, range: { range: rangeOf({ rows, within } as RangeOptions, what) } };
}

export function rangeText({ rows, withinMs }: AggregateRange): string {
  const parts = [...(withinMs === undefined ? [] : [`${withinMs} ms`]), ...(rows === undefined ? [] : [`${rows} row${rows === 1 ? '' : 's'}`])];
  return parts.length === 0 ? 'all rows so far' : parts.join(', at most ');
}
