/** Types of rows, as they travel along a pipeline. */

import type { ColumnName, OmitColumns, ValueAt } from '../../core/index.ts';
import type { ResultOf } from '../../operators/index.ts';
import type { RowCoordinates } from '../plan/index.ts';

/** The same type, written out: what an editor shows of a row. */
export type Simplify<T> = { [P in keyof T]: T[P] };

/** The same columns, some under other names. */
export type Renamed<R, M> = Simplify<
  { [P in keyof OmitColumns<R, InStructs<R, M>> as P extends keyof M ? (M[P] extends string ? M[P] : P) : P]: OmitColumns<R, InStructs<R, M>>[P] } & {
    [P in InStructs<R, M> as M[P] extends string ? M[P] : never]: ValueAt<R, P>;
  }
>;
type InStructs<R, M> = Exclude<keyof M, keyof R>;

/** The columns that may be an event time: numbers that are never null. */
export type TimeColumn<R> = { [C in ColumnName<R>]: ValueAt<R, C> extends number ? C : never }[ColumnName<R>];

/** What aggregates add to a row. */
export type Results<A, R> = { readonly [P in keyof A]: ResultOf<A[P], R> };

/** The same in windows without rows. */
export type OrNull<T, E> = E extends true ? { readonly [P in keyof T]: T[P] | null } : T;

/** What a window adds. */
export interface WindowBounds {
  readonly windowStart: number;
  readonly windowEnd: number;
}

/** A row that came too late: as it came, with where it was read. */
export type LateRow<L> = Simplify<L & RowCoordinates>;

/** The stream of late rows; of a stream for which no row can be late, nothing that anything can be done with. */
export type LateRowsOf<L, Late> = [L] extends [never] ? object : Late;
