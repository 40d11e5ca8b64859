/**
 * top over a table: all rows of a group are kept in order, so that others move up when one goes. Of rows with
 * equal values the one with the lesser other values comes first, column by column: which came first is nothing
 * that a table knows.
 */

import { type AnyRow, readValue, type Schema, withoutSign } from '../../core/index.ts';
import { named } from '../exchange/index.ts';
import { topFold } from '../fold/index.ts';
import type { ChangeFold } from './change-fold.ts';
import { neverThere } from './change-rows.ts';
import { firstItems, type Multiset, multiset, putInto } from './multiset.ts';
import { compareAll, compareValues } from './order.ts';

export interface ChangeTopRequest {
  /** With the hidden column. */
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly n: number;
  readonly by: string;
  readonly order: 'desc' | 'asc';
}

type Values = readonly unknown[];

/** @throws MillraceError as topFold */
export function changeTopFold({ input, keys, n, by, order }: ChangeTopRequest): ChangeFold<Multiset<Values>> {
  const rows = withoutSign(input);
  const fold = topFold({ input: rows, keys, n, by, order });
  const names = fold.fields.slice(1).map(({ name }) => name);
  const columns = [by, ...names.filter((name) => name !== by)].map((name) => input.indexOf(name));
  // The column that decides stands first in what is kept; a key has one value in its group.
  const places = names.map((name) => columns.indexOf(input.indexOf(name)));
  const compare = (a: Values, b: Values): number => byFirst(a[0], b[0], order) || compareAll(a, b);
  return {
    name: 'table top',
    title: `${fold.name} of a table`,
    facts: fold.facts,
    whole: 'rows are the result',
    fields: fold.fields,
    callsFunctions: false,
    init: () => multiset(),
    put(state, batch, row, sign) {
      const values = columns.map((c) => readValue(batch.memory, batch.column(c), row));
      if (!putInto(state, values, sign, compare)) throw neverThere(`top(${n})`);
      return state;
    },
    results: (state) => firstItems(state, n).map((values, i) => [i + 1, ...places.map((place) => values[place])]),
    copy: (state) => structuredClone(state),
    shown: ({ items, counts }) =>
      items.map(
        (values, i): AnyRow => ({
          ...named(
            names,
            places.map((place) => values[place]),
          ),
          ...((counts[i] as number) > 1 ? { times: counts[i] } : {}),
        }),
      ),
  };
}

/** Null and NaN come last. */
function byFirst(a: unknown, b: unknown, order: 'desc' | 'asc'): number {
  const [isLast, isOther] = [hasNoOrder(a), hasNoOrder(b)];
  if (isLast || isOther) return isLast === isOther ? 0 : isLast ? 1 : -1;
  return order === 'asc' ? compareValues(a, b) : compareValues(b, a);
}

function hasNoOrder(value: unknown): boolean {
  return value === null || (typeof value === 'number' && Number.isNaN(value));
}
