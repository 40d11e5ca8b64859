/** Types of rows, as they travel along a pipeline. */

import type { ResultOf } from '../../operators/index.ts';

/** The same type, written out: what an editor shows of a row. */
export type Simplify<T> = { [P in keyof T]: T[P] };

/** The same columns, some under other names. */
export type Renamed<R, M> = Simplify<{ [P in keyof R as P extends keyof M ? (M[P] extends string ? M[P] : P) : P]: R[P] }>;

/** The columns that may be an event time: numbers that are never null. */
export type TimeColumn<R> = { [C in keyof R & string]: R[C] extends number ? C : never }[keyof R & string];

/** What aggregates add to a row. */
export type Results<A, R> = { readonly [P in keyof A]: ResultOf<A[P], R> };

/** The same in windows without rows. */
export type OrNull<T, E> = E extends true ? { readonly [P in keyof T]: T[P] | null } : T;

/** What a window adds. */
export interface WindowBounds {
  readonly windowStart: number;
  readonly windowEnd: number;
}
