/**
 * `collect` of the front door has two meanings. Without a column it is the sink that keeps rows in memory,
 * with one the aggregate that keeps values. Each of the two rooms has its own.
 */

import type { AnyRow } from '../../core/index.ts';
import { type CollectOptions, type CollectSink, collect as collectSink } from '../../io/index.ts';
import { type Aggregate, collect as collectValues, type JsonLike, type Range, type Ranged } from '../../operators/index.ts';

/** A sink that keeps the rows: read `.rows` when the job is done. */
export function collect<R = AnyRow>(options?: CollectOptions): CollectSink<R>;
/** An aggregate: the values of a column, as a JSON array. */
export function collect<C extends string, B extends string = never>(
  column: C,
  options?: { readonly max?: number; readonly by?: B },
): Aggregate<string, C, JsonLike, B>;
export function collect<C extends string>(column: C, range: Range): Aggregate<string, C, JsonLike, never> & Ranged;
/** What a function makes of each row, as JSON; with `(r) => r` the rows themselves. */
export function collect<Row>(
  of: (row: Row) => unknown,
  options?: { readonly max?: number },
): Aggregate<string, never, unknown, never> & { readonly of?: ((row: Row) => unknown) | undefined };
export function collect(of?: unknown, options?: unknown): unknown {
  if (of === undefined || (typeof of === 'object' && of !== null)) return collectSink(of as CollectOptions | undefined);
  return collectValues(of as string, options as { readonly max?: number });
}
