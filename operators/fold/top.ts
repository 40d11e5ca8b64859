/**
 * top: for each key the n rows with the greatest (or least) values of a column, ranked from 1. Null and NaN
 * come last. Of equal values the earlier row comes first; in a window, that of the earlier pane. The list of
 * a key comes out whole whenever it changed.
 */

import { type AnyRow, type Batch, f64, MillraceError, type Schema, shown } from '../../core/index.ts';
import { RowReader } from '../keyed/index.ts';
import type { RowFold } from './row-fold.ts';

export interface TopRequest {
  readonly input: Schema;
  /** Columns of the result that do not come from the fold: the keys, and bounds of a window. */
  readonly keys: readonly string[];
  readonly n: number;
  readonly by: string;
  readonly order: 'desc' | 'asc';
}

const TOP_MAX = 10_000;

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is missing or has no order,
 * ERR_MILLRACE_OPTION for an invalid number of rows or order
 */
export function topFold({ input, keys, n, by, order }: TopRequest): RowFold<readonly AnyRow[]> {
  const column = input.require(by, 'top');
  const { type } = input.field(column);
  if (type.name === 'binary')
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `top() goes by ${shown(by)}, which is binary: bytes have no order here. Take a number, a text or a time.`);
  if (!(Number.isSafeInteger(n) && n >= 1 && n <= TOP_MAX)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `top() is asked for ${shown(n)} rows; it can be a whole number of 1 to ${TOP_MAX}.`);
  }
  if (order !== 'desc' && order !== 'asc') {
    throw new MillraceError('ERR_MILLRACE_OPTION', `top() has the order ${shown(order)}. Give 'desc' (the greatest first, the default) or 'asc'.`);
  }
  const reader = new RowReader(input);
  const fields = input.fields.filter((field) => !keys.includes(field.name));
  const names = fields.map((field) => field.name);
  const isBefore = order === 'desc' ? isGreater : isLess;
  /**
   * The list with one more row, behind those that are not less. Undefined when the row has no place there.
   */
  const inserted = (list: readonly AnyRow[], value: unknown, row: () => AnyRow): readonly AnyRow[] | undefined => {
    let at = list.length;
    while (at > 0 && isBefore(value, (list[at - 1] as AnyRow)[by])) at--;
    if (at >= n) return undefined;
    return [...list.slice(0, at), row(), ...list.slice(at, n - 1)];
  };
  return {
    kind: 'top',
    facts: { n, by, order },
    name: `top ${n} by ${by}${order === 'asc' ? ', least first' : ''}`,
    whole: 'rows are the result',
    fields: [{ name: 'rank', type: f64 }, ...fields],
    tellsChanges: true,
    callsFunctions: false,
    add(list = [], batch: Batch, row) {
      return inserted(list, batch.value(column, row), () => reader.read(batch, row)) ?? list;
    },
    merge(list, from) {
      let merged = list ?? [];
      for (const row of from) merged = inserted(merged, row[by], () => row) ?? merged;
      return merged;
    },
    remove: undefined,
    results: (list, put) => list.forEach((row, place) => put([place + 1, ...names.map((name) => row[name])])),
  };
}

type Ordered = number | bigint | string | boolean;

/** Neither null nor NaN. */
function isOrdered(value: unknown): value is Ordered {
  return value !== null && !(typeof value === 'number' && Number.isNaN(value));
}

function isGreater(a: unknown, b: unknown): boolean {
  if (!isOrdered(b)) return isOrdered(a);
  return isOrdered(a) && a > b;
}

function isLess(a: unknown, b: unknown): boolean {
  if (!isOrdered(b)) return isOrdered(a);
  return isOrdered(a) && a < b;
}
