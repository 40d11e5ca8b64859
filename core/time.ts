/**
 * Durations as users write them, and the clock as the runtime injects it. All times are milliseconds since
 * 1970 (UTC).
 */

import { MillraceError, shown } from './errors.ts';

type Unit = 'ms' | 's' | 'm' | 'h' | 'd';
/**
 * Milliseconds as a number, or a number with a unit: `'250ms' '10s' '1m' '2h' '1d'`. `'5x'` does not compile.
 */
export type Duration = number | `${number}${Unit}`;
/** Milliseconds since 1970. Injected wherever a wall clock is read, so that a test can set it. */
export type Clock = () => number;

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/**
 * A duration in whole milliseconds.
 *
 * @param what names the option in the error message
 * @throws MillraceError ERR_MILLRACE_OPTION when it is not a duration, negative, not whole, or below `min`
 */
export function durationMs(value: Duration, what: string, min = 0): number {
  let ms = Number.NaN;
  if (typeof value === 'number') ms = value;
  else {
    const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(value));
    if (parts) ms = Number(parts[1]) * (UNIT_MS.get(parts[2] as string) as number);
  }
  if (!Number.isSafeInteger(ms) || ms < min) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `${what} is ${shown(value)}, which is no duration of at least ${min} ms. Write a whole number of milliseconds, or '250ms', '10s', '1m', '2h', '1d'.`,
    );
  }
  return ms;
}
