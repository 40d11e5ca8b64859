/**
 * reduce: rows of a key become one by a user-defined function, (a, b) => row. Elsewhere it is called
 * reduceByKey, reduceByKeyAndWindow (with its inverse function) and KeyedStream.reduce. The key columns of
 * the result are always those of the key; the function must give the others.
 */

import { type AnyRow, MillraceError, memberOf, type Schema, shown } from '../../core/index.ts';
import { RowReader } from '../keyed/index.ts';
import { refusePromise, requireRow } from '../rows/index.ts';
import type { RowFold } from './row-fold.ts';

export type Reducer = (a: AnyRow, b: AnyRow) => AnyRow;

/**
 * @param keys columns of the result that do not come from the fold: the keys, and bounds of a window
 * @param inverse takes b out of a again: inverse(fn(a, b), b) must equal a, as for sums
 */
export function reduceFold(input: Schema, keys: readonly string[], fn: Reducer, inverse: Reducer | undefined): RowFold<AnyRow> {
  const reader = new RowReader(input);
  const fields = input.fields.filter((field) => !keys.includes(field.name));
  return {
    kind: 'reduce',
    facts: { hasInverse: inverse !== undefined },
    name: inverse === undefined ? 'reduce' : 'reduce with an inverse',
    whole: 'your function takes rows, and those of a key in order',
    fields,
    tellsChanges: false,
    callsFunctions: true,
    add(value, batch, row) {
      const object = reader.read(batch, row);
      return value === undefined ? object : called('reduce', fn, value, object);
    },
    // Functions may write into their first argument, which then must not be shared.
    merge: (value, from) => (value === undefined ? copied(from) : called('reduce', fn, value, from)),
    remove: inverse === undefined ? undefined : (value, from) => called('inverse of reduce', inverse, value, from),
    results: (value, put) => put(fields.map((field) => (field.type.nested || Object.hasOwn(value, field.name) ? memberOf(value, field) : undefined))),
  };
}

function copied(row: AnyRow): AnyRow {
  return Object.defineProperties({}, Object.getOwnPropertyDescriptors(row)) as AnyRow;
}

function called(what: string, fn: Reducer, a: AnyRow, b: AnyRow): AnyRow {
  try {
    const result: unknown = fn(a, b);
    requireRow(result);
    refusePromise(result);
    return result as AnyRow;
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `${what} failed on ${shown(a)} and ${shown(b)}: ${cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)}`,
      { cause },
    );
  }
}
