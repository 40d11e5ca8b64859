/**
 * Aggregates as a user writes them: `{ clicks: count(), meanMs: mean('ms') }`. Descriptions only, immutable; which
 * accumulators they need, and which of those they share, is decided by the plan (aggregate-plan.ts).
 *
 *   aggregate   input                       result                  of no value (all null)
 *   count()     -                           f64, exact to 2^53      0 cannot be: a group has a row
 *   count(c)    any column                  f64, exact to 2^53      0
 *   sum(c)      numbers, bool               f64; i64 of an i64      null
 *   min(c)      numbers, bool, timestamp    the column's type       null
 *   max(c)      numbers, bool, timestamp    the column's type       null
 *   mean(c)     numbers, bool               f64                     null
 *
 * Nulls do not count. Where the column is not nullable, neither is the result. NaN is the greatest value for min and
 * max, as in DuckDB and Spark. Sums of floats are compensated: the result does not depend on how the rows were cut.
 */

import { MillraceError, shown } from '../core/index.ts';

export type AggregateName = 'count' | 'sum' | 'min' | 'max' | 'mean';

declare const sameAsColumn: unique symbol;
declare const sumOfColumn: unique symbol;
/** Marks a result of the type of the column that is read. */
export type SameAsColumn = { readonly [sameAsColumn]: true };
/** Marks a result that is a bigint for a bigint column, else a number. */
export type SumOfColumn = { readonly [sumOfColumn]: true };

/**
 * One aggregate over one column. `V` is the type of the result, as `ResultOf` reads it; `C` the name of the column, so
 * that `.aggregate({ m: mean('typo') })` does not compile; `never` for an aggregate that reads none.
 */
export interface Aggregate<V = unknown, C extends string = string> {
  readonly name: AggregateName;
  /** Undefined: it reads no column. */
  readonly column: C | undefined;
  /** For the type checker only. */
  readonly _value?: V;
}

/** What `.aggregate` takes for a row type. */
export type AggregatesOf<Row> = Readonly<Record<string, Aggregate<unknown, keyof Row & string>>>;

type NullOf<T> = null extends T ? null : never;
/** The type of an aggregate's result over rows of type `Row`. */
export type ResultOf<A, Row> =
  A extends Aggregate<infer V, infer C>
    ? V extends SameAsColumn
      ? C extends keyof Row
        ? Row[C]
        : never
      : V extends SumOfColumn
        ? C extends keyof Row
          ? (NonNullable<Row[C]> extends bigint ? bigint : number) | NullOf<Row[C]>
          : never
        : null extends V
          ? C extends keyof Row
            ? Exclude<V, null> | NullOf<Row[C]>
            : never
          : V
    : never;
/** The columns that aggregates add to a result row. */
export type ResultsOf<A, Row> = { readonly [K in keyof A]: ResultOf<A[K], Row> };

function describe<V, C extends string>(name: AggregateName, column: C | undefined): Aggregate<V, C> {
  if (column !== undefined && typeof column !== 'string') {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name}() is given ${shown(column)}. Give the name of a column: ${name}('ms').`);
  }
  return Object.freeze({ name, column });
}

function required<V, C extends string>(name: AggregateName, column: C): Aggregate<V, C> {
  if (column === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name}() names no column. Give one: ${name}('ms').`);
  return describe(name, column);
}

/** Rows; or, of a named column, its values that are not null. */
export function count(): Aggregate<number, never>;
export function count<C extends string>(column: C): Aggregate<number, C>;
export function count(column?: string): Aggregate<number, string> {
  return describe('count', column);
}

export function sum<C extends string>(column: C): Aggregate<SumOfColumn, C> {
  return required('sum', column);
}

export function min<C extends string>(column: C): Aggregate<SameAsColumn, C> {
  return required('min', column);
}

export function max<C extends string>(column: C): Aggregate<SameAsColumn, C> {
  return required('max', column);
}

export function mean<C extends string>(column: C): Aggregate<number | null, C> {
  return required('mean', column);
}
