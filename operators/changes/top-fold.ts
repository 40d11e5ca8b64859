/**
 * top over a table: all rows of a group are kept in order, so that others move up when one goes. Of rows with
 * equal values the one with the lesser other values comes first, column by column: which came first is nothing
 * that a table knows.
 */

import { type AnyRow, readValue, withoutSign } from '../../core/index.ts';
import { named } from '../exchange/index.ts';
import { compareOrdered, orderColumns, type TopRequest, topFold } from '../fold/index.ts';
import type { ChangeFold } from './change-fold.ts';
import { neverThere } from './change-rows.ts';
import { firstItems, type Multiset, multiset, putInto } from './multiset.ts';
import { compareAll } from './order.ts';

/** With the hidden column. Each row has a rank of its own, by which the result is a table. */
export type ChangeTopRequest = Omit<TopRequest, 'ties'>;

type Values = readonly unknown[];

/** @throws MillraceError as topFold */
export function changeTopFold(request: ChangeTopRequest): ChangeFold<Multiset<Values>> {
  const { input, n } = request;
  const fold = topFold({ ...request, input: withoutSign(input) });
  const order = orderColumns(request);
  const names = fold.fields.slice(1).map(({ name }) => name);
  // The columns that decide stand first in what is kept; a key has one value in its group.
  const first = [...new Set(order.map(({ column }) => column))];
  const columns = [...first, ...names.map((name) => input.indexOf(name)).filter((column) => !first.includes(column))];
  const places = names.map((name) => columns.indexOf(input.indexOf(name)));
  const compare = (a: Values, b: Values): number => {
    for (const { column, isDescending } of order) {
      const place = columns.indexOf(column);
      const difference = compareOrdered(a[place], b[place], isDescending);
      if (difference !== 0) return difference;
    }
    return compareAll(a, b);
  };
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
