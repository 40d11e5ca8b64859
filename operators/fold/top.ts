/**
 * top: for each key the n rows that come first by one or several columns, ranked from 1. Null and NaN come last
 * in each column. Of rows that are equal in all of them the earlier comes first; in a window, that of the
 * earlier pane. The list of a key comes out whole whenever it changed.
 *
 * Ranks are those of SQL. With ties 'row' (row_number) n rows have the ranks 1 to n. With 'rank' equal rows have
 * one rank, and the next one is behind all of them (1, 1, 3); with 'dense' it is the next number (1, 1, 2). Both
 * keep all rows with a rank of at most n, so that there may be more than n.
 */

import { type AnyRow, type Batch, f64, MillraceError, memberOf, type Schema, shown } from '../../core/index.ts';
import { RowReader } from '../keyed/index.ts';
import type { RowFold } from './row-fold.ts';

export type Ties = 'row' | 'rank' | 'dense';

export interface TopRequest {
  readonly input: Schema;
  /** Columns of the result that do not come from the fold: the keys, bounds of a window, and a rank that is replaced. */
  readonly keys: readonly string[];
  readonly n: number;
  /** A column; or several, each perhaps with its direction: 'n desc', 'route'. */
  readonly by: string | readonly string[];
  /** Of a single column. In a list each column has its own, ascending where none is said. */
  readonly order?: 'desc' | 'asc' | undefined;
  /** Default: 'row'. */
  readonly ties?: Ties;
  /** Name of the column with the rank; default `rank`. */
  readonly as?: string;
}

const TOP_MAX = 10_000;

/** A column that decides which row comes first. */
export interface OrderColumn {
  readonly name: string;
  readonly column: number;
  readonly isDescending: boolean;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is missing or has no order,
 * ERR_MILLRACE_OPTION for an invalid number of rows, order or kind of ties
 */
export function topFold(request: TopRequest): RowFold<readonly AnyRow[]> {
  const { input, keys, n, by, order, ties = 'row', as = 'rank' } = request;
  const columns = orderColumns(request);
  if (!(Number.isSafeInteger(n) && n >= 1 && n <= TOP_MAX)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `top() is asked for ${shown(n)} rows; it can be a whole number of 1 to ${TOP_MAX}.`);
  }
  if (ties !== 'row' && ties !== 'rank' && ties !== 'dense') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `top() has ties: ${shown(ties)}. Give 'row' (each row its own rank, the default), 'rank' (1, 1, 3) or 'dense' (1, 1, 2).`,
    );
  }
  if (typeof as !== 'string' || as === '')
    throw new MillraceError('ERR_MILLRACE_OPTION', `top() has as: ${shown(as)}. Give the name of the column with the rank.`);
  const reader = new RowReader(input);
  const fields = input.fields.filter((field) => !keys.includes(field.name));
  /** Whether a row of these values comes before a row of the list; 0: equal. */
  const compared = (values: readonly unknown[], row: AnyRow): number => {
    for (let c = 0; c < columns.length; c++) {
      const { column, isDescending } = columns[c] as OrderColumn;
      const difference = compareOrdered(values[c], memberOf(row, input.field(column)), isDescending);
      if (difference !== 0) return difference;
    }
    return 0;
  };
  const valuesOf = (row: AnyRow): readonly unknown[] => columns.map(({ column }) => memberOf(row, input.field(column)));
  const ranksOf = (list: readonly AnyRow[]): number[] => {
    let rank = 0;
    return list.map((row, place) => {
      const isTie = ties !== 'row' && place > 0 && compared(valuesOf(row), list[place - 1] as AnyRow) === 0;
      if (!isTie) rank = ties === 'dense' ? rank + 1 : place + 1;
      return rank;
    });
  };
  const cut = (list: AnyRow[]): readonly AnyRow[] => {
    if (ties === 'row' || list.length <= n) return list.length > n ? list.slice(0, n) : list;
    const ranks = ranksOf(list);
    while ((ranks.at(-1) as number) > n) {
      ranks.pop();
      list.pop();
    }
    return list;
  };
  /**
   * The list with one more row, behind those that are not less. Undefined when the row has no place there.
   */
  const inserted = (list: readonly AnyRow[], values: readonly unknown[], row: () => AnyRow): readonly AnyRow[] | undefined => {
    let at = list.length;
    while (at > 0 && compared(values, list[at - 1] as AnyRow) < 0) at--;
    if (ties === 'row' && at >= n) return undefined;
    const longer = [...list.slice(0, at), row(), ...list.slice(at)];
    const kept = cut(longer);
    // It was the last one, and had no place.
    return at === list.length && kept.length === at ? undefined : kept;
  };
  const shownOrder = typeof by === 'string' ? `${by}${order === 'asc' ? ', least first' : ''}` : by.join(', ');
  return {
    kind: 'top',
    facts: { n, by, ...(order === undefined ? {} : { order }), ...(ties === 'row' ? {} : { ties }) },
    name: `top ${n} by ${shownOrder}${ties === 'row' ? '' : `, ties as ${ties}`}`,
    whole: 'rows are the result',
    fields: [{ name: as, type: f64 }, ...fields],
    tellsChanges: true,
    callsFunctions: false,
    add(list = [], batch: Batch, row) {
      return (
        inserted(
          list,
          columns.map(({ column }) => batch.value(column, row)),
          () => reader.read(batch, row),
        ) ?? list
      );
    },
    merge(list, from) {
      let merged = list ?? [];
      for (const row of from) merged = inserted(merged, valuesOf(row), () => row) ?? merged;
      return merged;
    },
    remove: undefined,
    results(list, put) {
      const ranks = ranksOf(list);
      list.forEach((row, place) => put([ranks[place], ...fields.map((field) => memberOf(row, field))]));
    },
  };
}

/** @throws MillraceError as topFold */
export function orderColumns({ input, by, order }: TopRequest): OrderColumn[] {
  if (order !== undefined && order !== 'desc' && order !== 'asc') {
    throw new MillraceError('ERR_MILLRACE_OPTION', `top() has the order ${shown(order)}. Give 'desc' (the greatest first, the default) or 'asc'.`);
  }
  if (Array.isArray(by) ? by.length === 0 || order !== undefined : typeof by !== 'string') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      order !== undefined && Array.isArray(by)
        ? `top() has the order ${shown(order)} beside a list of columns. Say it with each: by: ['ms desc', 'page'].`
        : `top() goes by ${shown(by)}. Name a column, or several: by: 'ms', or by: ['ms desc', 'page'].`,
    );
  }
  const isList = Array.isArray(by);
  return (isList ? (by as readonly string[]) : [by as string]).map((text): OrderColumn => {
    // A column may be called 'a desc'.
    const parts = typeof text === 'string' && input.indexOf(text) < 0 ? /^(.*) (asc|desc)$/.exec(text) : null;
    const name = parts === null ? text : (parts[1] as string);
    const column = input.require(name, 'top');
    if (input.field(column).type.name === 'binary') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `top() goes by ${shown(name)}, which is binary: bytes have no order here. Take a number, a text or a time.`,
      );
    }
    if (parts !== null && order !== undefined) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `top() goes by ${shown(text)} and has the order ${shown(order)}. Say it once.`);
    }
    return { name, column, isDescending: parts === null ? !isList && order !== 'asc' : parts[2] === 'desc' };
  });
}

type Ordered = number | bigint | string | boolean;

/** Neither null nor NaN. */
function isOrdered(value: unknown): value is Ordered {
  return value !== null && !(typeof value === 'number' && Number.isNaN(value));
}

/** Negative where `a` comes before `b`. Null and NaN come last. */
export function compareOrdered(a: unknown, b: unknown, isDescending: boolean): number {
  if (!isOrdered(a) || !isOrdered(b)) return isOrdered(a) ? -1 : isOrdered(b) ? 1 : 0;
  if (a === b) return 0;
  return a > b === isDescending ? -1 : 1;
}
