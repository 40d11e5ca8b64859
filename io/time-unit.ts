/**
 * Instants as numbers of a unit: seconds, milliseconds, microseconds or nanoseconds since 1970, with or without
 * a fraction. They become whole milliseconds by decimal arithmetic on their digits, so that 1.001 seconds are
 * 1001 milliseconds, and 19 digits of nanoseconds lose nothing but what is below a millisecond.
 */

import { MillraceError, shown } from '../core/index.ts';

/** What a number stands for where a column holds instants. */
export type TimeUnit = 's' | 'ms' | 'us' | 'ns';

const EXPONENTS: Readonly<Record<TimeUnit, number>> = { s: 3, ms: 0, us: -3, ns: -6 };
const NAMES: Readonly<Record<TimeUnit, string>> = { s: 'seconds', ms: 'milliseconds', us: 'microseconds', ns: 'nanoseconds' };
const LITERAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** Beyond it, a number is no time, or nothing but a sign. */
const EXPONENT_MAX = 400;

/** The unit's name in messages. */
export function unitName(unit: TimeUnit): string {
  return NAMES[unit];
}

/**
 * @param what names the option: `json(): column "at"`
 * @throws MillraceError ERR_MILLRACE_OPTION for what is no unit
 */
export function checkUnit(what: string, unit: unknown): asserts unit is TimeUnit {
  if (typeof unit === 'string' && Object.hasOwn(EXPONENTS, unit)) return;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what}: unit is ${shown(unit)}. Give 's', 'ms', 'us' or 'ns': seconds, milliseconds, microseconds or nanoseconds since 1970.`,
  );
}

/** Whole milliseconds of a number's JSON literal, floored; NaN when a double does not hold them exactly. */
export function unitMs(literal: string, unit: TimeUnit): number {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = LITERAL.exec(literal) as unknown as string[];
  const digits = BigInt(whole + fraction);
  const scale = Number(exponent) - fraction.length + EXPONENTS[unit];
  if (digits === 0n) return 0;
  if (scale > EXPONENT_MAX) return Number.NaN;
  if (scale < -EXPONENT_MAX - literal.length) return sign === '-' ? -1 : 0;
  const power = 10n ** BigInt(Math.abs(scale));
  let ms = scale >= 0 ? digits * power : digits / power;
  if (sign === '-') ms = scale < 0 && digits % power !== 0n ? -ms - 1n : -ms;
  const value = Number(ms);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}
