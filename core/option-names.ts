/**
 * Unknown options are refused, with the nearest one that exists: type checks do not reach plain JavaScript.
 */

import { MillraceError, shown } from './errors.ts';

/**
 * Refuses options that are not in `known`. A name with the value `undefined` counts as given: it is equally
 * misspelt.
 *
 * @param what what takes the options, as the message begins: `kafka clicks`
 * @param known every option there is. As a record, so that the compiler sees that none is missing.
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function checkOptionNames<T extends object>(what: string, options: T, known: { readonly [name in keyof T]-?: true }): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: the options are ${shown(options)}; they have to be an object.`);
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return;
  const names = Object.keys(known);
  const [near] = nearNames(unknown, names);
  const hint = near === undefined ? (names.length === 0 ? 'It takes none.' : `The options are: ${names.join(', ')}.`) : `Did you mean ${near}?`;
  throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: there is no option ${shown(unknown)}. ${hint}`);
}

/** At most five of `names` that a typo could have turned into `name`, the nearest first. */
export function nearNames(name: string, names: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  const scored = names.map((other) => {
    const candidate = other.toLowerCase();
    const contains = candidate.length > 2 && wanted.length > 2 && (candidate.includes(wanted) || wanted.includes(candidate));
    const distance = editDistance(wanted, candidate);
    return { other, distance, score: contains ? Math.min(distance, 1) : distance };
  });
  const limit = Math.max(2, Math.floor(name.length / 3));
  return scored
    .filter(({ score }) => score <= limit)
    .sort((a, b) => a.score - b.score || a.distance - b.distance || (a.other < b.other ? -1 : 1))
    .slice(0, 5)
    .map(({ other }) => other);
}

/** Levenshtein distance, one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
  }
  return row[b.length] as number;
}
