/**
 * `top` of keyed and windowed streams: its options, and the node that it becomes. The operator is
 * operators/fold/top.ts.
 */

import { checkOptionNames } from '../../core/index.ts';
import { type RowFold, topFold, type WindowSpec } from '../../operators/index.ts';
import type { Node, Upstream } from '../plan/index.ts';
import { columnsBesides, foldNode, runningFoldNode } from './nodes.ts';

export interface TopOptions<R> {
  /** The column to compare by. Null and NaN come last; among equal values the row that came first wins. */
  readonly by: keyof R & string;
  /** `desc` (default): the greatest first. */
  readonly order?: 'desc' | 'asc';
}

/** The node of the greatest rows of each key, running or in windows. */
export function topNode(stream: Upstream, keys: readonly string[], n: number, options: TopOptions<never>, window: WindowSpec | undefined): Node {
  checkOptionNames('top()', options, { by: true, order: true });
  const { by, order = 'desc' } = options;
  const fold = topFold({ input: stream.schema, keys: columnsBesides(stream.schema, keys, window), n, by, order }) as RowFold;
  if (window !== undefined) return foldNode(stream, keys, fold, window);
  return runningFoldNode(stream, keys, fold);
}
