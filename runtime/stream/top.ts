/**
 * `top` of keyed and windowed streams: its options, and the node that it becomes. The operator is
 * operators/fold/top.ts.
 */

import { type ColumnName, checkOptionNames } from '../../core/index.ts';
import { type RowFold, type Ties, topFold, type WindowSpec } from '../../operators/index.ts';
import type { Node, Upstream } from '../plan/index.ts';
import { columnsBesides, foldNode, runningFoldNode } from './nodes.ts';

/** A column to compare by, perhaps with its direction. */
type OrderOf<R> = ColumnName<R> | `${ColumnName<R>} ${'asc' | 'desc'}`;

export interface TopOptions<R, A extends string = 'rank'> {
  /**
   * The column to compare by, the greatest first; or several, each ascending where nothing else is said, as in
   * SQL: `['n desc', 'route']`. Null and NaN come last; among equal rows the one that came first wins.
   */
  readonly by: OrderOf<R> | readonly OrderOf<R>[];
  /** Of a single column: `desc` (default) is the greatest first. */
  readonly order?: 'desc' | 'asc';
  /**
   * The ranks of equal rows: `row` (default) gives each its own, in the order in which they came; `rank` one for
   * all, and leaves out as many (1, 1, 3); `dense` leaves out none (1, 1, 2). The last two give all rows with a
   * rank of at most n, which may be more than n. Without a window a sink that overwrites by key and rank cannot
   * hold such a list: equal rows have one rank, and a list may become shorter.
   */
  readonly ties?: Ties;
  /** Name of the column with the rank. Default: `rank`, in the place of the rank of an earlier `top`. */
  readonly as?: A;
}

/** What `top` makes of rows. */
export type Ranked<R, A extends string> = Omit<R, A> & { readonly [P in A]: number };

/** The node of the greatest rows of each key, running or in windows. */
export function topNode(stream: Upstream, keys: readonly string[], n: number, options: TopOptions<never, string>, window: WindowSpec | undefined): Node {
  const { by, order, ties, as, replaced } = topRequest(stream, keys, options);
  const besides = [...columnsBesides(stream.schema, keys, window), ...replaced];
  const fold = topFold({ input: stream.schema, keys: besides, n, by, order, ties, as }) as RowFold;
  const node = window === undefined ? runningFoldNode(stream, keys, fold) : foldNode(stream, keys, fold, window);
  return node.kind === 'exchange' ? { ...node, rank: as } : node;
}

/** The options, with what they stand for where one is left out. `replaced`: the rank of an earlier `top`. */
export function topRequest(stream: Upstream, keys: readonly string[], options: TopOptions<never, string>) {
  checkOptionNames('top()', options, { by: true, order: true, ties: true, as: true });
  const { by, order, ties = 'row', as = 'rank' } = options;
  // One column: its order is a part of what the state means, and always was.
  const direction = typeof by === 'string' && stream.schema.indexOf(by) >= 0 ? (order ?? 'desc') : order;
  return { by, order: direction, ties, as, replaced: !keys.includes(as) && isAddedRank(stream.node, as) ? [as] : [] };
}

/** Whether a column of a node's rows is the rank that an earlier `top` gave. */
function isAddedRank(node: Node, name: string): boolean {
  switch (node.kind) {
    case 'rows': {
      const names = node.operation.kind === 'rename' ? [...node.operation.names] : [];
      return isAddedRank(node.parent, names.find(([, to]) => to === name)?.[0] ?? name);
    }
    case 'watermark':
      return isAddedRank(node.parent, name);
    case 'union':
      return node.parents.every((parent) => isAddedRank(parent, name));
    case 'exchange':
      return node.rank === name;
    default:
      return false;
  }
}
