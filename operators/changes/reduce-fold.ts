/** reduce over a table: rows become one by a function, and are taken out again by its inverse. */

import { type AnyRow, type Schema, withoutSign } from '../../core/index.ts';
import { type Reducer, reduceFold } from '../fold/index.ts';
import { RowReader, stateCopy } from '../keyed/index.ts';
import type { ChangeFold } from './change-fold.ts';

interface Reduced {
  /** Undefined: of no row. */
  readonly value: AnyRow | undefined;
  readonly rows: number;
}

/** @param input with the hidden column */
export function changeReduceFold(input: Schema, keys: readonly string[], fn: Reducer, remove: Reducer): ChangeFold<Reduced> {
  const rows = withoutSign(input);
  const fold = reduceFold(rows, keys, fn, remove);
  const reader = new RowReader(
    input,
    rows.fields.map(({ name }) => input.indexOf(name)),
  );
  return {
    name: 'table reduce',
    title: 'reduce of a table, with its inverse',
    facts: {},
    whole: 'your functions take rows',
    fields: fold.fields,
    callsFunctions: true,
    init: () => ({ value: undefined, rows: 0 }),
    put({ value, rows: count }, batch, row, sign, isGuarded) {
      const object = reader.read(batch, row);
      const kept = isGuarded && value !== undefined ? (stateCopy(value) as AnyRow) : value;
      if (sign > 0) return { value: fold.merge(kept, object), rows: count + 1 };
      // Of no row nothing is left, whatever the inverse would make of it.
      if (count === 1) return { value: undefined, rows: 0 };
      return { value: fold.remove?.(kept as AnyRow, object), rows: count - 1 };
    },
    results({ value }) {
      const results: (readonly unknown[])[] = [];
      fold.results(value as AnyRow, (values) => results.push([...values]));
      return results;
    },
    copy: (state) => structuredClone(state),
    shown: ({ value }) => value,
  };
}
