/**
 * Finds the source or sink that a caller names. The test driver takes names; a plan knows its sources and
 * sinks by number.
 */

import { MillraceError, shown } from '../../core/index.ts';

/**
 * Finds one of `all`: by itself, its number, its name (`log clicks`), or its topic (`clicks`).
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when none or more than one is
 */
export function endpointIndex<T extends { readonly name: string }>(all: readonly T[], wanted: T | number | string, what: string): number {
  const isMeant = (one: T, index: number) =>
    one === wanted || index === wanted || (typeof wanted === 'string' && (one.name === wanted || one.name.slice(one.name.indexOf(' ') + 1) === wanted));
  const found = all.flatMap((one, index) => (isMeant(one, index) ? [index] : []));
  if (found.length === 1) return found[0] as number;
  const names = all.map(({ name }, index) => `${index} (${name})`).join(', ');
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what} ${typeof wanted === 'object' && wanted !== null ? shown(wanted.name) : shown(wanted)}; there ${found.length === 0 ? 'are' : `is more than one of that name: take its number, of`} ${names}.`,
  );
}
