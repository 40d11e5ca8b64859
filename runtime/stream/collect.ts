/**
 * `collect` of the front door has two meanings. Without a column it is the sink that keeps rows in memory,
 * with one the aggregate that keeps values. Each of the two rooms has its own.
 */

import type { AnyRow } from '../../core/index.ts';
import { type CollectOptions, type CollectSink, collect as collectSink } from '../../io/index.ts';
import { type Aggregate, collect as collectValues, type JsonLike } from '../../operators/index.ts';

/** A sink that keeps the rows: read `.rows` when the job is done. */
export function collect<R = AnyRow>(options?: CollectOptions): CollectSink<R>;
/** An aggregate: the values of a column, as a JSON array. */
export function collect<C extends string, B extends string = never>(
  column: C,
  options?: { readonly max?: number; readonly by?: B },
): Aggregate<string, C, JsonLike, B>;
export function collect(
  column?: string | CollectOptions,
  options?: { readonly max?: number; readonly by?: string },
): CollectSink<AnyRow> | Aggregate<string, string, JsonLike> {
  if (column === undefined || (typeof column === 'object' && column !== null)) return collectSink(column);
  return collectValues(column, options);
}
